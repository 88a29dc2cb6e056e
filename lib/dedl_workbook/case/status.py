"""Where tickets stand and what comes next, from their ledgers alone: no server is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from dedl_workbook.base.errors import WorkbookError
from dedl_workbook.case import ledger, lock
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket, ticket_file
from dedl_workbook.publication.standing import State, standing

_USER = "the user, who was told"


@dataclass(frozen=True)
class Row:
    """Where a ticket stands, in text."""

    ticket: str
    collection: str
    target: str
    state: str
    """In the words of `publication.standing`; or 'unreadable'."""
    step: str = ""
    """The step that decided it."""
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


COLUMNS = tuple(field.name.replace("_", " ") for field in fields(Row))


def rows(root: Path, names: Sequence[str] = ()) -> list[Row]:
    """Return where tickets stand, all of them by default.

    One that can't be read has its error in place of its collection; the others are listed.

    Raises:
        InputError: a name that was given is no ticket.
    """
    files = [ticket_file(name, root) for name in names]
    return [_row(file, root) for file in files or sorted(_all(root))]


def _all(root: Path) -> list[Path]:
    return list((root / "parameters" / "tickets").glob("*.yaml"))


def _row(file: Path, root: Path) -> Row:
    try:
        ticket = Ticket.load(str(file))
        folder = Target.archive_of(ticket.target, root) / ticket.ticket
        lines = ledger.read(folder / "ledger.jsonl")
    except WorkbookError as error:
        return Row(file.stem, error.what, "", "unreadable")
    now = standing(lines, running=bool(lock.holder(folder)))
    deciding = now.deciding
    waits = now.state is State.WAITING
    informed = now.state is State.REFUSED and now.informed
    return Row(
        ticket.ticket,
        ticket.collection,
        ticket.target,
        now.words,
        str(deciding.get("step", "")),
        waiting_for=_USER if informed else str(deciding.get("waiting_for", "")) if waits else "",
        since=str(deciding.get("since") or deciding["at"]) if waits or informed else "",
        when=str(deciding.get("at", "")),
        who=f"{deciding['operator']} on {deciding['host']}" if deciding else "",
        next=str(now.move),
    )
