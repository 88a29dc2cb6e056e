"""The table of file formats agrees with itself."""

from __future__ import annotations

from itertools import chain

import pytest
from dedl_workbook.base import formats

ALL = (*formats.BINARY, *formats.TEXT)


def test_no_ending_and_no_media_type_is_of_two_formats() -> None:
    endings = list(chain.from_iterable(one.endings for one in ALL))
    types = [kind.lower() for one in ALL for kind in one.media_types]

    assert len(set(endings)) == len(endings)
    assert len(set(types)) == len(types)


def test_what_is_misspelt_is_of_the_same_format_as_the_right_type() -> None:
    for wrong, right in formats.MISSPELT.items():
        found = formats.by_media_type(wrong)
        assert found is formats.by_media_type(right)
        assert found is not None
        assert found.media_types[0] == right


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("data/a.TIF", "image/tiff"),
        ("data/a.nc", "application/netcdf"),
        ("data/a.grb", "application/wmo-GRIB2"),
        ("data/a.geojson", "application/geo+json"),
        ("data/a.parquet", "application/vnd.apache.parquet"),
        ("data/a.svg", "image/svg+xml"),
        ("data/nothing", None),
        ("data/a.unknown-ending", None),
    ],
)
def test_an_ending_tells_the_media_type(path: str, media_type: str | None) -> None:
    assert formats.media_type_of(path) == media_type


def test_parameters_and_case_of_a_media_type_do_not_count() -> None:
    written = " Image/TIFF; application=geotiff; profile=cloud-optimized"

    assert formats.by_media_type(written) is formats.TIFF
    assert formats.by_media_type("text/plain") is None
