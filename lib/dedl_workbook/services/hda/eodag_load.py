"""Loads a changed HDA configuration with eodag, and says what eodag made of one entry.

It runs as a program of its own, by the interpreter that HDA's server runs by, where the workbook
isn't installed. On stdin: {"id", "document"}, the latter a path or nothing; on stdout: what it
found, as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def main() -> int:
    """Load what the environment's EODAG_ variables name; return 3 if there is no eodag."""
    question = json.load(sys.stdin)
    try:
        eodag = importlib.import_module("eodag")
    except ModuleNotFoundError:
        return 3
    dag = eodag.EODataAccessGateway()
    older = not hasattr(dag, "list_collections")
    entry = (_entry_of_eodag3 if older else _entry)(dag, question["id"])
    document = question["document"] and json.loads(Path(question["document"]).read_bytes())
    problem = (_problem_of_eodag3 if older else _problem)(document) if document else ""
    sys.stdout.write(json.dumps({"entry": entry, "document": problem}, default=str))
    return 0


def _entry(dag: Any, id_: str) -> Any:
    listed = {entry.id: entry for entry in dag.list_collections(fetch_providers=False)}
    entry = listed.get(id_)
    return entry and entry.model_dump(mode="json", by_alias=True, exclude_none=True)


def _entry_of_eodag3(dag: Any, id_: str) -> Any:
    listed = dag.list_product_types(fetch_providers=False)
    return next((entry for entry in listed if entry["ID"] == id_), None)


def _problem_of_eodag3(document: dict[str, Any]) -> str:
    """Return what of a collection its server would alter.

    It takes texts for templates and literals. With an unpaired brace it could serve no collection
    at all any more.
    """
    utils = importlib.import_module("eodag.utils")
    try:
        served = utils.format_dict_items(document)
    except Exception as error:  # noqa: BLE001 (eodag's own, which has no module of its own here)
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    wrong = [field for field in document if served.get(field) != document[field]]
    return f"it makes something else of {', '.join(wrong)} (braces, or a number)" if wrong else ""


def _problem(document: dict[str, Any]) -> str:
    """Return what would keep HDA's server from starting with this collection, or nothing."""
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
