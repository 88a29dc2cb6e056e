"""The scenes of the sample dataset: a synthetic summer of heat over Iberia, and its files.

Coast, mountains, weather and clouds are drawn so that the maps look like those of a real product.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    Grid = NDArray[np.float64]
    Mask = NDArray[np.bool_]

WEST, SOUTH, EAST, NORTH = -10.0, 35.2, 4.4, 44.8
WIDTH, HEIGHT = 384, 256
STEP = 0.0375
NODATA = -9999.0
COLDEST, HOTTEST = 288.0, 330.0

_COASTS: tuple[str, ...] = (
    # Europe, counter-clockwise from the north-west corner, closed outside the frame
    "-1.2 45.5 -1.2 44.8 -1.25 44.6 -1.45 43.6 -1.8 43.38 -2.5 43.37 -2.95 43.43 -3.8 43.49 "
    "-4.5 43.4 -5.1 43.48 -5.85 43.65 -6.5 43.56 -7.05 43.56 -7.7 43.78 -8.2 43.58 -8.3 43.4 "
    "-8.9 43.3 -9.25 43.1 -9.27 42.88 -8.95 42.6 -8.85 42.2 -8.87 41.85 -8.7 41.2 -8.8 40.6 "
    "-8.9 40.2 -9.08 39.6 -9.4 39.35 -9.5 38.78 -9.2 38.68 -9.2 38.42 -8.85 38.45 -8.8 37.95 "
    "-8.8 37.4 -9.0 37.02 -8.6 37.12 -7.95 36.97 -7.4 37.18 -6.95 37.15 -6.45 36.85 -6.3 36.5 "
    "-6.05 36.2 -5.6 36.0 -5.35 36.13 -5.1 36.45 -4.6 36.55 -4.4 36.7 -3.8 36.74 -3.0 36.73 "
    "-2.45 36.83 -2.18 36.72 -1.85 37.05 -1.6 37.38 -1.0 37.58 -0.7 37.62 -0.75 37.95 -0.5 38.3 "
    "0.23 38.73 -0.15 39.0 -0.3 39.45 0.0 40.0 0.5 40.5 0.87 40.72 0.7 40.85 1.2 41.08 2.15 41.3 "
    "3.0 41.75 3.2 41.95 3.32 42.32 3.03 42.5 3.05 43.0 3.5 43.28 4.0 43.55 4.4 43.45 5.0 43.4 "
    "5.0 45.5",
    # Africa
    "-6.4 34.5 -6.15 35.2 -5.92 35.79 -5.35 35.92 -5.28 35.6 -4.6 35.2 -3.93 35.25 -3.2 35.25 "
    "-2.95 35.45 -2.9 35.15 -2.2 35.08 -1.3 35.55 -0.65 35.72 0.1 35.95 1.0 36.45 1.3 36.52 "
    "2.0 36.6 3.05 36.8 3.9 36.92 4.4 36.9 5.0 36.9 5.0 34.5",
    # Mallorca, Ibiza, Menorca
    "2.35 39.58 2.8 39.88 3.1 39.95 3.45 39.75 3.1 39.3 2.75 39.48",
    "1.2 38.9 1.4 39.1 1.6 39.08 1.4 38.85",
    "3.8 40.05 4.2 40.05 4.3 39.85 3.95 39.93",
)
# A mountain range (or a short, wide plateau): from, to, half-width (all degrees), height (m).
_RANGES: tuple[tuple[float, float, float, float, float, float], ...] = (
    (-1.4, 43.0, 2.5, 42.4, 0.36, 2200),
    (-6.8, 42.95, -3.9, 43.05, 0.28, 1500),
    (-7.2, 40.3, -3.4, 41.1, 0.24, 1500),
    (-3.2, 42.1, -0.8, 40.2, 0.42, 1100),
    (-4.6, 36.95, -2.2, 37.3, 0.25, 2000),
    (-2.9, 38.1, -1.5, 38.6, 0.4, 900),
    (-7.0, 38.15, -3.6, 38.4, 0.25, 450),
    (-8.0, 42.3, -7.0, 42.3, 0.5, 700),
    (2.2, 44.8, 3.7, 44.3, 0.5, 1100),
    (-5.3, 35.0, -3.6, 34.9, 0.35, 1600),
    (1.4, 36.0, 4.4, 36.45, 0.3, 1200),
    (-4.9, 41.6, -4.0, 41.8, 1.2, 700),
    (-3.2, 39.4, -2.2, 39.6, 1.1, 550),
)
# The hot basins of Guadalquivir, Guadiana, Tagus and Ebro: longitude, latitude, radius, kelvin.
_BASINS = (
    (-5.4, 37.6, 0.8, 5.5),
    (-6.6, 38.8, 0.9, 4.0),
    (-4.6, 39.8, 0.6, 2.5),
    (0, 41.5, 0.6, 4),
)
# Eleven steps of the perceptually uniform map "inferno" (van der Walt, Smith; CC0).
_INFERNO = (
    *((0, 0, 4), (22, 11, 57), (66, 10, 104), (106, 23, 110), (147, 38, 103), (188, 55, 84)),
    *((221, 81, 58), (243, 120, 25), (252, 165, 10), (246, 215, 70), (252, 255, 164)),
)
_SEA, _CLOUD = (214, 224, 232), (250, 250, 250)


class Scene(NamedTuple):
    """One day: temperature (K), land, and where the land was seen; arrays of HEIGHT x WIDTH."""

    kelvin: Grid
    land: Mask
    clear: Mask


def generate(count: int, seed: int) -> Iterator[Scene]:
    """Give `count` days of weather, the first row in the north; `seed` chooses the weather."""
    land, height = _relief()
    for kelvin, clear in _weather(land, _climate(land, height), count, seed):
        yield Scene(kelvin, land, clear)


def _axes() -> tuple[Grid, Grid]:
    import numpy as np

    lon = WEST + STEP * (np.arange(WIDTH) + 0.5)
    lat = NORTH - STEP * (np.arange(HEIGHT) + 0.5)
    grid_lon, grid_lat = np.meshgrid(lon, lat)
    return grid_lon, grid_lat


def _noise(rng: np.random.Generator, scale: float, slope: float = 3.0) -> Grid:
    """Give a random field of unit variance without features larger than `scale` degrees."""
    import numpy as np

    # Twice the frame, so that the far sides, which the Fourier transform joins, aren't both seen.
    shape = (2 * HEIGHT, 2 * WIDTH)
    fy, fx = np.meshgrid(np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1]), indexing="ij")
    amplitude = ((STEP / scale) ** 2 + fx**2 + fy**2) ** (-slope / 2)
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * amplitude, s=shape)
    field = field[:HEIGHT, :WIDTH]
    unit: Grid = (field - field.mean()) / field.std()
    return unit


def _coast(text: str, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Roughen a coarse coastline: each segment is halved four times, its middle moved aside."""
    numbers = [float(word) for word in text.split()]
    ring = list(zip(numbers[::2], numbers[1::2], strict=True))
    for _ in range(4):
        finer = []
        for (x, y), (u, v) in zip(ring, ring[1:] + ring[:1], strict=True):
            push = rng.uniform(-0.11, 0.11)
            finer += [(x, y), ((x + u) / 2 + push * (v - y), (y + v) / 2 - push * (u - x))]
        ring = finer
    return ring


