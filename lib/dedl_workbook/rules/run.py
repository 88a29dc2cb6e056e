"""Run rules: over the dataset, its collection, a shard of items, what is compared across them."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath

from dedl_workbook import __version__
from dedl_workbook.base.errors import WorkbookError
from dedl_workbook.base.text import printable
from dedl_workbook.dataset.dataset import COLLECTION, ITEMS, File
from dedl_workbook.publication.content import Shard
from dedl_workbook.rules import checksums
from dedl_workbook.rules.across import UNREAD, Packer, Rows, split
from dedl_workbook.rules.delivered import Item, Unreadable, read_item
from dedl_workbook.rules.extent import Covered
from dedl_workbook.rules.findings import Finding, Gatherer, Severity
from dedl_workbook.rules.geometry import box_of
from dedl_workbook.rules.problem import Problem
from dedl_workbook.rules.rule import Document, Given, Scope
from dedl_workbook.rules.rulebook import RULES
from dedl_workbook.rules.schemas import store
from dedl_workbook.rules.stac import disagreement


def findings_of(scope: Scope, file: str, given: Given, *subject: object) -> Iterator[Finding]:
    """Yield what all rules of a scope find.

    Args:
        scope: any but item, for which there is `check_shard`.
        file: the file that findings are of, if they don't say otherwise.
        given: what rules are given.
        subject: what they look at, where the scope has such a thing.
    """
    for rule in RULES.values():
        if scope in rule.parts and rule.id not in given.off:
            try:
                for problem in rule.parts[scope](*subject, given):
                    yield _finding(rule.id, rule.severity, file, problem)
            except WorkbookError:
                raise
            except Exception as error:  # noqa: BLE001 - no rule may take the report with it
                yield not_judged(rule.id, file, error)


def _finding(rule: str, severity: Severity, file: str, problem: Problem) -> Finding:
    return Finding(
        rule,
        problem.severity or severity,
        problem.file or file,
        problem.pointer,
        problem.message,
        problem.fix,
    )


def not_judged(rule: str, file: str, error: Exception) -> Finding:
    """Return the finding for what a rule could not judge, since it raised an error.

    Args:
        rule: its id.
        file: what it looked at.
        error: what it raised.
    """
    whole = traceback.extract_tb(error.__traceback__)
    frames = whole[1:] or whole
    ours = [frame for frame in frames if "dedl_workbook" in frame.filename] or frames
    at = f"{PurePath(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    reason = printable(str(error))[:200]
    return Finding(
        rule,
        Severity.ERROR,
        file,
        "",
        f"could not be judged: {type(error).__name__} at {at}: {reason}",
        "It is a fault of the workbook: send this line, its version "
        f"({__version__}) and the file to its maintainers.",
    )


MOST_TYPES = 100
"""Names of types that are told apart in the count of the files that were not looked into."""


def add_counts(total: Counter[str], more: Counter[str]) -> None:
    """Add to the counts of files that were not looked into, in bounded memory."""
    for name, count in more.items():
        total[name if name in total or len(total) < MOST_TYPES else "other types"] += count


MOST_UNCHECKED = 1000
"""Schemas that are told apart in the count of those that items could not be held against."""


TOGETHER, LARGE = 16, 2**20
"""Items, and the bytes in them, that a rule looks at before the next one does: rule by rule, a
processor's caches hold what it works with, which makes a third of the time."""


@dataclass
class ShardResult:
    """What the rules found in a shard of items: small, whatever the shard's size."""

    files: int
    items: int
    findings: list[Finding]
    rows: Rows
    unchecked: frozenset[str] = frozenset()
    """Schemas that items name, but could not be held against."""
    unchecked_items: int = 0
    """The items that name one."""
    outside: Covered = field(default_factory=Covered)
    """What the items cover that lie outside of the collection's extent."""
    content: bytes = b""
    """The SHA-256 over the items' bytes (see `publication.content`)."""
    unknown: Counter[str] = field(default_factory=Counter)
    """What data files are called that were not looked into, and how many there are of each."""


