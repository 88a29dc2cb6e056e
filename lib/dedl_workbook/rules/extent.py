"""Extent: what a collection says that its items cover."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from dedl_workbook.base.times import instant_or_none
from dedl_workbook.rules.geometry import TOLERANCE, Box, box_of

_SLACK = dt.timedelta(seconds=1)
"""So much an item may stand out: ends are written with and without fractions."""


class Extent(NamedTuple):
    """What a collection says that its items cover; None: open, or not to be read."""

    box: Box | None
    start: dt.datetime | None
    end: dt.datetime | None

    def holds_box(self, box: Box) -> bool:
        """Tell whether a bbox lies inside; boxes over the antimeridian may do so too."""
        if self.box is None:
            return True
        west, south, east, north = self.box
        if box[1] < south - TOLERANCE or box[3] > north + TOLERANCE:
            return False
        if box[0] >= west - TOLERANCE and box[2] <= east + TOLERANCE and box[0] <= box[2]:
            return True
        east += 360 if west > east else 0
        first, last = box[0], box[2] + (360 if box[0] > box[2] else 0)
        return east - west >= 360 - TOLERANCE or any(
            west - TOLERANCE <= first + turn and last + turn <= east + TOLERANCE
            for turn in (-360, 0, 360)
        )

    def holds_span(self, start: dt.datetime, end: dt.datetime) -> bool:
        """Tell whether a stretch of time lies inside."""
        # Differences, since the ends of the calendar have nothing before and after them.
        early = self.start is not None and self.start - start > _SLACK
        late = self.end is not None and end - self.end > _SLACK
        return not (early or late)


@dataclass
class Covered:
    """What items cover, as far as it is known."""

    box: Box | None = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None

    def add(self, box: Box | None, span: tuple[dt.datetime, dt.datetime] | None) -> None:
        """Widen by an item's bbox and times. A bbox over the antimeridian is left out."""
        if box is not None and box[0] <= box[2]:
            self.box = box if self.box is None else _around(self.box, box)
        if span is not None:
            self.start = span[0] if self.start is None else min(self.start, span[0])
            self.end = span[1] if self.end is None else max(self.end, span[1])

    def merge(self, other: Covered) -> None:
        """Widen by what other items cover."""
        self.add(other.box, None)
        if other.start is not None and other.end is not None:
            self.add(None, (other.start, other.end))

    def widened(self, extent: Extent) -> Extent:
        """Return an extent that holds these items and what it held.

        What is open stays so. What ends before it starts is left as it is: a person knows which of
        its ends is wrong; and so is a box over the antimeridian.
        """
        box, start, end = extent
        if box is not None and box[0] <= box[2] and self.box and not extent.holds_box(self.box):
            box = _around(box, self.box)
        if not (start and end and start > end):
            start = min(start, self.start) if start and self.start else start
            end = max(end, self.end) if end and self.end else end
        return Extent(box, start, end)


def _around(one: Box, other: Box) -> Box:
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )


def extent_of(collection: Mapping[str, Any] | None) -> Extent:
    """Return a collection's overall extent, which is the first of each list."""
    extent = part(collection, "extent")
    boxes = part(extent, "spatial").get("bbox")
    intervals = part(extent, "temporal").get("interval")
    box = box_of(boxes[0]) if isinstance(boxes, list) and boxes else None
    interval = intervals[0] if isinstance(intervals, list) and intervals else None
    ends: list[dt.datetime | None] = [None, None]
    if isinstance(interval, list) and len(interval) == 2:
        ends = [instant_or_none(value) for value in interval]
    return Extent(box, *ends)


def part(value: Any, name: str) -> dict[str, Any]:
    """Return the object of that name in a document's part, or an empty one."""
    member = value.get(name) if isinstance(value, dict) else None
    return member if isinstance(member, dict) else {}
