"""A look at a dataset: what it shows, of odd and broken ones too, and that it changes nothing."""

import builtins
import errno
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from dedl_workbook.base.errors import InputError
from dedl_workbook.dataset import walk
from dedl_workbook.dataset.dataset import fingerprint, open_dataset
from dedl_workbook.notebooks import explore
from dedl_workbook.notebooks.explore import preview

from tests.unit.builders import any_asset, any_collection, any_dataset, any_item, png, tiff, write


def views_of(seen: explore.Sample) -> dict[str, str]:
    """Show all that the notebook shows, as text."""
    shown = (
        *(explore.overview, explore.footprints, explore.timeline, explore.formats, explore.sizes),
        *(explore.thumbnails, explore.data_file, explore.table),
    )
    found = {view.__name__: view(seen) for view in shown}
    assert [name for name, view in found.items() if "<script" in view._repr_html_()] == []
    return {name: repr(view) for name, view in found.items()}


def many(folder: Path, count: int) -> Path:
    items = [
        any_item(f"heat_{n:05}", properties={"datetime": f"2024-11-{1 + n % 28:02}T12:00:00Z"})
        for n in range(count)
    ]
    return any_dataset(folder, *items)


def netcdf(path: Path) -> None:
    """Write a NetCDF file of two variables."""
    import numpy
    import rasterio
    import rasterio.shutil

    path.parent.mkdir(parents=True, exist_ok=True)
    values = numpy.arange(24, dtype="float32").reshape(2, 3, 4)
    transform = rasterio.transform.from_origin(2, 52, 1, 1)
    profile = {"width": 4, "height": 3, "count": 2, "dtype": "float32", "crs": "EPSG:4326"}
    with rasterio.open(f"{path}.tif", "w", driver="GTiff", transform=transform, **profile) as out:
        out.write(values)
    rasterio.shutil.copy(f"{path}.tif", str(path), driver="netCDF", FORMAT="NC4")


def grib(path: Path) -> None:
    """Write a GRIB file of one field."""
    import rasterio.shutil

    tif = path.with_suffix(".tif")
    netcdf(path.with_suffix(".nc"))
    rasterio.shutil.copy(f"{path.with_suffix('.nc')}.tif", str(tif), driver="GTiff")
    rasterio.shutil.copy(str(tif), str(path), driver="GRIB", DATA_ENCODING="IEEE_FLOATING_POINT")


def test_shows_a_delivered_dataset(small_sample: Path) -> None:
    shown = views_of(explore.look(str(small_sample)))

    assert "looked at: all 3 items" in shown["overview"]
    assert "3 items, one footprint; 10° W to 4.4° E" in shown["footprints"]
    assert "3 items from 2026-07-01 00:00 to 2026-07-03 00:00 UTC" in shown["timeline"]
    assert ".tif  3  " in shown["formats"]
    assert shown["sizes"] == "Sizes of 15 data files: each bar begins at its label."
    assert shown["thumbnails"] == "3 of 3 thumbnails of the sample"
    assert "lst_20260701.tif\nband 1: 288.13 to" in shown["data_file"]
    assert shown["table"] == "3 rows, 17 columns"


def test_changes_nothing(small_sample: Path) -> None:
    before = fingerprint(open_dataset(str(small_sample)))

    views_of(explore.look(str(small_sample)))

    assert fingerprint(open_dataset(str(small_sample))) == before


def test_items_are_a_table_in_one_call(small_sample: Path) -> None:
    table = explore.arrow(str(small_sample))
    frame = explore.frame(str(small_sample), most=2)

    assert table.num_rows == 3
    assert len(frame) == 2
    assert frame.crs.to_epsg() == 4326
    assert frame.total_bounds.tolist() == [-10.0, 35.2, 4.4, 44.8]


def test_of_a_large_dataset_a_sample_is_read_and_the_count_is_said(tmp_path: Path) -> None:
    root = str(many(tmp_path, 100))
    seen = explore.look(root, sample=7)

    assert "looked at: 7 of 100 items, picked at random" in repr(explore.overview(seen))
    assert len({glance.id for glance in seen.glances}) == 7
    assert seen.files == 100
    assert explore.look(root, sample=7).glances == seen.glances


