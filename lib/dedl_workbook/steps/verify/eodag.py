"""Verify with the eodag client, as users have it, in an environment of its own.

What is known to be wrong with that client is named and doesn't count: it stops paging after the
first page without an error, and its bundled provider gives items with a dot in their id one file
name (here each item has a folder of its own).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dedl_workbook.parameters.target import Hda
from dedl_workbook.publication.job import Check
from dedl_workbook.services.hda import programs, served
from dedl_workbook.steps.verify.user import RESTART

PATIENCE = 300.0
"""Seconds that the client may take for all of it."""

Delivered = Mapping[str, Mapping[str, tuple[int, str]]]
"""For each item, size (bytes) and SHA-256 of the delivered files, by path."""

Tried = Callable[[str, str | None, Delivered, int], tuple[list[Check], dict[str, Any]]]
"""Finds and downloads items; returns what was judged, and what was seen.

It takes the collection's id, the token of a user who may (or None), the items to try and how many
there are in all. It raises InputError where the interpreter has no eodag, and ServiceError where
the client doesn't end.
"""


@contextmanager
def client(hda: Hda) -> Iterator[Tried]:
    """Start an eodag client, which takes a second, and yield what tries with it, once.

    What fails is tried once more, by another client: HDA may have been restarted meanwhile.

    Args:
        hda: the target's part; without a client nothing is tried.

    Raises:
        ServiceError: it can't be run.
    """
    if hda.client is None:
        yield lambda *_: ([], {"tried": "no: the target names no hda.client"})
        return
    with tempfile.TemporaryDirectory(prefix="eodag-", ignore_cleanup_errors=True) as folder:
        program = Path(__file__).with_name("eodag_client.py")
        home = {"HOME": folder, "EODAG_CFG_DIR": folder, "EODAG_EXT_COLLECTIONS_CFG_URI": ""}
        start = partial(programs.started, hda.client, program, PATIENCE, "hda.client", home)
        with start() as answer:
            yield partial(_try, hda, folder, answer, start)


def _try(
    hda: Hda,
    folder: str,
    answer: programs.Answer,
    start: Callable[[], AbstractContextManager[programs.Answer]],
    collection: str,
    token: str | None,
    delivered: Delivered,
    total: int,
) -> tuple[list[Check], dict[str, Any]]:
    question: dict[str, Any] = {"url": hda.url.rstrip("/"), "collection": collection}
    question |= {"token": token, "items": list(delivered), "folder": folder}
    checks, report = _asked(answer, question, delivered, total)
    if not all(check.passed for check in checks):
        with served.reading() as http:
            served.await_back(http, hda.url, RESTART)
        with start() as other:
            checks, report = _asked(other, question, delivered, total)
    return checks, report


def _asked(
    answer: programs.Answer, question: dict[str, Any], delivered: Delivered, total: int
) -> tuple[list[Check], dict[str, Any]]:
    result, log = answer(question)
    if result is None:
        log = log.replace(question["token"], "***") if question["token"] else log
        return [Check("eodag: search", False, log)], {"tried": log}
    return list(_judged(result, delivered, total)), result


def _judged(result: Mapping[str, Any], delivered: Delivered, total: int) -> list[Check]:
    first = min(total, result["page"])
    matched = result["matched"]
    same = result["first"] == first and matched in (None, total)
    summary = f"eodag {result['version']} finds {result['first']} on its first page"
    summary += "" if matched is None else f", {matched} in all"
    if result["paged"] < total:
        summary += f"; known fault, not counted: its paging ends after {result['paged']} of {total}"
    missed = [item["id"] for item in result["items"] if item["found"] != 1]
    hit = ", ".join(missed) or f"{len(result['items'])} tried"
    return [
        Check("eodag: search", same, summary),
        Check("eodag: search by id", not missed, hit),
        _downloads(result, delivered),
    ]


def _downloads(result: Mapping[str, Any], delivered: Delivered) -> Check:
    wrong, files = [], 0
    for item in result["items"]:
        if item["fault"]:
            wrong.append(f"{item['id']}: {item['fault']}")
            continue
        # Equal files are counted each. Downloads of whole items leave empty files out.
        known = Counter(delivered.get(item["id"], {}).values())
        got = Counter((int(size), str(sha256)) for size, sha256 in item["files"])
        files += got.total()
        missing = sum(count for one, count in (known - got).items() if one[0])
        other = (got - known).total()
        if missing or other:
            wrong.append(f"{item['id']}: {missing} files are missing, {other} other")
    return Check("eodag: download", not wrong, "; ".join(wrong[:3]) or f"{files} files")
