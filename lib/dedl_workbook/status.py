"""Where tickets stand, from their ledgers alone: no server is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dedl_workbook import ledger
from dedl_workbook.errors import WorkbookError
from dedl_workbook.reading import read_yaml
from dedl_workbook.steps import STEPS
from dedl_workbook.ticket import Ticket, ticket_file


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
        lines = ledger.read(_archive(ticket.target, root) / ticket.ticket / "ledger.jsonl")
    except WorkbookError as error:
        return file.stem, error.what, "", "", "unreadable", "", ""
    start = (ticket.ticket, ticket.collection, ticket.target)
    if not lines:
        return *start, next(iter(STEPS)), "to do", "", ""
    last = lines[-1]
    who = (last["at"], f"{last['operator']} on {last['host']}")
    step = str(last.get("step", last["event"]))
    if last["event"] == "outcome":
        return *start, step, last["verdict"], *who
    return *start, step, "started" if last["event"] == "started" else last["event"], *who


def _archive(target: str, root: Path) -> Path:
    """Return a target's archive without asking for its secrets."""
    return root / str(read_yaml(root / "parameters" / "targets" / f"{target}.yaml")["archive"])
