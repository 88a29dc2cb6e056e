"""Placeholders of the template that DEDL gives to submitters, left in what was delivered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from dedl_workbook.base.json import pointer
from dedl_workbook.dataset.dataset import DATA

KNOWN = (
    *("DATASET_TITLE", "PROVIDER_NAME", "PROVIDER_URL", "LICENCE_URL_LINK", "LICENCE_NAME"),
    *("DOI_URL", "DOI_CODE", "DOI_DATASET_TITLE", "OTHER_DATASET_URL", "URL_TO_DATASET_IMAGE"),
)
"""As they stand in the template."""
TEXTS = (
    "Text describing the dataset. This text will be shown",
    "Short Text describing the dataset. This text will be shown",
)
"""How the template's texts start."""

_KNOWN = re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(KNOWN)})(?![A-Za-z0-9_])")
_WORDS = frozenset(
    {
        *("ABSTRACT", "AUTHOR", "CITATION", "CODE", "COLLECTION", "CONTACT", "DATASET", "DOI"),
        *("DESCRIPTION", "EMAIL", "HREF", "ID", "IMAGE", "ITEM", "KEYWORD", "LICENCE", "LICENSE"),
        *("LINK", "LOGO", "MY", "NAME", "OF", "OTHER", "OVERVIEW", "PLACEHOLDER", "PROVIDER"),
        *("PUBLICATION", "SHORT", "TEXT", "THE", "THUMBNAIL", "TITLE", "TO", "URL", "YOUR"),
    }
)
_MEANT = frozenset({"MY", "PLACEHOLDER", "YOUR"})
"""Words that nobody's own text in capitals has."""
_SHOUTED = re.compile(r"[A-Z]+(?:_[A-Z]+)+")
_UNTOUCHED = frozenset({"id", "collection"})


def placeholder(text: str) -> str:
    """Return the placeholder of the template that a text is or holds, or ''.

    That is a name or a text as it stands there, or YOUR_DATASET_NAME and the like.
    """
    start = text.lstrip()
    for known in TEXTS:
        if start.startswith(known):
            return known
    if "_" not in text:
        return ""
    if found := _KNOWN.search(text):
        return found[0]
    word = _shouted(text)
    return word if _MEANT.intersection(word.split("_")) else ""


def _shouted(text: str) -> str:
    """Return a text of nothing but the template's words in capitals, joined by `_`, or ''."""
    word = text.strip()
    return word if _SHOUTED.fullmatch(word) and _WORDS.issuperset(word.split("_")) else ""


def placeholders(document: Any) -> Iterator[tuple[str, str]]:
    """Yield the pointer of each text of a document that is or holds a placeholder, and which.

    Ids are left out: they may look like one, and `EO.XXX.YYY.ZZZ` is none of a submitter's fault.
    """
    return _texts(document, placeholder)


def guessed(document: Any) -> Iterator[tuple[str, str]]:
    """Yield the pointer of each text that looks like a placeholder, but may be meant, and which."""
    return _texts(document, lambda text: "" if placeholder(text) else _shouted(text))


def _texts(document: Any, look: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    todo: list[tuple[str, Any]] = [("", document)]
    while todo:
        where, value = todo.pop()
        if isinstance(value, str):
            # The names of delivered files are what they are.
            if not value.startswith(DATA) and (found := look(value)):
                yield where, found
        elif isinstance(value, dict):
            todo += [(where + pointer(k), v) for k, v in value.items() if k not in _UNTOUCHED]
        elif isinstance(value, list):
            todo += [(where + pointer(n), v) for n, v in enumerate(value)]


def may_hold_placeholder(data: bytes) -> bool:
    """Tell whether it is worth looking: a part of one of the template's names is in the bytes."""
    return (
        b"DATASET_" in data
        or b"PROVIDER_" in data
        or b"LICENCE_" in data
        or b"DOI_" in data
        or b"ext describing the dataset." in data
    )
