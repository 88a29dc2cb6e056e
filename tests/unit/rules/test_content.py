"""Content: what a file holds is what its type says, and nothing of it is cut off."""

from __future__ import annotations

import gzip
import sqlite3
import struct
from pathlib import Path

import pytest
from dedl_workbook.rules.findings import Report

from tests.unit.builders import GONE, any_asset, any_dataset, any_item, png, write
from tests.unit.rules.examples import bad, found, good, places, report

FILE = "metadata/items/heat_20241116.json"
HTML = b"<!DOCTYPE html><html><body>404</body></html>"
STORE = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>'


def las(points: int = 3, length: int = 20) -> bytes:
    head = bytearray(227)
    head[:4], head[24:26] = b"LASF", b"\1\2"
    struct.pack_into("<I", head, 96, 227)
    struct.pack_into("<BHI", head, 104, 0, length, points)
    return bytes(head) + bytes(points * length)


def laz(points: int = 3, *, table_last: bool = False) -> bytes:
    """Packed points: 40 bytes of them, and the table of their chunks."""
    head = bytearray(las(points)[:227])
    head[104] = 0x80
    table = 227 + 8 + 40
    place = struct.pack("<q", -1 if table_last else table)
    return bytes(head) + place + bytes(40) + bytes(16) + struct.pack("<q", table) * table_last


def flatgeobuf(features: int = 3, width: int = 16) -> bytes:
    """Features of 20 bytes each behind the smallest header, with an index of that width."""
    # A flatbuffer: the place of its table, its fields, the table itself.
    fields = struct.pack("<12H", 24, 16, *[0] * 8, 8, 4)
    table = struct.pack("<iHxxQ", len(fields), width, features)
    header = struct.pack("<I", 4 + len(fields)) + fields + table
    leaves = b"".join(struct.pack("<4dQ", 0, 0, 1, 1, 24 * n) for n in range(features))
    index = struct.pack("<4dQ", 0, 0, 1, 1, 40) + leaves if width else b""
    pages = (struct.pack("<I", 20) + bytes(20)) * features
    return b"fgb\3fgb\0" + struct.pack("<I", len(header)) + header + index + pages


def geopackage() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table t (a)")
        return connection.serialize()


WHOLE = {
    "image/jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I4s", 20, b"ftyp") + bytes(12),
    "application/gzip": gzip.compress(bytes(range(256)) * 40) + gzip.compress(b"more"),
    "application/pdf": b"%PDF-1.7\n" + bytes(3000) + b"\n%%EOF\n",
    "application/vnd.apache.parquet": b"PAR1" + bytes(90) + struct.pack("<I", 20) + b"PAR1",
    "application/vnd.las": las(),
    "application/vnd.laszip": laz(),
    "application/vnd.flatgeobuf": flatgeobuf(),
    "application/geopackage+sqlite3": geopackage(),
    "application/json": b'{"a": [1, 2, 3]}',
    "application/geo+json": b'{"type": "FeatureCollection", "features": []}',
    "text/csv": b"a;b\n1;2\n",
}


def of(tmp_path: Path, content: bytes, media_type: object) -> list[str]:
    asset = any_asset(type=media_type)
    root = any_dataset(tmp_path, any_item(assets={"map": asset}))
    write(root, asset["href"], content)
    return places(root, "A03")


@pytest.mark.parametrize(("media_type", "content"), WHOLE.items())
@good("A03")
def test_a_whole_file_of_its_type_is_fine(tmp_path: Path, media_type: str, content: bytes) -> None:
    assert of(tmp_path, content, media_type) == []


