"""The inverse of a JSON Patch, and its application: the oracle of `json_patch`."""

from __future__ import annotations

import copy
from typing import Any

from dedl_workbook.base.json import canonical
from dedl_workbook.base.json_patch import Patch


def inverse(operations: Patch) -> Patch:
    """Return the patch that takes back what one made by `patch` did."""
    result: Patch = []
    for n in range(len(operations) - 1, -1, -1):
        operation = operations[n]
        path, value = operation["path"], operation.get("value")
        if operation["op"] == "add":
            result += [{"op": "test", "path": path, "value": value}, {"op": "remove", "path": path}]
        elif operation["op"] == "remove":
            result.append({"op": "add", "path": path, "value": operations[n - 1]["value"]})
        elif operation["op"] == "replace":
            result.append({"op": "test", "path": path, "value": value})
            result.append({"op": "replace", "path": path, "value": operations[n - 1]["value"]})
    return result


def patched(document: Any, operations: Patch) -> Any:
    """Return a document with a patch of `test`, `add`, `replace` and `remove` applied.

    Raises:
        ValueError: a `test` finds another value, or a path leads nowhere.
    """
    root = {"": copy.deepcopy(document)}
    for operation in operations:
        parent, name = _find(root, operation["path"], new=operation["op"] == "add")
        if operation["op"] == "test":
            if canonical(parent[name]) != canonical(operation["value"]):
                raise ValueError(f"{operation['path']} is not what the patch was made for")
        elif operation["op"] == "remove":
            del parent[name]
        elif operation["op"] == "add" and isinstance(parent, list):
            parent.insert(name, copy.deepcopy(operation["value"]))
        else:
            parent[name] = copy.deepcopy(operation["value"])
    return root[""]


def undo(document: Any, operations: Patch) -> Any:
    """Return the document as it was before a patch made by `patch`.

    Raises:
        ValueError: the document isn't what the patch made.
    """
    return patched(document, inverse(operations))


def _find(root: dict[str, Any], pointer: str, *, new: bool) -> tuple[Any, Any]:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    parent: Any = root
    try:
        for part in parts[:-1]:
            parent = parent[int(part) if isinstance(parent, list) else part]
        name = int(parts[-1]) if isinstance(parent, list) else parts[-1]
        if not new:
            parent[name]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"the document has no {pointer}") from error
    return parent, name
