"""The official schemas, read plainly by the reference library: what ours is held against."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
needs_extensions = pytest.mark.skipif(
    not (SHARED / "stac-schemas").is_dir(), reason="the extensions' schemas aren't here"
)


def official(document: dict[str, Any], core: str, store: Path) -> bool:
    """Tell whether a document is valid: by a core schema, and by all extensions that it names.

    Formats are off, as in stac-validator.
    """
    urls = [core, *(document.get("stac_extensions") or ())]
    return all(_judge(url, store).is_valid(document) for url in urls)


@lru_cache(maxsize=256)
def _judge(url: str, store: Path) -> Any:
    from jsonschema.validators import validator_for
    from referencing import Registry, Resource

    def retrieve(uri: str) -> Any:
        return Resource.from_contents(
            json.loads((store / uri.removeprefix("https://")).read_text())
        )

    schema = retrieve(url).contents
    return validator_for(schema)(schema, registry=Registry(retrieve=retrieve))  # type: ignore[call-arg]
