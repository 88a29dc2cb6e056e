"""Compares published items with those that a catalogue holds: a file of digests, memory flat."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from dedl_workbook.base import sqlite, times
from dedl_workbook.base.errors import InputError
from dedl_workbook.base.files import whole

_BATCH = 2_000
_SPELLED = re.compile(rb"[0-9](?:\.0|[eE][+-]?[0-9]+)[,\]}]")
_SCHEMA = """
    create table published (id text primary key, path blob, digest blob, first text, last text,
                            content blob);
    create table held (id text, digest blob, first text);
"""
_DIFFERS = {
    "added": "select p.id from published p where p.id not in (select id from held)",
    "changed": "select p.id from published p join held h on h.id = p.id"
    " where p.digest <> h.digest and p.first = h.first and p.id not in twice",
    "moved": "select p.id from published p join held h on h.id = p.id"
    " where p.digest <> h.digest and p.first <> h.first and p.id not in twice",
    "twice": "select p.id from published p where p.id in twice",
    "vanished": "select distinct h.id from held h where h.id not in (select id from published)",
}
"""What makes two sides differ, and the ids that do. Twice: held more than once."""


def form(document: Any) -> bytes:
    """Return the form in which documents are compared: sorted keys, numbers spelled one way.

    A JSON value that went through PostgreSQL's jsonb, or a geometry through PostGIS, is written
    otherwise (2.0 as 2, 1e2 as 100); its form is the same.

    Raises:
        TypeError: it holds what JSON or PostgreSQL doesn't have, such as integers over 64 bits.
    """
    import orjson

    raw = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    if _SPELLED.search(raw):
        raw = orjson.dumps(json.loads(raw, parse_float=_number), option=orjson.OPT_SORT_KEYS)
    return raw


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() and -(2**63) <= value < 2**64 else value


def digest(document: Any) -> str:
    """Return the SHA-256 of a document's form."""
    return hashlib.sha256(form(document)).hexdigest()


def span(item: dict[str, Any]) -> tuple[str, str]:
    """Return the first and the last instant of an item, in UTC, as PgSTAC takes them.

    Raises:
        ValueError: there is none, it can't be read, or the last comes before the first.
    """
    properties = item.get("properties") or {}
    first, last = properties.get("start_datetime"), properties.get("end_datetime")
    if first is None or last is None:
        first = last = properties.get("datetime")
    if first is None or last is None:
        raise ValueError("it has no datetime, nor start_datetime and end_datetime")
    begin, end = utc(first), utc(last)
    if begin > end:
        raise ValueError(f"it starts at {first}, after its end {last}")
    return begin, end


def utc(text: object) -> str:
    """Return a time stamp in UTC with microseconds; one without zone is taken for UTC."""
    try:
        return times.utc(text).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except ValueError:
        raise ValueError(f"it has a time stamp that can't be read: {text!r}") from None


@dataclass(frozen=True)
class Row:
    """What is kept of a published item."""

    id: str
    path: str
    first: str
    last: str
    content: bytes


