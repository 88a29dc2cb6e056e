"""Requests of every shape to the guard: nobody without its role gets a word of what is locked."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, unquote_plus

import httpx
import pytest
from dedl_workbook.services.hda import guard
from hypothesis import given, settings
from hypothesis import strategies as st

LOCKED, ALIAS, OPEN, SECRET = "EO.TEST.DAT.LOCKED", "locked-lake", "EO.TEST.DAT.OPEN", "s3cr3t"
ITEM = "LOCKED_000001"
HDA = "http://127.0.0.1:1"
BATCH = 100
"""Requests of one example."""

_QUERYABLES = re.compile(r"/(collections/[^/]+/)?queryables")
"""As HDA's own routes have them; they are open to all."""

Request = dict[str, Any]


# --- An HDA that is as obliging as can be


def _readings(text: str) -> Iterator[str]:
    """Yield how a server might read a text: as it is, and decoded again and again."""
    for decode in (unquote, unquote_plus):
        reading = text
        for _ in range(4):
            yield reading
            with_escapes = reading.replace("\\/", "/")
            with suppress(ValueError):
                yield json.loads(f'"{with_escapes}"')
            reading = decode(reading)


def _asks_for(text: str, name: str) -> bool:
    return any(name.lower() in reading.lower() for reading in _readings(text))


def _collection(id_: str) -> dict[str, Any]:
    title = SECRET if id_ == LOCKED else "open"
    return {
        "type": "Collection",
        "id": id_,
        "title": title,
        "links": [{"rel": "self", "href": id_}],
    }


def _feature(id_: str) -> dict[str, Any]:
    secret = id_ == LOCKED
    return {
        "type": "Feature",
        "id": ITEM if secret else "OPEN_000001",
        "collection": id_,
        "properties": {"title": SECRET if secret else "open"},
        "assets": {"data": {"href": f"{HDA}/data/backend/{id_}/{ITEM}/data"}},
        "links": [],
    }


@dataclass
class _Body(httpx.AsyncByteStream):
    data: bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.data


def _json(document: Any) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return httpx.Response(200, headers=headers, stream=_Body(json.dumps(document).encode()))


def _hda(request: httpx.Request) -> httpx.Response:
    """Answer with all that any reading of the request could mean."""
    if _QUERYABLES.fullmatch(unquote(request.url.raw_path.decode("latin-1").partition("?")[0])):
        return _json({"properties": {"id": {"type": "string"}}})
    asked = request.url.raw_path.decode("latin-1") + " " + request.content.decode()
    pairs = [" ".join(pair) for pair in parse_qsl(request.url.query.decode("latin-1"))]
    texts = [asked, *pairs, *guard.strings(json.loads(request.content or b"null"))]
    if any(_asks_for(text, name) for text in texts for name in (LOCKED, ALIAS)):
        if any(_asks_for(text, "/data/") for text in texts):
            return httpx.Response(
                302, headers={"location": f"https://store/{SECRET}"}, stream=_Body(b"")
            )
        if any(_asks_for(text, "items") for text in texts):
            return _json({"title": SECRET})
        return httpx.Response(
            200, headers={"content-type": "text/html"}, stream=_Body(SECRET.encode())
        )
    if any(_asks_for(text, ITEM) for text in texts):
        return _json(_feature(LOCKED))
    ids = (OPEN, LOCKED)
    if any(_asks_for(text, "collections") for text in texts):
        return _json({"collections": [_collection(id_) for id_ in ids]})
    answer = {"type": "FeatureCollection", "features": [_feature(id_) for id_ in ids]}
    return _json(answer | {"numberMatched": 2})


# --- What is asked


def _spelled(chance: Random) -> str:
    """Return a name in one of the ways in which a name can be written."""
    text = chance.choice([LOCKED, ALIAS, OPEN, ITEM, "LAKE", ""])
    text = chance.choice([text, text.lower(), text.swapcase()])
    for _ in range(chance.randrange(4)):
        text = chance.choice(_SPELLINGS)(text)
    return text


_SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda text: quote(text, safe=""),
    lambda text: "".join(f"%{ord(c):02x}" if ord(c) < 128 else c for c in text),
    lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    lambda text: text.replace(".", "%2E"),
    lambda text: text.replace("E", "%45").replace("l", "%6c"),
    lambda text: f"{text},{OPEN}",
    lambda text: f" {text}\t",
    lambda text: f"+{text}+",
    lambda text: f"collection='{text}'",
    lambda text: json.dumps({"collection": {"eq": text}}),
    lambda text: f"{text}/items/{ITEM}",
    lambda text: f"{text}%00",
    lambda text: f"../{text}",
)
_SEGMENTS = (
    *("collections", "items", "search", "data", "backend", "downloadLink", "queryables"),
    *("", ".", "..", ";a=b", "%2e%2e", "%2f", "%5c", "aggregate", "conformance"),
)
_KEYS = ("collections", "ids", "query", "filter", "token", "q", "%63ollections")
_METHODS = ("GET", "GET", "GET", "POST", "POST", "POST", "HEAD", "PUT", "OPTIONS", "get")
_CODECS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32-le", "latin-1")
_HEADERS = (
    (b"content-type", b"application/json"),
    (b"content-type", b"application/x-www-form-urlencoded"),
    (b"x-http-method-override", b"GET"),
    (b"x-forwarded-prefix", f"/collections/{LOCKED}".encode()),
    (b"accept", b"text/html"),
    (b"authorization", b"Bearer "),
    (b"authorization", b"Basic YTpi"),
    (b"authorization", b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."),
)


def _either(chance: Random, words: Sequence[str]) -> str:
    return chance.choice(words) if chance.random() < 0.6 else _spelled(chance)


def _value(chance: Random, depth: int = 3) -> Any:
    kind = chance.randrange(6 if depth else 2)
    if kind == 0:
        return chance.choice([None, True, 1, 2.5])
    if kind < 4:
        return _spelled(chance)
    inner = [_value(chance, depth - 1) for _ in range(chance.randrange(3))]
    return inner if kind == 4 else {_either(chance, _KEYS): value for value in inner}


def _body(chance: Random) -> bytes:
    text = json.dumps(_value(chance), ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.3:
        # A key twice, of which the servers may take either.
        text = f'{{"collections": ["{OPEN}"], "collections": {text}}}'
    return text.encode(chance.choice(_CODECS), errors="replace")


def _request(chance: Random) -> Request:
    segments = [_either(chance, _SEGMENTS) for _ in range(chance.randrange(6))]
    raw = "/" + "/".join(segments).replace("?", "%3F").replace("#", "%23")
    pairs = [f"{_either(chance, _KEYS)}={_spelled(chance)}" for _ in range(chance.randrange(3))]
    path = raw.encode("utf-8", errors="replace")
    return {
        "type": "http",
        "method": chance.choice(_METHODS),
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "query_string": chance.choice(["&", ";", "&&"]).join(pairs).encode(errors="replace"),
        # Of another host or page it would be refused before it is read.
        "headers": [(b"host", b"127.0.0.1"), *chance.sample(_HEADERS, chance.choice([0, 0, 1, 2]))],
        "body": _body(chance) if chance.random() < 0.7 else b"",
    }


@pytest.fixture
def answer(tmp_path: Path) -> Iterator[Callable[[Request], bytes]]:
    """Return what a stranger gets for a request: headers and body."""
    file = tmp_path / "collections.yml"
    file.write_text(f"{LOCKED}: {{scopes: [ROLE], alias: {ALIAS}}}\n{OPEN}: {{title: open}}\n")
    # Keys are never fetched: no token is good.
    tokens = guard.Tokens("http://127.0.0.1:1", "hda", _fetched=1e18)
    one = guard.Guard(HDA, "http://guard", (), guard.Locks(file, "scopes"), tokens)
    one.client = httpx.AsyncClient(transport=httpx.MockTransport(_hda))
    loop = asyncio.new_event_loop()

    def ask(request: Request) -> bytes:
        parts: list[bytes] = []

        async def receive() -> guard.Message:
            return {"type": "http.request", "body": request["body"], "more_body": False}

        async def send(message: guard.Message) -> None:
            parts.extend(b": ".join(pair) for pair in message.get("headers", ()))
            parts.append(message.get("body", b""))

        loop.run_until_complete(one(request, receive, send))
        return b"\n".join(parts)

    yield ask
    loop.run_until_complete(one.client.aclose())
    loop.close()


def _leak(answer: Callable[[Request], bytes], chance: Random, count: int) -> Request | None:
    """Return the first of so many requests whose answer tells a stranger what is locked."""
    requests = (_request(chance) for _ in range(count))
    return next((one for one in requests if SECRET.encode() in answer(one)), None)


def _fuzz(answer: Callable[[Request], bytes], count: int) -> None:
    @settings(max_examples=count // BATCH, deadline=None, database=None)
    @given(st.randoms(use_true_random=True))
    def nothing_leaks(chance: Random) -> None:
        assert _leak(answer, chance, BATCH) is None

    nothing_leaks()


def test_no_request_of_a_stranger_gets_what_is_locked(answer: Callable[[Request], bytes]) -> None:
    _fuzz(answer, 2_000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_request_of_100_000_gets_what_is_locked(answer: Callable[[Request], bytes]) -> None:
    _fuzz(answer, 100_000)


def _as_it_stands(text: str) -> Iterator[str]:
    yield text


def _unfiltered(document: Any, _: frozenset[str]) -> Any:
    return document


def _no_strings(_: Any) -> Iterator[str]:
    return iter(())


@pytest.mark.parametrize(
    ("fence", "hole"),
    [
        ("_spellings", _as_it_stands),
        ("filtered", _unfiltered),
        ("strings", _no_strings),
    ],
)
def test_a_hole_in_either_fence_is_found(
    answer: Callable[[Request], bytes],
    monkeypatch: pytest.MonkeyPatch,
    fence: str,
    hole: Callable[..., Any],
) -> None:
    monkeypatch.setattr(guard, fence, hole)

    assert _leak(answer, Random(1), 2_000)
