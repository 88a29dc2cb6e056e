"""Write files whole or not at all, and number what stays."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dedl_workbook.base.errors import InputError

BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    UnicodeDecodeError,
)
"""What zipfile raises, in time, for a zip whose bytes were changed."""
GROUP_ALONE = 0o027
"""The rights that others than the owner and the group don't get, and the group's to write."""
_hidden = 0
"""The rights that no file gets, whatever is asked for."""


@contextmanager
def draft(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Give an empty file beside a path, which takes the path's place at the end, or goes.

    A reader, or a crash, never sees half of it.

    Args:
        path: what is written; its folder is made where there is none.
        mode: of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    os.close(handle)
    try:
        yield Path(name)
        with Path(name).open("r+b") as file:
            os.fsync(file.fileno())
        Path(name).chmod(mode & ~_hidden)
        Path(name).replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and not error.filename:
            # A write to a full disk doesn't say to which file.
            error.filename = str(path)
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def whole(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a file to be written whole or not at all, as `draft` does."""
    with draft(path, mode=mode) as part, part.open("wb") as file:
        yield file


def write_atomic(path: Path, data: str | bytes, *, mode: int = 0o644) -> None:
    """Write a file whole or not at all."""
    with whole(path, mode=mode) as file:
        file.write(data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data)


def write_new(path: Path, data: str) -> None:
    """Write a file whole, or not at all where there is one of its name already.

    Raises:
        FileExistsError: there is one.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        # A link, unlike a rename, never takes another file's place.
        path.hardlink_to(name)
    finally:
        Path(name).unlink(missing_ok=True)


def write_out(path: Path, data: str) -> None:
    """Write to the place that a person named: a file whole or not at all, a pipe or device at once.

    A link stays, and what it leads to is written.
    """
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(data)
    else:
        write_atomic(path.resolve(), data)


def next_number(folder: Path) -> str:
    """Return the number, of three digits or more, that comes after those in a folder.

    They stand at the beginning of names, alone or before a `-`.
    """
    heads = (path.name.partition("-")[0] for path in folder.glob("[0-9]*"))
    return f"{max((int(head) for head in heads if head.isdecimal()), default=0) + 1:03d}"


def restrict(folder: Path, group: str) -> None:
    """Let a group alone read a folder, and all that this process writes from now on.

    Files become 0640 and folders 0750, whatever the umask was; what is made in the folder, also
    by child processes, is of its group.

    Raises:
        InputError: there is no such group, or we may not give it the folder.
    """
    global _hidden
    _hidden = GROUP_ALONE
    os.umask(GROUP_ALONE)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        state = folder.stat()
        if state.st_uid == os.geteuid():
            shutil.chown(folder, group=group)
            folder.chmod(0o750 | stat.S_ISGID)
    except (LookupError, OSError) as error:
        raise InputError(
            f"can't be given to the group {group}: {error}",
            where=str(folder),
            remedy="Name a group that you are a member of in the target's evidence.group.",
        ) from error
