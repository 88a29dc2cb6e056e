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
from dedl_workbook.base.text import amount
from dedl_workbook.dataset.dataset import Dataset

_HDF4, _HDF5 = HDF.magic
HEAD = 4096
"""Bytes that are read of every file; most small ones need no further read."""
TAIL = 65_557
"""Bytes in which a ZIP's end must lie, and in which a JPEG's is looked for."""


class Source:
    """A data file that is read in ranges."""

    __slots__ = ("_dataset", "_path", "head", "links", "size")

    def __init__(self, dataset: Dataset, path: str) -> None:
        """Read the file's head.

        Raises:
            OSError: it is gone or can't be read.
        """
        self._dataset, self._path = dataset, path
        self.head, self.size, self.links = dataset.head(path, HEAD)

    def is_of_that_size(self) -> bool:
        """Tell whether the file still has the size that it had, as far as it can be looked at."""
        now = self._dataset.stat(self._path)
        return now is None or now.size == self.size

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


_Directory = tuple[int, dict[int, tuple[int, ...]]]
"""A directory's place in the file, and the values of some of its tags."""
_OFFSETS = {273: 279, 324: 325}
"""The tag of the places of strips, or of tiles, and that of their sizes."""
_PLACES = frozenset({*_OFFSETS, *_OFFSETS.values()})
_WIDE = frozenset(kind for kind, size in _TIFF_SIZES.items() if size > 4)
"""Types of more than four bytes, which may lie elsewhere."""