@pytest.mark.parametrize(
    ("media_type", "content"), [entry for entry in WHOLE.items() if entry[0] != "text/csv"]
)
@bad("A03")
def test_a_file_that_is_cut_off_is_an_error(
    tmp_path: Path, media_type: str, content: bytes
) -> None:
    assert of(tmp_path, content[: len(content) * 3 // 4], media_type) == [
        f"error {FILE}#/assets/map/type"
    ]


ANSWERS = [
    HTML,
    STORE,
    b"\n  <html >",
    b"\xef\xbb\xbf<!DOCTYPE HTML PUBLIC '-//IETF//DTD HTML 2.0//EN'>",
    b"<!-- moved -->\n<!-- -- > --><HEAD>",
    b"\xef\xbb\xbf<?xml version='1.0'?><Error xmlns='urn:x'>\n<Message>no</Message></Error>",
]


@pytest.mark.parametrize("content", ANSWERS)
@pytest.mark.parametrize("media_type", [*WHOLE, "image/png", "application/x-own", GONE])
@bad("A03")
def test_a_servers_answer_in_the_place_of_data_is_an_error(
    tmp_path: Path, media_type: object, content: bytes
) -> None:
    field = "href" if media_type is GONE else "type"

    assert of(tmp_path, content, media_type) == [f"error {FILE}#/assets/map/{field}"]


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ("text/html", HTML),
        ("application/xhtml+xml", b"<html xmlns='http://www.w3.org/1999/xhtml'></html>"),
        ("text/html; charset=utf-8", b"<!-- a page --><html></html>"),
        ("application/xml", b"<?xml version='1.0'?><metadata><Error>3</Error></metadata>"),
        ("image/svg+xml", b"<svg></svg>"),
        ("text/plain", b"<3 this"),
        ("application/x-own", png()),
        ("text/csv", "a;b".encode("utf-16")),
        ("text/csv; charset=latin1", "Größe;Höhe\r\n\x1a".encode("latin1")),
        ("application/geo+json", b'\xef\xbb\xbf{"type": "Point", "coordinates": [1, 2]}'),
    ],
)
@good("A03")
def test_markup_that_its_type_names_is_fine(
    tmp_path: Path, media_type: str, content: bytes
) -> None:
    assert of(tmp_path, content, media_type) == []


@pytest.mark.parametrize(
    ("media_type", "content", "says"),
    [
        ("application/geo+json", b'{"type": "Topology"}', "no object of a GeoJSON type"),
        ("application/json", b"{'a': 1}", "is called JSON, but is none"),
        ("text/csv", png(), "is called CSV, but is no text"),
        ("text/tab-separated-values", b"a\tb\n\x02\x03", "is called CSV, but is no text"),
        ("application/vnd.cov+json", b"{", "is called JSON, but is none"),
        ("application/xml", HTML, "holds an HTML page"),
        ("application/gzip", png(), "is called gzip, but holds PNG"),
        ("image/png", WHOLE["image/jp2"], "is called PNG, but holds JPEG 2000"),
    ],
)
@bad("A03")
def test_what_the_file_holds_instead_is_told(
    tmp_path: Path, media_type: str, content: bytes, says: str
) -> None:
    asset = any_asset(type=media_type)
    root = any_dataset(tmp_path, any_item(assets={"map": asset}))
    write(root, asset["href"], content)

    (finding,) = found(root, "A03")

    assert says in finding.message


FORMATS = {
    "image/jp2": ("JP2OpenJPEG", {}),
    "image/tiff; application=geotiff; profile=cloud-optimized": ("COG", {"BLOCKSIZE": "128"}),
    "image/tiff; application=geotiff": ("GTiff", {"tiled": "yes", "bigtiff": "yes"}),
}
COG = next(iter(k for k in FORMATS if "cloud" in k))


def raster(folder: Path, driver: str, side: int = 700, **options: object) -> bytes:
    """A picture as GDAL writes it."""
    numpy, rasterio = pytest.importorskip("numpy"), pytest.importorskip("rasterio")
    path = folder / "x.bin"
    pixels = numpy.arange(side * side, dtype="uint16").reshape(1, side, side)
    place = {
        "crs": "EPSG:4326",
        "transform": rasterio.transform.from_origin(2.5, 51.5, 0.001, 0.001),
    }
    size = {"width": side, "height": side, "count": 1, "dtype": "uint16"}
    with rasterio.open(path, "w", driver=driver, **size, **place, **options) as file:
        file.write(pixels)
    return path.read_bytes()


