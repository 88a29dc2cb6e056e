"""Items: each is valid, belongs to the collection, and can be found in space and time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from dedl_workbook.base.json import pointer
from dedl_workbook.base.times import instant, instant_or_none, oddity
from dedl_workbook.dataset.dataset import ITEMS
from dedl_workbook.rules import geometry
from dedl_workbook.rules.across import Part
from dedl_workbook.rules.delivered import Item, Unreadable
from dedl_workbook.rules.findings import Severity
from dedl_workbook.rules.problem import Problem
from dedl_workbook.rules.rule import Given, part_of, rule


@rule("I02", "item")
def item_names_its_collection(item: Item, given: Given) -> Iterator[Problem]:
    """The field collection holds the collection's id.

    PgSTAC files an item under the collection that it names, whichever that is.
    """
    named = item.document.get("collection")
    if named != given.id:
        if named is None:
            yield Problem("names no collection", f'Add "collection": "{given.id}".')
        else:
            yield Problem(
                f"names the collection {str(named)!r}, not {given.id!r}",
                f'Write "collection": "{given.id}".',
                "/collection",
            )


_USUAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_UNUSABLE = re.compile(r"[/\x00-\x1f\x7f-\x9f]|^\.{1,2}$|^$|^ | $")
LONGEST_ID = 200
"""Bytes: the id becomes part of file names, keys and URLs."""


@rule("I03", "item")
def item_id_is_its_files_name(item: Item, given: Given) -> Iterator[Problem]:
    """The id is unique, equal to the file's name without .json, and usable in URLs and keys.

    PgSTAC keeps one item of an id: the second replaces the first in silence. HDA answers 404 to an
    id with a slash.
    """
    item_id = item.document.get("id")
    if not isinstance(item_id, str):
        return
    if item_id != item.stem:
        yield Problem(
            f"the id is '{item_id}', the file's name says '{item.stem}'",
            "Write the file's name without .json as id, or rename the file after the id.",
            "/id",
        )
    if _USUAL.fullmatch(item_id):
        return
    if _UNUSABLE.search(item_id) or len(item_id.encode("utf-8", "surrogatepass")) > LONGEST_ID:
        yield Problem(
            f"the id '{item_id[:80]}' can't be used in URLs and keys",
            f"Use at most {LONGEST_ID} bytes, without slashes, control characters, outer blanks.",
            "/id",
        )


@part_of("I03", "across")
def item_ids_are_unique(part: Part, given: Given) -> Iterator[Problem]:
    """Compare the ids that aren't their files' names, with each other and with those names."""
    others = {path for path, file, _ in part.claims if not file}
    holders: dict[str, list[str]] = {}
    for path, file, _ in part.claims:
        if file:
            known = [path] if path in part.files and path not in others else []
            holders.setdefault(path, known).append(file)
    for path, files in holders.items():
        first, item_id = min(files), path[len(ITEMS) : -len(".json")]
        for file in files:
            if file != first:
                text = f"the id '{item_id}' is also that of '{first}'"
                yield Problem(
                    text, "Give one of them another id, and its file the same name.", "/id", file
                )


@rule("I04", "item")
def geometry_is_usable(item: Item, given: Given) -> Iterator[Problem]:
    """There is a geometry: closed rings, longitude and latitude in range, inside its bbox.

    A bbox may be larger than its geometry (over 5 degrees: warning). A geometry that leaves it by
    at most 0.1 degrees or 1 % of its side is a warning, more is an error. Boxes that cross the
    antimeridian (west > east), and those of polar caps, are fine. PgSTAC refuses an item without
    geometry, though STAC allows it. An outline that crosses itself is a warning. Sources: GeoJSON
    (RFC 7946), sections 3.1 and 5.
    """
    outline = item.document.get("geometry")
    if outline is None:
        yield Problem(
            "has no geometry: the catalogue refuses it",
            "Add the footprint of the data.",
            "/geometry" if "geometry" in item.document else "",
        )
        return
    yield from geometry.problems_of(outline, item.document.get("bbox"))


TIMES = (
    *("datetime", "start_datetime", "end_datetime", "created", "updated"),
    *("published", "expires", "unpublished"),
)
"""Of STAC's common metadata, and of the timestamps extension."""
_TIMES = frozenset(TIMES)


