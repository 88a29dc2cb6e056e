"""Notify: tells the user in the ticket, once: accepted, refused, or withdrawn.

The procedure's last step. What is approved is the letter and the names of what goes with it; what
can't be known before (the digest of the evidence, sizes) is filled in when it is sent. What was
sent lies in the case's folder `sent`, and a second try sends the very same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dedl_workbook.publication.job import Action, Check, Job, Outcome, Plan, Receipt, judged
from dedl_workbook.publication.standing import Kind, standing
from dedl_workbook.services import helpdesk
from dedl_workbook.services.helpdesk import Desk, Message
from dedl_workbook.services.pool import anchors
from dedl_workbook.steps.notify import archive, reply
from dedl_workbook.steps.notify.letters import letter
from dedl_workbook.steps.notify.reply import Parcel

STEP = "notify"


@dataclass(frozen=True)
class _Sending:
    """What is to be sent where; the same whenever it is asked for the same."""

    job: Job
    kind: Kind

    @cached_property
    def desk(self) -> Desk:
        return helpdesk.open_desk(self.job.target, self.job.case)

    @cached_property
    def draft(self) -> reply.Draft:
        return reply.draft(self.job, self.kind)

    @property
    def ticket(self) -> str:
        return self.job.ticket.ticket

    @property
    def marker(self) -> str:
        return helpdesk.mark(self.ticket, self.kind, self.draft.identity)

    @property
    def evidence_marker(self) -> str:
        return helpdesk.mark(self.ticket, f"{self.kind}-evidence", self.draft.identity)

    @property
    def folder(self) -> Path:
        """Where the parcel lies."""
        return self.job.case / "sent" / f"{self.kind}-{self.marker[:12]}"

    def parcel(self) -> Parcel | None:
        return reply.load(self.folder)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each attachment, as it would be sent; 0: it isn't made yet."""
        return {
            name: reply.size_of(self.job, name, source)
            for name, source in self.draft.attachments.items()
        }

    def reply_sent(self) -> str | None:
        return self.desk.sent(self.ticket, self.marker)

    def evidence_sent(self) -> str | None:
        return self.desk.sent(self.ticket, self.evidence_marker)


def plan(job: Job, kind: Kind | None = None) -> Plan:
    """Look whether the user was told, and show the very letter. Changes nothing.

    Args:
        job: whose user.
        kind: what the user is told; default: refused if the last validation failed, else accepted.

    Raises:
        InputError: no such ticket, or the dataset wasn't validated yet.
        ServiceError: the help desk doesn't answer.
    """
    sending = _Sending(job, kind or standing(job.events).kind)
    desk, draft = sending.desk, sending.draft
    place = desk.find(sending.ticket)
    reference = sending.reply_sent()
    parcel = sending.parcel()
    names = list(draft.attachments)
    goal = {
        "tells": sending.kind,
        "ticket": sending.ticket,
        "desk": desk.place,
        "letter": draft.identity,
        "attachments": names,
        "evidence": "internal comment" if desk.comments else "archive, its digest in the reply",
    }
    if bucket := job.target.evidence.bucket:
        goal["larger_evidence"] = f"s3://{bucket}"
    if sending.kind != "refused":
        # Nothing of what was refused is in the pool, so nothing of its ledger either.
        goal["ledger_named_in"] = anchors.place(job.target.s3, job.prefix)
    detail: dict[str, Any] = {
        "to": place,
        "subject": draft.subject,
        "text": parcel.text if parcel else draft.text,
        "attachments": [
            {"name": name, "bytes": size or "not made yet"}
            for name, size in sending.sizes().items()
        ],
    }
    if reference:
        detail["told"] = reference
    return Plan(STEP, job, goal, {}, tuple(_actions(sending, reference)), detail)


def _actions(sending: _Sending, reference: str | None) -> Iterator[Action]:
    where = f"the ticket {sending.ticket} in {sending.desk.place}"
    if sending.desk.comments and not sending.evidence_sent():
        yield Action("attach", f"the evidence to {where}, as an internal comment")
    if reference:
        return
    verb = "send" if sending.desk.delivers else "lay out"
    yield Action(verb, f"the reply that it is {sending.kind} to {where}")
    for name, size in sending.sizes().items():
        yield Action("attach", name, 1, size)
    if sending.kind != "refused":
        where = anchors.place(sending.job.target.s3, sending.job.prefix)
        yield Action("name", f"the ledger's last line in {where}")


