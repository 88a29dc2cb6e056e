"""Small functions that each break a document of the corpus in one place."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.corpus import CORPUS, Json, corpus

Break = Callable[[Json], None]
BREAKS: dict[str, tuple[str, Break]] = {}
"""By the function's name: which document, and the function."""


def of(document: str) -> Callable[[Break], Break]:
    """Say which document of the corpus a function breaks."""

    def remember(function: Break) -> Break:
        assert function.__name__ not in BREAKS
        BREAKS[function.__name__] = document, function
        return function

    return remember


def broken(name: str, version: str) -> Json:
    """Return a document of the corpus that was broken in one place."""
    document, function = BREAKS[name]
    found = corpus(document, version)
    function(found)
    assert found != {**CORPUS[document], "stac_version": version}
    return found


@of("heat")
def no_id(d: Json) -> None:
    del d["id"]


@of("heat")
def empty_id(d: Json) -> None:
    d["id"] = ""


@of("heat")
def id_is_a_number(d: Json) -> None:
    d["id"] = 20260701


@of("heat")
def type_in_small_letters(d: Json) -> None:
    d["type"] = "feature"


@of("heat")
def version_without_patch(d: Json) -> None:
    d["stac_version"] = "1.0"


@of("heat")
def no_version(d: Json) -> None:
    del d["stac_version"]


@of("heat")
def extensions_are_text(d: Json) -> None:
    d["stac_extensions"] = "none"


@of("heat")
def no_geometry(d: Json) -> None:
    del d["geometry"]


@of("heat")
def geometry_is_a_box(d: Json) -> None:
    d["geometry"] = d["bbox"]


@of("heat")
def ring_within_no_polygon(d: Json) -> None:
    d["geometry"]["coordinates"] = d["geometry"]["coordinates"][0]


@of("heat")
def ring_of_three(d: Json) -> None:
    d["geometry"]["coordinates"][0] = d["geometry"]["coordinates"][0][:3]


@of("heat")
def coordinates_are_text(d: Json) -> None:
    d["geometry"]["coordinates"][0][0] = ["-10", "35.2"]


@of("heat")
def no_bbox(d: Json) -> None:
    del d["bbox"]


@of("heat")
def bbox_of_two_corners(d: Json) -> None:
    d["bbox"] = [[-10, 35.2], [4.4, 44.8]]


@of("heat")
def bbox_of_three(d: Json) -> None:
    d["bbox"] = [-10, 35.2, 4.4]


@of("heat")
def no_properties(d: Json) -> None:
    del d["properties"]


@of("heat")
def properties_are_a_list(d: Json) -> None:
    d["properties"] = []


@of("heat")
def no_datetime(d: Json) -> None:
    del d["properties"]["datetime"], d["properties"]["start_datetime"]


@of("heat")
def datetime_without_time(d: Json) -> None:
    d["properties"]["datetime"] = "2026-07-01"


@of("heat")
def datetime_is_a_number(d: Json) -> None:
    d["properties"]["datetime"] = 1782907200


@of("heat")
def start_without_end(d: Json) -> None:
    del d["properties"]["end_datetime"]


@of("heat")
def created_without_zone(d: Json) -> None:
    d["properties"]["created"] = "2026-07-02T05:30:00"


@of("heat")
def gsd_is_text(d: Json) -> None:
    d["properties"]["gsd"] = "4 km"


@of("heat")
def gsd_is_negative(d: Json) -> None:
    d["properties"]["gsd"] = -4170


@of("heat")
def instrument_is_text(d: Json) -> None:
    d["properties"]["instruments"] = "slstr"


@of("heat")
def provider_without_name(d: Json) -> None:
    del d["properties"]["providers"][0]["name"]


@of("heat")
def provider_role_unknown(d: Json) -> None:
    d["properties"]["providers"][0]["roles"] = ["owner"]


@of("heat")
def no_links(d: Json) -> None:
    del d["links"]


@of("heat")
def link_without_rel(d: Json) -> None:
    del d["links"][1]["rel"]


@of("heat")
def collection_without_link(d: Json) -> None:
    del d["links"][0]


@of("heat")
def link_without_href(d: Json) -> None:
    del d["links"][0]["href"]


@of("heat")
def no_assets(d: Json) -> None:
    del d["assets"]


@of("heat")
def assets_are_a_list(d: Json) -> None:
    d["assets"] = [*d["assets"].values()]


@of("heat")
def asset_without_href(d: Json) -> None:
    del d["assets"]["lst"]["href"]


@of("heat")
def empty_href(d: Json) -> None:
    d["assets"]["lst"]["href"] = ""


@of("heat")
def asset_is_text(d: Json) -> None:
    d["assets"]["lst"] = d["assets"]["lst"]["href"]


@of("heat")
def roles_are_text(d: Json) -> None:
    d["assets"]["lst"]["roles"] = "data"


@of("heat")
def media_type_is_null(d: Json) -> None:
    d["assets"]["lst"]["type"] = None


@of("station")
def null_datetime_without_range(d: Json) -> None:
    del d["properties"]["start_datetime"], d["properties"]["end_datetime"]


@of("station")
def point_of_one_number(d: Json) -> None:
    d["geometry"]["coordinates"] = [7.1]


@of("station")
def point_within_a_list(d: Json) -> None:
    d["geometry"]["coordinates"] = [[7.1, 50.7]]


@of("pacific")
def multipolygon_of_rings(d: Json) -> None:
    d["geometry"]["coordinates"] = d["geometry"]["coordinates"][0]


@of("collection")
def no_description(d: Json) -> None:
    del d["description"]


@of("collection")
def empty_description(d: Json) -> None:
    d["description"] = ""


@of("collection")
def no_license(d: Json) -> None:
    del d["license"]


@of("collection")
def license_is_a_sentence(d: Json) -> None:
    d["license"] = "free for all"


@of("collection")
def title_is_null(d: Json) -> None:
    d["title"] = None


@of("collection")
def keywords_are_text(d: Json) -> None:
    d["keywords"] = "Land, Climate"


@of("collection")
def host_without_name(d: Json) -> None:
    d["providers"].append({"roles": ["host"]})


@of("collection")
def role_of_provider_unknown(d: Json) -> None:
    d["providers"][0]["roles"] = ["author"]


@of("collection")
def no_extent(d: Json) -> None:
    del d["extent"]


@of("collection")
def no_interval(d: Json) -> None:
    d["extent"]["temporal"]["interval"] = []


@of("collection")
def interval_not_nested(d: Json) -> None:
    d["extent"]["temporal"]["interval"] = ["2026-07-01T00:00:00Z", None]


@of("collection")
def interval_of_one(d: Json) -> None:
    d["extent"]["temporal"]["interval"] = [["2026-07-01T00:00:00Z"]]


@of("collection")
def extent_box_not_nested(d: Json) -> None:
    d["extent"]["spatial"]["bbox"] = [-10, 35.2, 4.4, 44.8]


@of("collection")
def extent_box_of_five(d: Json) -> None:
    d["extent"]["spatial"]["bbox"][0].append(0)


@of("collection")
def no_spatial_extent(d: Json) -> None:
    del d["extent"]["spatial"]


@of("collection")
def no_links_of_a_collection(d: Json) -> None:
    del d["links"]


@of("collection")
def empty_summary(d: Json) -> None:
    d["summaries"]["platform"] = []


@of("collection")
def thumbnail_without_href(d: Json) -> None:
    del d["assets"]["thumbnail"]["href"]
