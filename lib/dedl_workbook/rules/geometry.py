"""Geometries and bounding boxes, in longitude and latitude (degrees)."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any

from dedl_workbook.base.json import pointer
from dedl_workbook.rules.findings import Severity
from dedl_workbook.rules.problem import Problem

TOLERANCE = 0.01
"""Degrees by which a bbox may be rounded off the geometry."""
EDGE = 1e-6
"""Degrees by which rounding may carry a position over the edge of the range."""
_DEPTHS = {
    "Point": 0,
    "MultiPoint": 1,
    "LineString": 1,
    "MultiLineString": 2,
    "Polygon": 2,
    "MultiPolygon": 3,
}
MOST_COMPARED = 1_000_000
"""Pairs of sides, in all rings of a geometry, that are compared in search of crossings: a fifth of
a second. Only outlines of many sides that all overlap need more."""

Positions = list[Sequence[float]]
_FIX = "Write GeoJSON as RFC 7946 has it: [longitude, latitude] in degrees."


def problems_of(geometry: Any, bbox: Any) -> Iterator[Problem]:
    """Yield what is wrong with a geometry, and with its bbox."""
    if _is_plain_box(geometry, bbox):
        return
    problems: list[Problem] = []
    lines = list(_lines(geometry, "/geometry", problems))
    yield from problems
    if problems:
        return
    positions = list(chain.from_iterable(line for _, line, _ in lines))
    if not positions:
        yield Problem("the geometry is empty", "Add the footprint of the data.", "/geometry")
        return
    lons = [position[0] for position in positions]
    lats = [position[1] for position in positions]
    west, east, south, north = min(lons), max(lons), min(lats), max(lats)
    if text := out_of_range(west, south, east, north):
        yield Problem(text, _FIX, "/geometry")
        return
    left = MOST_COMPARED
    for where, line, is_ring in lines:
        if is_ring:
            left -= yield from _problems_of_ring(where, line, left)
    if bbox is not None:
        yield from _problems_of_bbox(
            bbox, [line for _, line, _ in lines], (west, south, east, north)
        )


def positions_of(geometry: Any) -> Positions | None:
    """Return all positions of a geometry, or None if it is broken."""
    problems: list[Problem] = []
    lines = list(_lines(geometry, "", problems))
    return None if problems else [position for _, line, _ in lines for position in line]


def bounds_of(geometry: Any) -> Box | None:
    """Return west, south, east, north of a geometry in range, or None if it is broken or empty."""
    positions = positions_of(geometry)
    if not positions:
        return None
    lons = [position[0] for position in positions]
    lats = [position[1] for position in positions]
    bounds = min(lons), min(lats), max(lons), max(lats)
    in_range = bounds[0] >= -180 and bounds[2] <= 180 and bounds[1] >= -90 and bounds[3] <= 90
    return bounds if in_range else None


def _is_plain_box(geometry: Any, bbox: Any) -> bool:
    """Tell in a short way whether a geometry is the closed outline of its bbox, in range."""
    box = box_of(bbox)
    if box is None or len(bbox) != 4 or type(geometry) is not dict:
        return False
    west, south, east, north = box
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        return False
    if geometry.get("type") != "Polygon":
        return False
    # Most outlines start in the south-west and go round against the clock.
    around = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    rings = geometry.get("coordinates")
    return rings == [around] or rings == [[*around[2:4], *around[:3]]] or rings == [around[::-1]]


def _lines(
    geometry: Any, where: str, problems: list[Problem], level: int = 0
) -> Iterator[tuple[str, Positions, bool]]:
    """Yield a geometry's lists of positions: where each is, and whether it must be a ring."""
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == "GeometryCollection":
        members = geometry.get("geometries")
        if not isinstance(members, list) or level > 3:
            problems.append(Problem("is no usable GeometryCollection", _FIX, where))
            return
        for place, member in enumerate(members):
            yield from _lines(member, where + pointer("geometries", place), problems, level + 1)
        return
    if not isinstance(kind, str) or kind not in _DEPTHS:
        problems.append(Problem(f"is no GeoJSON geometry: type {str(kind)[:40]!r}", _FIX, where))
        return
    lines: list[tuple[str, Any]] = [(where + "/coordinates", geometry.get("coordinates"))]
    depth = _DEPTHS[kind]
    if depth == 0:
        lines = [(at, [position]) for at, position in lines]
    for _ in range(depth - 1):
        nested, lines = lines, []
        for at, parts in nested:
            if isinstance(parts, list):
                lines += [(f"{at}/{n}", part) for n, part in enumerate(parts)]
            else:
                problems.append(Problem("has no list of coordinates", _FIX, at))
    for at, line in lines:
        if isinstance(line, list) and all(map(_is_position, line)):
            yield at, line, kind.endswith("Polygon")
        else:
            problems.append(Problem("holds a position that is none", _FIX, at))


