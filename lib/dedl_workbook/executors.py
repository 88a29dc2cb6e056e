"""Executors by name: this thread, threads, processes, or a Dask cluster."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing import get_context

from dedl_workbook.errors import InputError, ServiceError

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
