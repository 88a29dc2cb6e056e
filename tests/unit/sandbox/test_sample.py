import datetime as dt
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from dedl_sandbox.sample.dataset import COLLECTION, make_sample
from dedl_workbook.base.errors import InputError

SCENES = 3


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("sample"), scenes=SCENES)


def items(root: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(root.glob("metadata/items/*.json"))]


def fingerprint(root: Path) -> dict[str, tuple[str, float]]:
    return {
        str(path.relative_to(root)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime,
        )
        for path in root.rglob("*")
        if path.is_file()
    }


def test_root_is_named_after_the_collection_and_holds_metadata_and_data_only(sample: Path) -> None:
    assert sample.name == COLLECTION
    assert sorted(path.name for path in sample.iterdir()) == ["data", "metadata"]


def test_folder_that_has_the_collections_name_becomes_the_root(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "EO.X.DAT.Y", collection="EO.X.DAT.Y", scenes=1)

    assert root == tmp_path / "EO.X.DAT.Y"
    assert (root / "metadata" / "collection.json").is_file()


def test_each_item_lies_under_its_id_and_its_day(sample: Path) -> None:
    names = sorted(path.stem for path in sample.glob("metadata/items/*"))
    folders = sorted(path.name for path in sample.glob("data/2026/07/*/*"))

    assert [item["id"] for item in items(sample)] == names == folders
    for item in items(sample):
        day = dt.datetime.fromisoformat(item["properties"]["datetime"])
        assert (sample / f"data/{day:%Y/%m/%d}" / item["id"]).is_dir()


def test_each_file_is_the_asset_of_one_item_except_the_generators_settings(sample: Path) -> None:
    files = {
        str(path.relative_to(sample)) for path in (sample / "data").rglob("*") if path.is_file()
    }
    hrefs = [asset["href"] for item in items(sample) for asset in item["assets"].values()]

    assert len(hrefs) == len(set(hrefs)) == 4 * SCENES
    left = files - set(hrefs)
    assert {Path(name).name for name in left} == {"item_config.json"}
    assert len(left) == SCENES


def test_collection_has_what_the_procedure_asks_for_and_not_what_operators_add(
    sample: Path,
) -> None:
    collection = json.loads((sample / "metadata" / "collection.json").read_text())

    mandatory = (
        "id title description dedl:short_description license extent links keywords providers"
    )
    assert [name for name in mandatory.split() if not collection.get(name)] == []
    roles = {role for provider in collection["providers"] for role in provider["roles"]}
    assert roles == {"producer", "processor", "licensor"}
    assert "user generated" not in [word.lower() for word in collection["keywords"]]
    assert [link["rel"] for link in collection["links"]] == ["license"]


def test_extent_holds_every_item_and_not_more(sample: Path) -> None:
    extent = json.loads((sample / "metadata" / "collection.json").read_text())["extent"]

    (start, end) = extent["temporal"]["interval"][0]
    assert start == min(item["properties"]["start_datetime"] for item in items(sample))
    assert end == max(item["properties"]["end_datetime"] for item in items(sample))
    assert [item["bbox"] for item in items(sample)] == [extent["spatial"]["bbox"][0]] * SCENES


def test_keywords_are_known_to_hda(sample: Path) -> None:
    known = Path(__file__).parents[3].parent / "shared" / "data" / "hda-keywords.json"
    if not known.is_file():
        pytest.skip("the harvested keywords aren't here")
    slugs = json.loads(known.read_text())["dedl_ext_slugs"]
    keywords = json.loads((sample / "metadata" / "collection.json").read_text())["keywords"]

    assert [word for word in keywords if word.lower().replace(" ", "-") not in slugs] == []


def test_scene_is_a_cloud_optimized_geotiff_in_kelvin_whose_footprint_the_item_gives(
    sample: Path,
) -> None:
    rasterio = pytest.importorskip("rasterio")
    item = items(sample)[0]
    with rasterio.open(sample / item["assets"]["lst"]["href"]) as scene:
        kelvin = scene.read(1, masked=True)

        assert scene.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert scene.profile["compress"] == "deflate"
        assert scene.crs.to_epsg() == 4326
        assert list(scene.bounds) == pytest.approx(item["bbox"])
        assert item["assets"]["lst"]["type"].endswith("profile=cloud-optimized")
    assert 275 <= kelvin.min() < 305 < kelvin.max() <= 335
    assert 0.2 < kelvin.mask.mean() < 0.8


