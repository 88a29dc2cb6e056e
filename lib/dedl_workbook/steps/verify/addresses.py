"""Where the documents in the catalogue lead: all of them, for HDA serves what their assets name."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

from dedl_workbook.publication.addresses import Allowed
from dedl_workbook.publication.job import Check, Job
from dedl_workbook.services.catalog import pgstac

EXAMPLES = 3


def address_check(job: Job) -> Check:
    """Look at every address of the collection and its items, as the database holds them.

    Raises:
        ServiceError: the database refuses or fails.
    """
    import orjson

    with pgstac.connected(job) as connection:
        held = pgstac.held_collection(connection, job.ticket.collection)
        items = pgstac.held_items(connection, job.ticket.collection)
        documents = ((id_, orjson.loads(raw)) for id_, _, raw in items)
        return judged_addresses(Allowed.of(job), held, documents)


def judged_addresses(
    allowed: Allowed, collection: Any, items: Iterable[tuple[str, dict[str, Any]]]
) -> Check:
    """Return the check that no document leads to what its ticket did not publish."""
    documents = chain([("the collection", collection)] if collection else [], items)
    count = wrong = 0
    examples: list[str] = []
    for name, document in documents:
        count += 1
        for problem in allowed.problems(document):
            wrong += 1
            if len(examples) < EXAMPLES:
                examples.append(f"{name} {problem}")
    summary = f"{count} documents lead to what was published with them, and to web pages"
    if wrong:
        summary = f"{wrong} addresses of {count} documents: {'; '.join(examples)}"
    return Check("database: every address", not wrong, summary)
