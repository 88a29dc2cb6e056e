"""A guard in front of HDA: who may not see a collection, doesn't.

Two fences. The first refuses a locked id, or alias, anywhere in path, query or body. The second
takes what is locked out of every JSON answer. An id is locked when its entry in HDA's collections
file names scopes and the caller's verified token holds none of them. Queryables stay open: eodag
asks for them without a token.

It runs as a program in HDA's environment, where the workbook isn't installed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus

import httpx
import yaml

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_WORD = re.compile(r"[A-Za-z0-9._-]+")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_QUERYABLES = re.compile(r"/(collections/[^/]+/)?queryables")
_ROUNDS = 6
_BODY_LIMIT = 2**20
_HANDED_ON = (b"accept", b"content-type")
_HANDED_BACK = ("content-type", "content-disposition", "location", "etag", "last-modified")


class RefusedError(Exception):
    """The request gets this status and these words, and nothing else."""

    def __init__(self, status: int, words: str) -> None:
        self.status, self.words = status, words
        super().__init__(words)


# --- What is locked


class Locks:
    """The ids and aliases of a collections file, with the scopes that open them."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self._stamp: tuple[int, ...] = ()
        self._scopes: dict[str, frozenset[str]] = {}

    def locked(self, roles: frozenset[str]) -> frozenset[str]:
        """Return what is locked for somebody with these roles, in lower case."""
        self._read()
        return frozenset(id_ for id_, scopes in self._scopes.items() if not scopes & roles)

    def _read(self) -> None:
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            entries = yaml.load(self.path.read_bytes(), _loader()) or {}  # noqa: S506 (safe)
            scopes = dict(self._entries(entries))
        except (OSError, yaml.YAMLError, ValueError) as error:
            raise RefusedError(503, "the guard can't read which collections are locked") from error
        # HDA goes on serving what it read at its start: what has vanished stays locked.
        named = {str(name).lower() for name in entries}
        gone = {id_: of for id_, of in self._scopes.items() if id_ not in named | scopes.keys()}
        self._scopes, self._stamp = gone | scopes, stamp

    def _entries(self, entries: Any) -> Iterator[tuple[str, frozenset[str]]]:
        if not isinstance(entries, dict):
            raise ValueError("no mapping")  # noqa: TRY004 (a value of a file)
        for id_, entry in entries.items():
            wanted = entry.get(self.key) if isinstance(entry, dict) else None
            if wanted in (None, []):
                continue
            scopes = wanted if isinstance(wanted, list) else re.split(r"[,\s]+", str(wanted))
            for name in (id_, entry.get("alias")):
                if name:
                    yield str(name).lower(), frozenset(map(str, scopes))


def _loader() -> Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _spellings(text: str) -> Iterator[str]:
    """Yield a text as it stands, and as it reads with percent signs and \\u taken away."""
    for _ in range(_ROUNDS):
        yield text
        decoded = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), unquote_plus(text))
        if decoded == text:
            return
        yield unquote(text)
        text = decoded
    raise RefusedError(400, "too many layers of encoding")


def names(text: str, locked: frozenset[str]) -> bool:
    """Return whether a text names something that is locked, as a word of its own."""
    return any(
        word.lower() in locked for spelling in _spellings(text) for word in _WORD.findall(spelling)
    )


