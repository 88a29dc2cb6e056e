"""Lists of digests, as bags hold them: read as streams, and compared in flat memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dedl_workbook.base.sqlite import scratch
from dedl_workbook.evidence.reader import Store

Entry = tuple[str, str]
"""A name and the digest of what it names."""
_SCHEMA = """
create table a (name text primary key, value text);
create table b (name text primary key, value text);
"""
_QUERIES = {
    "added": "select name from b where name not in (select name from a) order by name",
    "vanished": "select name from a where name not in (select name from b) order by name",
    "changed": "select name from a join b using (name) where a.value <> b.value order by name",
}
_ESCAPED = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


@dataclass(frozen=True)
class Difference:
    """One way in which two lists differ."""

    kind: str
    """added, vanished or changed, as seen from the first list."""
    count: int
    examples: tuple[str, ...]


def compare(first: Iterable[Entry], second: Iterable[Entry], examples: int) -> list[Difference]:
    """Return how two lists differ, with so many names of each kind. A name counts once."""
    with scratch(_SCHEMA) as database:
        database.execute("begin")
        for table, entries in (("a", first), ("b", second)):
            database.executemany(f"insert or ignore into {table} values (?, ?)", entries)  # noqa: S608
        differences = []
        for kind, query in _QUERIES.items():
            count = database.execute(f"select count(*) from ({query})").fetchone()[0]  # noqa: S608
            names = tuple(name for (name,) in database.execute(f"{query} limit {examples}"))
            differences.append(Difference(kind, count, names))
        return differences


def read(store: Store, name: str) -> Iterator[Entry]:
    """Yield the entries of a list of a bag, with names as they are written; none if it has none."""
    stream = store.open(f"data/{name}") if f"data/{name}" in store.entries() else None
    if stream is None:
        return
    with stream:
        for line in stream:
            value, _, entry = line.decode("utf-8", "replace").rstrip("\n").partition("  ")
            yield entry, value


def files(store: Store, name: str) -> Iterator[Entry]:
    """Yield path and SHA-256 of each file of a list in the form of `sha256sum`."""
    for path, value in read(store, name):
        if value.startswith("\\"):
            yield _unescaped(path), value[1:]
        else:
            yield path, value


def _unescaped(path: str) -> str:
    parts, rest = [], path
    while rest:
        two = _ESCAPED.get(rest[:2])
        parts.append(two or rest[0])
        rest = rest[2 if two else 1 :]
    return "".join(parts)
