"""Child: opens one file that nobody has judged yet, in a confined process; a program of its own.

Its first argument is a request in JSON, and so is what it prints. See `preview`, which starts it.
"""

from __future__ import annotations

import base64
import importlib
import io
import json
import os
import sys
import sysconfig
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedl_workbook.base.confinement import MEMORY, confine
from dedl_workbook.base.text import amount, number

if TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.windows import Window

VIRIDIS = (
    *((68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142)),
    *((31, 158, 137), (53, 183, 121), (110, 206, 88), (181, 222, 43), (253, 231, 37)),
)
"""Ten steps of the colour map "viridis" (van der Walt, Smith; CC0), which all eyes can order."""
_THUMBNAIL = 220
"""Pixels of a thumbnail's longer side."""
_MOST_PICTURE = 50 * 10**6
"""Pixels of a picture that is decoded for a thumbnail."""
_MOST_PARTS = 20
_SIDE = 512
_MOST_PIXELS = 64 * 10**6
"""Pixels that are read for a picture where there are no overviews; else only the middle."""
_MIDDLE = 4096
_REFERRING = ("HDF5", "netCDF")
"""Drivers of files that can name others, which no switch keeps their library from reading."""
_OF_PARTS = {
    "GTiff": ("GTIFF_DIR:", "GTiff"),
    "netCDF": ("NETCDF:", "netCDF"),
    "HDF5": ("HDF5:", "HDF5Image"),
}
"""By driver: how the names of its parts begin, and what opens those. A file can invent others."""


def main() -> None:
    """Answer the request."""
    request = json.loads(sys.argv[1])
    answer = _raster_file if request["driver"] else _picture
    try:
        reply = answer(request)
    except ImportError as error:
        reply = {"missing": error.name}
    except MemoryError:
        reply = {"problem": f"it needs more than {amount(MEMORY)} of memory"}
    except Exception as error:  # noqa: BLE001 - whatever it is, is the answer
        # rasterio's own error only says that there is another.
        error = error.__cause__ if isinstance(error.__cause__, Exception) else error
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        reply = {"problem": text[:300]}
    json.dump(reply, sys.stdout)


def _confined(handle: int, *packages: str) -> list[str]:
    """Let this process read its file, and its libraries' own."""
    folders = [Path(sysconfig.get_path("stdlib"))]
    for name in packages:
        file = importlib.import_module(name).__file__
        folders += [Path(file).parent] if file else []
    return confine([handle], folders)


def _picture(request: dict[str, Any]) -> dict[str, Any]:
    """Return a PNG or JPEG as a small PNG."""
    from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin

    _confined(request["handle"], "PIL")
    del ImageFile, JpegImagePlugin, PngImagePlugin
    with (
        warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
        os.fdopen(request["handle"], "rb") as file,
        Image.open(file, formats=("PNG", "JPEG")) as image,
    ):
        if image.width * image.height > _MOST_PICTURE:
            raise OSError(f"has {image.width:,} x {image.height:,} pixels, too many for a look")
        image.draft("RGB", (2 * _THUMBNAIL, 2 * _THUMBNAIL))
        image.thumbnail((_THUMBNAIL, _THUMBNAIL))
        return {"png": _png(image if image.mode in ("RGB", "RGBA") else image.convert("RGBA"))}


def _png(image: Any) -> str:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode()


class _Ranges(io.RawIOBase):
    """A file whose bytes whoever started this process fetches, range by range."""

    def __init__(self, handle: int, size: int) -> None:
        self._handle, self._size, self._at = handle, size, 0

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
        os.write(self._handle, self._at.to_bytes(8) + length.to_bytes(8))
        data = b""
        while len(data) < length:
            more = os.read(self._handle, length - len(data))
            if not more:
                raise OSError("it can't be read any more")
            data += more
        buffer[:length] = data
        self._at += length
        return length


