"""Retire: deletes what a ticket wrote into the pool and nothing refers to any more.

Objects are never overwritten, so a replacement leaves those of before: of the ticket that it
replaced, or of its own earlier editions. They stay until they are retired, by a plan of their own.
What a document of any collection names stays, and what another ticket uses.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import ConflictError, GateError
from dedl_workbook.base.files import whole
from dedl_workbook.base.json import digest
from dedl_workbook.publication import keys
from dedl_workbook.publication.before import state_before
from dedl_workbook.publication.job import (
    Action,
    Cause,
    Check,
    Job,
    Outcome,
    Plan,
    Receipt,
    Verdict,
    judged,
)
from dedl_workbook.publication.standing import State, standing
from dedl_workbook.services.catalog import pgstac, references
from dedl_workbook.services.pool import ownership
from dedl_workbook.services.pool.manifest import Manifest, open_manifest
from dedl_workbook.steps.order import CATALOG, UPLOAD
from dedl_workbook.steps.upload import published_paths

STEP = "retire"
NAMED = 10_000
"""Objects that a plan names; it is bound to the names of all."""
EXAMPLES = 3
_SETTLED = (State.PUBLISHED, State.UNVERIFIED, State.SUPERSEDED, State.WITHDRAWN)


def plan(job: Job) -> Plan:
    """Plan to delete the objects that the ticket wrote and no longer needs. Changes nothing.

    Raises:
        ConflictError: another ticket uses objects of this one, and which can't be found out.
        GateError: what the ticket uploaded last isn't in the catalogue yet, so all may be needed.
        ServiceError: store or database refuse or don't answer.
    """
    _require_settled(job)
    with unneeded(job) as manifest:
        count, size = manifest.unneeded_size()
        state = {"objects": _state(job, manifest)}
        named = [job.prefix + path for path in islice(manifest.unneeded(), NAMED)]
    goal = {"objects": None}
    detail: dict[str, Any] = {"objects": named} if named else {}
    if named and standing(job.events).state is State.SUPERSEDED:
        other = standing(job.events).superseded_by
        detail["afterwards"] = f"a withdrawal of {other} can't put this publication back any more"
    what = f"objects of {job.ticket.ticket} that nothing in the catalogue refers to"
    return Plan(
        step=STEP,
        job=job,
        goal=goal,
        before=state_before(job.before.get(STEP), state, goal),
        actions=(Action("delete", what, count, size),) if count else (),
        detail=detail or {"note": "The ticket left no object that is no longer needed."},
    )


def unsettled(job: Job) -> str:
    """Return why what was uploaded may still be needed, though nothing names it yet; or ''."""
    now = standing(job.events)
    last = {
        line["step"]: place
        for place, line in enumerate(job.events)
        if line["event"] == "outcome"
        and line.get("cause") != Cause.GATE
        and (line["step"] == UPLOAD.name or line["verdict"] == Verdict.PASSED)
    }
    waiting = last.get(UPLOAD.name, -1) > last.get(CATALOG.name, -1)
    if now.state not in _SETTLED:
        return f"{job.ticket.ticket} is {now.words}: what it uploaded may still be needed"
    if waiting and now.state is not State.WITHDRAWN:
        return "what was uploaded last isn't in the catalogue yet: it may still be needed"
    return ""


def _require_settled(job: Job) -> None:
    if reason := unsettled(job):
        raise GateError(
            reason,
            where=job.ticket.ticket,
            remedy="Finish the publication, or withdraw it; then plan again.",
        )


@contextmanager
def unneeded(job: Job) -> Iterator[Manifest]:
    """Open the manifest of a ticket, filled with what it wrote and with what of that is needed.

    Raises:
        ConflictError: another ticket uses objects of this one, and which can't be found out.
        ServiceError: store or database refuse or don't answer.
    """
    pool = ownership.pool_of(job)
    with open_manifest(job) as manifest:
        written = ownership.written(job, pool, manifest)
        if standing(job.events).live:
            _keep(job, manifest, ((key, True) for key in _published(job, manifest)))
        _keep(job, manifest, ((key, True) for key in _used(job, written.leftovers.users)))
        if manifest.unneeded_size()[0]:
            # Only then the whole catalogue has to be read.
            with pgstac.connected(job) as connection:
                named = references.named_keys(connection, pool.bucket, job.prefix)
                _keep(job, manifest, named)
        yield manifest


def _keep(job: Job, manifest: Manifest, named: Iterable[tuple[str, bool]]) -> None:
    start = job.prefix
    own = ((key.removeprefix(start), exact) for key, exact in named if key.startswith(start))
    manifest.fill("needed", own, 2)


def _published(job: Job, manifest: Manifest) -> Iterator[str]:
    """Yield the keys of the files of a live publication, also of those that no item names."""
    key, paths = keys.keys(job), published_paths(job)
    for path in (row.path for row in manifest.everything()) if paths is None else paths:
        yield key(path) or job.prefix + path


def _used(job: Job, users: Iterable[str]) -> Iterator[str]:
    """Yield the keys that other tickets use of this one's objects, as their cases remember it."""
    for user in users:
        memories = sorted((job.case.parent / user / "work").glob("reused*.sqlite"))
        if not memories:
            raise ConflictError(
                f"{user} uses objects of this ticket, and its case doesn't say which",
                where=str(job.case.parent / user),
                remedy=f"Nothing was changed. Bring the case of {user} back, or withdraw it.",
            )
        for row in chain.from_iterable(map(keys.rows_in, memories)):
            yield row.key


