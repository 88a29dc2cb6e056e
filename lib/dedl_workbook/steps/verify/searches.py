"""Searches that must find an item, and ones that must find nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from dedl_workbook.publication.job import Check, Job
from dedl_workbook.services.catalog import comparison
from dedl_workbook.steps.verify.sample import Sample, box_of

LIMIT = 100
"""Items that a search asks for: what it must find comes among them, or they are all of its kind."""
_EDGE = 1.0


def searches(job: Job, search: Callable[..., Any], sample: Sample) -> Iterator[dict[str, Any]]:
    """Try searches that must find an item, and ones that must find nothing.

    `search` is that of pystac-client's Client, or one like it.
    """
    tried = partial(_search, search, job.ticket.collection)
    for item in sample.items:
        id_, instant = str(item["id"]), comparison.span(item)[0]
        yield tried("id", id_, ids=[id_])
        # Where many lie upon each other, the time tells them apart.
        yield tried("bbox", id_, bbox=list(box_of(item)), datetime=instant)
        yield tried("time", id_, datetime=instant)
    if not sample.items:
        return
    yield tried("id", None, ids=["there-is-no-such-item"])
    before = f"{int(sample.earliest[:4]) - 1:04d}{sample.earliest[4:7]}-01T00:00:00Z"
    yield tried("time", None, datetime=f"../{before}")
    if sample.north < 90 - _EDGE:
        yield tried("bbox", None, bbox=[-180.0, (sample.north + 90) / 2, 180.0, 90.0])
    elif sample.south > _EDGE - 90:
        yield tried("bbox", None, bbox=[-180.0, -90.0, 180.0, (sample.south - 90) / 2])


def _search(
    search: Callable[..., Any], collection: str, by: str, wanted: str | None, **query: Any
) -> dict[str, Any]:
    """Search; a search whose first page is full need not show the very item."""
    pages = search(collections=[collection], limit=LIMIT, **query).pages_as_dicts()
    page: dict[str, Any] = next(iter(pages), {"features": []})
    ids = [str(item["id"]) for item in page["features"]]
    if wanted is None:
        passed = not ids
    else:
        alone = ids == [wanted] or by != "id"
        passed = alone and (wanted in ids or len(ids) == LIMIT)
    shown = {key: str(value) for key, value in query.items()}
    return {"by": by, "query": shown, "wanted": wanted, "found": len(ids), "passed": passed}


def search_checks(rows: list[dict[str, Any]]) -> list[Check]:
    """Judge the searches: each kind must hit, and must miss, as it should."""
    checks = []
    for by in ("id", "bbox", "time"):
        for name, hits in (("hit", True), ("miss", False)):
            some = [row for row in rows if row["by"] == by and (row["wanted"] is not None) is hits]
            bad = [row for row in some if not row["passed"]]
            if bad:
                row = bad[0]
                summary = (
                    f"{row['found']} found for {row['query']}, wanted {row['wanted'] or 'none'}"
                )
            else:
                summary = f"{len(some)} tried" if some else "not possible: items are everywhere"
            checks.append(
                Check(
                    f"search by {by} that must {name}",
                    not bad and (bool(some) or (by == "bbox" and not hits and bool(rows))),
                    summary,
                )
            )
    return checks  # fmt: skip
