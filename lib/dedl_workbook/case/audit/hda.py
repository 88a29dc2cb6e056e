"""Audit of HDA: its configuration, what it serves, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dedl_workbook.case.audit.records import Record
from dedl_workbook.parameters.target import Hda
from dedl_workbook.publication.job import Check, Job
from dedl_workbook.services.catalog import pgstac
from dedl_workbook.services.hda import dialect, store
from dedl_workbook.services.hda import served as hda_served
from dedl_workbook.services.hda.files import Files
from dedl_workbook.steps import hda


def look(job: Job, known: Record | None) -> Iterator[Check]:
    """Compare HDA's configuration with what the ticket wrote, and what HDA serves with both.

    Raises:
        InputError: the configuration can't be read.
    """
    part, id_ = job.target.hda, job.ticket.collection
    if part is None:
        yield Check("configuration", True, "the target has no HDA")
        return
    files = store.read(job, part)
    state = hda.state_in(part, id_, files)
    goal = known.goal("hda") if known else {}
    for key in ("entry", "product", *(("document",) if goal or files.document else ())):
        if not goal or state[key] is None:
            summary = "missing" if state[key] is None else "there"
            yield Check(f"configuration: {key}", state[key] is not None, summary)
        else:
            same = state[key] == goal[key]
            yield Check(f"configuration: {key}", same, "as written" if same else "otherwise now")
    if left := [path.name for path in store.superseded(job, part, files)]:
        yield Check("configuration: other documents", False, f"no entry names {', '.join(left)}")
    yield from _served(job, part, files)


def _served(job: Job, part: Hda, files: Files) -> Iterator[Check]:
    """Compare what HDA serves with its own document, or with the catalogue's collection."""
    id_ = job.ticket.collection
    open_ = not _scopes(part, files, id_)
    if part.internal_url is None and not open_:
        yield Check("served", True, "not to be seen without a token, so not compared")
        return
    root = (part.url if open_ else part.internal_url) or part.url
    with hda_served.reading() as client:
        status, served = hda_served.get(client, hda_served.collection_url(root, id_))
        yield Check("served", status == 200, f"answers {status}")
        if status != 200:
            return
        address = f"{root.rstrip('/')}/search?collections={id_}&limit=1"
        _, page = hda_served.get(client, address)
    with pgstac.connected(job) as connection:
        held = pgstac.held_collection(connection, id_)
        items = pgstac.count_items(connection, id_)
    if held is not None and files.document is not None:
        wrong = [c.name for c in hda_served.compared(served, held) if not c.passed]
        summary = f"otherwise: {', '.join(wrong)}" if wrong else "as the catalogue has it"
        yield Check("served collection", not wrong, summary)
    count = page.get("numberMatched") if isinstance(page, dict) else None
    if count is not None:
        yield Check("served items", count == items, f"{count} of the catalogue's {items}")


def _scopes(part: Hda, files: Files, id_: str) -> list[str]:
    entry: Any = files.collections.values.get(id_)
    return dialect.roles(entry.get(part.scopes_key)) if isinstance(entry, dict) else []


def scopes(job: Job, known: Record | None) -> Iterator[Check]:
    """Compare who may see the collection with what was agreed, and with who can.

    Raises:
        InputError: the configuration can't be read.
    """
    part, id_ = job.target.hda, job.ticket.collection
    if part is None:
        return
    listed = _scopes(part, store.read(job, part), id_)
    summary = ", ".join(listed) or "none: it is for everybody"
    if known is not None:
        agreed = sorted(known.ticket.roles)
        wanted = "" if sorted(listed) == agreed else f"; agreed: {', '.join(agreed) or 'none'}"
        yield Check("roles in the entry", not wanted, summary + wanted)
    else:
        yield Check("roles in the entry", True, summary)
    with hda_served.reading() as client:
        status, _ = hda_served.get(client, hda_served.collection_url(part.url, id_))
    closed = status in hda_served.CLOSED
    meant = "closed" if listed else "open"
    yield Check("without a token", closed == bool(listed), f"answers {status}; meant {meant}")