def _state(job: Job, manifest: Manifest) -> str | None:
    """Return the digest of the names of all that is to go; None for nothing.

    What is left of an approved list, while it is being deleted, has the digest of that list.
    """
    if next(manifest.unneeded(), None) is None:
        return None
    approved = (job.before.get(STEP) or {}).get("objects")
    if approved and _fill_listed(job, approved, manifest) and manifest.all_listed():
        return str(approved)
    total = hashlib.sha256()
    for path in manifest.unneeded():
        total.update(digest(path).encode())
    state = total.hexdigest()
    with whole(_list(job, state)) as file:
        file.writelines(f"{json.dumps(path)}\n".encode() for path in manifest.unneeded())
    return state


def _list(job: Job, state: object) -> Path:
    return job.folder / f"retire-{str(state)[:16]}.ndjson"


def _fill_listed(job: Job, state: object, manifest: Manifest) -> bool:
    """Take in the paths of a list; return whether it is there."""
    path = _list(job, state)
    if not path.is_file():
        return False
    with path.open("rb") as lines:
        manifest.fill("listed", ((json.loads(line),) for line in lines), 1)
    return True


def apply(plan: Plan) -> Receipt:
    """Delete what the plan lists and nothing refers to now; finishes what was cut off.

    Meanwhile no load of the collection can begin.

    Raises:
        ConflictError: other objects are no longer needed than the plan lists.
        ServiceError: the store refuses or doesn't answer; running again deletes the rest.
    """
    job, begun = plan.job, time.monotonic()
    _require_settled(job)
    with pgstac.connected(job) as connection:
        pgstac.lock(connection, job.ticket.collection)
        with unneeded(job) as manifest:
            _, size = manifest.unneeded_size()
            there = _fill_listed(job, plan.before["objects"], manifest)
            if not there or not manifest.all_listed():
                raise ConflictError(
                    "what is no longer needed changed since the plan was made",
                    where=job.ticket.ticket,
                    remedy="Nothing was changed. Plan again, and read what it lists.",
                )
            count = ownership.delete(job, ownership.pool_of(job), manifest.unneeded())
    return Receipt(STEP, {"deleted": count, "bytes": size}, time.monotonic() - begun)


def check(plan: Plan) -> Outcome:
    """List the bucket anew: what was to go is gone, and what the catalogue names is there.

    Raises:
        ServiceError: store or database refuse or don't answer.
    """
    job = plan.job
    with unneeded(job) as manifest:
        left, _ = manifest.unneeded_size()
        some = ", ".join(job.prefix + path for path in islice(manifest.unneeded(), EXAMPLES))
        missing = [job.prefix + path for path in manifest.missing_needed(EXAMPLES)]
        needed = manifest.needed_count()
    checks = [
        Check("gone: what nothing refers to", not left, f"{left} left: {some}" if left else "none"),
        Check(
            "there: what is needed",
            not missing,
            f"missing: {', '.join(missing)}" if missing else f"{needed} objects of this ticket",
        ),
    ]
    summary = f"No object of {job.ticket.ticket} lies in the pool that is no longer needed."
    return judged(STEP, checks, summary)
