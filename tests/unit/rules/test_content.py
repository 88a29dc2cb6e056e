"""Content: what a file holds is what its type says, and nothing of it is cut off."""

from __future__ import annotations

import gzip
import sqlite3
import struct
from pathlib import Path

import pytest

from tests.unit.builders import GONE, any_asset, any_dataset, any_item, png, write
from tests.unit.rules.examples import bad, found, good, places

FILE = "metadata/items/heat_20241116.json"
HTML = b"<!DOCTYPE html><html><body>404</body></html>"
STORE = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>'


def las(points: int = 3, length: int = 20) -> bytes:
    head = bytearray(227)
    head[:4], head[24:26] = b"LASF", b"\1\2"
    struct.pack_into("<I", head, 96, 227)
    struct.pack_into("<BHI", head, 104, 0, length, points)
    return bytes(head) + bytes(points * length)


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
    "application/vnd.flatgeobuf": b"fgb\3fgb\0" + struct.pack("<I", 50) + bytes(60),
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


@pytest.mark.parametrize("content", [HTML, STORE, b"\n  <html >"])
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
        ("application/xml", b"<?xml version='1.0'?><metadata><Error>3</Error></metadata>"),
        ("image/svg+xml", b"<svg></svg>"),
        ("text/plain", b"<3 this"),
        ("application/x-own", png()),
        ("text/csv", "a;b".encode("utf-16")),
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