def strings(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


# --- The second fence


def filtered(answer: Any, locked: frozenset[str]) -> Any:
    """Return a JSON answer without what is locked; None where it is locked itself."""
    if isinstance(answer, list):
        pairs = [(one, filtered(one, locked)) for one in answer]
        # A null of HDA's own stays: the open end of an interval is one.
        return [rest for one, rest in pairs if rest is not None or one is None]
    if not isinstance(answer, dict):
        return None if isinstance(answer, str) and answer.lower() in locked else answer
    if _is_locked(answer, locked):
        return None
    rest = {key: filtered(value, locked) for key, value in answer.items()}
    for key in ("features", "collections"):
        if isinstance(answer.get(key), list) and len(rest[key]) != len(answer[key]):
            rest["numberReturned"] = len(rest[key])
            # It would tell how many there are.
            rest.pop("numberMatched", None)
            rest.pop("context", None)
    return {key: value for key, value in rest.items() if value is not None or answer[key] is None}


def _is_locked(document: dict[str, Any], locked: frozenset[str]) -> bool:
    kind = document.get("type")
    if kind == "Collection" and str(document.get("id")).lower() in locked:
        return True
    if str(document.get("collection", "")).lower() in locked:
        return True
    if "href" in document and names(str(document["href"]), locked):
        return True
    if kind == "Feature":
        of = [link for link in document.get("links") or [] if link.get("rel") in _WHERE_FROM]
        assets = document.get("assets") or {}
        return any(names(str(one.get("href")), locked) for one in (*of, *assets.values()))
    return False


_WHERE_FROM = ("self", "collection", "parent")


def readdressed(value: Any, hidden: tuple[str, ...], public: str) -> Any:
    """Return a JSON value in which no string starts with a hidden address."""
    if isinstance(value, str):
        for address in hidden:
            if value.startswith(address):
                return public + value[len(address) :]
        return value
    if isinstance(value, dict):
        return {key: readdressed(inner, hidden, public) for key, inner in value.items()}
    if isinstance(value, list):
        return [readdressed(inner, hidden, public) for inner in value]
    return value


# --- Tokens


@dataclass
class Tokens:
    """Verifies access tokens with the keys that the issuer publishes."""

    issuer: str
    audience: str
    _keys: dict[str, Any] = field(default_factory=dict)
    _fetched: float = -1e9

    async def roles(self, authorization: str | None) -> frozenset[str]:
        """Return the roles of a caller: none without a token.

        Raises:
            RefusedError: 401 for a token that isn't good, 503 if it can't be verified.
        """
        if authorization is None:
            return frozenset()
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise RefusedError(401, "only bearer tokens are taken")
        claims = await self._claims(token.strip())
        access = claims.get("realm_access")
        roles = access.get("roles") if isinstance(access, dict) else None
        return frozenset(map(str, roles)) if isinstance(roles, list) else frozenset()

    async def _claims(self, token: str) -> dict[str, Any]:
        jwt = importlib.import_module("jwt")
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != "RS256":
                raise RefusedError(401, "the token isn't signed with RS256")
            claims: dict[str, Any] = jwt.decode(
                token,
                await self._key(str(header.get("kid"))),
                algorithms=["RS256"],
                issuer=self.issuer,
                audience=self.audience,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            # The name says what is wrong; the message may hold parts of the token.
            raise RefusedError(401, f"the token isn't good: {type(error).__name__}") from None
        return claims

    async def _key(self, kid: str) -> Any:
        if kid not in self._keys and time.monotonic() - self._fetched > 1:
            await self._fetch()
        if kid not in self._keys:
            raise RefusedError(401, "the token is signed with a key that the issuer doesn't have")
        return self._keys[kid]

    async def _fetch(self) -> None:
        url = f"{self.issuer}/protocol/openid-connect/certs"
        jwt = importlib.import_module("jwt")
        try:
            async with httpx.AsyncClient(timeout=5) as client:
                answer = (await client.get(url)).raise_for_status()
            published = jwt.PyJWKSet.from_dict(answer.json())
        except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
            raise RefusedError(503, "the issuer of tokens doesn't answer") from error
        self._keys = {str(key.key_id): key.key for key in published.keys}
        self._fetched = time.monotonic()


# --- The server


class Guard:
    """An ASGI application that hands on to HDA what may pass."""

    def __init__(
        self, hda: str, public: str, hidden: tuple[str, ...], locks: Locks, tokens: Tokens
    ) -> None:
        self.hda, self.public, self.locks, self.tokens = hda, public, locks, tokens
        self.hidden = (hda, *hidden)
        timeout = httpx.Timeout(60, connect=5)
        # A connection each: HDA closes them without a word after an error of its own.
        limits = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            await self._answer(scope, receive, send)
        except RefusedError as error:
            await _send_error(send, error.status, error.words)
        except httpx.HTTPError as error:
            await _send_error(send, 502, f"HDA doesn't answer: {type(error).__name__}")

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {key.lower(): value for key, value in scope["headers"]}
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", f"http://{host}".encode()).decode("latin-1")
        # It stands on the loopback address, which any page in a browser of this machine reaches.
        if host.partition(":")[0] not in ("127.0.0.1", "localhost") or origin != f"http://{host}":
            raise RefusedError(403, "the request is for another host, or from a foreign page")
        if scope["method"] not in ("GET", "POST", "OPTIONS"):
            raise RefusedError(405, "only GET, POST and OPTIONS are answered")
        given = headers.get(b"authorization")
        roles = await self.tokens.roles(given.decode("latin-1") if given is not None else None)
        locked = self.locks.locked(roles)
        body = await _body(receive) if scope["method"] == "POST" else None
        path, query = scope["path"], scope["query_string"].decode("latin-1")
        is_open = scope["method"] == "GET" and _QUERYABLES.fullmatch(path) is not None
        if not is_open:
            asked = [path, scope.get("raw_path", b"").decode("latin-1"), query, *strings(body)]
            if any(names(text, locked) for text in asked):
                self._refuse(roles, given)
        request = self._request(scope, headers, query, body)
        answer = await self.client.send(request, stream=True)
        try:
            if "json" in answer.headers.get("content-type", ""):
                await self._send_json(answer, send, frozenset() if is_open else locked)
            else:
                await _pass_on(answer, send)
        finally:
            await answer.aclose()

    @staticmethod
    def _refuse(roles: frozenset[str], given: bytes | None) -> None:
        if given is None:
            raise RefusedError(401, "this collection needs a token")
        raise RefusedError(403, "this collection needs a role that the token doesn't hold")

    def _request(
        self, scope: Message, headers: dict[bytes, bytes], query: str, body: Any
    ) -> httpx.Request:
        forwarded = {
            key.decode(): headers[key].decode("latin-1") for key in _HANDED_ON if key in headers
        }
        forwarded |= {"host": self.public.split("://", 1)[1], "accept-encoding": "identity"}
        raw = scope.get("raw_path") or scope["path"].encode()
        try:
            url = httpx.URL(self.hda).copy_with(
                raw_path=raw + (b"?" + query.encode() if query else b"")
            )
        except httpx.InvalidURL:
            raise RefusedError(400, "the path or the query is no part of a URL") from None
        # What was looked at is what HDA gets: no other reading of the same bytes.
        content = None if body is None else json.dumps(body).encode()
        return self.client.build_request(scope["method"], url, headers=forwarded, content=content)

    async def _send_json(self, answer: httpx.Response, send: Send, locked: frozenset[str]) -> None:
        try:
            document = json.loads(await answer.aread())
        except ValueError:
            raise RefusedError(502, "HDA's answer is no JSON") from None
        allowed = filtered(document, locked) if locked else document
        if allowed is None:
            raise RefusedError(404, "there is no such thing")
        shown = readdressed(allowed, self.hidden, self.public)
        kind = answer.headers["content-type"]
        await _send(send, answer.status_code, json.dumps(shown).encode(), kind)


async def _body(receive: Receive) -> Any:
    raw, more = b"", True
    while more:
        message = await receive()
        raw += message.get("body", b"")
        more = message.get("more_body", False)
        if len(raw) > _BODY_LIMIT:
            raise RefusedError(413, "the body is too long")
    try:
        return json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body is no JSON") from None


async def _pass_on(answer: httpx.Response, send: Send) -> None:
    headers = [
        (key.encode(), answer.headers[key].encode("latin-1"))
        for key in _HANDED_BACK
        if key in answer.headers
    ]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    blocks: AsyncIterator[bytes] = answer.aiter_raw()
    async for block in blocks:
        await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_error(send: Send, status: int, words: str) -> None:
    body = json.dumps({"code": str(status), "description": words}).encode()
    await _send(send, status, body, "application/json")


async def _send(send: Send, status: int, body: bytes, kind: str) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="guard")
    parser.add_argument("--port", type=int, required=True)
    for name in ("hda", "hide", "issuer", "audience", "scopes-key"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--collections", type=Path, required=True)
    options = parser.parse_args()
    locks = Locks(options.collections, options.scopes_key)
    tokens = Tokens(options.issuer, options.audience)
    guard = Guard(options.hda, f"http://127.0.0.1:{options.port}", (options.hide,), locks, tokens)
    uvicorn = importlib.import_module("uvicorn")
    # No access log: a query can hold what is nobody's business.
    uvicorn.run(
        guard,
        host="127.0.0.1",
        port=options.port,
        lifespan="off",
        access_log=False,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
