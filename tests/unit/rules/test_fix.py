"""Fix: what a machine can mend, and nothing else."""

from __future__ import annotations

import errno
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.base.errors import InputError
from dedl_workbook.cli.codes import COULD_NOT_RUN
from dedl_workbook.cli.main import main
from dedl_workbook.dataset.dataset import Folder, open_dataset
from dedl_workbook.rules.fix import Fixed, fix
from dedl_workbook.rules.geometry import positions_of, problems_of

from tests.unit.builders import (
    GONE,
    any_asset,
    any_collection,
    any_dataset,
    any_item,
    box,
    png,
    write,
)
from tests.unit.publication.inverse import patched
from tests.unit.rules.examples import found

ITEM = "metadata/items/heat_20241116.json"
COLLECTION = "metadata/collection.json"


def fixed(tmp_path: Path, root: Path) -> Fixed:
    return fix(open_dataset(str(root)), tmp_path / "mended")


def mended(tmp_path: Path, path: str = ITEM, **changes: Any) -> dict[str, Any]:
    """Mend a dataset whose item was changed; return a document of it."""
    root = any_dataset(tmp_path)
    write(root, ITEM, any_item(**changes))
    fixed(tmp_path, root)
    return json.loads((tmp_path / "mended" / path).read_bytes())


def test_a_good_dataset_is_copied_byte_by_byte_and_gets_no_patch(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, files={"metadata/collection_config.json": b'{"x": 1}  '})

    result = fixed(tmp_path, root)

    assert (result.documents, result.changed) == (3, 0)
    assert not (result.folder / "patches").exists()
    for path in (ITEM, COLLECTION, "metadata/collection_config.json"):
        assert (result.folder / path).read_bytes() == (root / path).read_bytes()


def test_id_and_collection_follow_the_names(tmp_path: Path) -> None:
    document = mended(tmp_path, id="other", collection=GONE)

    assert (document["id"], document["collection"]) == ("heat_20241116", "EO.XXX.DAT.HEAT")


@pytest.mark.parametrize("bbox", [GONE, [0, 0, 1, 1], [2.5, 49.5], None])
def test_a_wrong_bbox_is_made_from_the_geometry(tmp_path: Path, bbox: object) -> None:
    assert mended(tmp_path, bbox=bbox)["bbox"] == [2.5, 49.5, 6.5, 51.5]


@pytest.mark.parametrize(
    "changes",
    [
        {"bbox": [2.499, 49.5, 6.5, 51.5]},
        {"bbox": [0, 0, 1, 1], "geometry": None},
        {"bbox": [0, 0, 1, 1], "geometry": {"type": "Polygon", "coordinates": 7}},
        {
            "bbox": [0, 0, 1, 1],
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [
                    box(170, 0, 180, 1)["coordinates"],
                    box(-180, 0, -170, 1)["coordinates"],
                ],
            },
        },
    ],
)
def test_a_bbox_that_may_be_meant_is_left_alone(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert mended(tmp_path, **changes)["bbox"] == changes["bbox"]


RING_360 = [[170, 0], [190, 0], [190, 10], [170, 10], [170, 0]]
L_360 = [[170, 0], [200, 0], [200, 9], [190, 9], [190, 3], [170, 3], [170, 0]]
HOLE_360 = [[175, 1], [185, 1], [185, 2], [175, 2], [175, 1]]


@pytest.mark.parametrize(
    ("geometry", "bbox", "area"),
    [
        ({"type": "Polygon", "coordinates": [RING_360]}, [170, 0, -170, 10], 200),
        ({"type": "Polygon", "coordinates": [RING_360, HOLE_360[::-1]]}, [170, 0, -170, 10], 190),
        ({"type": "Polygon", "coordinates": [L_360]}, [170, 0, -160, 9], 150),
        (
            {"type": "MultiPolygon", "coordinates": [[RING_360], [HOLE_360]]},
            [170, 0, -170, 10],
            210,
        ),
        (box(0, -90, 360, 90), [-180, -90, 180, 90], 64800),
        (box(200, 0, 210, 10), [-160, 0, -150, 10], 100),
        (box(170, 0, 180.5, 10), [170, 0, -179.5, 10], 105),
        ({"type": "Point", "coordinates": [359, 5]}, [-1, 5, -1, 5], 0),
        ({"type": "LineString", "coordinates": [[190, 5], [200, 6]]}, [-170, 5, -160, 6], 0),
    ],
)
def test_longitudes_to_360_are_turned_and_cut_at_the_antimeridian(
    tmp_path: Path, geometry: dict[str, Any], bbox: list[float], area: float
) -> None:
    positions = positions_of(geometry) or []
    lons, lats = [p[0] for p in positions], [p[1] for p in positions]
    around = [min(lons), min(lats), max(lons), max(lats)]

    item = mended(tmp_path, geometry=geometry, bbox=around)

    assert item["bbox"] == bbox
    assert list(problems_of(item["geometry"], item["bbox"])) == []
    shapes = item["geometry"]["coordinates"]
    if item["geometry"]["type"] == "Polygon":
        shapes = [shapes]
    rings = [ring for shape in shapes for ring in shape] if area else []
    assert abs(sum(map(signed_area, rings))) == pytest.approx(area)


def signed_area(ring: list[list[float]]) -> float:
    """Positive against the clock, as holes are not."""
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring)) / 2