def _is_position(value: Any) -> bool:
    if type(value) is not list or not 2 <= len(value) <= 4:
        return False
    lon, lat = value[0], value[1]
    kinds = (float, int)
    return type(lon) in kinds and type(lat) in kinds


def _problems_of_ring(where: str, ring: Positions, most: int) -> Generator[Problem, None, int]:
    """Yield what is wrong with a ring; return how many comparisons of `most` it took."""
    compared = 0
    if not ring or ring[0] != ring[-1]:
        yield Problem("the ring is not closed", "Repeat the first position at the end.", where)
    elif len(ring) < 4:
        yield Problem(
            "the ring has fewer than four positions",
            "Close it: the last is the first again.",
            where,
        )
    elif not _is_box(ring):
        crosses, compared = crosses_itself(ring, most)
        if crosses:
            text, fix = (
                "the outline crosses itself",
                "Put the positions in the order in which they follow each other on the outline.",
            )
            yield Problem(text, fix, where, severity=Severity.WARNING)
        elif compared > most:
            yield Problem(
                f"the outline of {len(ring)} positions was not searched for crossings: "
                "it has too many sides side by side",
                "Nothing to do; a footprint of fewer positions is looked at, and is drawn faster.",
                where,
                severity=Severity.INFO,
            )
    return compared


def _is_box(ring: Positions) -> bool:
    """Tell whether a ring is a rectangle along the axes: the most frequent outline."""
    if len(ring) != 5:
        return False
    a, b, c, d, _ = ring
    if a[0] == b[0]:
        return b[1] == c[1] and c[0] == d[0] and d[1] == a[1]
    return a[1] == b[1] and b[0] == c[0] and c[1] == d[1] and d[0] == a[0]


def crosses_itself(ring: Positions, most: int = MOST_COMPARED) -> tuple[bool, int]:
    """Tell whether two sides of a closed ring cross, by sweeping over them from west to east.

    If that needs more than `most` comparisons of two sides, it isn't found out: False. How many
    it took is the other answer.
    """
    sides = [(tuple(a[:2]), tuple(b[:2])) for a, b in pairwise(ring) if a != b]
    order = sorted(range(len(sides)), key=lambda n: min(sides[n][0][0], sides[n][1][0]))
    active: list[int] = []
    compared = 0
    for n in order:
        a, b = sides[n]
        start = min(a[0], b[0])
        active = [m for m in active if max(sides[m][0][0], sides[m][1][0]) >= start]
        compared += len(active)
        if compared > most:
            return False, compared
        low, high = min(a[1], b[1]), max(a[1], b[1])
        for m in active:
            c, d = sides[m]
            if (c[1] < low and d[1] < low) or (c[1] > high and d[1] > high):
                continue
            if _cross(a, b, c, d):
                return True, compared
        active.append(n)
    return False, compared


def _cross(a: Any, b: Any, c: Any, d: Any) -> bool:
    """Tell whether two sides cross in a point inside both."""
    return _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0


def _turn(a: Any, b: Any, c: Any) -> int:
    value = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return 0 if abs(value) < 1e-12 else int(math.copysign(1, value))


Box = tuple[float, float, float, float]
_NUMBERS = frozenset({float, int})


def box_of(bbox: Any) -> Box | None:
    """Return west, south, east, north of a bbox of four or six numbers, or None."""
    if not isinstance(bbox, list) or not _NUMBERS.issuperset(map(type, bbox)):
        return None
    if len(bbox) == 4:
        return bbox[0], bbox[1], bbox[2], bbox[3]
    return (bbox[0], bbox[1], bbox[3], bbox[4]) if len(bbox) == 6 else None


def out_of_range(west: float, south: float, east: float, north: float) -> str:
    """Return which value leaves the range of longitude and latitude, and what it probably is.

    Returns:
        A sentence without subject, or '' if all are in range.
    """
    lon = west if west < -180 - EDGE else east if east > 180 + EDGE else None
    lat = south if south < -90 - EDGE else north if north > 90 + EDGE else None
    if lon is None and lat is None:
        return ""
    name, value = ("latitude", lat) if lon is None else ("longitude", lon)
    largest = max(map(abs, (west, south, east, north)))
    probably = ""
    if largest > 1000:
        probably = ": probably metres of a projection"
    elif lat is None and west >= -EDGE and east <= 360 + HALF_CELL:
        probably = ": probably 0 to 360 in the place of -180 to 180"
    elif lon is None and max(abs(west), abs(east)) <= 90 and largest <= 180:
        probably = ": probably latitude stands before longitude"
    elif abs(west) <= 180 + HALF_CELL and abs(east) <= 180 + HALF_CELL and largest <= 181:
        probably = ": probably the edge of a cell whose centre lies within"
    return f"leaves the range, with the {name} {value:.15g}{probably}"


