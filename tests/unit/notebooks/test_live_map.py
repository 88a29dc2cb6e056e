"""The map to move about in: what it draws and says, when it is shown, and that it asks nobody."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.notebooks import explore
from dedl_workbook.notebooks.explore import live_map
from dedl_workbook.notebooks.handover import Handover

from tests.unit.builders import any_dataset, any_item

(ATTEMPT,) = Handover(attempt=Path("any")).to_environment()


def glances(folder: Path, *geometries: dict[str, Any], **first: Any) -> list[explore.Glance]:
    items = [any_item(f"heat_{n}", geometry=g, bbox=None) for n, g in enumerate(geometries)]
    items[0] |= first
    return explore.look(str(any_dataset(folder, *items))).glances


def point(lon: float, lat: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [lon, lat]}


def square(west: float, south: float) -> dict[str, Any]:
    ring = [[west, south], [west + 1, south], [west + 1, south + 1], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def parts(made: Any) -> tuple[Any, Any, Any]:
    """Return the map, the line below it, and the button."""
    chart, said, row = made.children
    return chart, said, row.children[0]


def test_draws_equal_footprints_once_and_names_their_items(tmp_path: Path) -> None:
    chart, said, _ = parts(live_map.of(glances(tmp_path, *[square(5, 50)] * 8, point(6, 51))))
    drawn = chart.layers[1]
    area, dot = drawn.data["features"]

    drawn._handle_mouse_events(None, {"event": "mouseover", "feature": area}, [])

    assert (area["geometry"]["type"], dot["geometry"]["type"]) == ("Polygon", "MultiPoint")
    assert said.value == "heat_0, heat_1, heat_2, heat_3, heat_4 and 3 more"


def test_what_an_item_calls_itself_is_no_markup(tmp_path: Path) -> None:
    chart, said, _ = parts(live_map.of(glances(tmp_path, point(6, 51), id="<img src=x>")))

    feature = chart.layers[1].data["features"][0]
    chart.layers[1]._handle_mouse_events(None, {"event": "mouseover", "feature": feature}, [])

    assert said.value == "&lt;img src=x&gt;"


def test_no_server_is_asked_before_the_button_is_pressed(tmp_path: Path) -> None:
    chart, _, button = parts(live_map.of(glances(tmp_path, square(5, 50))))
    kinds = [type(layer).__name__ for layer in chart.layers]

    button.value = True
    asked = chart.layers[-1].url
    button.value = False

    assert kinds == ["Polygon", "GeoJSON"] == [type(layer).__name__ for layer in chart.layers]
    assert asked.startswith("https://tile.openstreetmap.org/")


@pytest.mark.parametrize(
    ("shown", "west", "east", "zoom"),
    [
        ([point(10, 50)], 10, 10, 7),
        ([point(179, 0), point(-179, 0)], 179, 181, 7),
        ([square(-110, -60), square(0, 0), square(110, 70)], -110, 111, 1),
    ],
)
def test_begins_where_the_footprints_are(
    tmp_path: Path, shown: list[dict[str, Any]], west: float, east: float, zoom: int
) -> None:
    chart, _, _ = parts(live_map.of(glances(tmp_path, *shown)))

    assert chart.center[1] == pytest.approx((west + east) / 2)
    assert chart.zoom == zoom
    assert all(west <= lon <= east for lon in longitudes(chart.layers[1].data))


def longitudes(data: dict[str, Any]) -> Iterator[float]:
    for feature in data["features"]:
        geometry = feature["geometry"]
        for line in geometry["coordinates"]:
            yield from [line[0]] if geometry["type"] == "MultiPoint" else [lon for lon, _ in line]


def test_without_a_footprint_there_is_no_map(tmp_path: Path) -> None:
    assert live_map.of(glances(tmp_path, {"type": "Nothing"})) is None


@pytest.mark.parametrize(
    ("set_", "shown"),
    [((), 1), (("JPY_SESSION_NAME",), 2), (("JPY_SESSION_NAME", ATTEMPT), 1)],
)
def test_is_shown_below_the_picture_only_where_somebody_looks_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_: tuple[str, ...], shown: int
) -> None:
    displayed: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: displayed.append(data))
    for name in ("JPY_SESSION_NAME", ATTEMPT):
        monkeypatch.delenv(name, raising=False)
    for name in set_:
        monkeypatch.setenv(name, "x")
    seen = explore.look(str(any_dataset(tmp_path, any_item())))

    explore.footprints(seen)._ipython_display_()

    assert len(displayed) == shown
    assert "<svg" in displayed[0]["text/html"]
    assert all("widget-view" in "".join(data) for data in displayed[1:])
    assert all("text/html" not in data for data in displayed[1:])
