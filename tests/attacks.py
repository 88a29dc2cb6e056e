"""What a hostile submitter can do to a dataset while it is read."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_HERE, _EXCHANGE = -100, 2


def exchange(one: Path, other: Path) -> None:
    """Put two entries of a file system in each other's place, at once (Linux)."""
    call = ctypes.CDLL(None, use_errno=True).renameat2
    if call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")
