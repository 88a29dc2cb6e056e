"""Serves an application of the sandbox to those whom it is for; runs in that server's environment.

Others on this machine, and pages in a browser, reach every port of the loopback address. So a
request must name this machine as its host, and come from no page of another origin; and with
`--accounts`, its process must be one of our account's, of root's, or of an account in that file.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pwd
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")
_REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_LISTEN_STATE = "0A"


def problem(host: str, origin: str | None) -> str:
    """Return why a request is none of this machine's own, or the empty string.

    Args:
        host: its Host header.
        origin: its Origin header, which a browser sets for a page's requests.
    """
    if host.rpartition(":")[0] not in _NAMES and host not in _NAMES:
        return "the request is for another host"
    if origin not in (None, f"http://{host}"):
        return "the request is from a page of another origin"
    return ""


def owner(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Return the account (uid) at the other end of a loopback connection, or None: it is gone."""
    ends = (_hex(client), _hex(server))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1], fields[2]) == ends and fields[3] != _LISTEN_STATE:
            return int(fields[7])
    return None


def _hex(end: tuple[str, int]) -> str:
    number = int.from_bytes(bytes(map(int, end[0].split("."))), sys.byteorder)
    return f"{number:08X}:{end[1]:04X}"


def accounts(file: Path) -> Iterator[int]:
    """Yield the accounts that may connect: our own, root, and those whose names a file has."""
    yield from (os.geteuid(), 0)
    for name in file.read_text().split() if file.is_file() else ():
        try:
            yield pwd.getpwnam(name).pw_uid
        except KeyError:
            continue


class Gate:
    """An ASGI application that hands on what is this machine's own."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(
        self, scope: dict[str, Any], receive: Any, send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Hand a request on, or refuse it."""
        if scope["type"] == "http":
            headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
            if reason := problem(headers.get(b"host", ""), headers.get(b"origin")):
                start = {"type": "http.response.start", "status": 403}
                await send(start | {"headers": [(b"content-type", b"text/plain")]})
                await send({"type": "http.response.body", "body": reason.encode()})
                return
        await self.app(scope, receive, send)


def protocol(file: Path) -> Any:
    """Return uvicorn's HTTP protocol, which closes connections of accounts that may not connect."""
    base: Any = importlib.import_module("uvicorn.protocols.http.auto").AutoHTTPProtocol

    class OwnAccounts(base):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            ends = (transport.get_extra_info(name) for name in ("peername", "sockname"))
            if owner(*ends) in set(accounts(file)):
                super().connection_made(transport)
            else:
                transport.write(_REFUSAL)
                transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            if self.transport is not None:
                super().connection_lost(exc)

    return OwnAccounts


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="gate")
    parser.add_argument("app", help="module:attribute")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--factory", action="store_true", help="the attribute makes the app")
    parser.add_argument("--app-dir", help="where the module is")
    parser.add_argument("--accounts", type=Path, help="a file of accounts that may connect")
    options = parser.parse_args()
    if options.app_dir:
        sys.path.insert(0, options.app_dir)
    module, _, attribute = options.app.partition(":")
    app = getattr(importlib.import_module(module), attribute)
    uvicorn = importlib.import_module("uvicorn")
    uvicorn.run(
        Gate(app() if options.factory else app),
        host=HOST,
        port=options.port,
        http=protocol(options.accounts) if options.accounts else "auto",
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
