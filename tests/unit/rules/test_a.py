"""Assets: A01 to A07."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pytest
from dedl_workbook.dataset.dataset import Folder
from dedl_workbook.rules import content
from dedl_workbook.rules.netcdf import needed_size
from PIL import Image

from tests.unit.builders import any_asset, any_collection, any_dataset, any_item, png, tiff, write
from tests.unit.rules.examples import bad, found, good, places, report
from tests.unit.rules.test_validation import any_target

FILE = "metadata/items/heat_20241116.json"
FOLDER = "data/2024/11/16"


def with_file(tmp_path: Path, name: str, content: bytes, **asset: Any) -> Path:
    """A dataset of one item with one file."""
    href = f"{FOLDER}/{name}"
    item = any_item(assets={"map": any_asset(href=href, **asset)})
    return any_dataset(tmp_path, item, files={href: content})


@pytest.mark.parametrize(
    "href",
    [
        *("/data/x.png", "file:///data/x.png", "file:x.png", "../x.png", "data/../../x.png"),
        *("data/%2e%2e/x.png", "data/2024/../x.png", "data//x.png", "x.png", "Data/x.png", "data"),
        *("metadata/collection.json", "C:\\data\\x.png", "data/", ""),
    ],
)
@bad("A01")
def test_an_href_that_is_no_path_inside_data_is_an_error(tmp_path: Path, href: str) -> None:
    root = any_dataset(tmp_path)
    write(root, FILE, any_item(assets={"a/b": any_asset(href=href)}))

    assert places(root, "A01") == [f"error {FILE}#/assets/a~1b/href"]


@bad("A01")
def test_an_href_that_names_no_file_is_an_error(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    (root / FOLDER / "heat_20241116/heat_20241116.png").unlink()

    assert places(root, "A01") == [f"error {FILE}#/assets/map/href"]


@bad("A01")
def test_an_href_that_differs_in_case_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    root = with_file(tmp_path, "Map.PNG", png())
    write(root, FILE, any_item(assets={"map": any_asset(href=f"{FOLDER}/map.png")}))

    (finding,) = found(root, "A01")

    assert f"{FOLDER}/Map.PNG" in finding.fix


@pytest.mark.parametrize("name", ["x.zarr", "x.zarr/", "tiles/"])
@bad("A01")
def test_a_folder_as_an_asset_is_an_error_that_says_what_to_deliver(
    tmp_path: Path, name: str
) -> None:
    root = with_file(tmp_path, f"{name.rstrip('/')}/0.0", png())
    write(root, FILE, any_item(assets={"map": any_asset(href=f"{FOLDER}/{name}")}))

    (finding,) = found(root, "A01")

    assert "An asset is one file" in finding.fix


@bad("A01")
def test_an_href_that_names_a_link_or_a_folder_is_an_error(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    (root / FOLDER / "link.png").symlink_to("heat_20241116/heat_20241116.png")
    assets = {
        "folder": any_asset(href=f"{FOLDER}/heat_20241116"),
        "link": any_asset(href=f"{FOLDER}/link.png"),
    }
    write(root, FILE, any_item(assets=assets))

    assert places(root, "A01") == [
        f"error {FILE}#/assets/{name}/href" for name in ("folder", "link")
    ]


@bad("A01")
def test_an_asset_of_the_collection_must_be_there_too(tmp_path: Path) -> None:
    assets = {"a": any_asset(href="data/none.png"), "b": any_asset(href="/none.png")}
    root = any_dataset(tmp_path, collection=any_collection(assets=assets))

    assert places(root, "A01") == [
        f"error metadata/collection.json#/assets/{name}/href" for name in ("a", "b")
    ]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("my file.png", "my file.png"),
        ("my file.png", "my%20file.png"),
        ("100%.png", "100%.png"),
        ("100%25.png", "100%25.png"),
        ("a[1].png", "a%5B1%5D.png"),
        ("é.png", "%C3%A9.png"),
    ],
)
@good("A01", "A04")
def test_percent_signs_are_taken_as_they_stand_or_decoded(
    tmp_path: Path, name: str, written: str
) -> None:
    root = with_file(tmp_path, name, png())
    write(root, FILE, any_item(assets={"map": any_asset(href=f"{FOLDER}/{written}")}))

    assert report(root).findings == ()


@good("A01")
def test_a_leading_dot_is_fine(tmp_path: Path) -> None:
    root = with_file(tmp_path, "x.png", png())
    write(root, FILE, any_item(assets={"map": any_asset(href=f"./{FOLDER}/x.png")}))

    assert report(root).findings == ()


HASHES = {"1220": "sha256", "1114": "sha1", "1340": "sha512", "d50110": "md5"}
HASHES |= {"c0e40240": "blake2b", "e0e40220": "blake2s"}


@pytest.mark.parametrize("prefix", HASHES)
@good("A02")
def test_sizes_and_checksums_that_agree_are_fine(tmp_path: Path, prefix: str) -> None:
    data = png()
    checksum = prefix + hashlib.new(HASHES[prefix], data).hexdigest()
    extra = {"file__checksum": checksum, "file__size": len(data)}

    assert places(with_file(tmp_path, "x.png", data, **extra), "A02") == []


@pytest.mark.parametrize("prefix", HASHES)
@bad("A02")
def test_a_checksum_that_does_not_agree_is_an_error(tmp_path: Path, prefix: str) -> None:
    checksum = prefix + hashlib.new(HASHES[prefix], b"other").hexdigest()
    root = with_file(tmp_path, "x.png", png(), file__checksum=checksum)

    assert places(root, "A02") == [f"error {FILE}#/assets/map/file:checksum"]


@pytest.mark.parametrize("checksum", ["", "zz", "1220ab", "0000", "7b01aa", "ff" * 12, 7])
@bad("A02")
def test_a_checksum_that_is_none_is_an_error(tmp_path: Path, checksum: object) -> None:
    root = with_file(tmp_path, "x.png", png(), file__checksum=checksum)

    assert places(root, "A02") == [f"error {FILE}#/assets/map/file:checksum"]


@bad("A02")
def test_a_checksum_of_an_unknown_algorithm_is_a_warning(tmp_path: Path) -> None:
    blake3 = "1e20" + "ab" * 32
    root = with_file(tmp_path, "x.png", png(), file__checksum=blake3)

    assert places(root, "A02") == [f"warning {FILE}#/assets/map/file:checksum"]


@bad("A02", "A03")
def test_assets_of_the_collection_are_looked_at_as_those_of_items(tmp_path: Path) -> None:
    wrong = {"file__size": 77, "file__checksum": "1220" + "00" * 32}
    asset = any_asset(href="data/t.png", **wrong)
    collection = any_collection(assets={"t": asset})
    root = any_dataset(tmp_path, collection=collection, files={"data/t.png": b"not a png"})

    where = "error metadata/collection.json#/assets/t/"
    assert places(root, "A02") == [f"{where}file:checksum", f"{where}file:size"]
    assert places(root, "A03") == [f"{where}type"]


@bad("A06", "C11")
def test_assets_of_the_collection_elsewhere_are_looked_at_as_those_of_items(tmp_path: Path) -> None:
    collection = any_collection(assets={"t": any_asset(href="https://x.example/a b")})
    root = any_dataset(tmp_path, collection=collection)

    assert places(root, "A06") == ["info metadata/collection.json#/assets/t/href"]
    assert places(root, "C11") == ["error metadata/collection.json#/assets/t/href"]


@bad("A01")
def test_an_href_that_names_a_link_is_no_regular_file(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    named = root / FOLDER / "heat_20241116/heat_20241116.png"
    named.rename(root / "data/kept.png")
    named.symlink_to(root / "data/kept.png")

    (told,) = found(root, "A01")

    assert "is no regular file" in told.message
    assert "exactly" not in told.fix


@bad("A02")
def test_a_size_that_does_not_agree_is_an_error(tmp_path: Path) -> None:
    root = with_file(tmp_path, "x.png", png(), file__size=7)

    assert places(root, "A02") == [f"error {FILE}#/assets/map/file:size"]


@pytest.mark.parametrize("size", [-3, 5.5, 7.0, 1e300, 2**63, 2**64 - 1, 2**70, True, "5", None])
@bad("A02")
def test_a_size_that_the_file_can_not_have_is_an_error(tmp_path: Path, size: object) -> None:
    root = with_file(tmp_path, "x.png", png(), file__size=size)

    assert places(root, "A02") == [f"error {FILE}#/assets/map/file:size"]


@good("A02")
def test_a_size_written_as_a_whole_float_is_fine(tmp_path: Path) -> None:
    """JSON schema calls it an integer, and generators write it."""
    root = with_file(tmp_path, "x.png", png(), file__size=float(len(png())))

    assert places(root, "A02") == []


def picture(kind: str, side: int = 64) -> bytes:
    out = io.BytesIO()
    noise = numpy.random.default_rng(1).integers(0, 255, (side, side), dtype="uint8")
    Image.fromarray(noise).save(out, kind)
    return out.getvalue()


def raster(folder: Path, **options: Any) -> bytes:
    """A GeoTIFF as GDAL writes it."""
    import rasterio

    path = folder / "made.tif"
    shape = {"count": 1, "height": 256, "width": 256, "dtype": "uint8"}
    transform = rasterio.Affine(0.1, 0, 2, 0, -0.1, 52)
    with rasterio.open(path, "w", "GTiff", transform=transform, **shape, **options) as file:
        data = numpy.random.default_rng(1).integers(0, 255, (1, 256, 256), dtype="uint8")
        file.write(data)
    return path.read_bytes()


def netcdf(version: int, records: int = 0) -> bytes:
    """A classic NetCDF file: x(4) of ints, and t(record) of doubles."""
    wide = 8 if version == 5 else 4
    offset = 4 if version == 1 else 8

    def count(value: int) -> bytes:
        return value.to_bytes(wide, "big")

    def name(text: str) -> bytes:
        return count(len(text)) + text.encode() + b"\0" * (-len(text) % 4)

    def tag(kind: int, length: int) -> bytes:
        return kind.to_bytes(4, "big") + count(length)

    def header(first: int, second: int) -> bytes:
        attribute = name("title") + (2).to_bytes(4, "big") + name("heat")
        dimensions = name("x") + count(4) + name("t") + count(0)
        x = name("x") + count(1) + count(0) + tag(0, 0) + (4).to_bytes(4, "big") + count(16)
        t = name("t") + count(1) + count(1) + tag(0, 0) + (6).to_bytes(4, "big") + count(8)
        return (
            *(b"CDF" + bytes([version]) + count(records), tag(10, 2) + dimensions),
            *(tag(12, 1) + attribute, tag(11, 2), x + first.to_bytes(offset, "big")),
            t + second.to_bytes(offset, "big"),
        )

    start = sum(map(len, header(0, 0)))
    return b"".join(header(start, start + 16)) + bytes(16 + 8 * records)


def hdf5(version: int, size: int = 2048) -> bytes:
    if version < 2:
        head = bytes([version, 0, 0, 0, 0, 8, 8, 0]) + bytes(8) + bytes(4 * version)
    else:
        head = bytes([version, 8, 8, 0])
    end = struct.pack("<QQQ", 0, 2**64 - 1, size)
    return (b"\x89HDF\r\n\x1a\n" + head + end).ljust(size, b"\1")


def hdf4() -> bytes:
    """An HDF 4 file of one object of 500 bytes, and a descriptor that isn't used."""
    unused = struct.pack(">HHII", 1, 0, 2**32 - 1, 2**32 - 1)
    used = struct.pack(">HHII", 702, 2, 34, 500)
    return b"\x0e\x03\x13\x01" + struct.pack(">HI", 2, 0) + unused + used + b"\1" * 500


