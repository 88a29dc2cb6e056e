"""How fast validation is, beside what a user would run instead.

    python benchmarks/validation.py [--items 20000] [--runs 5]

One process on both sides; the medians of as many runs, taken in turns. Seconds are those of the
processor, of which what else the machine does takes none. A ratio is the median of those within
each turn: what slows the machine for a while slows both sides of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from dedl_workbook.dataset.dataset import open_dataset
from dedl_workbook.rules.schemas import store
from dedl_workbook.rules.validation import validate
from jsonschema_rs import Validator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "unit"))
from builders import ID, any_asset, any_collection, any_item, png, tiff, write

SAMPLE = 200
CHECKSUM_FILES, CHECKSUM_SIZE = 64, 8 * 2**20


def make(folder: Path, items: int) -> Path:
    """Write a dataset of as many items, with two small data files each."""
    root = folder / ID
    picture, raster = png(), tiff()
    write(root, "metadata/collection.json", any_collection())
    for n in range(items):
        item_id = f"heat_20241116_{n:07}"
        below = f"data/2024/11/16/{item_id}"
        assets = {
            "map": any_asset(
                item_id, href=f"{below}/map.tif", type="image/tiff; application=geotiff"
            ),
            "thumbnail": any_asset(item_id, href=f"{below}/thumbnail.png", roles=["thumbnail"]),
        }
        item = json.dumps(_delivered(item_id, assets), indent=4).encode()
        write(root, f"metadata/items/{item_id}.json", item)
        write(root, f"{below}/map.tif", raster)
        write(root, f"{below}/thumbnail.png", picture)
    return root


def _delivered(item_id: str, assets: dict[str, Any]) -> dict[str, Any]:
    """Return an item with all that DEDL's example for submitters has."""
    times = {"start_datetime": "2024-11-16T00:00:00Z", "end_datetime": "2024-11-16T23:59:59Z"}
    address = f"https://hda.data.destination-earth.eu/stac/v2/collections/{ID}"
    links = [
        {"rel": "collection", "href": address, "type": "application/json", "title": "Heat"},
        {"rel": "self", "href": f"{address}/items/{item_id}", "type": "application/json"},
    ]
    return any_item(item_id, stac_extensions=[], properties=times, links=links, assets=assets)


def make_large(folder: Path) -> Path:
    """Write a dataset of large files with checksums."""
    root = folder / ID
    write(root, "metadata/collection.json", any_collection())
    head = tiff()
    for n in range(CHECKSUM_FILES):
        item_id = f"large_{n:04}"
        data = head + bytes([n]) * (CHECKSUM_SIZE - len(head))
        asset = any_asset(item_id, type="image/tiff", href=f"data/2024/11/16/{item_id}/x.tif")
        asset["file:checksum"] = "1220" + hashlib.sha256(data).hexdigest()
        asset["file:size"] = len(data)
        write(root, f"metadata/items/{item_id}.json", any_item(item_id, assets={"map": asset}))
        write(root, asset["href"], data)
    return root


def stac_validator(root: Path) -> int:
    """Ask stac-validator, offline, about a sample."""
    paths = sorted((root / "metadata/items").iterdir())[:SAMPLE]
    return sum(store.second_opinion(json.loads(path.read_bytes()))[0] for path in paths)


def compiled_schema(root: Path) -> int:
    """Read every item and hold it against the compiled core schema, as a script does: no rules."""
    validator, count = _validator(), 0
    for path in sorted((root / "metadata/items").glob("*.json")):
        with path.open(encoding="utf-8") as file:
            count += validator.is_valid(json.load(file))
    return count


def leanest(root: Path) -> int:
    """Do the same with all that can be spared left out: order, endings, text."""
    validator, paths = _validator(), (root / "metadata/items").iterdir()
    return sum(validator.is_valid(json.loads(path.read_bytes())) for path in paths)


def _validator() -> Validator:
    url = "https://schemas.stacspec.org/v1.0.0/item-spec/json-schema/item.json"
    validator = store.validator(url)
    assert validator is not None
    return validator


def workbook(root: Path) -> int:
    """Run the whole rulebook."""
    report = validate(open_dataset(str(root)), second_opinion="none")
    assert report.passed, report.findings[:3]
    return report.items


def sha256sum(root: Path) -> int:
    """Digest every data file, as an operator would."""
    command = "find data -type f -print0 | xargs -0 sha256sum | wc -l"
    done = subprocess.run(command, shell=True, cwd=root, check=True, capture_output=True)
    return int(done.stdout)


def measured(runs: int, root: Path, *functions: Callable[[Path], int]) -> list[list[float]]:
    """Return what each does a second, in each of the runs that they take turns in."""
    # What was just made is written out now, not while it is read.
    os.sync()
    speeds: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function(root)
    for _ in range(runs):
        for function, figures in zip(functions, speeds, strict=True):
            start = _seconds()
            count = function(root)
            figures.append(count / (_seconds() - start))
    return speeds


def _seconds() -> float:
    """Return the processor's time that this process took, and those that it started."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Return how many times as fast we are, the median over the turns."""
    return median(one / other for one, other in zip(ours, theirs, strict=True))


def peak(root: Path) -> int:
    """Return the peak memory, in bytes, of validating a dataset in a process of its own."""
    command = [sys.executable, __file__, "--peak", str(root)]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--peak", type=Path)
    options = parser.parse_args()
    if options.peak:
        workbook(options.peak)
        # Not getrusage, which counts what the process that started this one had.
        status = Path("/proc/self/status").read_text()
        print(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
        return
    with tempfile.TemporaryDirectory(prefix="dedl-bench-") as name:
        folder = Path(name)
        root = make(folder / "small", options.items)
        slow, bare, lean, ours = measured(
            options.runs, root, stac_validator, compiled_schema, leanest, workbook
        )
        print(f"stac-validator      {median(slow):10,.0f} items/s (a sample of {SAMPLE})")
        print(f"read + schema       {median(bare):10,.0f} items/s")
        print(f"the leanest of that {median(lean):10,.0f} items/s")
        print(f"all rules           {median(ours):10,.0f} items/s")
        print(f"  {ratio(ours, slow):.0f} times stac-validator (wanted: 60)")
        print(f"  {ratio(ours, bare):.2f} of read + schema (wanted: 0.40)")
        print(f"  {ratio(ours, lean):.2f} of the leanest")
        large = make_large(folder / "large")
        theirs, digests = measured(options.runs, large, sha256sum, workbook)
        print(f"sha256sum           {median(theirs) * CHECKSUM_SIZE / 1e6:10,.0f} MB/s")
        print(f"rules with digests  {median(digests) * CHECKSUM_SIZE / 1e6:10,.0f} MB/s")
        print(f"  {ratio(digests, theirs):.2f} of sha256sum (wanted: 0.7)")
        if not options.no_memory:
            small, big = peak(root), peak(make(folder / "big", 10 * options.items))
            print(f"peak memory         {small / 1e6:10,.0f} MB")
            print(f"ten times the items {big / 1e6:10,.0f} MB")
            print(f"  {big / small:.2f} times (wanted: at most 1.3)")


if __name__ == "__main__":
    main()
