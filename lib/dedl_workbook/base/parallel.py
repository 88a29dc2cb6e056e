"""Shards, and the executors that run them, by name: the one place that knows about concurrency."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from dedl_workbook.base.errors import InputError, ServiceError

CHOICE = r"auto|one|threads|processes|(?:tcp|tls|ws|wss)://\S+"
"""How an executor is named: `one` is this thread; an address is that of a Dask scheduler."""
THREADS = 32
"""For data that comes over a network: mostly they wait."""
CONNECT = 10
"""Seconds that a Dask scheduler has to answer."""
Probe = Callable[[], str]
"""Tells on a worker what hinders it from doing its work; '' if nothing does."""


@contextmanager
def open_executor(
    choice: str, probe: Probe, *, many: bool, remote: bool
) -> Iterator[Executor | None]:
    """Open the executor of that name; None is this thread.

    Args:
        choice: of the form `CHOICE`. `auto`: threads for remote data, else a process for each core
            where there is much to do.
        probe: is asked on each worker of a Dask cluster.
        many: whether there is enough to do for other processes to be worth their start.
        remote: whether the data comes over a network.

    Raises:
        InputError: no such name, Dask isn't installed, or a worker of the cluster isn't fit.
        ServiceError: the Dask scheduler doesn't answer, or has no workers.
    """
    if not re.fullmatch(CHOICE, choice):
        raise InputError(
            f"there is no executor {choice!r}",
            remedy="Name auto, one, threads, processes, or a Dask scheduler, as tcp://host:8786.",
        )
    if choice == "auto":
        local = "processes" if many and cores() > 1 else "one"
        choice = "threads" if remote else local
    with _dask(choice, probe) if "://" in choice else _local(choice) as executor:
        yield executor


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _local(choice: str) -> AbstractContextManager[Executor | None]:
    if choice == "threads":
        return ThreadPoolExecutor(THREADS)
    if choice == "processes":
        # A fork would copy the locks of other threads, such as those of a notebook's kernel.
        return ProcessPoolExecutor(cores(), mp_context=get_context("spawn"))
    return nullcontext(None)


@contextmanager
def _dask(address: str, probe: Probe) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            "Dask isn't installed", where=address, remedy="Install dedl-workbook[dask]."
        ) from None
    try:
        client = Client(address, timeout=CONNECT)
    except (OSError, ValueError) as error:
        raise ServiceError(
            "the Dask scheduler doesn't answer", where=address, remedy="Check that it is up."
        ) from error
    with client:
        answers = client.run(probe, on_error="return")
        if not answers:
            raise ServiceError("the Dask cluster has no workers", where=address, remedy="Add some.")
        for worker, answer in sorted(answers.items()):
            if answer:
                raise InputError(
                    str(answer),
                    where=f"Dask worker {worker}",
                    remedy="Install the same workbook there, and let it see the dataset's folder.",
                )
        # Two equal shards are not the same work, as files change.
        yield client.get_executor(pure=False)


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