def grib(messages: int = 3, edition: int = 2) -> bytes:
    body = bytes(90)
    if edition == 2:
        one = b"GRIB\0\0\0\2" + (16 + 90 + 4).to_bytes(8, "big") + body + b"7777"
    else:
        one = b"GRIB" + (8 + 90 + 4).to_bytes(3, "big") + b"\1" + body + b"7777"
    return one * messages


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("a.txt", b"hello" * 2000)
    return out.getvalue()


WHOLE = {
    "a TIFF of one strip": ("image/tiff", lambda folder: tiff()),
    "a GeoTIFF": ("image/tiff; application=geotiff", raster),
    "a tiled GeoTIFF": (
        "image/tiff; application=geotiff; profile=cloud-optimized",
        lambda folder: raster(folder, tiled=True, blockxsize=64, blockysize=64, compress="deflate"),
    ),
    "a BigTIFF": ("image/tiff", lambda folder: raster(folder, BIGTIFF="YES")),
    "a big-endian TIFF": ("image/tiff", lambda folder: raster(folder, ENDIANNESS="BIG")),
    "a PNG": ("image/png", lambda folder: picture("PNG")),
    "a JPEG": ("image/jpeg", lambda folder: picture("JPEG")),
    "a large JPEG": ("image/jpeg", lambda folder: picture("JPEG", 1024)),
    "a NetCDF 1": ("application/x-netcdf", lambda folder: netcdf(1)),
    "a NetCDF 2 of records": ("application/netcdf", lambda folder: netcdf(2, 5)),
    "a NetCDF 5 of records": ("application/netcdf", lambda folder: netcdf(5, 5)),
    "a NetCDF 4": ("application/x-netcdf", lambda folder: hdf5(2)),
    "an HDF5 0": ("application/x-hdf5", lambda folder: hdf5(0)),
    "an HDF5 1": ("application/x-hdf5", lambda folder: hdf5(1)),
    "an HDF5 3": ("application/x-hdf5", lambda folder: hdf5(3)),
    "an HDF 4": ("application/x-hdf", lambda folder: hdf4()),
    "an HDF 5 called HDF": ("application/x-hdf", lambda folder: hdf5(2)),
    "a GRIB 2": ("application/wmo-GRIB2", lambda folder: grib()),
    "a GRIB 2 of many messages": ("application/x-grib", lambda folder: grib(201)),
    "a GRIB 1": ("application/x-grib", lambda folder: grib(edition=1)),
    "a ZIP": ("application/zip", lambda folder: archive()),
}


