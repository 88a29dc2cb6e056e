"""What is known of a ticket before any notebook of it is started.

Most tickets of a nightly run have nothing left to do, or wait for somebody. The ledger says so, and
one look at what a ticket waits for; no attempt is made of it.
"""

from __future__ import annotations

from dedl_workbook.base.errors import GateError, WorkbookError
from dedl_workbook.base.times import today
from dedl_workbook.case.case import Case, terms
from dedl_workbook.parameters.fields import StepName
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.publication.standing import Move, Standing, State, standing
from dedl_workbook.steps.order import STEPS, Step

NOTHING = ""
"""The step of an outcome that is of no step: nothing was to be done."""
STILL_WAITING = "still waiting"


def require_no_withdrawal(case: Case) -> None:
    """Let nothing be run while a withdrawal is open.

    Raises:
        GateError: one is planned, or approved and not done.
    """
    now, ticket = standing(case.ledger()), case.ticket.ticket
    if now.withdrawal:
        raise GateError(
            f"a withdrawal of this ticket is {now.withdrawal}: nothing is run",
            where=ticket,
            remedy=f"Go on with it: dedl-workbook withdraw {ticket}; or refuse its plan.",
        )


def nothing_to_do(case: Case) -> Outcome | None:
    """Return the outcome of a ticket for which nothing can be done now; None: there is something.

    Raises:
        WorkbookError: what the ticket waits for can't be asked.
    """
    now = standing(case.ledger())
    if now.state is State.SUPERSEDED:
        summary = f"left alone; superseded by {now.superseded_by}"
        return Outcome(NOTHING, Verdict.PASSED, f"{summary} {_day(now.deciding['at'])}")
    if now.state is State.WITHDRAWN and now.move is Move.NOTHING:
        return Outcome(
            NOTHING, Verdict.PASSED, f"nothing left to do; withdrawn {_day(now.deciding['at'])}"
        )
    if now.live and now.move is Move.NOTHING and _unchanged(case, now):
        verified = "verified" if now.live.verified else "not verified"
        return Outcome(
            NOTHING,
            Verdict.PASSED,
            f"nothing left to do; published {_day(now.live.since)}, {verified}",
        )
    return _still_waiting(case, now)


def _day(at: str) -> str:
    return at.partition("T")[0]


def _unchanged(case: Case, now: Standing) -> bool:
    """Whether ticket and dataset are those that were published; a dataset that is gone is."""
    published = now.passed.get(StepName.CATALOG, {})
    known = str(published.get("terms", ""))
    if ":" in known and known != terms(case.ticket, case.target):
        return False
    try:
        return case.job.fingerprint == published.get("dataset")
    except WorkbookError:
        return True


def _still_waiting(case: Case, now: Standing) -> Outcome | None:
    """Ask for what a ticket waits for, where nothing else can go on; None: it can be run."""
    waiting = [step for step in STEPS.values() if _waits(now, step)]
    held_up: set[str] = set()
    for step in STEPS.values():
        if step in waiting or held_up.intersection(step.needs):
            held_up.add(step.name)
    if not waiting or not held_up.issuperset(now.missing):
        return None
    outcomes = [_asked(case, step) for step in waiting]
    if any(outcome is None or outcome.verdict is not Verdict.WAITING for outcome in outcomes):
        return None
    for outcome in outcomes:
        if outcome is not None:
            _record_once_a_day(case, outcome)
    return outcomes[0]


def _waits(now: Standing, step: Step) -> bool:
    return now.outcomes.get(step.name, {}).get("verdict") == Verdict.WAITING


def _asked(case: Case, step: Step) -> Outcome | None:
    """Look whether what a step waits for has come; None: there is something to do first."""
    if step.change is None:
        return None
    change = step.change()
    plan = change.plan(case.job)
    return None if plan.actions else change.check(plan)


def _record_once_a_day(case: Case, outcome: Outcome) -> None:
    before = [
        line
        for line in case.ledger()
        if line["event"] == STILL_WAITING
        and line["step"] == outcome.step
        and _day(line["at"]) == today().isoformat()
    ]
    if not before:
        case.record(
            STILL_WAITING,
            step=outcome.step,
            waiting_for=outcome.waiting_for,
            since=outcome.since,
        )
