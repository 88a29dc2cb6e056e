"""HTTP: clients with time-outs, errors that say who gave no answer, and lists in pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from dedl_workbook.base import trust
from dedl_workbook.base.errors import ServiceError

if TYPE_CHECKING:
    import httpx

CONNECT = 10.0
"""Seconds that a connection may take to come about."""
REMEDY = "Check that it is up and at the address that the target says, then run again."


def client(seconds: float = 60, **options: Any) -> httpx.Client:
    """Return an HTTP client that gives up on a server that is silent for so many seconds.

    Args:
        seconds: that a server may be silent; at most `CONNECT` of them before there is a
            connection.
        options: others of httpx.Client.
    """
    import httpx

    return httpx.Client(timeout=httpx.Timeout(seconds, connect=min(seconds, CONNECT)), **options)


@contextmanager
def explained(what: str, where: str, remedy: str = REMEDY) -> Iterator[None]:
    """Turn the errors of HTTP clients into ours.

    Their cause stays out: it holds the request, and so a password or a token.

    Args:
        what: who was asked.
        where: the address.
        remedy: what helps.

    Raises:
        ServiceError: no connection, no answer in time, or an HTTP error.
    """
    import httpx

    try:
        yield
    except httpx.HTTPStatusError as error:
        answered = f"{what} answers {error.response.status_code}"
        raise ServiceError(answered, where=where, remedy=remedy) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        if refusal := trust.problem(error):
            untrusted = f"{what} shows a certificate that isn't trusted: {refusal}"
            raise ServiceError(untrusted, where=where, remedy=trust.remedy(refusal)) from None
        silent = f"{what} gives no answer: {reason(error)}"
        raise ServiceError(silent, where=where, remedy=remedy) from None


def reason(error: Exception) -> str:
    """Return in one line why a request failed: how long the server was silent, or the error."""
    import httpx

    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.PoolTimeout):
        limits = error.request.extensions.get("timeout", {})
        kind = "connect" if isinstance(error, httpx.ConnectTimeout) else "read"
        if limits.get(kind):
            return f"it took longer than {limits[kind]:g} s"
    return (str(error) or type(error).__name__).splitlines()[0][:200]


Ask = Callable[[str, str, Any], dict[str, Any]]
"""Returns the JSON object that an address answers, given method, address and body (or None)."""


def pages(ask: Ask, url: str, method: str = "GET", body: Any = None) -> Iterator[dict[str, Any]]:
    """Yield the pages of a list as a STAC API gives it, following the whole `next` link.

    A page without items is the last: some servers give it a `next` link all the same.

    Raises:
        ServiceError: paging goes in circles.
    """
    asked: set[str] = set()
    while True:
        request = json.dumps([url, body], sort_keys=True)
        if request in asked:
            raise ServiceError("paging leads to a page that was there already", where=url)
        asked.add(request)
        page = ask(method, url, body if method == "POST" else None)
        yield page
        links = [link for link in page.get("links") or () if link.get("rel") == "next"]
        if not links or not page.get("features", True):
            return
        link = links[0]
        method, url = link.get("method", "GET"), urljoin(url, link["href"])
        body = {**((body or {}) if link.get("merge") else {}), **(link.get("body") or {})} or None
