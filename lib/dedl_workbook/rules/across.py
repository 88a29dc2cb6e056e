"""What must be compared over all items and files, in parts on disk.

A row belongs to the part that its path's checksum names, and so does every row that it is compared
with. So each part can be judged by itself, and a dataset of millions of items needs little more
memory than one of thousands.

That is done twice. First by folder: where items name just the files that are there, each of them
once, and have read them all, the folder is settled; in most datasets all are. Then by file, for all
that is left.
"""

from __future__ import annotations

import itertools
import marshal
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from dedl_workbook.dataset.dataset import DATA, Dataset, File

PARTS = 64
"""With two million items of two data files each, a part holds some 150,000 rows: 50 MB."""
BATCH = 1000
"""Files of a spool that are written together."""
AT_ONCE = 1000
"""Rows that are packed together."""
BUFFERED = 4 * 2**20
"""Bytes of rows that wait in memory to be written together."""

Table = Literal["folder", "group", "file", "href", "claim"]
FolderRow = tuple[str, list[str] | None]
"""A folder, with `/` at its end, and the names of all that is in it: plain data files. None: what
is in it must be compared one by one."""
GroupRow = tuple[str, str, list[tuple[str, str, int, int]]]
"""Hrefs that name files in one folder: it, the file that they stand in, and of each the name and
what an `HrefRow` has from the key on."""
FileRow = tuple[str, int, str]
"""A file of the dataset: its path, its size in bytes (or `UNREAD`, or `GONE`), its kind."""
HrefRow = tuple[str, str, str, int, int]
"""An href that names a file in data/: that file's path, the file that it stands in, the asset's
key, the bytes that file:size promises (or -1), the bytes that the file had when it was read (or
`UNREAD`, `GONE` or `CLOSED`)."""
UNREAD, GONE, CLOSED = -1, -2, -3
"""In place of a size: the file wasn't looked at, was not there any more, or can't be read, which
was said."""
ClaimRow = tuple[str, str, str]
"""An item whose id isn't its file's name: the path that its file had, were it called after the id;
the item's file; the id. The row that stands with its real path has '' for both."""
Rows = dict[tuple[Table, int], bytes]
"""Packed rows, by table and part."""


def folded(path: str) -> str:
    """Return what paths share that differ only in case or in the Unicode form of their letters."""
    return path.lower() if path.isascii() else unicodedata.normalize("NFC", path).lower()


def split(path: str) -> tuple[str, str]:
    """Return the folder that a path lies in, as a `FolderRow` has it, and its name there."""
    at = path.rfind("/") + 1
    return path[:at], path[at:]


def _packed(rows: list[Any]) -> bytes:
    """Return rows as bytes, with their length before them."""
    data = marshal.dumps(rows)
    return len(data).to_bytes(4, "big") + data


def _unpacked(data: bytes | memoryview) -> list[Any]:
    """Return the rows of `_packed`, without the length. Only what this validation wrote is read."""
    rows: list[Any] = marshal.loads(data)  # noqa: S302
    return rows


def _parts() -> list[list[Any]]:
    return [[] for _ in range(PARTS)]


class Packer:
    """Sorts rows into parts and packs them."""

    def __init__(self) -> None:
        self._rows: dict[Table, list[list[Any]]] = defaultdict(_parts)
        self.rows = 0
        """How many wait to be packed."""

    def add(self, table: Table, row: FolderRow | GroupRow | FileRow | HrefRow | ClaimRow) -> None:
        """Take a row in: into the part of its path, which is the same one in each process."""
        self.rows += 1
        path = row[0]
        # As in `folded`, without the call.
        low = path.lower() if path.isascii() else folded(path)
        self._rows[table][crc32(low.encode("utf-8", "surrogatepass")) % PARTS].append(row)

    def packed(self) -> Rows:
        """Return what was taken in, and forget it."""
        rows = {
            (table, number): _packed(part)
            for table, parts in self._rows.items()
            for number, part in enumerate(parts)
            if part
        }
        self._rows.clear()
        self.rows = 0
        return rows


@dataclass
class Part:
    """A part of the comparison: all rows whose paths belong to it."""

    files: dict[str, FileRow] = field(default_factory=dict)
    """By path."""
    hrefs: list[HrefRow] = field(default_factory=list)
    claims: list[ClaimRow] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    """Data files that can't be read, of those that no rule read for an item."""
    linked: list[str] = field(default_factory=list)
    """Data files that have other names too."""

    def measure(self, dataset: Dataset) -> int:
        """Open the files that weren't opened yet; return the bytes of all data files.

        Most were read for an item, which took down their sizes.
        """
        sizes = {href[0]: href[4] for href in self.hrefs if href[4] not in (UNREAD, GONE)}
        total = 0
        for path, (_, size, kind) in self.files.items():
            if not path.startswith(DATA):
                continue
            if size < 0:
                size = sizes.get(path, UNREAD)
                if size == UNREAD and kind == "file":
                    size = self._opened(dataset, path)
                self.files[path] = path, size, kind
            total += max(size, 0)
        return total

    def _opened(self, dataset: Dataset, path: str) -> int:
        try:
            _, size, links = dataset.head(path, 0)
        except FileNotFoundError:
            return GONE
        except OSError:
            self.closed.append(path)
            return CLOSED
        if links > 1:
            self.linked.append(path)
        return size


