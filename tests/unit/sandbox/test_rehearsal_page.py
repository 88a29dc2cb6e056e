"""The rehearsal's page: what its user would be told first, and every text as text."""

import json
from pathlib import Path

import pytest
from dedl_sandbox import rehearsal
from dedl_sandbox.rehearsal import Rehearsal
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.views import tables

from tests.unit.conftest import make_case
from tests.unit.evidence.test_pages import HOSTILE, fetched_by


def write_message(folder: Path, name: str, text: str, *, internal: bool) -> None:
    message = folder / "outbox" / name
    (message / "attachments").mkdir(parents=True)
    (message / "message.txt").write_text(text)
    (message / "attachments" / "more.txt").write_text("an attachment's text")
    (message / "message.json").write_text(json.dumps({"internal": internal}))


def page_of(root: Path, summary: str = "fine", letter: str = "Dear user") -> str:
    folder = root / "rehearsed"
    (folder / "outbox").mkdir(parents=True)
    (folder / "outbox" / "001-iam-request.txt").write_text("Dear IAM service")
    write_message(folder, "002-accepted-internal", "Dear colleagues", internal=True)
    write_message(folder, "003-accepted", letter, internal=False)
    outcomes = [Outcome("validate", Verdict.PASSED, summary)]
    body = {"id": summary, "title": summary}
    items = {"features": [{"id": summary, "properties": {}, "assets": {summary: {}}}]}
    answers = {
        "collection": {"path": "collections/x", "status": 200, "body": body},
        "items": {"path": "collections/x/items", "status": 200, "body": items},
        "queryables": {"path": summary, "status": 403, "body": None},
    }
    return rehearsal.page(make_case(root), Rehearsal(outcomes, folder), answers)


def test_the_users_letter_stands_first_and_alone(root: Path) -> None:
    page = page_of(root)

    letter = page.index("Dear user")
    assert page.index("What the user would be told") < letter < page.index("The steps")
    assert page.index("What others would be told") < page.index("Dear IAM service")
    assert page.index("What others would be told") < page.index("Dear colleagues")
    assert "an attachment's text" not in page


@pytest.mark.parametrize("text", HOSTILE)
def test_the_page_of_a_rehearsal_runs_and_fetches_nothing(root: Path, text: str) -> None:
    page = page_of(root, text, text)

    assert fetched_by(page) == []
    assert "<h1>Passed</h1>" not in page


def test_no_path_stands_in_a_rehearsal_that_is_gone_when_it_is_read(tmp_path: Path) -> None:
    worked = tmp_path / "archive" / "DEDL-1"
    text = f"see {worked}/outbox/001 and {tmp_path}/parameters, in {worked}, of {tmp_path}"

    text += tables.table((), [(str(worked / "attempts"),)])
    lasting = rehearsal._lasting(text, worked, tmp_path)

    right = "see outbox/001 and parameters, in this folder, of the rehearsal's workbook"
    assert lasting.startswith(right)
    assert ">attempts<" in lasting
