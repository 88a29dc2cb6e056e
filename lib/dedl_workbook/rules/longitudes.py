"""Longitudes from 0 to 360, turned into -180 to 180: outlines are cut at the antimeridian."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from dedl_workbook.rules.geometry import Box, box_of, positions_of

Ring = list[list[float]]
_ALL = 1e-9
"""Degrees that a turn round the globe may lack."""


def turned(geometry: Any) -> Any | None:
    """Return a geometry of longitudes from 0 to 360 as one of -180 to 180, or None if it is none.

    Outlines over 180 degrees are cut there (RFC 7946, 3.1.9); what is no polygon is turned position
    by position, unless it is a line over 180 degrees.
    """
    lons = [position[0] for position in positions_of(geometry) or ()]
    if not lons or min(lons) < 0 or not 180 < max(lons) <= 360:
        return None
    kind, coordinates = geometry["type"], geometry.get("coordinates")
    if kind in ("Polygon", "MultiPolygon"):
        polygons = [coordinates] if kind == "Polygon" else coordinates
        parts = [part for polygon in polygons for part in _cut(polygon)]
        if len(parts) == 1:
            return {**geometry, "type": "Polygon", "coordinates": parts[0]}
        return {**geometry, "type": "MultiPolygon", "coordinates": parts}
    if kind in ("Point", "MultiPoint") or min(lons) >= 180:
        return {**geometry, "coordinates": _shifted(coordinates)}
    return None


def turned_box(bbox: Any) -> list[float] | None:
    """Return a bbox of longitudes from 0 to 360 as one of -180 to 180, or None if it is none."""
    box = box_of(bbox)
    if box is None or not (0 <= box[0] <= box[2] and 180 < box[2] <= 360):
        return None
    west, east = turned_ends(box)
    half = len(bbox) // 2
    return [west, *bbox[1:half], east, *bbox[half + 1 :]]


def turned_ends(box: Box) -> tuple[float, float]:
    """Return west and east of a box of 0 to 360; west > east over the antimeridian."""
    west, _, east, _ = box
    if east - west >= 360 - _ALL:
        return -180.0, 180.0
    return (west - 360 if west >= 180 else west), east - 360


def _shifted(coordinates: Any) -> Any:
    if isinstance(coordinates[0], (int, float)):
        lon = coordinates[0] - 360 if coordinates[0] > 180 else coordinates[0]
        return [lon, *coordinates[1:]]
    return [_shifted(part) for part in coordinates]


def _cut(polygon: list[Ring]) -> list[list[Ring]]:
    """Return the parts of a polygon east and west of 180 degrees, with longitudes in range."""
    parts = []
    for keeps, shift in (((lambda lon: lon <= 180), 0), ((lambda lon: lon >= 180), -360)):
        rings = [_clipped(ring, keeps) for ring in polygon]
        if rings[0]:
            parts.append([[[p[0] + shift, *p[1:]] for p in ring] for ring in rings if ring])
    return parts


def _clipped(ring: Ring, keeps: Callable[[float], bool]) -> Ring:
    """Return the part of a closed ring on one side of 180 degrees (Sutherland and Hodgman)."""
    clipped: Ring = []
    for a, b in pairwise(ring):
        if keeps(a[0]):
            clipped.append(list(a))
        if keeps(a[0]) != keeps(b[0]) and 180 not in (a[0], b[0]):
            share = (180 - a[0]) / (b[0] - a[0])
            rest = [x + share * (y - x) for x, y in zip(a[1:], b[1:], strict=False)]
            clipped.append([180.0, *rest])
    flat = all(position[0] == 180 for position in clipped)
    return [] if flat or len(clipped) < 3 else [*clipped, clipped[0]]
