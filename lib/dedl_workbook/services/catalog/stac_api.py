"""The STAC API that serves the catalogue, read over plain HTTP as any client would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from dedl_workbook.base import http
from dedl_workbook.base.errors import ServiceError
from dedl_workbook.services.catalog import comparison

if TYPE_CHECKING:
    import httpx

PAGE = 500
"""Items a page."""
MADE = frozenset({"self", "item", "parent", "collection", "root", "items", "child"})
"""Links that the API makes itself, leaving out the document's."""


@contextmanager
def reading(
    url: str, *, patience: float = 60, what: str = "the STAC API"
) -> Iterator[httpx.Client]:
    """Open an HTTP client with time-outs; its errors are raised as ours.

    Args:
        url: named in errors.
        patience: seconds that the server may be silent.
        what: whose address that is.

    Raises:
        ServiceError: no connection, a time-out, or an HTTP error.
    """
    with http.explained(what, url), http.client(patience, follow_redirects=True) as client:
        yield client


def _object(
    client: httpx.Client, url: str, method: str = "GET", body: Any = None
) -> dict[str, Any]:
    """Return the JSON object that an address must answer with."""
    import orjson

    # Packing the answers is most of the server's work, and all of it in vain where it is near.
    answer = client.request(method, url, json=body, headers={"Accept-Encoding": "identity"})
    answer.raise_for_status()
    try:
        document = orjson.loads(answer.content)
    except ValueError:
        raise ServiceError("the answer is no JSON", where=url, remedy=http.REMEDY) from None
    if not isinstance(document, dict):
        raise ServiceError("the answer is no JSON object", where=url, remedy=http.REMEDY)
    return document


def landing_page(client: httpx.Client, url: str, what: str = "the STAC API") -> dict[str, Any]:
    """Return the landing page, which says by `stac_version` that it is one.

    Raises:
        ServiceError: something else answers there.
    """
    page = _object(client, url)
    if not page.get("stac_version"):
        raise ServiceError(
            f"what answers is not {what}: it names no stac_version", where=url, remedy=http.REMEDY
        )
    return page


def collection(client: httpx.Client, root: str, id_: str) -> dict[str, Any] | None:
    """Return a collection as it is served, or None where there is none (404)."""
    import httpx

    try:
        return _object(client, f"{root.rstrip('/')}/collections/{quote(id_, safe='')}")
    except httpx.HTTPStatusError as error:
        if error.response.status_code == 404:
            return None
        raise


def pages(
    client: httpx.Client, root: str, id_: str, size: int = PAGE
) -> Iterator[tuple[list[dict[str, Any]], int | None]]:
    """Yield the items of a collection as they are served, page by page, with numberMatched.

    Raises:
        ServiceError: paging goes in circles.
    """
    url = f"{root.rstrip('/')}/collections/{quote(id_, safe='')}/items?limit={size}"
    for page in http.pages(_asking(client), url):
        yield page.get("features") or [], page.get("numberMatched")


def search(client: httpx.Client, root: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the pages of a search as they are served.

    Raises:
        ServiceError: an answer is no JSON object, or paging goes in circles.
    """
    return http.pages(_asking(client), f"{root.rstrip('/')}/search", "POST", body)


def _asking(client: httpx.Client) -> http.Ask:
    return lambda method, url, body: _object(client, url, method, body)


def shown(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document less what the STAC API leaves out or makes itself: nulls, and links."""
    import orjson

    rest = {key: value for key, value in document.items() if key != "links"}
    whole: dict[str, Any] = _without_nulls(rest) if b":null" in orjson.dumps(rest) else rest
    return whole


def differing(served: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """Return the fields in which a served collection isn't the published one.

    Nulls may be missing, and links of the API's own be there instead of the collection's (`MADE`);
    relative links may have become absolute.
    """
    there, meant = shown(served), shown(published)
    fields = [
        name
        for name in sorted({*there, *meant})
        if comparison.form(there.get(name)) != comparison.form(meant.get(name))
    ]
    return fields + (["links"] if _links(published) - _links(served) else [])


def _links(document: dict[str, Any]) -> set[tuple[str, str]]:
    """Return relation and address of the links that must be served as they are published."""
    links = [(str(link.get("rel")), str(link.get("href"))) for link in document.get("links") or []]
    return {
        (rel, urlsplit(href).geturl()) for rel, href in links if "://" in href and rel not in MADE
    }


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value
