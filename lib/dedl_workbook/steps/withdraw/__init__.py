"""Withdraw: takes back what a ticket published, and puts back what was there before it.

In the reverse order of publishing: HDA, so that users don't find it any more; the catalogue; then
the objects, once nothing refers to them. Each from the state that its step saved before its first
change. Roles are never revoked: others may hold them for other reasons.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from dedl_workbook.base.errors import ConflictError, EvidenceError
from dedl_workbook.publication.before import state_before
from dedl_workbook.publication.job import (
    Action,
    Check,
    Job,
    Outcome,
    Plan,
    Receipt,
    Verdict,
    judged,
)
from dedl_workbook.services.pool.ownership import Written, look, pool_of
from dedl_workbook.steps import retire
from dedl_workbook.steps.withdraw import catalog as withdraw_catalog
from dedl_workbook.steps.withdraw import hda as withdraw_hda
from dedl_workbook.steps.withdraw import pool as withdraw_pool

STEP = "withdraw"


@dataclass(frozen=True)
class _Standing:
    """How the three systems stand towards a ticket; what isn't its business is left out."""

    hda: withdraw_hda.Standing
    catalog: withdraw_catalog.Standing
    pool: Written

    def states(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the state of now, and the one to be: both flat, part by part."""
        state: dict[str, Any] = {"pool.objects": self.pool.state}
        goal: dict[str, Any] = {"pool.objects": None}
        for name, side in (("hda", self.hda), ("catalog", self.catalog)):
            if side.goal is not None:
                goal |= {f"{name}.{key}": value for key, value in side.goal.items()}
                state |= {f"{name}.{key}": side.state[key] for key in side.goal}
        return state, goal


def plan(job: Job) -> Plan:
    """Plan to take back what this ticket published and still stands. Changes nothing.

    Raises:
        ConflictError: another ticket published on top since, or somebody changed it by hand.
        EvidenceError: the state before is lost, or the objects that it needs are.
        InputError: HDA's configuration isn't what it should be.
        ServiceError: a server refuses or doesn't answer.
    """
    standing = _look(job)
    if standing is None:
        note = "Nothing of this ticket stands any more."
        return Plan(STEP, job, {}, {}, (), {"note": note})
    state, goal = standing.states()
    pool = pool_of(job)
    actions = (
        *standing.hda.actions,
        *standing.catalog.actions,
        *withdraw_pool.actions(standing.pool, pool),
    )
    return Plan(
        step=STEP,
        job=job,
        goal=goal,
        before=state_before(job.before.get(STEP), state, goal),
        actions=actions,
        detail=_detail(job, standing, actions),
    )


def _look(job: Job) -> _Standing | None:
    """Return how everything stands, or None where another ticket followed and nothing is left."""
    catalog, pool = withdraw_catalog.look(job), look(job)
    before = catalog.before
    if catalog.above and (before is not None or catalog.ours):
        if pool.state is None and not catalog.ours:
            return None
        raise _on_top(job, catalog.above)
    if pool.leftovers.users:
        raise withdraw_pool.in_use(job, pool.leftovers.users)
    if before is not None and catalog.actions:
        _require_objects(job, before)
    written = before.written if before is not None else set()
    hda = withdraw_hda.look(job, ours=catalog.ours, written=written)
    return _Standing(hda, catalog, pool)


def _on_top(job: Job, above: tuple[str, ...]) -> ConflictError:
    id_ = job.ticket.collection
    if above == (withdraw_catalog.UNKNOWN,):
        return ConflictError(
            f"what stands in the catalogue as {id_} was not published by this ticket",
            where=job.ticket.ticket,
            remedy="Nothing was changed. Find out who put it there; without it, withdraw again.",
        )
    named = " and ".join(above)
    return ConflictError(
        f"{named} published {id_} on top of this ticket since",
        where=job.ticket.ticket,
        remedy=f"Nothing was changed. Withdraw {named} first, if that is meant: "
        f"dedl-workbook withdraw {above[0]}",
    )


def _require_objects(job: Job, before: withdraw_catalog.Before) -> None:
    """Refuse to put back what has lost its files."""
    count, some = withdraw_pool.absent(job, before.keys(job.target.s3.bucket))
    if count:
        raise EvidenceError(
            f"{count} objects of the publication before are no longer in the pool: "
            f"{', '.join(some[:3])}",
            where=job.target.s3.bucket,
            remedy="Nothing was changed. Bring them back; without them, what was there before "
            "can't be put back.",
        )


def _detail(job: Job, standing: _Standing, actions: tuple[Action, ...]) -> dict[str, Any]:
    detail: dict[str, Any] = {}
    if standing.pool.count and (named := _unneeded(job)):
        detail["no_longer_needed"] = named
    if not actions:
        detail["note"] = "Nothing of this ticket stands any more."
    if standing.catalog.before is not None:
        restored = standing.catalog.before.state["collection"] is not None
        detail["afterwards"] = (
            "the publication before stands again" if restored else "the collection is gone"
        )
    if standing.catalog.altered or standing.hda.altered:
        sides = {"catalogue": standing.catalog.altered, "HDA": standing.hda.altered}
        detail["changed_by_hand_since"] = [name for name, altered in sides.items() if altered]
    if standing.hda.difference:
        detail["difference"] = list(standing.hda.difference)
    if standing.pool.foreign:
        detail["foreign_objects"] = len(standing.pool.foreign)
        detail["foreign"] = list(standing.pool.foreign[: withdraw_pool.EXAMPLES])
    return detail | _roles(job)


def _unneeded(job: Job) -> list[str]:
    """Return the names of the objects that go and that nothing refers to even now."""
    if retire.unsettled(job):
        return []
    with retire.unneeded(job) as manifest:
        return [job.prefix + path for path in islice(manifest.unneeded(), retire.NAMED)]


def _roles(job: Job) -> dict[str, Any]:
    return {"roles_that_stay": list(job.ticket.roles)} if job.ticket.roles else {}


def apply(plan: Plan) -> Receipt:
    """Undo HDA, then the catalogue, then the upload; running again finishes what was cut off.

    Where others roll HDA's configuration out, nothing after it is undone until HDA has it.

    Raises:
        ConflictError: something isn't as the plan found it; what isn't undone yet stays.
        EvidenceError: the state before is lost; nothing was changed.
        InputError: HDA's files can't be written, or eodag can't load them.
        ServiceError: a server refuses, fails, or doesn't come back.
    """
    begun, job = time.monotonic(), plan.job
    standing = _look(job)
    if standing is None or not plan.actions:
        return Receipt(STEP, {}, 0.0)
    _require_planned(plan, standing)
    done: dict[str, Any] = {"hda": withdraw_hda.undo(job, standing.hda)}
    saved = standing.hda.saved
    if saved is not None and not withdraw_hda.served_as_before(job, saved):
        done["waiting"] = "HDA does not serve what was there before yet: catalogue and objects stay"
        return Receipt(STEP, done, time.monotonic() - begun)
    done["catalog"] = withdraw_catalog.undo(job, standing.catalog)
    done["pool"] = withdraw_pool.undo(job, referred=partial(withdraw_catalog.refers_to, job))
    done = {part: what for part, what in done.items() if what}
    return Receipt(STEP, done | _roles(job), time.monotonic() - begun)


def _require_planned(plan: Plan, standing: _Standing) -> None:
    """Refuse what is neither as the plan's state before has it, nor as it is to be."""
    state, goal = standing.states()
    wrong = [
        key
        for key in state.keys() | plan.before.keys()
        if state.get(key) not in (plan.before.get(key), plan.goal.get(key))
    ]
    if wrong or goal != dict(plan.goal):
        raise ConflictError(
            f"{' and '.join(sorted(wrong)) or 'the state before'} changed since the withdrawal "
            "was planned",
            where=plan.job.ticket.collection,
            remedy="Nothing was changed. Plan again, and read what it finds.",
        )


def check(plan: Plan) -> Outcome:
    """Prove it from the real systems: what was published is gone, what was before is back.

    Raises:
        EvidenceError: the state before is lost.
        ServiceError: a server refuses or doesn't answer.
    """
    job, goal = plan.job, _by_part(plan.goal)
    checks: list[Check] = []
    served: list[Check] = []
    if "hda" in goal:
        checks += withdraw_hda.configured(job, goal["hda"])
        served = withdraw_hda.served(job, goal["hda"])
        part = job.target.hda
        ready = all(check.passed for check in checks)
        if ready and part and not part.reload and not all(check.passed for check in served):
            return _waiting(job, checks + served)
        served += withdraw_hda.cleared(job)
    checks += served
    if "catalog" in goal:
        checks += withdraw_catalog.checks(job, goal["catalog"])
        checks.append(_objects_from_before(job))
    refers = withdraw_catalog.refers_to(job)
    summary = "refers to none" if not refers else "still refers to some"
    checks += [Check("catalogue: objects of this ticket", not refers, summary)]
    checks += withdraw_pool.checks(job)
    return judged(STEP, checks, _summary(job, goal), goal=dict(plan.goal), **_roles(job))


def _by_part(goal: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    parts: dict[str, dict[str, Any]] = {}
    for key, value in goal.items():
        part, _, name = key.partition(".")
        parts.setdefault(part, {})[name] = value
    return parts


def _objects_from_before(job: Job) -> Check:
    before = withdraw_catalog.before(job)
    keys = before.keys(job.target.s3.bucket) if before is not None else ()
    count, some = withdraw_pool.absent(job, keys)
    summary = f"{count} are missing: {', '.join(some[:3])}" if count else "all are there"
    return Check("pool: objects of the publication before", not count, summary)


def _waiting(job: Job, checks: list[Check]) -> Outcome:
    return Outcome(
        STEP,
        Verdict.WAITING,
        f"{job.ticket.collection} is taken back in HDA's configuration, but HDA serves it still. "
        "Catalogue and objects are taken back when this is run again after the roll-out.",
        tuple(checks),
        waiting_for=withdraw_hda.rollout(job),
        since=withdraw_hda.since(job),
    )


def _summary(job: Job, goal: Mapping[str, Mapping[str, Any]]) -> str:
    id_ = job.ticket.collection
    restored = goal.get("catalog", {}).get("collection") is not None
    text = f"What {job.ticket.ticket} published as {id_} is gone"
    text += ", and what was there before stands again." if restored else "."
    if job.ticket.roles:
        text += (
            f" The roles {', '.join(job.ticket.roles)} were not revoked: if nobody needs them any "
            "more, ask the IAM service."
        )
    return text
