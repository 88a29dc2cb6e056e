"""HDA: the collection becomes part of HDA's configuration, and HDA serves it.

The procedure's step 2, "new entry in the HDA product types configuration": the entry with the
roles in its `scopes`, the id among the provider's products, and the full collection as a file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import (
    ChangedError,
    ConflictError,
    InputError,
    RefusedError,
    ServiceError,
)
from dedl_workbook.base.files import write_atomic
from dedl_workbook.base.json import digest, parse, pretty
from dedl_workbook.base.times import now
from dedl_workbook.parameters.target import Hda
from dedl_workbook.publication.before import before_folder, goals_with, holds, state_before
from dedl_workbook.publication.job import (
    Action,
    Check,
    Job,
    Outcome,
    Plan,
    Receipt,
    Verdict,
    judged,
    vars_of,
)
from dedl_workbook.publication.metadata import collection
from dedl_workbook.services.hda import config as hda_config
from dedl_workbook.services.hda import dialect as hda_dialect
from dedl_workbook.services.hda import files as hda_files
from dedl_workbook.services.hda import programs, serving
from dedl_workbook.services.hda import served as hda_served
from dedl_workbook.services.hda import store as hda_store
from dedl_workbook.services.hda import trial as hda_trial
from dedl_workbook.services.hda.files import Changes, Files
from dedl_workbook.steps.catalog import published_before

STEP = "hda"
RELOAD = Action("reload", "HDA")
"""Of a plan after which HDA reads its files again."""
_NO_HDA = "The target has no HDA: nothing is to be done there."


@dataclass(frozen=True)
class _Meant:
    """What an entry, its product and its document are to be."""

    entry: dict[str, Any]
    product: dict[str, Any]
    document: dict[str, Any]

    def goal(self) -> dict[str, Any]:
        return {
            "entry": digest(self.entry),
            "product": digest(self.product),
            "document": digest(self.document),
        }


def plan(job: Job) -> Plan:
    """Compare HDA's configuration, and what HDA serves, with what is to be published.

    Raises:
        ConflictError: mode new, and somebody else's entry has this id.
        InputError: a file of the configuration is missing, not writable, or not what it should be.
    """
    hda = job.target.hda
    if hda is None:
        return Plan(STEP, job, {}, {}, (), {"note": _NO_HDA})
    id_ = job.ticket.collection
    files, meant = hda_store.read(job, hda), _meant(job, hda)
    state, goal = state_in(hda, id_, files), meant.goal()
    before = state_before(job.before.get(STEP), state, goal)
    _refuse_foreign(job, hda, before, goal)
    _text(files)
    hda_store.require_writable(job, hda)
    why_not = serving.why_not(hda)
    detail = {
        "difference": differences(files, _changed(hda, files, meant)),
        "files": files.digests(hda),
        "state": state,
        "trial": f"none: {why_not}"
        if why_not
        else "served on loopback and verified before it goes live",
    }
    return Plan(STEP, job, goal, before, _actions(job, hda, files, meant), detail)


def _meant(job: Job, hda: Hda) -> _Meant:
    id_, document = job.ticket.collection, collection(job)
    missing = [
        key for key in ("title", "description", "license", "extent") if not document.get(key)
    ]
    if missing:
        raise InputError(
            f"has no {' and no '.join(missing)}, without which HDA can't serve it",
            where="metadata/collection.json",
            remedy="Validate the dataset first.",
        )
    name = hda_files.document_name(id_, pretty(document).encode())
    dialect = hda_dialect.of(hda)
    entry = dialect.entry(document)
    entry |= {hda_files.POINTER: str(hda_files.served_documents(hda) / name)}
    if job.ticket.roles:
        entry[hda.scopes_key] = hda_dialect.scopes(hda, job.ticket.roles)
    return _Meant(entry, {dialect.product: id_}, document)


def state_in(hda: Hda, id_: str, files: Files) -> dict[str, Any]:
    """Return the digests of entry, product and document as they are; None: there is none."""
    parts = {
        "entry": files.collections.values.get(id_),
        "product": hda_config.products(files.provider, hda.provider).get(id_),
    }
    state: dict[str, Any] = {
        key: None if value is None else digest(value) for key, value in parts.items()
    }
    return state | {"document": _document_digest(files.document)}


def _document_digest(data: bytes | None) -> str | None:
    if data is None:
        return None
    try:
        return digest(parse(data))
    except ValueError:
        return hda_files.digest(data)


def _refuse_foreign(job: Job, hda: Hda, before: Mapping[str, Any], goal: Mapping[str, Any]) -> None:
    there = [key for key in ("entry", "product") if before[key] not in (None, goal[key])]
    if job.ticket.mode == "new" and there:
        earlier = (saved_before(job) or {}).get("made", [])
        if any(all(before[key] == one[key] for key in there) for one in earlier):
            raise published_before(job, "the entry")
        where = hda_files.collections(hda) if "entry" in there else hda_files.provider(hda)
        raise ConflictError(
            f"{job.ticket.collection} is there already, and it isn't of this ticket",
            where=str(where),
            remedy="If it is to be replaced, say 'mode: replace' in the ticket; else agree another "
            "collection id.",
        )


def _changed(hda: Hda, files: Files, meant: _Meant) -> Files:
    """Return the files as they are to be; what is right already isn't touched."""
    id_, goal = meant.document["id"], meant.goal()
    state = state_in(hda, id_, files)
    collections, provider = files.collections, files.provider
    if state["entry"] != goal["entry"]:
        collections = hda_config.with_entry(collections, id_, meant.entry)
    if state["product"] != goal["product"]:
        provider = hda_config.with_product(provider, hda.provider, id_, meant.product)
    same = state["document"] == goal["document"]
    document = files.document if same else pretty(meant.document).encode()
    return hda_files.held(hda, id_, collections, provider, lambda _: document)


