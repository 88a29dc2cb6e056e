"""How far a step is: from a notebook's kernel to its screen, or to the terminal that runs it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from dedl_workbook.base.files import write_atomic
from dedl_workbook.base.text import amount

VARIABLE = "DEDL_PROGRESS"
"""Names the file that a headless run's kernel writes its progress to."""

_PAUSE = 0.2
"""Seconds between two reports of one thing, at least."""
_BAR = 20
"""Characters of a bar."""


def for_notebook() -> Tell:
    """Return the way for this kernel: a file if a runner watches it, else the notebook itself."""
    if named := os.environ.get(VARIABLE):
        return sparse(lambda text: write_atomic(Path(named), json.dumps(text)))
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return silent
    if get_ipython() is None:
        return silent
    return sparse(_Shown())


def line(
    what: str, done: int, total: int, unit: str, seconds: float, note: str = "", before: int = 0
) -> str:
    """Return progress as one line: what, a bar, how much of how much, rate and time left.

    Args:
        what: what is being done.
        done: how much is done.
        total: of how much; 0: unknown.
        unit: of both; B for bytes.
        seconds: since `before` was done.
        note: what else to say of it.
        before: how much was done when the clock began.
    """
    rate = (done - before) / seconds if seconds > 0.5 else 0.0
    text = f"{what}: "
    if total:
        text += f"{_bar(done / total)} {amount(done, 'B' if unit == 'B' else '')} of "
    text += amount(total or done, unit)
    text += f", {note}" if note else ""
    text += f", {amount(int(rate), unit)}/s" if rate >= 1 else ""
    if total and rate > 0 and done < total:
        text += f", {_duration((total - done) / rate)} left"
    return text


def _bar(part: float) -> str:
    full = int(_BAR * min(1.0, max(0.0, part)))
    return "█" * full + "░" * (_BAR - full)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class _Shown:
    """Shows one line in the notebook, and replaces it as things go on."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, text: str) -> None:
        from IPython.display import Markdown, display

        if self._handle is None:
            self._handle = display(Markdown(text), display_id=True)
        else:
            self._handle.update(Markdown(text))


def sparse(show: Callable[[str], None]) -> Tell:
    """Return progress that shows one line at a time, and not too often."""
    started: dict[str, tuple[float, int]] = {}
    shown = 0.0

    def tell(what: str, done: int, total: int, unit: str, note: str = "", /) -> None:
        nonlocal shown
        at = time.monotonic()
        start, before = started.setdefault(what, (at, done))
        if at - shown < _PAUSE and not (total and done >= total):
            return
        shown = at
        show(line(what, done, total, unit, at - start, note, before))

    return tell


class Tell(Protocol):
    """Takes note of progress."""

    def __call__(self, what: str, done: int, total: int, unit: str, note: str = "", /) -> None:
        """Say what is being done, how much is done, of how much (0: unknown), in which unit."""


def silent(what: str, done: int, total: int, unit: str, note: str = "", /) -> None:
    """Report progress to nobody."""