def test_a_sample_does_not_miss_what_repeats_itself(tmp_path: Path) -> None:
    """Each seventh item of a dataset is of one weekday; a seventh of the items is of all."""
    seen = explore.look(str(many(tmp_path, 700)), sample=100)

    assert {int(glance.id[-5:]) % 7 for glance in seen.glances} == set(range(7))
    assert len({int(glance.id[-5:]) // 70 for glance in seen.glances}) == 10


def test_items_that_cannot_be_read_are_named_and_left_out(tmp_path: Path) -> None:
    root = any_dataset(
        tmp_path, files={"metadata/items/bad.json": b"{", "metadata/items/x.txt": b""}
    )

    shown = explore.overview(explore.look(str(root)))

    assert "not read: 1 item of them can't be read" in repr(shown)
    assert "metadata/items/bad.json" in shown._repr_html_()


Break = Callable[[Path], object]
BROKEN: dict[str, Break] = {
    "no metadata": lambda root: (root / "metadata/collection.json").unlink(),
    "a list as collection": lambda root: write(root, "metadata/collection.json", b"[]"),
    "no items": lambda root: (root / "metadata/items/heat_20241116.json").unlink(),
    "no geometry, times or assets": lambda root: write(
        root, "metadata/items/heat_20241116.json", {"type": "Feature"}
    ),
    "all of a wrong type": lambda root: write(
        root,
        "metadata/items/heat_20241116.json",
        {"id": [], "geometry": 5, "bbox": "a", "properties": [], "assets": {"a": {"href": 5}}},
    ),
    "types of media that are none": lambda root: write(
        root,
        "metadata/items/heat_20241116.json",
        any_item(assets={"map": any_asset(type=[5], roles=5)}),
    ),
    "an empty picture": lambda root: write(
        root, "data/2024/11/16/heat_20241116/heat_20241116.png", b""
    ),
    "a loop": lambda root: (root / "data/loop").symlink_to(root / "data"),
    "a pipe": lambda root: os.mkfifo(root / "data/pipe"),
    "markup as names": lambda root: write(
        root,
        "metadata/collection.json",
        any_collection(id="<script>alert(1)</script>", title="<img src=x>"),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_shown_as_far_as_it_can_be(tmp_path: Path, name: str) -> None:
    root = any_dataset(tmp_path)
    BROKEN[name](root)

    views_of(explore.look(str(root)))


@pytest.mark.parametrize("name", ["a.nc", "a.h5"])
def test_opens_netcdf_and_hdf5_and_shows_each_variable(tmp_path: Path, name: str) -> None:
    href = f"data/2024/{name}"
    root = any_dataset(tmp_path, any_item(assets={"grid": any_asset(href=href)}))
    netcdf(root / "a.nc")
    (root / "a.nc").replace(root / href)

    shown = repr(explore.data_file(explore.look(str(root))))

    assert shown.splitlines() == [href, "Band1: 0 to 11", "Band2: 12 to 23"]


def test_opens_grib(tmp_path: Path) -> None:
    href = "data/2024/a.grib2"
    root = any_dataset(tmp_path, any_item(assets={"field": any_asset(href=href)}))
    grib(root / "a.grib2")
    (root / "a.grib2").replace(root / href)

    shown = repr(explore.data_file(explore.look(str(root))))

    assert shown.splitlines() == [href, "band 1: 0 to 11"]


def test_a_file_of_another_kind_than_its_ending_is_refused_by_its_driver(tmp_path: Path) -> None:
    """A VRT that calls itself TIFF would make GDAL read whatever it names."""
    secret = write(tmp_path, "secret.tif", tiff())
    vrt = (
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{secret}</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    item = any_item(assets={"map": any_asset(href="data/2024/a.tif", type="image/tiff")})
    root = any_dataset(tmp_path, item, files={"data/2024/a.tif": vrt.encode()})
    seen = explore.look(str(root))

    assert "data/2024/a.tif: can't be opened" in repr(explore.data_file(seen))
    with pytest.raises(InputError, match="can't be opened"):
        explore.data_file(seen, "data/2024/a.tif")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("data/none.tif", "No such file"),
        ("data/2024/11/16/heat_20241116/heat_20241116.png", "of this kind are not opened"),
        ("../../etc/passwd", "can't be opened"),
    ],
)
def test_a_named_file_that_cannot_be_opened_is_an_error(
    tmp_path: Path, path: str, said: str
) -> None:
    seen = explore.look(str(any_dataset(tmp_path)))

    with pytest.raises(InputError, match=said):
        explore.data_file(seen, path)


def test_of_a_huge_raster_without_overviews_the_middle_is_shown(
    tmp_path: Path,
) -> None:
    item = any_item(assets={"map": any_asset(href="data/2024/a.tif", type="image/tiff")})
    root = any_dataset(tmp_path, item)
    sparse(root / "data/2024/a.tif", 8200)

    shown = explore.data_file(explore.look(str(root)))

    assert "the middle alone, since there are no overviews" in shown._repr_html_()


def sparse(path: Path, side: int) -> None:
    """Write a large raster without content, of one value and few bytes."""
    import rasterio

    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"width": side, "height": side, "count": 1, "dtype": "uint8", "SPARSE_OK": True}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, **profile):
        pass


def test_a_picture_of_very_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    from PIL import Image

    out = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(out, "PNG")
    root = any_dataset(tmp_path, files={"data/trap.png": out.getvalue()})

    with pytest.raises(OSError, match="too many for a look"):
        preview.thumbnail(open_dataset(str(root)), "data/trap.png", "trap")


def test_a_thumbnail_has_an_alternative_text_and_no_file_beside_it(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, files={"data/a.png": png()})
    markup = preview.thumbnail(open_dataset(str(root)), "data/a.png", 'a "quoted" <id>')

    assert 'alt="a &quot;quoted&quot; &lt;id&gt;"' in markup
    assert 'src="data:image/png;base64,' in markup


@pytest.mark.parametrize(
    ("package", "view"),
    [("PIL", explore.thumbnails), ("rasterio", explore.data_file), ("pyarrow", explore.table)],
)
def test_says_in_a_line_what_to_install(
    small_sample: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    view: Callable[[explore.Sample], Any],
) -> None:
    real, find = builtins.__import__, preview.find_spec

    def refusing(name: str, *args: Any, **others: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return real(name, *args, **others)

    seen = explore.look(str(small_sample))
    monkeypatch.setattr(builtins, "__import__", refusing)
    monkeypatch.setattr(preview, "find_spec", lambda name: None if name == package else find(name))

    shown = " ".join(repr(view(seen)).split())

    assert f"{package} is not installed" in shown
    assert "pip install 'dedl-workbook[geo]' installs it." in shown


def test_items_that_disagree_about_a_type_make_no_table_and_it_is_said(tmp_path: Path) -> None:
    items = [
        any_item("heat_1", properties={"orbit": 5}),
        any_item("heat_2", properties={"orbit": {"number": 5}}),
    ]
    root = any_dataset(tmp_path, *items)

    assert "the items make no table" in repr(explore.table(explore.look(str(root))))
    with pytest.raises(InputError, match="make no table"):
        explore.arrow(str(root))


@pytest.mark.parametrize("moment", ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"])
def test_a_time_that_python_has_not_is_shown_as_far_as_it_can_be(
    tmp_path: Path, moment: str
) -> None:
    root = any_dataset(tmp_path, any_item(properties={"datetime": moment}))

    shown = repr(explore.table(explore.look(str(root))))

    assert "1 row" in shown


@pytest.mark.parametrize("sample", [0, -1, True, "10", 1.5, None])
def test_a_sample_that_is_no_number_of_items_is_refused(small_sample: Path, sample: Any) -> None:
    with pytest.raises(InputError, match="sample must be a number of items"):
        explore.look(str(small_sample), sample=sample)


@pytest.mark.parametrize("location", ["", "/nowhere/at/all", "ftp://a/b"])
def test_a_place_without_a_dataset_is_refused(location: str) -> None:
    with pytest.raises(InputError):
        explore.look(location)


def test_large_items_leave_little_behind(tmp_path: Path) -> None:
    """Memory grows with the number of items sampled, not with their size."""
    line = [[n / 1e5, 0.0] for n in range(100_000)]
    item = any_item(geometry={"type": "LineString", "coordinates": line})
    seen = explore.look(str(any_dataset(tmp_path, item)))

    shape = seen.glances[0].shape
    assert shape is not None
    assert len(json.dumps(shape.lines)) < 20_000


def test_the_picture_of_a_steps_notebook_shows_where_and_when(tmp_path: Path) -> None:
    shown = explore.where_and_when(open_dataset(str(many(tmp_path, 12))))

    assert "Of all 12 items" in repr(shown)
    assert shown._repr_html_().count('role="img"') == 2


@pytest.mark.parametrize("error", [None, OSError(errno.ESTALE, "Stale file handle")])
def test_the_picture_never_stands_in_the_way_of_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError | None
) -> None:
    folder = many(tmp_path, 3)
    dataset = open_dataset(str(folder))
    if error is None:
        shutil.rmtree(folder)
    else:
        monkeypatch.setattr(walk, "walk", mock.Mock(side_effect=error))

    shown = repr(explore.where_and_when(dataset))

    assert shown.startswith("Where and when can't be shown: ")
    assert ("Stale file handle" if error else "the dataset's folder is gone") in shown
