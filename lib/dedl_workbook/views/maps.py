"""Maps of footprints, with the coasts of Natural Earth that come with the workbook; no network."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from dedl_workbook.base.text import number
from dedl_workbook.views.pictures import BLUE, ORANGE, Picture, framed, label

_WIDTH, _HEIGHT, _INSET = 620, 400, 170
_MOST_DRAWN = 2000
_MOST_POSITIONS = 400
"""Positions of a line that are drawn."""
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 45)

Position = tuple[float, float]
"""Longitude and latitude in degrees."""


@dataclass(frozen=True)
class Shape:
    """What is drawn of a geometry: its lines, and whether they enclose an area."""

    lines: tuple[tuple[Position, ...], ...]
    closed: bool


def shape(geometry: Any, bbox: Any = None) -> Shape | None:
    """Return what can be drawn of a GeoJSON geometry; None where nothing can.

    Lines of very many positions are thinned. Where the bbox is one over the antimeridian (west >
    east), lines go the shorter way round the globe, beyond 180 degrees if need be.
    """
    around = isinstance(bbox, list) and len(bbox) in (4, 6) and _west_of_east(bbox)
    lines = [thinned for line in _lines(geometry) if (thinned := _thinned(line, around))]
    kind = geometry.get("type", "") if isinstance(geometry, dict) else ""
    return Shape(tuple(lines), str(kind).endswith("Polygon")) if lines else None


def _west_of_east(bbox: list[Any]) -> bool:
    west, east = bbox[0], bbox[len(bbox) // 2]
    return type(west) in (int, float) and type(east) in (int, float) and west > east


def _lines(geometry: Any, level: int = 0) -> Iterator[list[Any]]:
    if not isinstance(geometry, dict) or level > 3:
        return
    members = geometry.get("geometries")
    for member in members if isinstance(members, list) else ():
        yield from _lines(member, level + 1)
    nested = [geometry.get("coordinates")]
    for _ in range(5):
        below: list[Any] = []
        for part in nested:
            if not isinstance(part, list) or not part:
                continue
            if isinstance(part[0], list) and part[0] and not isinstance(part[0][0], list):
                yield part
            elif isinstance(part[0], list):
                below += part
            else:
                yield [part]
        nested = below


def _thinned(line: list[Any], around: bool) -> tuple[Position, ...]:
    every = -(-len(line) // _MOST_POSITIONS)
    positions: list[Position] = []
    for position in [*line[::every], *line[-1:]] if every > 1 else line:
        if not _is_position(position):
            return ()
        lon, lat = float(position[0]), float(position[1])
        if positions and around:
            lon -= 360 * round((lon - positions[-1][0]) / 360)
        positions.append((lon, lat))
    return tuple(positions)


def _is_position(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= 2
        and all(type(number) in (int, float) for number in value[:2])
        and abs(value[0]) <= 360
        and abs(value[1]) <= 90
    )


@dataclass(frozen=True)
class _View:
    """A part of the globe on a plane: as wide as it is high in kilometres at its middle."""

    west: float
    south: float
    east: float
    north: float
    scale: float
    """Pixels of a degree of latitude."""
    squeeze: float
    """Degrees of latitude that a degree of longitude is long."""

    @property
    def size(self) -> tuple[float, float]:
        width = (self.east - self.west) * self.scale * self.squeeze
        return width, (self.north - self.south) * self.scale

    def at(self, lon: float, lat: float) -> str:
        x = (lon - self.west) * self.scale * self.squeeze
        return f"{x:.1f} {(self.north - lat) * self.scale:.1f}"

    def path(self, line: Sequence[Position], shift: float = 0) -> str:
        return "M" + "L".join(self.at(lon + shift, lat) for lon, lat in line)


def footprints(geometries: Iterable[Any], what: str = "items") -> Picture:
    """Draw GeoJSON geometries on a map; equal ones once, at most some thousand of them.

    Args:
        geometries: what `shape` takes, or what it returned; what can't be drawn is counted.
        what: what they are footprints of, in the plural, for the text.
    """
    counted: Counter[Shape | None] = Counter(
        geometry if isinstance(geometry, Shape) else shape(geometry) for geometry in geometries
    )
    without = counted.pop(None, 0)
    drawn = [geometry for geometry, _ in counted.most_common(_MOST_DRAWN) if geometry]
    text = f"{number(counted.total(), what)}, {_different(len(counted), len(drawn))}"
    text += f"; {without:,} more without a geometry that can be drawn" if without else ""
    if not drawn:
        return framed(f"No map: no {what} with a geometry that can be drawn.", "", 0, 0)
    extent = bounds(drawn)
    text = f"Map: {text}; {_extent(*extent)}."
    view = _view(*extent)
    width, height = view.size
    body = _grid(view) + _coasts(view) + "".join(_drawn(drawn, view))
    frame = f'<rect width="{width:.0f}" height="{height:.0f}" fill="none" stroke="currentColor"/>'
    svg = _nested(body + frame, 0, 0, width, height) + _labels(view)
    if view.east - view.west < 120:
        svg += _locator(extent, width + 64)
    return framed(text, svg, _WIDTH + _INSET + 76, max(height, 110) + 24)


def _different(footprints: int, drawn: int) -> str:
    if footprints == 1:
        return "one footprint"
    some = f", {drawn:,} of them drawn" if drawn < footprints else ""
    return f"{footprints:,} different footprints{some}"


def bounds(shapes: Sequence[Shape]) -> tuple[float, float, float, float]:
    """Return west, south, east, north in degrees; east is beyond 180 where the map is smaller so.

    Args:
        shapes: one at least.
    """
    spans = []
    lats = []
    for shape_ in shapes:
        for line in shape_.lines:
            lons = [lon for lon, _ in line]
            west = (min(lons) + 180) % 360 - 180
            east = west + max(lons) - min(lons)
            spans.append((west, east))
            if east > 180:
                spans.append((-180.0, east - 360))
            lats += [min(lat for _, lat in line), max(lat for _, lat in line)]
    spans.sort()
    # The widest gap between them is what the map leaves out.
    west, reach, gap, start = spans[0][0], spans[0][1], -math.inf, spans[0][0]
    for left, right in [*spans[1:], (spans[0][0] + 360, 0)]:
        if left - reach > gap:
            gap, start = left - reach, left
        reach = max(reach, right)
    if gap <= 0:
        return -180.0, min(lats), 180.0, max(lats)
    west, east = start - 360, start - gap
    if west < -180:
        west, east = west + 360, east + 360
    return west, min(lats), east, max(lats)


def _view(west: float, south: float, east: float, north: float) -> _View:
    pad = max((east - west) * 0.12, (north - south) * 0.12, 2.0)
    south, north = max(-90.0, south - pad), min(90.0, north + pad)
    squeeze = max(0.3, math.cos(math.radians((south + north) / 2)))
    if east - west > 300:
        squeeze = 1.0
    else:
        west, east = west - pad, east + pad
    # Not too slim: a strip from pole to pole, or along the equator, keeps some land beside it.
    tall, wide = north - south, (east - west) * squeeze
    if wide < tall * 0.8:
        more = (tall * 0.8 - wide) / squeeze / 2
        west, east = west - more, east + more
    elif tall < wide * 0.3:
        more = (wide * 0.3 - tall) / 2
        south, north = max(-90.0, south - more), min(90.0, north + more)
    scale = min(_WIDTH / ((east - west) * squeeze), _HEIGHT / (north - south))
    return _View(west, south, east, north, scale, squeeze)


@cache
def land() -> tuple[tuple[Position, ...], ...]:
    """Return the rings of Natural Earth's land, holes among them."""
    text = files("dedl_workbook.views").joinpath("coastlines.json").read_text("utf-8")
    return tuple(
        tuple((ring[n] / 100, ring[n + 1] / 100) for n in range(0, len(ring), 2))
        for ring in json.loads(text)["rings"]
    )


