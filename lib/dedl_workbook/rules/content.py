"""Content: a data file's format, and whether its end is there, from a few ranged reads.

Nothing is decoded. A file passes if its first bytes are those of its format, and every part that
its own tables promise lies inside it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from operator import add
from typing import NamedTuple

import orjson

from dedl_workbook.base.formats import (
    FLATGEOBUF,
    GEOPACKAGE,
    GRIB,
    GZIP,
    HDF,
    HDF5,
    JPEG,
    JPEG2000,
    LAS,
    NETCDF,
    PARQUET,
    PDF,
    PNG,
    TIFF,
    ZIP,
    Format,
    by_media_type,
)
from dedl_workbook.dataset.dataset import Dataset

_HDF4, _HDF5 = HDF.magic
HEAD = 4096
"""Bytes that are read of every file; most small ones need no further read."""
TAIL = 65_557
"""Bytes in which a ZIP's end must lie, and in which a JPEG's is looked for."""


class Source:
    """A data file that is read in ranges."""

    __slots__ = ("_dataset", "_path", "head", "size")

    def __init__(self, dataset: Dataset, path: str) -> None:
        """Read the file's head.

        Raises:
            OSError: it is gone or can't be read.
        """
        self._dataset, self._path = dataset, path
        self.head, self.size = dataset.head(path, HEAD)

    def at(self, start: int, length: int) -> bytes:
        """Return a range of bytes, less at the file's end."""
        end = start + length
        if end <= len(self.head) or len(self.head) == self.size:
            return self.head[start:end]
        if start >= self.size:
            # Tables promise places that no file has, nor a system knows.
            return b""
        return self._dataset.read(self._path, start, min(length, self.size - start))


class Truncated(Exception):  # noqa: N818 - a finding, no error
    """The file ends before what its tables promise."""


def _require(data: bytes, length: int) -> bytes:
    if len(data) < length:
        raise Truncated
    return data


class _Tiff(NamedTuple):
    """How a TIFF file of one byte order, classic or big, is laid out."""

    start: int
    """Where the place of the first directory stands."""
    place: struct.Struct
    """A place in the file."""
    entries: struct.Struct
    """The number of a directory's entries."""
    entry: struct.Struct
    """An entry: its tag, its type, the count of its values; they or their place follow."""
    one: dict[int, struct.Struct]
    """One value of each type that places and sizes of tiles come in."""
    order: str


_TIFF_CODES = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_TIFF_SIZES = {
    **{1: 1, 2: 1, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 17: 8},
    **{kind: struct.calcsize(f"<{code}") for kind, code in _TIFF_CODES.items()},
}


def _layout(order: str, big: bool) -> _Tiff:
    start, forms = (8, ("Q", "Q", "HHQ8x")) if big else (4, ("I", "H", "HHI4x"))
    place, entries, entry = (struct.Struct(order + form) for form in forms)
    one = {kind: struct.Struct(order + code) for kind, code in _TIFF_CODES.items()}
    return _Tiff(start, place, entries, entry, one, order)


_TIFFS = {
    b"II*\0": _layout("<", False),
    b"MM\0*": _layout(">", False),
    b"II+\0": _layout("<", True),
    b"MM\0+": _layout(">", True),
}


def _tiff(source: Source) -> None:
    tiff = _TIFFS[source.head[:4]]
    width, before = tiff.place.size, tiff.entries.size
    (directory,) = tiff.place.unpack_from(source.head, tiff.start)
    if not directory:
        # Writers fill it in last.
        raise Truncated
    directories: set[int] = set()
    while directory and directory not in directories and len(directories) < 100:
        directories.add(directory)
        (count,) = tiff.entries.unpack(source.at(directory, before))
        length = count * tiff.entry.size
        if not count or directory + before + length + width > source.size:
            raise Truncated
        table = source.at(directory + before, min(length + width, 2**20))
        _tiff_directory(source, table[:length], tiff)
        if len(table) < length + width:
            return
        (directory,) = tiff.place.unpack_from(table, length)


