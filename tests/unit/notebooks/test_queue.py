"""A queue: what is finished, replaced, waiting or being withdrawn starts no notebook."""

from pathlib import Path

import pytest
from dedl_workbook.base.errors import GateError, ServiceError
from dedl_workbook.case.case import Case
from dedl_workbook.notebooks import queue, runner
from dedl_workbook.publication.job import Job, Outcome, Plan, Verdict
from dedl_workbook.steps import access
from dedl_workbook.steps.order import STEPS

from tests.unit.conftest import make_case

ALL = list(STEPS.values())


def passes(case: Case, *steps: str) -> None:
    for step in steps:
        dataset = case.job.fingerprint if STEPS.get(step) and STEPS[step].of_dataset else ""
        outcome = Outcome(step, Verdict.PASSED, "")
        case.record_outcome(case.new_attempt(step), outcome, dataset)


def published(root: Path, **changes: object) -> Case:
    case = make_case(root, **changes)
    passes(case, *STEPS)
    return case


def run(case: Case) -> list[Outcome]:
    return list(runner.run(case.ticket, case.root, ALL, lambda _: None))


def attempts(case: Case) -> int:
    return len(list((case.folder / "attempts").iterdir()))


def test_a_finished_ticket_is_told_in_one_line_and_makes_no_attempt(root: Path) -> None:
    case = published(root)
    before = attempts(case)

    (outcome,) = run(case)

    assert outcome.summary.startswith("nothing left to do; published 20")
    assert outcome.summary.endswith(", verified")
    assert attempts(case) == before


def test_a_finished_ticket_whose_dataset_is_gone_is_finished(root: Path) -> None:
    case = published(root)
    for file in sorted((root / "delivered").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (root / "delivered").rmdir()

    assert queue.nothing_to_do(make_case(root)) is not None
    assert case.standing().state == "published"


def test_a_dataset_that_was_delivered_anew_is_run(root: Path) -> None:
    published(root)
    (root / "delivered" / "data" / "b.tif").write_bytes(b"more")

    assert queue.nothing_to_do(make_case(root)) is None


def test_a_ticket_that_asks_for_something_else_by_now_is_run(root: Path) -> None:
    published(root)

    assert queue.nothing_to_do(make_case(root, downloads=3)) is None


def test_a_superseded_ticket_says_by_whom_and_is_left_alone(root: Path) -> None:
    one = published(root)
    published(root, ticket="DEDL-2", mode="replace")

    (outcome,) = run(one)

    assert "superseded by DEDL-2" in outcome.summary
    assert outcome.verdict is Verdict.PASSED


def test_a_withdrawn_ticket_is_left_alone(root: Path) -> None:
    case = published(root)
    passes(case, "withdraw", "notify")

    (outcome,) = run(case)

    assert outcome.summary.startswith("nothing left to do; withdrawn 20")


@pytest.mark.parametrize("approved", [False, True])
def test_a_ticket_with_an_open_withdrawal_refuses_to_run(root: Path, approved: bool) -> None:
    case = published(root)
    digest = "a" * 64
    case.record("planned", digest=digest, steps=["withdraw", "notify"], changes=2, attempt="x")
    if approved:
        case.record("approved", digest=digest)
    before = attempts(case)

    with pytest.raises(GateError, match="a withdrawal of this ticket is"):
        run(case)

    assert attempts(case) == before


def waits(root: Path, monkeypatch: pytest.MonkeyPatch, answer: Verdict | Exception) -> Case:
    """A case whose upload and catalogue are done, and which waits for a role."""
    case = make_case(root)
    passes(case, "validate", "upload", "catalog")
    outcome = Outcome(
        "access", Verdict.WAITING, "asked", waiting_for="the IAM service", since="2026-11-30"
    )
    case.record_outcome(case.new_attempt("access"), outcome, "")

    def plan(job: Job) -> Plan:
        return Plan("access", job, {}, {}, ())

    def check(plan: Plan) -> Outcome:
        if isinstance(answer, Exception):
            raise answer
        return Outcome("access", answer, "", waiting_for="the IAM service", since="2026-11-30")

    monkeypatch.setattr(access, "plan", plan)
    monkeypatch.setattr(access, "check", check)
    return case


def test_a_ticket_that_still_waits_is_asked_and_makes_one_line_a_day(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = waits(root, monkeypatch, Verdict.WAITING)
    before = attempts(case)

    outcomes = [run(case)[0] for _ in range(3)]

    assert {outcome.verdict for outcome in outcomes} == {Verdict.WAITING}
    assert attempts(case) == before
    assert [line["event"] for line in case.ledger()].count("still waiting") == 1
    assert case.standing().state == "waiting"


def test_a_ticket_that_need_not_wait_any_more_is_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits(root, monkeypatch, Verdict.PASSED)

    assert queue.nothing_to_do(make_case(root)) is None


def test_a_ticket_whose_other_steps_can_go_on_is_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = waits(root, monkeypatch, Verdict.WAITING)
    failed = Outcome("catalog", Verdict.FAILED, "")
    case.record_outcome(case.new_attempt("catalog"), failed, "")

    assert queue.nothing_to_do(make_case(root)) is None


def test_a_service_that_can_not_be_asked_makes_no_attempt_either(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = waits(root, monkeypatch, ServiceError("the IAM service doesn't answer"))
    before = attempts(case)

    with pytest.raises(ServiceError):
        run(case)

    assert attempts(case) == before