def differences(old: Files, new: Files) -> list[str]:
    """Return a unified diff of each file of the configuration that is to change."""
    both = ((old.collections, new.collections), (old.provider, new.provider))
    shown = (hda_config.difference(Path(a.where).name, a.text, b.text) for a, b in both)
    return [one for one in shown if one]


def _actions(job: Job, hda: Hda, files: Files, meant: _Meant) -> tuple[Action, ...]:
    id_ = job.ticket.collection
    actions = changing(hda, id_, state_in(hda, id_, files), meant.goal())
    gone = removing(hda, hda_store.superseded(job, hda, files))
    if not actions and not (hda.reload or gone):
        return ()
    if not actions and _is_served(job, hda, meant):
        # What is closed to us doesn't show which version others rolled out.
        return tuple(gone) if hda.reload or _shows(job, hda) else ()
    # Without a reload of ours HDA may need them yet.
    return (*actions, RELOAD, *gone) if hda.reload else tuple(actions)


def changing(
    hda: Hda, id_: str, state: Mapping[str, Any], goal: Mapping[str, Any], verb: str = ""
) -> list[Action]:
    """Return what has to be done to entry, product and document; `verb` says it of all changes."""
    named = {
        "entry": f"entry {id_} in {hda.collections_file}",
        "product": f"product {id_} of {hda.provider}",
        "document": f"collection {id_} in {hda.documents_folder}",
    }
    return [
        Action(
            "delete" if goal[key] is None else verb or ("add" if state[key] is None else "change"),
            subject,
        )
        for key, subject in named.items()
        if state[key] != goal[key]
    ]


def removing(hda: Hda, superseded: list[Path]) -> list[Action]:
    """Return the removal of documents that nothing names any more."""
    return [
        Action("delete", f"{hda.documents_folder}/{path.name}, which no entry names")
        for path in superseded
    ]


def _root(job: Job, hda: Hda) -> str:
    """Return where a collection can be read back: behind the guard, if it is restricted."""
    return hda.internal_url or hda.url if job.ticket.roles else hda.url


