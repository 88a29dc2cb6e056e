"""The files of HDA's configuration: read, locked, and replaced whole with their mode and owner."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedl_workbook.errors import ConflictError, InputError
from dedl_workbook.target import Hda

_REMEDY = "Let the operator's account write there (or set hda.folder in the target), and run again."


@dataclass(frozen=True)
class Files:
    """The three files of one collection: as they were found, or are to be."""

    collections: bytes
    provider: bytes
    document: bytes | None
    """The full collection; None: there is none."""

    def digests(self, hda: Hda, id_: str) -> dict[str, str | None]:
        """Return the SHA-256 of each by its name."""
        return {
            hda.collections_file: digest(self.collections),
            hda.provider_file: digest(self.provider),
            f"{hda.documents_folder}/{id_}.json": digest(self.document),
        }


def collections(hda: Hda) -> Path:
    """Return the path of the collections file."""
    return hda.folder / hda.collections_file


def provider(hda: Hda) -> Path:
    """Return the path of the provider's file."""
    return hda.folder / hda.provider_file


def document(hda: Hda, id_: str) -> Path:
    """Return the path of a collection's full document."""
    return hda.folder / hda.documents_folder / f"{id_}.json"


def read(path: Path) -> bytes:
    """Return a configuration file's bytes.

    Raises:
        InputError: it isn't there, or can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"HDA's configuration can't be read: {error.strerror}",
            where=str(path),
            remedy="Set hda.folder and the files' names in the target as they are, and run again.",
        ) from error


def read_all(hda: Hda, id_: str) -> Files:
    """Return the three files as they are.

    Raises:
        InputError: one isn't there (but for the document), or can't be read.
    """
    return Files(read(collections(hda)), read(provider(hda)), read_if_any(document(hda, id_)))


def read_if_any(path: Path) -> bytes | None:
    """Return a file's bytes, or None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(
            f"HDA's configuration can't be read: {error.strerror}", where=str(path), remedy=_REMEDY
        ) from error


def digest(data: bytes | None) -> str | None:
    """Return the SHA-256 of a file's bytes; None for none."""
    return None if data is None else hashlib.sha256(data).hexdigest()


def demand_writable(*paths: Path) -> None:
    """Refuse what could not be replaced.

    Raises:
        InputError: naming the folder.
    """
    for path in paths:
        real = path.resolve()
        folder = next(one for one in real.parents if one.exists())
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            raise InputError(
                "HDA's configuration can't be written: the folder is read-only for us",
                where=str(folder),
                remedy=_REMEDY,
            )


@contextmanager
def locked(hda: Hda) -> Iterator[None]:
    """Keep other workbooks from the configuration; the kernel frees it with this process.

    Raises:
        ConflictError: another one is at it now.
    """
    try:
        handle = os.open(hda.folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InputError(
            f"HDA's configuration can't be opened: {error.strerror}", where=str(hda.folder)
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ConflictError(
            "another operator's workbook is changing HDA's configuration at this moment",
            where=str(hda.folder),
            remedy="Nothing was changed. Run again when it is done.",
        ) from error
    finally:
        os.close(handle)


def replace(path: Path, data: bytes, found: bytes | None) -> None:
    """Replace a file whole, if it still is what was found; its mode and owner stay.

    Raises:
        ConflictError: it was changed meanwhile; it stays as it is.
        InputError: it can't be written.
    """
    real = path.resolve()
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=real.parent, prefix=_draft(real))
        try:
            _write(handle, real, data)
            _demand(path, found)
            Path(name).replace(real)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise InputError(
            f"HDA's configuration can't be written: {error.strerror}",
            where=str(path),
            remedy=_REMEDY,
        ) from error


def _draft(real: Path) -> str:
    """Return what the names of our drafts of a file start with."""
    return f".{real.name[:100]}.dedl-"


def _clear(path: Path) -> None:
    """Remove the drafts that a killed run left."""
    real = path.resolve()
    if real.parent.is_dir():
        for one in real.parent.iterdir():
            if one.name.startswith(_draft(real)):
                one.unlink(missing_ok=True)


def _write(handle: int, real: Path, data: bytes) -> None:
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        if real.exists():
            status = real.stat()
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), status.st_mode & 0o7777)
        else:
            os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())


def remove(path: Path, found: bytes) -> None:
    """Remove a file, if it still is what was found."""
    _demand(path, found)
    path.unlink()


def _demand(path: Path, found: bytes | None) -> None:
    if read_if_any(path) != found:
        raise changed_meanwhile(path)


def changed_meanwhile(path: Path) -> ConflictError:
    """Return the error that says that somebody else changed a file."""
    return ConflictError(
        "was changed by somebody else since the plan was made",
        where=str(path),
        remedy="That change stays. Plan again, read the difference, and run again.",
    )


def changes(hda: Hda, id_: str, files: Files, new: Files) -> dict[Path, tuple[Any, Any]]:
    """Return what differs, before and after, in the order in which it can be written.

    The collections file makes it count: it comes last, or first where the document goes.
    """
    every = {
        document(hda, id_): (files.document, new.document),
        provider(hda): (files.provider, new.provider),
        collections(hda): (files.collections, new.collections),
    }
    if new.document is None:
        every = dict(reversed(every.items()))
    return {path: (old, made) for path, (old, made) in every.items() if old != made}


def write_all(hda: Hda, id_: str, files: Files, new: Files) -> list[str]:
    """Write what differs, all or nothing; return the names.

    Raises:
        ConflictError: a file was changed meanwhile.
        InputError: a file can't be written.
    """
    written: list[Path] = []
    todo = changes(hda, id_, files, new)
    try:
        for path, (old, made) in todo.items():
            _clear(path)
            put_back(path, made, old)
            written.append(path)
    except (ConflictError, InputError):
        for path in written:
            put_back(path, *todo[path])
        raise
    return [str(path.relative_to(hda.folder)) for path in written]


def put_back(path: Path, old: bytes | None, new: bytes | None) -> None:
    """Make a file again what it was, if it still is what we made of it."""
    if old is not None:
        replace(path, old, new)
    elif new is not None:
        remove(path, new)