@rule("I05", "item")
def times_are_present_and_ordered(item: Item, given: Given) -> Iterator[Problem]:
    """There is a datetime, or start_datetime and end_datetime, with time zone, the start first.

    Times of assets are read as well. A blank or a small t for the T is a warning, and so is a leap
    second: RFC 3339 allows them, but not all programs read them (a small z, and an offset, are
    refused by STAC's own schema). A datetime outside of start and end is a warning too. Source:
    STAC's common metadata, and RFC 3339. The schemas' formats are off, so that a month 13 would
    pass them.
    """
    properties = item.properties
    yield from _problems_of_times(properties, "/properties")
    for key, asset, _, _ in item.assets:
        if not _TIMES.isdisjoint(asset):
            yield from _problems_of_times(asset, pointer("assets", key))
    start, end = properties.get("start_datetime"), properties.get("end_datetime")
    if properties.get("datetime") is None and (start is None or end is None):
        yield Problem("has no datetime, nor start and end", _WRITE, "/properties")
    if (start is None) != (end is None):
        missing = "start_datetime" if start is None else "end_datetime"
        yield Problem(
            f"{missing} is missing beside the other",
            f"Add {missing}; or write datetime alone.",
            "/properties",
        )
    if start is None or end is None or item.span is None:
        return
    if item.span[0] > item.span[1]:
        yield Problem(
            "starts after its end",
            "Write the earlier time in start_datetime, the later in end_datetime.",
            "/properties/start_datetime",
        )
    elif (at := instant_or_none(properties.get("datetime"))) and not (
        item.span[0] <= at <= item.span[1]
    ):
        yield Problem(
            f"the datetime '{properties['datetime']}' lies outside of start and end",
            "Write a time between start_datetime and end_datetime, or null.",
            "/properties/datetime",
            severity=Severity.WARNING,
        )


def _problems_of_times(fields: dict[str, Any], where: str) -> Iterator[Problem]:
    for name in TIMES:
        value = fields.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            yield Problem(f"{name} is no text", _WRITE, where + pointer(name))
            continue
        text, severity = _problem_of_time(value)
        if text:
            yield Problem(f"{name} {text}", _WRITE, where + pointer(name), severity=severity)


@lru_cache(maxsize=4096)
def _problem_of_time(text: str) -> tuple[str, Severity | None]:
    """Return what is wrong with a time, or '', and how bad it is."""
    try:
        instant(text)
    except ValueError as error:
        return str(error), None
    odd = oddity(text)
    return (f"'{text}' {odd}" if odd else ""), Severity.WARNING


_WRITE = "Write it in UTC, as 2024-11-16T12:00:00Z."


_ADD = {
    "type": 'Add its media type, such as "type": "image/tiff; application=geotiff".',
    "roles": 'Add what it is for, such as "roles": ["data"].',
}


@rule("I06", "item")
def item_has_described_assets(item: Item, given: Given) -> Iterator[Problem]:
    """The item has assets, and each names its media type and roles (else: warning).

    An item without assets promises data that nobody can get. HDA guesses roles that are missing.
    """
    if not item.assets:
        where = "/assets" if "assets" in item.document else ""
        yield Problem("has no assets", "Name the item's data files as assets.", where)
    for key, value, _, _ in item.assets:
        written = value.get("type")
        if isinstance(written, str) and written and "/" not in written:
            yield Problem(
                f"the type '{written[:80]}' is no media type",
                _ADD["type"].replace("Add its", "Write its"),
                pointer("assets", key, "type"),
                severity=Severity.WARNING,
            )
        if written and value.get("roles"):
            continue
        for field in _ADD:
            if not value.get(field):
                yield Problem(
                    f"the asset has no {field}",
                    _ADD[field],
                    pointer("assets", key),
                    severity=Severity.WARNING,
                )


LARGE = 2**20
"""Bytes of an item that nobody expects."""


@rule("I07", "item")
def item_is_sane_json(item: Item, given: Given) -> Iterator[Problem]:
    """Nothing in the item breaks programs: size, depth, numbers, characters.

    At most 16 MiB (over 1 MiB: warning), 254 levels, numbers in double precision, no U+0000 and no
    half characters, which PostgreSQL can't store.
    """
    if len(item.data) > LARGE:
        yield Problem(
            f"has {len(item.data)} bytes, which makes every search slow",
            "Simplify the geometry, or move bulk into an asset.",
            severity=Severity.WARNING,
        )


@part_of("I07", "unreadable")
def item_was_parsed(problem: Unreadable, given: Given) -> Iterator[Problem]:
    """Report what could not be parsed for its size, depth, numbers or characters."""
    if problem.rule == "I07":
        yield Problem(problem.text, f"Mend or simplify the item in {ITEMS}.")


_RENAMED = frozenset({"description", "license", "keywords", "providers", "title"})
_KEPT = frozenset(
    {
        *("datetime", "start_datetime", "end_datetime", "created", "updated"),
        *("platform", "instruments", "constellation", "mission", "gsd"),
    }
)


@rule("I08", "item", Severity.INFO)
def hda_keeps_the_properties(item: Item, given: Given) -> Iterator[Problem]:
    """No property of the item is one that HDA replaces or renames.

    HDA's server gives title and providers values of its own, and serves description, license,
    keywords and properties that no STAC extension defines under names of its own.
    """
    for name in item.properties:
        if name not in _KEPT and (name in _RENAMED or ":" not in name):
            yield Problem(
                f"HDA replaces or renames the property '{name}'",
                "Nothing to do; users find it changed.",
                pointer("properties", name),
            )
