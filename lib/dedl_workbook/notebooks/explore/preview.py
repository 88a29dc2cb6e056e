"""One file opened: what GDAL says of it, and a picture. A confined process does it (`child`)."""

from __future__ import annotations

import html
import os
import re
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from dedl_workbook.base import confinement
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.base.formats import BINARY, JPEG, PNG, Format, by_ending
from dedl_workbook.dataset.dataset import Dataset, File, Folder, bounded
from dedl_workbook.notebooks.explore.child import VIRIDIS

OPENED = frozenset(ending for one in BINARY if one.driver for ending in one.endings)
"""Endings of files that can be opened, as far as their content is what they promise."""
_SIGNATURE = max(len(magic) for one in BINARY for magic in one.magic)
_CHILD = Path(__file__).with_name("child.py")
_SWITCHES = {
    # Nothing is written beside the file, nor looked for.
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    # What a confined process can't do anyway, its libraries are not to try.
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "GDAL_DRIVER_PATH": "disable",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_VRT_ENABLE_RAWRASTERBAND": "NO",
    "PROJ_NETWORK": "OFF",
    "HDF5_PLUGIN_PRELOAD": "::",
    "HDF5_EXTFILE_PREFIX": "/nowhere",
    "HDF5_EXT_PREFIX": "/nowhere",
    "HDF5_VDS_PREFIX": "/nowhere",
    "GDAL_CACHEMAX": "64",
    "GDAL_NUM_THREADS": "1",
}
_MOST_FETCHED = 512 * 10**6
"""Bytes of an object that are fetched to open it, where it can't be read by ranges."""
_MOST_PICTURE = 20 * 2**20
"""Bytes of a picture that is shown."""
_BASE64 = re.compile(r"[A-Za-z0-9+/=]*")


@dataclass(frozen=True)
class Part:
    """One variable of a file, or its only raster."""

    facts: dict[str, str]
    values: str = ""
    """From where to where they reach; '' if they are not shown."""
    picture: str = field(default="", repr=False)
    """HTML without its `alt`, which has to be formatted in."""

    def markup(self, alt: str) -> str:
        """Return the picture with its scale of colours."""
        return self.picture.replace('alt=""', f'alt="{html.escape(alt)}"', 1)


def read(dataset: Dataset, path: str) -> tuple[dict[str, str], list[Part]]:
    """Open a data file and return what it says of itself, and its parts.

    GeoTIFFs are read by ranges, and of their pixels no more than a picture needs.

    Raises:
        InputError: it is gone, too large to fetch, of no kind that is opened, or can't be read.
        ImportError: rasterio is not installed.
    """
    _require_package("rasterio")
    try:
        form = _format(dataset, path)
        with _reachable(dataset, path, by_ranges=form.driver == "GTiff") as request:
            answer = _answer({**request, "driver": form.driver}, _SWITCHES)
        parts = [_part(part) for part in answer["parts"]]
        return _texts(answer["facts"]), parts
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"can't be opened: {reason}", where=path) from error


def thumbnail(dataset: Dataset, path: str, alt: str) -> str:
    """Return a PNG or JPEG as a small picture.

    Raises:
        OSError: it is gone, none, or a damaged one; or one so large that it may be a trap.
        ValueError: it has too many bytes.
        ImportError: Pillow is not installed.
    """
    _require_package("PIL")
    file = dataset.stat(path) or File(path, 0, "")
    data = bounded(dataset, file, _MOST_PICTURE)
    if not data.startswith((*PNG.magic, *JPEG.magic)):
        raise OSError("it is neither a PNG nor a JPEG")
    with tempfile.TemporaryFile() as copy:
        copy.write(data)
        copy.seek(0)
        return _img(_answer({"handle": copy.fileno(), "driver": ""}), alt)


