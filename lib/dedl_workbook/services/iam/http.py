"""HTTP to the IAM service: time-outs, and errors that say where without repeating a secret."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dedl_workbook.base.errors import ServiceError
from dedl_workbook.base.http import client as http_client
from dedl_workbook.base.http import explained

if TYPE_CHECKING:
    import httpx

REMEDY = "Check the address and that the IAM service is up, then run again."


@contextmanager
def calling(issuer: str, seconds: float) -> Iterator[httpx.Client]:
    """Open an HTTP client; its errors are raised as ours.

    Args:
        issuer: named in errors.
        seconds: after which a silent server counts as down.

    Raises:
        ServiceError: no connection, or no answer in time.
    """
    with explained("the IAM service", issuer, REMEDY), http_client(seconds) as client:
        yield client


def object_of(answer: httpx.Response, issuer: str) -> dict[str, Any]:
    """Return the JSON object of an answer that must be good.

    Raises:
        ServiceError: it isn't.
    """
    if answer.status_code != 200:
        what = f"the IAM service answers {answer.status_code} to {answer.request.url.path}"
        raise ServiceError(what, where=issuer, remedy=REMEDY)
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        what = f"the IAM service's answer to {answer.request.url.path} is no JSON object"
        raise ServiceError(what, where=issuer, remedy=REMEDY)
    return body


def endpoint(client: httpx.Client, issuer: str, name: str) -> str:
    """Return one of a realm's addresses, as OpenID Connect Discovery 1.0 publishes them.

    Raises:
        ServiceError: there is no such realm, or it calls itself something else.
    """
    answer = client.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    published = object_of(answer, issuer)
    if published.get("issuer") != issuer:
        raise ServiceError(
            f"the realm calls itself {str(published.get('issuer'))[:200]!r}",
            where=issuer,
            remedy="Write the target's issuer exactly so, or find out who answers there.",
        )
    return str(published.get(name))
