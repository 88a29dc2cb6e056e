"""The lock of a case: one operator at a time, also on a folder that several hosts share.

It goes when its process goes. What a holder that died on another host left behind only a person
can judge: `dedl-workbook unlock` takes it away, and the ledger says so.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from dedl_workbook.base.errors import ConflictError
from dedl_workbook.base.lock import taken
from dedl_workbook.base.retry import until
from dedl_workbook.base.times import now
from dedl_workbook.case import provenance

VARIABLE = "DEDL_CASE_LOCK"
"""Tells a notebook's kernel that the process which started it holds the lock for it."""
_FILE, _KERNEL = ".lock", ".lock-kernel"
_GRACE = 10.0
"""Seconds in which the kernel of a run that was killed has to find out that it is alone."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep others from a case's folder, until the block ends or this process dies.

    A kernel that the holder started is let in; it outlives a holder that is killed for a moment,
    and the next one waits for its end.

    Raises:
        ConflictError: somebody else is at it; says who, where and since when.
        InputError: the folder's file system has no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handed = os.environ.get(VARIABLE)
    with ExitStack() as stack:
        file = stack.enter_context(_opened(folder / _FILE))
        if handed and handed == _owner(file).get("key"):
            kernel = stack.enter_context(_opened(folder / _KERNEL))
            # Refused in a process that plays holder and kernel at once, which is no harm.
            taken(kernel)
            yield
            return
        key = _take(folder, file)
        os.environ[VARIABLE] = key
        try:
            yield
        finally:
            _write(file, None)
            os.environ.pop(VARIABLE, None)
            if handed is not None:
                os.environ[VARIABLE] = handed


def _take(folder: Path, file: IO[str]) -> str:
    """Make this process the holder; return the key that lets its kernels in."""
    if not taken(file):
        raise _in_use(folder, _owner(file))
    owner = _owner(file)
    if owner and owner.get("host") != provenance.who()["host"]:
        raise _left_behind(folder, owner)
    _await_kernel(folder, owner)
    key = secrets.token_hex(16)
    _write(file, {**provenance.who(), "pid": os.getpid(), "since": now(), "key": key})
    return key


def release(folder: Path) -> dict[str, Any]:
    """Take away what a holder on another host left behind; return who that was, empty: nobody.

    Raises:
        ConflictError: it is still held.
        InputError: the folder's file system has no locks.
    """
    if not (folder / _FILE).is_file():
        return {}
    with _opened(folder / _FILE) as file:
        if not taken(file):
            raise _in_use(folder, _owner(file))
        owner = _owner(file)
        _write(file, None)
    return {key: value for key, value in owner.items() if key != "key"}


def holder(folder: Path) -> dict[str, Any]:
    """Return who holds a case's lock now; empty: nobody. Never keeps anybody from taking it."""
    try:
        with (folder / _FILE).open() as file:
            owner = _owner(file)
            if not owner or owner.get("host") != provenance.who()["host"]:
                return owner
            os.kill(int(owner["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return {}
    return owner


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    """Open a lock's file; a process that is forked meanwhile doesn't hold it."""
    with path.open("a+") as file:
        number = file.fileno()
        _OPEN.add(number)
        try:
            yield file
        finally:
            _OPEN.discard(number)


_OPEN: set[int] = set()


def _close_in_child() -> None:
    # A worker process that outlives us would hold the lock on.
    for number in _OPEN:
        os.close(number)
    _OPEN.clear()


os.register_at_fork(after_in_child=_close_in_child)


def _await_kernel(folder: Path, owner: dict[str, Any]) -> None:
    """Wait for the end of a kernel whose run was killed: it notices that within a second or two."""
    with _opened(folder / _KERNEL) as file:
        if not until(lambda: taken(file), _GRACE, pause=0.1):
            raise _in_use(folder, owner)


def _write(file: IO[str], owner: dict[str, Any] | None) -> None:
    file.seek(0)
    file.truncate()
    file.write(json.dumps(owner) if owner else "")
    file.flush()


def _in_use(folder: Path, owner: dict[str, Any]) -> ConflictError:
    return ConflictError(
        f"the case is in use by {_who(owner)}",
        where=folder.name,
        remedy="Wait until that run ends, or end it; the lock goes with its process.",
    )


def _left_behind(folder: Path, owner: dict[str, Any]) -> ConflictError:
    return ConflictError(
        f"the case was in use by {_who(owner)}, and that run did not end by itself",
        where=folder.name,
        remedy=f"If it is over for sure, as when {owner.get('host')} is down: "
        f"dedl-workbook unlock {folder.name}",
    )


def _who(owner: dict[str, Any]) -> str:
    return (
        f"{owner.get('operator', 'somebody')} on {owner.get('host', 'another host')} "
        f"(process {owner.get('pid', '?')}), since {owner.get('since', '?')}"
    )


def _owner(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    try:
        value = json.loads(file.read())
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
