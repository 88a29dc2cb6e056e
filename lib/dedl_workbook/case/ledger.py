"""The ledger of a case: an append-only file of JSON lines, each with the digest of the one before.

A line that was removed, reordered or edited breaks the chain of those that follow it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import EvidenceError
from dedl_workbook.base.json import canonical

START = "0" * 64
"""What the first line has in place of the digest of the one before."""


def append(path: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """Append one line and bring it to the disk; return it with its number and chain.

    A line that a crash cut off is put aside into the new one, as `torn`: nothing is lost.

    Raises:
        EvidenceError: the chain is broken already; nothing was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        whole, _, torn = file.read().rpartition(b"\n")
        lines = _checked(whole, path)
        if torn:
            file.truncate(len(whole) + 1 if whole else 0)
            entry = {**entry, "torn": torn.decode("utf-8", "replace")}
        line = {"seq": len(lines) + 1, **entry, "previous": head(lines)}
        try:
            file.write(canonical(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            # A write to a full disk doesn't say to which file.
            error.filename = error.filename or str(path)
            raise
    return line


def head(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the digest of the last line: what the next one has as `previous`."""
    return _digest(canonical(lines[-1])) if lines else START


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a ledger, checked; a missing one has none, a torn end is left out.

    Raises:
        EvidenceError: the chain is broken, naming the line.
    """
    if not path.exists():
        return []
    return parse(path.read_bytes(), path)


def parse(raw: bytes, where: Path | str) -> list[dict[str, Any]]:
    """Return the lines of a ledger that was read already, checked.

    Raises:
        EvidenceError: the chain is broken, naming the line.
    """
    whole, _, _ = raw.rpartition(b"\n")
    return _checked(whole, where)


def _checked(whole: bytes, path: Path | str) -> list[dict[str, Any]]:
    previous, lines = START, []
    for number, raw in enumerate(whole.splitlines(), start=1):
        try:
            line = json.loads(raw)
            right = line["seq"] == number and line["previous"] == previous
        except (ValueError, KeyError, TypeError, RecursionError):
            right = False
        if not right or canonical(line) != raw:
            raise EvidenceError(
                "the ledger's chain is broken: a line was removed, reordered or edited",
                where=f"{path}, line {number}",
                remedy="Restore the file from a backup or from an evidence pack.",
            )
        lines.append(line)
        previous = _digest(raw)
    return lines


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
