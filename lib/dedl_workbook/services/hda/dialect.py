"""The two dialects of HDA's configuration: what is called and spelled how in each.

eodag 4 has `collections.yml` and a folder of providers; eodag 3 has `product_types.yml`, and one
file of providers, each a document of its own with the tag `!provider`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedl_workbook.parameters.target import Hda
from dedl_workbook.services.hda import config as hda_config
from dedl_workbook.services.hda.config import Config

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Dialect:
    """How the software of one generation reads its configuration."""

    entry: Callable[[Document], dict[str, Any]]
    """Makes the entry of a collection, but for `stacCollection` and the scopes."""
    product: str
    """Under which a product has its id at the provider."""
    provider: Callable[[bytes, str], Config]
    """Reads the provider's file."""
    loaded: tuple[str, ...]
    """Fields of an entry that the software must make the same of."""
    environment: Callable[[Hda, Path], dict[str, str]]
    """The variables by which the software finds its files in a folder."""
    offers: str
    """What the path of each download starts with."""
    download: str
    """The path of a file of an item, with what goes into it in braces."""
    whole: str
    """The path of an item as a whole."""


def of(hda: Hda) -> Dialect:
    """Return the dialect of a target."""
    return _DIALECTS[hda.dialect]


def scopes(hda: Hda, roles: list[str]) -> list[str] | str:
    """Return roles in the shape in which an entry lists them."""
    between = {"list": None, "comma": ",", "space": " "}[hda.scopes_shape]
    return list(roles) if between is None else between.join(roles)


def roles(listed: object) -> list[str]:
    """Return the roles that an entry lists, in whichever shape."""
    if isinstance(listed, list):
        return [str(role) for role in listed]
    return re.split(r"[,\s]+", listed.strip()) if isinstance(listed, str) and listed else []


def _eodag4_entry(document: Document) -> dict[str, Any]:
    entry = {"title": document["title"], "description": document["description"]}
    # As null they say that nobody knows; left out, the list of collections would lack them.
    unknown = ("instruments", "constellation", "platform", "processing:level", "eodag:sensor_type")
    entry |= dict.fromkeys(unknown)
    named = ("keywords", "license", "extent", "providers")
    return entry | {key: document.get(key) for key in named}


def _eodag4_environment(hda: Hda, folder: Path) -> dict[str, str]:
    return {
        "EODAG_COLLECTIONS_CFG_FILE": str(folder / hda.collections_file),
        "EODAG_PROVIDERS_CFG_DIR": str(folder / hda.providers_folder),
        "EODAG_EXT_COLLECTIONS_CFG_URI": str(folder / "ext.json"),
        "EODAG_STRICT_COLLECTIONS": "true",
        "EODAG_VALIDATE_COLLECTIONS": "true",
    }


def _eodag3_entry(document: Document) -> dict[str, Any]:
    temporal = (document["extent"].get("temporal") or {}).get("interval") or [[None, None]]
    entry = {"title": document["title"], "abstract": document["description"]}
    unknown = ("instrument", "platform", "platformSerialIdentifier", "processingLevel")
    entry |= dict.fromkeys(unknown)
    # Words with a comma would become two; the full collection has them all.
    words = [word for word in document.get("keywords") or () if "," not in word]
    return entry | {
        "keywords": ",".join(words),
        "sensorType": None,
        "license": document["license"],
        "missionStartDate": temporal[0][0],
        "missionEndDate": temporal[0][1],
    }


def _eodag3_environment(hda: Hda, folder: Path) -> dict[str, str]:
    return {
        "EODAG_PRODUCT_TYPES_CFG_FILE": str(folder / hda.collections_file),
        "EODAG_PROVIDERS_CFG_FILE": str(folder / hda.provider_file),
        "EODAG_EXT_PRODUCT_TYPES_CFG_FILE": str(folder / "ext.json"),
        "EODAG_STRICT_PRODUCT_TYPES": "true",
    }


_DIALECTS = {
    "eodag4": Dialect(
        _eodag4_entry,
        "_collection",
        hda_config.parse,
        ("title", "description", "keywords", "license", "extent", "providers"),
        _eodag4_environment,
        "/data/",
        "/data/{provider}/{collection}/{item}/{asset}",
        "/data/{provider}/{collection}/{item}/downloadLink",
    ),
    "eodag3": Dialect(
        _eodag3_entry,
        "productType",
        hda_config.parse_providers,
        ("title", "abstract", "keywords", "license", "missionStartDate", "missionEndDate"),
        _eodag3_environment,
        "/collections/",
        "/collections/{collection}/items/{item}/download/{asset}?provider={provider}",
        "/collections/{collection}/items/{item}/download?provider={provider}",
    ),
}
