"""Hrefs: C11, of the collection and its items."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from dedl_workbook.base.json import pointer
from dedl_workbook.rules.assets import is_remote
from dedl_workbook.rules.delivered import Item
from dedl_workbook.rules.placeholders import placeholder
from dedl_workbook.rules.problem import Problem
from dedl_workbook.rules.rule import Document, Given, part_of, rule

_URL = "Write a whole URL, such as https://example.org/a%20b, where %20 stands for a blank."
_BAD_CHARS = re.compile(r"[\s\x00-\x1f\x7f<>\"{}|\\^`]")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PLAIN = re.compile(r"https?://[\w.-]+(?::\d{1,4})?(?:/[\w.~!$&'()*+,;=:@/-]*)?", re.ASCII)


@lru_cache(maxsize=512)
def malformed(href: str) -> str:
    """Return what is wrong with the form of a URL or a relative reference (RFC 3986), or ''."""
    if _PLAIN.fullmatch(href):
        return ""
    if not href:
        return "is empty"
    if href.lower().startswith("s3://"):
        return "" if href[5:].partition("/")[0].strip() else "names no bucket"
    if odd := _BAD_CHARS.search(href):
        return f"holds the character {odd[0]!r}"
    if _BAD_PERCENT.search(href):
        return "holds a % that is no percent-encoding"
    try:
        parts = urlsplit(href)
        _ = parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    if parts.scheme in ("javascript", "vbscript"):
        return "is a script"
    if parts.scheme in ("http", "https", "s3", "ftp") and not parts.netloc:
        return "names no host"
    if parts.netloc and parts.scheme in ("http", "https") and not parts.hostname:
        return "names no host"
    return ""


@rule("C11", "collection")
def hrefs_are_well_formed(collection: Document, given: Given) -> Iterator[Problem]:
    """Hrefs of links, and URLs of providers, have the form of URLs (RFC 3986).

    Only the form is looked at: nothing is fetched. Links of tiles and the like may be templates,
    whose names stand in braces. Hrefs of assets are A01's, but for those that
    lead to other servers. What follows the bucket in an s3:// one is a key, which may be anything.
    """
    for field, name in (("links", "href"), ("providers", "url")):
        entries = collection.get(field)
        for n, entry in enumerate(entries if isinstance(entries, list) else ()):
            value = entry.get(name) if isinstance(entry, dict) else None
            if (
                isinstance(value, str)
                and not placeholder(value)
                and (wrong := _wrong(entry, value))
            ):
                where = pointer(field, n, name)
                yield Problem(f"the {name} {wrong}", _URL, where)
    if given.own is not None:
        yield from _of_assets(given.own)


@part_of("C11", "item")
def hrefs_of_items_are_well_formed(item: Item, given: Given) -> Iterator[Problem]:
    """Look at the links of items too, and at assets on other servers."""
    links = item.document.get("links")
    for n, link in enumerate(links if isinstance(links, list) else ()):
        value = link.get("href") if isinstance(link, dict) else None
        if (
            isinstance(value, str)
            and malformed(value)
            and (wrong := _wrong(link, value))
            and not placeholder(value)
        ):
            yield Problem(f"the href {wrong}", _URL, pointer("links", n, "href"))
    if item.elsewhere:
        yield from _of_assets(item)


TEMPLATED = frozenset(
    {
        *("xyz", "wms", "wmts", "tilejson", "3d-tiles", "pmtiles", "tiles", "search"),
    }
)
"""Relations whose links may be templates: of web-map-links, and of APIs."""
_VARIABLE = re.compile(r"\{[^{}\s]+\}")


def _wrong(link: dict[str, Any], href: str) -> str:
    """Return what is wrong with the form of a link's href, which may be a template, or ''."""
    wrong = malformed(href)
    if wrong and (link.get("templated") is True or link.get("rel") in TEMPLATED):
        return malformed(_VARIABLE.sub("x", href))
    return wrong


def _of_assets(item: Item) -> Iterator[Problem]:
    for key, _, href, _ in item.elsewhere:
        if is_remote(href) and (wrong := malformed(href)):
            yield Problem(f"the href {wrong}", _URL, pointer("assets", key, "href"))