@contextmanager
def comparing(folder: Path) -> Iterator[Comparison]:
    """Open an empty comparison in a file under `folder` that goes away at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    with sqlite.scratch(_SCHEMA, folder) as database:
        yield Comparison(database)


class Comparison:
    """Two sides: the published items, and those that are held."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def write_digests(self, path: Path) -> None:
        """Write the digest and the id of each published item, a line an item, in their order."""
        rows = self._database.execute("select hex(digest), id from published order by id")
        with whole(path) as file:
            lines = (f"{digest.lower()}  {json.dumps(id_)[1:-1]}\n" for digest, id_ in rows)
            file.writelines(line.encode() for line in lines)

    def publish(
        self, items: Iterable[tuple[str, dict[str, Any]]], *, content: bool = False
    ) -> Iterator[int]:
        """Take in the published items; yield how many there are, batch by batch.

        Args:
            items: the file and the item.
            content: whether to keep the items themselves.

        Raises:
            InputError: an item that PgSTAC can't hold, or an id twice; naming the file.
        """
        rows = (_published(path, item, content) for path, item in items)
        return self._fill("insert into published values (?, ?, ?, ?, ?, ?)", rows)

    def hold(self, items: Iterable[tuple[str, str, bytes]]) -> Iterator[int]:
        """Take in what is held (id, first instant, form), in place of what was; as `publish`."""
        self._database.executescript("drop index if exists held_id; delete from held;")
        rows = ((id_, hashlib.sha256(raw).digest(), first) for id_, first, raw in items)
        yield from self._fill("insert into held values (?, ?, ?)", rows)
        self._database.executescript(
            "create index held_id on held (id); drop table if exists temp.twice;"
            "create temp table twice as select id from held group by id having count(*) > 1;"
        )

    def _fill(self, statement: str, rows: Iterator[tuple[Any, ...]]) -> Iterator[int]:
        done = 0
        while batch := list(islice(rows, _BATCH)):
            self._database.execute("begin")
            try:
                self._database.executemany(statement, batch)
            except sqlite3.IntegrityError:
                raise self._double(batch) from None
            self._database.execute("commit")
            done += len(batch)
            yield done

    def _double(self, batch: list[tuple[Any, ...]]) -> InputError:
        forms: dict[str, bytes] = {}
        for id_, path, *_ in batch:
            known = self._database.execute("select path from published where id = ?", (id_,))
            other = forms.get(id_) or next((row[0] for row in known if row[0] != path), None)
            if other is not None:
                return InputError(
                    f"has the id {id_!r}, as {_path(other)} has",
                    where=_path(path),
                    remedy="Each item needs an id of its own.",
                )
            forms[id_] = path
        return InputError("an item's id is there twice")

    def side(self, name: str) -> tuple[int, str | None]:
        """Return count and digest of a side, `published` or `held`, in the order of the ids."""
        table = {"published": "published", "held": "held"}[name]
        count, total = 0, hashlib.sha256()
        query = f"select id, digest from {table} order by id, digest"  # noqa: S608 (own names)
        for id_, one in self._database.execute(query):
            total.update(id_.encode() + b"\0" + one)
            count += 1
        return count, total.hexdigest() if count else None

    def counts(self) -> dict[str, int]:
        """Return how many items differ in each way, and how many are equal."""
        counts = {kind: self._count(query) for kind, query in _DIFFERS.items()}
        all_ = self._count("select id from published")
        return counts | {"equal": all_ - sum(counts.values()) + counts["vanished"]}

    def _count(self, query: str) -> int:
        return int(self._database.execute(f"select count(*) from ({query})").fetchone()[0])  # noqa: S608

    def examples(self, kind: str, most: int = 5) -> list[str]:
        """Return the ids of some items that differ in that way."""
        query = f"{_DIFFERS[kind]} order by 1 limit ?"
        return [row[0] for row in self._database.execute(query, (most,))]

    def select(self, *, everything: bool = False) -> None:
        """Fix which published items are to be loaded: those that differ now, or all."""
        chosen = " union all ".join(_DIFFERS[kind] for kind in ("added", "changed", "moved"))
        query = "select id from published" if everything else f"{chosen} union {_DIFFERS['twice']}"
        self._database.executescript(
            "drop table if exists temp.chosen; create temp table chosen (id text primary key);"
            f"insert into chosen {query};"
        )

    @property
    def selected_count(self) -> int:
        """How many items are selected."""
        return self._count("select id from chosen")

    def outdated(self) -> Iterator[str]:
        """Yield the ids of held items that go: the selected, and those that aren't published."""
        query = (
            "select distinct id from held where id in (select id from chosen)"
            " or id not in (select id from published)"
        )
        yield from (row[0] for row in self._database.execute(query))

    def spans(self, length: int) -> list[tuple[str, str, str, str]]:
        """Return least and greatest first and last instants of the selected items by partition.

        Args:
            length: how much of a time stamp names a partition: 4 for years, 7 for months, 0.
        """
        return self._database.execute(
            "select min(first), max(first), min(last), max(last)"
            " from chosen join published using (id) group by substr(first, 1, ?) order by 1",
            (length,),
        ).fetchall()

    def fullest(self, length: int) -> int:
        """Return how many selected items the fullest partition would get; see `spans`."""
        row = self._database.execute(
            "select count(*) from chosen join published using (id)"
            " group by substr(first, 1, ?) order by 1 desc limit 1",
            (length,),
        ).fetchone()
        return int(row[0]) if row else 0

    def selected(self, first: str, last: str) -> Iterator[Row]:
        """Yield the selected items that start between these instants."""
        query = (
            "select id, path, first, last, content from chosen join published using (id)"
            " where first between ? and ?"
        )
        for id_, path, begin, end, content in self._database.execute(query, (first, last)):
            yield Row(id_, _path(path), begin, end, content)

    def published(self, id_: str) -> tuple[str, str] | None:
        """Return the file and the digest of a published item, or None."""
        query = "select path, digest from published where id = ?"
        row = self._database.execute(query, (id_,)).fetchone()
        return None if row is None else (_path(row[0]), row[1].hex())

    def where(self, id_: str) -> str:
        """Return the file of a published item, or its id."""
        published = self.published(id_)
        return published[0] if published else id_


def _path(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _published(path: str, item: dict[str, Any], keep: bool) -> tuple[Any, ...]:
    import orjson

    if not isinstance(item.get("id"), str) or not item["id"]:
        raise refused(path, "it has no id")
    if not isinstance(item.get("geometry"), dict):
        raise refused(path, "it has no geometry")
    try:
        first, last = span(item)
        raw = form(item)
    except (ValueError, TypeError) as error:
        raise refused(path, str(error)) from None
    name = path.encode("utf-8", "surrogateescape")
    content = orjson.dumps(item) if keep else None
    return item["id"], name, hashlib.sha256(raw).digest(), first, last, content


def refused(path: str, why: str) -> InputError:
    """Return the error for an item that PgSTAC can't hold."""
    return InputError(
        f"PgSTAC can't hold this item: {why}",
        where=path,
        remedy="Nothing of it was loaded. Have the item mended, validate, and run again.",
    )
