"""Loads a changed HDA configuration with eodag, and says what eodag made of one entry.

It runs as a program of its own, by the interpreter that HDA's server runs by, where the workbook
isn't installed. On stdin: {"id", "document"}; on stdout: what it found, as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def main() -> int:
    """Load what the environment's EODAG_ variables name; return 3 if there is no eodag."""
    told = json.load(sys.stdin)
    try:
        eodag = importlib.import_module("eodag")
    except ModuleNotFoundError:
        return 3
    dag = eodag.EODataAccessGateway()
    listed = {entry.id: entry for entry in dag.list_collections(fetch_providers=False)}
    entry = listed.get(told["id"])
    shown = entry and entry.model_dump(mode="json", by_alias=True, exclude_none=True)
    data = Path(told["document"]).read_bytes()
    problem = _problem(json.loads(data)) if data else ""
    found = {"listed": sorted(listed), "entry": shown, "document": problem}
    sys.stdout.write(json.dumps(found))
    return 0


def _problem(document: dict[str, Any]) -> str:
    """Say what would keep HDA's server from starting with this collection, or nothing."""
    stac = importlib.import_module("stac_pydantic.collection")
    try:
        stac.TimeInterval(**document["extent"]["temporal"])
        stac.SpatialExtent(**document["extent"]["spatial"])
        for key in ("title", "description", "license"):
            document[key]
    except (KeyError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
