"""References: which objects of the pool the catalogue's documents name, in whatever collection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, LiteralString
from urllib.parse import unquote

if TYPE_CHECKING:
    from dedl_workbook.services.catalog.pgstac import Connection

_SAFE = re.compile(r"[A-Za-z0-9._/-]+")
_DOCUMENTS: tuple[tuple[str, LiteralString], ...] = (
    ("pgstac.items", "select content from items"),
    ("pgstac.collections", "select content from collections"),
    # What items have in common is stored here, and left out of them, from PgSTAC 0.10 on.
    ("pgstac.base_items", "select base_item from base_items"),
)


def named_keys(connection: Connection, bucket: str, prefix: str) -> Iterator[tuple[str, bool]]:
    """Yield the keys under a prefix that a document of any collection may refer to.

    Any string in a document counts that holds the prefix: as an address of S3 or of the web, with
    a query or percent-encoded. So one string may yield several keys, of which not all need exist.

    Args:
        connection: to the catalogue.
        bucket: the pool's.
        prefix: `<collection>/<ticket>/`.

    Yields:
        The key, and whether the whole string is its address in the pool.
    """
    from psycopg import sql

    if not _SAFE.fullmatch(prefix):
        raise ValueError(f"no prefix of a ticket: {prefix!r}")
    wanted = f'$.** ? (@.type() == "string" && @ like_regex "{prefix}" flag "q")'
    for table, documents in _DOCUMENTS:
        row = connection.execute("select to_regclass(%s) is not null", [table]).fetchone()
        if not (row and row[0]):
            continue
        query = sql.SQL(
            "copy (select distinct text #>> '{{}}' from ({}) documents (content),"
            " jsonb_path_query(content, {}) text"
            " where position({} in content::text) > 0) to stdout"
        ).format(sql.SQL(documents), sql.Literal(wanted), sql.Literal(prefix))
        with connection.cursor() as cursor, cursor.copy(query) as rows:
            for (text,) in rows.rows():
                yield from _keys(str(text), f"s3://{bucket}/", prefix)


def _keys(text: str, start: str, prefix: str) -> Iterator[tuple[str, bool]]:
    if text.startswith(start + prefix):
        yield text.removeprefix(start), True
    rest = text[text.index(prefix) :]
    for one in {rest, re.split(r"[?#]", rest)[0]}:
        yield one, False
        yield unquote(one), False
