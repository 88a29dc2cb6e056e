"""A sample dataset in the form in which users deliver theirs: a summer of heat over Iberia.

The fields are synthetic, and their metadata say so; all else is as in a real daily product.
"""

from __future__ import annotations

import datetime as dt
import filecmp
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import InputError

from dedl_sandbox.sample.scenes import (
    EAST,
    NORTH,
    SOUTH,
    STEP,
    WEST,
    Scene,
    generate,
    write_pictures,
    write_raster,
)

COLLECTION = "EO.DEDL.DAT.DEMO_HEAT"
FIRST_DAY = dt.date(2026, 7, 1)

_BBOX = [WEST, SOUTH, EAST, NORTH]
_PROPERTIES: dict[str, Any] = {
    "platform": "sentinel-3a",
    "constellation": "sentinel-3",
    "instruments": ["slstr"],
    "gsd": 4170,
}
_KEYWORDS = [
    *("Land Surface Temperature", "Temperature", "Land", "Climate", "Europe"),
    *("Copernicus", "Sentinel-3", "SLSTR"),
]
_DESCRIPTION = (
    "Daily maximum land surface temperature over the Iberian Peninsula, southern France and the "
    "north of Morocco and Algeria from 1 July 2026 on, on a regular grid of 0.0375 degrees "
    "(EPSG:4326), in kelvin; sea and clouds hold no data. The series shows how heat waves that "
    "enter from Africa build up over the basins of Guadalquivir, Guadiana and Ebro and leave "
    "towards the Gulf of Lion. The fields are synthetic, made in the manner of a composite of "
    "Sentinel-3 SLSTR observations to demonstrate how a dataset is promoted; don't use them for "
    "science."
)
_PROVIDERS = [
    {
        "name": "Iberian Heat Demonstration Project",
        "description": "Designs the product and holds its rights.",
        "roles": ["producer", "licensor"],
        "url": "https://destination-earth.eu/",
    },
    {
        "name": "Heat Composite Demonstration Processor",
        "description": "Makes the daily composites.",
        "roles": ["processor"],
        "url": "https://destination-earth.eu/",
    },
]


def make_sample(
    folder: Path,
    *,
    collection: str = COLLECTION,
    scenes: int = 36,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a dataset of daily land-surface temperatures as a user would deliver it.

    Equal arguments give equal bytes and time stamps. The dataset appears whole or not at all; one
    that is there already with the same content is left alone.

    Args:
        folder: The dataset's folder; of another name, it gets a folder `<collection>` inside.
        collection: The collection id.
        scenes: How many days, from 1 July 2026 on; one item each, some 0.3 MB.
        seed: Chooses the weather.
        progress: Called after each scene with scenes done and scenes in all.

    Returns:
        The dataset's root, laid out as the procedure wants it: `metadata/collection.json`,
        `metadata/items/<ID>.json` (STAC 1.0.0) and `data/YYYY/MM/DD/<ID>/` (cloud-optimized
        GeoTIFF in kelvin, EPSG:4326; PNG; JPEG; JSON).

    Raises:
        InputError: An argument is out of range, or the folder can't be written or holds another.
    """
    _refuse_odd(collection, scenes)
    root = folder if folder.name == collection else folder / collection
    with _beside(root) as scratch:
        _write(scratch / collection, collection, scenes, seed, progress)
        _put(scratch / collection, root)
    return root


def _refuse_odd(collection: str, scenes: int) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", collection):
        raise InputError(
            f"{collection!r} is no collection id",
            remedy="Use letters, digits, dots, dashes and underscores.",
        )
    if not 1 <= scenes <= 3000:
        raise InputError(f"can't make {scenes} scenes", remedy="Ask for 1 to 3000.")


@contextmanager
def _beside(root: Path) -> Iterator[Path]:
    """Make a folder beside the dataset's, and remove it with what is left in it."""
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".sample-", dir=root.parent) as scratch:
            yield Path(scratch)
    except OSError as error:
        raise InputError(
            f"the sample can't be written: {error.strerror or error}",
            where=str(root),
            remedy="Name another folder, or make this one writable.",
        ) from error


def _put(fresh: Path, root: Path) -> None:
    if root.is_dir() and not any(root.iterdir()):
        root.rmdir()
    if not root.exists() and not root.is_symlink():
        fresh.rename(root)
    elif not _same(fresh, root):
        raise InputError(
            "something else is there already",
            where=str(root),
            remedy="Name another folder, or remove this one yourself.",
        )


def _same(one: Path, other: Path) -> bool:
    def tree(root: Path) -> list[Path]:
        return sorted(path.relative_to(root) for path in root.rglob("*"))

    names = tree(one)
    files = [str(name) for name in names if (one / name).is_file()]
    if not other.is_dir() or names != tree(other):
        return False
    _, differing, unreadable = filecmp.cmpfiles(one, other, files, shallow=False)
    return not differing and not unreadable


