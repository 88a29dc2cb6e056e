"""Where the documents in the catalogue lead: all of them, for HDA serves what their assets name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from dedl_workbook.base.json import pointer
from dedl_workbook.publication.addresses import Allowed, addresses
from dedl_workbook.publication.job import Check, Job
from dedl_workbook.services.catalog import pgstac, stac_api
from dedl_workbook.steps.verify.user import Asker

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


def shown_check(job: Job, user: Asker, items: Iterable[Mapping[str, Any]]) -> Check:
    """Compare the addresses that HDA shows of some items with those that the STAC API shows.

    HDA offers each asset by an address of its own; what else it names, the STAC API names too, and
    none of that leads to what the ticket did not publish.

    Args:
        job: whose items they are.
        user: of HDA.
        items: as HDA shows them whole.
    """
    allowed, root = Allowed.of(job), job.target.stac_api.url
    shown = {str(item["id"]): item for item in items}
    body = {"collections": [job.ticket.collection], "ids": list(shown), "limit": len(shown) or 1}
    with stac_api.reading(root) as client:
        pages = stac_api.search(client, root, body)
        published = {str(item["id"]): item for page in pages for item in page["features"]}
    wrong = []
    for id_, item in shown.items():
        known = _without_made(published.get(id_, {}))
        wrong += [
            f"{id_} {problem}, as the STAC API shows it" for problem in allowed.problems(known)
        ]
        hrefs = {one.href for one in addresses(known)}
        own = (f"{user.url}{user.offers}", f"{user.url}/")
        wrong += [
            f"{id_} {pointer(*one.parts)}: {one.href[:200]!r} is none of its addresses"
            for one in addresses(_without_made(item))
            if not one.href.startswith(own[not one.served]) and one.href not in hrefs
        ]
    summary = f"{len(shown)} items lead to HDA, and where the STAC API says"
    return Check("HDA: addresses shown", not wrong, few(wrong, EXAMPLES) or summary)


def _without_made(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document less the links that the servers make themselves."""
    links = [one for one in document.get("links") or [] if one.get("rel") not in stac_api.MADE]
    return {**document, "links": links}


def few(problems: list[str], count: int = 3) -> str:
    """Return the first problems, and how many more there are; '' for none."""
    more = len(problems) - count
    return "; ".join([*problems[:count], *([f"and {more} more"] if more > 0 else [])])


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
