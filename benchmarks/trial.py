"""The trial of HDA's changed configuration beside verifying the same publication when it is live.

Run: python benchmarks/trial.py [--items 5000]
Limit: the trial takes at most as long as the live verify.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dedl_sandbox as sandbox
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.steps import catalog, hda, upload
from dedl_workbook.steps.verify import hda as verify_hda

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.integration.hda_lake import HdaLake, an_id
from tests.integration.lake import a_collection, an_item, write_dataset


def items(count: int, id_: str) -> Iterator[dict[str, Any]]:
    """Yield items with one small file each, which lie in two years."""
    for number in range(count):
        name = f"LAKE_{number:07d}"
        item = an_item(number % 700, collection=id_) | {"id": name}
        item["assets"]["data"]["href"] = f"data/{name}/{name}.txt"
        yield item


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how many seconds some work took, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def published(lake: HdaLake, count: int) -> Job:
    """Return the job of a dataset that is in pool and catalogue."""
    id_ = an_id()
    dataset = write_dataset(lake.folder / id_, items(count, id_), a_collection(id=id_))
    job = lake.job(id_, ticket="TRIAL-1", dataset=dataset, hda={"no_trial": ""})
    job.folder.mkdir()
    upload.apply(upload.plan(job))
    catalog.apply(catalog.plan(job))
    return job


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=5000, help="default: 5000")
    count = parser.parse_args().items
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        with sandbox.up(folder / ".sandbox", attached=True) as servers:
            job = published(HdaLake(servers, folder), count)
            receipt = hda.apply(hda.plan(job))
            live, outcome = timed(lambda: verify_hda.check(job, lambda *_: None))
        sandbox.down(folder / ".sandbox", wipe=True)
    if outcome.verdict is not Verdict.PASSED:
        raise SystemExit(outcome.summary)
    trial = receipt.done["trial"]["seconds"]
    print(f"{count} items: trial {trial:.1f} s, live verify {live:.1f} s: {trial / live:.2f} of it")
    return int(trial > live)


if __name__ == "__main__":
    sys.exit(main())