_OFFSETS = {273: 279, 324: 325}
_WIDE = frozenset(kind for kind, size in _TIFF_SIZES.items() if size > 4)
"""Types of more than four bytes, which may lie elsewhere."""
_PLACES = frozenset({273, 279, 324, 325})


def _tiff_directory(source: Source, table: bytes, tiff: _Tiff) -> None:
    entry, inline = tiff.entry.size, tiff.place.size
    arrays: dict[int, tuple[int, ...]] = {}
    whole = table[: len(table) // entry * entry]
    at = -inline
    for tag, kind, count in tiff.entry.iter_unpack(whole):
        at += entry
        if count == 1 and kind not in _WIDE:
            if tag in _PLACES and kind in _TIFF_CODES:
                arrays[tag] = tiff.one[kind].unpack_from(table, at)
            continue
        is_place = tag in _PLACES and kind in _TIFF_CODES
        size = _TIFF_SIZES.get(kind, 1)
        total = count * size
        if total > inline:
            (offset,) = tiff.place.unpack_from(table, at)
            if offset + total > source.size:
                raise Truncated
            if is_place and tag not in arrays:
                # Of a giant's tiles the last ones show whether it is whole.
                few = min(count, 2**18)
                raw = _require(source.at(offset + (count - few) * size, few * size), few * size)
                arrays[tag] = struct.unpack(f"{tiff.order}{few}{_TIFF_CODES[kind]}", raw)
        elif is_place:
            arrays[tag] = struct.unpack_from(f"{tiff.order}{count}{_TIFF_CODES[kind]}", table, at)
    for offsets, counts in _OFFSETS.items():
        if offsets in arrays and counts in arrays:
            ends = map(add, arrays[offsets], arrays[counts])
            if max(ends, default=0) > source.size:
                raise Truncated


_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def _png(source: Source) -> None:
    if source.at(12, 4) != b"IHDR":
        raise Truncated
    if source.at(source.size - 12, 12) != _PNG_END:
        start = max(0, source.size - TAIL)
        if _PNG_END not in source.at(start, TAIL):
            raise Truncated


def _jpeg(source: Source) -> None:
    at = 2
    for _ in range(1000):
        marker = _require(source.at(at, 4), 4)
        if marker[0] != 0xFF:
            break
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
    block = _require(source.at(start, 96), 48)
    if block[8] < 2:
        width, at = block[13], 24 + (4 if block[8] == 1 else 0)
    else:
        width, at = block[9], 12
    if not width:
        # Room that was made for the file, but never filled.
        raise Truncated
    if width in (2, 4, 8):
        end = int.from_bytes(block[at + 2 * width : at + 3 * width], "little")
        # All ones: a file that was never closed.
        if end != 256**width - 1 and end > source.size:
            raise Truncated


_DESCRIPTORS = struct.Struct(">HI")
"""The head of a block of descriptors: how many, and the place of the next block."""
_DESCRIPTOR = struct.Struct(">HHII")
"""The tag of an object, its number, its place and its length."""
_ABSENT = 0xFFFFFFFF


def _hdf(source: Source) -> None:
    if not source.head.startswith(_HDF4):
        _hdf5(source)
        return
    block, blocks = len(_HDF4), 0
    while block and blocks < 1000:
        blocks += 1
        head = _require(source.at(block, _DESCRIPTORS.size), _DESCRIPTORS.size)
        count, following = _DESCRIPTORS.unpack(head)
        length = count * _DESCRIPTOR.size
        table = _require(source.at(block + _DESCRIPTORS.size, length), length)
        for _, _, place, size in _DESCRIPTOR.iter_unpack(table):
            if _ABSENT not in (place, size) and place + size > source.size:
                raise Truncated
        block = following


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
        head = _require(source.at(at, 16), 16)
        edition = head[7]
        length = int.from_bytes(head[8:16] if edition == 2 else head[4:7], "big")
        if not any(head[4:8]):
            raise Truncated
        if edition not in (1, 2) or (edition == 1 and length & 0x800000):
            break
        if at + length > source.size or source.at(at + length - 4, 4) != b"7777":
            raise Truncated
        gap = source.at(at + length, 1024).find(b"GRIB")
        if gap < 0 and at + length + 1024 >= source.size:
            return
        if gap < 0:
            break
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


def _is_hdf5(source: Source) -> bool:
    return any(source.at(start, 8) == _HDF5 for start in (0, 512, 1024, 2048, 4096))


def _jp2(source: Source) -> None:
    if source.head.startswith(b"\xff\x4f"):
        if b"\xff\xd9" not in source.at(max(0, source.size - 16), 16):
            raise Truncated
        return
    at = 0
    for _ in range(1000):
        if at == source.size:
            return
        head = _require(source.at(at, 8), 8)
        length = int.from_bytes(head[:4], "big")
        if length == 0:
            # The last box reaches to the file's end.
            return
        if length == 1:
            length = int.from_bytes(_require(source.at(at + 8, 8), 8), "big")
        at += max(length, 8)
        if at > source.size:
            raise Truncated


UNPACKED = 16 * 2**20
"""Bytes of a gzip file that are unpacked, and of a JSON file that are parsed: of larger ones the
end is not looked at."""


def _gzip(source: Source) -> None:
    if source.size > UNPACKED:
        return
    data = source.at(0, source.size)
    while data.startswith(b"\x1f\x8b"):
        member = zlib.decompressobj(wbits=31)
        try:
            while data and not member.eof:
                # What it unpacks to is thrown away piece by piece.
                member.decompress(data, 2**20)
                data = member.unconsumed_tail
        except zlib.error:
            raise Truncated from None
        if not member.eof:
            raise Truncated
        data = member.unused_data


def _pdf(source: Source) -> None:
    if b"%%EOF" not in source.at(max(0, source.size - TAIL), TAIL):
        raise Truncated


def _parquet(source: Source) -> None:
    end = source.at(max(0, source.size - 8), 8)
    footer = int.from_bytes(end[:4], "little")
    if end[4:] not in (b"PAR1", b"PARE") or footer + 12 > source.size:
        raise Truncated


def _las(source: Source) -> None:
    head = _require(source.at(0, 375), 111)
    start = int.from_bytes(head[96:100], "little")
    form, length = head[104], int.from_bytes(head[105:107], "little")
    points = int.from_bytes(head[107:111], "little")
    if head[25] >= 4 and len(head) >= 255:
        points = int.from_bytes(head[247:255], "little") or points
    packed = form & 0x80
    if start + (0 if packed else length * points) > source.size:
        raise Truncated


def _flatgeobuf(source: Source) -> None:
    if 12 + int.from_bytes(_require(source.at(8, 4), 4), "little") > source.size:
        raise Truncated


def _sqlite(source: Source) -> None:
    head = _require(source.at(0, 100), 100)
    page = int.from_bytes(head[16:18], "big")
    pages = int.from_bytes(head[28:32], "big")
    if head[24:28] == head[92:96] and (65536 if page == 1 else page) * pages > source.size:
        raise Truncated


_PAGE = re.compile(rb"\s*(?:<!doctype html|<html[\s>])", re.IGNORECASE)
_STORE_ERROR = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<Error>\s*<Code>")
_MAY_BE_MARKUP = (b"<", b" ", b"\t", b"\n", b"\r")
_MARKUP = ("html", "xml", "svg")
JSON_TYPES = ("application/json", "application/geo+json")


def _impostor(source: Source, media_type: str) -> str:
    """Return which answer of a server a file holds in the place of data, or ''."""
    if _STORE_ERROR.match(source.head):
        return "holds an error message of an object store"
    if _PAGE.match(source.head) and not any(kind in media_type for kind in _MARKUP):
        return "holds an HTML page, such as a server's error message"
    return ""


def _text_problem(source: Source, media_type: str) -> str:
    """Return what is wrong with a file of a type of text, or ''."""
    plain = media_type.partition(";")[0].strip().lower()
    if plain == "text/csv" and b"\0" in source.head and not source.head.startswith(_WIDE_TEXT):
        return "is called CSV, but is no text"
    if plain in JSON_TYPES and source.size <= UNPACKED:
        try:
            value = orjson.loads(source.at(0, source.size))
        except orjson.JSONDecodeError as error:
            return f"is called JSON, but is none: {str(error)[:100]}"
        if plain == "application/geo+json" and not (
            isinstance(value, dict) and value.get("type") in _GEOJSON
        ):
            return "is called GeoJSON, but holds no object of a GeoJSON type"
    return ""


_WIDE_TEXT = (b"\xff\xfe", b"\xfe\xff")
_GEOJSON = frozenset(
    {
        *("Feature", "FeatureCollection", "GeometryCollection", "Point", "MultiPoint"),
        *("LineString", "MultiLineString", "Polygon", "MultiPolygon"),
    }
)


class _Look(NamedTuple):
    """How the content of a format's files is looked at."""

    check_end: Callable[[Source], None]
    deeper: Callable[[Source], bool] | None = None
    """Whether what makes it the format comes later than at the start."""


_LOOKS = {
    TIFF: _Look(_tiff),
    PNG: _Look(_png),
    JPEG: _Look(_jpeg),
    HDF5: _Look(_hdf5, _is_hdf5),
    HDF: _Look(_hdf, _is_hdf5),
    NETCDF: _Look(_netcdf, _is_hdf5),
    GRIB: _Look(_grib, lambda source: b"GRIB" in source.at(0, 1024)),
    ZIP: _Look(_zip),
    JPEG2000: _Look(_jp2),
    GZIP: _Look(_gzip),
    PDF: _Look(_pdf, lambda source: b"%PDF-" in source.at(0, 1024)),
    PARQUET: _Look(_parquet),
    LAS: _Look(_las),
    FLATGEOBUF: _Look(_flatgeobuf),
    GEOPACKAGE: _Look(_sqlite),
}


def _holds(source: Source, promised: Format) -> bool:
    """Return whether a file is of a format."""
    deeper = _LOOKS[promised].deeper
    return source.head.startswith(promised.magic) or (deeper is not None and deeper(source))


def format_of(media_type: object) -> Format | None:
    """Return the format that a media type promises, if it is one that can be looked into."""
    return by_media_type(media_type) if isinstance(media_type, str) else None


def inspect(
    dataset: Dataset, path: str, promised: Format | None, media_type: str = ""
) -> tuple[str, int]:
    """Return what is wrong with a data file's content, or '', and how many bytes it has.

    Args:
        dataset: where the file is.
        path: of the file.
        promised: its format by its media type; None: one that content can't show.
        media_type: as it is written.

    Raises:
        OSError: it is gone or can't be read.
    """
    source = Source(dataset, path)
    size = source.size
    if size == 0:
        # L09 has it.
        return "", size
    if source.head.startswith(_MAY_BE_MARKUP) and (impostor := _impostor(source, media_type)):
        return impostor, size
    if promised is None:
        return _text_problem(source, media_type), size
    if not (source.head.startswith(promised.magic) or _holds(source, promised)):
        others = (other for other in _OTHERS if other is not promised)
        name = next((other.name for other in others if _holds(source, other)), "something else")
        return f"is called {promised.name}, but holds {name}", size
    try:
        _LOOKS[promised].check_end(source)
    except (Truncated, struct.error):
        now = dataset.stat(path)
        if now is not None and now.size != size:
            raise OSError("it was changed while it was read") from None
        return f"is a truncated {promised.name} file", size
    return "", size


_OTHERS = (TIFF, PNG, JPEG, HDF5, ZIP, JPEG2000, GZIP, PARQUET, GEOPACKAGE)
