"""File formats: their names, endings, media types, first bytes, and what GDAL opens them with."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath


@dataclass(frozen=True, eq=False)
class Format:
    """A file format; one is equal to itself alone."""

    name: str
    endings: tuple[str, ...]
    """Those of its files' names, in lower case."""
    media_types: tuple[str, ...]
    """The one to write, and others that are in use; in lower case they are looked up."""
    magic: tuple[bytes, ...] = ()
    """Its files start with one of these; empty: that says nothing."""
    driver: str = ""
    """GDAL's name of what opens it, where nothing but the file itself is read."""


_HDF4 = b"\x0e\x03\x13\x01"
_HDF5 = b"\x89HDF\r\n\x1a\n"

TIFF = Format(
    "TIFF",
    (".tif", ".tiff"),
    (
        "image/tiff",
        "image/x.geotiff",
        "image/geotiff",
        "application/geotiff",
        "image/vnd.stac.geotiff",
        "image/tif",
    ),
    (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "GTiff",
)
PNG = Format("PNG", (".png",), ("image/png",), (b"\x89PNG\r\n\x1a\n",))
JPEG = Format("JPEG", (".jpg", ".jpeg"), ("image/jpeg", "image/jpg"), (b"\xff\xd8\xff",))
HDF5 = Format(
    "HDF5", (".h5", ".hdf5"), ("application/x-hdf5", "application/hdf5"), (_HDF5,), "HDF5"
)
HDF = Format("HDF", (), ("application/x-hdf",), (_HDF4, _HDF5))
"""Of version 4, to which STAC gives `application/x-hdf`, or 5, which is often called so too."""
NETCDF = Format(
    "NetCDF",
    (".nc", ".nc4", ".cdf"),
    (
        "application/netcdf",
        "application/x-netcdf",
        "application/vnd+netcdf",
        "application/netcdf4",
        "application/x-netcdf4",
    ),
    (b"CDF\1", b"CDF\2", b"CDF\5", _HDF5),
    "netCDF",
)
GRIB = Format(
    "GRIB",
    (".grib2", ".grb2", ".grib", ".grb"),
    (
        "application/wmo-GRIB2",
        "application/wmo-grib",
        "application/grib",
        "application/grib2",
        "application/x-grib",
        "application/x-grib2",
    ),
    (b"GRIB",),
    "GRIB",
)
ZIP = Format(
    "ZIP",
    (".zip",),
    ("application/zip", "application/x-zip", "application/x-zip-compressed"),
    (b"PK\3\4", b"PK\5\6", b"PK\7\x08"),
)
JPEG2000 = Format(
    "JPEG 2000",
    (".jp2", ".j2k"),
    ("image/jp2", "image/j2k", "image/jpeg2000"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
)
GZIP = Format("gzip", (".gz", ".tgz"), ("application/gzip", "application/x-gzip"), (b"\x1f\x8b",))
PDF = Format("PDF", (".pdf",), ("application/pdf",), (b"%PDF-",))
PARQUET = Format(
    "Parquet",
    (".parquet",),
    ("application/vnd.apache.parquet", "application/x-parquet", "application/parquet"),
    (b"PAR1",),
)
LAS = Format("LAS", (".las", ".laz"), ("application/vnd.las", "application/vnd.laszip"), (b"LASF",))
FLATGEOBUF = Format(
    "FlatGeobuf",
    (".fgb",),
    ("application/vnd.flatgeobuf", "application/flatgeobuf"),
    (b"fgb\3fgb",),
)
GEOPACKAGE = Format(
    "GeoPackage", (".gpkg",), ("application/geopackage+sqlite3",), (b"SQLite format 3\0",)
)
BINARY = (
    *(TIFF, PNG, JPEG, HDF5, HDF, NETCDF, GRIB, ZIP),
    *(JPEG2000, GZIP, PDF, PARQUET, LAS, FLATGEOBUF, GEOPACKAGE),
)
"""Formats whose files can be told by their content."""
TEXT = (
    Format("JSON", (".json",), ("application/json",)),
    Format("GeoJSON", (".geojson",), ("application/geo+json",)),
    Format("XML", (".xml",), ("application/xml",)),
    Format("CSV", (".csv",), ("text/csv",)),
    Format("text", (".txt",), ("text/plain",)),
    Format("HTML", (".html",), ("text/html",)),
)
"""Formats that are known by their endings alone."""
MISSPELT = {"image/jpg": "image/jpeg", "image/tif": "image/tiff"}
"""Media types that are in use and don't exist, and the right ones."""

_BY_ENDING = {ending: one for one in (*BINARY, *TEXT) for ending in one.endings}
_BY_TYPE = {kind.lower(): one for one in BINARY for kind in one.media_types}
# The system's own table would make it another type on another machine.
_OTHERS = mimetypes.MimeTypes(filenames=())


def by_ending(path: str) -> Format | None:
    """Return the format that the ending of a path promises."""
    return _BY_ENDING.get(PurePosixPath(path).suffix.lower())


@lru_cache(maxsize=1024)
def by_media_type(media_type: str) -> Format | None:
    """Return the format of a media type, whose parameters don't count, if content can show it."""
    return _BY_TYPE.get(media_type.partition(";")[0].strip().lower())


def media_type_of(path: str) -> str | None:
    """Return the media type of a path by its ending, or None."""
    if known := by_ending(path):
        return known.media_types[0]
    return _OTHERS.guess_type(f"file:///{path}")[0]
