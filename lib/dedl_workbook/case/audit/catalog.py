"""Audit of the catalogue: the database against what was published, the STAC API against it."""

from __future__ import annotations

from collections.abc import Iterator

from dedl_workbook.base.errors import InputError
from dedl_workbook.case.audit.assets import Assets
from dedl_workbook.case.audit.records import Record
from dedl_workbook.publication import metadata
from dedl_workbook.publication.addresses import Allowed
from dedl_workbook.publication.job import Check, Job
from dedl_workbook.services.catalog import comparison, pgstac
from dedl_workbook.steps import catalog
from dedl_workbook.steps.verify.addresses import judged_addresses


def look(job: Job, known: Record | None, assets: Assets) -> Iterator[Check]:
    """Compare collection and items in the database with what the ticket published.

    Raises:
        ServiceError: the database refuses or fails.
    """
    import orjson

    id_ = job.ticket.collection
    with comparison.comparing(job.folder) as sides:
        with pgstac.connected(job) as connection:
            held = pgstac.held_collection(connection, id_)
            if held is None:
                yield Check("collection", False, "is missing")
                return
            assets.note("the collection", held.get("assets"), job.target.s3.bucket)
            rows = _noted(job, assets, pgstac.held_items(connection, id_))
            for done in sides.hold(rows):
                job.tell("reading the catalogue", done, 0, "items")
            if known is not None:
                items = ((i, orjson.loads(raw)) for i, _, raw in pgstac.held_items(connection, id_))
                yield judged_addresses(Allowed.of(known.job), held, items)
        count, digest = sides.side("held")
        goal = known.goal("catalog") if known else {}
        if not goal:
            yield Check("collection", True, str(held.get("title") or id_))
            yield Check("items", count > 0, f"{count} items")
            return
        same = comparison.digest(held) == goal["collection"]
        yield Check("collection", same, "as published" if same else "differs from the published")
        if known and known.delivered and digest != goal["items_digest"]:
            yield from _named(known.delivered, sides)
            return
        same = digest == goal["items_digest"]
        summary = f"{count} items"
        summary += ", as published" if same else f"; {goal['items']} were published"
        summary += "" if same or count != goal["items"] else ", and some are otherwise now"
        yield Check("items", same, summary)


def _noted(
    job: Job, assets: Assets, items: Iterator[tuple[str, str, bytes]]
) -> Iterator[tuple[str, str, bytes]]:
    import orjson

    for id_, first, raw in items:
        assets.note(id_, orjson.loads(raw).get("assets"), job.target.s3.bucket)
        yield id_, first, raw


def _named(delivered: Job, sides: comparison.Comparison) -> Iterator[Check]:
    """Name the items that drifted: the delivered dataset still says what each was."""
    for _ in sides.publish(metadata.items(delivered)):
        pass
    for check in catalog.item_checks("items", sides):
        yield Check(check.name.removeprefix("items: "), check.passed, check.found)


def served(job: Job) -> Iterator[Check]:
    """Compare what the STAC API serves with what the database holds.

    Raises:
        ServiceError: either refuses or fails.
    """
    import orjson

    id_ = job.ticket.collection
    with pgstac.connected(job) as connection:
        held = pgstac.held_collection(connection, id_)
        if held is None:
            return
        items = ((i, orjson.loads(raw)) for i, _, raw in pgstac.held_items(connection, id_))
        try:
            checks = catalog.served_checks(job, held, items)
        except InputError as error:
            yield Check("once", False, error.what)
            return
    for check in checks:
        yield Check(check.name.removeprefix("STAC API: "), check.passed, check.found)
