"""Where tickets stand and what comes next, from their ledgers alone: no server is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import WorkbookError
from dedl_workbook.case import ledger
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket, ticket_file
from dedl_workbook.steps.order import STEPS

_STANDS = {
    "started": "running, or cut off",
    "outcome": "",
    "planned": "to be approved",
    "approved": "approved",
    "refused": "refused",
}
"""The events that say where a case stands, and how, where no verdict does."""


class Move(StrEnum):
    """What an operator does next with a ticket."""

    PLAN = "plan"
    APPROVE = "approve"
    RUN = "run"
    WITHDRAW = "withdraw"
    """Go on with a withdrawal that was begun."""
    NOTHING = ""


@dataclass(frozen=True)
class Standing:
    """Where a ticket stands."""

    ticket: str
    collection: str
    target: str
    step: str
    verdict: str
    """Of the step that it came to last; or where it stands in words."""
    waiting_for: str = ""
    since: str = ""
    when: str = ""
    """UTC."""
    who: str = ""
    next: str = ""
    """The next command, without the ticket; '' where nothing is to be done."""

    def as_json(self) -> dict[str, str]:
        """Return it in its JSON form."""
        return asdict(self)


COLUMNS = tuple(field.name.replace("_", " ") for field in fields(Standing))


def standings(root: Path, names: Sequence[str] = ()) -> list[Standing]:
    """Return where tickets stand, all of them by default.

    One that can't be read has its error in place of its collection; the others are listed.

    Raises:
        InputError: a name that was given is no ticket.
    """
    files = [ticket_file(name, root) for name in names]
    return [_standing(file, root) for file in files or sorted(_all(root))]


def rows(root: Path, names: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """Return the same as rows of text, with `COLUMNS`."""
    return [tuple(standing.as_json().values()) for standing in standings(root, names)]


def _all(root: Path) -> list[Path]:
    return list((root / "parameters" / "tickets").glob("*.yaml"))


def _standing(file: Path, root: Path) -> Standing:
    try:
        ticket = Ticket.load(str(file))
        lines = ledger.read(Target.archive_of(ticket.target, root) / ticket.ticket / "ledger.jsonl")
    except WorkbookError as error:
        return Standing(file.stem, error.what, "", "", "unreadable")
    start = (ticket.ticket, ticket.collection, ticket.target)
    told = [line for line in lines if line["event"] in _STANDS]
    if not told:
        return Standing(*start, next(iter(STEPS)), "to do", next=str(Move.PLAN))
    last = told[-1]
    if last.get("step") == "notify" and ledger.withdrawn(told):
        last = next(line for line in reversed(told) if line.get("step") == "withdraw")
    elif last.get("step") == "notify" and ledger.refused(told):
        refused = next(line for line in reversed(told) if line.get("step") == "validate")
        last = refused | {"waiting_for": "the user, who was told", "since": last["at"]}
    elif last.get("verdict") == "passed":
        # What went on meanwhile doesn't end the waiting of another step.
        outcomes = {line["step"]: line for line in told if line["event"] == "outcome"}
        waiting = [line for line in outcomes.values() if line["verdict"] == "waiting"]
        last = waiting[0] if waiting and last["step"] != "withdraw" else last
    return Standing(
        *start,
        str(last.get("step", "plan")),
        str(last.get("verdict") or _STANDS[last["event"]]),
        waiting_for=str(last.get("waiting_for", "")),
        since=str(last.get("since", "")),
        when=last["at"],
        who=f"{last['operator']} on {last['host']}",
        next=str(next_move(lines)),
    )


def next_move(lines: Sequence[Mapping[str, Any]]) -> Move:
    """Return what comes next, from the lines of a ledger."""
    told = [line for line in lines if line["event"] in _STANDS]
    if not told:
        return Move.PLAN
    last = told[-1]
    planned = [line for line in told if line["event"] == "planned"]
    steps = planned[-1].get("steps", ()) if planned else ()
    goes_on = Move.WITHDRAW if "withdraw" in steps else Move.RUN
    if last["event"] == "planned":
        return Move.APPROVE if last.get("changes", 1) else goes_on
    if last["event"] == "refused":
        return Move.PLAN
    if last["event"] != "outcome":
        return goes_on if planned else Move.PLAN
    return _after_outcome(last, goes_on)


def _after_outcome(last: Mapping[str, Any], goes_on: Move) -> Move:
    step, verdict = last["step"], last["verdict"]
    if step == "withdraw":
        return Move.NOTHING if verdict == "passed" else Move.WITHDRAW
    if step == "validate" or verdict == "planned":
        return Move.PLAN
    if step == "notify" and verdict == "passed":
        return Move.NOTHING
    return goes_on
