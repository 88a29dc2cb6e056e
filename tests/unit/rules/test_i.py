"""Items: I01 to I08."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.base.times import instant
from dedl_workbook.rules.geometry import crosses_itself
from dedl_workbook.rules.schemas.store import lock

from tests.unit.builders import GONE, any_asset, any_collection, any_dataset, any_item, box, write
from tests.unit.rules.examples import any_ticket, bad, found, good, places, report

FILE = "metadata/items/heat_20241116.json"
WORLD = {
    "spatial": {"bbox": [[-180, -90, 180, 90]]},
    "temporal": {"interval": [[None, None]]},
}


def of(tmp_path: Path, rule: str, **changes: Any) -> list[str]:
    """Return where a rule finds something in a dataset whose item was changed."""
    return places(any_dataset(tmp_path, any_item(**changes)), rule)


def anywhere(tmp_path: Path, **changes: Any) -> Path:
    """A dataset of the whole world and all times with a changed item."""
    return any_dataset(tmp_path, any_item(**changes), collection=any_collection(extent=WORLD))


ODD_BUT_RIGHT: dict[str, dict[str, Any]] = {
    "STAC 1.1.0": {"stac_version": "1.1.0"},
    "no stac_extensions": {"stac_extensions": GONE},
    "an empty list of extensions": {"stac_extensions": []},
    "no links but that to the collection": {"links": any_item()["links"]},
    "a point": {
        "geometry": {"type": "Point", "coordinates": [4.9, 52.3]},
        "bbox": [4.9, 52.3, 4.9, 52.3],
    },
    "a point with a height": {
        "geometry": {"type": "Point", "coordinates": [4.9, 52.3, 11.5]},
        "bbox": [4.9, 52.3, 11.5, 4.9, 52.3, 11.5],
    },
    "points": {
        "geometry": {"type": "MultiPoint", "coordinates": [[4, 52], [5, 53]]},
        "bbox": [4, 52, 5, 53],
    },
    "a line": {
        "geometry": {"type": "LineString", "coordinates": [[4, 52], [5, 53], [4, 53]]},
        "bbox": [4, 52, 5, 53],
    },
    "a hole": {
        "geometry": {
            "type": "Polygon",
            "coordinates": [
                box(0, 0, 9, 9)["coordinates"][0],
                box(3, 3, 6, 6)["coordinates"][0],
            ],
        },
        "bbox": [0, 0, 9, 9],
    },
    "over the antimeridian, cut": {
        "geometry": {
            "type": "MultiPolygon",
            "coordinates": [
                box(170, -5, 180, 5)["coordinates"],
                box(-180, -5, -170, 5)["coordinates"],
            ],
        },
        "bbox": [170, -5, -170, 5],
    },
    "the whole world": {"geometry": box(-180, -90, 180, 90), "bbox": [-180, -90, 180, 90]},
    "a rounded bbox": {"bbox": [2.499, 49.5, 6.5, 51.504]},
    "clockwise": {
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[0, 0], [0, 9], [9, 9], [9, 0], [0, 0]]],
        },
        "bbox": [0, 0, 9, 9],
    },
    "a range without datetime": {
        "properties": {
            "datetime": None,
            "start_datetime": "2024-11-16T00:00:00Z",
            "end_datetime": "2024-11-16T23:59:59.999999999Z",
        }
    },
    "a start that is the end": {
        "properties": {
            "start_datetime": "2024-11-16T12:00:00Z",
            "end_datetime": "2024-11-16T12:00:00Z",
        }
    },
}


@pytest.mark.parametrize("changes", ODD_BUT_RIGHT.values(), ids=ODD_BUT_RIGHT.keys())
@good(*(f"I{n:02}" for n in range(1, 9)))
def test_an_odd_but_right_item_has_no_errors(tmp_path: Path, changes: dict[str, Any]) -> None:
    result = report(anywhere(tmp_path, **changes))

    assert list(result.findings) == []


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"properties": {"datetime": GONE}}, "/properties"),
        ({"type": "Collection"}, "/type"),
        ({"assets": []}, "/assets"),
        ({"links": GONE}, ""),
        ({"bbox": GONE}, ""),
        ({"geometry": {"type": "Circle"}}, "/geometry"),
        ({"assets": {"map": {"type": "image/png"}}}, "/assets/map"),
        ({"stac_version": "1.2"}, "/stac_version"),
        ({"collection": 7}, "/collection"),
        ({"links": []}, "/collection"),
    ],
)
@bad("I01")
def test_an_item_that_is_no_valid_stac_is_an_error(
    tmp_path: Path, changes: dict[str, Any], pointer: str
) -> None:
    root = any_dataset(tmp_path)
    write(root, FILE, any_item(**changes))

    result = places(root, "I01")

    assert result
    assert all(place.startswith(f"error {FILE}#{pointer}") for place in result)


@pytest.mark.parametrize("name", ["", "eo", "../../etc/passwd", "file:///etc/passwd"])
@bad("I01")
def test_an_extension_that_is_no_url_is_an_error(tmp_path: Path, name: str) -> None:
    root = any_dataset(tmp_path, any_item(stac_extensions=[name]))

    assert places(root, "I01") == [f"error {FILE}#/stac_extensions"]


@bad("I01")
def test_an_extension_that_nobody_here_knows_is_named_without_a_cure_that_is_none(
    tmp_path: Path,
) -> None:
    unknown, known = (
        "https://x.example/v1/schema.json",
        next(url for url in lock() if "stac-extensions" in url),
    )
    root = any_dataset(tmp_path, any_item(stac_extensions=[unknown, unknown, known]))

    told = found(root, "I01", second_opinion="all")

    fixes = {f.message.split()[3].rstrip(":"): f.fix for f in told if f.severity == "warning"}
    assert "schemas sync" not in fixes[unknown]
    assert "schemas sync" in fixes.get(known, "schemas sync")
    # stac-validator isn't shown what it would look up; that is no disagreement.
    errors = [f.message for f in told if f.severity == "error"]
    assert errors == ["a list of 3 has non-unique elements"]


@bad("I01")
def test_a_submitter_is_told_how_to_mend_what_the_schemas_refuse(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    document = any_item(type="feature", properties={"datetime": "2024-11-16T12:00:00+01:00"})
    write(root, FILE, document)
    without = {name: value for name, value in document.items() if name != "links"}
    write(root, "metadata/items/other.json", {**without, "type": "Feature", "collection": 7})

    told = {f.pointer: f.fix for f in found(root, "I01")}

    assert told["/type"] == 'Write "type": "Feature".'
    assert told["/properties/datetime"] == "Write it in UTC, as 2024-11-16T12:00:00Z."
    assert told[""].startswith('Add "links" as STAC wants it: https://')
    assert told["/collection"].startswith("Write a text in quotes there, as STAC wants it: ")


@pytest.mark.parametrize(
    ("value", "pointer"), [("EO.XXX.DAT.COLD", "/collection"), (None, ""), (GONE, "")]
)
@bad("I02")
def test_an_item_of_another_collection_is_an_error(
    tmp_path: Path, value: object, pointer: str
) -> None:
    assert of(tmp_path, "I02", collection=value) == [f"error {FILE}#{pointer}"]


@bad("I02")
def test_an_item_must_name_the_agreed_collection(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)

    assert places(root, "I02", ticket=any_ticket(collection="EO.XXX.DAT.COLD")) == [
        f"error {FILE}#/collection"
    ]


@bad("I03")
def test_an_id_that_is_not_the_files_name_is_an_error(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    write(root, "metadata/items/other.json", any_item("cold"))

    assert places(root, "I03") == ["error metadata/items/other.json#/id"]


@bad("I03")
def test_an_id_that_stands_twice_is_an_error_of_all_but_the_first(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, any_item("b"))
    for name in ("a", "c"):
        write(root, f"metadata/items/{name}.json", any_item("b"))

    twins = [f for f in found(root, "I03") if "also that of" in f.message]

    assert [(f.file, f.message.split("'")[3]) for f in twins] == [
        ("metadata/items/b.json", "metadata/items/a.json"),
        ("metadata/items/c.json", "metadata/items/a.json"),
    ]


@pytest.mark.parametrize("name", ["a/b", "", ".", "..", "a\nb", "a\x9bb", " a", "x" * 201])
@bad("I03")
def test_an_id_that_can_not_be_in_urls_or_keys_is_an_error(tmp_path: Path, name: str) -> None:
    root = any_dataset(tmp_path)
    write(root, FILE, any_item(id=name))

    messages = [f.message for f in found(root, "I03")]

    assert any("can't be used" in message for message in messages)


@pytest.mark.parametrize("name", ["a b", "100%", "a[1]", "Zürich", "a+b~c", "x" * 200])
@good("I03")
def test_ids_with_odd_characters_are_fine(tmp_path: Path, name: str) -> None:
    assert report(any_dataset(tmp_path, any_item(name))).findings == ()


def test_an_id_in_another_script_is_fine_whatever_files_may_be_called(tmp_path: Path) -> None:
    findings = report(any_dataset(tmp_path, any_item("日本"))).findings

    assert [finding.rule for finding in findings] == ["L08"]


def polygon(*positions: list[float]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [list(positions)]}


@pytest.mark.parametrize(
    "changes",
    [
        {"geometry": None, "bbox": GONE},
        {"geometry": polygon([0, 0], [9, 0], [9, 9], [0, 9]), "bbox": [0, 0, 9, 9]},
        {"geometry": polygon([0, 0], [9, 9], [0, 0]), "bbox": [0, 0, 9, 9]},
        {"geometry": {"type": "Polygon", "coordinates": []}, "bbox": [0, 0, 9, 9]},
        {"geometry": {"type": "Point", "coordinates": [49.5, 190]}, "bbox": [49, 90, 49, 90]},
        {"geometry": {"type": "Point", "coordinates": [181, 0]}, "bbox": [180, 0, 180, 0]},
        {"geometry": {"type": "Point", "coordinates": [1]}},
        {"geometry": {"type": "Point", "coordinates": ["1", "2"]}},
        {"geometry": {"type": "Polygon", "coordinates": [1, 2]}},
        {"geometry": {"type": "Polygon"}},
        {"geometry": {"type": "GeometryCollection", "geometries": []}},
        {"geometry": 7},
        {"bbox": [2.5, 49.5, 6.5, 51.3]},
        {"bbox": [7.5, 49.5, 8.5, 51.5]},
        {"bbox": [2.5, 51.5, 6.5, 49.5]},
        {"bbox": [49.5, 2.5, 51.5, 6.5]},
        {"bbox": [6.5, 49.5, 2.5, 51.5]},
        {"bbox": [170, 49.5, 4.5, 51.5]},
        {"bbox": [2.5, 49.5, 366.5, 51.5]},
        {"bbox": [2.5, 49.5, 6.5]},
    ],
)
@bad("I04")
def test_a_geometry_or_bbox_that_can_not_be_used_is_an_error(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    result = places(anywhere(tmp_path, **changes), "I04")

    assert result
    assert all(place.startswith("error") for place in result)


WIDE = polygon([-170, 60], [-60, 60], [60, 60], [170, 60], [60, 80], [-60, 80], [-170, 60])
CENTRES = [-179.75, -89.75, 179.75, 89.75]


@pytest.mark.parametrize(
    "changes",
    [
        {"bbox": [2.5, 49.5, 6.5, 51.6]},
        {"bbox": [0.5, 47.5, 8.5, 54.5]},
        {"bbox": [2.5, 49.5, -100, 6.5, 51.5, 9000]},
        {"geometry": WIDE, "bbox": [-180, 60, 180, 90]},
        {"geometry": box(*CENTRES), "bbox": CENTRES},
        {"geometry": box(*CENTRES), "bbox": [-180, -90, 180, 90]},
        {"geometry": box(-5, -5, 5, 5), "bbox": [-180, -90, 180, 90]},
        {"geometry": box(175, -5, 180, 5), "bbox": [174, -5, -178, 5]},
        {"geometry": {"type": "Point", "coordinates": [180, 0]}, "bbox": [-180, 0, 180, 0]},
    ],
)
@good("I04")
def test_a_bbox_that_encloses_its_geometry_is_fine(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert places(anywhere(tmp_path, **changes), "I04") == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bbox": [2.5, 49.5, 6.5, 51.45]}, "leaves the bbox in the north by 0.05 degrees"),
        ({"bbox": [2.55, 49.5, 6.5, 51.5]}, "leaves the bbox in the west by 0.05 degrees"),
        ({"geometry": box(-180, -90, 180, 90), "bbox": CENTRES}, "by 0.25 degrees"),
        ({"bbox": [2.5, 20, 6.5, 51.5]}, "larger than the geometry by 29.5 degrees"),
        ({"bbox": [170, 49.5, 6.5, 51.5]}, "larger than the geometry by 192 degrees"),
    ],
)
@bad("I04")
def test_a_bbox_that_is_a_little_off_is_a_warning(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    (finding,) = found(anywhere(tmp_path, **changes), "I04")

    assert (finding.severity, finding.pointer) == ("warning", "/bbox")
    assert says in finding.message


@pytest.mark.parametrize(
    ("around", "says"),
    [
        ([200, 40, 210, 50], "the longitude 210: probably 0 to 360 in the place of -180 to 180"),
        ([0, -90, 360, 90], "the longitude 360: probably 0 to 360"),
        ([49.5, 100, 51.5, 101], "the latitude 101: probably latitude stands before longitude"),
        ([500000, 5400000, 509760, 5409760], "the longitude 509760: probably metres"),
        ([-180, -90.125, 180, 90.125], "the latitude -90.125: probably the edge of a cell"),
        ([-180.5, 0, 0, 5], "the longitude -180.5: probably the edge of a cell"),
        ([-200, 0, 0, 5], "the longitude -200"),
    ],
)
@bad("I04", "C12")
def test_what_leaves_the_range_is_told_with_what_it_probably_is(
    tmp_path: Path, around: list[float], says: str
) -> None:
    extent = {
        "spatial": {"bbox": [around]},
        "temporal": {"interval": [["2024-11-01T00:00:00Z", None]]},
    }
    root = any_dataset(
        tmp_path,
        any_item(geometry=box(*around), bbox=around),  # type: ignore[arg-type]
        collection=any_collection(extent=extent),
    )

    (finding,) = found(root, "I04")
    assert (finding.severity, finding.pointer) == ("error", "/geometry")
    assert says in finding.message
    assert says in next(f.message for f in found(root, "C12") if "/spatial/" in f.pointer)


@bad("I04")
def test_an_outline_over_the_antimeridian_that_is_not_cut_is_a_warning(tmp_path: Path) -> None:
    uncut = polygon([170, -5], [-170, -5], [-170, 5], [170, 5], [170, -5])
    root = anywhere(tmp_path, geometry=uncut, bbox=[170, -5, -170, 5])

    assert places(root, "I04") == [f"warning {FILE}#/geometry"]


@bad("I04")
def test_an_outline_that_crosses_itself_is_a_warning(tmp_path: Path) -> None:
    bow_tie = polygon([0, 0], [9, 9], [9, 0], [0, 9], [0, 0])
    root = anywhere(tmp_path, geometry=bow_tie, bbox=[0, 0, 9, 9])

    assert places(root, "I04") == [f"warning {FILE}#/geometry/coordinates/0"]


@bad("I04")
def test_a_coast_that_crosses_itself_is_found_among_many_islands(tmp_path: Path) -> None:
    comb = [[9 * (n % 2), n / 100] for n in range(300)]
    coast = [*comb, [4, 3], [5, -1], comb[0]]
    islands = [[[[n / 100, 8], [n / 100 + 0.004, 8], [n / 100, 8.004], [n / 100, 8]]]
               for n in range(1000)]  # fmt: skip
    outline = {"type": "MultiPolygon", "coordinates": [*islands, [coast]]}
    root = anywhere(tmp_path, geometry=outline, bbox=[0, -1, 9.994, 8.004])

    assert places(root, "I04") == [f"warning {FILE}#/geometry/coordinates/1000/0"]


@good("I04")
def test_a_collection_of_geometries_is_left_to_the_schema(tmp_path: Path) -> None:
    parts = [box(1, 2, 3, 4), {"type": "Point", "coordinates": [9, 9]}]
    geometry = {"type": "GeometryCollection", "geometries": parts}
    root = anywhere(tmp_path, geometry=geometry, bbox=[1, 2, 9, 9])

    assert {f.rule for f in report(root).findings} == {"I01"}


@good("I04")
def test_an_outline_that_touches_itself_in_a_corner_does_not_cross_itself() -> None:
    ring = [[0, 0], [4, 0], [2, 2], [4, 4], [0, 4], [2, 2], [0, 0]]

    assert not crosses_itself(ring)[0]


@good("I04")
def test_a_coast_of_many_positions_is_judged_in_no_time() -> None:
    ring = [[n / 100, (n % 7) / 10] for n in range(9000)]
    ring += [[90, 9], [0, 9], ring[0]]

    assert not crosses_itself(ring)[0]


def test_the_search_for_crossings_ends_however_many_sides_overlap() -> None:
    comb = [[9 * (n % 2), n / 100] for n in range(300)]
    ring = [*comb, [4, 3], [5, -1], comb[0]]

    assert crosses_itself(ring)[0]
    assert not crosses_itself(ring, 100)[0]


@bad("I04")
def test_an_outline_that_is_too_much_to_search_for_crossings_is_said_to_be(tmp_path: Path) -> None:
    comb = [[9 * (n % 2), n / 1000] for n in range(3000)]
    ring = [*comb, [9.5, 3], [9.5, -1], [0, -1], comb[0]]
    root = anywhere(tmp_path, geometry=polygon(*ring), bbox=[0, -1, 9.5, 3])

    assert places(root, "I04") == [f"info {FILE}#/geometry/coordinates/0"]


@pytest.mark.parametrize(
    ("properties", "pointer"),
    [
        ({"datetime": None}, ""),
        ({"datetime": "2024-11-16"}, "/datetime"),
        ({"datetime": "2024-11-16T12:00:00"}, "/datetime"),
        ({"datetime": "2024-13-16T12:00:00Z"}, "/datetime"),
        ({"datetime": "2024-02-30T12:00:00Z"}, "/datetime"),
        ({"datetime": "yesterday"}, "/datetime"),
        ({"datetime": "2024-11-16T12:00:00Z", "created": "2024-11-16T25:00:00Z"}, "/created"),
        ({"start_datetime": "2024-11-16T12:00:00Z"}, ""),
        ({"datetime": None, "end_datetime": "2024-11-16T12:00:00Z"}, ""),
        (
            {"start_datetime": "2024-11-16T12:00:00Z", "end_datetime": "2024-11-16T13:00:00+02:00"},
            "/start_datetime",
        ),
    ],
)
@bad("I05")
def test_times_that_are_missing_wrong_or_out_of_order_are_errors(
    tmp_path: Path, properties: dict[str, Any], pointer: str
) -> None:
    assert f"error {FILE}#/properties{pointer}" in of(tmp_path, "I05", properties=properties)


DATED = {"start_datetime": "2024-11-16T00:00:00Z", "end_datetime": "2024-11-16T23:00:00Z"}


@pytest.mark.parametrize(
    ("properties", "pointer"),
    [
        ({"datetime": "2024-11-16 12:00:00Z"}, "/datetime"),
        ({"datetime": "2024-11-16t12:00:00Z"}, "/datetime"),
        ({"datetime": "2016-12-31T23:59:60Z"}, "/datetime"),
        ({"updated": "2016-12-31T23:59:60Z"}, "/updated"),
        ({**DATED, "datetime": "2024-11-17T00:00:00Z"}, "/datetime"),
        ({**DATED, "datetime": "2024-11-15T23:59:59Z"}, "/datetime"),
    ],
)
@bad("I05")
def test_times_that_programs_may_refuse_are_warnings(
    tmp_path: Path, properties: dict[str, Any], pointer: str
) -> None:
    expected = [f"warning {FILE}#/properties{pointer}"]

    assert of(tmp_path, "I05", properties=properties) == expected


@pytest.mark.parametrize("at", [None, *DATED.values(), "2024-11-16T12:00:00Z"])
@good("I05")
def test_a_datetime_within_start_and_end_is_fine(tmp_path: Path, at: str | None) -> None:
    assert of(tmp_path, "I05", properties={**DATED, "datetime": at}) == []


@pytest.mark.parametrize(
    ("written", "severity"),
    [
        ("2023-13-11T00:00:00Z", "error"),
        ("2023-11-11", "error"),
        (20231111, "error"),
        ("2023-11-11 00:00:00Z", "warning"),
    ],
)
@bad("I05")
def test_times_of_assets_are_read_as_those_of_properties(
    tmp_path: Path, written: object, severity: str
) -> None:
    assets = {"map": any_asset(created=written)}

    assert of(tmp_path, "I05", assets=assets) == [f"{severity} {FILE}#/assets/map/created"]


@good("I05")
def test_offsets_count_in_the_order_of_times() -> None:
    # The official schemas want UTC, and say so as I01.
    assert instant("2024-11-16T01:00:00+02:00") == instant("2024-11-15T23:00:00Z")


@bad("I06")
def test_an_item_without_assets_is_an_error(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, any_item(assets={}))

    assert places(root, "I06") == [f"error {FILE}#/assets"]


@pytest.mark.parametrize("field", ["type", "roles"])
@bad("I06")
def test_an_asset_without_media_type_or_roles_is_a_warning(tmp_path: Path, field: str) -> None:
    asset = any_asset(**{field: GONE})

    assert of(tmp_path, "I06", assets={"map": asset}) == [f"warning {FILE}#/assets/map"]


INSANE = {
    "too deep": b'{"a": ' + b"[" * 255 + b"]" * 255 + b"}",
    "absurdly deep": b"[" * 200_000,
    "400 digits": b'{"a": ' + b"9" * 400 + b"}",
    "5000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "a huge exponent": b'{"a": 1e400}',
    "U+0000": b'{"a": "\\u0000"}',
    "U+0000 in a key": b'{"\\u0000": 1}',
    "half a character": b'{"a": "\\ud800"}',
    "over 16 MiB": b'{"a": "' + b"x" * 2**24 + b'"}',
}


@pytest.mark.parametrize("content", INSANE.values(), ids=INSANE.keys())
@bad("I07")
def test_json_that_breaks_programs_is_an_error(tmp_path: Path, content: bytes) -> None:
    root = any_dataset(tmp_path, files={"metadata/items/broken.json": content})

    assert places(root, "I07") == ["error metadata/items/broken.json#"]


@pytest.mark.parametrize(
    "content",
    [v for k, v in INSANE.items() if "key" not in k],
    ids=[k for k in INSANE if "key" not in k],
)
@bad("L02")
def test_such_a_collection_is_an_error_too(tmp_path: Path, content: bytes) -> None:
    root = any_dataset(tmp_path, files={"metadata/collection.json": content})

    assert places(root, "L02") == ["error metadata/collection.json#"]


@bad("I06")
def test_a_type_that_is_no_media_type_is_a_warning(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, any_item(assets={"map": any_asset(type="tif")}))

    assert places(root, "I06") == [f"warning {FILE}#/assets/map/type"]


@bad("I07")
def test_an_item_of_more_than_a_mebibyte_is_a_warning(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, any_item(properties={"x:notes": "n" * 2**20}))

    assert places(root, "I07") == [f"warning {FILE}#"]


@pytest.mark.parametrize("name", ["title", "description", "license", "keywords", "city"])
@bad("I08")
def test_a_property_that_hda_replaces_or_renames_is_noted(tmp_path: Path, name: str) -> None:
    value: object = ["a"] if name == "keywords" else "a"

    assert of(tmp_path, "I08", properties={name: value}) == [f"info {FILE}#/properties/{name}"]


@good("I08")
def test_properties_of_stac_and_its_extensions_are_kept(tmp_path: Path) -> None:
    kept = {"platform": "s3a", "gsd": 300, "eo__cloud_cover": 3, "created": "2024-11-17T00:00:00Z"}

    assert of(tmp_path, "I08", properties=kept) == []


@bad("I09")
def test_fields_of_an_extension_that_is_not_named_are_a_warning_once_a_prefix(
    tmp_path: Path,
) -> None:
    item = any_item(properties={"eo:cloud_cover": 5, "eo:snow_cover": 1, "proj:code": "EPSG:4326"})
    item["assets"]["map"]["proj:shape"] = [8, 8]
    root = any_dataset(tmp_path, item)

    assert places(root, "I09") == [
        "warning metadata/items/heat_20241116.json#/properties/eo:cloud_cover",
        "warning metadata/items/heat_20241116.json#/properties/proj:code",
    ]


@bad("I09")
def test_fields_of_assets_and_of_the_collection_are_looked_at_too(tmp_path: Path) -> None:
    item = any_item()
    item["assets"]["map"]["raster:bands"] = []
    document = any_collection(summaries={"sat:orbit_state": ["ascending"]})
    root = any_dataset(tmp_path, item, collection=document)

    assert places(root, "I09") == [
        "warning metadata/collection.json#/summaries/sat:orbit_state",
        "warning metadata/items/heat_20241116.json#/assets/map/raster:bands",
    ]


@good("I09")
@pytest.mark.parametrize("url", ["https://stac-extensions.github.io/eo/v1.1.0/schema.json", "eo"])
def test_fields_of_named_extensions_and_of_unknown_prefixes_pass(tmp_path: Path, url: str) -> None:
    properties = {"eo:cloud_cover": 5, "heat:index": 3, "dedl:x": 1}
    root = any_dataset(tmp_path, any_item(stac_extensions=[url], properties=properties))

    assert places(root, "I09") == []


@bad("I09")
def test_the_newest_schema_of_the_extension_is_proposed(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, any_item(properties={"eo:cloud_cover": 5}))

    (finding,) = found(root, "I09")
    assert finding.fix == (
        "Add https://stac-extensions.github.io/eo/v2.0.0/schema.json to stac_extensions."
    )
