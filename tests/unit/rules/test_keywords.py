"""The vocabulary of keywords: HDA's own where it answers, else the dated snapshot."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.parameters.target import Target
from dedl_workbook.rules import keywords

from tests.unit.builders import ID, any_collection, any_dataset
from tests.unit.rules.examples import any_ticket, report
from tests.unit.rules.test_validation import any_target

Serve = Callable[[dict[str, Any]], Target]
PAGES = {
    "/stac/collections": {
        "collections": [{"id": "A", "keywords": ["Heat", "Land"]}, {"id": "B", "keywords": None}],
        "links": [{"rel": "next", "href": "/stac/collections?page=2"}],
    },
    "/stac/collections?page=2": {
        "collections": [
            {"id": ID, "keywords": ["Tempratur"]},
            {"id": "C", "keywords": ["Sea ice"]},
        ],
        "links": [{"rel": "self", "href": "/stac/collections?page=2"}],
    },
}


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return what serves JSON by path, and gives the target whose HDA that is."""
    pages: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = pages.get(self.path)
            data = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(200 if found is not None else 503)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Be silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def start(given: dict[str, Any]) -> Target:
        pages.update(given)
        url = f"http://127.0.0.1:{server.server_port}/stac"
        return any_target(hda={"url": url, "folder": "hda"})

    yield start
    server.shutdown()
    thread.join()
    server.server_close()


def test_keywords_are_those_of_every_page_but_of_the_collection_itself(serve: Serve) -> None:
    target = serve(PAGES)

    found = keywords.vocabulary(target, ID)

    assert found.words == ("Heat", "Land", "Sea ice")
    assert target.hda is not None
    assert found.source == (
        f"C04 compared keywords with those of 3 collections that {target.hda.url} serves"
    )


def test_the_report_judges_by_hdas_keywords_and_says_so(serve: Serve, tmp_path: Path) -> None:
    root = any_dataset(tmp_path, collection=any_collection(keywords=["heat", "Climate"]))

    result = report(root, target=serve(PAGES), ticket=any_ticket())

    assert [(f.rule, f.pointer) for f in result.findings if f.rule == "C04"] == [
        ("C04", "/keywords/1")
    ]
    assert any("that http://127.0.0.1" in note and "3 collections" in note for note in result.notes)


@pytest.mark.parametrize(
    ("pages", "why"),
    [
        ({}, "503"),
        ({"/stac/collections": b"<html>"}, "no list of collections"),
        ({"/stac/collections": []}, "no list of collections"),
        ({"/stac/collections": {"collections": [{"id": "A", "keywords": [1]}]}}, "no list of"),
        ({"/stac/collections": {"collections": []}}, "have no keywords"),
        ({"/stac/collections": PAGES["/stac/collections"]}, "503"),
    ],
)
def test_the_snapshot_is_used_and_named_where_hda_does_not_answer_well(
    serve: Serve, tmp_path: Path, pages: dict[str, Any], why: str
) -> None:
    root = any_dataset(tmp_path, collection=any_collection(keywords=["Climate", "Heat"]))

    result = report(root, target=serve(pages), ticket=any_ticket())

    (note,) = [note for note in result.notes if note.startswith("C04")]
    assert "the snapshot of 2026-" in note
    assert "can't be asked" in note
    assert why in note


def test_pages_that_go_in_circles_end(serve: Serve) -> None:
    circle = {"rel": "next", "href": "/stac/collections"}
    pages = {
        "/stac/collections": {"collections": [{"id": "A", "keywords": ["X"]}], "links": [circle]}
    }

    assert keywords.vocabulary(serve(pages), ID).words == ("X",)


def test_without_a_target_the_snapshot_is_named(tmp_path: Path) -> None:
    assert any("the snapshot of 2026-" in note for note in report(any_dataset(tmp_path)).notes)


def test_without_any_keywords_the_report_says_that_they_were_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keywords, "snapshot_file", lambda: None)
    root = any_dataset(tmp_path, collection=any_collection(keywords=["Nobody knows this"]))

    result = report(root)

    assert [f.rule for f in result.findings] == ["C05"]
    assert any("C04 was not looked at: there is no keywords.yaml" in note for note in result.notes)
