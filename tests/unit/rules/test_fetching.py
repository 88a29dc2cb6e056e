"""Schemas of extensions are fetched from the addresses that the lock names, and from no others."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from dedl_workbook.base.errors import InputError
from dedl_workbook.dataset.dataset import open_dataset
from dedl_workbook.rules.findings import Report
from dedl_workbook.rules.schemas import sources
from dedl_workbook.rules.schemas import store as schemas
from dedl_workbook.rules.validation import validate

from tests.unit.builders import any_dataset, any_item
from tests.unit.oracle import needs_extensions


class Address:
    """A server on loopback that has some schemas, and counts what is asked for."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805
                self.asked.append(handler.path)
                data = content.get(handler.path)
                handler.send_response(200 if data else 404)
                handler.end_headers()
                handler.wfile.write(data or b"")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


OWN = b'{"required": ["own:field"], "$ref": "other.json"}'
OTHER = b'{"type": "object"}'


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch, core: Path) -> Iterator[Callable[..., Address]]:
    """Serve an extension of our own, and lock it."""
    servers: list[Address] = []

    def serve(own: bytes = OWN, *, locked: bytes = OWN) -> Address:
        content: dict[str, bytes] = {}
        server = Address(content)
        servers.append(server)
        content["/own.json"], content["/other.json"] = own, OTHER
        extra = {
            f"{server.url}/own.json": hashlib.sha256(locked).hexdigest(),
            f"{server.url}/other.json": hashlib.sha256(OTHER).hexdigest(),
        }
        whole = {**schemas.lock(), **extra}
        monkeypatch.setattr(schemas, "lock", lambda: whole)
        for module in (schemas, sources):
            monkeypatch.setattr(module, "path_of", lambda url: Path(url.partition("://")[2]))
        monkeypatch.setattr(schemas, "_locked", lambda url: url)
        schemas.forget()
        return server

    yield serve
    for server in servers:
        server.server.shutdown()
        server.server.server_close()
    monkeypatch.undo()
    schemas.forget()


def judged(core: Path, tmp_path: Path, url: str, *, fetch: bool) -> Report:
    store = tmp_path / "store"
    schemas.sync(store, source=core)
    root = any_dataset(tmp_path, any_item(stac_extensions=[url]), any_item("b"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEDL_WORKBOOK_SCHEMAS", str(store))
        return validate(open_dataset(str(root)), second_opinion="none", fetch=fetch)


def test_a_schema_is_fetched_when_a_dataset_first_names_it_with_those_it_refers_to(
    address: Callable[..., Address], core: Path, tmp_path: Path
) -> None:
    server = address()

    first = judged(core, tmp_path, f"{server.url}/own.json", fetch=True)
    again = judged(core, tmp_path, f"{server.url}/own.json", fetch=True)

    assert server.asked == ["/own.json", "/other.json"]
    for report in (first, again):
        (finding,) = [f for f in report.findings if f.rule == "I01"]
        assert finding.message.startswith("own:field is a required property")
        assert (report.unchecked, report.unchecked_documents) == ((), 0)
    assert "2 schemas of extensions were fetched from their addresses" in first.notes
    assert not [note for note in again.notes if "fetched" in note]


def test_offline_nothing_is_asked_for_and_the_verdict_says_what_was_not_checked(
    address: Callable[..., Address], core: Path, tmp_path: Path
) -> None:
    server = address()

    report = judged(core, tmp_path, f"{server.url}/own.json", fetch=False)

    assert server.asked == []
    assert report.passed
    assert report.unchecked == (f"{server.url}/own.json",)
    assert report.verdict == "passed; 1 document names 1 extension that could not be checked"
    assert Report.from_json(report.as_json()) == report


def test_a_schema_that_has_changed_since_it_was_locked_is_not_used(
    address: Callable[..., Address], core: Path, tmp_path: Path
) -> None:
    server = address(b"{}")

    report = judged(core, tmp_path, f"{server.url}/own.json", fetch=True)

    (finding,) = [f for f in report.findings if f.rule == "I01"]
    assert finding.severity == "warning"
    assert "own.json has changed since it was locked" in finding.message
    assert report.unchecked == (f"{server.url}/own.json",)


def test_an_address_that_is_not_locked_is_never_asked(
    address: Callable[..., Address], core: Path, tmp_path: Path
) -> None:
    server = address()

    report = judged(core, tmp_path, f"{server.url}/else.json", fetch=True)

    assert server.asked == []
    (finding,) = [f for f in report.findings if f.rule == "I01"]
    assert "no published schema of that address is known here" in finding.message


def test_without_the_core_nothing_is_validated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEDL_WORKBOOK_SCHEMAS", str(tmp_path / "nothing"))

    with pytest.raises(InputError, match="STAC's own schema"):
        validate(open_dataset(str(any_dataset(tmp_path))))


def test_the_core_of_the_wheel_serves_an_empty_store(
    core: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(schemas, "BUNDLED", core)
    monkeypatch.setenv("DEDL_WORKBOOK_SCHEMAS", str(tmp_path / "nothing"))

    report = validate(open_dataset(str(any_dataset(tmp_path))), second_opinion="all")

    assert report.findings == ()
    assert "stac-validator was asked about 1 documents besides" in report.notes


@needs_extensions
@pytest.mark.parametrize("url", schemas.unusable())
def test_a_schema_that_refuses_its_own_documents_is_blamed_by_its_name(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DEDL_WORKBOOK_SCHEMAS", str(store))
    item = any_item(stac_extensions=[url])
    item["assets"]["map"]["vrt:hrefs"] = [{"key": "a", "href": "#/assets/a"}]

    findings = validate(open_dataset(str(any_dataset(tmp_path, item)))).findings

    for finding in (f for f in findings if f.rule == "I01"):
        assert finding.message.startswith(f"the schema {url} itself is at fault")
        assert finding.fix.startswith("Name ")
    # Some of them refuse collections alone.
    assert [f for f in findings if f.rule == "I01"] or "virtual-assets" in url or "render" in url
