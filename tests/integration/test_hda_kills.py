"""The hda step killed at random points, and HDA killed while it reads its files, with readers."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.base.errors import ServiceError
from dedl_workbook.publication.job import Job, Plan, Verdict
from dedl_workbook.services.hda import files as hda_files
from dedl_workbook.steps import hda

from tests.integration.hda_lake import HdaLake, an_id, own_configuration, resumed

POINTS = 350
"""Calls and returns in the hda step's own modules, of which an apply has about so many."""
MODULES = re.compile(
    r"dedl_workbook/(steps/hda|services/hda/(files|store|trial|served)|base/(json|files))\.py$"
)
OTHERS = "EO.DEMO.DAT.SST.L2"
RELOAD = """
import pathlib, sys
from dedl_sandbox import hda_reload
pathlib.Path(sys.argv.pop(1)).touch()
sys.exit(hda_reload.main())
"""


class Reader(threading.Thread):
    """Asks HDA all the while for the collection that changes, and for one that doesn't."""

    def __init__(self, lake: HdaLake, id_: str) -> None:
        super().__init__()
        root = lake.sandbox.endpoints["guard"]
        self.urls = [f"{root}/collections/{one}" for one in (id_, OTHERS)]
        self.over = threading.Event()
        self.seen: set[tuple[str, ...]] = set()
        self.others: set[str] = set()

    def run(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self.over.wait(0.1):
                # While HDA starts there is no answer, or one that says so.
                with contextlib.suppress(httpx.HTTPError):
                    one, other = (client.get(url) for url in self.urls)
                    if one.status_code == 200:
                        self.seen.add(_version(one.json()))
                    if other.status_code < 500:
                        self.others.add(f"{other.status_code} {other.json().get('title')}")


def _version(served: dict[str, Any]) -> tuple[str, ...]:
    """Return the numbers that every field of a version carries."""
    texts = [served["title"], served["description"], " ".join(sorted(served["keywords"]))]
    return tuple(",".join(re.findall(r"\d+", text)) for text in texts)


@contextmanager
def _reading(lake: HdaLake, id_: str) -> Iterator[Reader]:
    reader = Reader(lake, id_)
    reader.start()
    try:
        yield reader
    finally:
        reader.over.set()
        reader.join()


def _job(lake: HdaLake, id_: str, number: int, **settings: Any) -> Job:
    return lake.job(
        id_,
        ticket=f"K-{number}",
        mode="replace",
        title=f"Levels {number}",
        description=f"Made {number}",
        keywords=["Land", f"Word {number}"],
        hda={"check": ["true"]} | settings,
    )


def _apply_and_die(plan: Plan, point: int) -> None:
    """Apply, and end by SIGKILL at a point of the way."""
    left = point

    def count(frame: FrameType, event: str, _: Any) -> None:
        nonlocal left
        if event in ("call", "return") and MODULES.search(frame.f_code.co_filename):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    hda.apply(plan)
    os._exit(0)


def _kill_client(job: Job, seed: int) -> int:
    """Apply in a process that is killed on its way; return how it ended."""
    point = random.Random(seed).randrange(1, POINTS)
    process = multiprocessing.get_context("fork").Process(
        target=_apply_and_die, args=(hda.plan(job), point)
    )
    process.start()
    process.join()
    return process.exitcode or 0


def _kill_server(lake: HdaLake, job: Job, note: Path, seed: int) -> None:
    """Apply, and kill HDA while it reads its files; the files may be put back."""

    def kill() -> None:
        while not note.exists():
            over.wait(0.01)
        over.wait(random.Random(seed).random() * 2)
        lake.sandbox.kill("hda")

    over = threading.Event()
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        with contextlib.suppress(ServiceError):
            hda.apply(hda.plan(job))
    finally:
        thread.join()


def _read(lake: HdaLake, id_: str) -> tuple[Any, ...]:
    """Return entry, product and document as HDA would find them now."""
    files = hda_files.read_all(lake.hda(), id_)
    product = hda.state_in(lake.hda(), id_, files)["product"]
    return files.collections.values.get(id_), product, files.document


def _survive(lake: HdaLake, seeds: range) -> None:
    """Bring a collection from version to version; each is disturbed, and finished by a rerun."""
    id_, script, others = an_id(), lake.folder / "reload.py", set[str]()
    script.write_text(RELOAD)
    for number, seed in enumerate(seeds, 1):
        before, note = _read(lake, id_), lake.folder / f"note-{number}"
        by_server = seed % 2 == 0
        reload = [sys.executable, str(script), str(note), str(lake.sandbox.folder)]
        job = _job(lake, id_, number, **({"reload": reload} if by_server else {}))
        first = hda.plan(job)
        with _reading(lake, id_) as reader:
            if by_server:
                _kill_server(lake, job, note, seed)
            else:
                assert _kill_client(job, seed) in (0, -signal.SIGKILL)
            between = _read(lake, id_)
            again = hda.plan(resumed(_job(lake, id_, number), first.before))
            hda.apply(again)
        outcome = hda.check(again)

        assert outcome.verdict is Verdict.PASSED, (seed, outcome.summary)
        assert again.digest == first.digest, seed
        after = _read(lake, id_)
        # The first version's product comes before its entry, and isn't served without.
        assert between in (before, after, (None, after[1], None)), seed
        versions = {(str(version),) * 3 for version in (number - 1, number)}
        assert reader.seen <= versions, (seed, reader.seen)
        others |= reader.others
    assert len(others) == 1, others
    assert list((lake.config / "collections").iterdir()) == [lake.document(id_)]
    hda.apply(hda.plan(_job(lake, id_, len(seeds) + 1, reload=[])))
    assert [path.name for path in lake.config.rglob(".*.dedl-*")] == []


@pytest.fixture
def lake(data_lake: Sandbox, tmp_path: Path) -> Iterator[HdaLake]:
    with own_configuration(data_lake, tmp_path) as lent:
        yield lent


def test_readers_see_the_state_before_or_after_whatever_is_killed(lake: HdaLake) -> None:
    _survive(lake, range(1, 6))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(100, 150, 10))
def test_readers_see_the_state_before_or_after_whatever_is_killed_many_times(
    lake: HdaLake, start: int
) -> None:
    _survive(lake, range(start, start + 10))
