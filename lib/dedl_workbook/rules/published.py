"""What a target serves already under a collection's id."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dedl_workbook.base import http
from dedl_workbook.parameters.target import Target
from dedl_workbook.rules.rule import Published

if TYPE_CHECKING:
    import httpx

TIMEOUT = 20.0
"""Seconds."""


def look_up(target: Target, collection_id: str, client: httpx.Client | None = None) -> Published:
    """Ask the target's STAC API whether it serves a collection, and which ticket published it.

    The ticket is seen from the addresses of the data: `s3://<bucket>/<collection>/<ticket>/...`.
    """
    import httpx

    url = f"{target.stac_api.url.rstrip('/')}/collections/{quote(collection_id, safe='')}"
    try:
        with client or http.client(TIMEOUT, follow_redirects=True) as session:
            answer = session.get(url)
            if answer.status_code == httpx.codes.NOT_FOUND:
                return Published(there=False)
            answer.raise_for_status()
            documents: list[Any] = [answer.json()]
            some = session.get(f"{url}/items", params={"limit": 1}).raise_for_status().json()
            documents += some.get("features") or []
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Published(there=False, problem=http.reason(error))
    except (ValueError, AttributeError):
        return Published(there=False, problem="its answer is no JSON object")
    return Published(there=True, by=_ticket(documents, collection_id))


def _ticket(documents: list[Any], collection_id: str) -> str:
    key = re.compile(rf"s3://[^/]+/{re.escape(collection_id)}/([^/]+)/data/")
    for document in documents:
        assets = document.get("assets") if isinstance(document, dict) else None
        for asset in assets.values() if isinstance(assets, dict) else ():
            href = asset.get("href") if isinstance(asset, dict) else None
            if isinstance(href, str) and (match := key.match(href)):
                return match[1]
    return ""