def _relief() -> tuple[Mask, Grid]:
    """Give the land mask and the height above the sea (m); the same for every seed."""
    import numpy as np
    from rasterio.features import rasterize
    from rasterio.transform import from_origin

    rng = np.random.default_rng(1783)
    rings = [{"type": "Polygon", "coordinates": [_coast(text, rng)]} for text in _COASTS]
    burnt = rasterize(
        rings, out_shape=(HEIGHT, WIDTH), transform=from_origin(WEST, NORTH, STEP, STEP)
    )
    land: Mask = burnt.astype(bool)
    lon, lat = _axes()
    height = np.full_like(lon, 120.0)
    # No range runs straight, nor is it equally high all along.
    lon, lat = lon + 0.22 * _noise(rng, 1.0, 2.6), lat + 0.16 * _noise(rng, 1.0, 2.6)
    for x, y, u, v, width, top in _RANGES:
        along = ((lon - x) * (u - x) + (lat - y) * (v - y)) / ((u - x) ** 2 + (v - y) ** 2)
        along = np.clip(along, 0, 1)
        away = np.hypot(lon - x - along * (u - x), lat - y - along * (v - y))
        height += top * np.exp(-((away / width) ** 2))
    crags = 1 - np.abs(_noise(rng, 0.7, 2.0))
    return land, np.clip(height * (0.75 + 0.45 * crags), 0, None)


def _climate(land: Mask, height: Grid) -> Grid:
    """Give the mean land-surface temperature of a July day near noon (K)."""
    import numpy as np

    rng = np.random.default_rng(1815)
    lon, lat = _axes()
    kelvin = 318.5 - 0.55 * (lat - 37) - 6.2 * height / 1000
    for x, y, radius, warmer in _BASINS:
        kelvin += warmer * np.exp(-((lon - x) ** 2 + (lat - y) ** 2) / radius**2)
    green = 1 / (1 + np.exp(-(lat - 42.75 + 0.14 * (lon + 8) - 0.35 * (lon > 0) * lon) / 0.28))
    green += 0.8 * np.exp(-(((lon + 9.2) / 0.9) ** 2) - ((lat - 41.6) / 1.6) ** 2)
    kelvin -= 8.5 * np.clip(green, 0, 1.1)
    near_sea = 1 - _blur(land.astype(float), 0.22)
    kelvin -= 7.0 * np.clip(near_sea, 0, 0.8)
    kelvin += 1.3 * _noise(rng, 0.5, 2.0)
    return kelvin


