"""Files that lead whoever opens them elsewhere: explored, they show themselves or a sentence.

Each is opened once without confinement too, where it works as its maker meant.
"""

from __future__ import annotations

import base64
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.base.errors import InputError
from dedl_workbook.dataset.dataset import open_dataset
from dedl_workbook.notebooks import explore
from dedl_workbook.notebooks.explore import preview

from tests.unit.builders import any_asset, any_dataset, any_item, png

rasterio = pytest.importorskip("rasterio")
SECRET = 77
"""The value of a file that belongs to somebody else."""
EXTERNAL = "/" + "p" * 199
HDF5 = zlib.decompress(
    base64.b64decode(
        "eNrr9HBx4+WS4mIAAQ4OBhYGAQZk8B8KCthQ+TD5BCjNCKU7oPQKJpg4I1hOAiouCDUfXV1IkKsrSPV/NAC"
        "zR4MVQnMwjIKRCDxcHQNAdASUD0ulJ5hQ1SWipUcPCu1lZGCDmMUI42tAaCZGlPSIi2YGupQR6l5kHaxAGs"
        "RnYoIYxA40lxGqBpRjDFiwp3cHuPmQHMXMCMspDmgqA2gaDzfQwjmABVWdfsHwADD/BPv5u4DiBRYfCsyje"
        "ZIcAAD9BI5Q"
    )
)
"""An HDF5 file of 8 x 8 bytes that lie outside, in the file EXTERNAL."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """An address of the submitter's, and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}", asked
        served.shutdown()
        thread.join()


def raster(
    path: Path, value: int = 0, tags: dict[str, dict[str, str]] | None = None, side: int = 8
) -> Path:
    """Write a GeoTIFF with metadata of its own by domain."""
    import numpy
    from rasterio.errors import NotGeoreferencedWarning

    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"width": side, "height": side, "count": 1, "dtype": "uint8"}
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.open(path, "w", driver="GTiff", **profile) as out,
    ):
        out.write(numpy.full((1, side, side), value, "uint8"))
        for domain, values in (tags or {}).items():
            out.update_tags(ns=domain, **values)
    return path


def unconfined(path: Path, driver: str, size: int = 8) -> tuple[list[str], list[int]]:
    """Open a file as any program does, and return its parts and the values of its first band."""
    from rasterio.errors import NotGeoreferencedWarning

    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.open(path, driver=driver) as source,
    ):
        for name in source.subdatasets:
            try:
                rasterio.open(name).close()
            except rasterio.RasterioIOError:
                continue
        return source.subdatasets, source.read(1, out_shape=(size, size)).ravel().tolist()


def explored(tmp_path: Path, name: str) -> str:
    """Return what the notebook shows of a file of the dataset at `tmp_path`."""
    href = f"data/2024/{name}"
    item = any_item(assets={"map": any_asset(href=href)})
    content = (tmp_path / name).read_bytes()
    root = any_dataset(tmp_path / "delivered", item, files={href: content})
    return repr(explore.data_file(explore.look(str(root))))


def test_parts_that_a_geotiff_invents_are_not_fetched(
    tmp_path: Path, server: tuple[str, list[str]]
) -> None:
    url, asked = server
    tags = {"SUBDATASETS": {"SUBDATASET_1_NAME": f"/vsicurl/{url}/a.tif"}}
    file = raster(tmp_path / "a.tif", tags=tags)

    assert explored(tmp_path, "a.tif").endswith("band 1: 0 to 0")
    assert asked == []
    unconfined(file, "GTiff")
    assert asked, "the control asks"


def test_overviews_in_another_file_are_not_shown(tmp_path: Path) -> None:
    secret = raster(tmp_path / "secret.tif", SECRET, side=4)
    file = raster(tmp_path / "a.tif", tags={"OVERVIEWS": {"OVERVIEW_FILE": str(secret)}})

    shown = explored(tmp_path, "a.tif")

    assert str(SECRET) not in shown
    assert set(unconfined(file, "GTiff", size=4)[1]) == {SECRET}, "the control shows it"


def test_overviews_at_an_address_are_not_fetched(
    tmp_path: Path, server: tuple[str, list[str]]
) -> None:
    url, asked = server
    tags = {"OVERVIEWS": {"OVERVIEW_FILE": f"/vsicurl/{url}/a.ovr"}}
    file = raster(tmp_path / "a.tif", tags=tags)

    explored(tmp_path, "a.tif")

    assert asked == []
    unconfined(file, "GTiff", size=4)
    assert asked, "the control asks"