@pytest.mark.parametrize(("media_type", "make"), WHOLE.values(), ids=WHOLE.keys())
@good("A03")
def test_a_whole_file_of_its_media_type_is_fine(tmp_path: Path, media_type: str, make: Any) -> None:
    root = with_file(tmp_path, "x", make(tmp_path), type=media_type)

    assert report(root).findings == ()


@bad("A03")
def test_a_grib_whose_last_message_is_cut_off_behind_padding_is_an_error(tmp_path: Path) -> None:
    padded = grib(1) + bytes(2000) + grib(1)
    whole = with_file(tmp_path / "whole", "x", padded, type="application/x-grib")
    cut = with_file(tmp_path / "cut", "x", padded[:-20], type="application/x-grib")

    assert places(whole, "A03") == []
    assert places(cut, "A03") == [f"error {FILE}#/assets/map/type"]


@pytest.mark.parametrize("part", [0.999, 0.7, 0.4])
@pytest.mark.parametrize(("media_type", "make"), WHOLE.values(), ids=WHOLE.keys())
@bad("A03")
def test_a_truncated_file_is_an_error(
    tmp_path: Path, media_type: str, make: Any, part: float
) -> None:
    whole = make(tmp_path)
    root = with_file(
        tmp_path, "x", whole[: min(len(whole) - 9, int(len(whole) * part))], type=media_type
    )

    assert places(root, "A03") == [f"error {FILE}#/assets/map/type"]


