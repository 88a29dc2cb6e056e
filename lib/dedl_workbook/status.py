"""Where tickets stand, from their ledgers alone: no server is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dedl_workbook import ledger
from dedl_workbook.errors import WorkbookError
from dedl_workbook.steps import STEPS
from dedl_workbook.target import Target
from dedl_workbook.ticket import Ticket, ticket_file

_STANDS = {
    "started": "running, or cut off",
    "outcome": "",
    "planned": "planned",
    "approved": "approved",
}
"""The events that say where a case stands, and how, where no verdict does."""


def rows(root: Path, names: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """Return a row a ticket: ticket, collection, target, step, verdict, when (UTC), who.

    A ticket that can't be read has its error in place of its collection; all are listed.

    Raises:
        InputError: a name that was given is no ticket.
    """
    files = [ticket_file(name, root) for name in names]
    return [_row(file, root) for file in files or sorted(_all(root))]


def _all(root: Path) -> list[Path]:
    return list((root / "parameters" / "tickets").glob("*.yaml"))


def _row(file: Path, root: Path) -> tuple[str, ...]:
    try:
        ticket = Ticket.load(str(file))
        lines = ledger.read(Target.archive_of(ticket.target, root) / ticket.ticket / "ledger.jsonl")
    except WorkbookError as error:
        return file.stem, error.what, "", "", "unreadable", "", ""
    start = (ticket.ticket, ticket.collection, ticket.target)
    told = [line for line in lines if line["event"] in _STANDS]
    if not told:
        return *start, next(iter(STEPS)), "to do", "", ""
    last = told[-1]
    if last.get("step") == "notify" and ledger.withdrawn(told):
        last = next(line for line in reversed(told) if line.get("step") == "withdraw")
    verdict = str(last.get("verdict") or _STANDS[last["event"]])
    who = (last["at"], f"{last['operator']} on {last['host']}")
    return *start, str(last.get("step", "plan")), verdict, *who
