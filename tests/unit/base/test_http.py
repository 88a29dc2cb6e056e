"""HTTP clients, their errors, and lists in pages, against a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from dedl_workbook.base import http
from dedl_workbook.base.errors import ServiceError


class Server(ThreadingHTTPServer):
    """Answers each request with what `pages` has for its method and path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[tuple[str, str], Any] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, json.loads(body) if body else None))
        if self.path == "/silent":
            self.server.release.wait(30)
        page = self.server.pages.get((self.command, self.path))
        answers = page if isinstance(page, list) else [page]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        data = json.dumps(answer).encode()
        self.send_response(200 if answer is not None else 503)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET  # noqa: N815 (the standard library's name)

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


def link(href: str, **more: Any) -> dict[str, Any]:
    return {"links": [{"rel": "self", "href": "/"}, {"rel": "next", "href": href} | more]}


def pages(server: Server, path: str, method: str = "GET", body: Any = None) -> list[dict[str, Any]]:
    with http.client() as client:

        def ask(method: str, url: str, body: Any) -> dict[str, Any]:
            page: dict[str, Any] = client.request(method, url, json=body).raise_for_status().json()
            return page

        return list(http.pages(ask, server.url + path, method, body))


def test_pages_are_followed_by_relative_links_to_the_last(server: Server) -> None:
    server.pages = {
        ("GET", "/a/items"): {"features": [1]} | link("items?page=2"),
        ("GET", "/a/items?page=2"): {"features": [2]},
    }

    assert [page["features"] for page in pages(server, "/a/items")] == [[1], [2]]


def test_a_search_is_followed_by_its_whole_link(server: Server) -> None:
    following = link("/search", method="POST", merge=True, body={"token": "next:1"})
    server.pages = {("POST", "/search"): [{"features": [1]} | following, {"features": [2]}]}

    assert len(pages(server, "/search", "POST", {"limit": 1})) == 2
    assert server.requests == [
        ("POST", "/search", {"limit": 1}),
        ("POST", "/search", {"limit": 1, "token": "next:1"}),
    ]


def test_a_search_may_go_on_by_get(server: Server) -> None:
    server.pages = {
        ("POST", "/search"): {"features": [1]} | link("/search?token=1"),
        ("GET", "/search?token=1"): {"features": [2]},
    }

    assert len(pages(server, "/search", "POST", {"limit": 1})) == 2
    assert server.requests[1] == ("GET", "/search?token=1", None)


def test_a_page_without_items_is_the_last(server: Server) -> None:
    server.pages = {("GET", "/items"): {"features": []} | link("/items?page=2")}

    assert len(pages(server, "/items")) == 1


def test_pages_of_collections_have_no_items_and_go_on(server: Server) -> None:
    server.pages = {
        ("GET", "/collections"): {"collections": [1]} | link("/collections?page=2"),
        ("GET", "/collections?page=2"): {"collections": [2]},
    }

    assert len(pages(server, "/collections")) == 2


def test_paging_in_circles_is_an_error(server: Server) -> None:
    server.pages = {("GET", "/items"): {"features": [1]} | link("/items")}

    with pytest.raises(ServiceError, match="a page that was there already"):
        pages(server, "/items")


def test_an_error_names_who_was_asked_and_no_secret(server: Server) -> None:
    headers = {"Authorization": "Bearer hush-hush"}
    with (
        pytest.raises(ServiceError, match=r"the clock answers 503(?s:.)*Check that") as raised,
        http.explained("the clock", server.url),
        http.client(headers=headers) as client,
    ):
        client.get(server.url).raise_for_status()

    assert raised.value.where == server.url
    assert raised.value.__cause__ is None


def test_a_silent_server_is_given_up_after_the_time_that_is_named(server: Server) -> None:
    with (
        pytest.raises(ServiceError, match=r"the clock gives no answer: it took longer than 0\.2 s"),
        http.explained("the clock", server.url),
        http.client(0.2) as client,
    ):
        client.get(f"{server.url}/silent")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://\x00/", "nowhere"])
def test_what_cannot_be_asked_gives_no_answer(url: str) -> None:
    with (
        pytest.raises(ServiceError, match="the clock gives no answer: "),
        http.explained("the clock", url),
        http.client() as client,
    ):
        client.get(url)


def test_a_reason_is_one_short_line() -> None:
    assert http.reason(httpx.ReadError("one\ntwo")) == "one"
    assert http.reason(httpx.ReadError("")) == "ReadError"
    assert len(http.reason(httpx.ReadError("x" * 1000))) == 200
