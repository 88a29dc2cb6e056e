"""One data file opened: what GDAL says of it, and a picture of its first band."""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedl_workbook.base.errors import InputError
from dedl_workbook.base.formats import BINARY
from dedl_workbook.base.text import number
from dedl_workbook.dataset.dataset import Dataset, Folder
from dedl_workbook.notebooks.explore.images import Raster
from dedl_workbook.notebooks.explore.sample import ending

if TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.windows import Window

_DRIVERS = {ending: one.driver for one in BINARY if one.driver for ending in one.endings}
"""By ending. No others: some read whatever a file names, elsewhere on the machine or the net."""
_OF_PARTS = {"HDF5": "HDF5Image"}
OPENED = frozenset(_DRIVERS)
"""Endings of files that can be opened."""
_MODESTY = {"GDAL_PAM_ENABLED": "NO", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
"""Nothing is written beside the file, nor looked for."""
_MOST_FETCHED = 512 * 10**6
"""Bytes of an object that are fetched to open it, where it can't be read by ranges."""
_MOST_PARTS = 20
_SIDE = 512
_MOST_PIXELS = 64 * 10**6
"""Pixels that are read for a picture where there are no overviews; else only the middle."""
_MIDDLE = 4096


class Part:
    """One variable of a file, or its only raster."""

    def __init__(self, source: DatasetReader) -> None:
        self.facts = _facts(source)
        self.raster = None
        if source.count and "complex" not in source.dtypes[0]:
            window = _middle(source)
            self.raster = _raster(source, window)
            if window is not None:
                self.facts["shown"] = "the middle alone, since there are no overviews"


def read(dataset: Dataset, path: str) -> tuple[dict[str, Any], list[Part]]:
    """Open a data file and return what it says of itself, and its parts.

    GeoTIFFs are read by ranges, and of their pixels no more than a picture needs.

    Raises:
        InputError: it is gone, too large to fetch, or GDAL can't read it.
        ImportError: rasterio is not installed.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    if (driver := _DRIVERS.get(ending(path))) is None:
        raise InputError("files of this ending are not opened here", where=path)
    try:
        with (
            warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
            rasterio.Env(**_MODESTY),
            _reachable(dataset, path) as (name, opener),
            rasterio.open(name, driver=driver, **opener) as source,
        ):
            facts = {"format": source.driver, **_texts(source.tags())}
            names = source.subdatasets[:_MOST_PARTS]
            if not names:
                return facts, [Part(source)]
            parts = []
            for inner in names:
                with rasterio.open(inner, driver=_OF_PARTS.get(driver, driver)) as part:
                    parts.append(Part(part))
            return facts, parts
    except (RasterioError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"can't be opened: {reason}", where=path) from error


@contextmanager
def _reachable(dataset: Dataset, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give GDAL a way to a file: itself, its ranges, or a copy."""
    file = dataset.stat(path)
    if file is None or file.kind != "file":
        raise OSError("there is no such file")
    if isinstance(dataset, Folder):
        with dataset.open(path) as opened:
            # By its handle, where the system has a name for it: a folder may be a link by now.
            # Absolute, so that it can't be taken for one of GDAL's virtual addresses.
            handle = Path(f"/proc/self/fd/{opened.fileno()}")
            yield str(handle if handle.exists() else dataset.root / path), {}
    elif _DRIVERS[ending(path)] == "GTiff":
        yield path, {"opener": lambda *_, **__: io.BufferedReader(_Ranges(dataset, path), 2**16)}
    elif file.size > _MOST_FETCHED:
        raise ValueError(f"has {file.size:,} bytes, too many to fetch for a look")
    else:
        with tempfile.TemporaryDirectory(prefix="dedl-explore-") as folder:
            copy = Path(folder) / f"file{ending(path)}"
            copy.write_bytes(dataset.read(path))
            yield str(copy), {}


class _Ranges(io.RawIOBase):
    """A file of a dataset that can be read anywhere."""

    def __init__(self, dataset: Dataset, path: str) -> None:
        file = dataset.stat(path)
        self._dataset, self._path, self._at = dataset, path, 0
        self._size = file.size if file else 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), max(0, self._size - self._at))
        data = self._dataset.read(self._path, self._at, length)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _facts(source: DatasetReader) -> dict[str, Any]:
    west, south, east, north = source.bounds
    tags = source.tags(1) if source.count else {}
    found = {
        "variable": source.name.rpartition(":")[2].lstrip("/")
        if source.name.count(":") > 1
        else None,
        "size": f"{source.width:,} x {source.height:,} pixels, {number(source.count, 'bands')}",
        "values": ", ".join(sorted(set(source.dtypes))),
        "units": next((unit for unit in source.units if unit), None) if source.count else None,
        "no data": source.nodata,
        "reference system": source.crs.to_string()[:200] if source.crs else None,
        "bounds": f"{west:g}, {south:g}, {east:g}, {north:g}",
        "pixel": f"{source.res[0]:g} x {source.res[1]:g}",
        "compression": source.compression.value if source.compression else None,
        "blocks": " x ".join(map(str, source.block_shapes[0])) if source.count else None,
        "overviews": ", ".join(map(str, source.overviews(1))) if source.count else None,
        **_texts(tags),
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def _texts(tags: dict[str, str]) -> dict[str, str]:
    return {key: value[:300] for key, value in list(tags.items())[:30]}


def _middle(source: DatasetReader) -> Window | None:
    """Return what is shown of a raster that is too large to be read; None: all."""
    from rasterio.windows import Window

    if source.width * source.height <= _MOST_PIXELS or source.overviews(1):
        return None
    width, height = min(source.width, _MIDDLE), min(source.height, _MIDDLE)
    return Window((source.width - width) // 2, (source.height - height) // 2, width, height)


def _raster(source: DatasetReader, window: Window | None) -> Raster:
    """Read the first band, no larger than a picture."""
    width, height = (window.width, window.height) if window else (source.width, source.height)
    shrink = max(1.0, max(width, height) / _SIDE)
    shape = max(1, round(height / shrink)), max(1, round(width / shrink))
    return Raster.of(source.read(1, window=window, out_shape=shape, masked=True))