def _raster_file(request: dict[str, Any]) -> dict[str, Any]:
    """Return what a data file says of itself, and its parts."""
    import numpy as np
    import rasterio
    from PIL import Image
    from rasterio.errors import NotGeoreferencedWarning

    handle, driver = request["handle"], request["driver"]
    _warm_up()
    gaps = _confined(handle, "numpy", "PIL", "rasterio")
    if driver in _REFERRING and gaps:
        raise OSError(f"this machine can't keep it from reading others' {' and '.join(gaps)}")
    del np, Image
    name, opener = f"/dev/fd/{handle}", {}
    if request["ranges"]:
        name = "file"
        buffer = 2**16
        opener = {
            "opener": lambda *_, **__: io.BufferedReader(_Ranges(handle, request["size"]), buffer)
        }
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.open(name, driver=driver, **opener) as source,
    ):
        facts = {"format": source.driver, **_texts(source.tags())}
        beginning, inner = _OF_PARTS.get(driver, ("", ""))
        names = [one for one in source.subdatasets if _is_part(one, beginning, name)]
        if not names:
            return {"facts": facts, "parts": [_part(source)]}
        parts = []
        for one in names[:_MOST_PARTS]:
            with rasterio.open(one, driver=inner) as part:
                parts.append(_part(part))
        return {"facts": facts, "parts": parts}


def _is_part(address: str, beginning: str, name: str) -> bool:
    """Tell a file's own parts from what its metadata call so."""
    return bool(beginning) and address.upper().startswith(beginning) and name in address


def _warm_up() -> None:
    """Let the libraries load what they load when they are first used."""
    import rasterio
    from rasterio.io import MemoryFile

    with (
        MemoryFile() as memory,
        memory.open(driver="GTiff", width=1, height=1, count=1, dtype="uint8", crs=4326) as out,
    ):
        out.read(1, masked=True)
    rasterio.crs.CRS.from_epsg(4326).to_string()


def _part(source: DatasetReader) -> dict[str, Any]:
    """Return one variable of a file, or its only raster: facts, and its first band as a picture."""
    facts = _facts(source)
    if not source.count or "complex" in source.dtypes[0]:
        return {"facts": facts}
    window = _middle(source)
    if window is not None:
        facts["shown"] = "the middle alone, since there are no overviews"
    width, height = (window.width, window.height) if window else (source.width, source.height)
    shrink = max(1.0, max(width, height) / _SIDE)
    shape = max(1, round(height / shrink)), max(1, round(width / shrink))
    values = source.read(1, window=window, out_shape=shape, masked=True)
    return {"facts": facts, **coloured(values)}


def coloured(values: Any) -> dict[str, Any]:
    """Return a masked array of two dimensions as a picture; what isn't finite is no data.

    Colours reach from the 2nd to the 98th percentile, so that single pixels don't hide all.
    """
    import numpy as np
    from PIL import Image

    values = np.ma.masked_invalid(np.ma.asarray(values, dtype="float64"))
    valid = values.compressed()
    low, high = map(float, np.percentile(valid, [2, 98])) if valid.size else (0.0, 0.0)
    empty = 1 - valid.size / values.size
    text = f"{valid.min():g} to {valid.max():g}" if valid.size else "no data at all"
    text += f", {empty:.1%} without data" if empty and valid.size else ""
    steps = np.array(VIRIDIS, "float64")
    spread = high - low or 1.0
    place = np.clip((values.filled(low) - low) / spread, 0, 1) * (len(steps) - 1)
    below = np.minimum(place.astype(int), len(steps) - 2)
    part = (place - below)[..., None]
    colours = steps[below] * (1 - part) + steps[below + 1] * part
    opaque = np.where(np.ma.getmaskarray(values), 0, 255)[..., None]
    image = Image.fromarray(np.concatenate([colours, opaque], -1).astype("uint8"), "RGBA")
    return {"png": _png(image), "values": text, "low": f"{low:g}", "high": f"{high:g}"}


def _facts(source: DatasetReader) -> dict[str, Any]:
    west, south, east, north = source.bounds
    tags = source.tags(1) if source.count else {}
    facts = {
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
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def _texts(tags: dict[str, str]) -> dict[str, str]:
    return {key[:100]: value[:300] for key, value in list(tags.items())[:30]}


def _middle(source: DatasetReader) -> Window | None:
    """Return what is shown of a raster that is too large to be read; None: all."""
    from rasterio.windows import Window

    if source.width * source.height <= _MOST_PIXELS or source.overviews(1):
        return None
    width, height = min(source.width, _MIDDLE), min(source.height, _MIDDLE)
    return Window((source.width - width) // 2, (source.height - height) // 2, width, height)


if __name__ == "__main__":
    main()
