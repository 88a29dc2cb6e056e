"""Shards and executors: the one place that knows about concurrency."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int, int], None]
"""Called with the count and the bytes that were done since the last call."""

GRACE = 1.5


def shards(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut a stream into lists of at most `size`."""
    stream = iter(things)
    while shard := list(islice(stream, size)):
        yield shard


def map_shards(
    function: Callable[[T], R],
    work: Iterable[T],
    executor: Executor | None = None,
    *,
    ahead: int = 16,
    stop: threading.Event | None = None,
) -> Iterator[R]:
    """Apply a function to each shard and yield the results as they come, in no order.

    At most `ahead` shards are under way, so an endless stream needs bounded memory. The first
    error stops the handing out, waits for what is under way, and is raised.

    Args:
        function: takes one shard; its result should be small.
        work: the shards.
        executor: any `concurrent.futures.Executor` (threads, processes, or
            `distributed.Client(...).get_executor()`); None runs in this thread.
        ahead: how many shards may be under way.
        stop: set when the handing out ends early, so that a shard under way in a thread can end
            too: Ctrl-C shouldn't wait for whole shards. What hasn't ended `GRACE` seconds later,
            such as a request that nobody answers, isn't waited for.
    """
    if executor is None:
        yield from map(function, work)
        return
    waiting = iter(work)
    running: set[Future[R]] = {executor.submit(function, s) for s in islice(waiting, ahead)}
    try:
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                result = future.result()
                running.update(executor.submit(function, s) for s in islice(waiting, 1))
                yield result
    finally:
        if running and stop is not None:
            stop.set()
        # What can be cancelled never runs, and not every executor tells so to those who wait.
        running = {future for future in running if not future.cancel()}
        wait(running, timeout=GRACE if stop is not None else None)