def _shows(job: Job, hda: Hda) -> bool:
    """Return whether HDA shows us the collection itself, and not only that it is closed."""
    return hda.internal_url is not None or not job.ticket.roles


def _is_served(job: Job, hda: Hda, meant: _Meant) -> bool:
    with hda_served.reading() as client:
        url = hda_served.collection_url(_root(job, hda), job.ticket.collection)
        status, served = hda_served.get(client, url)
    if not _shows(job, hda):
        return status in (401, 403)
    return status == 200 and all(c.passed for c in hda_served.compared(served, meant.document))


def apply(plan: Plan) -> Receipt:
    """Change the configuration, after eodag could load it; let HDA read it; wait for it.

    Raises:
        ChangedError: the dataset isn't what the plan was made for.
        ConflictError: somebody changed the configuration meanwhile; nothing was written.
        InputError: eodag can't load it, or it can't be written; nothing was changed.
        ServiceError: HDA doesn't come back; the files were put back.
    """
    start = time.monotonic()
    job, hda = plan.job, plan.job.target.hda
    if hda is None:
        return Receipt(STEP, {}, 0.0)
    meant = _meant(job, hda)
    if meant.goal() != dict(plan.goal):
        raise ChangedError(
            "the collection isn't what the plan was made for", remedy="Plan and approve again."
        )
    with hda_files.locked(hda, job.ticket.ticket, partial(report_turn, job)) as left:
        changed, trial, reloaded = _change(plan, hda, meant, left)
        if hda.reload and _shows(job, hda):
            with hda_served.reading() as client:
                root = _root(job, hda)
                hda_served.await_served(client, root, meant.document, hda.served_timeout)
        if hda.reload or not changed:
            remove_superseded(job, hda)
    done = {"changed": list(changed), "reloaded": reloaded, "trial": trial}
    return Receipt(STEP, done, time.monotonic() - start)


def report_turn(job: Job, holder: str) -> None:
    """Report that this waits for another workbook, which is at the configuration."""
    job.tell("HDA's configuration", 0, 0, "", f"waits for {holder}")


def _change(
    plan: Plan, hda: Hda, meant: _Meant, left: Mapping[str, str]
) -> tuple[Changes, dict[str, Any], bool]:
    """Change the configuration, and let HDA read it.

    Returns:
        What was changed, what a trial of it showed, and whether HDA was reloaded.
    """
    job, id_ = plan.job, plan.job.ticket.collection
    files = hda_store.read(job, hda)
    _require_planned(hda, plan, files, left)
    if all(action.verb == "delete" for action in plan.actions):
        return {}, {}, False
    new = _changed(hda, files, meant)
    if new == files and hda.reload and _shows(job, hda) and _is_served(job, hda, meant):
        # The reload of another ticket, which had its turn since the plan, was ours as well.
        return {}, {}, False
    with ThreadPoolExecutor(1) as beside:
        # A second or two, in which the server of the trial starts as well.
        loading = beside.submit(hda_trial.load, hda, id_, meant.entry, new)
        try:
            trial = _try(job, hda, new, loading)
        finally:
            # What is wrong with the files themselves is raised in place of what came of it.
            loading.result()
    _save_before(plan, hda, files)
    changed, merge_request = hda_store.write(job, hda, files, new, "Publish")
    note_written(_written(job), merge_request)
    if hda.reload:
        reload_or_put_back(hda, changed)
    return changed, trial, bool(hda.reload)