def _write(
    root: Path,
    collection: str,
    scenes: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    items = []
    for number, scene in enumerate(generate(scenes, seed)):
        day = FIRST_DAY + dt.timedelta(days=number)
        item_id = f"{collection}_{day:%Y%m%d}T000000_{day:%Y%m%d}T235959"
        place = root / "data" / f"{day:%Y/%m/%d}" / item_id
        place.mkdir(parents=True)
        write_raster(place / _raster_name(day), scene, day)
        write_pictures(place, scene, day)
        _write_json(place / "metadata.json", _scene_facts(item_id, day, scene))
        _write_json(place / "item_config.json", {"bbox": _BBOX, "properties": _PROPERTIES})
        items.append(_item(collection, item_id, day))
        if progress:
            progress(number + 1, scenes)
    metadata = root / "metadata"
    (metadata / "items").mkdir(parents=True)
    for item in items:
        _write_json(metadata / "items" / f"{item['id']}.json", item)
    _write_json(metadata / "collection.json", _collection(collection, items))
    _write_json(metadata / "collection_config.json", _collection_config(collection))
    _set_times(root, FIRST_DAY + dt.timedelta(days=scenes))


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _set_times(root: Path, day: dt.date) -> None:
    moment = dt.datetime(day.year, day.month, day.day, 6, tzinfo=dt.UTC).timestamp()
    for path in [*root.rglob("*"), root]:
        os.utime(path, (moment, moment))


def _raster_name(day: dt.date) -> str:
    return f"lst_{day:%Y%m%d}.tif"


def _scene_facts(item_id: str, day: dt.date, scene: Scene) -> dict[str, Any]:
    clear = scene.kelvin[scene.clear]
    land = int(scene.land.sum())
    # A wholly clouded day has no statistics: JSON knows no NaN.
    statistics = (
        {
            "minimum": round(float(clear.min()), 2),
            "mean": round(float(clear.mean()), 2),
            "maximum": round(float(clear.max()), 2),
        }
        if clear.size
        else None
    )
    return {
        "id": item_id,
        "date": day.isoformat(),
        "variable": "land surface temperature, daily maximum",
        "unit": "K",
        "grid": {"crs": "EPSG:4326", "step_degrees": STEP},
        "land_pixels": land,
        "clear_pixels": int(clear.size),
        "cloud_cover_percent": round(100 * (1 - clear.size / land), 1),
        "statistics": statistics,
        "processing": {"software": "heat-composite 2.3.1", "synthetic": True},
    }


def _item(collection: str, item_id: str, day: dt.date) -> dict[str, Any]:
    base = f"data/{day:%Y/%m/%d}/{item_id}"
    west, south, east, north = _BBOX
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    tiff = "image/tiff; application=geotiff; profile=cloud-optimized"
    files = {
        "lst": (_raster_name(day), tiff, "Land surface temperature (K)", "data"),
        "metadata": ("metadata.json", "application/json", "Statistics of the scene", "metadata"),
        "overview": ("overview.jpg", "image/jpeg", "Map with colour bar", "overview"),
        "thumbnail": ("thumbnail.png", "image/png", "Small map", "thumbnail"),
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": item_id,
        "collection": collection,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": _BBOX,
        "properties": {
            "title": f"Land surface temperature over Iberia, {day.isoformat()}",
            "datetime": f"{day}T12:00:00Z",
            "start_datetime": f"{day}T00:00:00Z",
            "end_datetime": f"{day}T23:59:59Z",
            "created": f"{day + dt.timedelta(days=1)}T05:30:00Z",
            **_PROPERTIES,
        },
        "links": [
            {"rel": "collection", "href": "../collection.json", "type": "application/json"},
        ],
        "assets": {
            key: {"href": f"{base}/{name}", "type": media, "title": title, "roles": [role]}
            for key, (name, media, title, role) in files.items()
        },
    }


def _collection(collection: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    first, last = items[0]["properties"], items[-1]["properties"]
    licence = "https://creativecommons.org/licenses/by/4.0/"
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": collection,
        "title": "Daily land surface temperature over the Iberian Peninsula, summer 2026",
        "description": _DESCRIPTION,
        "dedl:short_description": "Daily maximum land surface temperature over Iberia at 0.0375 "
        "degrees during the heat waves of summer 2026 (synthetic demonstration data).",
        "keywords": _KEYWORDS,
        "license": "CC-BY-4.0",
        "providers": _PROVIDERS,
        "extent": {
            "spatial": {"bbox": [_BBOX]},
            "temporal": {"interval": [[first["start_datetime"], last["end_datetime"]]]},
        },
        "summaries": {
            "platform": [_PROPERTIES["platform"]],
            "instruments": _PROPERTIES["instruments"],
            "gsd": [_PROPERTIES["gsd"]],
        },
        "links": [
            {
                "rel": "license",
                "href": licence,
                "type": "text/html",
                "title": "Creative Commons Attribution 4.0 International",
            }
        ],
    }


def _collection_config(collection: str) -> dict[str, Any]:
    """Give the settings with which the submitters' generator would make these items."""
    return {
        "id": collection,
        "item_asset_ignore_list": ["item_config.json"],
        "item_config_optional": False,
        "item_folder_level": "DD",
        "thumbnail_regex": "^thumbnail",
        "overview_regex": "^overview",
        "additional_property_keys": [],
    }