def check_shard(given: Given, ask: bool, shard: list[File]) -> ShardResult:
    """Hold a shard of item files against the rules of items.

    Args:
        given: what rules are given; without secrets of the target.
        ask: whether stac-validator is asked about each item.
        shard: the item files.
    """
    rules = [
        (rule.id, rule.severity, rule.parts["item"])
        for rule in RULES.values()
        if "item" in rule.parts and rule.id not in given.off
    ]
    gathered, rows, content, outside = Gatherer(), Packer(), Shard(), Covered()
    count = unchecked_items = 0
    unchecked: set[str] = set()
    unknown: Counter[str] = Counter()
    for items in _batches(given, shard, gathered):
        count += len(items)
        for rule, severity, function in rules:
            for item in items:
                try:
                    for problem in function(item, given):
                        gathered.add(_finding(rule, severity, item.path, problem))
                except WorkbookError:
                    raise
                except Exception as error:  # noqa: BLE001 - as above
                    gathered.add(not_judged(rule, item.path, error))
        for item in items:
            content.add(item.path, item.data)
            if item.outside:
                outside.add(box_of(item.document.get("bbox")), item.span)
            if item.unchecked:
                unchecked_items += 1
                unchecked.update(item.unchecked if len(unchecked) < MOST_UNCHECKED else ())
            if item.unknown:
                add_counts(unknown, Counter(item.unknown.values()))
            if ask and (opinion := second_opinion("I01", item.path, item.document)):
                gathered.add(opinion)
            try:
                _note(item, rows)
            except Exception as error:  # noqa: BLE001 - as above
                gathered.add(not_judged("A01", item.path, error))
    return ShardResult(
        len(shard),
        count,
        gathered.findings(),
        rows.packed(),
        frozenset(unchecked),
        unchecked_items,
        outside,
        content.digest(),
        unknown,
    )


def _batches(given: Given, shard: list[File], gathered: Gatherer) -> Iterator[list[Item]]:
    """Yield a shard's items, some at a time; what can't be read goes to the findings."""
    items: list[Item] = []
    size = 0
    for file in shard:
        try:
            item = read_item(given.dataset, file)
        except WorkbookError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            gathered.add(not_judged("L03", file.path, error))
            continue
        if isinstance(item, Unreadable):
            for finding in findings_of("unreadable", file.path, given, item):
                gathered.add(finding)
            continue
        items.append(item)
        size += len(item.data)
        if len(items) == TOGETHER or size >= LARGE:
            yield items
            items, size = [], 0
    yield items


def hindrance(given: Given, collection: File | None, version: str) -> str:
    """Return what hinders a worker elsewhere from looking at items as this process would, or ''.

    Args:
        given: what it would be given.
        collection: collection.json as it was seen here.
        version: the workbook's here.
    """
    if __version__ != version:
        return f"has version {__version__} of the workbook, not {version}"
    if given.dataset.stat(COLLECTION) != collection:
        return f"doesn't see {given.dataset.location} as it is seen here"
    if not store.schema_map(given.schemas):
        return "has no store of STAC schemas: run `dedl-workbook schemas sync` there"
    return ""


def _note(item: Item, rows: Packer) -> None:
    """Take down what of an item is compared with other items and with the files."""
    if (item_id := item.document.get("id")) != item.stem:
        rows.add("claim", (item.path, "", ""))
        if isinstance(item_id, str):
            rows.add("claim", (f"{ITEMS}{item_id}.json", item.path, item_id))
    note_assets(item, rows)


def note_assets(item: Item, rows: Packer) -> None:
    """Take down the data files that an item, or the collection, names."""
    groups: dict[str, list[tuple[str, str, int, int]]] = {}
    for key, value, _, path in item.assets:
        if path is not None:
            promised = checksums.size(value["file:size"]) if "file:size" in value else -1
            folder, name = split(path)
            href = (name, key, promised, item.sizes.get(path, UNREAD))
            if folder in groups:
                groups[folder].append(href)
            else:
                groups[folder] = [href]
    for folder, hrefs in groups.items():
        rows.add("group", (folder, item.path, hrefs))


def second_opinion(rule: str, path: str, document: Document) -> Finding | None:
    """Ask stac-validator about a document; return a finding if it doesn't agree with us.

    Compared is what both judged: the document without the extensions that nobody here knows.

    Raises:
        InputError: the core schema isn't in the store.
    """
    try:
        theirs, message = store.second_opinion(dict(document))
    except WorkbookError:
        raise
    except Exception as error:  # noqa: BLE001 - what it raises is no verdict
        reason = f"{type(error).__name__}: {printable(str(error))[:200]}"
        text = f"stac-validator gave no verdict: {reason}"
        fix = "Nothing to do; the workbook's own verdict stands."
        return _finding(rule, Severity.WARNING, path, Problem(text, fix))
    asked = store.without_unknown(dict(document))
    problem = disagreement(not store.check(asked).violations, theirs, message)
    return _finding(rule, Severity.ERROR, path, problem) if problem else None
