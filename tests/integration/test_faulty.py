"""The proxy that misbehaves does so on the wire: what a client sees there, byte by byte."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.faulty import LOST, RESET, STALL, TRUNCATED, Fate, faulty

BODY = b"x" * 1000


@contextmanager
def _server(seen: list[Any]) -> Iterator[str]:
    """A store that answers each request with `BODY`, and notes how connections to it end."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    seen.append(_received(connection))
                    with suppress(OSError):
                        length = f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n"
                        connection.sendall(length.encode() + BODY)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def _received(connection: socket.socket) -> int:
    """Read a request in full; return the bytes of its body, or the error that ended it."""
    data = b""
    try:
        while True:
            head, found, body = data.partition(b"\r\n\r\n")
            if found and len(body) >= (len(BODY) if head.startswith(b"PUT") else 0):
                return len(body)
            if not (more := connection.recv(2**16)):
                return len(body)
            data += more
    except OSError as error:
        return -(error.errno or 0)


def _asked(url: str, method: str) -> tuple[bytes, int]:
    """Ask as a client does; return what came, and the error that ended it (0: the server's end)."""
    place, came = urlsplit(url), b""
    body = BODY if method == "PUT" else b""
    head = f"{method} /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=0.5) as client:
        client.sendall(head.encode() + body)
        try:
            while more := client.recv(2**16):
                came += more
        except TimeoutError:
            return came, errno.ETIMEDOUT
        except OSError as error:
            return came, error.errno or 0
    return came, 0


@pytest.mark.parametrize(
    ("method", "fate", "error", "arrived", "answered"),
    [
        ("PUT", RESET, errno.ECONNRESET, [-errno.ECONNRESET], 0),
        ("PUT", LOST, errno.ECONNRESET, [len(BODY)], 0),
        ("PUT", STALL, errno.ETIMEDOUT, [], 0),
        ("GET", STALL, errno.ETIMEDOUT, [0], len(BODY) // 2),
        ("GET", TRUNCATED, errno.ECONNRESET, [0], len(BODY) // 2),
    ],
)
def test_a_connection_ends_as_the_fate_says(
    method: str, fate: Fate, error: int, arrived: list[int], answered: int
) -> None:
    seen: list[int] = []
    with _server(seen) as endpoint, faulty(endpoint) as proxy:
        proxy.first(1, fate, method)

        came, ended = _asked(proxy.url, method)

        assert ended == error
        assert len(came.partition(b"\r\n\r\n")[2]) == answered
        proxy.released.set()
    assert seen == arrived
