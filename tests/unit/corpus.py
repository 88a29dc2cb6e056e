"""Items and collections as users deliver them: imagery, radar, forecasts, stations, elevation."""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]

_AT = "https://stac-extensions.github.io"
CLASSES = f"{_AT}/classification/v1.1.0/schema.json"
CUBE = f"{_AT}/datacube/v2.3.0/schema.json"
EO = f"{_AT}/eo/v1.1.0/schema.json"
FILE = f"{_AT}/file/v2.1.0/schema.json"
FORECAST = f"{_AT}/forecast/v0.2.0/schema.json"
ITEM_ASSETS = f"{_AT}/item-assets/v1.0.0/schema.json"
PROCESSING = f"{_AT}/processing/v1.1.0/schema.json"
PROJECTION = f"{_AT}/projection/v2.0.0/schema.json"
RASTER = f"{_AT}/raster/v1.1.0/schema.json"
SAR = f"{_AT}/sar/v1.0.0/schema.json"
SAT = f"{_AT}/sat/v1.0.0/schema.json"
SCIENTIFIC = f"{_AT}/scientific/v1.0.0/schema.json"
VIEW = f"{_AT}/view/v1.0.0/schema.json"


def ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def item(item_id: str, extensions: list[str], **parts: Any) -> Json:
    """An item over Iberia on one day, but for the parts that are given."""
    collection = item_id.partition("_")[0]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": extensions,
        "id": item_id,
        "collection": collection,
        "geometry": {"type": "Polygon", "coordinates": [ring(-10, 35.2, 4.4, 44.8)]},
        "bbox": [-10, 35.2, 4.4, 44.8],
        "links": [
            {"rel": "collection", "href": "../collection.json", "type": "application/json"},
            {"rel": "license", "href": "https://creativecommons.org/licenses/by/4.0/"},
        ],
        **parts,
    }


def asset(name: str, media: str, *roles: str, **more: Any) -> Json:
    return {"href": f"data/2026/07/01/{name}", "type": media, "roles": list(roles), **more}


COG = "image/tiff; application=geotiff; profile=cloud-optimized"