HALF_CELL = 1.0
"""Degrees by which a grid's outermost cells reach over the edge, at most."""
LARGER = 5.0
"""Degrees by which a bbox may be larger than the geometry: those of rotated scenes are."""


def _problems_of_bbox(bbox: Any, lines: list[Positions], bounds: Box) -> Iterator[Problem]:
    box = box_of(bbox)
    if box is None:
        yield Problem("the bbox is no list of four or six numbers", WRITE_BOX, "/bbox")
        return
    west, south, east, north = box
    if text := out_of_range(min(west, east), min(south, north), max(west, east), max(south, north)):
        yield Problem(f"the bbox {text}", WRITE_BOX, "/bbox")
    elif south > north:
        text = f"the bbox has its south {south:.15g} above its north {north:.15g}"
        yield Problem(text, WRITE_BOX, "/bbox")
    else:
        yield from _disagreements(box, lines, bounds)
        sides = (pair for line in lines for pair in pairwise(line))
        if west > east and any(abs(a[0] - b[0]) > 180 for a, b in sides):
            text = "the geometry crosses the antimeridian in one piece: most programs take it for "
            text += "the other way round the globe"
            yield Problem(text, _CUT, "/geometry", severity=Severity.WARNING)


_CUT = "Cut it in two at 180 degrees, as RFC 7946 (3.1.9) has it."
WRITE_BOX = "Write [west, south, east, north] of the geometry; west > east over the antimeridian."


def _disagreements(box: Box, lines: list[Positions], bounds: Box) -> Iterator[Problem]:
    """Yield how a bbox and a geometry, both in range, disagree."""
    west, south, east, north = box
    inner = bounds
    if west > east:
        # Seen from the west end of the box, with what lies behind the antimeridian after it.
        inner, east = _unrolled(west, east, lines, bounds), east + 360
    out = (west - inner[0], south - inner[1], inner[2] - east, inner[3] - north)
    wide, high = east - west, north - south
    if inner[0] > east or inner[2] < west or inner[1] > north or inner[3] < south:
        yield Problem(f"the bbox {list(box)} does not meet the geometry", WRITE_BOX, "/bbox")
        return
    names = ("west", "south", "east", "north")
    side, most = max(zip(names, out, strict=True), key=lambda entry: entry[1])
    slack = max(ROUGH, ROUGH_SHARE * (wide if side in ("west", "east") else high))
    if most > TOLERANCE:
        yield Problem(
            f"the geometry leaves the bbox in the {side} by {most:.3g} degrees",
            WRITE_BOX,
            "/bbox",
            severity=Severity.WARNING if most <= slack else None,
        )
        return
    ends = (
        west <= -180 + HALF_CELL,
        south <= -90 + HALF_CELL,
        east >= 180 - HALF_CELL,
        north >= 90 - HALF_CELL,
    )
    larger = [-by for by, at_the_edge in zip(out, ends, strict=True) if not at_the_edge]
    if larger and max(larger) > LARGER:
        yield Problem(
            f"the bbox is larger than the geometry by {max(larger):.3g} degrees",
            "Nothing to do, if it is meant; else write that of the geometry.",
            "/bbox",
            severity=Severity.WARNING,
        )


ROUGH, ROUGH_SHARE = 0.1, 0.01
"""Degrees, and the share of the bbox's side, by which a geometry may leave its bbox: the larger of
them is a warning, more is an error."""


def _unrolled(west: float, east: float, lines: list[Positions], bounds: Box) -> Box:
    """Return the bounds of a geometry, with 360 added to what lies west of a box's west.

    The box is one over the antimeridian (west > east). A side that is no longer than half the
    globe, but reaches through what the box leaves out, counts as outside of it.
    """
    middle = (west + east) / 2
    least, most = math.inf, -math.inf
    for line in lines:
        for a, b in pairwise(line):
            low, high = sorted((a[0], b[0]))
            if 180 >= high - low > 0 and low <= east and high >= west:
                return (-math.inf, bounds[1], math.inf, bounds[3])
        for position in line:
            lon = position[0] if position[0] > middle else position[0] + 360
            least, most = min(least, lon), max(most, lon)
    return least, bounds[1], most, bounds[3]
