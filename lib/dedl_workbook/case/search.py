"""Search in all archives: an index of their cases, made anew from the ledgers at any time."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from dedl_workbook.base import sqlite
from dedl_workbook.base.errors import WorkbookError
from dedl_workbook.case import approvals, ledger
from dedl_workbook.parameters.target import Target
from dedl_workbook.publication.standing import standing
from dedl_workbook.services.health import names as target_names

INDEX = Path("work", "index.sqlite")
"""In the workbook's root."""
_PLACES = ("work", "bag/data")
_LISTS = {"key": "sha256sums.txt", "item": "items-sha256.txt"}
"""What of a case lists what it published; in its work folder, or in its bag."""
_SCHEMA = """
create table if not exists cases (id integer primary key, folder text unique, stamp text,
    ticket text, collection text, target text, state text, since text);
create table if not exists facts (id integer, kind text, value text);
create index if not exists facts_by_value on facts (kind, value);
create index if not exists facts_by_case on facts (id);
"""


@dataclass(frozen=True)
class Hit:
    """A case that was found."""

    ticket: str
    collection: str
    target: str
    state: str
    since: str
    """UTC: when that state came."""
    folder: str

    def as_json(self) -> dict[str, str]:
        """Return it in its JSON form."""
        return asdict(self)


COLUMNS = tuple(Hit.__dataclass_fields__)


def find(root: Path, *, rebuild: bool = False, **wanted: str) -> list[Hit]:
    """Return the cases of all archives for which everything holds that is wanted.

    Args:
        root: the workbook's.
        rebuild: whether the index is made anew; else only what changed is read again.
        wanted: `collection` and `state`, as patterns of SQLite (GLOB); `operator`, `role`, `key`
            of an object and `item` id, exactly; `since` and `until`, days on which something
            happened. '' is not asked for.
    """
    file = root / INDEX
    if rebuild:
        file.unlink(missing_ok=True)
    try:
        return _found(root, wanted)
    except sqlite3.DatabaseError:
        # An index that is none any more loses nothing.
        file.unlink(missing_ok=True)
        return _found(root, wanted)


def _found(root: Path, wanted: Mapping[str, str]) -> list[Hit]:
    (root / INDEX).parent.mkdir(exist_ok=True)
    with closing(sqlite.connect(root / INDEX, write=True)) as index, index:
        index.executescript(_SCHEMA)
        _update(index, root)
        conditions, values = _conditions(wanted)
        where = " and ".join(conditions) or "true"
        query = f"select {', '.join(COLUMNS)} from cases where {where} order by since, ticket"  # noqa: S608 - our own words
        return [Hit(*row) for row in index.execute(query, values)]


def _conditions(wanted: Mapping[str, str]) -> tuple[list[str], list[str]]:
    conditions, values = [], []
    fact = "exists (select 1 from facts where facts.id = cases.id and kind = ? and value {} ?)"
    for name, value in wanted.items():
        if not value:
            continue
        if name in ("collection", "state"):
            conditions.append(f"{name} glob ?")
            values.append(value)
        elif name in ("since", "until"):
            conditions.append(fact.format(">=" if name == "since" else "<="))
            values += ["day", value]
        elif name == "key":
            # Whatever stands before `data/`: the same file may lie under an earlier ticket's key.
            collection, _, path = value.partition("data/")
            conditions.append(fact.format("="))
            values += [name, f"data/{path}"]
            if collection:
                conditions.append("collection = ?")
                values.append(re.sub("^s3://[^/]*/", "", collection).partition("/")[0])
        else:
            conditions.append(fact.format("="))
            values += [name, value]
    return conditions, values


def _update(index: sqlite3.Connection, root: Path) -> None:
    known = dict(index.execute("select folder, stamp from cases"))
    for target, file in _ledgers(root):
        folder = str(file.parent)
        stamp = _stamp(file.parent)
        if known.pop(folder, None) == stamp:
            continue
        _forget(index, folder)
        # A ledger that can't be relied on is told of by `status`.
        with suppress(WorkbookError):
            _add(index, target, file, stamp)
    for folder in known:
        _forget(index, folder)


def _ledgers(root: Path) -> Iterator[tuple[str, Path]]:
    archives = {}
    for name in target_names(root):
        with suppress(WorkbookError):
            archives[Target.archive_of(name, root).resolve()] = name
    for archive, name in archives.items():
        for file in archive.glob("*/ledger.jsonl"):
            yield name, file


def _lists(folder: Path) -> dict[str, Path]:
    """Return the files that list what a case published, as far as there are any."""
    places = [(kind, folder / at / name) for kind, name in _LISTS.items() for at in _PLACES]
    return {kind: file for kind, file in reversed(places) if file.is_file()}


def _stamp(folder: Path) -> str:
    files = [folder / "ledger.jsonl", *_lists(folder).values()]
    return " ".join(f"{s.st_size}:{s.st_mtime_ns}" for s in (file.stat() for file in files))


def _forget(index: sqlite3.Connection, folder: str) -> None:
    index.execute("delete from facts where id in (select id from cases where folder = ?)", [folder])
    index.execute("delete from cases where folder = ?", [folder])


def _add(index: sqlite3.Connection, target: str, file: Path, stamp: str) -> None:
    lines = ledger.read(file)
    started = [line["ticket"] for line in lines if line["event"] == "started" and "ticket" in line]
    if not started:
        return
    ticket, now = started[-1], standing(lines)
    name, collection = ticket["ticket"], ticket["collection"]
    where, at = str(ticket.get("target", target)), str(now.deciding.get("at", ""))
    row = (str(file.parent), stamp, name, collection, where, now.words, at)
    columns = "folder, stamp, ticket, collection, target, state, since"
    cursor = index.execute(f"insert into cases ({columns}) values (?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608 - our own words
    facts = {("day", line["at"].partition("T")[0]) for line in lines}
    facts |= {("role", role) for one in started for role in one.get("roles", ())}
    facts |= {
        ("operator", name) for x in lines for name in (approvals.person(x), x.get("operator", ""))
    }
    index.executemany(
        "insert into facts values (?, ?, ?)", ((cursor.lastrowid, *fact) for fact in facts)
    )
    for kind, listed in _lists(file.parent).items():
        with listed.open(encoding="utf-8", errors="surrogateescape") as names:
            index.executemany(
                "insert into facts values (?, ?, ?)",
                ((cursor.lastrowid, kind, _name(name)) for name in names),
            )


def _name(line: str) -> str:
    """Return the name in a line of checksums, free of what SQLite can't keep."""
    name = line.rstrip("\n").partition("  ")[2]
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
