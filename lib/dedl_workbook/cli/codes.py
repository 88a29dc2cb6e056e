"""The exit codes of the commands."""

from __future__ import annotations

from collections.abc import Iterable

DONE, FAILED, COULD_NOT_RUN, NOT_APPROVED, WAITING = range(5)
INTERRUPTED = 130

CODES = {"passed": DONE, "failed": FAILED, "planned": NOT_APPROVED, "waiting": WAITING}
"""The exit code of each verdict."""

_WORST_FIRST = (FAILED, COULD_NOT_RUN, NOT_APPROVED, WAITING, DONE)


def worst(codes: Iterable[int]) -> int:
    """Return the exit code for several: a failure counts most."""
    given = set(codes)
    return next(code for code in _WORST_FIRST if code in given)
