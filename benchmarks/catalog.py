"""The catalogue step beside what a user would run instead: bare pypgstac, and the procedure.

Run: python benchmarks/catalog.py [--items 20000 ...] [--parts load verify procedure]; prints one
table for each size.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dedl_sandbox as sandbox
import psycopg
from dedl_sandbox.client import TIED_TO
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.publication.metadata import collection, items
from dedl_workbook.services.catalog import stac_api
from dedl_workbook.steps import catalog, upload, verify

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.integration.lake import COLLECTION, Lake, a_collection, an_item, own_lake

PROCEDURE = 100
"""Items that the procedure's way is measured on; it takes the same time for each."""
TURNS = 3
"""Runs of verify and of paging alone, of which the medians are compared."""
PARTS = ["load", "verify", "procedure"]
OTHER = "EO.OTHER.DAT.READ"


def dataset(folder: Path, count: int) -> Path:
    """Write a dataset of items that lie in two years; one file is local, the others elsewhere."""
    root = folder / COLLECTION
    (root / "metadata" / "items").mkdir(parents=True)
    (root / "metadata" / "collection.json").write_text(json.dumps(a_collection()))
    for number in range(count):
        item = an_item(number % 700) | {"id": f"LAKE_{number:07d}"}
        if number:
            item["assets"]["data"]["href"] = f"https://example.org/{item['id']}.tif"
        else:
            file = root / item["assets"]["data"]["href"]
            file.parent.mkdir(parents=True)
            file.write_bytes(b"data")
        (root / "metadata" / "items" / f"{item['id']}.json").write_text(json.dumps(item))
    return root


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how many seconds some work took, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def bare(lake: Lake, job: Job) -> None:
    """Load with pypgstac's Loader alone: not atomic, nothing compared."""
    from pypgstac.db import PgstacDB
    from pypgstac.load import Loader, Methods

    with psycopg.connect(lake.admin_dsn, autocommit=True) as connection:
        connection.execute("set search_path = pgstac, public")
        loader = Loader(PgstacDB(connection=connection))
        loader.load_collections(iter([collection(job)]), Methods.upsert)
        loader.load_items((item for _, item in items(job)), Methods.delsert)


def procedure(lake: Lake, job: Job) -> None:
    """Load as operators do by hand today: one process an item."""
    tool = [str(Path(sys.executable).with_name("pypgstac")), "load"]
    root = Path(job.ticket.dataset)
    dsn = ["--dsn", f"{lake.admin_dsn} options='-csearch_path=pgstac,public'"]
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    text = json.dumps(collection(job))
    (lake.folder / "collection.json").write_text(text)
    subprocess.run([*tool, "collections", str(lake.folder / "collection.json"), *dsn], **quiet)
    for file in sorted((root / "metadata" / "items").iterdir())[:PROCEDURE]:
        subprocess.run([*tool, "items", str(file), *dsn, "--method", "upsert"], **quiet)


@contextmanager
def reading(lake: Lake) -> Iterator[list[float]]:
    """Search another collection again and again meanwhile; yield how long each took."""
    waits: list[float] = []
    done = threading.Event()
    search = json.dumps({"collections": [OTHER], "limit": 10})

    def read() -> None:
        with psycopg.connect(lake.admin_dsn, autocommit=True) as connection:
            connection.execute("set search_path = pgstac, public")
            while not done.is_set():
                waits.append(timed(lambda: connection.execute("select search(%s)", [search]))[0])
                done.wait(0.005)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield waits
    finally:
        done.set()
        thread.join()


def other(lake: Lake) -> None:
    """Put another collection into the database, for readers."""
    lake.execute("select create_collection(%s)", json.dumps(a_collection(id=OTHER)))
    for number in range(20):
        lake.execute("select create_item(%s)", json.dumps(an_item(number, collection=OTHER)))


def row(what: str, value: str, wanted: str = "") -> None:
    """Print a line of the table."""
    print(f"  {what:<52}{value:>16}  {wanted}", flush=True)