def _try(job: Job, hda: Hda, new: Files, loading: Future[None]) -> dict[str, Any]:
    """Serve the changed configuration on loopback, and verify it as users would; return what of.

    Raises:
        RefusedError: users would not be served what was delivered. Nothing is live.
        ServiceError: HDA's software doesn't come up with it.
    """
    if why_not := serving.why_not(hda):
        return {"tried": f"no: {why_not}"}
    from dedl_workbook.steps.verify import hda as verify

    start = time.monotonic()
    with serving.serving(job.target, hda, new, guarded=bool(job.ticket.roles)) as part:
        loading.result()
        target = job.target.model_copy(update={"hda": part})
        outcome = verify.check(replace(job, target=target))
    if outcome.verdict is not Verdict.PASSED:
        raise RefusedError(
            f"HDA would not serve {job.ticket.collection} as it was delivered: {outcome.summary}",
            where=str(hda_files.collections(hda)),
            remedy="Nothing is live: HDA's configuration is as it was. Have the dataset fixed, "
            "then validate, plan and run again.",
        )
    seconds = round(time.monotonic() - start, 1)
    checks = [vars_of(check) for check in outcome.checks]
    return {"tried": "yes", "seconds": seconds, "summary": outcome.summary, "checks": checks}


def _require_planned(hda: Hda, plan: Plan, files: Files, left: Mapping[str, str]) -> None:
    """Refuse what was edited since the plan, but for other entries that a workbook wrote."""
    planned, digests = plan.detail["files"], files.digests(hda)
    for name in digests | planned:
        if digests.get(name) not in (planned.get(name), left.get(name, planned.get(name))):
            raise hda_files.changed_meanwhile(hda.folder / name)
    if state_in(hda, plan.job.ticket.collection, files) != plan.detail["state"]:
        raise hda_files.changed_meanwhile(hda_files.collections(hda))


# --- Before, reload


def remove_superseded(job: Job, hda: Hda) -> None:
    """Remove documents that nothing names any more, once HDA doesn't need them either."""
    for path in hda_store.superseded(job, hda, hda_store.read(job, hda)):
        path.unlink(missing_ok=True)


def saved_before(job: Job) -> dict[str, Any] | None:
    """Return what was there before this ticket's first change, as it was saved, or None."""
    path = before_folder(job) / "hda.json"
    saved: dict[str, Any] | None = parse(path.read_bytes()) if path.exists() else None
    return saved


def _text(files: Files) -> str | None:
    """Return the document as it can be kept, to be put back.

    Raises:
        InputError: it is no text.
    """
    try:
        return None if files.document is None else files.document.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            "is not UTF-8 text, so it could not be put back as it is",
            where=files.name or "",
            remedy="Fix it, or take it out of the entry that names it; then plan again.",
        ) from error


def _save_before(plan: Plan, hda: Hda, files: Files) -> None:
    """Save what is there before the first change, unless an earlier run did so."""
    id_, state, goal = plan.job.ticket.collection, dict(plan.before), dict(plan.goal)
    saved = saved_before(plan.job) or {}
    goals = goals_with(saved.get("made", []), goal)
    if not saved or not holds(saved["state"], goals, state):
        saved = {
            "state": state,
            "entry": hda_config.entry_text(files.collections, id_),
            "product": hda_config.products(files.provider, hda.provider).get(id_),
            "document": _text(files),
        }
    write_atomic(before_folder(plan.job) / "hda.json", pretty(saved | {"made": goals}))


def _reload(hda: Hda) -> str:
    """Let HDA read its files again; return why that failed, or nothing."""
    try:
        done = programs.run(hda.reload, hda.reload_timeout, "hda.reload")
    except ServiceError as error:
        return error.what
    if done.returncode:
        return f"the command of hda.reload ended with {done.returncode}: {programs.last_line(done)}"
    with hda_served.reading() as client:
        back = hda_served.await_back(client, hda.internal_url or hda.url, hda.served_timeout)
    return "" if back else f"HDA did not come back in {hda.served_timeout:g} s"