def _blur(field: Grid, degrees: float) -> Grid:
    import numpy as np

    fy, fx = np.meshgrid(np.fft.fftfreq(HEIGHT), np.fft.rfftfreq(WIDTH), indexing="ij")
    kernel = np.exp(-2 * (np.pi * degrees / STEP) ** 2 * (fx**2 + fy**2))
    blurred: Grid = np.fft.irfft2(np.fft.rfft2(field) * kernel, s=field.shape)
    return blurred


def _weather(land: Mask, climate: Grid, scenes: int, seed: int) -> Iterator[tuple[Grid, Mask]]:
    """Give day after day the temperature (K) and where it was seen: land without clouds."""
    import numpy as np

    rng = np.random.default_rng(seed)
    lon, lat = _axes()
    air, clouds = _noise(rng, 4.0), _noise(rng, 2.0, 2.3)
    for day in range(scenes):
        # Weather remembers: each day is four fifths of the day before.
        air = 0.8 * air + 0.6 * _noise(rng, 4.0)
        clouds = 0.45 * np.roll(clouds, 28, axis=1) + 0.893 * _noise(rng, 2.0, 2.3)
        # A heat wave every 19 days, which comes from Africa and leaves over the Gulf of Lion.
        phase = (day % 19 - 9.5) / 4.5
        x, y = -5.0 + 2.2 * phase, 38.2 + 1.3 * phase
        wave = np.exp(-(phase**2)) * np.exp(-(((lon - x) / 5.5) ** 2) - ((lat - y) / 3.6) ** 2)
        kelvin = climate + 2.0 * air + 8.0 * wave + 0.35 * rng.standard_normal(land.shape)
        cover = rng.uniform(0.6, 2.2) + 1.1 * wave
        clear: Mask = land & (clouds < cover + 0.04 * (41 - lat))
        yield np.round(np.clip(kelvin, 275, 335), 2), clear


def write_raster(path: Path, scene: Scene, day: dt.date) -> None:
    """Write a cloud-optimized GeoTIFF: float32, kelvin, EPSG:4326, NODATA where not seen."""
    import numpy as np
    import rasterio
    import rasterio.shutil
    from rasterio.io import MemoryFile
    from rasterio.transform import from_origin

    profile = {
        **{"driver": "GTiff", "width": WIDTH, "height": HEIGHT, "count": 1, "dtype": "float32"},
        **{"crs": "EPSG:4326", "transform": from_origin(WEST, NORTH, STEP, STEP)},
        "nodata": NODATA,
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as plain:
            plain.write(np.where(scene.clear, scene.kelvin, NODATA).astype("float32"), 1)
            plain.set_band_description(1, "land surface temperature")
            plain.units = ("K",)
            plain.update_tags(TIFFTAG_DATETIME=f"{day:%Y:%m:%d} 12:00:00")
        options = {"compress": "DEFLATE", "predictor": "YES", "blocksize": 256, "level": 6}
        with rasterio.Env(GDAL_NUM_THREADS="1"):
            rasterio.shutil.copy(memory.name, path, driver="COG", **options)


def write_pictures(place: Path, scene: Scene, day: dt.date) -> None:
    """Write `thumbnail.png` (192 x 128) and `overview.jpg` (768 x 512, with a colour bar)."""
    import numpy as np
    from PIL import Image

    rgb = _colours(scene.kelvin)
    rgb[scene.land & ~scene.clear] = _CLOUD
    rgb[~scene.land] = _SEA
    picture = Image.fromarray(rgb.round().astype("uint8"), "RGB")
    thumbnail = picture.resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BOX)
    thumbnail.save(place / "thumbnail.png", optimize=True)
    overview = picture.resize((2 * WIDTH, 2 * HEIGHT), Image.Resampling.BICUBIC)
    bar = np.broadcast_to(np.linspace(COLDEST, HOTTEST, 210), (12, 210))
    _legend(overview, Image.fromarray(_colours(bar).round().astype("uint8"), "RGB"), day)
    overview.save(place / "overview.jpg", quality=88)


def _colours(kelvin: Grid) -> Grid:
    import numpy as np

    steps = np.linspace(COLDEST, HOTTEST, len(_INFERNO))
    table = np.array(_INFERNO, dtype=float)
    return np.stack([np.interp(kelvin, steps, table[:, band]) for band in range(3)], axis=-1)


def _legend(overview: Image.Image, bar: Image.Image, day: dt.date) -> None:
    from PIL import ImageDraw

    left, top, ink = overview.width - 252, overview.height - 40, (40, 40, 40)
    draw = ImageDraw.Draw(overview)
    draw.rectangle((left - 26, top - 26, overview.width, overview.height), fill=(255, 255, 255))
    overview.paste(bar, (left, top))
    draw.text((left, top - 18), f"Land surface temperature, {day}", fill=ink)
    for kelvin in (290, 300, 310, 320, 330):
        x = left + (kelvin - COLDEST) / (HOTTEST - COLDEST) * (bar.width - 1)
        draw.text((x, top + 16), f"{kelvin} K" if kelvin == 330 else f"{kelvin}", ink, anchor="ma")
