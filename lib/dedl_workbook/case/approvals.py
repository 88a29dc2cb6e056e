"""Who planned, approved and ran: another person each, and signed, where the target wants that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dedl_workbook.base import signature
from dedl_workbook.base.errors import EvidenceError, GateError, NotApprovedError
from dedl_workbook.base.json import canonical
from dedl_workbook.parameters.sections import Approvals

Lines = Sequence[Mapping[str, Any]]
NAMESPACE = "dedl-approval"
"""What a signature of an approval is for: one made for something else is none."""
ONE_PERSON = "Planned, approved and run by the same person."


def person(line: Mapping[str, Any]) -> str:
    """Return who an event is by: the hub's user or the login, which nobody chooses by a variable.

    Older ledgers have the operator's name alone.
    """
    return str(line.get("hub") or line.get("login") or line.get("operator", ""))


def require_another_planner(lines: Lines, digest: str, approver: Mapping[str, Any]) -> None:
    """Let nobody approve what he or she planned.

    Raises:
        GateError: the approver planned it.
    """
    planners = {person(x) for x in lines if x["event"] == "planned" and x["digest"] == digest}
    if person(approver) in planners:
        raise GateError(
            f"{person(approver)} made this plan: this target wants another person to approve it",
            remedy="Let a colleague read it and approve it.",
        )


def require_another_approver(lines: Lines, digest: str, runner: Mapping[str, Any]) -> None:
    """Let nobody run what he or she approved.

    Raises:
        NotApprovedError: the runner approved it.
    """
    approved = [x for x in lines if x["event"] == "approved" and x["digest"] == digest]
    if not approved or person(approved[-1]) == person(runner):
        raise NotApprovedError(
            f"{person(runner)} approved this plan: this target wants another person to run it",
            remedy="Let whoever planned it run it, or let a colleague approve it.",
        )


def signed(ticket: str, digest: str, head: str, key: Path, settings: Approvals) -> dict[str, str]:
    """Return the approver's signature of a case plan, with the key and, if known, whose it is.

    Args:
        ticket: whose plan.
        digest: the case plan's.
        head: the digest of the ledger's last line: a signature holds at its own place alone.
        key: the approver's.
        settings: the target's.

    Raises:
        InputError: it can't be signed.
        GateError: it is nobody's who may approve.
    """
    statement = _statement(ticket, digest, head)
    text = signature.sign(statement, key, NAMESPACE)
    line = {"signature": text.decode(), "key": signature.fingerprint(key)}
    if settings.allowed_signers is None:
        return line
    try:
        name = _signer(statement, text, settings)
    except EvidenceError as error:
        raise GateError(
            f"this signature doesn't count: it {error.what}",
            where=str(settings.allowed_signers),
            remedy="Sign with the key that stands there for you; or have it added.",
        ) from None
    return line | {"signer": name}


def require_signature(lines: Lines, ticket: str, digest: str, settings: Approvals) -> None:
    """Let nothing be run whose last approval isn't signed by somebody who may still approve.

    Raises:
        NotApprovedError: it isn't signed, or not so.
    """
    remedy = f"Let it be approved again: dedl-workbook approve {ticket} {digest[:12]}"
    approved = [x for x in lines if x["event"] == "approved" and x["digest"] == digest]
    if not approved or "signature" not in approved[-1]:
        raise NotApprovedError("the approval is not signed, as this target wants it", remedy=remedy)
    line = approved[-1]
    try:
        _signer(_statement(ticket, digest, line["previous"]), line["signature"].encode(), settings)
    except EvidenceError as error:
        raise NotApprovedError(f"the approval {error.what}", remedy=remedy) from None


def problems(lines: Lines, approvers: Path | None = None) -> Iterator[str]:
    """Yield what is wrong with the signatures of a ledger's approvals.

    Args:
        lines: the ledger's.
        approvers: a file of allowed signers, of whom one must have signed each approval, at its
            time.
    """
    ticket = next((x["ticket"]["ticket"] for x in lines if isinstance(x.get("ticket"), dict)), "")
    for line in lines:
        text = str(line.get("signature", "")).encode()
        if line["event"] != "approved" or not (text or approvers):
            continue
        where = f"line {line['seq']} of the ledger: the approval"
        if not text:
            yield f"{where} is not signed"
            continue
        statement = _statement(ticket, line["digest"], line["previous"])
        try:
            key = signature.key_of(statement, text, NAMESPACE)
            if approvers:
                signature.signer(statement, text, approvers, NAMESPACE, at=line["at"])
        except EvidenceError as error:
            yield f"{where} {error.what}"
            continue
        if key and key != line.get("key"):
            yield f"{where} is signed with {key}, and should be with {line.get('key')}"


def _statement(ticket: str, digest: str, head: str) -> bytes:
    return canonical({"approves": digest, "ticket": ticket, "after": head})


def _signer(statement: bytes, text: bytes, settings: Approvals) -> str:
    file = settings.allowed_signers
    assert file is not None  # noqa: S101 - the settings' model requires it
    return signature.signer(statement, text, file, NAMESPACE, revoked=settings.revoked_keys)


def one_person(lines: Lines) -> str:
    """Return a sentence where one person planned, approved and ran what was done last; else ''."""
    approved = [place for place, line in enumerate(lines) if line["event"] == "approved"]
    if not approved:
        return ""
    line = lines[approved[-1]]
    planned = [x for x in lines if x["event"] == "planned" and x["digest"] == line["digest"]]
    ran = [x for x in lines[approved[-1] :] if x["event"] == "started" and x["step"] != "plan"]
    persons = {person(x) for x in (*planned, line, *ran)}
    return ONE_PERSON if planned and ran and len(persons) == 1 else ""
