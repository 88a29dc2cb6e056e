"""What the archive knows of a collection's last publication."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import WorkbookError
from dedl_workbook.base.json import parse
from dedl_workbook.case import ledger
from dedl_workbook.dataset.dataset import fingerprint
from dedl_workbook.parameters.fields import StepName
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Job
from dedl_workbook.publication.standing import standing

Events = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Record:
    """A ticket's publication, as its case records it."""

    ticket: Ticket
    folder: Path
    """The case's."""
    passed: Mapping[str, Mapping[str, Any]]
    """The last line of the ledger for each step that passed."""
    job: Job

    @cached_property
    def delivered(self) -> Job | None:
        """The job of the delivered dataset, if it is still there as it was published."""
        try:
            same = fingerprint(self.job.dataset) == self.passed[StepName.CATALOG]["dataset"]
        except WorkbookError:
            return None
        return self.job if same else None

    @property
    def edition(self) -> int:
        """The edition of its files that was published; 0 where the case lost it: the last one."""
        prefix = str(dict(self._record("upload", "plan.json").get("goal") or {}).get("prefix", ""))
        own = prefix.removeprefix(self.job.prefix).rstrip("/")
        return int(own) if own.isdecimal() else int(bool(prefix))

    def goal(self, step: str) -> dict[str, Any]:
        """Return what a step had reached when it passed, or nothing where the case lost it."""
        return dict(self._record(step, "outcome.json").get("detail", {}).get("goal") or {})

    def before(self, step: str) -> dict[str, Any]:
        """Return what a step had found before its first change."""
        return dict(self._record(step, "plan.json").get("before") or {})

    def _record(self, step: str, name: str) -> dict[str, Any]:
        attempt = str(self.passed.get(step, {}).get("attempt", ""))
        path = self.folder / "attempts" / attempt / name
        try:
            record = parse(path.read_bytes())
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}


def mentions(root: Path, target: str, collection: str) -> bool:
    """Return whether a ticket in a target's archive published the collection, and it stands."""
    try:
        archive = Target.archive_of(target, root)
    except WorkbookError:
        return False
    return any(True for _ in _cases(archive, collection))


def last(target: Target, collection: str, root: Path) -> Record | None:
    """Return the last publication of a collection that wasn't withdrawn, or None.

    Raises:
        EvidenceError: a ledger's chain is broken.
    """
    latest = max(
        _cases(target.archive, collection),
        key=lambda case: str(case[2][StepName.CATALOG]["at"]),
        default=None,
    )
    if latest is None:
        return None
    folder, of, passed, events = latest
    job = Job(of, target, folder / "work", root, events=events)
    record = Record(of, folder, passed, job)
    return replace(record, job=replace(job, edition=record.edition))


def jobs(target: Target, collection: str, root: Path) -> Iterator[Job]:
    """Yield a job for each ticket of a collection that the archive has, live or not.

    Raises:
        EvidenceError: a ledger's chain is broken.
    """
    for folder, ticket, events in _tickets(target.archive, collection):
        yield Job(ticket, target, folder / "work", root, events=events)


def _cases(
    archive: Path, collection: str
) -> Iterator[tuple[Path, Ticket, Mapping[str, Mapping[str, Any]], Events]]:
    for folder, ticket, lines in _tickets(archive, collection):
        now = standing(lines)
        if now.live and StepName.CATALOG in now.passed:
            yield folder, ticket, now.passed, lines


def _tickets(archive: Path, collection: str) -> Iterator[tuple[Path, Ticket, Events]]:
    for file in sorted(archive.glob("*/ledger.jsonl")):
        lines = ledger.read(file)
        tickets = [line["ticket"] for line in lines if line["event"] == "started"]
        if not tickets or tickets[-1].get("collection") != collection:
            continue
        yield file.parent, Ticket.of(tickets[-1], str(file)), lines


def ticket(known: Record | None, target: Target, collection: str) -> Ticket:
    """Return the ticket of a publication, or for what was published by hand a stand-in."""
    if known is not None:
        return known.ticket
    values = {"ticket": "audit", "dataset": "-", "collection": collection, "target": target.name}
    return Ticket.of(values, "the audit")
