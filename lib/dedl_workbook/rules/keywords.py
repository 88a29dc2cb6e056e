"""The keywords of the datasets that HDA serves, to compare a collection's with."""

from __future__ import annotations

import contextlib
import difflib
import os
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from dedl_workbook.base import http
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.yaml_files import read_yaml, workbook_root
from dedl_workbook.publication.metadata import slug

TIMEOUT = 20.0
"""Seconds that HDA may take for the list of its collections."""


def snapshot_file() -> Path | None:
    """Return parameters/keywords.yaml of the workbook, or the copy that is installed."""
    beside = Path(__file__).resolve().parent
    candidates = [beside / "keywords.yaml", beside.parents[2] / "parameters" / "keywords.yaml"]
    with contextlib.suppress(InputError):
        candidates.insert(0, workbook_root() / "parameters" / "keywords.yaml")
    # Path.is_file fails at a folder that is closed to us.
    return next((path for path in candidates if os.path.isfile(path)), None)  # noqa: PTH113


@lru_cache(maxsize=4)
def snapshot(path: Path | None) -> tuple[str, ...]:
    """Return the keywords of a snapshot, as they are written there.

    Raises:
        InputError: it isn't one.
    """
    if path is None:
        return ()
    words = read_yaml(path).get("keywords")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError("keywords: must be a list of texts", where=str(path))
    return tuple(words)


class Vocabulary(NamedTuple):
    """Keywords to compare with, and where they come from."""

    words: tuple[str, ...]
    """Empty: there are none to compare with."""
    source: str
    """Where they come from, as a report has it."""


def vocabulary(target: Target | None, collection_id: str) -> Vocabulary:
    """Return the keywords of HDA's collections where a target's HDA answers, else the snapshot.

    Args:
        target: None: HDA isn't asked.
        collection_id: the collection that is compared; what HDA serves of it doesn't count.

    Raises:
        InputError: the snapshot's file isn't one.
    """
    why = ""
    if target is not None and target.hda is not None:
        try:
            return _served(target.hda.url, collection_id)
        except _NoAnswerError as error:
            why = f", as {target.hda.url} can't be asked: {error}"
    path = snapshot_file()
    if path is None:
        return Vocabulary((), f"C04 was not looked at: there is no keywords.yaml{why}")
    dated = read_yaml(path)
    source = (
        f"C04 compared keywords with the snapshot of {dated.get('date')} ({dated.get('source')})"
    )
    return Vocabulary(snapshot(path), source + why)


class _NoAnswerError(Exception):
    """HDA can't be asked for its collections; the message says why."""


def _served(url: str, collection_id: str) -> Vocabulary:
    import httpx

    words: set[str] = set()
    count = 0
    end = time.monotonic() + TIMEOUT
    try:
        with http.client(TIMEOUT, follow_redirects=True) as client:

            def ask(method: str, page: str, body: Any) -> Any:
                if time.monotonic() > end:
                    raise _NoAnswerError(f"its list was not complete after {TIMEOUT:.0f} s")
                return client.request(method, page, json=body).raise_for_status().json()

            # A list that goes in circles was read whole.
            with contextlib.suppress(ServiceError):
                for page in http.pages(ask, f"{url.rstrip('/')}/collections"):
                    for collection in page["collections"]:
                        if collection["id"] != collection_id:
                            words.update(
                                w for w in collection.get("keywords") or () if w and w.strip()
                            )
                            count += 1
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _NoAnswerError(http.reason(error)) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _NoAnswerError("its answer is no list of collections") from error
    if not words:
        raise _NoAnswerError("its collections have no keywords")
    source = f"C04 compared keywords with those of {count} collections that {url} serves"
    return Vocabulary(tuple(sorted(words)), source)


def by_slug(words: Iterable[str]) -> Mapping[str, str]:
    """Return keywords by their slugs; of equal ones the first."""
    result: dict[str, str] = {}
    for word in words:
        result.setdefault(slug(word), word)
    return result


def nearest(word: str, known: Mapping[str, str]) -> list[str]:
    """Return at most three known keywords that are most like one."""
    likest = difflib.get_close_matches(slug(word), known, n=3, cutoff=0.6)
    return [known[one] for one in likest]
