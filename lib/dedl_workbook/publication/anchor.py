"""Anchor: names the last line of a ledger, to be written down where the archive doesn't reach."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection

FORM = re.compile(r"([1-9][0-9]{0,9})-([0-9a-f]{64})")
"""The number of a line, and its SHA-256."""


def of_ledger(raw: bytes, number: int = 0) -> str:
    """Return the anchor of a ledger's line, by default its last whole one; '' if there is none."""
    lines = raw.rpartition(b"\n")[0].splitlines()
    number = number or len(lines)
    if not 0 < number <= len(lines):
        return ""
    return f"{number}-{hashlib.sha256(lines[number - 1]).hexdigest()}"


def problem(raw: bytes, anchor: str) -> str:
    """Return why a ledger lacks the line that an anchor names; '' if it has it.

    A chain that was computed anew is whole in itself. The anchor tells it from the one before.
    """
    number = int(anchor.partition("-")[0])
    line = of_ledger(raw, number)
    if not line:
        return f"the ledger ends before line {number}, which its anchor names"
    if line != anchor:
        return f"line {number} of the ledger, or one before it, is not what the anchor names"
    return ""


def of_bag(raw: bytes, anchors: Collection[str]) -> str:
    """Return why a ledger that was packed isn't one whose end was anchored; '' if it is.

    Lines that were added after it was packed may be anchored, too.
    """
    last = of_ledger(raw)
    if not anchors:
        return "no line of the ledger is named there"
    if last not in anchors:
        return f"its last line, {last[:16]}…, is not among the {len(anchors)} that are named there"
    end = int(last.partition("-")[0])
    earlier = (one for one in anchors if int(one.partition("-")[0]) <= end)
    return next(filter(None, (problem(raw, one) for one in earlier)), "")
