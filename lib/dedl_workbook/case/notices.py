"""What becomes of a ticket, told once to those who look after it, where its target wants that.

The ledger keeps what was told, and as a warning what could not be. A notice never fails a step.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import WorkbookError
from dedl_workbook.base.json import digest
from dedl_workbook.base.text import printable
from dedl_workbook.base.times import today
from dedl_workbook.case import ledger, lock
from dedl_workbook.case.case import Case
from dedl_workbook.parameters.sections import NoticeKind
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.publication.standing import Event, Move, State, standing
from dedl_workbook.services import notices

EVENT = "notice"
log = logging.getLogger(__name__)


def of_run(case: Case, outcomes: Sequence[Outcome]) -> None:
    """Tell what a run, or a plan of it, came to. The case's lock is held."""
    now = standing(case.ledger())
    failed = [outcome for outcome in outcomes if outcome.verdict is Verdict.FAILED]
    waiting = [outcome for outcome in outcomes if outcome.verdict is Verdict.WAITING]
    ticket = case.ticket.ticket
    if failed:
        last = failed[-1]
        _tell(case, "failed", [last.step, last.summary], f"{last.step} failed: {last.summary}")
    elif waiting:
        last = waiting[-1]
        whom, since = last.waiting_for or "somebody", f" since {last.since}" if last.since else ""
        text = f"{last.step} waits for {whom}{since}"
        _tell(case, "waiting", [last.step, last.waiting_for, last.since], text)
    elif now.move is Move.APPROVE:
        plan = now.deciding.get("digest", "")
        command = f"dedl-workbook approve {ticket} {plan[:12]}"
        _tell(case, "to be approved", [plan], f"a plan is to be read and approved: {command}")
    elif now.state is State.PUBLISHED and now.live and any(outcome.step for outcome in outcomes):
        _tell(case, "published", [now.live.since], f"published {now.live.since}, verified")


def of_drift(target: Target, ticket: str, root: Path, differences: Sequence[str]) -> None:
    """Tell that the data lake is not any more as a ticket published it.

    Raises:
        ConflictError: somebody is at its case; the next audit tells.
        WorkbookError: its case can't be read.
    """
    folder = target.archive / ticket
    with lock.hold(folder):
        started = [line for line in ledger.read(folder / "ledger.jsonl") if "ticket" in line]
        case = Case(Ticket.of(started[-1]["ticket"], str(folder)), target, root)
        _of_drift(case, differences)


def _of_drift(case: Case, differences: Sequence[str]) -> None:
    text = f"the publication has drifted: {'; '.join(differences[:3])}"
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    _tell(case, "drifted", list(differences), text + more)


def _tell(case: Case, kind: NoticeKind, subject: Sequence[str], text: str) -> None:
    settings = case.target.notices
    ways = settings.command or settings.webhook or settings.mail
    key = digest([kind, *subject])
    if not ways or kind not in settings.of or not _is_due(case.ledger(), kind, key):
        return
    line = " ".join(printable(f"{case.ticket.ticket} ({case.ticket.collection}): {text}").split())
    notice: dict[str, Any] = {
        "kind": kind,
        "ticket": case.ticket.ticket,
        "collection": case.ticket.collection,
        "target": case.target.name,
        "state": standing(case.ledger()).words,
        "text": line[:1000],
    }
    clean = case.people.value(case.redactor.value(notice))
    try:
        problems = notices.send(clean, settings, case.root)
        case.record(EVENT, kind=kind, key=key, **({"warning": problems} if problems else {}))
    except (WorkbookError, OSError) as error:
        log.warning("the notice was not recorded: %s", error)


def _is_due(lines: Sequence[Event], kind: NoticeKind, key: str) -> bool:
    """Whether something was not told yet; what could not be told is tried again on another day.

    Of a run, the last notice counts: what fails again after it had passed is told again.
    """
    drift = kind == "drifted"
    before = [x for x in lines if x["event"] == EVENT and (x["kind"] == "drifted") == drift]
    if not before or before[-1]["key"] != key:
        return True
    return "warning" in before[-1] and not before[-1]["at"].startswith(today().isoformat())