@pytest.mark.parametrize("media_type", FORMATS)
@good("A03")
@bad("A03")
def test_what_gdal_writes_is_whole_and_what_is_cut_off_of_it_is_not(
    tmp_path: Path, media_type: str
) -> None:
    driver, options = FORMATS[media_type]
    content = raster(tmp_path, driver, **options)

    assert of(tmp_path / "whole", content, media_type) == []
    assert of(tmp_path / "cut", content[:-500], media_type) == [f"error {FILE}#/assets/map/type"]


@pytest.mark.parametrize("index", ["YES", "NO"])
@bad("A03")
def test_a_flatgeobuf_that_gdal_wrote_is_whole_and_one_cut_off_is_not(
    tmp_path: Path, index: str
) -> None:
    geopandas, shapely = pytest.importorskip("geopandas"), pytest.importorskip("shapely")
    points = [shapely.Point(n % 90, n % 45) for n in range(500)]
    frame = geopandas.GeoDataFrame({"n": range(500)}, geometry=points, crs="EPSG:4326")
    frame.to_file(tmp_path / "x.fgb", driver="FlatGeobuf", SPATIAL_INDEX=index)
    content = (tmp_path / "x.fgb").read_bytes()

    assert of(tmp_path / "whole", content, "application/vnd.flatgeobuf") == []
    assert of(tmp_path / "cut", content[:-30], "application/vnd.flatgeobuf")


@bad("A03")
def test_parquet_and_geopackage_as_libraries_write_them_are_whole_and_cut_off_not(
    tmp_path: Path,
) -> None:
    geopandas, shapely = pytest.importorskip("geopandas"), pytest.importorskip("shapely")
    points = [shapely.Point(n % 90, n % 45) for n in range(500)]
    frame = geopandas.GeoDataFrame({"n": range(500)}, geometry=points, crs="EPSG:4326")
    frame.to_parquet(tmp_path / "x.parquet")
    frame.to_file(tmp_path / "x.gpkg", driver="GPKG")
    types = {"parquet": "application/vnd.apache.parquet", "gpkg": "application/geopackage+sqlite3"}

    for name, media_type in types.items():
        content = (tmp_path / f"x.{name}").read_bytes()
        assert of(tmp_path / name / "whole", content, media_type) == []
        assert of(tmp_path / name / "cut", content[:-100], media_type)


@pytest.mark.parametrize("table_last", [True, False])
@good("A03")
@bad("A03")
def test_packed_points_need_the_table_of_their_chunks(tmp_path: Path, table_last: bool) -> None:
    content = laz(1000, table_last=table_last)

    assert of(tmp_path / "whole", content, "application/vnd.laszip") == []
    assert of(tmp_path / "cut", content[:260], "application/vnd.laszip") == [
        f"error {FILE}#/assets/map/type"
    ]


@pytest.mark.parametrize("width", [0, 16])
@bad("A03")
def test_a_flatgeobuf_without_the_end_of_its_last_feature_is_cut_off(
    tmp_path: Path, width: int
) -> None:
    content = flatgeobuf(width=width)

    assert of(tmp_path / "whole", content, "application/vnd.flatgeobuf") == []
    cut = content[:-1] if width else content[: -3 * 24 + 10]
    assert of(tmp_path / "cut", cut, "application/vnd.flatgeobuf")


def cog(*directories: dict[int, int], first: int = 0) -> bytes:
    """The tables of a TIFF whose images have these tags; `first` is where they start."""
    start = first or 8
    size = 2 + 12 * 9 + 4
    out = bytearray(b"II*\0" + struct.pack("<I", start)).ljust(start, b"\0")
    for n, tags in enumerate(directories, 1):
        whole = {257: tags[256], 322: 256, 325: 10, **tags}
        out += struct.pack("<H", len(whole))
        for tag, value in sorted(whole.items()):
            out += struct.pack("<HHII", tag, 4, 1, value)
        following = start + n * size if n < len(directories) else 0
        out += struct.pack("<I", following)
        out = out.ljust(start + n * size, b"\0")
    return bytes(out.ljust(9000, b"\0"))