@pytest.mark.parametrize(
    ("media_type", "start"),
    [
        ("image/tiff", b"II*\0"),
        ("image/tiff", b"II+\0\x08\0\0\0"),
        ("image/tiff", b"II*\0\x08\0\0\0"),
        ("image/vnd.stac.geotiff; cloud-optimized=true", b"MM\0*"),
        ("image/png", b"\x89PNG\r\n\x1a\n"),
        ("image/jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF"),
        ("application/x-hdf5", b"\x89HDF\r\n\x1a\n"),
        ("application/wmo-GRIB2", b"GRIB"),
        ("application/x-hdf", b"\x0e\x03\x13\x01\0\2\0\0\0\0" + b"\1" * 12),
    ],
)
@bad("A03")
def test_a_file_whose_room_was_made_but_never_filled_is_an_error(
    tmp_path: Path, media_type: str, start: bytes
) -> None:
    # Ends that a format has are there, as of a file that was fetched in parts.
    ends = b"\0\0\0\0IEND\xaeB`\x82" if "png" in media_type else b"7777"
    root = with_file(tmp_path, "x", start + bytes(5000) + ends, type=media_type)

    assert places(root, "A03") == [f"error {FILE}#/assets/map/type"]


@pytest.mark.parametrize("media_type", sorted({media_type for media_type, _ in WHOLE.values()}))
@bad("A03")
def test_a_file_of_another_format_is_an_error(tmp_path: Path, media_type: str) -> None:
    content = b"<html>403 Forbidden</html>"
    root = with_file(tmp_path, "x", content, type=media_type)

    assert places(root, "A03") == [f"error {FILE}#/assets/map/type"]


