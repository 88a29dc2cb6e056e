"""The length that a NetCDF file of the classic formats must have, by its header.

Source: the NetCDF classic format specification (CDF-1, CDF-2 and CDF-5).
"""

from __future__ import annotations

from dataclasses import dataclass, field

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}

_BEYOND = 2**64
"""Bytes that no file has: a product that goes on beyond them would take for ever."""


@dataclass
class _Header:
    data: bytes
    at: int = 4
    wide: int = 4
    """Bytes of a count."""
    offset: int = 4
    """Bytes of an address."""
    lengths: list[int] = field(default_factory=list)
    """Of the dimensions; 0 is the record dimension."""

    def number(self, width: int) -> int:
        digits = self.data[self.at : self.at + width]
        if len(digits) < width:
            raise IndexError
        self.at += width
        return int.from_bytes(digits, "big")

    def skip(self, length: int) -> None:
        self.at += length + -length % 4

    def name(self) -> None:
        self.skip(self.number(self.wide))

    def count(self) -> int:
        self.number(4)
        return self.number(self.wide)

    def attributes(self) -> None:
        for _ in range(self.count()):
            self.name()
            kind = self.number(4)
            self.skip(_SIZES.get(kind, 1) * self.number(self.wide))


def needed_size(data: bytes) -> int | None:
    """Return how many bytes a file with that header must have, or None if the header is cut off.

    Args:
        data: the file's start.
    """
    header = _Header(data)
    if data[3:4] == b"\5":
        header.wide = header.offset = 8
    elif data[3:4] == b"\2":
        header.offset = 8
    try:
        records = header.number(header.wide)
        for _ in range(header.count()):
            header.name()
            header.lengths.append(header.number(header.wide))
        header.attributes()
        variables = [_variable(header) for _ in range(header.count())]
    except IndexError:
        return None
    if records == 256**header.wide - 1:
        # Still being written: the count of records isn't known.
        records = 0
    sizes = [size for size, _, recorded in variables if recorded]
    # One alone is not padded: the specification's special case.
    stride = sizes[0] if len(sizes) == 1 else sum(size + -size % 4 for size in sizes)
    ends = [start + size for size, start, recorded in variables if not recorded]
    if records:
        ends += [
            start + (records - 1) * stride + size for size, start, recorded in variables if recorded
        ]
    return max(ends, default=0)


def _variable(header: _Header) -> tuple[int, int, bool]:
    """Return size in bytes (of one record, if it has records), address, and whether it has."""
    header.name()
    dimensions = [header.number(header.wide) for _ in range(header.number(header.wide))]
    header.attributes()
    size = _SIZES.get(header.number(4), 1)
    header.number(header.wide)
    start = header.number(header.offset)
    lengths = [header.lengths[dimension] for dimension in dimensions]
    recorded = bool(lengths) and lengths[0] == 0
    for length in lengths[1:] if recorded else lengths:
        size = min(size * length, _BEYOND)
    return size, start, recorded