def loads(servers: sandbox.Sandbox, folder: Path, root: Path, count: int) -> float:
    """Compare loading; return our rate, in items/s."""
    with own_lake(servers, folder) as lake:
        other(lake)
        with reading(lake):
            plain, _ = timed(lambda: bare(lake, lake.job(root)))
    row("bare Loader, from the dataset", f"{count / plain:,.0f} items/s")
    with own_lake(servers, folder) as lake:
        other(lake)
        with reading(lake) as idle:
            time.sleep(5)
        job = lake.job(root, ticket=lake.database)
        planning, plan = timed(lambda: catalog.plan(job))
        with reading(lake) as busy:
            ours, _ = timed(lambda: catalog.apply(plan))
        row("plan of a new collection", f"{planning:.1f} s")
        row("apply, compared before the commit", f"{count / ours:,.0f} items/s")
        row("apply to bare Loader", f"{plain / ours:.2f}", "wanted: 0.6")
        row("slowest reader of another collection, idle", f"{max(idle):.3f} s")
        row("slowest reader of another collection, loading", f"{max(busy):.3f} s")
        row("added latency", f"{max(busy) - max(idle):.3f} s", "wanted: at most 0.2")
        again, same = timed(lambda: catalog.plan(job))
        assert not same.actions
        row("plan of the unchanged collection to apply", f"{again / ours:.2f}", "wanted: at most 2")
    return count / ours


def by_hand(servers: sandbox.Sandbox, folder: Path, root: Path) -> float:
    """Measure the procedure's way; return its rate, in items/s."""
    with own_lake(servers, folder) as lake:
        slow, _ = timed(lambda: procedure(lake, lake.job(root)))
    row(f"the procedure, one process an item ({PROCEDURE})", f"{PROCEDURE / slow:.1f} items/s")
    return PROCEDURE / slow


def verified(servers: sandbox.Sandbox, folder: Path, root: Path, count: int) -> None:
    """Compare verifying with paging alone, in turns."""
    with own_lake(servers, folder) as lake:
        job = lake.job(root, ticket=lake.database, api=True)
        plan = catalog.plan(job)
        catalog.apply(plan)
        upload.apply(upload.plan(job))
        checking, outcome = timed(lambda: catalog.check(plan))
        assert outcome.verdict is Verdict.PASSED, outcome.summary
        row("check, database and STAC API", f"{checking:.1f} s")

        def paging() -> int:
            with stac_api.reading(job.target.stac_api.url) as client:
                pages = stac_api.pages(client, job.target.stac_api.url, COLLECTION, verify.PAGE)
                return sum(len(features) for features, _ in pages)

        assert paging() == count
        turns = []
        for _ in range(TURNS):
            alone, _ = timed(paging)
            verifying, outcome = timed(lambda: verify.check(job))
            assert outcome.verdict is Verdict.PASSED, outcome.summary
            turns.append((alone, verifying))
    alone, verifying = (statistics.median(side) for side in zip(*turns, strict=True))
    row(f"paging alone, median of {TURNS}", f"{count / alone:,.0f} items/s")
    row("verify to paging alone", f"{alone / verifying:.2f}", "wanted: 0.8")


def measure(servers: sandbox.Sandbox, folder: Path, count: int, parts: list[str]) -> None:
    """Run the parts for one size."""
    print(f"{count:,} items", flush=True)
    root = dataset(folder, count)
    ours = loads(servers, folder, root, count) if "load" in parts else None
    if "verify" in parts:
        verified(servers, folder, root, count)
    if "procedure" in parts:
        slow = by_hand(servers, folder, root)
        if ours:
            row("apply to the procedure", f"{ours / slow:,.0f}", "wanted: 1,000")


def main() -> None:
    """Run the parts that are asked for, for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    os.environ[TIED_TO] = str(os.getpid())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        with sandbox.up(Path(place) / ".sandbox", attached=True) as servers:
            for count in options.items:
                measure(servers, Path(place) / str(count), count, options.parts)
        sandbox.down(Path(place) / ".sandbox", wipe=True)
    print(f"{os.getloadavg()=}")


if __name__ == "__main__":
    main()
