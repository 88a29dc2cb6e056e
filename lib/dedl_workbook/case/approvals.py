"""Who planned, approved and ran: another person each, where the target wants that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dedl_workbook.base.errors import GateError, NotApprovedError

Lines = Sequence[Mapping[str, Any]]
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