@bad("A03")
def test_a_mislabelled_file_is_told_by_its_real_name(tmp_path: Path) -> None:
    root = with_file(tmp_path, "x.jpg", png(), type="image/jpeg")

    (finding,) = found(root, "A03")

    assert finding.message == "the file is called JPEG, but holds PNG"


@good("A03")
def test_other_media_types_are_not_looked_into(tmp_path: Path) -> None:
    assert report(with_file(tmp_path, "x", b"?", type="text/csv")).findings == ()


@good("A03")
def test_a_netcdf_header_that_can_not_be_read_to_its_end_tells_nothing() -> None:
    assert needed_size(netcdf(1)[:40]) is None


@good("A03")
def test_the_records_of_a_netcdf_variable_that_is_the_only_one_of_records_are_not_padded() -> None:
    dimension = struct.pack(">3I4sI", 10, 1, 1, b"t", 0)
    variable = struct.pack(">3I4s2I", 11, 1, 1, b"v", 1, 0)
    # Of bytes, from the end of the header on.
    rest = struct.pack(">5I", 0, 0, 1, 4, 80)
    header = b"CDF\1" + struct.pack(">I", 5) + dimension + bytes(8) + variable + rest

    assert len(header) == 80
    assert needed_size(header) == 80 + 5


@pytest.mark.parametrize("start", [2**63, 2**64 - 1])
@bad("A03")
def test_a_tiff_that_promises_what_lies_beyond_any_file_is_an_error(
    tmp_path: Path, start: int
) -> None:
    large = b"II+\0" + struct.pack("<HHQ", 8, 0, start) + bytes(content.HEAD)
    root = with_file(tmp_path, "x", large, type="image/tiff")

    assert places(root, "A03") == [f"error {FILE}#/assets/map/type"]


@bad("A03")
def test_a_netcdf_variable_of_endless_dimensions_is_beyond_any_file() -> None:
    dimension = struct.pack(">3I4sI", 10, 1, 1, b"x", 2**32 - 1)
    variable = struct.pack(">3I4sI5000I", 11, 1, 1, b"v", 5000, *[0] * 5000)
    rest = struct.pack(">5I", 0, 0, 6, 0, 0)

    needed = needed_size(b"CDF\1" + struct.pack(">I", 0) + dimension + bytes(8) + variable + rest)

    assert needed is not None
    assert 2**63 < needed < 2**70


