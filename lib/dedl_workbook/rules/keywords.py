"""The keywords of the datasets that HDA serves, to compare a collection's with."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from dedl_workbook.errors import InputError
from dedl_workbook.publication import slug
from dedl_workbook.reading import read_yaml, workbook_root


def snapshot_file() -> Path | None:
    """Return parameters/keywords.yaml of the workbook, or the copy that is installed."""
    beside = Path(__file__).resolve().parents[1]
    candidates = [beside / "keywords.yaml", beside.parents[1] / "parameters" / "keywords.yaml"]
    with contextlib.suppress(InputError):
        candidates.insert(0, workbook_root() / "parameters" / "keywords.yaml")
    return next((path for path in candidates if path.is_file()), None)


@lru_cache(maxsize=4)
def snapshot(path: Path | None) -> tuple[str, ...]:
    """Return the keywords of a snapshot, as they are written there.

    Raises:
        InputError: it isn't one.
    """
    if path is None:
        return ()
    found = read_yaml(path).get("keywords")
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise InputError("keywords: must be a list of texts", where=str(path))
    return tuple(found)


def by_slug(words: Iterable[str]) -> Mapping[str, str]:
    """Return keywords by their slugs; of equal ones the first."""
    result: dict[str, str] = {}
    for word in words:
        result.setdefault(slug(word), word)
    return result


def nearest(word: str, known: Mapping[str, str]) -> list[str]:
    """Return at most three known keywords that are most like one."""
    found = difflib.get_close_matches(slug(word), known, n=3, cutoff=0.6)
    return [known[one] for one in found]
