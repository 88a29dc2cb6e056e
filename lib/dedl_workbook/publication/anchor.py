"""Anchor: names the last line of a ledger, to be written down where the archive doesn't reach."""

from __future__ import annotations

import hashlib
import json
import re

FORM = re.compile(r"([1-9]\d*)-([0-9a-f]{64})")
"""The number of a line, and its SHA-256."""


def of_line(raw: bytes) -> str:
    """Return the anchor of a ledger's line, given without its end."""
    return f"{json.loads(raw)['seq']}-{hashlib.sha256(raw).hexdigest()}"


def of_ledger(raw: bytes) -> str:
    """Return the anchor of a ledger's last whole line; '' if there is none."""
    lines = raw.rpartition(b"\n")[0].splitlines()
    return of_line(lines[-1]) if lines else ""


def problem(raw: bytes, anchor: str) -> str:
    """Return why a ledger lacks the line that an anchor names; '' if it has it.

    A chain that was computed anew is whole in itself. The anchor tells it from the one before.
    """
    number = int(anchor.partition("-")[0])
    lines = raw.rpartition(b"\n")[0].splitlines()
    if len(lines) < number:
        return f"the ledger ends at line {len(lines)}, and its anchor names line {number}"
    if of_line(lines[number - 1]) != anchor:
        return f"line {number} of the ledger, or one before it, is not what the anchor names"
    return ""
