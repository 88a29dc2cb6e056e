"""What HDA serves of a collection, compared with what was meant, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dedl_workbook.base import http, times
from dedl_workbook.base.json import canonical
from dedl_workbook.base.retry import until
from dedl_workbook.publication.job import Check

if TYPE_CHECKING:
    import httpx

CLOSED = (401, 403, 404)
REWRITTEN = ("links", "summaries", "stac_version", "type")
"""Fields of a collection that HDA makes itself: addresses, what its backends offer, its version."""


def reading() -> httpx.Client:
    """Return an HTTP client with time-outs."""
    return http.client(30, follow_redirects=True)


def get(client: httpx.Client, url: str) -> tuple[int, Any]:
    """Return status and JSON (or None) of an address; status 0 when there is no answer."""
    import httpx

    try:
        answer = client.get(url)
        return answer.status_code, answer.json()
    except httpx.HTTPError:
        return 0, None
    except ValueError:
        return answer.status_code, None


def collection_url(root: str, id_: str) -> str:
    """Return the address of a collection."""
    return f"{root.rstrip('/')}/collections/{quote(id_, safe='')}"


def await_back(client: httpx.Client, root: str, patience: float) -> bool:
    """Wait until HDA answers; return whether it did within `patience` seconds."""
    address = root.rstrip("/") + "/"
    return until(lambda: get(client, address)[0] == 200, patience)


def await_served(
    client: httpx.Client, root: str, document: Mapping[str, Any], patience: float
) -> None:
    """Wait until HDA serves a collection as it is meant, or `patience` seconds."""

    def as_meant() -> bool:
        status, served = get(client, collection_url(root, str(document["id"])))
        return status == 200 and all(check.passed for check in compared(served, document))

    until(as_meant, patience)


def compared(served: Any, document: Mapping[str, Any]) -> list[Check]:
    """Compare a served collection with the published one; HDA's own fields are left out."""
    if not isinstance(served, dict):
        return [Check("HDA: collection", False, "is no JSON object")]
    checks = []
    for field, meant in document.items():
        if field in REWRITTEN:
            continue
        value = served.get(field)
        same = canonical(_form(field, value)) == canonical(_form(field, meant))
        shown = "as published" if same else f"{_short(value)}, meant {_short(meant)}"
        checks.append(Check(f"HDA: {field}", same, shown))
    return checks


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 400 else f"{text[:397]}..."


def _form(field: str, value: Any) -> Any:
    """Return a field in one spelling: HDA sorts keywords, and spells times and numbers anew."""
    if field == "keywords" and isinstance(value, list):
        return sorted({str(word) for word in value})
    if field == "extent" and isinstance(value, dict):
        spatial, temporal = value.get("spatial") or {}, value.get("temporal") or {}
        boxes = [[float(number) for number in box] for box in spatial.get("bbox") or []]
        spans = [[_instant(end) for end in span] for span in temporal.get("interval") or []]
        return {"bbox": boxes, "interval": spans}
    return value


def _instant(text: Any) -> str | None:
    if not isinstance(text, str):
        return None
    try:
        return times.utc(text).isoformat()
    except ValueError:
        return text