@bad("A03")
def test_a_tiff_that_repeats_a_table_of_places_is_not_read_again_for_each(tmp_path: Path) -> None:
    class Counting(Folder):
        reads = 0

        def read(self, path: str, start: int = 0, length: int | None = None) -> bytes:
            type(self).reads += 1
            return super().read(path, start, length)

    entries = struct.pack("<HHII", 273, 4, 5000, 4096) * 50
    head = struct.pack("<2sHIH", b"II", 42, 8, 50) + entries + bytes(4)
    write(tmp_path, "x.tif", head.ljust(4096 + 4 * 5000, b"\0"))

    assert content.inspect(Counting(tmp_path), "x.tif", content.TIFF) == content.Content(
        4096 + 4 * 5000
    )
    assert Counting.reads == 1


@bad("A03")
def test_a_file_that_can_not_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = with_file(tmp_path, "x.png", png())
    opened = os.open

    def refusing(path: str, *args: Any, **options: Any) -> int:
        if str(path).endswith("x.png"):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *args, **options)

    monkeypatch.setattr(os, "open", refusing)

    (finding,) = found(root, "A03")

    assert "Permission denied" in finding.message


@bad("A04")
def test_a_data_file_without_an_item_is_a_warning(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, files={f"{FOLDER}/left.png": png()})

    assert places(root, "A04") == [f"warning {FOLDER}/left.png#"]


@good("A04")
def test_the_settings_of_the_generator_are_no_data(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, files={f"{FOLDER}/heat_20241116/item_config.json": b"{}"})

    assert places(root, "A04") == []


@bad("A05")
def test_a_file_of_two_items_is_a_warning_of_all_but_the_first(tmp_path: Path) -> None:
    shared = {"map": any_asset()}
    root = any_dataset(tmp_path, any_item(), any_item("other", assets=shared))

    assert places(root, "A05") == ["warning metadata/items/other.json#/assets/map/href"]


@good("A05")
def test_an_item_and_the_collection_may_share_a_file(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, collection=any_collection(assets={"thumbnail": any_asset()}))

    assert report(root).findings == ()


REMOTE = ["https://x.example/a.png", "HTTP://x/a.png"]
OTHERS = ["s3://bucket/a.png", "gs://bucket/a.png", "abfs://a@b/c", "ftp://x/a", "S3://b/a", "x:a"]


@pytest.mark.parametrize("href", [*REMOTE, *OTHERS])
@bad("A06")
def test_a_remote_href_is_an_error_and_no_path(tmp_path: Path, href: str) -> None:
    assets = {"map": any_asset(), "more": any_asset(href=href)}
    root = any_dataset(tmp_path, any_item(assets=assets))

    for target in (None, any_target(remote_assets="list")):
        assert places(root, "A06", target=target) == [f"error {FILE}#/assets/more/href"]
        assert places(root, "A01", target=target) == []


@pytest.mark.parametrize("href", REMOTE)
@good("A06")
def test_an_item_that_lies_elsewhere_as_a_whole_is_noted_where_the_target_lists_such(
    tmp_path: Path, href: str
) -> None:
    root = any_dataset(tmp_path, any_item(assets={"map": any_asset(href=href)}))

    listed = places(root, "A06", target=any_target(remote_assets="list"))
    assert listed == [f"info {FILE}#/assets/map/href"]
    assert places(root, "A06") == [f"error {FILE}#/assets/map/href"]


@pytest.mark.parametrize("href", [*REMOTE, *OTHERS])
@bad("A06")
def test_alternates_and_links_lead_to_web_pages_at_most(tmp_path: Path, href: str) -> None:
    severity = "info" if href in REMOTE else "error"
    asset = any_asset(alternate={"other": {"href": href}})
    links = [{"rel": "via", "href": href}]
    root = any_dataset(tmp_path, any_item(assets={"map": asset}, links=links))

    wrong = [f"{severity} {FILE}#/assets/map/alternate/other/href"]
    wrong += [] if href in REMOTE else [f"error {FILE}#/links/0/href"]
    assert places(root, "A06") == wrong