def test_a_line_over_the_antimeridian_is_left_to_a_person(tmp_path: Path) -> None:
    line = {"type": "LineString", "coordinates": [[170, 5], [200, 6]]}

    assert mended(tmp_path, geometry=line, bbox=[170, 5, 200, 6])["geometry"] == line


def test_an_extent_to_360_is_turned(tmp_path: Path) -> None:
    extent = {
        "spatial": {"bbox": [[0, -90, 360, 90], [170, 0, 0, 190, 10, 5]]},
        "temporal": {"interval": [["2024-11-01T00:00:00Z", None]]},
    }
    root = any_dataset(tmp_path, collection=any_collection(extent=extent))

    fix(open_dataset(str(root)), tmp_path / "fixed", second_opinion="none")

    document = json.loads((tmp_path / "fixed/metadata/collection.json").read_text())
    assert document["extent"]["spatial"]["bbox"] == [
        [-180.0, -90, 180.0, 90],
        [170, 0, 0, -170, 10, 5],
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2024-11-16T14:00:00+02:00", "2024-11-16T12:00:00Z"),
        ("2024-11-16T12:00:00.250+00:00", "2024-11-16T12:00:00.250000Z"),
        ("2024-11-16T12:00:00", "2024-11-16T12:00:00"),
        ("2024-11-16", "2024-11-16"),
        ("2024-11-16 12:00:00z", "2024-11-16T12:00:00Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59-12:00"),
    ],
)
def test_times_go_to_utc_only_if_their_zone_is_known(
    tmp_path: Path, written: str, expected: str
) -> None:
    assert mended(tmp_path, properties={"datetime": written})["properties"]["datetime"] == expected


@pytest.mark.parametrize(
    ("name", "written", "expected"),
    [
        ("x.png", GONE, "image/png"),
        ("x.jpg", GONE, None),
        ("x.csv", GONE, "text/csv"),
        ("x", GONE, None),
        ("x.jpg", "image/jpg", "image/jpeg"),
        ("x.png", "image/tiff; application=geotiff", "image/png"),
        ("x.tif", "image/tiff", "image/tiff"),
        ("x.jpg", "image/tiff", "image/tiff"),
        ("x.csv", "image/tiff", "image/tiff"),
        ("x.png", "image/vnd.own", "image/vnd.own"),
    ],
)
def test_media_types_are_mended_where_ending_and_content_agree(
    tmp_path: Path, name: str, written: object, expected: str | None
) -> None:
    asset = any_asset(href=f"data/2024/11/16/{name}", type=written)
    # Every file of the builders is a PNG.
    root = any_dataset(tmp_path, any_item(assets={"map": asset}))

    fixed(tmp_path, root)

    document = json.loads((tmp_path / "mended" / ITEM).read_bytes())
    assert document["assets"]["map"].get("type") == expected