def _require_package(name: str) -> None:
    if find_spec(name) is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _format(dataset: Dataset, path: str) -> Format:
    """Return what a file is by its content; its ending decides where several begin alike."""
    start, *_ = dataset.head(path, _SIGNATURE)
    formats = [one for one in BINARY if one.driver and start.startswith(one.magic)]
    if not formats:
        raise OSError("files of this kind are not opened here")
    promised = by_ending(path)
    return promised if promised in formats else formats[0]


def _answer(request: dict[str, Any], switches: Mapping[str, str] | None = None) -> Any:
    """Return what the child says of a file.

    Raises:
        OSError: it died, or can't read the file.
        ImportError: it lacks a package.
    """
    answer = confinement.run(
        _CHILD, request, handles=[request["handle"]], environment=switches or {}
    )
    if missing := answer.get("missing"):
        raise ModuleNotFoundError(f"No module named {missing!r}", name=str(missing))
    if problem := answer.get("problem"):
        raise OSError(str(problem))
    return answer


@contextmanager
def _reachable(dataset: Dataset, path: str, *, by_ranges: bool) -> Iterator[dict[str, Any]]:
    """Give the child a way to a file: its handle, its ranges, or a copy's handle."""
    file = dataset.stat(path)
    if file is None or file.kind != "file":
        raise OSError("there is no such file")
    if isinstance(dataset, Folder):
        # By its handle: a folder on its path may be a link by now.
        with dataset.open(path) as opened:
            yield {"handle": opened.fileno(), "ranges": False}
    elif by_ranges:
        here, there = socket.socketpair()
        with closing(here), closing(there):
            thread = threading.Thread(target=_serve, args=(here, dataset, file), daemon=True)
            thread.start()
            yield {"handle": there.fileno(), "ranges": True, "size": file.size}
            here.shutdown(socket.SHUT_RDWR)
            thread.join()
    elif file.size > _MOST_FETCHED:
        raise ValueError(f"has {file.size:,} bytes, too many to fetch for a look")
    else:
        with tempfile.TemporaryFile(prefix="dedl-explore-") as copy:
            _fetch(dataset, path, copy)
            yield {"handle": copy.fileno(), "ranges": False}


def _fetch(dataset: Dataset, path: str, copy: BinaryIO) -> None:
    copy.write(bounded(dataset, File(path, -1, ""), _MOST_FETCHED))
    copy.flush()
    os.lseek(copy.fileno(), 0, os.SEEK_SET)


def _serve(here: socket.socket, dataset: Dataset, file: File) -> None:
    """Send the ranges of a file that are asked for, until nobody asks any more."""
    with suppress(OSError, ServiceError), here.makefile("rb") as questions:
        while question := questions.read(16):
            start, length = int.from_bytes(question[:8]), int.from_bytes(question[8:])
            if start + length > file.size:
                break
            here.sendall(dataset.read(file.path, start, length))
    with suppress(OSError):
        here.shutdown(socket.SHUT_RDWR)


# What the child says is taken for what it is: the word of a process that a file may have led astray


def _part(answer: Mapping[str, Any]) -> Part:
    facts = _texts(answer["facts"])
    if "png" not in answer:
        return Part(facts)
    values, low, high = (str(answer[key])[:100] for key in ("values", "low", "high"))
    stops = ",".join(f"rgb{colour}" for colour in VIRIDIS)
    scale = (
        f'<div style="display:flex;gap:6px;max-width:420px">{html.escape(low)}<span style="flex:1;'
        f'background:linear-gradient(90deg,{stops})"></span>{html.escape(high)}</div>'
    )
    return Part(facts, values, _img(answer, "") + scale)


def _texts(facts: Mapping[str, Any]) -> dict[str, str]:
    return {str(key)[:100]: str(value)[:300] for key, value in facts.items()}


def _img(answer: Mapping[str, Any], alt: str) -> str:
    """Return an element that needs no other file."""
    data = str(answer["png"])
    if not _BASE64.fullmatch(data):
        raise OSError("what opened it gave no picture")
    return (
        f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}" '
        f'style="max-width:100%;image-rendering:auto">'
    )
