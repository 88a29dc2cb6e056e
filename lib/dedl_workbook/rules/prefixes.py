"""Prefixes: I09, fields of extensions whose schema a document doesn't name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from dedl_workbook.base.json import pointer
from dedl_workbook.rules.delivered import Item
from dedl_workbook.rules.findings import Severity
from dedl_workbook.rules.problem import Problem
from dedl_workbook.rules.rule import Document, Given, part_of, rule
from dedl_workbook.rules.schemas import store

EXTENSIONS = {
    **{
        name: name for name in ("card4l", "cf", "classification", "cmip6", "eo", "file", "forecast")
    },
    **{name: name for name in ("goes", "grid", "insar", "label", "landsat", "language", "mgrs")},
    **{name: name for name in ("mlm", "order", "osc", "processing", "product", "raster", "sar")},
    **{name: name for name in ("sat", "ssys", "storage", "table", "vector", "version", "view")},
    **{"altm": "altimetry", "anon": "anonymized-location", "auth": "authentication"},
    **{"cube": "datacube", "pc": "pointcloud", "pers": "perspective-imagery", "eq": "earthquake"},
    **{"proj": "projection", "s1": "sentinel-1", "s2": "sentinel-2", "s3": "sentinel-3"},
    **{"s5p": "sentinel-5p", "sci": "scientific", "tiles": "tiled-assets", "zarr": "zarr"},
    **{"ml-aoi": "ml-aoi", "ml-model": "ml-model", "noaa_mrms_qpe": "noaa-mrms-qpe"},
    **{"xarray": "xarray-assets", "usfws_nwi": "usfws-nwi"},
}
"""The published extensions by the prefix of their fields."""


@rule("I09", "item", Severity.WARNING)
def extensions_of_fields_are_named(item: Item, given: Given) -> Iterator[Problem]:
    """Who has fields of a STAC extension names it in stac_extensions, so that they are checked.

    Looked for are the prefixes of published extensions, in the fields of an item, a collection and
    their assets; each is reported once.
    """
    yield from _unnamed(item.document, item.document.get("properties"), "/properties")


@part_of("I09", "collection")
def extensions_of_the_collections_fields_are_named(
    collection: Document, given: Given
) -> Iterator[Problem]:
    """Look at the collection and its summaries too."""
    yield from _unnamed(collection, collection, "")
    yield from _unnamed({**collection, "assets": None}, collection.get("summaries"), "/summaries")


def _unnamed(document: Document, fields: Any, where: str) -> Iterator[Problem]:
    """Yield a problem for each prefix of an extension that a document doesn't name."""
    unnamed: dict[str, str] = {}
    if isinstance(fields, dict) and ":" in "".join(fields):
        _add_prefixes(unnamed, fields, where)
    assets = document.get("assets")
    for key, asset in assets.items() if isinstance(assets, dict) else ():
        if isinstance(asset, dict) and ":" in "".join(asset):
            _add_prefixes(unnamed, asset, pointer("assets", key))
    if not unnamed:
        return
    # Names in the place of URLs, as old documents have them, are I01's and C01's.
    named = "".join(f"/{url}/" for url in store.extensions_of(document))
    for prefix, place in unnamed.items():
        extension = EXTENSIONS[prefix]
        if f"/{extension}/" not in named and f"/{extension}-extension/" not in named:
            yield Problem(
                f"has fields with the prefix {prefix}:, but names no {extension} extension",
                f"Add {_address(extension)} to stac_extensions.",
                place,
            )


def _add_prefixes(prefixes: dict[str, str], fields: dict[str, Any], where: str) -> None:
    for name in fields:
        prefix, colon, _ = name.partition(":")
        if colon and prefix in EXTENSIONS:
            prefixes.setdefault(prefix, where + pointer(name))


@lru_cache(maxsize=128)
def _address(extension: str) -> str:
    """Return the address of the newest schema of an extension."""
    faulty = store.unusable()
    known = [
        url
        for url in store.lock()
        if f"/{extension}/v" in url and "-" not in url.rpartition("/v")[2] and url not in faulty
    ]
    versions = [tuple(map(int, re.findall(r"\d+", url.rpartition("/v")[2]))) for url in known]
    newest = max(zip(versions, known, strict=True), default=((), ""))[1]
    return newest or f"the address of the {extension} extension's schema"
