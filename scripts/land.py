"""Writes lib/dedl_workbook/views/coastlines.json again: the coasts of the maps, from Natural Earth.

The source is in pyogrio's wheel: the countries of Natural Earth at 1:110 million, which is in the
public domain. Borders between countries are dropped, since maps of data take no sides.
"""

from __future__ import annotations

import json
from pathlib import Path

LAND = Path(__file__).parents[1] / "lib" / "dedl_workbook" / "views" / "coastlines.json"
SOURCE = "Natural Earth 1:110m countries, joined; public domain; as in the wheel of pyogrio"


def land() -> str:
    """Return the file's text: rings of longitude and latitude in turn, in 0.01 degrees."""
    import geopandas
    import pyogrio

    folder = Path(pyogrio.__file__).parent / "tests" / "fixtures" / "naturalearth_lowres"
    joined = geopandas.read_file(folder / "naturalearth_lowres.shp").union_all(grid_size=0.01)
    rings = []
    for polygon in joined.geoms:
        for ring in (polygon.exterior, *polygon.interiors):
            rings.append(
                [round(100 * number) for point in ring.coords[:-1] for number in point[:2]]
            )
    rings.sort(key=lambda ring: (-len(ring), ring))
    return json.dumps({"source": SOURCE, "rings": rings}, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    LAND.write_text(land())
