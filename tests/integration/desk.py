"""A real help desk for tests, and a proxy before it that loses answers."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from dedl_sandbox import environments, helpdesk, services, state
from dedl_workbook.services.helpdesk.roundup import Settings
from pydantic import SecretStr

ANSWER = "answer"
HANG = "hang"
CLOSE = "close"


@dataclass(frozen=True)
class Desk:
    """A running Roundup, and who may use it."""

    url: str
    passwords: dict[str, str]

    def settings(self, **changes: Any) -> Settings:
        values = {
            "kind": "roundup",
            "url": self.url,
            "user": helpdesk.OPERATOR,
            "password": SecretStr(self.passwords[helpdesk.OPERATOR]),
            "timeout": 20.0,
            **changes,
        }
        return Settings.model_validate(values)

    @contextmanager
    def client(self, user: str = helpdesk.SUBMITTER) -> Iterator[httpx.Client]:
        with httpx.Client(
            base_url=self.url,
            auth=(user, self.passwords[user]),
            timeout=20,
            headers={
                "X-Requested-With": "tests",
                "Origin": self.url,
                "Referer": f"{self.url}/",
                "Accept": "application/json",
            },
        ) as client:
            yield client

    def file_ticket(self, title: str) -> str:
        """File a ticket as a user does; return its number."""
        with self.client() as client:
            made = client.post("/rest/data/issue", json={"title": title})
            assert made.status_code == 201, made.text
            return str(made.json()["data"]["id"])

    def ticket(self, number: str) -> dict[str, Any]:
        with self.client() as client:
            answer = client.get(f"/rest/data/issue/{number}").json()
            found: dict[str, Any] = answer["data"]["attributes"]
            return found

    def messages(self, number: str) -> list[dict[str, Any]]:
        """Return all messages of a ticket as the user sees them, with their files' names."""
        with self.client() as client:
            found = []
            for one in self.ticket(number)["messages"]:
                path = f"/rest/data/msg/{one['id']}?@verbose=3"
                message = client.get(path).json()["data"]["attributes"]
                found.append(
                    {
                        "id": one["id"],
                        "content": message["content"],
                        "author": message["author"]["username"],
                        "files": sorted(file["name"] for file in message["files"]),
                        "file_ids": [file["id"] for file in message["files"]],
                    }
                )
            return found

    def stored(self, marker: str) -> int:
        """Return how many messages with this marker the desk holds, shown or not."""
        with self.client() as client:
            found = client.get("/rest/data/msg", params={"messageid": marker}).json()["data"]
            return int(found["@total_size"])


@contextmanager
def running(folder: Path) -> Iterator[Desk]:
    """Run the sandbox's help desk alone; call it from the main thread."""
    environments.ensure_environments()
    lake = state.read_lake(state.make_folder(folder))
    service = next(one for one in services.SERVICES if one.name == "helpdesk")
    services.choose_ports(service, lake)
    process = services.start(service, lake)
    try:
        services.await_health(service, lake, process)
        yield Desk(
            helpdesk.url(lake),
            {
                helpdesk.OPERATOR: lake.secrets["helpdesk_operator_password"],
                helpdesk.SUBMITTER: lake.secrets["helpdesk_submitter_password"],
                "admin": lake.secrets["helpdesk_admin_password"],
            },
        )
    finally:
        process.terminate()
        process.wait(10)


@dataclass
class Proxy:
    """Hands requests on to the desk; `when` decides what becomes of the answer.

    It is asked before a request is handed on, with the method and the path, and may do something
    itself meanwhile.
    """

    url: str
    requests: list[tuple[str, str]] = field(default_factory=list)
    when: Callable[[str, str], str] = lambda method, path: ANSWER
    after: Callable[[str, str], None] = lambda method, path: None
    """Called when the desk has answered, before we hand that on."""


@contextmanager
def proxy(desk: Desk) -> Iterator[Proxy]:
    """Run a proxy before the desk."""
    released = threading.Event()
    upstream = urlsplit(desk.url)
    made = Proxy("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _hand_on(self) -> None:
            path = self.path.partition("?")[0]
            made.requests.append((self.command, path))
            fate = made.when(self.command, path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            headers |= {"Origin": desk.url, "Referer": f"{desk.url}/", "Host": upstream.netloc}
            connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port)
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            made.after(self.command, path)
            if fate == HANG:
                released.wait()
            if fate != ANSWER:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _hand_on  # noqa: N815

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that goes away in the middle is what is tested."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        released.set()
        server.shutdown()
        server.server_close()
        thread.join()
