"""Maps and timelines: what they say, and that what they draw is where it should be."""

import datetime as dt
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from dedl_workbook.views import maps, pictures
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.builders import box

SCRIPTS = Path(__file__).parents[3] / "scripts"
DAY = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)


def point(lon: float, lat: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [lon, lat]}


def drawn(picture: pictures.Picture) -> ElementTree.Element:
    """Parse a picture; it must be well-formed, and hold nothing that runs or is fetched."""
    text = picture.svg
    assert not re.search(r"<script|javascript:|href|url\(|\son\w+=", text, re.IGNORECASE)
    return ElementTree.fromstring(text)


def circles(picture: pictures.Picture) -> list[tuple[float, float]]:
    found = drawn(picture).iter("{http://www.w3.org/2000/svg}circle")
    dots = [circle for circle in found if circle.get("fill") == pictures.BLUE]
    return [(float(dot.get("cx", "")), float(dot.get("cy", ""))) for dot in dots]


def test_a_map_says_in_words_what_it_shows() -> None:
    picture = maps.footprints([box(-10, 35.2, 4.4, 44.8)] * 36 + [None])

    assert picture.text == (
        "Map: 36 items, one footprint; 1 more without a geometry that can be drawn; "
        "10° W to 4.4° E, 35.2° N to 44.8° N."
    )
    svg = next(drawn(picture).iter("{http://www.w3.org/2000/svg}svg"))
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == picture.text


def test_points_lie_as_they_do_on_earth() -> None:
    (west, east, north) = circles(maps.footprints([point(0, 40), point(10, 40), point(5, 50)]))

    assert west[0] < north[0] < east[0]
    assert west[1] == east[1] > north[1]


def test_a_map_over_the_antimeridian_leaves_out_the_empty_side() -> None:
    picture = maps.footprints([point(179, -17), point(-179, -17), point(-178, -18)])

    assert "179° E to 178° W" in picture.text
    xs = [x for x, _ in circles(picture)]
    assert xs == sorted(xs)


@pytest.mark.parametrize(
    ("bbox", "said"),
    [([178, -30, -178, -25], "178° E to 178° W"), (None, "178° W to 178° E")],
)
def test_a_bbox_over_the_antimeridian_tells_which_way_a_polygon_goes(bbox: Any, said: str) -> None:
    drawn_shape = maps.shape(box(-178, -30, 178, -25), bbox)

    assert said in maps.footprints([drawn_shape]).text


def test_the_whole_globe_is_a_map_too() -> None:
    assert "180° to 180°, 90° S to 90° N" in maps.footprints([box(-180, -90, 180, 90)]).text


def test_of_very_many_footprints_some_are_drawn_and_the_count_is_said() -> None:
    picture = maps.footprints(point(n / 100, n / 1000) for n in range(3000))

    assert "3,000 items, 3,000 different footprints, 2,000 of them drawn" in picture.text
    assert len(circles(picture)) == 2000


def test_a_line_of_very_many_positions_is_thinned() -> None:
    line = {"type": "LineString", "coordinates": [[n / 1e5, 0] for n in range(100_000)]}

    assert len(maps.footprints([line]).svg) < 40_000


@pytest.mark.parametrize(
    "geometry",
    [
        *(None, {}, [], "Point", {"type": "Point"}, {"type": "Point", "coordinates": []}),
        *({"type": "Point", "coordinates": ["a", "b"]}, {"type": "Polygon", "coordinates": [[[]]]}),
        {"type": "Point", "coordinates": [float("nan"), 0]},
        {"type": "Point", "coordinates": [0, 1e300]},
        {"type": "GeometryCollection", "geometries": 5},
    ],
)
def test_what_is_no_geometry_is_counted_and_not_drawn(geometry: Any) -> None:
    assert maps.footprints([geometry]).text == (
        "No map: no items with a geometry that can be drawn."
    )


JSON = st.recursive(
    st.none() | st.floats(-400, 400) | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.fixed_dictionaries({"type": st.text(max_size=9), "coordinates": JSON})))
def test_no_geometry_breaks_a_map(geometries: list[Any]) -> None:
    drawn(maps.footprints(geometries))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), min_size=1, max_size=8))
def test_every_point_is_inside_the_map(places: list[tuple[float, float]]) -> None:
    picture = maps.footprints([point(*place) for place in places])
    inner = next(drawn(picture).iter("{http://www.w3.org/2000/svg}svg")).find(
        "{http://www.w3.org/2000/svg}svg"
    )
    assert inner is not None
    width, height = float(inner.get("width", "")), float(inner.get("height", ""))

    inside = [(x, y) for x, y in circles(picture) if -1 <= x <= width + 1 and -1 <= y <= height + 1]
    assert len(set(inside)) >= 1
    assert len(inside) >= len(set(places))


def test_the_coasts_are_those_of_natural_earth() -> None:
    """As the script takes them from a package that carries them."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        import land
    finally:
        sys.path.remove(str(SCRIPTS))

    assert land.LAND.read_text() == land.land()


@pytest.mark.parametrize(
    ("step", "count", "said"),
    [
        (dt.timedelta(minutes=5), 12, "by minutes; 44 of 56 minutes have none."),
        (dt.timedelta(hours=3), 30, "by hours; 58 of 88 hours have none."),
        (dt.timedelta(days=1), 36, "by days; no gap."),
        (dt.timedelta(days=7), 60, "by months; no gap."),
        (dt.timedelta(days=365), 90, "by years; "),
        (dt.timedelta(days=3650), 60, "by decades; no gap."),
        (dt.timedelta(days=36500), 60, "by centuries; no gap."),
    ],
)
def test_a_timeline_takes_the_unit_that_can_be_read(
    step: dt.timedelta, count: int, said: str
) -> None:
    picture = pictures.timeline([DAY + n * step for n in range(count)])

    assert f"Timeline: {count} items from 2026-07-01 00:00 to" in picture.text
    assert said in picture.text
    drawn(picture)


def test_a_timeline_shows_gaps_as_no_bar() -> None:
    picture = pictures.timeline([DAY + dt.timedelta(days=n) for n in (0, 1, 1, 7)])

    assert "5 of 8 days have none" in picture.text
    bars = [*drawn(picture).iter("{http://www.w3.org/2000/svg}rect")]
    heights = [float(bar.get("height", "")) for bar in bars]
    assert heights == [60, 120, 0, 0, 0, 0, 0, 60]


def test_no_times_are_no_timeline() -> None:
    assert pictures.timeline([]).svg == (
        "<p>No timeline: no items with a time that can be read.</p>"
    )


def test_the_first_and_the_last_year_are_drawn() -> None:
    first, last = dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)

    picture = pictures.timeline([first, last])

    assert "from 0001-01-01 00:00 to 9999-12-31 23:59 UTC, by centuries" in picture.text


@pytest.mark.parametrize("colour", [pictures.BLUE, pictures.ORANGE])
@pytest.mark.parametrize("ground", ["#ffffff", "#111111"])
def test_colours_stand_out_on_light_and_dark(colour: str, ground: str) -> None:
    """WCAG 2.2, 1.4.11: at least 3 to 1."""

    def luminance(text: str) -> float:
        parts = [int(text[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(colour), luminance(ground)))
    assert (light + 0.05) / (dark + 0.05) >= 3
