"""Partitions of a collection in PgSTAC: made before its items, so that no reader waits for it.

Making or dropping one locks out every reader of every collection, until the transaction ends. So
each is made in a short transaction of its own, which PgSTAC's `check_partition` does only for a
collection that is there. For a new one that would be a collection without items for all to see.
Hence it is `Hidden`: within that same transaction the collection is put in, its partition made,
and the collection taken out again without its tables; it comes back with its items, in the load's
one transaction. What a killed load leaves behind is empty tables that nobody sees, until the next
load or withdrawal drops them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from dedl_workbook.base.errors import ConflictError, ServiceError
from dedl_workbook.base.retry import again
from dedl_workbook.services.catalog import pgstac
from dedl_workbook.services.catalog.pgstac import REMEDIES

if TYPE_CHECKING:
    from dedl_workbook.services.catalog.pgstac import Connection

Span = tuple[str, str, str, str]
"""Least and greatest first instant, least and greatest last instant."""
LENGTHS: dict[str | None, int] = {None: 0, "year": 4, "month": 7}
"""How much of a time stamp names a partition, by the collection's `partition_trunc`."""
SHORT_LOCK = "100ms"
"""Whoever waits for a table's strongest lock makes every later reader wait too."""
_PATIENCE = 60.0
_LOCKED = ("55P03", "40P01")
T = TypeVar("T")


def by_size(fullest: Callable[[int], int], most: int) -> str | None:
    """Return the coarsest way to partition under which none has more than so many items.

    Args:
        fullest: tells how many items the fullest partition would have; see `LENGTHS`.
        most: items a partition; where even months have more, months it is.
    """
    return next((trunc for trunc, length in LENGTHS.items() if fullest(length) <= most), "month")


def patiently(connection: Connection, work: Callable[[], T], failure: str) -> T:
    """Do some work in a short transaction; where a lock isn't free at once, again later.

    Raises:
        ServiceError: `failure`; readers or writers never left room for it.
    """
    import psycopg

    def in_transaction() -> T:
        with connection.transaction():
            connection.execute("select set_config('lock_timeout', %s, true)", [SHORT_LOCK])
            return work()

    def locked(error: Exception) -> bool:
        return isinstance(error, psycopg.Error) and error.sqlstate in _LOCKED

    try:
        return again(in_transaction, locked, _PATIENCE)
    except psycopg.Error as error:
        if not locked(error):
            raise
    holder = pgstac.holder_of_items(connection)
    raise ServiceError(
        f"{failure}: the catalogue is always locked" + (f", now by {holder}" if holder else ""),
        remedy="Nothing half-done is left. Run again when fewer are reading, or ask who that is.",
    )


@dataclass(frozen=True)
class Hidden:
    """A collection that nobody sees yet."""

    document: dict[str, Any]
    trunc: str | None
    """How it is partitioned: not at all, by `year` or by `month`."""
    key: int
    """PgSTAC's number for it, which is in the names of its partitions."""

    @classmethod
    def of(cls, connection: Connection, document: dict[str, Any], trunc: str | None) -> Hidden:
        """Return the collection with a number of its own; nothing is changed."""
        row = connection.execute(
            "select nextval(pg_get_serial_sequence('pgstac.collections', 'key'))"
        ).fetchone()
        return cls(document, trunc, int(row[0]) if row else 0)

    def show(self, connection: Connection) -> None:
        """Put it in; whoever reads sees it from the commit on.

        Raises:
            ConflictError: there is one of its id by now.
        """
        import psycopg

        try:
            connection.execute(
                "insert into collections (key, content, partition_trunc)"
                " overriding system value values (%s, %s::jsonb, %s)",
                [self.key, json.dumps(self.document), self.trunc],
            )
        except psycopg.errors.UniqueViolation as error:
            raise meanwhile(self.document["id"], "made") from error

    def hide(self, connection: Connection) -> None:
        """Take it out again, and leave its tables: PgSTAC drops those of the row's own number."""
        decoy = _decoy(self.key)
        connection.execute(
            "update collections set key = default, content = content || %s::jsonb where key = %s",
            [json.dumps({"id": decoy}), self.key],
        )
        connection.execute("delete from collections where id = %s", [decoy])


