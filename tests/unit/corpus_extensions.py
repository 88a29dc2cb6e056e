"""Small functions that each break what an extension asks of a document of the corpus."""

from __future__ import annotations

from tests.unit.corpus import Json
from tests.unit.corpus_breaks import of


@of("station")
def publications_are_text(d: Json) -> None:
    d["properties"]["sci:publications"] = "A. Author (2020)"


@of("station")
def doi_is_an_address(d: Json) -> None:
    d["properties"]["sci:doi"] = "https://doi.org/10.5072/heat"


@of("pacific")
def class_without_value(d: Json) -> None:
    del d["assets"]["flags"]["classification:classes"][0]["value"]


@of("pacific")
def software_is_text(d: Json) -> None:
    d["properties"]["processing:software"] = "sst 4.2"


@of("imagery")
def cloud_cover_over_a_hundred(d: Json) -> None:
    d["properties"]["eo:cloud_cover"] = 120


@of("imagery")
def common_name_unknown(d: Json) -> None:
    d["assets"]["B04"]["eo:bands"][0]["common_name"] = "rouge"


@of("imagery")
def sun_azimuth_over_the_circle(d: Json) -> None:
    d["properties"]["view:sun_azimuth"] = 400


@of("imagery")
def shape_of_three(d: Json) -> None:
    d["properties"]["proj:shape"] = [1, 2, 3]


@of("imagery")
def transform_of_four(d: Json) -> None:
    d["properties"]["proj:transform"] = [10, 0, 0, -10]


@of("imagery")
def raster_type_unknown(d: Json) -> None:
    d["assets"]["B04"]["raster:bands"][0]["data_type"] = "short"


@of("radar")
def frequency_band_unknown(d: Json) -> None:
    d["properties"]["sar:frequency_band"] = "Q"


@of("radar")
def no_instrument_mode(d: Json) -> None:
    del d["properties"]["sar:instrument_mode"]


@of("radar")
def polarisation_unknown(d: Json) -> None:
    d["properties"]["sar:polarizations"] = ["XX"]


@of("radar")
def looks_are_text(d: Json) -> None:
    d["properties"]["sar:looks_range"] = "5"


@of("radar")
def orbit_state_unknown(d: Json) -> None:
    d["properties"]["sat:orbit_state"] = "up"


@of("forecast")
def no_reference_datetime(d: Json) -> None:
    del d["properties"]["forecast:reference_datetime"]


@of("forecast")
def horizon_is_a_number(d: Json) -> None:
    d["properties"]["forecast:horizon"] = 48


@of("forecast")
def dimension_without_type(d: Json) -> None:
    del d["properties"]["cube:dimensions"]["time"]["type"]


@of("forecast")
def dimensions_of_variable_are_text(d: Json) -> None:
    d["properties"]["cube:variables"]["t2m"]["dimensions"] = "time"


@of("elevation")
def file_size_is_negative(d: Json) -> None:
    d["assets"]["dem"]["file:size"] = -1


@of("elevation")
def checksum_in_capitals(d: Json) -> None:
    d["assets"]["dem"]["file:checksum"] = "SHA256:AB"


@of("elevation")
def projection_code_is_a_number(d: Json) -> None:
    d["properties"]["proj:code"] = 4326


@of("reference")
def item_asset_is_text(d: Json) -> None:
    d["item_assets"]["B04"] = "red"


@of("reference")
def doi_in_words(d: Json) -> None:
    d["sci:doi"] = "soon"


@of("reference")
def cube_dimension_is_text(d: Json) -> None:
    d["cube:dimensions"]["time"] = "temporal"
