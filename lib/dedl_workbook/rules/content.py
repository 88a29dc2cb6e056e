"""What a data file holds, told from a few ranged reads: its format, and whether its end is there.

Nothing is decoded: a file passes if its first bytes are those of its format and every part that
its own tables promise lies inside it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from dedl_workbook.dataset import Dataset

HEAD = 4096
"""Bytes that are read of every file; most small ones need no further read."""
TAIL = 65_557
"""Bytes in which a ZIP's end must lie, and in which a JPEG's is looked for."""


class Source:
    """A data file that is read in ranges."""

    __slots__ = ("_dataset", "_head", "_path", "size")

    def __init__(self, dataset: Dataset, path: str) -> None:
        """Read the file's head.

        Raises:
            OSError: it is gone or can't be read.
        """
        self._dataset, self._path = dataset, path
        self._head, self.size = dataset.head(path, HEAD)

    def at(self, start: int, length: int) -> bytes:
        """Return a range of bytes, less at the file's end."""
        end = start + length
        if end <= len(self._head) or len(self._head) == self.size:
            return self._head[start:end]
        return self._dataset.read(self._path, start, min(length, max(0, self.size - start)))


class Truncated(Exception):  # noqa: N818 - a finding, no error
    """The file ends before what its tables promise."""


def _demand(found: bytes, length: int) -> bytes:
    if len(found) < length:
        raise Truncated
    return found


def _tiff(source: Source) -> None:
    head = source.at(0, 16)
    order = "<" if head[0] == ord("I") else ">"
    big = 43 in head[2:4]
    pointer_at, code, width = (8, "Q", 8) if big else (4, "I", 4)
    count_code, count_size, entry = ("Q", 8, 20) if big else ("H", 2, 12)
    next_ifd = struct.unpack_from(order + code, _demand(head, pointer_at + width), pointer_at)[0]
    seen: set[int] = set()
    while next_ifd and next_ifd not in seen and len(seen) < 100:
        seen.add(next_ifd)
        raw = _demand(source.at(next_ifd, count_size), count_size)
        length = struct.unpack(order + count_code, raw)[0] * entry
        if next_ifd + count_size + length + width > source.size:
            raise Truncated
        table = source.at(next_ifd + count_size, min(length + width, 2**20))
        _tiff_directory(source, table[:length], order, big)
        if len(table) < length + width:
            return
        next_ifd = struct.unpack_from(order + code, table, length)[0]


_TIFF_CODES = {3: ("H", 2), 4: ("I", 4), 13: ("I", 4), 16: ("Q", 8), 18: ("Q", 8)}
_TIFF_SIZES = {1: 1, 2: 1, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 17: 8}
_OFFSETS = {273: 279, 324: 325}
_WIDE = frozenset({5, 10, 12, 16, 17, 18})
"""Types of more than four bytes, which may lie elsewhere."""
_PLACES = frozenset({273, 279, 324, 325})