def meanwhile(collection: str, what: str) -> ConflictError:
    """Return the error for a collection that somebody made or deleted while we were at it."""
    return ConflictError(
        f"{collection} was {what} in the catalogue by somebody else meanwhile",
        remedy="Nothing of it was changed. Find out by whom, then plan and approve again.",
    )


def _decoy(key: int) -> str:
    """Return an id under which a row stands within a transaction only."""
    return f".hidden-{key}"


def hidden(connection: Connection, collection: str) -> list[int]:
    """Return the numbers under which a load that was cut off left partitions of a collection."""
    rows = connection.execute(
        r"select distinct substring(partition from '^_items_(\d+)')::bigint from partition_stats"
        " where collection = %s except select key from collections where id = %s order by 1",
        [collection, collection],
    ).fetchall()
    return [row[0] for row in rows]


def drop_hidden(connection: Connection, collection: str) -> None:
    """Drop what a load that was cut off left; nobody sees it, and it is empty.

    Raises:
        ServiceError: readers or writers never left room for it.
    """
    for key in hidden(connection, collection):
        decoy = Hidden({"id": _decoy(key)}, None, key)

        def drop(decoy: Hidden = decoy) -> None:
            decoy.show(connection)
            connection.execute("select delete_collection(%s)", [decoy.document["id"]])
            connection.execute(
                "delete from partition_stats where collection = %s and partition ~ %s",
                [collection, f"^_items_{decoy.key}(_|$)"],
            )

        patiently(connection, drop, f"the hidden partitions of {collection} can't be dropped")


def make(
    connection: Connection, collection: str, spans: list[Span], unseen: Hidden | None
) -> list[str]:
    """Make the partitions for these spans, each in a short transaction, and return their names.

    Args:
        unseen: the collection, if it isn't there yet.

    Raises:
        ConflictError: the collection was made or deleted meanwhile.
        ServiceError: readers or writers never left room for it, or PgSTAC can't make one.
    """
    notices: list[str] = []

    def listen(notice: Any) -> None:
        notices.append(notice.message_primary or "")

    def made(span: Span) -> str:
        notices.clear()
        if unseen is not None:
            unseen.show(connection)
        name = _checked(connection, collection, span, notices)
        if unseen is not None:
            unseen.hide(connection)
        return name

    connection.add_notice_handler(listen)
    try:
        failure = f"no partition of {collection} could be made"
        return [patiently(connection, lambda at=span: made(at), failure) for span in spans]  # type: ignore[misc]
    finally:
        connection.remove_notice_handler(listen)


def _checked(connection: Connection, collection: str, span: Span, notices: list[str]) -> str:
    """Let PgSTAC make a partition, which swallows what went wrong, and only tells of it."""
    import psycopg

    try:
        row = connection.execute(
            "select name, to_regclass('pgstac.' || name) from"
            " check_partition(%s, tstzrange(%s, %s, '[]'), tstzrange(%s, %s, '[]')) name",
            [collection, *span],
        ).fetchone()
    except psycopg.errors.ForeignKeyViolation as error:
        raise meanwhile(collection, "deleted") from error
    except psycopg.Error as error:
        raise (_swallowed(notices) or error) from error
    if row is None or row[1] is None:
        raise _swallowed(notices) or psycopg.errors.LockNotAvailable()
    return str(row[0])


def _swallowed(notices: list[str]) -> Exception | None:
    """Return the error that PgSTAC only told of."""
    import psycopg

    text = "\n".join(notices)
    state, name = re.search(r"Error State:(\w+)", text), re.search(r"Error Name:(.*)", text)
    if state is None:
        return None
    if state[1] in _LOCKED:
        return psycopg.errors.lookup(state[1])()
    return ServiceError(
        f"can't make a partition: {name[1] if name else state[1]}",
        remedy=REMEDIES.get(state[1], "Ask the database's operators."),
    )