HEAT = item(
    "EO.X.DAT.HEAT_20260701",
    [],
    properties={
        "title": "Land surface temperature over Iberia",
        "datetime": "2026-07-01T12:00:00Z",
        "start_datetime": "2026-07-01T00:00:00Z",
        "end_datetime": "2026-07-01T23:59:59Z",
        "created": "2026-07-02T05:30:00Z",
        "platform": "sentinel-3a",
        "constellation": "sentinel-3",
        "mission": "copernicus",
        "instruments": ["slstr"],
        "gsd": 4170,
        "license": "CC-BY-4.0",
        "providers": [
            {"name": "Iberian Heat", "roles": ["producer"], "url": "https://heat.example/"}
        ],
    },
    assets={
        "lst": asset("lst.tif", COG, "data", title="Temperature (K)"),
        "thumbnail": asset("thumbnail.png", "image/png", "thumbnail"),
    },
)
IMAGERY = item(
    "EO.X.DAT.S2_T30TVK",
    [EO, PROJECTION, VIEW, RASTER],
    properties={
        "datetime": "2026-07-01T11:06:21.024Z",
        "platform": "sentinel-2b",
        "instruments": ["msi"],
        "eo:cloud_cover": 12.5,
        "view:off_nadir": 2.1,
        "view:sun_azimuth": 140.2,
        "view:sun_elevation": 66.1,
        "proj:code": "EPSG:32630",
        "proj:shape": [10980, 10980],
        "proj:transform": [10, 0, 399960, 0, -10, 4500000],
    },
    assets={
        "B04": asset(
            *("B04.tif", COG, "data"),
            **{
                "eo:bands": [{"name": "B04", "common_name": "red", "center_wavelength": 0.665}],
                "raster:bands": [{"data_type": "uint16", "nodata": 0, "scale": 0.0001}],
            },
        )
    },
)
RADAR = item(
    "EO.X.DAT.S1_GRD",
    [SAR, SAT],
    properties={
        "datetime": "2026-07-01T06:17:00Z",
        "sar:instrument_mode": "IW",
        "sar:frequency_band": "C",
        "sar:center_frequency": 5.405,
        "sar:polarizations": ["VV", "VH"],
        "sar:product_type": "GRD",
        "sar:looks_range": 5,
        "sat:orbit_state": "ascending",
        "sat:relative_orbit": 74,
    },
    assets={"vv": asset("vv.tif", COG, "data"), "vh": asset("vh.tif", COG, "data")},
)
FORECAST_ITEM = item(
    "EO.X.DAT.EXTREMES_20260701",
    [FORECAST, CUBE],
    properties={
        "datetime": "2026-07-03T00:00:00Z",
        "forecast:reference_datetime": "2026-07-01T00:00:00Z",
        "forecast:horizon": "P2D",
        "cube:dimensions": {
            "time": {"type": "temporal", "extent": ["2026-07-03T00:00:00Z", None]},
            "x": {"type": "spatial", "axis": "x", "extent": [-10, 4.4]},
        },
        "cube:variables": {"t2m": {"dimensions": ["time", "x"], "type": "data", "unit": "K"}},
    },
    assets={"t2m": asset("t2m.nc", "application/netcdf", "data")},
)
STATION = item(
    "EO.X.DAT.STATION_0042",
    [SCIENTIFIC],
    geometry={"type": "Point", "coordinates": [7.0982, 50.7374, 64.0]},
    bbox=[7.0982, 50.7374, 64.0, 7.0982, 50.7374, 64.0],
    properties={
        "datetime": None,
        "start_datetime": "1991-01-01T00:00:00Z",
        "end_datetime": "2020-12-31T23:59:59Z",
        "sci:doi": "10.5072/heat.1991",
        "sci:publications": [{"doi": "10.5072/paper", "citation": "A. Author (2020)"}],
    },
    assets={"series": asset("série 100%.csv", "text/csv", "data")},
)
PACIFIC = item(
    "EO.X.DAT.SST_FIJI",
    [CLASSES, PROCESSING],
    geometry={
        "type": "MultiPolygon",
        "coordinates": [[ring(176, -20, 180, -15)], [ring(-180, -20, -176, -15)]],
    },
    bbox=[176, -20, -176, -15],
    properties={
        "datetime": "2026-07-01T00:00:00Z",
        "processing:level": "L3",
        "processing:software": {"sst": "4.2"},
    },
    assets={
        "flags": asset(
            *("flags.tif", COG, "data"),
            **{"classification:classes": [{"value": 0, "name": "clear", "description": "Sea"}]},
        )
    },
)
ELEVATION = item(
    "EO.X.DAT.DEM_N40",
    [FILE, PROJECTION],
    properties={"datetime": "2020-01-01T00:00:00Z", "proj:code": None, "proj:bbox": [0, 1, 2, 3]},
    assets={
        "dem": asset(
            *("dem.tif", COG, "data"),
            **{"file:size": 181878, "file:checksum": "1220" + "ab" * 32},
        )
    },
)
COLLECTION: Json = {
    "type": "Collection",
    "stac_version": "1.0.0",
    "stac_extensions": [],
    "id": "EO.X.DAT.HEAT",
    "title": "Daily land surface temperature",
    "description": "Heat over Iberia, *daily*.",
    "keywords": ["Land", "Climate"],
    "license": "CC-BY-4.0",
    "providers": [
        {"name": "Iberian Heat", "roles": ["producer", "licensor"], "url": "https://heat.example/"},
        {"name": "Heat Computing", "roles": ["processor"]},
    ],
    "extent": {
        "spatial": {"bbox": [[-10, 35.2, 4.4, 44.8]]},
        "temporal": {"interval": [["2026-07-01T00:00:00Z", None]]},
    },
    "summaries": {
        "platform": ["sentinel-3a"],
        "gsd": {"minimum": 1000, "maximum": 4170},
        "lst:quality": {"type": "string", "enum": ["good", "bad"]},
    },
    "links": [
        {"rel": "items", "href": "./items", "type": "application/geo+json"},
        {"rel": "license", "href": "https://creativecommons.org/licenses/by/4.0/"},
    ],
    "assets": {"thumbnail": asset("thumbnail.png", "image/png", "thumbnail")},
}
REFERENCE: Json = {
    **copy.deepcopy(COLLECTION),
    "id": "EO.X.DAT.S2",
    "stac_extensions": [SCIENTIFIC, ITEM_ASSETS, CUBE],
    "sci:doi": "10.5072/s2",
    "item_assets": {"B04": {"type": COG, "roles": ["data"], "title": "Red"}},
    "cube:dimensions": {"time": {"type": "temporal", "extent": [None, "2026-07-01T00:00:00Z"]}},
    "cube:variables": {"red": {"dimensions": ["time"], "type": "data"}},
}
CORPUS = {
    "heat": HEAT,
    "imagery": IMAGERY,
    "radar": RADAR,
    "forecast": FORECAST_ITEM,
    "station": STATION,
    "pacific": PACIFIC,
    "elevation": ELEVATION,
    "collection": COLLECTION,
    "reference": REFERENCE,
}


def corpus(name: str, version: str) -> Json:
    """Return a document of its own to break."""
    return {**copy.deepcopy(CORPUS[name]), "stac_version": version}