MAIN, HALF, QUARTER = (
    {256: 2048, 324: 8000},
    {254: 1, 256: 1024, 324: 7000},
    {254: 1, 256: 512, 324: 6000},
)
STRIPS = {256: 2048, 273: 8000, 279: 10}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (cog(MAIN, HALF, QUARTER), ""),
        (cog({256: 400, 273: 8000, 279: 10}), ""),
        (cog(MAIN, {254: 4, 256: 2048, 324: 7900}, HALF, {254: 5, 256: 1024, 324: 6900}), ""),
        (cog(MAIN, HALF, {254: 1, 256: 512, 324: 0}), ""),
        (cog(STRIPS, HALF, QUARTER), "its 2048 x 2048 pixels are not in tiles"),
        (cog(MAIN), "it has no overviews"),
        (
            cog(MAIN, {**HALF, 256: 512}, {**QUARTER, 256: 1024}),
            "its overviews don't grow smaller one by one",
        ),
        (cog(HALF, QUARTER), "its first image is an overview"),
        (cog(MAIN, HALF, first=8500), "its directories don't stand in front of its pixels"),
        (
            cog({**MAIN, 324: 5000}, HALF),
            "the pixels of its overviews don't stand in front of the image's",
        ),
    ],
)
@good("A03")
@bad("A03")
def test_a_tiff_that_claims_to_be_cloud_optimized_is_warned_of_if_it_is_not(
    tmp_path: Path, content: bytes, says: str
) -> None:
    asset = any_asset(type=COG)
    root = any_dataset(tmp_path, any_item(assets={"map": asset}))
    write(root, asset["href"], content)

    messages = [f"{f.severity}: {f.message}" for f in found(root, "A03")]

    assert messages == (
        [f"warning: the file is called cloud-optimized, but {says}"] if says else []
    )


@good("A03")
def test_a_tiff_that_claims_nothing_may_be_in_strips(tmp_path: Path) -> None:
    assert of(tmp_path, cog(STRIPS), "image/tiff; application=geotiff") == []


def test_the_reports_head_counts_by_type_what_was_not_looked_into(tmp_path: Path) -> None:
    types = {"a": "application/xml", "b": "application/xml; charset=utf-8", "c": GONE}
    assets = {
        key: any_asset(href=f"data/2024/11/16/x/{key}.bin", type=kind)
        for key, kind in types.items()
    }
    root = any_dataset(tmp_path, any_item(assets={**assets, "map": any_asset()}))
    for asset in assets.values():
        write(root, asset["href"], b"<a/>")

    whole = report(root)

    assert whole.unknown == {"application/xml": 2, "no type": 1}
    assert whole.verdict == ("passed; 3 files were not looked into (2 application/xml, 1 no type)")
    assert Report.from_json(whole.as_json()) == whole


@pytest.mark.parametrize(
    ("media_type", "start", "name"),
    [
        ("application/gzip", b"\x1f\x8b", "gzip of more than 16.8 MB"),
        ("application/json", b"[", "application/json of more than 16.8 MB"),
    ],
)
def test_of_what_is_large_nothing_is_unpacked_and_that_is_said(
    tmp_path: Path, media_type: str, start: bytes, name: str
) -> None:
    asset = any_asset(type=media_type)
    root = any_dataset(tmp_path, any_item(assets={"map": asset}))
    write(root, asset["href"], start)
    with (root / asset["href"]).open("r+b") as file:
        file.truncate(16 * 2**20 + 1)

    assert report(root).unknown == {name: 1}


def test_comments_without_end_before_a_page_take_no_time(tmp_path: Path) -> None:
    assert of(tmp_path, b"<!---->" * 500 + b"<x>", "text/plain") == []