def _tiff(source: Source, tags: frozenset[int] = _PLACES) -> list[_Directory]:
    """Check that what a TIFF file's tables promise is there; return its directories.

    Args:
        source: the file.
        tags: those whose values are returned.
    """
    tiff = _TIFFS[source.head[:4]]
    width, before = tiff.place.size, tiff.entries.size
    (directory,) = tiff.place.unpack_from(source.head, tiff.start)
    if not directory:
        # Writers fill it in last.
        raise Truncated
    directories: dict[int, dict[int, tuple[int, ...]]] = {}
    while directory and directory not in directories and len(directories) < 100:
        (count,) = tiff.entries.unpack(source.at(directory, before))
        length = count * tiff.entry.size
        if not count or directory + before + length + width > source.size:
            raise Truncated
        table = source.at(directory + before, min(length + width, 2**20))
        entries = min(length, len(table) // tiff.entry.size * tiff.entry.size)
        directories[directory] = _tiff_values(source, table[:entries], tiff, tags)
        if len(table) < length + width:
            break
        (directory,) = tiff.place.unpack_from(table, length)
    return list(directories.items())


def _tiff_values(
    source: Source, table: bytes, tiff: _Tiff, tags: frozenset[int]
) -> dict[int, tuple[int, ...]]:
    """Return the values of some tags of a directory, all of whose parts must lie in the file."""
    entry, inline = tiff.entry.size, tiff.place.size
    arrays: dict[int, tuple[int, ...]] = {}
    # Most entries are single numbers that stand in the table and tell nothing.
    entries = [
        (n, tag, kind, count)
        for n, (tag, kind, count) in enumerate(tiff.entry.iter_unpack(table))
        if count != 1 or kind in _WIDE or tag in tags
    ]
    for n, tag, kind, count in entries:
        at = (n + 1) * entry - inline
        if count == 1 and kind not in _WIDE:
            if kind in _TIFF_CODES:
                arrays[tag] = tiff.one[kind].unpack_from(table, at)
            continue
        wanted = tag in tags and kind in _TIFF_CODES
        size = _TIFF_SIZES.get(kind, 1)
        total = count * size
        if total > inline:
            (offset,) = tiff.place.unpack_from(table, at)
            if offset + total > source.size:
                raise Truncated
            if wanted and tag not in arrays:
                # Of a giant's tiles the last ones show whether it is whole.
                few = min(count, 2**18)
                raw = _require(source.at(offset + (count - few) * size, few * size), few * size)
                arrays[tag] = struct.unpack(f"{tiff.order}{few}{_TIFF_CODES[kind]}", raw)
        elif wanted:
            arrays[tag] = struct.unpack_from(f"{tiff.order}{count}{_TIFF_CODES[kind]}", table, at)
    for offsets, counts in _OFFSETS.items():
        if offsets in arrays and counts in arrays:
            ends = map(add, arrays[offsets], arrays[counts])
            if max(ends, default=0) > source.size:
                raise Truncated
    return arrays


_KIND, _WIDTH, _HEIGHT = 254, 256, 257
_COG_TAGS = _PLACES | {_KIND, _WIDTH, _HEIGHT}
_REDUCED, _MASK = 1, 4
"""Bits of the kind of an image."""
SMALL = 512
"""Pixels of a side up to which an image needs neither tiles nor overviews."""


def _cog_problem(source: Source) -> str:
    """Return why a whole TIFF file is not cloud-optimized, or ''.

    Source: OGC 21-026, Cloud Optimized GeoTIFF, and GDAL's description of its driver COG.
    """
    (first, image), *others = _tiff(source, _COG_TAGS)
    directories = [(first, image), *others]
    kinds = [values.get(_KIND, (0,))[0] for _, values in directories]
    overviews = [
        values
        for kind, (_, values) in zip(kinds[1:], others, strict=True)
        if kind & _REDUCED and not kind & _MASK
    ]
    width, height = (image.get(tag, (0,))[0] for tag in (_WIDTH, _HEIGHT))
    sizes = [width, *(values.get(_WIDTH, (0,))[0] for values in overviews)]
    starts = [start for values in (image, *overviews) if (start := _first_block(values))]
    reasons = {
        f"its {width} x {height} pixels are not in tiles": (
            max(width, height) > SMALL and 324 not in image
        ),
        "it has no overviews": max(width, height) > SMALL and not overviews,
        "its first image is an overview": bool(kinds[0] & _REDUCED),
        "its overviews don't grow smaller one by one": sizes != sorted(sizes, reverse=True),
        "its directories don't stand in front of its pixels": bool(starts)
        and max(place for place, _ in directories) > min(starts),
        "its directories are not in order": [place for place, _ in directories]
        != sorted(place for place, _ in directories),
        "the pixels of its overviews don't stand in front of the image's": starts
        != sorted(starts, reverse=True),
    }
    return ", and ".join(text for text, holds in reasons.items() if holds)


def _first_block(values: dict[int, tuple[int, ...]]) -> int:
    """Return where the first strip or tile with pixels starts, or 0; a sparse file has holes."""
    places = (place for tag in _OFFSETS for place in values.get(tag, ()))
    return min(filter(None, places), default=0)


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
            # The last box reaches to the file's end, where the picture's data end too.
            if head[4:] == b"jp2c" and b"\xff\xd9" not in source.at(max(0, source.size - 16), 16):
                raise Truncated
            return
        if length == 1:
            length = int.from_bytes(_require(source.at(at + 8, 8), 8), "big")
        at += max(length, 8)
        if at > source.size:
            raise Truncated


UNPACKED = 16 * 2**20
"""Bytes of a gzip file that are unpacked, and of a JSON file that are parsed: larger ones are not
looked into."""


def _gzip(source: Source) -> None:
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


PDF_TAIL = 1024
"""Bytes in which readers look for a PDF's end."""


def _pdf(source: Source) -> None:
    if b"%%EOF" not in source.at(max(0, source.size - PDF_TAIL), PDF_TAIL):
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
        records, count = struct.unpack_from("<QI", head, 235)
        if count and records + 60 * count > source.size:
            raise Truncated
    if start + length * points <= source.size:
        return
    if not form & 0x80:
        raise Truncated
    # Packed points (LAZ) begin with the place of the table of their chunks, or -1: then it stands
    # in the last bytes of the file.
    for place in (start, source.size - 8):
        (table,) = struct.unpack("<q", _require(source.at(place, 8), 8))
        if table != -1:
            break
    if not start + 8 <= table <= source.size - 8:
        raise Truncated


_NODE = struct.Struct("<4dQ")
"""A node of FlatGeobuf's index: its box, and the place of its feature."""


def _flatgeobuf(source: Source) -> None:
    length = int.from_bytes(_require(source.at(8, 4), 4), "little")
    after = 12 + length
    if after > source.size:
        raise Truncated
    header = source.at(12, min(length, 2**20))
    count, width = _flatgeobuf_counts(header)
    if not count:
        return
    if width < 2:
        _walk_features(source.at(after, 2**20), count, after, source.size)
        return
    # All nodes of the tree: the features' own come last.
    nodes = level = count
    while level > 1:
        level = -(-level // width)
        nodes += level
    after += nodes * _NODE.size
    few = min(count, 2**15) * _NODE.size
    leaves = _NODE.iter_unpack(_require(source.at(after - few, few), few))
    last = after + max(node[4] for node in leaves)
    size = int.from_bytes(_require(source.at(last, 4), 4), "little")
    if last + 4 + size > source.size:
        raise Truncated


def _walk_features(data: bytes, count: int, start: int, size: int) -> None:
    """Go from feature to feature, as far as the bytes that were read reach."""
    at = 0
    for _ in range(count):
        if at + 4 > len(data):
            break
        at += 4 + int.from_bytes(data[at : at + 4], "little")
    else:
        at -= 4
    # Beyond them nothing is known, but that the file must go on.
    if start + at + 4 > size:
        raise Truncated


_COUNT_FIELD, _WIDTH_FIELD = 8, 9
"""The numbers of two fields of FlatGeobuf's header: the features' count, and its index's width."""


def _flatgeobuf_counts(header: bytes) -> tuple[int, int]:
    """Return how many features a file has, and how many nodes one of its index has; 0: no index."""
    (table,) = struct.unpack_from("<I", header)
    fields = table - struct.unpack_from("<i", header, table)[0]
    (known,) = struct.unpack_from("<H", header, fields)
    values = []
    for number, form, default in ((_COUNT_FIELD, "<Q", 0), (_WIDTH_FIELD, "<H", 16)):
        entry = 4 + 2 * number
        at = struct.unpack_from("<H", header, fields + entry)[0] if entry < known else 0
        values.append(struct.unpack_from(form, header, table + at)[0] if at else default)
    return values[0], values[1]


def _sqlite(source: Source) -> None:
    head = _require(source.at(0, 100), 100)
    page = int.from_bytes(head[16:18], "big")
    pages = int.from_bytes(head[28:32], "big")
    if head[24:28] == head[92:96] and (65536 if page == 1 else page) * pages > source.size:
        raise Truncated


# Atomic: what stands before the first element is read in one way, not in each that is possible.
_START = rb"(?>(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*)"
_PAGE = re.compile(
    _START + rb"<(?:!doctype\s+html|html|head|body)[\s/>]", re.IGNORECASE | re.DOTALL
)
_STORE_ERROR = re.compile(
    _START + rb"<Error(?:\s[^>]*)?>\s*<(?:Code|Message|RequestId)>", re.DOTALL
)
_MAY_BE_MARKUP = (b"<", b" ", b"\t", b"\n", b"\r", b"\xef\xbb\xbf")
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x19\x1c-\x1f]")


def _impostor(source: Source, media_type: str) -> str:
    """Return which answer of a server a file holds in the place of data, or ''."""
    if _STORE_ERROR.match(source.head):
        return "holds an error message of an object store"
    if _PAGE.match(source.head) and "html" not in media_type.lower():
        return "holds an HTML page, such as a server's error message"
    return ""


def _text_problem(source: Source, plain: str) -> str | None:
    """Return what is wrong with a file of a type of text, '' if nothing, or None if it is none."""
    if plain in TABLES:
        is_text = source.head.startswith(_WIDE_TEXT) or not _NO_TEXT.search(source.head)
        return "" if is_text else "is called CSV, but is no text"
    if not is_json(plain) or source.size > UNPACKED:
        return None
    try:
        value = orjson.loads(source.at(0, source.size).removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        return f"is called JSON, but is none: {str(error)[:100]}"
    if plain == "application/geo+json" and not (
        isinstance(value, dict) and value.get("type") in _GEOJSON
    ):
        return "is called GeoJSON, but holds no object of a GeoJSON type"
    return ""


TABLES = ("text/csv", "text/tab-separated-values")


def is_json(media_type: str) -> bool:
    """Return whether a media type, without parameters, is one of JSON (RFC 6839)."""
    return media_type == "application/json" or media_type.endswith("+json")


_WIDE_TEXT = (b"\xff\xfe", b"\xfe\xff")
_GEOJSON = frozenset(
    {
        *("Feature", "FeatureCollection", "GeometryCollection", "Point", "MultiPoint"),
        *("LineString", "MultiLineString", "Polygon", "MultiPolygon"),
    }
)


class _Look(NamedTuple):
    """How the content of a format's files is looked at."""

    check_end: Callable[[Source], object]
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


class Content(NamedTuple):
    """What was seen of a data file."""

    size: int
    """Bytes."""
    problem: str = ""
    """What is wrong with it."""
    doubt: str = ""
    """What it is called and isn't, though it can be used."""
    unknown: str = ""
    """What it is called, where nothing was looked into but its first bytes."""
    links: int = 1
    """Names that the file has: more are hard links."""


def inspect(dataset: Dataset, path: str, promised: Format | None, media_type: str = "") -> Content:
    """Look into a data file.

    Args:
        dataset: where the file is.
        path: of the file.
        promised: its format by its media type; None: one that content can't show.
        media_type: as it is written.

    Raises:
        OSError: it is gone or can't be read.
    """
    source = Source(dataset, path)
    result = _inspect(source, promised, media_type)
    return result if source.links < 2 else result._replace(links=source.links)


def _inspect(source: Source, promised: Format | None, media_type: str) -> Content:
    size = source.size
    if size == 0:
        # L09 has it.
        return Content(size)
    if source.head.startswith(_MAY_BE_MARKUP) and (impostor := _impostor(source, media_type)):
        return Content(size, impostor)
    if promised is None:
        plain = media_type.partition(";")[0].strip().lower()
        problem = _text_problem(source, plain)
        large = f"{plain} of more than {amount(UNPACKED)}" if is_json(plain) else plain or "no type"
        return Content(size, problem or "", unknown=large if problem is None else "")
    if not (source.head.startswith(promised.magic) or _holds(source, promised)):
        others = (other for other in _OTHERS if other is not promised)
        name = next((other.name for other in others if _holds(source, other)), "something else")
        return Content(size, f"is called {promised.name}, but holds {name}")
    if promised is GZIP and size > UNPACKED:
        return Content(size, unknown=f"gzip of more than {amount(UNPACKED)}")
    try:
        _LOOKS[promised].check_end(source)
        if promised is TIFF and "cloud-optimized" in media_type.lower():
            return Content(size, doubt=_cog_problem(source))
    except (Truncated, struct.error):
        if not source.is_of_that_size():
            raise OSError("it was changed while it was read") from None
        return Content(size, f"is a truncated {promised.name} file")
    return Content(size)


_OTHERS = (TIFF, PNG, JPEG, HDF5, ZIP, JPEG2000, GZIP, PARQUET, GEOPACKAGE)
