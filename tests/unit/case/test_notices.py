"""Notices: each thing told once, by every way, without secrets; and never in a run's way."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from dedl_workbook.case import notices
from dedl_workbook.case.case import Case
from dedl_workbook.publication.job import Action, Outcome, Plan, Verdict
from dedl_workbook.steps.order import STEPS

from tests.unit.conftest import CANARIES, make_case
from tests.unit.services.test_helpdesk import MailHandler, MailListener, MailServer

FAILED = Outcome("upload", Verdict.FAILED, f"the key {CANARIES[1]} is wrong <!channel> @all")
WAITS = Outcome(
    "access", Verdict.WAITING, "asked", waiting_for="the IAM service", since="2026-11-30"
)


def site(root: Path, **settings: Any) -> Case:
    file = root / "parameters" / "targets" / "site.yaml"
    values = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(values | {"notices": settings}))
    return make_case(root)


def program(root: Path, body: str) -> list[str]:
    return [sys.executable, "-c", body]


KEEP = "import sys; open('notices.jsonl', 'a').write(sys.stdin.read() + chr(10))"


def received(root: Path) -> list[dict[str, Any]]:
    file = root / "notices.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def recorded(case: Case) -> list[dict[str, Any]]:
    return [line for line in case.ledger() if line["event"] == notices.EVENT]


def test_what_waits_or_fails_is_told_once_and_again_when_it_comes_again(root: Path) -> None:
    case = site(root, command=program(root, KEEP))

    for outcome in (WAITS, WAITS, FAILED, FAILED, WAITS):
        notices.of_run(case, [outcome])

    assert [notice["kind"] for notice in received(root)] == ["waiting", "failed", "waiting"]
    first, second, _ = received(root)
    assert first["text"] == (
        "DEDL-1 (EO.XXX.DAT.YYY): access waits for the IAM service since 2026-11-30"
    )
    assert CANARIES[1] not in json.dumps(second)


def test_a_plan_is_told_once_with_what_approves_it(root: Path) -> None:
    case = site(root, command=program(root, KEEP))
    plan = Plan("upload", case.job, {"n": 1}, {}, (Action("upload", "files"),))
    digest = case._keep_plan([plan])["digest"]

    notices.of_run(case, [])
    notices.of_run(case, [])

    (notice,) = received(root)
    assert notice["kind"] == "to be approved"
    assert f"dedl-workbook approve DEDL-1 {digest[:12]}" in notice["text"]


def test_a_publication_and_its_drift_are_told_once(root: Path) -> None:
    case = site(root, command=program(root, KEEP))
    outcomes = [Outcome(step, Verdict.PASSED, "") for step in STEPS]
    for outcome in outcomes:
        dataset = case.job.fingerprint if STEPS[outcome.step].of_dataset else ""
        case.record_outcome(case.new_attempt(outcome.step), outcome, dataset)

    for _ in range(2):
        notices.of_run(case, outcomes)
        notices.of_drift(case.target, "DEDL-1", root, ["pool: objects"])
    notices.of_run(case, [Outcome("", Verdict.PASSED, "nothing left to do")])

    assert [notice["kind"] for notice in received(root)] == ["published", "drifted"]


def test_only_what_the_target_names_is_told(root: Path) -> None:
    case = site(root, command=program(root, KEEP), of=["waiting"])

    notices.of_run(case, [FAILED])

    assert received(root) == []
    assert recorded(case) == []


@pytest.mark.parametrize(
    ("command", "warning"),
    [
        (["no-such-program"], "No such file or directory"),
        (program(Path(), "import time; time.sleep(600)"), "did not end in 1 s"),
        (program(Path(), "import sys; print('x' * 10**6); sys.exit(9)"), "it ended with 9"),
        (["/bin/sh", "-c", "sleep 600"], "did not end in 1 s"),
    ],
)
def test_a_program_that_is_missing_hangs_or_fails_is_a_warning_in_the_ledger(
    root: Path, command: list[str], warning: str
) -> None:
    case = site(root, command=command, timeout=1)

    notices.of_run(case, [WAITS])
    notices.of_run(case, [WAITS])

    (line,) = recorded(case)
    assert warning in line["warning"][0]


def test_a_program_gets_no_secret_and_need_not_read(root: Path) -> None:
    body = "import os; open('environment', 'w').write(str(dict(os.environ)))"
    case = site(root, command=program(root, body))

    notices.of_run(case, [WAITS])

    assert "warning" not in recorded(case)[0]
    assert "DEDL_" not in (root / "environment").read_text()


@contextmanager
def webhook(code: int, answer: bytes) -> Iterator[tuple[str, list[Any]]]:
    """A server that answers so, its address, and what it was given."""
    bodies: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(code)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hooks/canary-hook-4", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("form", ["text", "card"])
def test_a_webhook_gets_a_line_that_calls_nobody(
    root: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    with webhook(200, b"\xff nonsense") as (address, bodies):
        monkeypatch.setenv("DEDL_SITE__NOTICES__WEBHOOK", address)
        case = site(root, webhook_form=form)
        notices.of_run(case, [FAILED])

    (body,) = bodies
    text = json.dumps(body)
    assert "upload failed" in text
    assert "<!channel>" not in text
    assert "@all" not in text
    assert ("attachments" in body) == (form == "card")
    assert "warning" not in recorded(case)[0]


@pytest.mark.parametrize("code", [302, 404, 500])
def test_a_webhook_that_refuses_is_a_warning_without_its_address(
    root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with webhook(code, b"") as (address, _):
        monkeypatch.setenv("DEDL_SITE__NOTICES__WEBHOOK", address)
        case = site(root)
        notices.of_run(case, [FAILED])

    (line,) = recorded(case)
    assert str(code) in line["warning"][0]
    assert "canary-hook" not in json.dumps(case.ledger())


def test_a_mail_names_the_ticket_and_what_became_of_it(root: Path) -> None:
    with MailListener(("127.0.0.1", 0), MailHandler) as listener:
        listener.known = MailServer(listener.server_address[1])
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        mail = {"host": "127.0.0.1", "port": listener.known.port, "security": "none"}
        people = {"sender": "dedl@example.int", "recipient": "ops@example.int"}
        case = site(root, mail=mail | people)
        notices.of_run(case, [WAITS])
        listener.shutdown()
        thread.join()

    (mail_taken,) = listener.known.taken
    assert mail_taken["Subject"] == "[DEDL-1] waiting"
    assert "waits for the IAM service" in mail_taken.get_content()
    assert "warning" not in recorded(case)[0]