class Spool:
    """Files on disk, in the order in which they were added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[tuple[Any, ...]] = []

    def add(self, file: File) -> None:
        """Add a file."""
        self._waiting.append(tuple(file))
        if len(self._waiting) == BATCH:
            self._write()

    def files(self) -> Iterator[File]:
        """Yield the files."""
        self._write()
        with self._path.open("rb") as file:
            while length := file.read(4):
                packed = file.read(int.from_bytes(length, "big"))
                yield from itertools.starmap(File, _unpacked(packed))

    def _write(self) -> None:
        with self._path.open("ab") as file:
            file.write(_packed(self._waiting))
        self._waiting = []


class Comparison:
    """The rows of one validation, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.todo = Spool(folder / "todo")
        """The items' files that are to be read."""
        # One file for all rows: making one for each part and table costs more than judging them.
        self._file = (folder / "rows").open("w+b")
        self._end = 0
        self._places: dict[tuple[Table, int], list[tuple[int, int]]] = defaultdict(list)
        """Where in the file the rows of a table and part are: starts and lengths."""
        self._waiting: dict[tuple[Table, int], list[bytes]] = defaultdict(list)
        self._size = 0

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def add(self, rows: Rows) -> None:
        """Add packed rows."""
        for place, packed in rows.items():
            self._waiting[place].append(packed)
            self._size += len(packed)
        if self._size > BUFFERED:
            self._write()

    def settle(self) -> int:
        """Put away the folders that no rule has anything to say of; return the bytes in them.

        What is in the others is left to `parts`.
        """
        self._write()
        return sum(map(self._settle, range(PARTS)))

    def _settle(self, number: int) -> int:
        rest = Packer()
        folders, apart = self._folders(number)
        groups = self._groups(number, folders, apart, rest)
        total = 0
        for folder, names in folders.items():
            size = -1 if folder in apart else _settled(names, groups[folder])
            if size >= 0:
                total += size
                continue
            for name in names:
                rest.add("file", (folder + name, UNREAD, "file"))
            for group in groups[folder]:
                _add_hrefs(group, rest)
        self.add(rest.packed())
        return total

    def _folders(self, number: int) -> tuple[dict[str, list[str]], set[str]]:
        """Return the folders with their names, and those whose files are compared one by one."""
        folders: dict[str, list[str]] = {}
        apart: set[str] = set()
        for folder, names in self._read("folder", number):
            if names is None:
                apart.add(folder)
            else:
                folders[folder] = names
        known: dict[str, str] = {}
        for folder in (*folders, *apart):
            if (first := known.setdefault(folded(folder), folder)) != folder:
                apart |= {folder, first}
        return folders, apart

    def _groups(
        self, number: int, folders: dict[str, list[str]], apart: set[str], rest: Packer
    ) -> dict[str, list[GroupRow]]:
        """Return the groups of hrefs by folder; those of no folder, or of one apart, go to `rest`.

        Folders that prove to be for comparing one by one are added to `apart`.
        """
        known = {folded(folder): folder for folder in folders}
        groups: dict[str, list[GroupRow]] = {folder: [] for folder in folders}
        unnamed = {folder: len(names) for folder, names in folders.items()}
        for group in self._read("group", number):
            folder = group[0]
            if folder not in folders:
                if like := known.get(folded(folder)):
                    # What is called like a missing file is offered.
                    apart.add(like)
            elif folder not in apart:
                unnamed[folder] -= len(group[2])
                if unnamed[folder] >= 0:
                    groups[folder].append(group)
                    continue
                # More hrefs than files, perhaps of millions of items.
                apart.add(folder)
            _add_hrefs(group, rest)
            if rest.rows >= AT_ONCE:
                self.add(rest.packed())
        return groups

    def parts(self) -> Iterator[Part]:
        """Yield the parts that hold anything, one after the other."""
        self._write()
        for number in range(PARTS):
            files = {row[0]: row for row in self._read("file", number)}
            hrefs = list(self._read("href", number))
            claims = list(self._read("claim", number))
            if files or hrefs or claims:
                yield Part(files, hrefs, claims)

    def _write(self) -> None:
        for place, packed in self._waiting.items():
            length = sum(map(len, packed))
            self._places[place].append((self._end, length))
            self._end += length
        self._file.seek(0, os.SEEK_END)
        for part in self._waiting.values():
            self._file.write(b"".join(part))
        self._waiting.clear()
        self._size = 0

    def _read(self, table: Table, number: int) -> Iterator[Any]:
        for start, length in self._places.pop((table, number), ()):
            self._file.seek(start)
            data = memoryview(self._file.read(length))
            at = 0
            while at < length:
                end = at + 4 + int.from_bytes(data[at : at + 4], "big")
                yield from _unpacked(data[at + 4 : end])
                at = end


def _settled(names: list[str], groups: list[GroupRow]) -> int:
    """Return the bytes in a folder of which no rule has anything to say, or -1.

    Its names have no twins, all of its files belong to an item and none to two, all were read, and
    none is empty or of another size than was promised.
    """
    total = 0
    named = []
    for _, _, assets in groups:
        for name, _, promised, size in assets:
            if size <= 0 or promised not in (-1, size):
                return -1
            named.append(name)
            total += size
    named.sort()
    names.sort()
    return total if named == names and len({*map(str.lower, names)}) == len(names) else -1


def _add_hrefs(group: GroupRow, rows: Packer) -> None:
    folder, file, assets = group
    for name, key, promised, size in assets:
        rows.add("href", (folder + name, file, key, promised, size))
