"""What HDA of the sandbox offers before anything is published: made up, written as people write."""

from __future__ import annotations

_THEMES = (
    ("SST", "Sea surface temperature", "Ocean", "merged from several infrared radiometers"),
    ("SIC", "Sea ice concentration", "Cryosphere", "from passive microwave"),
    ("SNOW", "Snow cover", "Cryosphere", "binary, with a cloud mask"),
    ("SOIL_MOISTURE", "Surface soil moisture", "Land", "the upper five centimetres"),
    ("LST", "Land surface temperature", "Land", "split window, clear sky only"),
    ("NDVI", "Vegetation index", "Land", "ten-day maximum"),
    ("AOD", "Aerosol optical depth", "Atmosphere", "at 550 nm"),
    ("NO2", "Nitrogen dioxide", "Atmosphere", "tropospheric column"),
    ("WIND", "Wind at ten metres", "Atmosphere", "reanalysis"),
    ("RUNOFF", "River runoff", "Hydrology", "routed, daily means"),
    ("FIRE", "Active fires", "Emergency", "with radiative power"),
    ("FLOOD", "Flood extent", "Emergency", "from radar"),
    ("CROPS", "Crop types", "Land", "one map a year"),
)
_MORE = {
    "Land surface temperature": (
        *("Land Surface Temperature", "Temperature", "Climate", "Europe"),
        *("Copernicus", "Sentinel-3", "SLSTR"),
    )
}
"""Further keywords, by title: those of the sample dataset are known to HDA."""
_LEVELS = (("L2", "as observed"), ("L3", "on a regular grid"), ("L4", "without gaps"))

_HEAD = """# Collections of HDA.
#
# One entry a collection; the file replaces eodag's own list. Keep the order: operational first,
# user generated last. Ask the operators of the data lake before you touch an entry of theirs.

"""
_TRIAL = """
# --- User generated ------------------------------------------------------

# Kept from the days of the trial; nobody has it in the catalogue any more.
EO.DEDL.DAT.TRIAL:
  title: 'Trial of the user generated data'
  description: "Nothing to see here: it's what the first operators tried."
  instruments: null
  constellation: null
  platform: null
  processing:level: null
  keywords: [Land, "User generated"]
  eodag:sensor_type: null
  license: CC0-1.0
  extent:
    spatial: {bbox: [[-10.0, 35.0, 30.0, 70.0]]}
    temporal: {"interval": [["2023-01-01T00:00:00Z", "2023-12-31T00:00:00Z"]]}
"""


def ids(count: int = len(_THEMES) * len(_LEVELS) + 1) -> list[str]:
    """Return the ids of the entries."""
    return [*(_id(number) for number in range(count - 1)), "EO.DEDL.DAT.TRIAL"]


def _id(number: int) -> str:
    theme, level = _THEMES[number // 3 % len(_THEMES)], _LEVELS[number % 3]
    again = number // (3 * len(_THEMES))
    return f"EO.DEMO.DAT.{theme[0]}.{level[0]}" + (f".V{again + 1}" if again else "")


def collections_text(count: int = len(_THEMES) * len(_LEVELS) + 1) -> str:
    """Return a collections file of so many entries: comments, quotes and styles differ in it."""
    return _HEAD + "".join(_entry(number) for number in range(count - 1)) + _TRIAL


def _entry(number: int) -> str:
    _, title, keyword, note = _THEMES[number // 3 % len(_THEMES)]
    level, grid = _LEVELS[number % 3]
    banner = f"# --- {title} ---\n" if number % 3 == 0 else ""
    start = f"{2000 + number % 20}-01-01T00:00:00Z"
    words = [keyword, *_MORE.get(title, ()), "Demo"]
    block = "".join(f"\n    - {word!r}" if word == "Demo" else f"\n    - {word}" for word in words)
    keywords = f"[{', '.join(words)}]" if number % 2 else block
    description = (
        f"|\n    {title}, {note}.\n\n    {grid.capitalize()}.\n"
        if number % 4 == 0
        else f">-\n    {title}, {note};\n    {grid}. Made up for the sandbox.\n"
    )
    return (
        f"{banner}{_id(number)}:\n"
        f'  title: "{title}, {level}"   # shown in the portal\n'
        f"  description: {description}"
        f"  instruments: null\n  constellation: null\n  platform: null\n"
        f"  processing:level: {level}\n"
        f"  keywords: {keywords}\n"
        f"  eodag:sensor_type: null\n"
        f"  license: {'CC-BY-4.0' if number % 5 else 'other'}\n"
        f"  extent:\n"
        f"    spatial: {{bbox: [[-180.0, -90.0, 180.0, 90.0]]}}\n"
        f'    temporal: {{interval: [["{start}", null]]}}\n'
        + ("  # reprocessed last spring\n\n" if number % 7 == 3 else "\n")
    )
