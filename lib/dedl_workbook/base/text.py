"""Words, amounts and names for people to read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, *, lines: bool = False) -> str:
    """Return text with control characters and undecodable bytes as escapes; `lines` keeps ends.

    Names of files may hold them: a terminal would obey them, those that turn the direction of
    writing too, and no stream could write them.
    """
    return _UNPRINTABLE.sub(
        lambda match: "\n" if lines and match[0] == "\n" else ascii(match[0])[1:-1], text
    )


def harmless(text: str) -> str:
    """Return JSON text with the characters that a terminal would obey as JSON's own escapes."""
    return _UNPRINTABLE.sub(
        lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ' Did you mean ...?' for the known word that is most like `word`, or ''."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean {matches[0]!r}?" if matches else ""


def number(count: int, what: str) -> str:
    """Return a count with what is counted, which is given in the plural."""
    return f"{count:,} {what.removesuffix('s') if count == 1 else what}"


def amount(count: float, unit: str = "B") -> str:
    """Return a count with its unit, for people; bytes (`B`) in SI units of a fitting size."""
    if unit != "B":
        return f"{count:,} {unit}".rstrip()
    if count < 1000:
        return f"{count:.0f} B"
    for larger in ("kB", "MB", "GB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {larger}"
    return f"{count / 1000:.1f} TB"
