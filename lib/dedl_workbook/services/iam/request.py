"""The request to the IAM service for roles: its text, and sending it once only.

A record is written before and after sending. After a crash in between, the channel is asked
whether the request got through, by the reference that stands in its text.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from string import Template
from typing import Protocol

from dedl_workbook.base.errors import ServiceError
from dedl_workbook.base.files import next_number, write_atomic
from dedl_workbook.base.json import digest, pretty
from dedl_workbook.base.times import instant
from dedl_workbook.parameters.target import Iam
from dedl_workbook.publication.job import Job
from dedl_workbook.services.helpdesk import Desk, Message, deliver, plain

RECORD = "access-request.json"
_NAME = "iam-request.txt"


class Channel(Protocol):
    """A way to the IAM service. Its methods can raise ServiceError."""

    @property
    def delivers(self) -> bool:
        """Whether what is sent arrives; otherwise a person passes it on."""

    def find(self, reference: str) -> str:
        """Return where a request with this reference was sent to, or the empty string."""

    def send(self, reference: str, text: str) -> str:
        """Send a request; return where to."""


@dataclass(frozen=True)
class Outbox:
    """A folder of texts that a person sends on."""

    folder: Path

    @property
    def delivers(self) -> bool:
        """A person does."""
        return False

    def find(self, reference: str) -> str:
        """Return the file of a request, or the empty string."""
        line = f"Reference: {reference}"
        for file in sorted(self.folder.glob(f"[0-9]*-{_NAME}")):
            if line in file.read_text("utf-8").splitlines():
                return str(file)
        return ""

    def send(self, reference: str, text: str) -> str:
        """Write the text, whole or not at all, as the folder's next file."""
        file = self.folder / f"{next_number(self.folder)}-{_NAME}"
        write_atomic(file, text)
        return str(file)


@dataclass(frozen=True)
class ByDesk:
    """The ticket in the help desk; as a comment that the user doesn't see, where there are some."""

    desk: Desk
    ticket: str

    @property
    def delivers(self) -> bool:
        """As the desk does."""
        return self.desk.delivers

    def find(self, reference: str) -> str:
        """Return the message's reference in the desk, or the empty string."""
        return self.desk.sent(self.ticket, reference) or ""

    def send(self, reference: str, text: str) -> str:
        """Post the text; after a time-out, ask whether the desk has it."""
        subject = f"{self.ticket}: roles are asked of the IAM service"
        message = Message(self.ticket, "iam-request", subject, plain(text), reference)
        return deliver(self.desk, message, limit=0, internal=self.desk.comments).reference


@dataclass(frozen=True)
class Record:
    """What is known of a request; without `where` it may or may not have been sent."""

    reference: str
    at: str
    """When, in UTC."""
    where: str = ""


def reference(job: Job, iam: Iam) -> str:
    """Return what tells this request from others: other roles are another request."""
    ticket = job.ticket
    asked = [ticket.ticket, ticket.collection, sorted(ticket.roles), iam.issuer, iam.account]
    return f"{ticket.ticket}-{digest(asked)[:12]}"


def render(job: Job, iam: Iam, at: str) -> str:
    """Return the text of the request.

    Args:
        job: what is published.
        iam: the target's settings.
        at: when it is sent; ISO 8601.
    """
    template = resources.files(__package__).joinpath("request.txt").read_text("utf-8")
    day = instant(at).date()
    ticket = job.ticket
    roles = "\n".join(f"  - {role}" for role in sorted(set(ticket.roles)))
    values: Mapping[str, object] = {
        "ticket": ticket.ticket,
        "collection": ticket.collection,
        "date": day,
        "reference": reference(job, iam),
        "issuer": iam.issuer,
        "account": iam.account,
        "board_reference": ticket.board_reference or "not yet known",
        "board_date": ticket.board_date or "no date",
        "by": day + dt.timedelta(days=iam.answer_days),
        "contact": iam.contact or f"the ticket {ticket.ticket}",
    }
    # One line each, so that what is written in a ticket can't pass for another line of the text.
    lines = {key: " ".join(str(value).split()) for key, value in values.items()}
    return Template(template).substitute(lines, roles=roles)


def sent(job: Job, iam: Iam) -> Record | None:
    """Return the record of this very request, if it was sent."""
    record = _read(job)
    if record is None or record.reference != reference(job, iam) or not record.where:
        return None
    return record


def send(job: Job, iam: Iam, channel: Channel, at: str) -> Record:
    """Send the request, unless it was sent already, and record it.

    Raises:
        ServiceError: it can't be sent; the next run tries again.
    """
    begun = _read(job)
    if begun is None or begun.reference != reference(job, iam):
        begun = Record(reference(job, iam), at)
    if begun.where:
        return begun
    _write(job, begun)
    try:
        where = channel.find(begun.reference)
        where = where or channel.send(begun.reference, render(job, iam, begun.at))
    except OSError as error:
        raise ServiceError(
            f"the request to the IAM service can't be written: {error.strerror}",
            where=str(error.filename),
            remedy="Fix that, then run again; nothing was sent.",
        ) from error
    done = replace(begun, where=where)
    _write(job, done)
    return done


def _read(job: Job) -> Record | None:
    file = job.folder / RECORD
    return Record(**json.loads(file.read_bytes())) if file.is_file() else None


def _write(job: Job, record: Record) -> None:
    write_atomic(job.folder / RECORD, pretty(asdict(record)))
