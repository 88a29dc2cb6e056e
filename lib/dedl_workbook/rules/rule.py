"""What a rule is, what it is given, and how it enters the rulebook."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

from dedl_workbook.dataset.dataset import DATA, ITEMS, Bucket, Dataset, File
from dedl_workbook.publication.metadata import is_item
from dedl_workbook.rules.delivered import Item
from dedl_workbook.rules.extent import Extent
from dedl_workbook.rules.findings import Severity
from dedl_workbook.rules.problem import Problem

Scope = Literal["dataset", "collection", "file", "listing", "item", "unreadable", "across"]
"""What a rule looks at: see `rule`."""

Document = Mapping[str, Any]
PROPOSAL_BUCKET = "usergenerated-proposal-"


@dataclass(frozen=True)
class Published:
    """What the target serves under the collection's id, as far as rules ask for it."""

    there: bool
    """Whether it serves a collection of that id."""
    by: str = ""
    """The ticket that published it, as far as that can be seen."""
    problem: str = ""
    """Why it can't be told."""


@dataclass
class Listing:
    """What the dataset's listing showed."""

    files: int = 0
    items: int = 0
    """Item files that are to be read."""
    below_items: int = 0
    """Files below metadata/items, whatever they are."""
    below_data: int = 0
    others: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """Entries of the root but metadata and data: how many files each has, and whether it is a
    folder. At most `MOST_OTHERS`; what comes after them is counted as `…`."""

    def note_data(self, count: int) -> None:
        """Count data files."""
        self.files += count
        self.below_data += count

    def note_items(self, count: int) -> None:
        """Count items' files."""
        self.files += count
        self.below_items += count
        self.items += count

    def note(self, file: File) -> bool:
        """Count a file; tell whether it is an item's."""
        self.files += 1
        if file.path.startswith(DATA):
            self.below_data += 1
            return False
        if file.path.startswith(ITEMS):
            self.below_items += 1
            found = is_item(file)
            self.items += found
            return found
        top, slash, _ = file.path.partition("/")
        if top not in ("metadata", "data"):
            if top not in self.others and len(self.others) >= MOST_OTHERS:
                top, slash = "…", "/"
            self.others[top] = (self.others.get(top, (0, False))[0] + 1, bool(slash))
        return False


MOST_OTHERS = 1000


@dataclass(frozen=True)
class Given:
    """What every rule is given besides what it looks at. It holds no secrets but the dataset's."""

    dataset: Dataset
    collection: Document | None
    """collection.json, or None if it can't be read."""
    problem: str = ""
    """Why collection.json can't be read."""
    extent: Extent | None = None
    """What the collection says that its items cover."""
    own: Item | None = None
    """The collection in the form of an item, for what is asked of the assets of both."""
    agreed: str = ""
    """The collection id that the ticket names; '' without a ticket."""
    ticket: str = ""
    """The ticket's id; '' without one."""
    replaces: bool = False
    """Whether the ticket replaces what is published."""
    served: tuple[str, ...] = ("1.0.0", "1.1.0")
    """The STAC versions that the target serves."""
    published: Published | None = None
    """What the target serves under this id; None: not looked up."""
    vocabulary: tuple[str, ...] | None = None
    """Keywords to compare with; None: the snapshot in parameters/keywords.yaml."""
    schemas: Path | None = None
    """The store of JSON schemas; None: the default one."""
    remote_assets: str = "refuse"
    """What the target does with items whose data lies on other servers: refuse, or list."""
    fetch: bool = False
    """Whether schemas of extensions are fetched when they are first named."""
    off: frozenset[str] = frozenset()
    """Rules that are switched off."""

    @property
    def named(self) -> str:
        """The collection id that the dataset's root folder, or its bucket, is named after."""
        return self.dataset.name.removeprefix(PROPOSAL_BUCKET)

    @property
    def id(self) -> str:
        """The collection's id: the agreed one, else that of collection.json, else the folder's."""
        written = self.collection.get("id") if self.collection else None
        return self.agreed or (written if isinstance(written, str) and written else self.named)

    def is_named(self, collection_id: str) -> bool:
        """Tell whether the dataset's folder, or its bucket, is named after a collection id."""
        if isinstance(self.dataset, Bucket):
            return self.named.lower() == collection_id.lower()
        return self.named == collection_id

    def for_shards(self) -> Given:
        """Return what items' rules need, small enough to go to another process or machine."""
        return replace(
            self, collection={"id": self.id}, own=None, vocabulary=None, published=None, problem=""
        )


Function = Callable[..., Iterable[Problem]]
F = TypeVar("F", bound=Function)


@dataclass(frozen=True)
class Rule:
    """One rule of the rulebook."""

    id: str
    severity: Severity
    """Of its findings, where they don't say otherwise."""
    title: str
    """What must hold."""
    doc: str
    """All of its docstring: why besides, and where the rule comes from."""
    name: str
    parts: dict[Scope, Function] = field(default_factory=dict)
    """The functions that look: one for each scope that the rule has."""


_RULES: dict[str, Rule] = {}


def rule(rule_id: str, scope: Scope, severity: Severity = Severity.ERROR) -> Callable[[F], F]:
    """Enter a function into the rulebook; its docstring is the rule's documentation.

    The function of each scope is given:

    - dataset: `(given)`, once;
    - collection: `(collection, given)`, once, if there is a readable collection;
    - file: `(file, given)`, for each file of the dataset, as it is listed;
    - listing: `(listing, given)`, once, after all files were listed;
    - item: `(item, given)`, for each readable item;
    - unreadable: `(problem, given)`, for each item that can't be read;
    - across: `(part, given)`, for each part of the manifest, after all items were read.
    """

    def enter(function: F) -> F:
        doc = inspect.cleandoc(function.__doc__ or "")
        _RULES[rule_id] = Rule(
            rule_id, severity, doc.partition("\n")[0], doc, function.__name__, {scope: function}
        )
        return function

    return enter


def part_of(rule_id: str, scope: Scope) -> Callable[[F], F]:
    """Enter a further function of a rule, for another scope."""

    def enter(function: F) -> F:
        _RULES[rule_id].parts[scope] = function
        return function

    return enter


_GROUPS = {group: place for place, group in enumerate("LCIA")}


def in_order(*modules: ModuleType) -> dict[str, Rule]:
    """Return the rules in the rulebook's order: layout, collection, items, assets.

    Args:
        modules: those that enter rules; importing them did.
    """
    return dict(sorted(_RULES.items(), key=lambda entry: (_GROUPS[entry[0][0]], entry[0])))
