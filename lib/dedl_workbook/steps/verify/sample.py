"""What is kept of the items that go by while paging: samples, and what bounds them all."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from dedl_workbook.services.catalog import comparison

ODD = 64
"""Odd characters of which an asset is tried, at most."""
SEARCHED = 3
"""Items that are searched for in every way."""

_PLAIN = re.compile(r"[\w.-]*", re.ASCII)
_SAFE = set(string.ascii_letters + string.digits + "._-")

Box = tuple[float, float, float, float]
"""West, south, east, north, in degrees."""


@dataclass(frozen=True)
class Asset:
    """One asset as it is served."""

    item: str
    name: str
    type: str
    href: str


@dataclass
class Sample:
    """Some of the items that went by, and what bounds them all."""

    most: int
    """About so many assets are kept, some of each media type."""
    every: bool
    """Whether all are, for there are few."""
    pool: str = ""
    """What the address of an asset starts with that can be downloaded; others are counted."""
    assets: dict[str, list[Asset]] = field(default_factory=dict)
    """By media type; a fair sample of each, or all."""
    odd: dict[str, Asset] = field(default_factory=dict)
    """The first asset with each character in its name that clients and servers may trip over."""
    count: dict[str, int] = field(default_factory=dict)
    remote: dict[str, int] = field(default_factory=dict)
    """Of these, the ones that lie elsewhere."""
    items: list[dict[str, Any]] = field(default_factory=list)
    matched: set[int] = field(default_factory=set)
    """Each numberMatched, of any page."""
    south: float = 90.0
    north: float = -90.0
    earliest: str = ""
    total: int = 0


def chosen(sample: Sample) -> list[Asset]:
    """Return the assets that are downloaded: one of each shape first, then as many as are to be.

    The shapes are the media types and the odd characters in names.
    """
    shapes = [assets[0] for assets in sample.assets.values() if assets]
    first = list(dict.fromkeys([*shapes, *sample.odd.values()]))
    rest = dict.fromkeys(asset for assets in sample.assets.values() for asset in assets)
    others = [asset for asset in rest if asset not in first]
    return first + (others if sample.every else others[: max(0, sample.most - len(first))])


def kind_of(name: str, asset: Mapping[str, Any]) -> str:
    """Return what an asset is downloaded as one of: its media type; thumbnails are their own."""
    kind = str(asset.get("type") or "no media type")
    is_thumbnail = name == "thumbnail" or "thumbnail" in (asset.get("roles") or ())
    return f"thumbnail, {kind}" if is_thumbnail else kind


def _odd(name: str) -> set[str]:
    return set() if _PLAIN.fullmatch(name) else set(unquote(name)) - _SAFE


def note(sample: Sample, item: dict[str, Any]) -> None:
    """Keep what is needed of one item: a fair sample of all, each media type for itself."""
    sample.total += 1
    for name, asset in (item.get("assets") or {}).items():
        kind, href = kind_of(name, asset), str(asset.get("href"))
        count = sample.count[kind] = sample.count.get(kind, 0) + 1
        if not href.startswith(sample.pool):
            sample.remote[kind] = sample.remote.get(kind, 0) + 1
            continue
        group = sample.assets.setdefault(kind, [])
        one = Asset(str(item["id"]), name, kind, href)
        for character in _odd(f"{name}{href.rpartition('/')[2]}") - sample.odd.keys():
            if len(sample.odd) < ODD:
                sample.odd[character] = one
        if sample.every or len(group) < max(
            1, sample.most // 10, sample.most // len(sample.assets)
        ):
            group.append(one)
        elif (place := random.randrange(count)) < len(group):  # noqa: S311 (no secret)
            group[place] = one
    if len(sample.items) < SEARCHED:
        sample.items.append(item)
    elif (place := random.randrange(sample.total)) < SEARCHED:  # noqa: S311
        sample.items[place] = item
    box = box_of(item)
    sample.south, sample.north = min(sample.south, box[1]), max(sample.north, box[3])
    first = comparison.span(item)[0]
    sample.earliest = min(sample.earliest or first, first)


def box_of(item: Mapping[str, Any]) -> Box:
    """Return the box that an item lies in: its own, or that of its geometry."""
    box = item.get("bbox")
    if isinstance(box, list) and len(box) in (4, 6):
        half = len(box) // 2
        return float(box[0]), float(box[1]), float(box[half]), float(box[half + 1])
    points = list(_points(item["geometry"]))
    wide, high = [point[0] for point in points], [point[1] for point in points]
    return min(wide), min(high), max(wide), max(high)


def _points(geometry: Any) -> Iterator[list[float]]:
    if isinstance(geometry, dict):
        yield from _points(geometry.get("coordinates", geometry.get("geometries", [])))
    elif geometry and isinstance(geometry[0], int | float):
        yield geometry
    else:
        for part in geometry:
            yield from _points(part)