@pytest.mark.parametrize("href", OTHERS)
@bad("A06")
def test_the_collection_leads_to_web_pages_at_most(tmp_path: Path, href: str) -> None:
    collection = any_collection(assets={"t": any_asset(href=href)})
    root = any_dataset(tmp_path, collection=collection)

    assert places(root, "A06") == ["error metadata/collection.json#/assets/t/href"]


@good("A06")
def test_local_hrefs_are_not_noted_as_remote(tmp_path: Path) -> None:
    assert places(any_dataset(tmp_path), "A06") == []


@bad("A07")
def test_assets_of_one_base_name_are_an_error(tmp_path: Path) -> None:
    assets = {name: any_asset(href=f"{FOLDER}/{name}/x.png") for name in ("a", "b")}
    root = any_dataset(tmp_path, any_item(assets=assets))

    assert places(root, "A07") == [f"error {FILE}#/assets/b/href"]


@bad("A07")
def test_an_asset_called_like_hdas_own_is_an_error(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, any_item(assets={"downloadLink": any_asset()}))

    assert places(root, "A07") == [f"error {FILE}#/assets/downloadLink"]


@good("A07")
def test_addresses_of_services_have_no_base_names(tmp_path: Path) -> None:
    hrefs = ("https://x.example/wms/", "https://y.example/wms/", "https://x.example/a?b=c/map.png")
    remote = {href: any_asset(href=href) for href in hrefs}
    assets = {"map": any_asset(href=f"{FOLDER}/map.png"), **remote}

    assert places(any_dataset(tmp_path, any_item(assets=assets)), "A07") == []


@good("A07")
def test_assets_of_different_base_names_are_fine(tmp_path: Path) -> None:
    assets = {name: any_asset(href=f"{FOLDER}/{name}.png") for name in ("a", "b")}

    assert report(any_dataset(tmp_path, any_item(assets=assets))).findings == ()


@pytest.mark.parametrize(
    ("href", "says"),
    [
        ("../../data/2024/11/16/x.png", "starts from the item's folder"),
        ("data\\2024\\11\\16\\x.png", "has backslashes"),
        ("..\\..\\data\\2024\\11\\16\\x.png", "has backslashes"),
        ("../../etc/passwd", "leads out of data/"),
        ("data/../x.png", "leads out of data/"),
    ],
)
@bad("A01")
def test_an_href_that_is_written_from_elsewhere_is_told_as_what_it_is(
    tmp_path: Path, href: str, says: str
) -> None:
    root = any_dataset(tmp_path)
    write(root, "data/2024/11/16/x.png", png())
    write(root, FILE, any_item(assets={"map": any_asset(href=href)}))

    (finding,) = found(root, "A01")

    assert says in finding.message
    if "leads out" not in says:
        assert finding.fix == "Write it as 'data/2024/11/16/x.png'."


@pytest.mark.parametrize(
    ("href", "name"), [("Zu\u0308rich.png", "Z\u00fcrich.png"), ("Z\u00fc.png", "Zu\u0308.png")]
)
@bad("A01")
def test_names_in_another_unicode_form_are_told_with_their_code_points(
    tmp_path: Path, href: str, name: str
) -> None:
    root = any_dataset(tmp_path)
    write(root, f"data/2024/{name}", png())
    write(root, FILE, any_item(assets={"map": any_asset(href=f"data/2024/{href}")}))

    (finding,) = found(root, "A01")

    assert "another Unicode form" in finding.message
    assert "U+0075 U+0308" in finding.message
    assert "U+00FC" in finding.message


@bad("A07")
def test_one_file_under_two_keys_is_a_warning(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, any_item(assets={"map": any_asset(), "data": any_asset()}))

    (finding,) = found(root, "A07")

    assert (finding.severity, finding.pointer) == ("warning", "/assets/data")
    assert finding.fix == "Drop one of the two assets."
