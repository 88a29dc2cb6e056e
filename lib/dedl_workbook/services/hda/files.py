"""The files of HDA's configuration: read, locked, and replaced whole with their mode and owner."""

from __future__ import annotations

import errno
import getpass
import hashlib
import json
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dedl_workbook.base.errors import ConflictError, InputError
from dedl_workbook.base.lock import taken
from dedl_workbook.base.retry import until
from dedl_workbook.parameters.target import Hda
from dedl_workbook.services.hda import config as hda_config
from dedl_workbook.services.hda import dialect as hda_dialect
from dedl_workbook.services.hda.config import Config

POINTER = "stacCollection"
"""In an entry: where its full collection is."""
LOCK = ".dedl-workbook.lock"
"""In HDA's folder: the file that is locked, with the name of who has it."""
TURN = 900.0
"""Seconds that another workbook may take with the configuration and HDA's reload."""
DIGITS = 12
"""Of a document's SHA-256, in its name."""
_REMEDY = "Let the operator's account write there (or set hda.folder in the target), and run again."


@dataclass(frozen=True)
class Files:
    """The configuration of one collection: as it is, or is to be."""

    collections: Config
    provider: Config
    document: bytes | None
    """The full collection that the entry names; None: there is none, or it isn't kept here."""
    name: str | None
    """Of that document, in HDA's folder."""

    def contents(self, hda: Hda) -> dict[str, bytes]:
        """Return the bytes of each file by its name, in the order in which they can be written.

        The document is there under its own name before the entry names it, so whoever reads at any
        moment has the one version or the other.
        """
        document = {} if self.name is None or self.document is None else {self.name: self.document}
        return document | {
            hda.provider_file: self.provider.text.encode(),
            hda.collections_file: self.collections.text.encode(),
        }

    def digests(self, hda: Hda) -> dict[str, str]:
        """Return the SHA-256 of each by its name."""
        return {name: digest(data) for name, data in self.contents(hda).items()}


def collections(hda: Hda) -> Path:
    """Return the path of the collections file."""
    return hda.folder / hda.collections_file


def provider(hda: Hda) -> Path:
    """Return the path of the provider's file."""
    return hda.folder / hda.provider_file


def documents(hda: Hda) -> Path:
    """Return the folder of the full collections."""
    return hda.folder / hda.documents_folder


def document_name(id_: str, data: bytes) -> str:
    """Return how a collection's document is called: each content has a name of its own."""
    return f"{id_}.{digest(data)[:DIGITS]}.json"


def _is_ours(id_: str, name: str) -> bool:
    """Return whether a file's name is that of a document of ours, or of a draft of one."""
    form = rf"{re.escape(id_)}\.[0-9a-f]{{{DIGITS}}}\.json"
    return re.fullmatch(rf"{form}|\.{form}\.dedl-.*", name) is not None


def _named(hda: Hda, entry: Any) -> str | None:
    """Return the name, in HDA's folder, of the document that an entry names; None: none of it."""
    address = entry.get(POINTER) if isinstance(entry, dict) else None
    folder = served_documents(hda)
    path = Path(address) if isinstance(address, str) else None
    return f"{hda.documents_folder}/{path.name}" if path and path.parent == folder else None


def served_documents(hda: Hda) -> Path:
    """Return the folder of the full collections as HDA's server sees it."""
    return (hda.served_folder or hda.folder) / hda.documents_folder


def held(
    hda: Hda,
    id_: str,
    collections: Config,
    provider: Config,
    document: Callable[[str], bytes | None],
) -> Files:
    """Return the configuration of a collection; its document is the one that its entry names."""
    name = _named(hda, collections.values.get(id_))
    return Files(collections, provider, document(name) if name else None, name)


def parsed(hda: Hda, collections: bytes, provider: bytes, folder: str) -> tuple[Config, Config]:
    """Return the collections file and the provider's, read as what they say.

    Raises:
        InputError: one of them isn't what it should be.
    """
    return (
        hda_config.parse(collections, f"{folder}{hda.collections_file}"),
        hda_dialect.of(hda).provider(provider, f"{folder}{hda.provider_file}"),
    )


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
    """Return a collection's configuration as it is.

    Raises:
        InputError: a file isn't there (but for the document), can't be read, or says nothing.
    """
    files = parsed(hda, read(collections(hda)), read(provider(hda)), f"{hda.folder}/")
    return held(hda, id_, *files, lambda name: read_if_any(hda.folder / name))


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