def _coasts(view: _View) -> str:
    paths = []
    for ring in land():
        lons = [lon for lon, _ in ring]
        for shift in (-360, 0, 360):
            if max(lons) + shift >= view.west and min(lons) + shift <= view.east:
                shifted = [(lon + shift, lat) for lon, lat in ring]
                if line := _seen(_clipped(shifted, view), view):
                    paths.append(view.path(line) + "Z")
    style = 'fill="currentColor" fill-opacity=".14" stroke="currentColor" stroke-opacity=".45"'
    return f'<path d="{"".join(paths)}" {style} fill-rule="evenodd" stroke-width=".7"/>'


def _clipped(ring: list[Position], view: _View) -> list[Position]:
    """Cut a ring off a little beyond the map, edge by edge (Sutherland and Hodgman)."""
    for axis, sign, edge in (
        (0, 1, view.west - 1),
        (0, -1, view.east + 1),
        (1, 1, view.south - 1),
        (1, -1, view.north + 1),
    ):
        positions: list[Position] = []
        for here, there in zip(ring, [*ring[1:], *ring[:1]], strict=True):
            inside, then = ((point[axis] - edge) * sign >= 0 for point in (here, there))
            if inside:
                positions.append(here)
            if inside != then:
                part = (edge - here[axis]) / (there[axis] - here[axis])
                positions.append(
                    (here[0] + part * (there[0] - here[0]), here[1] + part * (there[1] - here[1]))
                )
        ring = positions
    return ring


