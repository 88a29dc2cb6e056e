"""Coverage: C12, the collection's extent and the items in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dedl_workbook.base.json import pointer
from dedl_workbook.base.times import instant, oddity, written_utc
from dedl_workbook.rules.delivered import Item
from dedl_workbook.rules.extent import Covered, Extent, part
from dedl_workbook.rules.findings import Severity
from dedl_workbook.rules.geometry import box_of, out_of_range
from dedl_workbook.rules.problem import Problem
from dedl_workbook.rules.rule import Document, Given, part_of, rule


@rule("C12", "collection")
def extent_is_well_formed(collection: Document, given: Given) -> Iterator[Problem]:
    """The extent is well-formed and holds every item; null ends are open.

    HDA and its users search by it: an item outside is not found. Boxes may cross the antimeridian.
    """
    extent = part(collection, "extent")
    intervals = part(extent, "temporal").get("interval")
    for n, interval in enumerate(intervals if isinstance(intervals, list) else ()):
        where = pointer("extent", "temporal", "interval", n)
        if isinstance(interval, list) and len(interval) == 2:
            yield from _problems_of_interval(interval, where)
    boxes = part(extent, "spatial").get("bbox")
    for n, bbox in enumerate(boxes if isinstance(boxes, list) else ()):
        box = box_of(bbox)
        if box is None:
            continue
        west, south, east, north = box
        text = out_of_range(min(west, east), min(south, north), max(west, east), max(south, north))
        if not text and south > north:
            text = f"has its south {south:.15g} above its north {north:.15g}"
        if text:
            where = pointer("extent", "spatial", "bbox", n)
            yield Problem(f"the bbox {text}", "Write [west, south, east, north].", where)


_WRITE = "Write it in UTC, as 2024-11-16T12:00:00Z."


def _problems_of_interval(interval: list[Any], where: str) -> Iterator[Problem]:
    ends = []
    for n, value in enumerate(interval):
        if value is None:
            continue
        try:
            ends.append(instant(str(value)))
        except ValueError as error:
            yield Problem(str(error), _WRITE, f"{where}/{n}")
            continue
        if odd := oddity(value):
            text = f"'{value}' {odd}"
            yield Problem(text, _WRITE, f"{where}/{n}", severity=Severity.WARNING)
    if len(ends) == 2 and ends[0] > ends[1]:
        yield Problem(
            "the interval ends before it starts",
            "Write the earlier time first; null leaves an end open.",
            where,
        )


@part_of("C12", "item")
def extent_holds_the_item(item: Item, given: Given) -> Iterator[Problem]:
    """Compare each item with the overall extent."""
    extent = given.extent
    if extent is None:
        return
    box = box_of(item.document.get("bbox"))
    if box is not None and not extent.holds_box(box):
        item.outside = True
        yield Problem("lies outside the collection's spatial extent", WIDEN_BOX, "/bbox")
    if item.span is not None and not extent.holds_span(*item.span):
        item.outside = True
        yield Problem(
            "lies outside the collection's temporal extent", WIDEN_INTERVAL, "/properties"
        )


WIDEN_BOX = "Widen extent.spatial.bbox of the collection."
WIDEN_INTERVAL = "Widen extent.temporal.interval of the collection."


def proposals(extent: Extent | None, outside: Covered) -> dict[str, str]:
    """Return what to say in place of `WIDEN_BOX` and `WIDEN_INTERVAL`, where it is known.

    Args:
        extent: the collection's.
        outside: what the items cover that lie outside of it.
    """
    if extent is None:
        return {}
    wide, result = outside.widened(extent), {}
    if wide.box is not None and wide.box != extent.box:
        result[WIDEN_BOX] = f"{WIDEN_BOX[:-1]} to {json.dumps(wide.box)}; --fix writes it."
    if (wide.start, wide.end) != (extent.start, extent.end):
        ends = json.dumps([end and written_utc(end) for end in (wide.start, wide.end)])
        result[WIDEN_INTERVAL] = f"{WIDEN_INTERVAL[:-1]} to {ends}; --fix writes it."
    return result
