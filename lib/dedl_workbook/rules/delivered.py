"""What was delivered: documents read strictly and fast, items with their assets."""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from dedl_workbook.base import json as documents
from dedl_workbook.base.times import span
from dedl_workbook.dataset.dataset import ITEMS, Dataset, File, bounded_with_links
from dedl_workbook.publication.metadata import href_path

DOCUMENT_LIMIT = 16 * 2**20
"""Bytes that a collection or an item may have to be read at all."""
LARGEST = 10**308
"""Numbers beyond it are no numbers to most programs."""
DEEPEST = 254
"""Levels of arrays and objects in a document, which is as deep as orjson writes."""


class Unreadable(NamedTuple):
    """Why a file's content can't be judged, and which rule that breaks."""

    rule: str
    text: str


class Insane(ValueError):  # noqa: N818 - a finding, no error
    """JSON, but of a size, depth or content that programs can't be trusted with."""


class Asset(NamedTuple):
    """An asset of an item or a collection."""

    key: str
    value: dict[str, Any]
    href: Any
    path: str | None
    """The data file that the href names, whether it exists or not; None: none in data/."""


class Content(NamedTuple):
    """What a JSON file holds."""

    data: bytes
    """The file's bytes."""
    document: Any
    short: bytes
    """The document in few bytes, if it is quickly written; else those of the file."""
    links: int
    """Names that the file has: more than one are hard links."""


@dataclass(slots=True)
class Item:
    """An item as it was delivered."""

    path: str
    document: dict[str, Any]
    data: bytes
    """The file's bytes."""
    short: bytes
    """As in `Content`."""
    assets: list[Asset]
    elsewhere: list[Asset]
    """Those of the assets whose hrefs name no file in data/."""
    span: tuple[dt.datetime, dt.datetime] | None
    """The first and the last instant, if they can be read."""
    links: int
    """Names that the file has."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of the data files that rules read, by path, or `across.GONE`."""
    outside: bool = False
    """Whether it lies outside of the collection's extent."""
    unchecked: list[str] = field(default_factory=list)
    """Schemas that it names, but could not be held against."""
    unknown: dict[str, str] = field(default_factory=dict)
    """What the data files are called that were not looked into, by path."""

    @classmethod
    def of(
        cls,
        path: str,
        document: dict[str, Any],
        data: bytes,
        dataset: Dataset,
        short: bytes = b"",
        links: int = 1,
    ) -> Item:
        """Return the item of a parsed file."""
        properties = document.get("properties")
        times = span(properties) if isinstance(properties, dict) else None
        assets = assets_of(document, dataset)
        elsewhere = [asset for asset in assets if asset.path is None]
        return cls(path, document, data, short or data, assets, elsewhere, times, links)

    @property
    def days(self) -> tuple[str, str]:
        """The first and the last day in UTC as YYYY/MM/DD, or empty."""
        return ("", "") if self.span is None else (_day(self.span[0]), _day(self.span[1]))

    @property
    def properties(self) -> dict[str, Any]:
        """The item's properties, if they are an object."""
        properties = self.document.get("properties")
        return properties if isinstance(properties, dict) else {}

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return self.path[len(ITEMS) : -len(".json")]


@lru_cache(maxsize=4096)
def _day(moment: dt.datetime) -> str:
    return f"{moment.year:04}/{moment.month:02}/{moment.day:02}"


def read_document(dataset: Dataset, file: File, rule: str) -> Content | Unreadable:
    """Read and parse a JSON file; what can't be read breaks `rule`, or I07."""
    try:
        data, links = bounded_with_links(dataset, file, DOCUMENT_LIMIT)
    except OSError as error:
        return Unreadable(rule, f"can't be read: {error.strerror or error}")
    except ValueError as error:
        return Unreadable("I07" if rule == "L03" else rule, str(error))
    try:
        return Content(data, *_parsed(data), links)
    except Insane as error:
        return Unreadable("I07" if rule == "L03" else rule, str(error))
    except json.JSONDecodeError as error:
        problem = f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        return Unreadable(rule, problem if data.strip() else "is empty")
    except ValueError as error:
        return Unreadable(rule, str(error))


def read_item(dataset: Dataset, file: File) -> Item | Unreadable:
    """Read an item's file."""
    content = read_document(dataset, file, "L03")
    if isinstance(content, Unreadable):
        return content
    data, document, short, links = content
    if not isinstance(document, dict):
        return Unreadable("L03", f"holds {kind(document)}, not an object")
    return Item.of(file.path, document, data, dataset, short, links)


def kind(value: object) -> str:
    """Return what JSON calls a value."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def assets_of(document: dict[str, Any], dataset: Dataset) -> list[Asset]:
    """Return a document's assets, as far as they are objects."""
    assets = document.get("assets")
    if not isinstance(assets, dict):
        return []
    listed = []
    for key, value in assets.items():
        if isinstance(value, dict):
            href = value.get("href")
            listed.append(Asset(key, value, href, href_path(href, dataset.stat)))
    return listed


def parse(data: bytes) -> Any:
    """Parse JSON as strictly as `documents.parse`, some five times as fast.

    orjson keeps the last of two equal keys in silence. Written again, such a document has fewer
    colons than before; colons in strings are the same in both, unless they were escaped.

    Raises:
        Insane: a number beyond double precision, text that no database stores, or too deep.
        ValueError: no JSON, or no strict JSON; the message says why.
    """
    return _parsed(data)[0]


def _parsed(data: bytes) -> tuple[Any, bytes]:
    """Return a document, and the short form of it."""
    try:
        value = orjson.loads(data)
        if b"\\" not in data or b"\\u00" not in data:
            short = orjson.dumps(value)
            if data.count(b":") == short.count(b":"):
                return value, short
    except orjson.JSONDecodeError:
        pass
    except orjson.JSONEncodeError:
        raise Insane(f"is nested deeper than {DEEPEST} levels") from None
    value = _slow(data)
    _require_sane(value)
    return value, data


def _slow(data: bytes) -> Any:
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{", b"\0\0")):
        raise ValueError("is UTF-16 or UTF-32; JSON files are UTF-8")
    try:
        return documents.parse(data)
    except ValueError as error:
        if "nested too deep" in str(error):
            raise Insane(f"is nested deeper than {DEEPEST} levels") from None
        if "integer string conversion" in str(error):
            raise Insane("holds a number that is too large") from None
        raise


def _require_sane(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST and any(isinstance(node, (dict, list)) for node in level):
            raise Insane(f"is nested deeper than {DEEPEST} levels")
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                below += node.values()
                below += node
            elif isinstance(node, list):
                below += node
            else:
                _require_sane_value(node)
        level = below


def _require_sane_value(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise Insane("holds the character U+0000, which no database stores")
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise Insane("holds half a character (a lone surrogate)")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Insane("holds a number that is too large")
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise Insane("holds a number that is too large")
