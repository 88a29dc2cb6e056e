"""A problem, as a rule reports it."""

from __future__ import annotations

from typing import NamedTuple

from dedl_workbook.rules.findings import Severity


class Problem(NamedTuple):
    """One problem: what is wrong, how to fix it, where."""

    message: str
    """Names that vary from file to file stand in quotes: findings are grouped without them."""
    fix: str
    pointer: str = ""
    """An RFC 6901 JSON pointer into the file."""
    file: str = ""
    """Default: the file at hand (the collection's or the item's)."""
    severity: Severity | None = None
    """Default: the rule's."""
