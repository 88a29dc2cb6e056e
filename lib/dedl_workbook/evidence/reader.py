"""Reader: a bag as it lies somewhere, as a folder or in a zip, read without unpacking it.

What stands in it isn't trusted: a link is never followed, and a name never becomes a path of the
machine that reads it.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from dedl_workbook.base.errors import EvidenceError, InputError
from dedl_workbook.base.files import BROKEN_ZIP


class Store(Protocol):
    """The files of a bag."""

    def entries(self) -> set[str]:
        """Return all that lies in it: files, links, pipes; a folder that holds nothing as `x/`."""

    def size(self, name: str) -> int:
        """Return the bytes of a file."""

    def open(self, name: str) -> BinaryIO | None:
        """Open a regular file; None if it is none."""


@contextmanager
def open_store(path: Path) -> Iterator[Store]:
    """Open a bag's folder, or a zip with nothing in it but a bag's folder.

    Raises:
        InputError: there is neither, or it can't be read.
        EvidenceError: the zip is damaged, or made to deceive.
    """
    try:
        if path.is_dir():
            yield _Folder(path)
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield _Zip(archive, path)
        else:
            raise InputError("is neither a folder nor a zip", where=str(path))
    except BROKEN_ZIP as error:
        raise EvidenceError(f"the zip was changed: {error}", where=str(path)) from error
    except OSError as error:
        where = str(error.filename or path)
        raise InputError(f"can't be read: {error.strerror or error}", where=where) from error


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> set[str]:
        names = set()
        for place, folders, files in os.walk(self.path, onerror=_raise):
            within = os.path.relpath(place, self.path)
            head = "" if within == "." else within + "/"
            links = [name for name in folders if (Path(place) / name).is_symlink()]
            names |= {head + name for name in (*files, *links)}
            if head and not folders and not files:
                names.add(head)
        return names

    def size(self, name: str) -> int:
        return (self.path / name).lstat().st_size

    def open(self, name: str) -> BinaryIO | None:
        # A pipe would never end. What lies behind a linked folder is no entry, so never asked for.
        file = self.path / name
        if not stat.S_ISREG(file.lstat().st_mode):
            return None
        return file.open("rb")


class _Zip:
    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self.archive = archive
        listed = archive.infolist()
        tops = {info.filename.partition("/")[0] for info in listed}
        if len(tops) != 1 or len({info.filename for info in listed}) != len(listed):
            raise EvidenceError(
                "is no packed bag: it holds more than one folder, or a name twice", where=str(path)
            )
        self.head = tops.pop() + "/"
        self.members = {info.filename.removeprefix(self.head): info for info in listed}
        self.members.pop("", None)

    def entries(self) -> set[str]:
        # Folders are made by what lies in them; one that holds nothing was added.
        # In order, what lies in a folder comes right after it.
        names = sorted(self.members)
        pairs = zip(names, [*names[1:], ""], strict=True)
        return {name for name, after in pairs if name[-1] != "/" or not after.startswith(name)}

    def size(self, name: str) -> int:
        return self.members[name].file_size

    def open(self, name: str) -> BinaryIO | None:
        info = self.members[name]
        mode = info.external_attr >> 16
        if info.is_dir() or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
            return None
        return self.archive.open(info)  # type: ignore[return-value]


def _raise(error: OSError) -> None:
    raise error