def test_weather_changes_from_day_to_day_but_not_at_random(sample: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    import numpy as np

    days = []
    for item in items(sample):
        with rasterio.open(sample / item["assets"]["lst"]["href"]) as scene:
            days.append(scene.read(1, masked=True))
    change = np.ma.abs(days[1] - days[0])
    across = np.ma.abs(np.diff(days[0], axis=1))

    assert 0.3 < change.mean() < 5
    assert across.mean() < 2


@pytest.mark.parametrize(("name", "size"), [("thumbnail", (192, 128)), ("overview", (768, 512))])
def test_pictures_show_sea_and_many_temperatures(
    sample: Path, name: str, size: tuple[int, int]
) -> None:
    image = pytest.importorskip("PIL.Image")
    item = items(sample)[0]
    with image.open(sample / item["assets"][name]["href"]) as picture:
        assert picture.size == size
        assert image.MIME[picture.format] == item["assets"][name]["type"]
        colours = picture.convert("RGB").getcolors(maxcolors=1 << 20)
        assert colours is not None
        assert len(colours) > 1000


def test_same_arguments_give_the_same_bytes_and_time_stamps(sample: Path, tmp_path: Path) -> None:
    again = make_sample(tmp_path, scenes=SCENES)

    assert fingerprint(again) == fingerprint(sample)


def test_another_seed_gives_other_weather(sample: Path, tmp_path: Path) -> None:
    other = make_sample(tmp_path, scenes=1, seed=2)
    name = items(other)[0]["assets"]["lst"]["href"]

    assert (other / name).read_bytes() != (sample / name).read_bytes()


def test_identical_sample_is_left_alone(tmp_path: Path) -> None:
    root = make_sample(tmp_path, scenes=1)
    inode = root.stat().st_ino

    assert make_sample(tmp_path, scenes=1) == root
    assert root.stat().st_ino == inode
    assert [path.name for path in tmp_path.iterdir()] == [COLLECTION]


@pytest.mark.parametrize("change", ["more", "other", "less", "file"])
def test_folder_with_other_content_is_refused_and_kept(tmp_path: Path, change: str) -> None:
    root = tmp_path / COLLECTION
    if change == "file":
        root.write_text("mine")
    else:
        make_sample(tmp_path, scenes=1)
        collection = root / "metadata" / "collection.json"
        {
            "more": lambda: (root / "notes.txt").write_text("mine"),
            "other": lambda: collection.write_text(collection.read_text().replace("CC", "cc")),
            "less": lambda: collection.unlink(),
        }[change]()
    before = fingerprint(tmp_path)

    with pytest.raises(InputError, match="something else is there") as caught:
        make_sample(tmp_path, scenes=1)

    assert str(root) in str(caught.value)
    assert fingerprint(tmp_path) == before


def test_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / COLLECTION).mkdir()

    assert (make_sample(tmp_path / COLLECTION, scenes=1) / "data").is_dir()


def test_cut_off_run_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_sample(tmp_path, scenes=2, progress=stop)

    assert list(tmp_path.iterdir()) == []


def test_progress_counts_the_scenes(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    make_sample(tmp_path, scenes=2, progress=lambda done, total: seen.append((done, total)))

    assert seen == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    "arguments", [{"scenes": 0}, {"scenes": 3001}, {"collection": "../up"}, {"collection": ""}]
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, arguments: dict) -> None:
    with pytest.raises(InputError):
        make_sample(tmp_path, **arguments)

    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match="can't be written"):
        make_sample(tmp_path / "file" / "below", scenes=1)


def test_importing_the_module_loads_no_raster_library() -> None:
    code = (
        "import sys, dedl_sandbox.sample.dataset;"
        "assert not {'numpy', 'rasterio', 'PIL'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
