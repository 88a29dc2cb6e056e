"""The STAC API that serves the catalogue, read over plain HTTP as any client would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from dedl_workbook.base.errors import ServiceError
from dedl_workbook.services.catalog import comparison

if TYPE_CHECKING:
    import httpx

PAGE = 500
"""Items a page."""
MADE = frozenset({"self", "item", "parent", "collection", "root", "items", "child"})
"""Links that the API makes itself, leaving out the document's."""
_REMEDY = "Check that it is up and at the address that the target says, then run again."


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
    import httpx

    try:
        with httpx.Client(
            timeout=httpx.Timeout(patience, connect=min(patience, 10)),
            follow_redirects=True,
            trust_env=True,
        ) as client:
            yield client
    except httpx.HTTPStatusError as error:
        raise ServiceError(
            f"{what} answered {error.response.status_code}", where=url, remedy=_REMEDY
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise ServiceError(
            f"{what} gives no answer: {reason}", where=url, remedy=_REMEDY
        ) from error


def _json(client: httpx.Client, url: str) -> dict[str, Any]:
    answer = client.get(url)
    answer.raise_for_status()
    try:
        body = answer.json()
    except ValueError:
        raise ServiceError("the answer is no JSON", where=url, remedy=_REMEDY) from None
    if not isinstance(body, dict):
        raise ServiceError("the answer is no JSON object", where=url, remedy=_REMEDY)
    return body


def landing_page(client: httpx.Client, url: str, what: str = "the STAC API") -> dict[str, Any]:
    """Return the landing page, which says by `stac_version` that it is one.

    Raises:
        ServiceError: something else answers there.
    """
    page = _json(client, url)
    if not page.get("stac_version"):
        raise ServiceError(
            f"what answers is not {what}: it names no stac_version", where=url, remedy=_REMEDY
        )
    return page


def collection(client: httpx.Client, root: str, id_: str) -> dict[str, Any] | None:
    """Return a collection as it is served, or None where there is none (404)."""
    import httpx

    try:
        return _json(client, f"{root.rstrip('/')}/collections/{quote(id_, safe='')}")
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
    url: str | None = f"{root.rstrip('/')}/collections/{quote(id_, safe='')}/items?limit={size}"
    seen: set[str] = set()
    while url is not None:
        if url in seen:
            raise ServiceError("paging leads to a page that was there already", where=url)
        seen.add(url)
        body = _json(client, url)
        yield body.get("features") or [], body.get("numberMatched")
        links = [link for link in body.get("links", []) if link.get("rel") == "next"]
        url = urljoin(url, links[0]["href"]) if links else None


def found(client: httpx.Client, root: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the pages of a search as they are served, following the whole `next` link.

    Raises:
        ServiceError: an answer is no JSON object, or paging goes in circles.
    """
    import orjson

    method, url, seen = "POST", f"{root.rstrip('/')}/search", set[bytes]()
    # Packing the answers is most of the server's work, and all of it in vain where it is near.
    headers = {"Accept-Encoding": "identity"}
    while True:
        if (asked := orjson.dumps([url, body], option=orjson.OPT_SORT_KEYS)) in seen:
            raise ServiceError("paging leads to a page that was there already", where=url)
        seen.add(asked)
        told = body if method == "POST" else None
        answer = client.request(method, url, json=told, headers=headers)
        answer.raise_for_status()
        try:
            page = orjson.loads(answer.content)
            links = [link for link in page.get("links", []) if link.get("rel") == "next"]
        except (ValueError, AttributeError):
            raise ServiceError("the answer is no JSON object", where=url, remedy=_REMEDY) from None
        yield page
        if not links or not page.get("features"):
            return
        method, url = links[0].get("method", "GET"), urljoin(url, links[0]["href"])
        body = {**(body if links[0].get("merge") else {}), **(links[0].get("body") or {})}


def shown(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document less what the STAC API leaves out or makes itself: nulls, and links."""
    import orjson

    kept = {key: value for key, value in document.items() if key != "links"}
    whole: dict[str, Any] = _without_nulls(kept) if b":null" in orjson.dumps(kept) else kept
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