def _seen(ring: list[Position], view: _View) -> list[Position]:
    """Leave out positions that lie less than a pixel beside the one before."""
    positions: list[Position] = []
    for lon, lat in ring:
        if not positions or (
            abs(lon - positions[-1][0]) * view.scale * view.squeeze
            + abs(lat - positions[-1][1]) * view.scale
            > 1
        ):
            positions.append((lon, lat))
    return positions if len(positions) > 2 else []


def _drawn(shapes: Sequence[Shape], view: _View) -> Iterator[str]:
    """Yield the footprints; where many lie over each other, each is fainter."""
    opacity = max(0.04, 0.4 / math.sqrt(len(shapes)))
    stroke = max(0.25, 1 / math.sqrt(len(shapes) / 20)) if len(shapes) > 20 else 1
    style = f'stroke="{BLUE}" stroke-opacity="{stroke:.2f}" stroke-width="1.6"'
    for shape_ in shapes:
        shifts = [
            shift
            for shift in (-360, 0, 360)
            if any(
                view.west <= lon + shift <= view.east for line in shape_.lines for lon, _ in line
            )
        ]
        for shift in shifts or (0,):
            dots = [line[0] for line in shape_.lines if len(line) == 1]
            for lon, lat in dots:
                x, y = view.at(lon + shift, lat).split()
                yield f'<circle cx="{x}" cy="{y}" r="3.5" fill="{BLUE}" fill-opacity=".7"/>'
            end, fill = ("Z", BLUE) if shape_.closed else ("", "none")
            paths = [view.path(line, shift) + end for line in shape_.lines if len(line) > 1]
            if paths:
                area = f'fill="{fill}" fill-opacity="{opacity:.2f}" fill-rule="evenodd"'
                yield f'<path d="{"".join(paths)}" {area} {style}/>'


def _ticks(first: float, last: float) -> list[float]:
    step = next((s for s in _STEPS if (last - first) / s <= 6), _STEPS[-1])
    start = math.ceil(first / step)
    return [round(n * step, 6) for n in range(start, math.floor(last / step) + 1)]


def _grid(view: _View) -> str:
    lines = [
        *(
            view.path([(lon, view.south), (lon, view.north)])
            for lon in _ticks(view.west, view.east)
        ),
        *(
            view.path([(view.west, lat), (view.east, lat)])
            for lat in _ticks(view.south, view.north)
        ),
    ]
    return f'<path d="{"".join(lines)}" fill="none" stroke="currentColor" stroke-opacity=".2"/>'


def _labels(view: _View) -> str:
    width, height = view.size
    texts = []
    for lon in _ticks(view.west, view.east):
        x = float(view.at(lon, 0).split()[0])
        texts.append(label(x, height + 15, _degrees(lon, "E", "W"), "middle"))
    for lat in _ticks(view.south, view.north):
        y = float(view.at(0, lat).split()[1])
        texts.append(label(width + 5, y + 4, _degrees(lat, "N", "S"), "start"))
    return "".join(texts)


def _degrees(value: float, plus: str, minus: str) -> str:
    if plus == "E":
        value = (value + 180) % 360 - 180
    return f"{abs(value):g}°" + ("" if value in (0, -180) else f" {plus if value > 0 else minus}")


def _extent(west: float, south: float, east: float, north: float) -> str:
    lons = [_degrees(round(lon, 2), "E", "W") for lon in (west, east)]
    lats = [_degrees(round(lat, 2), "N", "S") for lat in (south, north)]
    return f"{lons[0]} to {lons[1]}, {lats[0]} to {lats[1]}"


def _locator(extent: tuple[float, float, float, float], left: float) -> str:
    """Draw where on Earth the map is."""
    west, south, east, north = extent
    world = _View(-180, -90, 180, 90, _INSET / 360, 1)
    box = "".join(
        world.path(
            [(west + s, south), (east + s, south), (east + s, north), (west + s, north)],
        )
        + "Z"
        for s in ((0, -360) if east > 180 else (0,))
    )
    ring = 8 if max(east - west, north - south) < 20 else 0
    x, y = world.at((west + east) / 2, (south + north) / 2).split()
    body = _coasts(world) + (
        f'<path d="{box}" fill="{ORANGE}" fill-opacity=".5" stroke="{ORANGE}"/>'
        f'<circle cx="{x}" cy="{y}" r="{ring}" fill="none" stroke="{ORANGE}" stroke-width="1.5"/>'
        f'<rect width="{_INSET}" height="{_INSET / 2:.0f}" fill="none" stroke="currentColor"/>'
    )
    return _nested(body, left, 0, _INSET, _INSET / 2) + label(left, _INSET / 2 + 15, "on Earth")


def _nested(body: str, x: float, y: float, width: float, height: float) -> str:
    place = f'x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}"'
    return f"<svg {place}>{body}</svg>"
