"""Maps in the real JupyterLab: one to move about in, and the picture, which is what is kept."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.browser.seat import Seat
from tests.conftest import Workbook

TILES = "https://tile.openstreetmap.org/**"
TILE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPj/HwADAgH/p9X0JgAAAABJRU5ErkJggg=="
)


@pytest.mark.slow
def test_a_map_can_be_moved_about_in_with_and_without_a_network(seat: Seat, lake: Workbook) -> None:
    seat.page.set_default_timeout(60_000)
    asked: list[str] = []
    seat.page.on("request", lambda request: asked.append(request.url))
    notebook = explored(lake)
    seat.open(notebook.relative_to(lake.root))
    seat.run_all()
    chart = seat.page.locator(".leaflet-container")
    chart.locator(".leaflet-overlay-pane path").first.wait_for()
    chart.scroll_into_view_if_needed()
    chart.locator(".leaflet-overlay-pane path").first.hover()
    seat.see(re.compile(r"_20260701T\w+, \w+\.\w+\.\w+\.\w+_20260702T"))
    seat.page.get_by_role("button", name="Zoom in").click()
    seat.shoot("notebook-map", console=False)
    assert [
        url for url in asked if not url.startswith(("http://127.0.0.1", "data:", "blob:"))
    ] == []

    button = seat.page.get_by_role("button", name="OpenStreetMap")
    seat.page.route(TILES, lambda route: route.abort())
    with seat.page.expect_event("requestfailed", lambda one: "openstreetmap" in one.url):
        button.click()
    assert chart.locator(".leaflet-land-pane path").count() == 1
    button.click()
    seat.page.route(TILES, lambda route: route.fulfill(body=TILE, content_type="image/png"))
    button.click()
    chart.locator("img.leaflet-tile-loaded").first.wait_for()

    seat.save()
    outputs = kept(notebook)
    assert "widget-view" not in json.dumps(outputs)
    assert [o for o in outputs if "<svg" in "".join(o["data"].get("text/html", ""))]
    assert "A map to move about in" in json.dumps(outputs)


def explored(lake: Workbook) -> Path:
    """Return the notebook that explores the lake's dataset."""
    file = lake.root / "notebooks" / "05-explore.ipynb"
    text = file.read_text().replace("demo/EO.DEDL.DAT.DEMO_HEAT", str(lake.dataset))
    file.write_text(text)
    return file


def kept(notebook: Path) -> list[Any]:
    cells = json.loads(notebook.read_text())["cells"]
    return [o for cell in cells for o in cell.get("outputs", []) if "data" in o]
