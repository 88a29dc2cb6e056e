"""Access: who may see a restricted dataset is asked of the IAM service, and seen in a token.

The procedure's step 1: contact the IAM service for the roles, then verify that they are in the
user's access token. We make no roles ourselves. Roles reach only tokens that are issued after they
were granted, so a fresh one is got at each check.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from dedl_workbook.base.errors import InputError, WorkbookError
from dedl_workbook.base.times import instant, now
from dedl_workbook.parameters.target import Iam, prefix
from dedl_workbook.publication.job import Action, Check, Job, Outcome, Plan, Receipt, Verdict
from dedl_workbook.services.helpdesk import open_desk
from dedl_workbook.services.iam import TokenError, fresh_token, request, roles, verify
from dedl_workbook.services.iam.verification import LEEWAY_SECONDS

STEP = "access"
PUBLIC = "Nothing to do: the dataset is public."


def plan(job: Job) -> Plan:
    """Plan the request for the ticket's roles, unless it was sent or a token holds them all.

    Raises:
        InputError: the ticket is restricted and the target knows no IAM service.
    """
    if job.ticket.access == "public":
        return Plan(STEP, job, {"access": "public"}, {}, (), {"note": PUBLIC})
    iam, wanted = _iam(job), _wanted(job)
    goal = {
        "access": "restricted",
        "roles": wanted,
        "account": iam.account,
        "issuer": iam.issuer,
        "audience": iam.audience,
    }
    held, problem = _held(iam)
    sent = request.sent(job, iam)
    detail: dict[str, Any] = {"held": [role for role in wanted if role in held]}
    if problem:
        detail["token"] = problem
    if sent:
        detail["requested"] = {"at": sent.at, "where": sent.where}
    if sent or held.issuperset(wanted):
        return Plan(STEP, job, goal, {}, (), detail)
    detail["text"] = request.render(job, iam, now())
    subject = f"{_named(wanted)} for {iam.account} from the IAM service"
    return Plan(STEP, job, goal, {}, (Action("request", subject, len(wanted)),), detail)


def apply(plan: Plan) -> Receipt:
    """Send the request once, whatever cut off an earlier run.

    Raises:
        ServiceError: it can't be sent.
    """
    job, iam = plan.job, _iam(plan.job)
    record = request.send(job, iam, _channel(job, iam), now())
    return Receipt(STEP, {"requested": _wanted(job), "at": record.at, "where": record.where})


def check(plan: Plan) -> Outcome:
    """Get a fresh token, verify it, and look for every role of the ticket in it.

    Returns:
        Passed; waiting for the IAM service; or failed: the token can't be verified.

    Raises:
        InputError: who we say to be is refused, or there is no token in the environment.
        ServiceError: the IAM service can't be reached.
    """
    job = plan.job
    if job.ticket.access == "public":
        return Outcome(STEP, Verdict.PASSED, PUBLIC)
    iam = _iam(job)
    try:
        claims = verify(fresh_token(iam), iam)
    except TokenError as error:
        refused = Check("token verified", False, error.what)
        return Outcome(STEP, Verdict.FAILED, f"{error.what}. {error.remedy}", (refused,))
    sent, held = request.sent(job, iam), roles(claims, iam.role_clients)
    issued = dt.datetime.fromtimestamp(claims["iat"], dt.UTC)
    checks = (
        Check(
            "token verified", True, f"issued by {iam.issuer} for {iam.audience}, {_time(issued)}"
        ),
        *(
            Check(f"role {one}", one in held, "in the token" if one in held else "not in the token")
            for one in _wanted(job)
        ),
    )
    missing = [one for one in _wanted(job) if one not in held]
    if _is_stale(iam, issued, sent):
        return _wait_for_token(job, checks, issued, sent)
    if missing:
        return _wait_for_roles(job, checks, missing, sent)
    summary = f"A fresh token of {iam.account} holds the {_named(_wanted(job))}."
    return Outcome(STEP, Verdict.PASSED, summary, checks)


def _is_stale(iam: Iam, issued: dt.datetime, sent: request.Record | None) -> bool:
    """Say whether a given token is older than the request: then it shows nothing of now."""
    if iam.identity != "environment" or sent is None:
        return False
    return issued + dt.timedelta(seconds=LEEWAY_SECONDS) < instant(sent.at)


def _wait_for_token(
    job: Job, checks: tuple[Check, ...], issued: dt.datetime, sent: request.Record | None
) -> Outcome:
    since = sent.at if sent else ""
    summary = (
        f"The given token, issued {_time(issued)}, is older than the request for the roles: set "
        f"{prefix(job.target.name)}IAM__TOKEN to a fresh one."
    )
    return Outcome(STEP, Verdict.WAITING, summary, checks, "the operator: a fresh token", since)


def _wait_for_roles(
    job: Job, checks: tuple[Check, ...], missing: list[str], sent: request.Record | None
) -> Outcome:
    iam, asked = _iam(job), "It was not asked for yet."
    if sent:
        asked = f"Asked for {sent.at}: {sent.where}"
        asked += "." if _channel(job, iam).delivers else ", which a person has to send on."
    verb = "is" if len(missing) == 1 else "are"
    summary = f"The {_named(missing)} {verb} not in a fresh token of {iam.account}. {asked}"
    whom = f"the IAM service: {_named(missing)}"
    return Outcome(STEP, Verdict.WAITING, summary, checks, whom, sent.at if sent else "")


def _iam(job: Job) -> Iam:
    if job.target.iam is None:
        raise InputError(
            f"the ticket {job.ticket.ticket} is restricted, and the target knows no IAM service",
            where=f"target {job.target.name}",
            remedy="Add the section 'iam', as parameters/targets/production.example.yaml has it.",
        )
    return job.target.iam


def _channel(job: Job, iam: Iam) -> request.Channel:
    if iam.request_via == "helpdesk":
        return request.ByDesk(open_desk(job.target, job.case), job.ticket.ticket)
    return request.Outbox(job.case / "outbox")


def _held(iam: Iam) -> tuple[frozenset[str], str]:
    """Return the roles that a token holds now, or none and why that can't be known yet."""
    try:
        return roles(verify(fresh_token(iam), iam)), ""
    except WorkbookError as problem:
        return frozenset(), problem.what


def _wanted(job: Job) -> list[str]:
    return sorted(set(job.ticket.roles))


def _named(names: Sequence[str]) -> str:
    return f"{'role' if len(names) == 1 else 'roles'} {', '.join(names)}"


def _time(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