def _tiff_directory(source: Source, table: bytes, order: str, big: bool) -> None:
    entry, inline, layout = (20, 8, "HHQ8x") if big else (12, 4, "HHI4x")
    arrays: dict[int, tuple[int, ...]] = {}
    whole = table[: len(table) // entry * entry]
    ends = range(entry - inline, len(whole), entry)
    for at, (tag, kind, count) in zip(ends, struct.iter_unpack(order + layout, whole), strict=True):
        if count == 1 and kind not in _WIDE and tag not in _PLACES:
            continue
        code, size = _TIFF_CODES.get(kind) or ("", _TIFF_SIZES.get(kind, 1))
        total = count * size
        if total > inline:
            offset = struct.unpack_from(order + ("Q" if big else "I"), table, at)[0]
            if offset + total > source.size:
                raise Truncated
            if code and tag in _PLACES:
                # Of a giant's tiles the last ones tell whether it is whole.
                few = min(count, 2**18)
                raw = _demand(source.at(offset + (count - few) * size, few * size), few * size)
                arrays[tag] = struct.unpack(f"{order}{few}{code}", raw)
        elif code and tag in _PLACES:
            arrays[tag] = struct.unpack_from(f"{order}{count}{code}", table, at)
    for offsets, counts in _OFFSETS.items():
        if offsets in arrays and counts in arrays:
            pairs = zip(arrays[offsets], arrays[counts], strict=False)
            if any(offset + count > source.size for offset, count in pairs):
                raise Truncated


_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def _png(source: Source) -> None:
    if source.at(source.size - 12, 12) != _PNG_END:
        start = max(0, source.size - TAIL)
        if _PNG_END not in source.at(start, TAIL):
            raise Truncated


def _jpeg(source: Source) -> None:
    at = 2
    for _ in range(1000):
        marker = _demand(source.at(at, 4), 4)
        if marker[0] != 0xFF:
            return
        if marker[1] == 0xFF:
            at += 1
            continue
        if marker[1] == 0xD9:
            return
        at += 2 + int.from_bytes(marker[2:4], "big")
        if marker[1] == 0xDA:
            break
    start = max(at, source.size - TAIL)
    if b"\xff\xd9" not in source.at(start, TAIL):
        raise Truncated


def _hdf5(source: Source) -> None:
    start = 0
    while source.at(start, 8) != _HDF5:
        start = start * 2 or 512
    block = _demand(source.at(start, 96), 48)
    if block[8] < 2:
        width, at = block[13], 24 + (4 if block[8] == 1 else 0)
    else:
        width, at = block[9], 12
    if width in (2, 4, 8):
        end = int.from_bytes(block[at + 2 * width : at + 3 * width], "little")
        # All ones: a file that was never closed.
        if end != 256**width - 1 and end > source.size:
            raise Truncated


def _netcdf(source: Source) -> None:
    if source.at(0, 3) == b"CDF":
        from dedl_workbook.rules.netcdf import needed_size

        head = source.at(0, 2**20)
        needed = needed_size(head)
        # A header that is longer than what was read tells nothing.
        if needed is None and len(head) == source.size:
            raise Truncated
        if needed is not None and needed > source.size:
            raise Truncated
    else:
        _hdf5(source)


MESSAGES = 64
"""Messages of a GRIB file that are walked from the start; then its end is looked at."""


def _grib(source: Source) -> None:
    at = source.at(0, 1024).find(b"GRIB")
    for _ in range(MESSAGES):
        head = _demand(source.at(at, 16), 16)
        edition = head[7]
        length = int.from_bytes(head[8:16] if edition == 2 else head[4:7], "big")
        if edition not in (1, 2) or (edition == 1 and length & 0x800000):
            break
        if at + length > source.size or source.at(at + length - 4, 4) != b"7777":
            raise Truncated
        gap = source.at(at + length, 1024).find(b"GRIB")
        if gap < 0:
            return
        at += length + gap
    tail = source.at(max(0, source.size - 1024), 1024)
    if not tail.rstrip(b"\0\r\n ").endswith(b"7777"):
        raise Truncated


def _zip(source: Source) -> None:
    start = max(0, source.size - TAIL)
    tail = source.at(start, TAIL)
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 22:
        raise Truncated
    size, offset = struct.unpack_from("<II", tail, end + 12)
    if 0xFFFFFFFF not in (size, offset) and offset + size > start + end:
        raise Truncated


_HDF5 = b"\x89HDF\r\n\x1a\n"


def _is_hdf5(source: Source) -> bool:
    return any(source.at(start, 8) == _HDF5 for start in (0, 512, 1024, 2048, 4096))


class Format(NamedTuple):
    """A format: how it is told, and how its end is looked for."""

    name: str
    starts: Callable[[Source], bool]
    demand_end: Callable[[Source], None]


def _starting(*magics: bytes) -> Callable[[Source], bool]:
    return lambda source: source.at(0, 8).startswith(magics)


TIFF = Format("TIFF", _starting(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff)
PNG = Format("PNG", _starting(b"\x89PNG\r\n\x1a\n"), _png)
JPEG = Format("JPEG", _starting(b"\xff\xd8\xff"), _jpeg)
HDF5 = Format("HDF5", _is_hdf5, _hdf5)
NETCDF = Format(
    "NetCDF", lambda s: s.at(0, 4) in (b"CDF\1", b"CDF\2", b"CDF\5") or _is_hdf5(s), _netcdf
)
GRIB = Format("GRIB", lambda source: b"GRIB" in source.at(0, 1024), _grib)
ZIP = Format("ZIP", _starting(b"PK\3\4", b"PK\5\6", b"PK\7\x08"), _zip)

BY_TYPE = {
    **dict.fromkeys(
        ("image/tiff", "image/x.geotiff", "image/geotiff", "application/geotiff"), TIFF
    ),
    "image/png": PNG,
    "image/jpeg": JPEG,
    "image/jpg": JPEG,
    **dict.fromkeys(("application/x-hdf5", "application/x-hdf", "application/hdf5"), HDF5),
    **dict.fromkeys(("application/vnd+netcdf", "application/netcdf4"), NETCDF),
    **dict.fromkeys(
        ("application/netcdf", "application/x-netcdf", "application/x-netcdf4"), NETCDF
    ),
    **dict.fromkeys(("application/grib", "application/x-grib", "application/x-grib2"), GRIB),
    **dict.fromkeys(("application/wmo-grib", "application/wmo-grib2", "application/grib2"), GRIB),
    **dict.fromkeys(("application/zip", "application/x-zip", "application/x-zip-compressed"), ZIP),
}
"""Formats by media type, without parameters, in lower case. Others are not looked into."""


def format_of(media_type: object) -> Format | None:
    """Return the format that a media type promises, if it is one that can be looked into."""
    if not isinstance(media_type, str):
        return None
    return BY_TYPE.get(media_type) or BY_TYPE.get(media_type.partition(";")[0].strip().lower())


def judge(dataset: Dataset, path: str, promised: Format) -> str:
    """Return what is wrong with a data file's content, or ''.

    Raises:
        OSError: it is gone or can't be read.
    """
    source = Source(dataset, path)
    if source.size == 0:
        # L09 has it.
        return ""
    if not promised.starts(source):
        others = (other for other in (TIFF, PNG, JPEG, HDF5, ZIP) if other is not promised)
        found = next((other.name for other in others if other.starts(source)), "something else")
        return f"is called {promised.name}, but holds {found}"
    try:
        promised.demand_end(source)
    except (Truncated, struct.error):
        now = dataset.stat(path)
        if now is not None and now.size != source.size:
            raise OSError("it was changed while it was read") from None
        return f"is a truncated {promised.name} file"
    return ""