def reload_or_put_back(hda: Hda, written: Changes) -> None:
    """Let HDA read its files again; where that fails, put the files back and let it read those.

    Raises:
        ServiceError: it failed; says how everything stands now.
    """
    reason = _reload(hda)
    if not reason:
        return
    stands = "the files were put back"
    try:
        hda_files.put_back(hda, written)
    except (ConflictError, InputError) as error:
        stands = f"the files could not be put back ({error.what})"
    again = _reload(hda)
    stands += f", and then {again}" if again else ", and HDA runs as before"
    raise ServiceError(
        f"{reason}; {stands}",
        where=hda.internal_url or hda.url,
        remedy="Look at HDA's log; then plan and run again.",
    )


def check(plan: Plan) -> Outcome:
    """Read the configuration back, and what HDA serves; compare both with what was meant."""
    job, hda = plan.job, plan.job.target.hda
    if hda is None:
        return Outcome(STEP, Verdict.PASSED, _NO_HDA)
    id_, meant = job.ticket.collection, _meant(job, hda)
    files = hda_store.read(job, hda)
    state = state_in(hda, id_, files)
    same = meant.goal() == dict(plan.goal)
    checks = [Check("the collection is the planned one", same, id_)]
    for key, goal in plan.goal.items():
        shown = "as planned" if state[key] == goal else "missing"
        shown = "otherwise than planned" if state[key] not in (goal, None) else shown
        checks.append(Check(f"configuration: {key}", state[key] == goal, shown))
    with hda_files.locked(hda, job.ticket.ticket, partial(report_turn, job)):
        # Another ticket may be reloading HDA right now.
        served = _served_checks(job, hda, meant)
    ready = all(check.passed for check in checks)
    unseen = not _shows(job, hda) and hda_store.apart(job, hda)
    if ready and not hda.reload and (unseen or not all(check.passed for check in served)):
        return _waiting(job, hda, checks + served)
    checks += served
    summary = f"HDA serves {id_} as it was published"
    if not _shows(job, hda):
        summary = f"{id_} is in HDA's configuration, and closed without a token; what HDA serves "
        summary += "could not be read: that needs hda.internal_url"
    return judged(STEP, checks, summary, goal=dict(plan.goal))


def _served_checks(job: Job, hda: Hda, meant: _Meant) -> list[Check]:
    id_, checks = job.ticket.collection, []
    with hda_served.reading() as client:
        if job.ticket.roles:
            status, _ = hda_served.get(client, hda_served.collection_url(hda.url, id_))
            hidden = status in hda_served.CLOSED
            checks.append(Check("HDA: closed without a token", hidden, f"answers {status}"))
            if hda.internal_url is None:
                return checks
        url = hda_served.collection_url(_root(job, hda), id_)
        status, served = hda_served.get(client, url)
    if status != 200:
        answer = f"answers {status}" if status else "doesn't answer"
        return [*checks, Check("HDA: collection", False, f"{answer} for {id_}")]
    return checks + hda_served.compared(served, meant.document)


def _waiting(job: Job, hda: Hda, checks: list[Check]) -> Outcome:
    written = read_written(_written(job))
    merge_request = str(written.get("merge_request", ""))
    return Outcome(
        STEP,
        Verdict.WAITING,
        f"{job.ticket.collection} is in HDA's configuration, but HDA doesn't serve it yet.",
        tuple(checks),
        waiting_for=hda_store.rollout(job, hda, merge_request),
        since=str(written["since"]),
        detail={"merge_request": merge_request} if merge_request else {},
    )


def _written(job: Job) -> Path:
    return job.folder / "hda-written.json"


def note_written(file: Path, merge_request: str) -> None:
    """Note that the configuration was written just now, for those who wait for its roll-out."""
    # A later push to the same branch may not name its merge request again.
    merge_request = merge_request or str(read_written(file).get("merge_request", ""))
    more = {"merge_request": merge_request} if merge_request else {}
    write_atomic(file, pretty({"since": now()} | more))


def read_written(file: Path) -> dict[str, Any]:
    """Return since when the configuration is written, and the URL of its merge request, if any."""
    note: dict[str, Any] = parse(file.read_bytes()) if file.exists() else {"since": now()}
    return note