@pytest.mark.parametrize(("name", "driver"), [("a.h5", "HDF5"), ("a.nc", "netCDF")])
def test_values_that_an_hdf5_file_keeps_in_another_are_not_read(
    tmp_path: Path, name: str, driver: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes([SECRET] * 64))
    outside = str(secret).encode().ljust(len(EXTERNAL), b"\0")
    (tmp_path / name).write_bytes(HDF5.replace(EXTERNAL.encode(), outside))

    assert "can't be opened" in (shown := explored(tmp_path, name)) or str(SECRET) not in shown
    if driver == "HDF5":
        assert set(unconfined(tmp_path / name, driver)[1]) == {SECRET}, "the control reads it"


def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    secret = raster(tmp_path / "elsewhere" / "a.tif", SECRET)
    root = any_dataset(tmp_path / "delivered")
    (root / "data" / "linked").symlink_to(secret.parent)
    (root / "data" / "linked.tif").symlink_to(secret)
    dataset = open_dataset(str(root))

    for path in ("data/linked/a.tif", "data/linked.tif"):
        with pytest.raises(InputError, match="can't be opened"):
            preview.read(dataset, path)
        with pytest.raises(OSError, match="data/linked|link|directory|it was changed"):
            preview.thumbnail(dataset, path, "")
    assert SECRET in unconfined(root / "data" / "linked" / "a.tif", "GTiff")[1]


def bomb(side: int, rows: int) -> bytes:
    """Return a TIFF whose strips all lie at one place, with an overview as large as itself."""
    data = zlib.compress(bytes(side * rows), 9)
    strips = -(-side // rows)
    out = bytearray(struct.pack("<2sHI", b"II", 42, 0)) + data
    offsets = len(out)
    out += struct.pack(f"<{strips}I", *[8] * strips)
    counts = len(out)
    out += struct.pack(f"<{strips}I", *[len(data)] * strips)
    places = []
    for kind in (0, 1):
        tags = [
            *((254, 4, 1, kind), (256, 4, 1, side), (257, 4, 1, side - kind), (258, 3, 1, 8)),
            *((259, 3, 1, 8), (262, 3, 1, 1), (273, 4, strips, offsets), (277, 3, 1, 1)),
            *((278, 4, 1, rows), (279, 4, strips, counts)),
        ]
        places.append(len(out))
        out += struct.pack("<H", len(tags))
        out += b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    struct.pack_into("<I", out, 4, places[0])
    struct.pack_into("<I", out, places[1] - 4, places[1])
    return bytes(out)


def test_a_file_that_takes_too_long_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dedl_workbook.base.confinement.SECONDS", 6)
    (tmp_path / "a.tif").write_bytes(bomb(2**20, 100))

    assert "it took more than 6 seconds, and was stopped" in explored(tmp_path, "a.tif")


def test_a_file_that_takes_too_much_memory_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(bomb(2**15, 2**15))

    assert "can't be opened" in explored(tmp_path, "a.tif")


def test_a_picture_that_crashes_what_opens_it_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = tmp_path / "child.py"
    crash.write_text("import os; os.abort()")
    monkeypatch.setattr(preview, "_CHILD", crash)
    root = any_dataset(tmp_path / "delivered")

    shown = explore.thumbnails(explore.look(str(root)))._repr_html_()

    assert "cannot be shown: what opened it crashed (SIGABRT)" in shown


def test_pictures_are_not_opened_in_the_notebook_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened here"))
    root = any_dataset(tmp_path, files={"data/a.png": png()})

    assert "data:image/png" in preview.thumbnail(open_dataset(str(root)), "data/a.png", "")


def test_what_the_process_says_is_no_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that took it over might say anything."""
    answer = '{"facts": {"<b>": "<script>"}, "parts": [{"facts": {}, "values": "<script>",'
    answer += ' "low": "<script>", "high": "", "png": "AA=="}]}'
    child = tmp_path / "child.py"
    child.write_text(f"print({answer!r})")
    monkeypatch.setattr(preview, "_CHILD", child)
    raster(tmp_path / "a.tif")
    item = any_item(assets={"map": any_asset(href="data/a.tif")})
    content = {"data/a.tif": (tmp_path / "a.tif").read_bytes()}
    seen = explore.look(str(any_dataset(tmp_path / "delivered", item, files=content)))

    assert "<script" not in explore.data_file(seen)._repr_html_()
    child.write_text(f"print({answer.replace('AA==', 'AA<script>')!r})")
    assert "gave no picture" in repr(explore.data_file(seen))
