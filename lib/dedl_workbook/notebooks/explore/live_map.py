"""A map to move about in, while somebody looks at the notebook; the picture is what is kept.

It draws the footprints over the coasts that come with the workbook, and asks no server. Only a
click on its button fetches the tiles of OpenStreetMap, which thus learns what is looked at.
"""

from __future__ import annotations

import html
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dedl_workbook.base.text import printable
from dedl_workbook.notebooks.explore.sample import Glance
from dedl_workbook.notebooks.handover import Handover
from dedl_workbook.views import maps
from dedl_workbook.views.pictures import BLUE, ORANGE

_MOST = 2000
"""Footprints that are drawn."""
_NAMED = 5
"""Items that are named at once."""
_WIDTH, _HEIGHT = 700, 380
_BELOW = "land"
"""Below the pane of tiles, which has 200."""
_KEPT = "A map to move about in: run this cell in JupyterLab. The picture above is what is kept."
_HINT = "Point at a footprint to see its items; drag to move, + and - to zoom."
_STREETS = "https://tile.openstreetmap.org/{z}/{x}/{y}.png"
_CREDIT = '© <a href="https://www.openstreetmap.org/copyright">OpenStreetMap</a> contributors'


def show(glances: Iterable[Glance]) -> None:
    """Display the map where a person looks on; nothing in a headless run, or without ipyleaflet."""
    if Handover.from_environment().attempt or "JPY_SESSION_NAME" not in os.environ:
        return
    try:
        chart = of(glances)
    except ImportError:
        return
    from IPython.display import display

    if chart is not None:
        bundle = chart._repr_mimebundle_() or {}
        display(bundle | {"text/plain": _KEPT}, raw=True)


def of(glances: Iterable[Glance]) -> Any:
    """Return the map as a widget; None if there is nothing to draw.

    Raises:
        ImportError: ipyleaflet is not installed.
    """
    import ipyleaflet
    import ipywidgets

    items: dict[maps.Shape, list[str]] = {}
    for glance in glances:
        if glance.shape is not None and (glance.shape in items or len(items) < _MOST):
            items.setdefault(glance.shape, []).append(glance.id)
    if not items:
        return None
    west, south, east, north = bounds = maps.bounds(list(items))
    features = [_feature(shape, ids, west) for shape, ids in items.items()]
    drawn = ipyleaflet.GeoJSON(
        data={"type": "FeatureCollection", "features": features},
        style={"color": BLUE, "weight": 1.6, "fillOpacity": max(0.04, 0.4 / math.sqrt(len(items)))},
        point_style={"radius": 4},
        hover_style={"color": ORANGE, "weight": 3},
    )
    chart = ipyleaflet.Map(
        center=((south + north) / 2, (west + east) / 2),
        zoom=_zoom(bounds),
        layers=(_land(ipyleaflet, east), drawn),
        panes={_BELOW: {"zIndex": 150}},
        layout=ipywidgets.Layout(width="100%", max_width=f"{_WIDTH}px", height=f"{_HEIGHT}px"),
    )
    label = ipywidgets.HTML(_HINT)

    def tell(feature: Mapping[str, Any], **_: object) -> None:
        label.value = _named(feature["properties"])

    drawn.on_hover(tell)
    return ipywidgets.VBox([chart, label, _streets(ipyleaflet, ipywidgets, chart)])


def _feature(shape: maps.Shape, ids: Sequence[str], west: float) -> dict[str, Any]:
    """Return GeoJSON; as in the picture, all lines of an area are its rings.

    What lies west of the map's edge is beyond the antimeridian, and drawn east of it.
    """
    lines = [
        [(lon + (360 if max(lon for lon, _ in line) < west else 0), lat) for lon, lat in line]
        for line in shape.lines
    ]
    geometry: dict[str, Any] = {"type": "MultiLineString", "coordinates": lines}
    if shape.closed:
        geometry["type"] = "Polygon"
    elif all(len(line) == 1 for line in lines):
        geometry = {"type": "MultiPoint", "coordinates": [line[0] for line in lines]}
    properties = {"ids": list(ids[:_NAMED]), "items": len(ids)}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _named(properties: Mapping[str, Any]) -> str:
    ids = [html.escape(printable(name)) for name in properties["ids"]]
    more = properties["items"] - len(ids)
    return ", ".join(ids) + (f" and {more:,} more" if more else "")


def _zoom(bounds: tuple[float, float, float, float]) -> int:
    """Return how far Leaflet zooms in: at 0 the world has 256 pixels, at each level twice as many.

    Leaves room around, and never shows less than some degrees.
    """
    west, south, east, north = bounds
    # Mercator's degrees of latitude grow towards the poles.
    tall = (north - south) / max(0.2, math.cos(math.radians((south + north) / 2)))
    wide, high = max(east - west, 4.0) * 1.3, max(tall, 3.0) * 1.3
    return max(1, math.floor(math.log2(min(_WIDTH / wide, _HEIGHT / high) * 360 / 256)))


def _land(ipyleaflet: Any, east: float) -> Any:
    """Return the land; over the antimeridian, the land beyond it as well."""
    shifts = (0, 360) if east > 180 else (0,)
    rings = [[(lat, lon + by) for lon, lat in ring] for by in shifts for ring in maps.land()]
    colours = {"color": "#666", "fill_color": "#888", "fill_opacity": 0.5}
    return ipyleaflet.Polygon(locations=rings, pane=_BELOW, weight=1, **colours)


def _streets(ipyleaflet: Any, ipywidgets: Any, chart: Any) -> Any:
    """Return the button that puts OpenStreetMap's tiles below the footprints."""
    tiles = ipyleaflet.TileLayer(url=_STREETS, attribution=_CREDIT, name="OpenStreetMap")
    button = ipywidgets.ToggleButton(
        description="OpenStreetMap", tooltip="Fetches the tiles of this map from OpenStreetMap"
    )
    says = ipywidgets.HTML("Asks tile.openstreetmap.org for this part of the map; needs a network.")

    def switch(change: Mapping[str, Any]) -> None:
        (chart.add if change["new"] else chart.remove)(tiles)

    button.observe(switch, names="value")
    return ipywidgets.HBox([button, says])
