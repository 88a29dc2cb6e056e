"""A proxy before an S3 server, through which the network and the store misbehave on request.

It tells requests apart, and misbehaves on their connections: resets are TCP's own, and what stalls
or is slow are the bytes of a body.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

RESET = "reset"
"""Both connections are reset in the middle of the request's body."""
LOST = "lost"
"""The store does what was asked, and its answer is lost with the connection."""
STALL = "stall"
"""Nothing moves any more, in the middle of the body, until `Faulty.released` is set."""
SLOW = "slow"
"""Request and answer move in small pieces, with pauses."""
TRUNCATED = "truncated"
"""The answer ends in the middle of its body."""

PIECES, PAUSE = 20, 0.01
"""Of what is slow: how many, and the seconds between two."""

Fate = str | tuple[int, str] | None
"""What becomes of a request: one of the above, a status with S3's code, or None: nothing odd."""


@dataclass
class Faulty:
    """Where the proxy listens, what it has seen, and what it does."""

    url: str
    when: Callable[[str, str], Fate] = lambda method, path: None
    """Asked of each request, with its method and its path and query."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def first(self, count: int, fate: Fate, method: str = "PUT", part: str = "") -> None:
        """Let the first so many requests of a kind meet that fate."""
        left = [count]

        def when(asked: str, path: str) -> Fate:
            with self.lock:
                hit = asked == method and part in path and left[0] > 0
                left[0] -= hit
            return fate if hit else None

        self.when = when

    def count(self, method: str) -> int:
        return sum(asked == method for asked, _ in self.requests)


def _reset(connection: socket.socket) -> None:
    """Close a connection by RST: without lingering, TCP doesn't say goodbye."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextmanager
def faulty(endpoint: str) -> Iterator[Faulty]:
    upstream = urlsplit(endpoint)
    made = Faulty("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def log_message(self, *_: Any) -> None:
            pass

        def _reset(self) -> None:
            self.close_connection = True
            # Both files hold the socket open otherwise.
            self.rfile.close()
            self.wfile.close()
            _reset(self.connection)

        def _answer(self) -> None:
            made.requests.append((self.command, self.path))
            fate = made.when(self.command, self.path)
            length = int(self.headers.get("Content-Length", 0))
            if fate == RESET:
                self._ask(self.rfile.read(length // 2), cut=True)
                return self._reset()
            if fate == STALL and length:
                self.rfile.read(length // 2)
                made.released.wait()
                return self._reset()
            body = b"".join(self._pieces(length, fate))
            if isinstance(fate, tuple):
                status, code = fate
                text = f"<Error><Code>{code}</Code><Message>as the test wants</Message></Error>"
                return self._send(status, [], text.encode())
            status, headers, content = self._ask(body)
            if fate == LOST:
                return self._reset()
            return self._send(status, headers, content, fate)

        def _pieces(self, length: int, fate: Fate) -> Iterator[bytes]:
            size = max(1, -(-length // PIECES)) if fate == SLOW else max(1, length)
            for start in range(0, length, size):
                yield self.rfile.read(min(size, length - start))
                if fate == SLOW:
                    made.released.wait(PAUSE)

        def _ask(
            self, body: bytes, *, cut: bool = False
        ) -> tuple[int, list[tuple[str, str]], bytes]:
            """Ask the store; cut off, the body that was announced never comes in full."""
            connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port)
            try:
                connection.putrequest(
                    self.command, self.path, skip_host=True, skip_accept_encoding=True
                )
                for name, value in self.headers.items():
                    if name.lower() != "expect":
                        connection.putheader(name, value)
                connection.endheaders(body)
                if cut:
                    _reset(connection.sock)
                    return 0, [], b""
                answer = connection.getresponse()
                self.length = answer.getheader("Content-Length", "0")
                return answer.status, answer.getheaders(), answer.read()
            finally:
                connection.close()

        def _send(
            self, status: int, headers: list[tuple[str, str]], content: bytes, fate: Fate = None
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            length = self.length if self.command == "HEAD" and headers else str(len(content))
            self.send_header("Content-Length", length)
            self.end_headers()
            if fate in (TRUNCATED, STALL):
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                if fate == STALL:
                    made.released.wait()
                return self._reset()
            step = max(1, -(-len(content) // (PIECES if fate == SLOW else 1)))
            for start in range(0, len(content), step):
                self.wfile.write(content[start : start + step])
                self.wfile.flush()
                if fate == SLOW:
                    made.released.wait(PAUSE)
            return None

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:
            """A client that goes away in the middle is what is tested."""

    server = Server(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield made
    finally:
        made.released.set()
        server.shutdown()
        server.server_close()
