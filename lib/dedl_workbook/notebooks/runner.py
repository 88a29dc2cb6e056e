"""Runs the notebooks of a case with papermill, and keeps every one of them as evidence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import (
    EvidenceError,
    InputError,
    NotApprovedError,
)
from dedl_workbook.base.text import nearest
from dedl_workbook.case import lock, notices, readiness
from dedl_workbook.case.case import Case
from dedl_workbook.evidence import cells, packing, sealing
from dedl_workbook.notebooks import attempt as attempts
from dedl_workbook.notebooks import queue
from dedl_workbook.notebooks.kernel import Interrupts, Say, execute, notebook_file
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Cause, Outcome, Verdict
from dedl_workbook.steps.order import NOTIFY, RETIRE, STEPS, UPLOAD, VALIDATE, WITHDRAW, Step
from dedl_workbook.views.failure import Failure, failure_of


def validate(ticket: Ticket, root: Path, say: Say) -> Outcome | None:
    """Validate a ticket's dataset; return None when it has passed as it is already.

    Raises:
        WorkbookError: it could not be run.
    """
    case = Case.of(ticket, root)
    with lock.hold(case.folder):
        if case.passed(VALIDATE.name, case.job.fingerprint):
            return None
        outcome = run_step(case, VALIDATE, say)
        notices.of_run(case, [outcome])
        return outcome


def plan(ticket: Ticket, root: Path, say: Say) -> dict[str, Any]:
    """Plan all changes of a ticket at once; for a refused dataset, the reply to the user.

    Raises:
        WorkbookError: it could not be run; nothing was changed.
    """
    case = Case.of(ticket, root)
    with lock.hold(case.folder):
        case_plan = _all_planned(case, say)
        notices.of_run(case, [])
        return case_plan


def run(
    ticket: Ticket, root: Path, steps: Sequence[Step], say: Say, *, again: bool = False
) -> Iterator[Outcome]:
    """Run steps of a ticket in their order, and yield each outcome; one that failed ends it.

    Validating is left out when it has passed for the dataset as it is. Without an approval, all
    steps are planned, and nothing is changed. A step that waits for somebody holds up those that
    need it, and no others. After a refusal, the user is told if that was approved.

    A ticket with nothing left to do, or which still waits, yields that alone, unless `again`: then
    every step looks once more. Steps that are named are always run.

    Raises:
        GateError: a withdrawal of the ticket is open.
        WorkbookError: it could not be run; nothing was changed.
    """
    case = Case.of(ticket, root)
    with lock.hold(case.folder):
        outcomes = []
        for outcome in _run(case, steps, say, again=again):
            outcomes.append(outcome)
            yield outcome
        notices.of_run(case, outcomes)


def _run(case: Case, steps: Sequence[Step], say: Say, *, again: bool) -> Iterator[Outcome]:
    queue.require_no_withdrawal(case)
    if len(steps) == len(STEPS) and not again and (outcome := queue.nothing_to_do(case)):
        yield outcome
        return
    held_up: set[str] = set()
    looked_for_approval = False
    for step in steps:
        case = Case.of(case.ticket, case.root)
        asked_for = len(steps) == 1
        if step.once and not asked_for and case.passed(step.name, case.job.fingerprint):
            continue
        if held_up.intersection(step.needs):
            held_up.add(step.name)
            continue
        if step.changes and not looked_for_approval:
            looked_for_approval = True
            if outcome := _unapproved(case, say):
                yield outcome
                return
        outcome = run_step(case, step, say)
        yield outcome
        if outcome.verdict is Verdict.WAITING:
            held_up.add(step.name)
        elif outcome.verdict is not Verdict.PASSED:
            if step is VALIDATE and _approved_steps(case) == [NOTIFY.name]:
                yield run_step(case, NOTIFY, say)
            return


def failure(ticket: Ticket, root: Path) -> Failure | None:
    """Return where the last attempt that failed did so; None: there is none."""
    case = Case.of(ticket, root)
    for line in reversed(case.ledger()):
        if line["event"] == "outcome" and line["verdict"] == Verdict.FAILED:
            return failure_of(case.folder / "attempts" / line["attempt"])
    return None


def withdraw(ticket: Ticket, root: Path, say: Say) -> tuple[list[Outcome], dict[str, Any]]:
    """Take a ticket's publication back and tell the user, if exactly that is approved.

    Returns:
        The outcomes; and, as long as it isn't approved as it stands, the plan.

    Raises:
        WorkbookError: it could not be run; nothing was changed.
    """
    case = Case.of(ticket, root)
    with lock.hold(case.folder):
        outcomes = []
        if WITHDRAW.name in _approved_steps(case) or ticket.approve == "any":
            outcomes.append(run_step(case, WITHDRAW, say))
        if not outcomes or outcomes[-1].verdict is Verdict.PLANNED:
            say("planning the withdrawal")
            case_plan = Case.of(ticket, root).plan_withdrawal()
            say("")
            notices.of_run(case, outcomes)
            return outcomes, case_plan
        if outcomes[-1].verdict is Verdict.PASSED:
            outcomes.append(run_step(case, NOTIFY, say))
        notices.of_run(case, outcomes)
        return outcomes, {}


def retire(ticket: Ticket, root: Path, say: Say) -> tuple[list[Outcome], dict[str, Any]]:
    """Delete the objects that a ticket no longer needs, if exactly that is approved.

    Returns:
        The outcome; and, as long as it isn't approved as it stands, the plan.

    Raises:
        WorkbookError: it could not be run; nothing was changed.
    """
    case = Case.of(ticket, root)
    with lock.hold(case.folder):
        outcomes = []
        if RETIRE.name in _approved_steps(case, RETIRE.name) or ticket.approve == "any":
            outcomes.append(run_step(case, RETIRE, say))
        if outcomes and outcomes[-1].verdict is not Verdict.PLANNED:
            return outcomes, {}
        say("looking for what is no longer needed")
        case_plan = Case.of(ticket, root).plan_retirement()
        say("")
        return outcomes, case_plan


def _approved_steps(case: Case, step: str = "") -> list[str]:
    try:
        return list((case.approved_plan(step) or {}).get("steps", {}))
    except (NotApprovedError, EvidenceError):
        return []


def _all_planned(case: Case, say: Say) -> dict[str, Any]:
    say("planning all steps")
    try:
        return case.plan()
    finally:
        say("")


def _unapproved(case: Case, say: Say) -> Outcome | None:
    """Plan all steps if no plan of them is approved; return the outcome if that leaves work."""
    if UPLOAD.name in _approved_steps(case):
        return None
    case_plan = _all_planned(case, say)
    if case.ticket.approve == "any" or not any(s["actions"] for s in case_plan["steps"].values()):
        return None
    refused = f" {case_plan['refused']}." if case_plan["refused"] else ""
    summary = f"Nothing was changed, since no plan is approved.{refused} "
    if UPLOAD.name in case_plan["steps"] and (obstacle := readiness.obstacle(case)):
        summary += f"It can't be approved yet: {obstacle}"
    else:
        summary += f"Read it ({case_plan['page']}), then:\n"
        summary += f"dedl-workbook approve {case.ticket.ticket} {case_plan['digest']}"
    return Outcome("plan", Verdict.PLANNED, summary)


def run_step(case: Case, step: Step, say: Say) -> Outcome:
    """Run one step's notebook as a new attempt of the case, and return its outcome.

    The attempt's folder holds the executed notebook as .ipynb and .html whatever happened.

    Raises:
        InputError: the step's notebook is missing.
        KeyboardInterrupt: it was ended by Ctrl-C or a signal; that is recorded.
    """
    source = notebook_file(case.root, step)
    sealing.seal_rest(case)
    with Interrupts() as interrupts:
        folder = case.new_attempt(step.name)
        error = execute(case, step, source, folder, say, interrupts)
        outcome = _outcome(case, step, folder, error)
        sealing.seal_rest(case)
        if step.tells and outcome.verdict is Verdict.PASSED:
            packing.pack_again(case, say)
    if interrupts.came:
        raise KeyboardInterrupt
    return outcome


def _outcome(case: Case, step: Step, folder: Path, error: BaseException | None) -> Outcome:
    """Return what the kernel concluded; what it could not conclude any more is a failure."""
    file = folder / "outcome.json"
    if file.is_file():
        document = json.loads(file.read_bytes())
        outcome = Outcome(
            step.name,
            Verdict(document["verdict"]),
            document["summary"],
            waiting_for=document["waiting_for"],
            since=document["since"],
            detail=document["detail"],
        )
        shown = cells.shown(folder)
        if outcome.verdict is Verdict.FAILED or (shown.whole and error is None):
            return outcome
        reason = shown.sentence() if error is None else attempts.failure(step.name, error).summary
        outcome = Outcome(
            step.name, Verdict.FAILED, f"the notebook did not end well: {reason}", cause=Cause.ERROR
        )
    elif error is not None:
        outcome = attempts.failure(step.name, error)
    else:
        outcome = Outcome(
            step.name, Verdict.FAILED, "the notebook ended without a verdict", cause=Cause.ERROR
        )
    case.record_outcome(folder, outcome, "")
    return outcome


def steps_from(first: str | None = None, only: str | None = None) -> list[Step]:
    """Return the steps to run: all, from one on, or one alone.

    Raises:
        InputError: there is no step of that name.
    """
    names = list(STEPS)
    for name in (first, only):
        if name and name not in STEPS:
            raise InputError(
                f"there is no step {name!r}",
                remedy=nearest(name, names) or f"Steps: {', '.join(names)}.",
            )
    if only:
        return [STEPS[only]]
    return [STEPS[name] for name in names[names.index(first) if first else 0 :]]
