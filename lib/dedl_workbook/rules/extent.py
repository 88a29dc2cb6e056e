"""Extent and hrefs: C11 and C12, which look at collection and items."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from dedl_workbook.rules.assets import is_remote
from dedl_workbook.rules.delivered import Item
from dedl_workbook.rules.geometry import TOLERANCE, Box, box_of
from dedl_workbook.rules.placeholders import placeholder
from dedl_workbook.rules.rulebook import Document, Found, Given, part_of, pointer, rule
from dedl_workbook.rules.times import instant

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
        early = self.start is not None and start < self.start - _SLACK
        late = self.end is not None and end > self.end + _SLACK
        return not (early or late)


def extent_of(collection: Document | None) -> Extent:
    """Return a collection's overall extent, which is the first of each list."""
    extent = _part(collection, "extent")
    boxes = _part(extent, "spatial").get("bbox")
    intervals = _part(extent, "temporal").get("interval")
    box = box_of(boxes[0]) if isinstance(boxes, list) and boxes else None
    interval = intervals[0] if isinstance(intervals, list) and intervals else None
    ends: list[dt.datetime | None] = [None, None]
    if isinstance(interval, list) and len(interval) == 2:
        ends = [_instant(value) for value in interval]
    return Extent(box, *ends)


def _instant(value: Any) -> dt.datetime | None:
    try:
        return instant(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _part(value: Any, name: str) -> dict[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


@rule("C12", "collection")
def extent_is_well_formed(collection: Document, given: Given) -> Iterator[Found]:
    """The extent is well-formed and holds every item; null ends are open.

    HDA and its users search by it: an item outside is not found. Boxes may cross the antimeridian.
    """
    extent = _part(collection, "extent")
    intervals = _part(extent, "temporal").get("interval")
    for n, interval in enumerate(intervals if isinstance(intervals, list) else ()):
        where = pointer("extent", "temporal", "interval", n)
        if isinstance(interval, list) and len(interval) == 2:
            yield from _judge_interval(interval, where)
    boxes = _part(extent, "spatial").get("bbox")
    for n, bbox in enumerate(boxes if isinstance(boxes, list) else ()):
        box = box_of(bbox)
        if box is None:
            continue
        west, south, east, north = box
        if south > north or max(abs(west), abs(east)) > 180 or max(abs(south), abs(north)) > 90:
            where = pointer("extent", "spatial", "bbox", n)
            yield Found("the bbox leaves the range", "Write [west, south, east, north].", where)


def _judge_interval(interval: list[Any], where: str) -> Iterator[Found]:
    ends = []
    for n, value in enumerate(interval):
        if value is None:
            continue
        try:
            ends.append(instant(value) if isinstance(value, str) else instant(str(value)))
        except ValueError as error:
            yield Found(str(error), "Write it in UTC, as 2024-11-16T12:00:00Z.", f"{where}/{n}")
    if len(ends) == 2 and ends[0] > ends[1]:
        yield Found(
            "the interval ends before it starts",
            "Write the earlier time first; null leaves an end open.",
            where,
        )


@part_of("C12", "item")
def extent_holds_the_item(item: Item, given: Given) -> Iterator[Found]:
    """Compare each item with the overall extent."""
    extent = given.extent
    if extent is None:
        return
    box = box_of(item.document.get("bbox"))
    if box is not None and not extent.holds_box(box):
        yield Found(
            "lies outside the collection's spatial extent",
            "Widen extent.spatial.bbox of the collection.",
            "/bbox",
        )
    if item.span is not None and not extent.holds_span(*item.span):
        yield Found(
            "lies outside the collection's temporal extent",
            "Widen extent.temporal.interval of the collection.",
            "/properties",
        )


_URL = "Write a whole URL, such as https://example.org/a%20b, where %20 stands for a blank."
_BAD_CHARS = re.compile(r"[\s\x00-\x1f\x7f<>\"{}|\\^`]")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


_PLAIN = re.compile(r"https?://[\w.-]+(?::\d{1,4})?(?:/[\w.~!$&'()*+,;=:@/-]*)?", re.ASCII)


@lru_cache(maxsize=512)
def malformed(href: str) -> str:
    """Return what is wrong with the form of a URL or a relative reference (RFC 3986), or ''."""
    if _PLAIN.fullmatch(href):
        return ""
    if not href:
        return "is empty"
    if href.lower().startswith("s3://"):
        return "" if href[5:].partition("/")[0].strip() else "names no bucket"
    if found := _BAD_CHARS.search(href):
        return f"holds the character {found[0]!r}"
    if _BAD_PERCENT.search(href):
        return "holds a % that is no percent-encoding"
    try:
        parts = urlsplit(href)
        _ = parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    if parts.scheme in ("http", "https", "s3", "ftp") and not parts.netloc:
        return "names no host"
    if parts.netloc and parts.scheme in ("http", "https") and not parts.hostname:
        return "names no host"
    return ""


@rule("C11", "collection")
def hrefs_are_well_formed(collection: Document, given: Given) -> Iterator[Found]:
    """Hrefs of links, and URLs of providers, have the form of URLs (RFC 3986).

    Only the form is looked at: nothing is fetched. Hrefs of assets are A01's, but for those that
    lead to other servers. What follows the bucket in an s3:// one is a key, which may be anything.
    """
    for field, name in (("links", "href"), ("providers", "url")):
        entries = collection.get(field)
        for n, entry in enumerate(entries if isinstance(entries, list) else ()):
            value = entry.get(name) if isinstance(entry, dict) else None
            if isinstance(value, str) and not placeholder(value) and (wrong := malformed(value)):
                where = pointer(field, n, name)
                yield Found(f"the {name} {wrong}", _URL, where)


@part_of("C11", "item")
def hrefs_of_items_are_well_formed(item: Item, given: Given) -> Iterator[Found]:
    """Look at the links of items too, and at assets on other servers."""
    links = item.document.get("links")
    for n, link in enumerate(links if isinstance(links, list) else ()):
        value = link.get("href") if isinstance(link, dict) else None
        if isinstance(value, str) and (wrong := malformed(value)) and not placeholder(value):
            yield Found(f"the href {wrong}", _URL, pointer("links", n, "href"))
    for key, _, href, path in item.assets:
        if path is None and is_remote(href) and (wrong := malformed(href)):
            yield Found(f"the href {wrong}", _URL, pointer("assets", key, "href"))
