"""Client or database killed at random points: readers see the state before or the one after."""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.base.errors import WorkbookError
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.steps import catalog
from dedl_workbook.steps.withdraw import catalog as withdraw_catalog

from tests.integration.lake import (
    COLLECTION,
    Lake,
    a_collection,
    an_item,
    moved,
    own_lake,
    write_dataset,
)

CLIENTS = multiprocessing.get_context("forkserver")
CLIENTS.set_forkserver_preload([__name__, "pypgstac.db", "pypgstac.load", "pypgstac.hydration"])
KILLS = 2
LONGEST = 0.5
"""Seconds after which the victim is dead; about as long as it all takes."""
SEEDS = [seed if seed < 5 else pytest.param(seed, marks=pytest.mark.slow) for seed in range(50)]
PATHS = {
    "collection": f"/collections/{COLLECTION}",
    "items": f"/collections/{COLLECTION}/items?limit=99",
    "search": f"/search?collections={COLLECTION}&limit=99",
}
State = dict[str, Any]
"""What each path answers: the collection's title, or items with what may differ; None: 404."""
ABSENT: State = {"collection": None, "items": None, "search": (0, frozenset())}


def publish(job: Job) -> None:
    catalog.apply(catalog.plan(job))


def withdraw(job: Job) -> None:
    withdraw_catalog.undo(job, withdraw_catalog.look(job))


@dataclass
class Readers:
    """Somebody who polls the STAC API all the while, as different users do."""

    root: str
    seen: dict[str, set[Any]] = field(default_factory=lambda: {name: set() for name in PATHS})

    def __enter__(self) -> Readers:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _poll(self) -> None:
        with httpx.Client(base_url=self.root, timeout=30) as client:
            while not self._done.is_set():
                try:
                    self._look(client)
                except httpx.HTTPError:
                    self._done.wait(0.01)  # the database is down, and the API says so

    def _look(self, client: httpx.Client) -> None:
        for name, path in PATHS.items():
            answer = client.get(path)
            if answer.status_code != 404:
                answer.raise_for_status()
            self.seen[name].add(None if answer.status_code == 404 else _shown(answer.json()))


def _shown(body: dict[str, Any]) -> Any:
    if body["type"] == "Collection":
        return body["title"]
    items = frozenset(
        (item["id"], item["properties"]["datetime"], item["properties"]["gsd"])
        for item in body["features"]
    )
    return body["numberMatched"], items


def state(items: list[dict[str, Any]], title: str) -> State:
    shown = _shown({"type": "FeatureCollection", "features": items, "numberMatched": len(items)})
    return {"collection": title, "items": shown, "search": shown}


@dataclass
class Scene:
    """A change of the catalogue, and the states that readers may see meanwhile."""

    job: Job
    work: Callable[[Job], None]
    states: tuple[State, State]
    proof: Callable[[], None]


def scenes(lake: Lake, kind: int) -> Scene:
    first = [an_item(number) for number in range(12)]
    second = [an_item(number) for number in range(3, 16)]
    second[0]["properties"]["gsd"] = 99.5
    second[1] = moved(second[1], "2024-05-01T00:00:00Z")
    one, two = state(first, "One"), state(second, "Two")

    def job(ticket: str, items: list[dict[str, Any]], title: str, mode: str) -> Job:
        root = lake.folder / f"of-{ticket}"
        dataset = write_dataset(root, items, a_collection(title=title))
        return lake.job(dataset, ticket=ticket, mode=mode, api=True)

    new = job("A-1", first, "One", "new")
    later = job("B-2", second, "Two", "replace")

    def published(of: Job) -> None:
        outcome = catalog.check(catalog.plan(of))
        assert outcome.verdict is Verdict.PASSED, outcome.summary

    def withdrawn(of: Job) -> None:
        kept = withdraw_catalog.before(of)
        assert kept is not None
        wrong = [c for c in withdraw_catalog.checks(of, kept.state) if not c.passed]
        assert wrong == []

    if kind == 0:
        return Scene(new, publish, (ABSENT, one), lambda: published(new))
    publish(new)
    if kind == 1:
        return Scene(later, publish, (one, two), lambda: published(later))
    if kind == 2:
        publish(later)
        return Scene(later, withdraw, (two, one), lambda: withdrawn(later))
    return Scene(new, withdraw, (one, ABSENT), lambda: withdrawn(new))


def kill(scene: Scene, lake: Lake, at: float, victim: str) -> None:
    """Begin the work, and kill client or database after so many seconds."""
    client = CLIENTS.Process(target=scene.work, args=(scene.job,))
    client.start()
    client.join(at)
    if victim == "database":
        lake.sandbox.kill("postgres")
        client.join(60)
        lake.sandbox.restart("postgres")
    client.kill()
    client.join()


def finish(scene: Scene) -> None:
    """Run again, as a person does: also when a server is still busy with the killed one."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return scene.work(scene.job)
        except WorkbookError:
            if time.monotonic() > deadline:
                raise


@pytest.fixture
def lake(data_lake: Sandbox, tmp_path: Path) -> Iterator[Lake]:
    with own_lake(data_lake, tmp_path) as made:
        yield made


@pytest.mark.parametrize("seed", SEEDS)
def test_readers_see_the_state_before_or_after_whoever_is_killed(lake: Lake, seed: int) -> None:
    chance = random.Random(seed)
    scene = scenes(lake, seed % 4)
    with Readers(lake.api) as readers:
        for _ in range(KILLS):
            victim = chance.choice(["client", "client", "database"])
            kill(scene, lake, chance.uniform(0, LONGEST), victim)
        finish(scene)
    for name, seen in readers.seen.items():
        allowed = {stands[name] for stands in scene.states}
        if name == "items" and scene.states[1] == ABSENT:
            # The API asks for the collection, then for its items; it may go between the two.
            allowed.add(ABSENT["search"])
        assert seen <= allowed, name
        assert seen
    scene.proof()
