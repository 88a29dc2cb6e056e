"""The notebook that explores a dataset: with papermill, by nbval, on a folder and on a bucket."""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from dedl_workbook.dataset import s3
from dedl_workbook.dataset.dataset import Bucket, open_dataset
from dedl_workbook.notebooks import explore
from dedl_workbook.notebooks.explore import preview

from tests.conftest import COLLECTION, PROJECT, Workbook

NOTEBOOK = PROJECT / "notebooks" / "05-explore.ipynb"


def delivered(lake: Workbook) -> str:
    """Put the dataset into the lake's bucket, and return its address."""
    client = s3.client(lake.target.s3)
    for file in sorted(lake.dataset.rglob("*")):
        if file.is_file():
            key = f"proposals/{COLLECTION}/{file.relative_to(lake.dataset).as_posix()}"
            client.upload_file(str(file), lake.bucket, key)
    return f"s3://{lake.bucket}/proposals/{COLLECTION}"


def test_papermill_explores_a_bucket_and_leaves_no_case(lake: Workbook) -> None:
    command = [str(Path(sys.executable).parent / "papermill"), str(NOTEBOOK), "out.ipynb"]
    values = ["-p", "dataset", delivered(lake), "-p", "target", "lake", "-p", "sample", "2"]
    before = lake.objects()

    done = subprocess.run([*command, *values], cwd=lake.root, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    text = (lake.root / "out.ipynb").read_text()
    assert "2 of 3 items, picked at random" in text
    assert "2 sampled items, one footprint" in text
    assert "2 of 2 thumbnails" in text
    assert "EPSG:4326" in text
    assert "widget-view" not in text
    assert not lake.archive.exists()
    assert lake.objects() == before


def test_nbval_runs_it_on_a_folder(small_sample: Path, tmp_path: Path) -> None:
    import papermill

    papermill.execute_notebook(
        str(NOTEBOOK),
        str(tmp_path / "copy.ipynb"),
        parameters={"dataset": str(small_sample)},
        prepare_only=True,
    )

    nbval = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "-p", "no:randomly"]
    done = subprocess.run([*nbval, "copy.ipynb"], cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_place_without_a_dataset_is_an_error_in_one_line(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "papermill"), str(NOTEBOOK), "out.ipynb"]

    done = subprocess.run(
        [*command, "-p", "dataset", "nowhere"], cwd=tmp_path, capture_output=True, text=True
    )

    assert done.returncode != 0
    outputs = [
        output
        for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"]
        for output in cell.get("outputs", [])
        if output["output_type"] == "error"
    ]
    assert [output["traceback"] for output in outputs] == [
        ["InputError: nowhere: there is no such folder"]
    ]


def test_a_geotiff_in_a_bucket_is_read_by_ranges(
    lake: Workbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large one is not fetched whole for a picture of it."""
    import numpy
    import rasterio.transform
    from PIL import Image

    path = lake.root / "large.tif"
    profile = {"width": 4096, "height": 4096, "count": 1, "dtype": "uint8", "tiled": True}
    place = rasterio.transform.from_bounds(-10, 35, 5, 50, 4096, 4096)
    with rasterio.open(path, "w", driver="GTiff", transform=place, **profile) as out:
        out.write(numpy.random.default_rng(1).integers(0, 255, (1, 4096, 4096), "uint8"))
        out.build_overviews([2, 4, 8, 16])
    s3.client(lake.target.s3).upload_file(str(path), lake.bucket, "x/data/large.tif")
    dataset = open_dataset(f"s3://{lake.bucket}/x", settings=lake.target.s3)
    read: list[int] = []
    real = Bucket.read

    def counting(self: Bucket, name: str, start: int = 0, length: int | None = None) -> bytes:
        data = real(self, name, start, length)
        read.append(len(data))
        return data

    monkeypatch.setattr(Bucket, "read", counting)
    _, (part,) = preview.read(dataset, "data/large.tif")

    encoded = part.picture.partition("base64,")[2].partition('"')[0]
    assert Image.open(io.BytesIO(base64.b64decode(encoded))).size == (512, 512)
    assert sum(read) < path.stat().st_size / 10


def test_all_items_of_a_bucket_are_a_table_in_one_call(lake: Workbook) -> None:
    assert len(explore.frame(delivered(lake), target="lake")) == 3
