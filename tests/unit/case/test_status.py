"""Status: where every ticket stands, also beside one that can't be read."""

from pathlib import Path

import pytest
import yaml
from dedl_workbook.case import status
from dedl_workbook.publication.job import Outcome, Verdict

from tests.unit.conftest import make_case


def _ticket(root: Path, name: str, target: str) -> None:
    values = {"ticket": name, "dataset": "d", "collection": "C", "target": target}
    (root / "parameters" / "tickets" / f"{name}.yaml").write_text(yaml.safe_dump(values))


def _site(root: Path) -> Path:
    return root / "parameters" / "targets" / "site.yaml"


def _without_archive(root: Path, name: str) -> None:
    text = _site(root).read_text().replace("archive: archive\n", "")
    _site(root).with_name(f"{name}.yaml").write_text(text)


def test_a_target_without_an_archive_spoils_the_row_of_its_own_ticket_alone(root: Path) -> None:
    make_case(root).new_attempt("validate")
    _without_archive(root, "odd")
    _ticket(root, "DEDL-1", "site")
    _ticket(root, "DEDL-2", "odd")
    _ticket(root, "DEDL-3", "nowhere")

    rows = status.rows(root)

    assert [(row.ticket, row.state) for row in rows] == [
        ("DEDL-2", "unreadable"),
        ("DEDL-3", "unreadable"),
        ("DEDL-1", "failed"),
    ]
    assert "archive: is missing" in rows[0].collection
    assert "no such target" in rows[1].collection


def test_an_archive_may_come_from_the_environment(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_case(root).new_attempt("validate")
    _without_archive(root, "site")
    _ticket(root, "DEDL-1", "site")
    monkeypatch.setenv("DEDL_SITE__ARCHIVE", "archive")

    assert status.rows(root, ["DEDL-1"])[0].state == "failed"


def test_a_step_that_waits_is_shown_while_others_go_on(root: Path) -> None:
    case = make_case(root)
    _ticket(root, "DEDL-1", "site")
    waits = Outcome("access", Verdict.WAITING, "asked", waiting_for="the IAM service", since="now")
    for outcome in (waits, Outcome("upload", Verdict.PASSED, "done")):
        case.record_outcome(case.new_attempt(outcome.step), outcome, "dataset")

    found = status.rows(root)[0]

    assert (found.step, found.state, found.waiting_for) == (
        "access",
        "waiting",
        "the IAM service",
    )
    case.record_outcome(
        case.new_attempt("access"), Outcome("access", Verdict.PASSED, ""), "dataset"
    )
    assert status.rows(root)[0].state == "new"


def test_once_the_user_was_told_what_to_mend_the_ticket_waits_for_the_user(root: Path) -> None:
    case = make_case(root)
    _ticket(root, "DEDL-1", "site")
    outcomes = (
        Outcome("validate", Verdict.FAILED, "I02"),
        Outcome("notify", Verdict.PASSED, "told"),
    )
    for outcome in outcomes:
        case.record_outcome(case.new_attempt(outcome.step), outcome, "")

    found = status.rows(root)[0]

    assert (found.step, found.state) == ("validate", "refused")
    assert found.waiting_for == "the user, who was told"
    assert found.since
