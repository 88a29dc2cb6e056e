"""A proxy before an S3 server, through which the network and the store misbehave on request."""

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
"""The connection is reset while the request is being sent; the store sees nothing of it."""
LOST = "lost"
"""The store does what was asked, and its answer is lost with the connection."""
STALL = "stall"
"""Nobody answers until `Faulty.released` is set."""
SLOW = "slow"
"""The answer comes in small pieces."""
TRUNCATED = "truncated"
"""The answer ends in the middle of its body."""

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
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            # Both files hold the socket open otherwise.
            self.rfile.close()
            self.connection.close()

        def _answer(self) -> None:
            made.requests.append((self.command, self.path))
            fate = made.when(self.command, self.path)
            length = int(self.headers.get("Content-Length", 0))
            if fate == RESET:
                self.rfile.read(length // 2)
                return self._reset()
            body = self.rfile.read(length)
            if fate == STALL:
                made.released.wait()
                return self._reset()
            if isinstance(fate, tuple):
                status, code = fate
                text = f"<Error><Code>{code}</Code><Message>as the test wants</Message></Error>"
                return self._send(status, [], text.encode())
            status, headers, content = self._ask(body)
            if fate == LOST:
                return self._reset()
            return self._send(status, headers, content, fate)

        def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port)
            try:
                connection.putrequest(
                    self.command, self.path, skip_host=True, skip_accept_encoding=True
                )
                for name, value in self.headers.items():
                    if name.lower() != "expect":
                        connection.putheader(name, value)
                connection.endheaders(body)
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
            if fate == TRUNCATED:
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                return self._reset()
            pieces = 20 if fate == SLOW else 1
            step = max(1, -(-len(content) // pieces))
            for start in range(0, len(content), step):
                self.wfile.write(content[start : start + step])
                self.wfile.flush()
                if fate == SLOW:
                    made.released.wait(0.01)
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