def digest(data: bytes) -> str:
    """Return the SHA-256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()


def require_writable(*paths: Path) -> None:
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
def locked(hda: Hda, ticket: str, waiting: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """Keep other workbooks from the configuration: take turns. It ends with this process.

    What is yielded are the digests of the shared files as the last workbook left them: what is so
    was not edited by hand.

    Args:
        hda: the target's part.
        ticket: for which the configuration is read or changed.
        waiting: told once who has it now, if somebody has.

    Raises:
        ConflictError: another one has it for longer than `TURN`.
        InputError: the folder can't be written, or its file system has no locks.
    """
    try:
        file = lock_file(hda).open("a+", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"HDA's configuration can't be opened: {error.strerror}", where=str(hda.folder)
        ) from error
    with file:
        if not taken(file):
            # Whoever has just taken it signs next.
            until(lambda: bool(_lines(file)[0]), 1, pause=0.02)
            holder = _lines(file)[0] or "another operator's workbook"
            waiting(holder)
            if not until(lambda: taken(file), TURN):
                raise ConflictError(
                    f"{holder} is changing HDA's configuration",
                    where=str(hda.folder),
                    remedy="Nothing was changed. Run again when that is done.",
                )
        left = _lines(file)[1]
        who = f"{getpass.getuser()} on {socket.gethostname()}, process {os.getpid()}"
        _sign(file, f"{ticket} ({who})", left)
        try:
            yield json.loads(left)
        finally:
            _sign(file, "", json.dumps(_digests(hda)))


def lock_file(hda: Hda) -> Path:
    """Return the file that is locked: in HDA's folder; for a clone, out of its working tree."""
    if hda.git is not None:
        for folder in (hda.folder, *hda.folder.parents):
            git = folder / ".git"
            if git.is_file():
                # A working tree of a repository that is elsewhere.
                git = folder / git.read_text().removeprefix("gitdir:").strip()
            if git.is_dir():
                return git / LOCK.removeprefix(".")
    return hda.folder / LOCK


def _lines(file: IO[str]) -> tuple[str, str]:
    """Return who has the lock, and the digests that the last one left, as JSON."""
    file.seek(0)
    holder, _, left = file.read(1000).partition("\n")
    return holder.strip(), left.strip() or "{}"


def _sign(file: IO[str], holder: str, left: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(f"{holder}\n{left}\n")
    file.flush()


def _digests(hda: Hda) -> dict[str, str]:
    contents = {
        name: read_if_any(hda.folder / name) for name in (hda.collections_file, hda.provider_file)
    }
    return {name: digest(data) for name, data in contents.items() if data is not None}


def replace(path: Path, data: bytes, expected: bytes | None) -> None:
    """Replace a file whole, if it still is what is expected; its mode and owner stay.

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
            _require(path, expected)
            Path(name).replace(real)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(name).unlink()
            raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise InputError(
            f"HDA's configuration can't be written: {error.strerror}",
            where=str(path),
            remedy="Make room there, and run again." if full else _REMEDY,
        ) from error


def _draft(real: Path) -> str:
    """Return what the names of our drafts of a file start with."""
    return f".{real.name[:200]}.dedl-"


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


def _require(path: Path, expected: bytes | None) -> None:
    if read_if_any(path) != expected:
        raise changed_meanwhile(path)


def changed_meanwhile(path: Path) -> ConflictError:
    """Return the error that says that somebody else changed a file."""
    return ConflictError(
        "was changed by somebody else since the plan was made",
        where=str(path),
        remedy="That change stays. Plan again, read the difference, and run again.",
    )


Changes = dict[str, tuple[bytes | None, bytes | None]]
"""By name what is to differ, before and after; None: there is no such file."""


def changes(hda: Hda, id_: str, before: Files, new: Files) -> Changes:
    """Return what differs, in the order in which it can be written.

    A document of others stays where it is.
    """
    old, after = before.contents(hda), new.contents(hda)
    contents: Changes = {
        name: (old.get(name), data) for name, data in after.items() if old.get(name) != data
    }
    gone = [name for name in old if name not in after and _is_ours(id_, Path(name).name)]
    return contents | {name: (old[name], None) for name in gone}


def write_all(hda: Hda, id_: str, before: Files, new: Files) -> Changes:
    """Write what differs, all or nothing, and return it; no document is removed yet.

    Raises:
        ConflictError: a file was changed meanwhile.
        InputError: a file can't be written.
    """
    written: Changes = {}
    try:
        for name, (old, after) in changes(hda, id_, before, new).items():
            path = hda.folder / name
            # A document may be there already, of a run that was cut off.
            old = read_if_any(path) if old is None else old
            if after is not None and after != old:
                _clear(path)
                replace(path, after, old)
                written[name] = (old, after)
    except (ConflictError, InputError):
        put_back(hda, written)
        raise
    return written


def put_back(hda: Hda, written: Changes) -> None:
    """Make files again what they were, if they still are what we made of them; last comes first.

    Raises:
        ConflictError: one was changed meanwhile; it stays as it is.
        InputError: one can't be written.
    """
    for name, (old, after) in reversed(written.items()):
        path = hda.folder / name
        if old is not None:
            replace(path, old, after)
        elif after is not None:
            _require(path, after)
            path.unlink()


def superseded(hda: Hda, id_: str, collections: Config) -> list[Path]:
    """Return documents of ours, and drafts of killed runs, that the collections file doesn't name.

    HDA may have read that file when it still named them: they are removed once it serves the rest.
    """
    folder = documents(hda)
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    return [
        path for path in there if _is_ours(id_, path.name) and path.name not in collections.text
    ]
