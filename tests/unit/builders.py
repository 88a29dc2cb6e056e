"""Valid objects that a test then breaks in one place."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

ID = "EO.XXX.DAT.HEAT"
GONE = object()
"""As a value: the field is left out."""


def changed(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Set fields of a document; a GONE one is taken out. `dedl__x` stands for `dedl:x`."""
    for name, value in changes.items():
        field = name.replace("__", ":")
        if value is GONE:
            document.pop(field, None)
        else:
            document[field] = value
    return document


def any_collection(**changes: Any) -> dict[str, Any]:
    """A collection that passes every rule."""
    document = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": ID,
        "title": "Demo heat maps",
        "description": "Daily land surface temperature over a small box.",
        "dedl:short_description": "Daily land surface temperature.",
        "license": "CC-BY-4.0",
        "keywords": ["Land", "Climate", "User generated"],
        "providers": [
            {"name": "Heat Ltd", "roles": ["producer", "licensor"], "url": "https://heat.example"},
            {"name": "Heat Computing", "roles": ["processor"]},
            {"name": "DEDL", "roles": ["host"]},
        ],
        "extent": {
            "spatial": {"bbox": [[2.0, 49.0, 7.0, 52.0]]},
            "temporal": {"interval": [["2024-11-01T00:00:00Z", None]]},
        },
        "links": [{"rel": "license", "href": "https://creativecommons.org/licenses/by/4.0/"}],
    }
    return changed(document, changes)


def box(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    """The polygon of a bbox."""
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [corners]}


def any_item(item_id: str = "heat_20241116", **changes: Any) -> dict[str, Any]:
    """An item that passes every rule, with one asset; `properties` are merged."""
    properties = {"datetime": "2024-11-16T12:00:00Z"}
    changed(properties, changes.pop("properties", {}))
    document = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": item_id,
        "collection": ID,
        "geometry": box(2.5, 49.5, 6.5, 51.5),
        "bbox": [2.5, 49.5, 6.5, 51.5],
        "properties": properties,
        "links": [{"rel": "collection", "href": f"https://dedl.example/collections/{ID}"}],
        "assets": {"map": any_asset(item_id)},
    }
    return changed(document, changes)


def any_asset(item_id: str = "heat_20241116", **changes: Any) -> dict[str, Any]:
    """An asset that names the file which `any_dataset` writes for an item."""
    href = f"data/2024/11/16/{item_id}/{item_id}.png"
    return changed({"href": href, "type": "image/png", "roles": ["data"]}, changes)


def png(side: int = 8) -> bytes:
    """A whole PNG picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + bytes(side) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(side: int = 8) -> bytes:
    """A whole TIFF of one strip (little-endian, 8 bits)."""
    data = bytes(side * side)
    tags = [
        *((256, 3, 1, side), (257, 3, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)),
        *((273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, side), (279, 4, 1, len(data))),
    ]
    out = io.BytesIO()
    out.write(struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + struct.pack("<H", len(tags)))
    for tag in tags:
        out.write(struct.pack("<HHII", *tag))
    out.write(struct.pack("<I", 0))
    return out.getvalue()


def any_dataset(
    folder: Path,
    *items: dict[str, Any],
    collection: dict[str, Any] | None = None,
    name: str = ID,
    files: dict[str, bytes] | None = None,
) -> Path:
    """Write a dataset on disk: the items (default: one), and a picture for each asset in data/.

    `files` are written last: they add to what is there, or replace it.
    """
    root = folder / name
    documents = items or (any_item(),)
    write(root, "metadata/collection.json", any_collection() if collection is None else collection)
    for item in documents:
        write(root, f"metadata/items/{item['id']}.json", item)
        for asset in (item.get("assets") or {}).values():
            if asset["href"].startswith("data/"):
                write(root, asset["href"], png())
    for path, content in (files or {}).items():
        write(root, path, content)
    return root


def write(root: Path, path: str, content: bytes | dict[str, Any]) -> Path:
    """Write a file of a dataset: bytes as they are, an object as JSON."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return target
