"""The lock of a case: one operator at a time, and it goes when its process goes."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dedl_workbook import provenance
from dedl_workbook.errors import ConflictError
from dedl_workbook.steps import now

VARIABLE = "DEDL_CASE_LOCK"
"""Tells a notebook's kernel that the process which started it holds the lock for it."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep others from a case's folder, until the block ends or this process dies.

    Raises:
        ConflictError: somebody else is at it; says who, where and since when.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        file.seek(0)
        owner = _owner(file.read())
        handed = os.environ.get(VARIABLE)
        if handed and handed == owner.get("key"):
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise _in_use(folder, owner) from None
        key = secrets.token_hex(16)
        file.truncate(0)
        file.write(json.dumps({**provenance.who(), "pid": os.getpid(), "since": now(), "key": key}))
        file.flush()
        os.environ[VARIABLE] = key
        try:
            yield
        finally:
            file.truncate(0)
            os.environ.pop(VARIABLE, None)
            if handed is not None:
                os.environ[VARIABLE] = handed


def _in_use(folder: Path, owner: dict[str, Any]) -> ConflictError:
    return ConflictError(
        f"the case is in use by {owner.get('operator', 'somebody')} on "
        f"{owner.get('host', 'another host')} (process {owner.get('pid', '?')}), "
        f"since {owner.get('since', '?')}",
        where=folder.name,
        remedy="Wait until that run ends, or end it; the lock goes with its process.",
    )


def _owner(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
