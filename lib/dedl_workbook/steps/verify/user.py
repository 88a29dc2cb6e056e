"""HDA as one user sees it, with a token or without."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dedl_workbook.base import http
from dedl_workbook.base.errors import ServiceError
from dedl_workbook.base.retry import again
from dedl_workbook.parameters.target import Hda
from dedl_workbook.services.hda import dialect as hda_dialect

if TYPE_CHECKING:
    import httpx

RESTART = 30.0
"""Seconds that HDA may be away: another ticket's change is let in by a restart."""
_AWAY = (502, 503)
_REMEDY = "Check that HDA is up and at this address, then run again."


class _AwayError(Exception):
    """HDA is being started."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(str(answer.status_code))
        self.answer = answer


@dataclass
class Asker:
    """HDA as one user sees it: the token goes to HDA's own addresses and nowhere else."""

    url: str
    client: httpx.Client
    outside: httpx.Client
    """Without a token, for where HDA sends us."""
    offers: str
    """What the path of each download starts with."""
    token: str | None = None

    def get(self, path: str, **query: Any) -> httpx.Response:
        """Ask for a path (or an address of HDA's) by GET."""
        return self._ask("GET", path, params=query or None)

    def post(self, path: str, body: Any) -> httpx.Response:
        """Ask for a path by POST, with a body of JSON."""
        return self._ask("POST", path, json=body)

    def _ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        import httpx

        url = path if "://" in path else self.url + path
        if not url.startswith(self.url + "/"):
            raise ServiceError("HDA's answer leads elsewhere", where=url.split("?")[0])
        try:
            return again(
                partial(self._answer, method, url, **arguments),
                lambda error: isinstance(error, (_AwayError, httpx.ConnectError)),
                RESTART,
                pauses=(0.3, 2),
            )
        except _AwayError as error:
            return error.answer
        except httpx.HTTPError as error:
            name = type(error).__name__
            raise ServiceError(f"HDA fails: {name}", where=self.url, remedy=_REMEDY) from None

    def _answer(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        answer = self.client.request(method, url, **arguments)
        if answer.status_code in _AWAY:
            raise _AwayError(answer)
        return answer

    def json(self, method: str, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        """Return the JSON object that HDA must answer with."""
        answer = self.post(path, body) if method == "POST" else self.get(path, **query)
        try:
            document = answer.json() if answer.status_code == 200 else None
        except ValueError:
            document = None
        if not isinstance(document, dict):
            problem = f"HDA answers {answer.status_code} to {method} {path.split('?')[0]}"
            raise ServiceError(problem, where=self.url, remedy=_REMEDY)
        return document

    def search(self, *, collections: list[str], limit: int, **query: Any) -> Search:
        """Search as pystac-client does."""
        return Search(self, {"collections": collections, "limit": limit} | query)


@dataclass
class Search:
    """A search of a user's, page by page."""

    hda: Asker
    body: dict[str, Any]

    def pages_as_dicts(self) -> Iterator[dict[str, Any]]:
        """Yield the pages, following the whole `next` body: its token alone finds nothing."""
        return http.pages(self.hda.json, "/search", "POST", self.body)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the HTTP client from logging URLs that grant access."""
    loggers = [logging.getLogger(name) for name in ("httpx", "httpcore")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def asking(hda: Hda, token: str | None) -> Iterator[Asker]:
    """Ask HDA with a token, or as anybody."""
    import httpx

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # No connection is kept: HDA closes them without a word after an error of its own.
    single = httpx.Limits(max_keepalive_connections=0)
    with (
        quiet(),
        http.client(headers=headers, limits=single) as client,
        http.client(limits=single) as outside,
    ):
        yield Asker(hda.url.rstrip("/"), client, outside, hda_dialect.of(hda).offers, token)