def test_the_collection_gets_keyword_host_and_known_spellings(tmp_path: Path) -> None:
    collection = any_collection(keywords=["climate-change", "My Own"])
    collection["providers"].pop()
    root = any_dataset(tmp_path, collection=collection)

    result = fixed(tmp_path, root)

    document = json.loads((result.folder / COLLECTION).read_bytes())
    assert document["keywords"] == ["Climate Change", "My Own", "User generated"]
    assert document["providers"][-1] == {"name": "DEDL", "roles": ["host"]}


def test_the_extent_is_widened_to_hold_every_item_and_never_shrunk(tmp_path: Path) -> None:
    extent = {
        "spatial": {"bbox": [[3, 40, 6, 51]]},
        "temporal": {"interval": [["2024-11-16T13:00:00Z", None]]},
    }
    root = any_dataset(tmp_path, collection=any_collection(extent=extent))

    result = fixed(tmp_path, root)

    document = json.loads((result.folder / COLLECTION).read_bytes())
    assert document["extent"]["spatial"]["bbox"] == [[2.5, 40, 6.5, 51.5]]
    assert document["extent"]["temporal"]["interval"] == [["2024-11-16T12:00:00Z", None]]
    assert result.remaining.findings == ()


def test_the_patch_makes_the_mended_document_of_the_delivered_one(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    write(root, ITEM, any_item(id="other", bbox=GONE))

    result = fixed(tmp_path, root)

    patch = json.loads((result.folder / "patches/items/heat_20241116.json").read_bytes())
    delivered = json.loads((root / ITEM).read_bytes())
    assert patched(delivered, patch) == json.loads((result.folder / ITEM).read_bytes())
    assert result.changed == 1


def test_what_a_machine_can_not_mend_is_listed(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, collection=any_collection(title="DATASET_TITLE"))
    write(root, "metadata/items/broken.json", b"{")

    result = fixed(tmp_path, root)

    assert {(f.rule, f.file) for f in result.remaining.findings} == {
        ("C09", COLLECTION),
        ("L03", "metadata/items/broken.json"),
    }
    assert (result.folder / "metadata/items/broken.json").read_bytes() == b"{"


def test_the_delivered_dataset_stays_as_it_was(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, any_item(collection="EO.XXX.DAT.COLD"))
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    fixed(tmp_path, root)

    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_folder_that_can_not_be_written_to_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = any_dataset(tmp_path)

    code = main(["validate", str(root), "--fix", str(root / "metadata")])

    said = capsys.readouterr()
    assert code == COULD_NOT_RUN
    assert "is not empty" in said.err
    assert "validate:" not in said.err
    assert said.out == ""


def test_a_copy_that_can_not_be_written_leaves_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = any_dataset(tmp_path)

    # Nobody can make a folder there.
    code = main(["validate", str(root), "--fix", "/proc/mended"])

    said = capsys.readouterr()
    assert code == COULD_NOT_RUN
    assert "0 errors" in said.out
    assert "/proc/mended" in said.err


@pytest.mark.parametrize("name", ["file", "file/mended"])
def test_a_file_is_no_folder_to_mend_in(tmp_path: Path, name: str) -> None:
    root = any_dataset(tmp_path)
    (tmp_path / "file").touch()

    with pytest.raises(InputError, match="is no folder"):
        fix(open_dataset(str(root)), tmp_path / name)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf{}", b"{", b"[]"])
def test_a_collection_that_can_not_be_read_is_handed_on_as_it_is(
    tmp_path: Path, content: bytes
) -> None:
    root = any_dataset(tmp_path)
    (root / COLLECTION).write_bytes(content)

    result = fixed(tmp_path, root)

    assert (result.folder / COLLECTION).read_bytes() == content
    assert "there is no file" not in str(result.remaining.findings)


@pytest.mark.parametrize("roles", [5, True, "host", {"a": 1}])
def test_roles_that_are_no_list_are_left_to_a_person(tmp_path: Path, roles: object) -> None:
    providers = [{"name": "Heat", "roles": roles}]
    root = any_dataset(tmp_path, collection=any_collection(providers=providers))

    result = fixed(tmp_path, root)

    assert json.loads((result.folder / COLLECTION).read_bytes())["providers"] == providers


@pytest.mark.parametrize("written", [["image/png"], {"x": 1}, 5])
def test_a_type_that_is_no_text_is_left_to_a_person(tmp_path: Path, written: object) -> None:
    root = any_dataset(tmp_path, any_item(assets={"map": any_asset(type=written)}))

    result = fixed(tmp_path, root)

    assert json.loads((result.folder / ITEM).read_bytes())["assets"]["map"]["type"] == written


def test_an_extent_that_ends_before_it_starts_is_left_to_a_person(tmp_path: Path) -> None:
    interval = ["2027-07-02T00:00:00Z", "2020-01-01T00:00:00Z"]
    extent = {"spatial": {"bbox": [[2, 40, 7, 52]]}, "temporal": {"interval": [interval]}}
    root = any_dataset(tmp_path, collection=any_collection(extent=extent))

    result = fixed(tmp_path, root)

    document = json.loads((result.folder / COLLECTION).read_bytes())
    assert document["extent"]["temporal"]["interval"] == [interval]


def test_an_id_is_not_taken_from_a_name_that_is_no_text(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    name = os.fsdecode(b"\xff.json")
    (root / ITEM).rename(root / "metadata/items" / name)

    result = fixed(tmp_path, root)

    document = json.loads((result.folder / "metadata/items" / name).read_bytes())
    assert document["id"] == "heat_20241116"


def test_json_for_programs_is_all_that_is_printed_also_when_mending(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = any_dataset(tmp_path, any_item(collection="OTHER"))

    main(["validate", str(root), "--json", "-", "--fix", str(tmp_path / "mended")])

    said = capsys.readouterr()
    assert json.loads(said.out)["findings"]
    assert "1 of 2 documents are fixed" in said.err


def test_a_folder_that_holds_something_or_lies_in_the_dataset_is_refused(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    dataset = open_dataset(str(root))

    with pytest.raises(InputError, match="is not empty"):
        fix(dataset, root / "data")
    with pytest.raises(InputError, match="lies in the dataset"):
        fix(dataset, root / "mended")


def test_a_document_that_can_not_be_read_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = any_dataset(tmp_path)

    def closed(_: Folder, path: str, *__: Any) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    # Root may read everything.
    monkeypatch.setattr(Folder, "read", closed)
    monkeypatch.setattr(Folder, "head", closed)

    with pytest.raises(InputError, match=f"{ITEM}: can't be copied: Permission denied") as refused:
        fixed(tmp_path, root)

    assert "Make it readable" in refused.value.remedy
    for rule in ("L02", "L03"):
        (finding,) = found(root, rule)
        assert "operators may read it" in finding.fix


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("../../data/2024/x.png", "x.png"),
        ("..\\..\\data\\2024\\x.png", "x.png"),
        ("data\\2024\\x.png", "x.png"),
        ("data/2024/Zu\u0308.png", "Z\u00fc.png"),
        ("data/2024/Z\u00fc.png", "Zu\u0308.png"),
    ],
)
def test_hrefs_that_surely_mean_a_file_are_fixed_and_pass_then(
    tmp_path: Path, href: str, name: str
) -> None:
    root = any_dataset(tmp_path)
    write(root, f"data/2024/{name}", png())
    write(root, ITEM, any_item(assets={"map": any_asset(href=href)}))

    remaining = fixed(tmp_path, root).remaining

    document = json.loads((tmp_path / "mended" / ITEM).read_bytes())
    assert document["assets"]["map"]["href"] == f"data/2024/{name}"
    assert [f for f in remaining.findings if f.rule == "A01"] == []


@pytest.mark.parametrize("href", ["../../data/other.png", "data\\other.png", "../../x.png"])
def test_hrefs_that_lead_to_no_file_are_left_to_a_person(tmp_path: Path, href: str) -> None:
    assets = {"map": any_asset(href=href)}

    assert mended(tmp_path, assets=assets)["assets"]["map"]["href"] == href