def apply(plan: Plan) -> Receipt:
    """Send what isn't sent yet; store a copy first, which a second try would send.

    Raises:
        GateError: an executed notebook, or the evidence, is missing.
        InputError: no such ticket, or an attachment is too large.
        ServiceError: the help desk refuses or doesn't answer; running again sends nothing twice.
    """
    begun = time.monotonic()
    sending = _Sending(plan.job, plan.goal["tells"])
    limit = plan.job.target.helpdesk.attachment_limit
    parcel = _parcel(sending, limit)
    done: dict[str, Any] = {"tells": sending.kind, "evidence": parcel.evidence}
    if parcel.place:
        archive.put(plan.job, parcel.pack)
        done["archived"] = parcel.place
    if sending.desk.comments:
        comment = helpdesk.deliver(
            sending.desk, _comment(sending, parcel), limit=limit, internal=True
        )
        done["evidence_in"] = comment.reference
    else:
        done["evidence_in"] = str(parcel.pack.path)
    sent = helpdesk.deliver(sending.desk, _reply(sending, parcel), limit=limit)
    done |= {"reply": sent.reference, "sent_before": sent.already}
    done["attachments"] = len(parcel.attachments)
    return Receipt(STEP, done, time.monotonic() - begun)


def _parcel(sending: _Sending, limit: int) -> Parcel:
    """Return what is sent: the parcel of an earlier try, or else a new one."""
    parcel = sending.parcel()
    # What the desk has is never made anew. A limit that was lowered since makes another reply.
    if parcel is not None and (parcel.limit == limit or sending.reply_sent()):
        return parcel
    return reply.store(
        sending.job,
        sending.kind,
        sending.draft,
        sending.folder,
        limit,
        comments=sending.desk.comments,
    )


def _reply(sending: _Sending, parcel: Parcel) -> Message:
    return Message(
        sending.ticket,
        sending.kind,
        parcel.subject,
        parcel.text,
        sending.marker,
        parcel.attachments,
    )


def _comment(sending: _Sending, parcel: Parcel) -> Message:
    subject, text = letter(
        "evidence",
        ticket=sending.ticket,
        collection=sending.job.ticket.collection,
        evidence=parcel.evidence_lines,
        digest=parcel.evidence,
    )
    fits = parcel.pack.size <= parcel.limit
    files = (parcel.pack,) if fits else ()
    return Message(sending.ticket, "evidence", subject, text, sending.evidence_marker, files)


def check(plan: Plan) -> Outcome:
    """Read the reply back from the help desk, and compare it with the parcel.

    Raises:
        ServiceError: the help desk doesn't answer.
    """
    sending = _Sending(plan.job, plan.goal["tells"])
    where, parcel = sending.desk.place, sending.parcel()
    if parcel is None:
        missing = Check("kept copy", False, f"there is none of what was sent in {sending.folder}")
        return judged(STEP, [missing], "")
    reference = sending.reply_sent()
    checks = [Check("the reply is there", reference is not None, reference or f"not in {where}")]
    if reference:
        checks += _compared("reply", sending, reference, _reply(sending, parcel))
    if sending.desk.comments:
        comment = sending.evidence_sent()
        checks.append(
            Check("the evidence is there", comment is not None, comment or f"not in {where}")
        )
        if comment:
            checks += _compared("comment", sending, comment, _comment(sending, parcel))
    whole = parcel.pack.path.is_file() and parcel.pack.sha256 == parcel.pack_sha256
    checks.append(Check("evidence kept", whole, f"{parcel.pack.path}, {parcel.evidence}"))
    if parcel.place:
        there = archive.holds(plan.job, parcel.pack_sha256)
        checks.append(Check("evidence in the archive's bucket", there, parcel.place))
    summary = f"The user was told that the dataset is {sending.kind}: {reference}"
    if not sending.desk.delivers:
        summary = f"The reply is laid out, for a person to send: {reference}"
    return judged(STEP, checks, summary, reference=reference, evidence=parcel.evidence)


def _compared(what: str, sending: _Sending, reference: str, message: Message) -> Iterator[Check]:
    posted = sending.desk.read(sending.ticket, reference)
    same = posted.text.strip() == message.text.strip()
    yield Check(f"text of the {what}", same, "as sent" if same else "is not what was sent")
    wanted = {a.name: a.sha256 for a in message.attachments}
    wrong = sorted(
        name
        for name in wanted.keys() | posted.attachments.keys()
        if wanted.get(name) != posted.attachments.get(name)
    )
    summary = f"{len(posted.attachments)} read back"
    summary += f"; missing, changed or added: {', '.join(wrong)}" if wrong else ""
    yield Check(f"attachments of the {what}", not wrong, summary)
