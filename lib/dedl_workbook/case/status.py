"""Where tickets stand and what comes next, from their ledgers alone: no server is asked."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import WorkbookError
from dedl_workbook.case import approvals, ledger, lock
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket, ticket_file
from dedl_workbook.publication.standing import Event, Standing, State, standing

_USER = "the user, who was told"
_UNREADABLE = "unreadable"
_URGENT = (
    _UNREADABLE,
    State.FAILED,
    State.UNVERIFIED,
    State.WITHDRAWAL_PLANNED,
    State.PLANNED,
    State.WITHDRAWAL_APPROVED,
    State.APPROVED,
    State.PLAN_REFUSED,
    State.REFUSED,
    State.NEW,
    State.WAITING,
    State.RUNNING,
)
"""In the order in which somebody is needed; what is not here needs nobody."""


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

    @property
    def readable(self) -> bool:
        """Whether it stands somewhere; else its collection says what is wrong with it."""
        return self.state != _UNREADABLE

    def as_json(self) -> dict[str, str]:
        """Return it in its JSON form."""
        return asdict(self)

    def narrow(self, now: dt.datetime) -> tuple[str, ...]:
        """Return what fits into 80 columns, with `NARROW`.

        Args:
            now: UTC; what is of today has its time, not its day.
        """
        at = self.since or self.when
        day, _, time = at.partition("T")
        since = f"today {time[:5]}" if day == now.date().isoformat() else day
        following = f"wait for {self.waiting_for}" if self.waiting_for else self.next
        return self.ticket, self.collection, self.state, since, following


COLUMNS = tuple(field.name.replace("_", " ") for field in fields(Row))
NARROW = ("ticket", "collection", "state", "since", "next")


def rows(root: Path, names: Sequence[str] = ()) -> list[Row]:
    """Return where tickets stand, all of them by default: those first that need somebody.

    One that can't be read has its error in place of its collection; the others are listed.

    Raises:
        InputError: a name that was given is no ticket.
    """
    archive = cache(lambda target: Target.archive_of(target, root))
    files = [ticket_file(name, root) for name in names]
    files = files or list((root / "parameters" / "tickets").glob("*.y*ml"))
    return sorted((_row(file, archive) for file in files), key=urgency)


def urgency(row: Row) -> tuple[int, bool, list[tuple[int, str]]]:
    """Return what a row is sorted by; the numbers in names count as numbers."""
    place = next((place for place, state in enumerate(_URGENT) if row.state == state), len(_URGENT))
    parts = re.findall(r"\d{1,18}|\D+", row.ticket)
    name = [(int(part), "") if part[0] in "0123456789" else (-1, part) for part in parts]
    # A refusal that the user knows of needs nobody here.
    return place, bool(row.waiting_for), name


def _row(file: Path, archive: Callable[[str], Path]) -> Row:
    try:
        ticket = Ticket.load(str(file))
        folder = archive(ticket.target) / ticket.ticket
        lines = ledger.read(folder / "ledger.jsonl")
    except WorkbookError as error:
        return Row(file.stem, error.what, "", _UNREADABLE)
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
        who=_who(deciding),
        next=str(now.move),
    )


def _who(event: Event) -> str:
    return f"{event['operator']} on {event['host']}" if event else ""


@dataclass(frozen=True)
class Story:
    """What became of one ticket."""

    row: Row
    publications: tuple[Mapping[str, Any], ...]
    """Each with number, since, verified (UTC), and ended: by what and when, or ''."""
    attempts: tuple[Mapping[str, str], ...]
    """Those whose outcome counts: step, attempt, verdict, at, by."""
    decisions: tuple[Mapping[str, str], ...]
    """Plans, approvals and refusals of them: event, digest, at, by."""
    same_person: str
    """A sentence where one person planned, approved and ran; else ''."""
    archive: str
    """The case's folder."""
    others: tuple[str, ...]
    """Other open tickets for the same collection."""
    evidence: str
    """The bag; '' if none was packed."""

    def as_json(self) -> dict[str, Any]:
        """Return it in its JSON form, without the row."""
        return {name: value for name, value in asdict(self).items() if name != "row"}

    def lines(self) -> Iterator[str]:
        """Yield it as lines for people."""
        row = self.row
        yield f"{row.ticket}: {row.collection} on {row.target}"
        yield f"  state      {row.state}{f' since {row.since or row.when}' if row.when else ''}"
        if row.waiting_for:
            yield f"  waits for  {row.waiting_for}"
        if self.others:
            yield f"  also open  {', '.join(self.others)}, for the same collection"
        if row.next:
            yield f"  next       dedl-workbook {row.next} {row.ticket}"
        for one in self.publications:
            verified = f"verified {one['verified']}" if one["verified"] else "not verified"
            yield f"  published  {one['since']} (no. {one['number']}), {verified}"
            if one["ended"]:
                yield f"             {one['ended']}"
        for one in self.decisions:
            yield f"  {one['event']:<10} {one['at']} by {one['by']}: {one['digest'][:12]}"
        if self.same_person:
            yield f"             {self.same_person}"
        for one in self.attempts:
            yield f"  {one['step']:<10} {one['verdict']} {one['at']} by {one['by']}"
            yield f"             attempts/{one['attempt']}"
        yield f"  archive    {self.archive}"
        yield f"  evidence   {self.evidence or 'not packed yet: dedl-workbook evidence pack'}"


def others_open(root: Path, ticket: Ticket) -> list[str]:
    """Return other tickets that are to do something with the same collection of the same target."""
    same = (ticket.collection, ticket.target)
    return [
        f"{row.ticket} ({row.state})"
        for row in rows(root)
        if (row.collection, row.target) == same and row.ticket != ticket.ticket
        if row.next or row.state in (State.WAITING, State.RUNNING)
    ]


def story(root: Path, name: str) -> Story:
    """Return what became of one ticket.

    Raises:
        WorkbookError: it, or its ledger, can't be read.
    """
    file = ticket_file(name, root)
    ticket = Ticket.load(str(file))
    folder = Target.archive_of(ticket.target, root) / ticket.ticket
    lines = ledger.read(folder / "ledger.jsonl")
    now = standing(lines)
    bag = folder / "bag"
    return Story(
        _row(file, lambda target: Target.archive_of(target, root)),
        tuple(_publications(lines)),
        tuple(_attempts(now)),
        tuple(
            {"event": x["event"], "digest": x["digest"], "at": x["at"], "by": _who(x)}
            for x in lines
            if x["event"] in ("planned", "approved", "refused")
        ),
        approvals.one_person(lines),
        str(folder),
        tuple(others_open(root, ticket)),
        str(bag) if bag.is_dir() else "",
    )


def _attempts(now: Standing) -> Iterator[Mapping[str, str]]:
    for step, line in now.outcomes.items():
        shown = {"step": str(step), "by": _who(line)}
        yield shown | {key: str(line.get(key, "")) for key in ("attempt", "verdict", "at")}


def _publications(lines: Sequence[Event]) -> Iterator[dict[str, Any]]:
    """Yield each publication as it stood at its end, or stands now."""
    live: dict[str, Any] | None = None
    for place, line in enumerate(lines, start=1):
        if line["event"] not in ("outcome", "superseded", "restored"):
            continue
        now = standing(lines[:place])
        if live and (now.live is None or now.live.since != live["since"]):
            how = f"replaced by {now.superseded_by}" if now.superseded_by else "withdrawn"
            if now.live:
                how = "replaced by the next one"
            yield live | {"ended": f"{how} {line['at']}"}
        live = asdict(now.live) | {"ended": ""} if now.live else None
    if live:
        yield live
