"""Diff: what differs between the evidence of two publications of one collection."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import InputError
from dedl_workbook.base.text import number
from dedl_workbook.case import ledger
from dedl_workbook.evidence import bag, lists
from dedl_workbook.evidence.reader import Store, open_store
from dedl_workbook.parameters.fields import StepName
from dedl_workbook.publication.standing import standing

COLLECTION, ITEMS, SUMS = "collection.json", "items-sha256.txt", "sha256sums.txt"
_EXAMPLES = 100
"""Names of items or files that are listed before the rest is counted."""
_SIDES = {
    "added": ("not there", "there"),
    "vanished": ("there", "not there"),
    "changed": ("there", "another content"),
}


@dataclass(frozen=True)
class Row:
    """One thing that differs."""

    area: str
    """parameters, dataset, collection, items, files, plan, outcome, software, or people."""
    what: str
    first: str
    second: str
    count: int = field(default=1, compare=False)
    """Things that the row stands for: more than one where a long list of names is cut."""


def diff(first: Path, second: Path) -> list[Row]:
    """Return what differs between two packs, each of which is verified before.

    Raises:
        InputError: there is no pack, or they are of two collections.
        EvidenceError: a pack is not what was packed.
    """
    bag.verify(first)
    bag.verify(second)
    with open_store(first) as a, open_store(second) as b:
        one, other = _Pack(a), _Pack(b)
        if one.ticket.get("collection") != other.ticket.get("collection"):
            raise InputError(
                f"is of {other.ticket.get('collection')}, and the other pack is of "
                f"{one.ticket.get('collection')}: there is nothing to compare",
                where=str(second),
            )
        return [*_mappings(one, other), *_lists("items", ITEMS, a, b), *_lists("files", SUMS, a, b)]


def summary(rows: Iterable[Row]) -> str:
    """Return how much differs, and in what, as one line."""
    counts: Counter[str] = Counter()
    kinds = {sides: kind for kind, sides in _SIDES.items()}
    for row in rows:
        kind = kinds.get((row.first, row.second), "") if row.area in ("items", "files") else ""
        counts[f"{row.area} {kind}".strip()] += row.count
    if not counts:
        return "Nothing differs."
    return f"{number(counts.total(), 'things')} differ: " + ", ".join(
        f"{name} {count:,}" for name, count in counts.items()
    )


def as_json(rows: Iterable[Row]) -> list[dict[str, str]]:
    """Return differences in their JSON form."""
    return [asdict(row) for row in rows]


class _Pack:
    """A pack, as flat mappings."""

    def __init__(self, store: Store) -> None:
        self.store, self.present = store, store.entries()
        self.lines = ledger.parse(self._read("ledger.jsonl"), bag.LEDGER)
        self.ticket = self._json("ticket.json")

    def _read(self, name: str) -> bytes:
        stream = self.store.open(f"data/{name}") if f"data/{name}" in self.present else None
        if stream is None:
            return b""
        with stream:
            return stream.read()

    def _json(self, name: str) -> dict[str, Any]:
        try:
            document = json.loads(self._read(name))
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    def _of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    def outcomes(self) -> dict[str, Any]:
        """Return where the case stands, and the verdict that counts of each step."""
        now = standing(self.lines)
        verdicts = {step: line["verdict"] for step, line in now.outcomes.items()}
        return {"standing": now.words} | verdicts

    def dataset(self) -> dict[str, Any]:
        """Return the dataset's identity, and what validation counted."""
        identity: dict[str, Any] = {}
        for line in self._of("outcome"):
            if line["step"] == StepName.VALIDATE:
                detail = self._json(f"attempts/{line['attempt']}/outcome.json").get("detail") or {}
                counts = (detail.get("report") or {}).get("counts") or {}
                identity = {"fingerprint": line.get("dataset"), **counts}
        return identity

    def collection(self) -> dict[str, Any]:
        """Return the published Collection."""
        return self._json(COLLECTION)

    def plan(self) -> dict[str, Any]:
        """Return the goals of the plan that was approved last, or else planned last."""
        planned = {str(line["digest"]): line for line in self._of("planned")}
        approved = [x["digest"] for x in self._of("approved") if x["digest"] in planned]
        chosen = (approved or list(planned))[-1:]
        steps = (
            self._json(f"attempts/{planned[chosen[0]]['attempt']}/plan.json").get("steps", {})
            if chosen
            else {}
        )
        return {
            f"{name}: {key}": value
            for name, step in steps.items()
            for key, value in {"digest": step["digest"], **step["goal"]}.items()
        }

    def software(self) -> dict[str, Any]:
        """Return what the last attempt was made with."""
        used = [x["software"] for x in self._of("started") if "software" in x][-1:]
        packages = used[0].get("packages", {}) if used else {}
        rest = {key: value for key, value in used[0].items() if key != "packages"} if used else {}
        return rest | packages

    def people(self) -> dict[str, Any]:
        """Return who planned, approved, and did it, and where."""
        words = {"started": "ran", "approved": "approved"}
        people: dict[str, set[str]] = {}
        for line in self.lines:
            if line["event"] in words:
                who = f"{line['operator']} on {line['host']}"
                people.setdefault(words[line["event"]], set()).add(who)
        return {key: sorted(names) for key, names in people.items()}


def _mappings(one: _Pack, other: _Pack) -> Iterator[Row]:
    for area, first, second in (
        ("parameters", one.ticket, other.ticket),
        ("dataset", one.dataset(), other.dataset()),
        ("collection", one.collection(), other.collection()),
        ("plan", one.plan(), other.plan()),
        ("outcome", one.outcomes(), other.outcomes()),
        ("software", one.software(), other.software()),
        ("people", one.people(), other.people()),
    ):
        yield from _differing(area, first, second)


def _differing(area: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Row]:
    for key in [*first, *(key for key in second if key not in first)]:
        if first.get(key) != second.get(key):
            yield Row(area, key, _text(first.get(key)), _text(second.get(key)))


def _lists(area: str, name: str, first: Store, second: Store) -> Iterator[Row]:
    """Yield what differs between two lists of digests."""
    for one in lists.compare(lists.read(first, name), lists.read(second, name), _EXAMPLES):
        yield from (Row(area, entry, *_SIDES[one.kind]) for entry in one.examples)
        if more := one.count - len(one.examples):
            yield Row(area, f"… and {more:,} more", *_SIDES[one.kind], count=more)


def _text(value: Any) -> str:
    if value is None or value == "":
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
