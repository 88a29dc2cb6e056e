"""The manifest: what must be compared over all items and files, on disk, asked with SQL.

Shards hand over their rows as text; DuckDB reads them when the first question is asked. So a
dataset of millions of items needs no more memory than one of thousands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TABLES: dict[str, dict[str, str]] = {
    "file": {"path": "VARCHAR", "size": "BIGINT", "kind": "VARCHAR", "version": "VARCHAR"},
    "item": {"file": "VARCHAR", "id": "VARCHAR"},
    "href": {"path": "VARCHAR", "file": "VARCHAR", "key": "VARCHAR", "size": "BIGINT"},
    "problem": {"rule": "VARCHAR", "file": "VARCHAR", "text": "VARCHAR"},
}
"""The tables and their columns: `file`, every file of the dataset; `item`, every readable item
whose id isn't its file's name; `href`, every href of the metadata that names a file in data/;
`problem`, what can't be read, and the rule that it breaks."""

Rows = dict[str, bytes]
"""Lines of tables, as `line` makes them."""

MEMORY = "160MB"
"""What DuckDB may hold in memory; beyond it, it uses its folder."""


def cell(text: str) -> str:
    r"""Return a text as a cell: as it is if it is plain, else in JSON's escapes.

    A plain text is printable and has no backslash, so the two can't be mixed up, and a name with
    tabs, line ends or undecodable bytes stays one cell of valid UTF-8.
    """
    return text if text.isprintable() and "\\" not in text else json.dumps(text)[1:-1]


def line(*cells: str | int) -> str:
    """Return a line of a table."""
    return "\t".join(cell(c) if isinstance(c, str) else str(c) for c in cells) + "\n"


def file_line(path: str, size: int, kind: str, version: str) -> str:
    """Return a line of the table `file`."""
    return f"{cell(path)}\t{size}\t{kind}\t{version}\n"


def href_line(path: str, file: str, key: str, size: int) -> str:
    """Return a line of the table `href`."""
    names = f"{path}\t{file}\t{key}"
    if "\\" in names or names.count("\t") != 2 or not names.replace("\t", " ").isprintable():
        return line(path, file, key, size)
    return f"{names}\t{size}\n"


def text_of(value: Any) -> Any:
    """Return what a cell stands for."""
    if not isinstance(value, str) or "\\" not in value:
        return value
    return json.loads(f'"{value}"')


class Manifest:
    """The tables of one validation, in a folder of their own.

    Besides, "todo" holds the lines of `file` of the items that are to be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = {name: (folder / f"{name}.tsv").open("ab") for name in (*TABLES, "todo")}
        self._connection: DuckDBPyConnection | None = None

    def add(self, rows: Rows) -> None:
        """Add lines to tables."""
        for table, lines in rows.items():
            self._files[table].write(lines)

    def add_line(self, table: str, *cells: str | int) -> None:
        """Add one line to a table."""
        self.add_text(table, line(*cells))

    def add_text(self, table: str, lines: str) -> None:
        """Add a line, or lines, to a table."""
        self._files[table].write(lines.encode("utf-8"))

    def written(self, table: str) -> Iterator[list[str]]:
        """Yield the lines of a table as they were added, undecoded."""
        self._files[table].flush()
        with (self.folder / f"{table}.tsv").open(encoding="utf-8", newline="\n") as file:
            for text in file:
                yield text.rstrip("\n").split("\t")

    def ask(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Yield the rows that answer a query."""
        if self._connection is None:
            self._connection = self._load()
        answer = self._connection.cursor().execute(sql, list(values))
        while rows := answer.fetchmany(1000):
            for row in rows:
                yield tuple(text_of(value) for value in row)

    def has(self, sql: str, *values: object) -> bool:
        """Tell whether a query has an answer."""
        return next(self.ask(sql, *values), None) is not None

    def _load(self) -> DuckDBPyConnection:
        import duckdb

        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "temp_directory": str(self.folder / "spill"),
            "preserve_insertion_order": "false",
            "threads": "2",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        connection = duckdb.connect(config=settings)
        for table, columns in TABLES.items():
            self._files[table].close()
            connection.execute(
                f"create table {table} as select * from read_csv(?, columns = {columns}, "  # noqa: S608
                r"delim = '\t', quote = '', escape = '', header = false, new_line = '\n', "
                "nullstr = '\\N', auto_detect = false, max_line_size = 20000000)",
                [str(self.folder / f"{table}.tsv")],
            )
        return connection

    def close(self) -> None:
        """Close the files; the folder is the caller's to remove."""
        for file in self._files.values():
            file.close()
        if self._connection is not None:
            self._connection.close()

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
