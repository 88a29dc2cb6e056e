"""Try again what may succeed later, and wait for what takes its time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def again(
    work: Callable[[], T],
    passing: Callable[[Exception], bool],
    seconds: float,
    *,
    pauses: tuple[float, float] = (0.3, 0.3),
    wait: Callable[[float], object] = time.sleep,
) -> T:
    """Do a piece of work that can be repeated until it is done, and return what it returns.

    Args:
        work: what is done.
        passing: whether an error may pass; any other is raised at once.
        seconds: after which the error is raised all the same.
        pauses: seconds between the first two tries, and at most between later ones; each is
            shortened by chance, so that many don't try at the same moment.
        wait: waits for a pause; returns something true to end it all with the error.
    """
    pause, end = pauses[0], time.monotonic() + seconds
    while True:
        try:
            return work()
        except Exception as error:
            now = pause * random.uniform(0.5, 1)  # noqa: S311
            if not passing(error) or time.monotonic() + now > end or wait(now):
                raise
            pause = min(pause * 2, pauses[1])


def until(done: Callable[[], bool], seconds: float, *, pause: float = 0.2) -> bool:
    """Ask until something holds, or the time is over; return whether it does.

    It is asked once at least.
    """
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True
