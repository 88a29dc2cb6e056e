"""JSON Patch (RFC 6902): the difference between two documents."""

from __future__ import annotations

from typing import Any

from dedl_workbook.base.json import canonical, pointer

Patch = list[dict[str, Any]]


def patch(before: Any, after: Any, path: str = "") -> Patch:
    """Return the JSON Patch that turns one document into the other.

    Each replacement and removal follows a `test` of the value that was there, so the patch
    refuses any other document, and can be inverted.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            operation
            for name in [*before, *(name for name in after if name not in before)]
            for operation in _member(before, after, name, path + pointer(name))
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) <= len(after):
        pairs = list(zip(before, after, strict=False))
        changed = [op for n, (b, a) in enumerate(pairs) for op in patch(b, a, path + pointer(n))]
        added = [
            {"op": "add", "path": path + pointer(n), "value": after[n]}
            for n in range(len(before), len(after))
        ]
        return changed + added
    if canonical(before) == canonical(after):
        return []
    return [
        {"op": "test", "path": path, "value": before},
        {"op": "replace", "path": path, "value": after},
    ]


def _member(before: dict[str, Any], after: dict[str, Any], name: str, path: str) -> Patch:
    if name not in before:
        return [{"op": "add", "path": path, "value": after[name]}]
    if name not in after:
        return [
            {"op": "test", "path": path, "value": before[name]},
            {"op": "remove", "path": path},
        ]
    return patch(before[name], after[name], path)
