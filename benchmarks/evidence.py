"""How fast evidence is packed and verified, beside `sha256sum` of the same bytes.

    python benchmarks/evidence.py [--size 1024] [--runs 3]

The medians of as many runs, taken in turns; what is read lies in the system's cache on both sides.
Packing reads, hashes, searches for secrets, writes a copy, and reads that back; verifying reads and
hashes. `both` is the one after the other, beside `sha256sum` of the same bytes twice.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dedl_workbook import evidence
from dedl_workbook.case.case import Case

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.unit.conftest import make_root, worked_case

NOTEBOOK, LARGE = 4 * 2**20, 64 * 2**20
"""Bytes of a notebook with pictures, and of a list of what was there before."""


def fill(case: Case, size: int) -> None:
    """Write attempts of so many bytes: half of them notebooks, half of them long lists."""
    chance = random.Random(3)
    picture = base64.b64encode(chance.randbytes(600_000)).decode()
    cell = {
        "cell_type": "code",
        "source": "attempt.check(plan)",
        "outputs": [{"data": {"image/png": picture, "text/html": "<table>see https://x.example"}}],
    }
    page = (json.dumps(cell) + "\n").encode()
    line = b'{"id": "heat_%09d", "href": "https://stac.example/x?a=1&b=2", "sha256": "%064x"}\n'
    rows = b"".join(line % (n, n * 7919) for n in range(LARGE // 2**7))
    left, number = size, 100
    while left > 0:
        folder = case.folder / "attempts" / f"{number:03}-upload"
        folder.mkdir()
        (folder / "before.json").write_bytes(rows[: min(LARGE, left // 2)])
        for n in range(16):
            (folder / f"page-{n}.html").write_bytes((page * 6)[:NOTEBOOK])
        left -= sum(file.stat().st_size for file in folder.iterdir())
        number += 1


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that passed, and those of processors that were used."""
    begun, used = time.perf_counter(), processors()
    work()
    return time.perf_counter() - begun, processors() - used


def processors() -> float:
    both = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def sha256sum(folder: Path) -> None:
    files = [str(file) for file in sorted(folder.rglob("*")) if file.is_file()]
    subprocess.run(["sha256sum", *files], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=1024, help="MiB of attempts")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        case = worked_case(make_root(Path(scratch) / "workbook", patch))
        fill(case, options.size * 2**20)
        attempts = case.folder / "attempts"
        size = sum(file.stat().st_size for file in attempts.rglob("*") if file.is_file())
        times: dict[str, list[tuple[float, float]]] = {"sha256sum": [], "pack": [], "verify": []}
        sha256sum(attempts)
        evidence.pack(case)
        for _ in range(options.runs):
            times["sha256sum"].append(timed(lambda: sha256sum(attempts)))
            times["pack"].append(timed(lambda: evidence.pack(case)))
            times["verify"].append(timed(lambda: evidence.verify(case.folder / "bag")))
    both = zip(times["pack"], times["verify"], strict=True)
    times["both"] = [(a + c, b + d) for (a, b), (c, d) in both]
    print(f"{size / 2**20:,.0f} MiB, {os.cpu_count()} processors, {options.runs} runs")
    base = [statistics.median(kind) for kind in zip(*times["sha256sum"], strict=True)]
    for name, took in times.items():
        passed, used = (statistics.median(kind) for kind in zip(*took, strict=True))
        # What is packed and then verified is gone through twice.
        passes = 2 if name == "both" else 1
        print(
            f"{name:10} {passed:6.2f} s   {passes * size / passed / 1e6:6,.0f} MB/s   "
            f"{passes * base[0] / passed:.2f} of sha256sum's speed   "
            f"{used:6.2f} s of processors, {passes * base[1] / used:.2f}"
        )


if __name__ == "__main__":
    main()
