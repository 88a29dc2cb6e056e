"""Withdraw, HDA: entry, product and document are put back as they were, or go; HDA reads it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dedl_workbook.base.errors import ConflictError, EvidenceError
from dedl_workbook.base.json import parse
from dedl_workbook.base.retry import until
from dedl_workbook.parameters.target import Hda
from dedl_workbook.publication.before import before_folder, holds
from dedl_workbook.publication.job import Action, Check, Job
from dedl_workbook.services.catalog import comparison
from dedl_workbook.services.hda import config as hda_config
from dedl_workbook.services.hda import files as hda_files
from dedl_workbook.services.hda import served as hda_served
from dedl_workbook.services.hda import store as hda_store
from dedl_workbook.services.hda import trial as hda_trial
from dedl_workbook.services.hda.config import Config
from dedl_workbook.services.hda.files import Files
from dedl_workbook.steps import hda

if TYPE_CHECKING:
    import httpx

State = Mapping[str, Any]


@dataclass(frozen=True)
class Standing:
    """How HDA's configuration stands towards a ticket."""

    state: State
    saved: Mapping[str, Any] | None
    """What was saved before the first change; None: nothing of this ticket is there."""
    actions: tuple[Action, ...] = ()
    difference: tuple[str, ...] = ()
    """What would change in the files."""
    altered: bool = False
    """Whether somebody changed by hand what this ticket wrote."""

    @property
    def goal(self) -> State | None:
        """What is to stand there; None: that isn't this ticket's business."""
        return None if self.saved is None else self.saved["state"]


def _record(job: Job) -> Path:
    return before_folder(job) / "hda.json"


def look(job: Job, *, ours: bool, written: Collection[str]) -> Standing:
    """Return what stands in HDA's configuration, and what would undo it.

    Args:
        job: the ticket at work.
        ours: whether the catalogue shows this ticket's publication: then what stands here is its
            own, too, even if it was changed by hand since.
        written: digests, as `comparison` takes them, of the collections that nobody but this
            ticket published.

    Raises:
        ConflictError: it is neither what this ticket wrote nor what was there before.
        EvidenceError: this ticket's entry is there, and the state before is lost.
        InputError: a file of the configuration is missing, or not what it should be.
    """
    part = job.target.hda
    if part is None:
        return Standing({}, None)
    id_ = job.ticket.collection
    files = hda_store.read(job, part)
    state, saved = hda.state_in(part, id_, files), _saved(job)
    if saved is None:
        _require_not_ours(job, files, written)
        return Standing(state, None)
    altered = _altered(job, part, state, saved, ours)
    difference = tuple(hda.differences(files, _as_before(part, id_, files, saved)))
    return Standing(state, saved, _actions(job, part, files, saved), difference, altered)


def _altered(job: Job, part: Hda, now: State, saved: Mapping[str, Any], ours: bool) -> bool:
    """Return whether somebody changed what this ticket wrote; refuse what can't be its own."""
    altered = not holds(saved["state"], saved["made"], now)
    if altered and not ours:
        raise ConflictError(
            f"{job.ticket.collection} stands there otherwise than this ticket wrote it, and than "
            "it was before",
            where=str(hda_files.collections(part)),
            remedy="Nothing was changed. Find out who changed it; put it back as it was (the "
            f"case's file {_record(job)} has it), then withdraw again.",
        )
    return altered


def _saved(job: Job) -> dict[str, Any] | None:
    try:
        saved = hda.saved_before(job)
    except (OSError, ValueError) as error:
        raise _lost(job, str(error)) from error
    if saved is not None and not {"state", "made", "entry", "product", "document"} <= set(saved):
        raise _lost(job, "what was saved isn't whole any more")
    return saved


def _lost(job: Job, why: str) -> EvidenceError:
    return EvidenceError(
        f"HDA's entry from before this ticket can't be put back: {why}",
        where=str(_record(job)),
        remedy="Nothing was changed. Bring the case's folder 'work/before' back from its backup, "
        f"or take {job.ticket.collection} out of HDA's configuration by hand, and withdraw again.",
    )


def _require_not_ours(job: Job, files: Files, written: Collection[str]) -> None:
    """Refuse an entry of this ticket of which no state before was saved."""
    try:
        document = None if files.document is None else parse(files.document)
    except ValueError:
        return
    if document is not None and comparison.digest(document) in written:
        raise _lost(job, "it was not saved, or is lost")


def _as_before(part: Hda, id_: str, files: Files, saved: Mapping[str, Any]) -> Files:
    """Return the files with this collection as it was; all else in them stays as it is now."""
    collections, provider = files.collections, files.provider
    state, now = saved["state"], hda.state_in(part, id_, files)
    if now["entry"] != state["entry"]:
        collections = _with_entry(collections, id_, saved["entry"])
    if now["product"] != state["product"]:
        provider = _with_product(provider, part.provider, id_, saved["product"])
    document = files.document
    if now["document"] != state["document"]:
        document = None if saved["document"] is None else saved["document"].encode()
    return hda_files.held(part, id_, collections, provider, lambda _: document)


def _with_entry(config: Config, id_: str, text: str | None) -> Config:
    if text is None:
        return hda_config.without_entry(config, id_)
    return hda_config.with_entry_text(config, id_, text)


def _with_product(config: Config, provider: str, id_: str, product: Any) -> Config:
    if product is None:
        return hda_config.without_product(config, provider, id_)
    return hda_config.with_product(config, provider, id_, product)


def _actions(job: Job, part: Hda, files: Files, saved: Mapping[str, Any]) -> tuple[Action, ...]:
    id_ = job.ticket.collection
    state = hda.state_in(part, id_, files)
    actions = hda.changing(part, id_, state, saved["state"], "put back")
    if part.reload and (actions or not served_as_before(job, saved)):
        actions.append(hda.RELOAD)
    return (*actions, *hda.removing(part, hda_store.superseded(job, part, files)))


def undo(job: Job, standing: Standing) -> dict[str, Any]:
    """Put entry, product and document back, and let HDA read them; eodag loads them before.

    Raises:
        ConflictError: somebody changed them meanwhile; nothing was written.
        InputError: eodag can't load it, or it can't be written; nothing was changed.
        ServiceError: HDA doesn't come back; the files stay as they were before this.
    """
    part, saved, id_ = job.target.hda, standing.saved, job.ticket.collection
    if part is None or saved is None or not standing.actions:
        return {}
    reload = hda.RELOAD in standing.actions
    start = time.monotonic()
    with hda_files.locked(part, job.ticket.ticket, partial(hda.report_turn, job)):
        files = hda_store.read(job, part)
        if hda.state_in(part, id_, files) != standing.state:
            raise hda_files.changed_meanwhile(hda_files.collections(part))
        new = _as_before(part, id_, files, saved)
        if new != files:
            hda_trial.load_restored(part, id_, new, entry=saved["entry"] is not None)
        changed, merge_request = hda_store.write(job, part, files, new, "Withdraw")
        if changed:
            hda.note_written(_marker(job), merge_request)
        if reload:
            hda.reload_or_put_back(part, changed)
            _await(job, part, saved)
        if served_as_before(job, saved):
            hda.remove_superseded(job, part)
    done = {"changed": list(changed), "reloaded": reload}
    return done | {"seconds": round(time.monotonic() - start, 3)}


def _await(job: Job, part: Hda, saved: Mapping[str, Any]) -> None:
    until(lambda: served_as_before(job, saved), part.served_timeout)


def _marker(job: Job) -> Path:
    return job.folder / "hda-withdrawn.json"


def rollout(job: Job) -> str:
    """Return for what those wait who put the configuration back."""
    merge_request = str(hda.read_written(_marker(job)).get("merge_request", ""))
    return hda_store.rollout(job, job.target.hda, merge_request) if job.target.hda else ""


def since(job: Job) -> str:
    """Return when the configuration was put back, for those who wait for its roll-out."""
    return str(hda.read_written(_marker(job))["since"])


def served_as_before(job: Job, saved: Mapping[str, Any]) -> bool:
    """Return whether HDA serves, or has forgotten, the collection as it was before."""
    return all(check.passed for check in _served(job, saved))


def configured(job: Job, goal: State) -> list[Check]:
    """Read HDA's configuration back, and compare it with what is to stand there."""
    part = job.target.hda
    if part is None:
        return []
    state = hda.state_in(part, job.ticket.collection, hda_store.read(job, part))
    checks = []
    for key, meant in goal.items():
        name = f"gone, HDA's configuration: {key}" if meant is None else f"as before, HDA: {key}"
        same = state[key] == meant
        summary = ("none" if meant is None else "as before") if same else "another is there"
        summary = "missing" if state[key] is None and not same else summary
        checks.append(Check(name, same, summary))
    return checks


def cleared(job: Job) -> list[Check]:
    """Look for documents that were left."""
    part = job.target.hda
    if part is None:
        return []
    left = [path.name for path in hda_store.superseded(job, part, hda_store.read(job, part))]
    return [
        Check("gone, HDA's configuration: what no entry names", not left, ", ".join(left) or "none")
    ]


def served(job: Job, goal: State) -> list[Check]:
    """Ask HDA itself, and compare what it serves with what is to stand there."""
    saved = _saved(job)
    if saved is None or saved["state"] != goal:
        raise _lost(job, "it isn't what the plan was made for")
    return _served(job, saved)


def _served(job: Job, saved: Mapping[str, Any]) -> list[Check]:
    part, id_ = job.target.hda, job.ticket.collection
    if part is None:
        return []
    with hda_served.reading() as client:
        if saved["state"]["entry"] is None:
            # A guard may keep closed what it knew as restricted until it is started anew.
            shut = hda_served.CLOSED if job.ticket.roles else (404,)
            roots = {part.url: shut, **({part.internal_url: (404,)} if part.internal_url else {})}
            return [
                check
                for root, statuses in roots.items()
                for check in _gone(client, root, id_, statuses)
            ]
        root = part.internal_url or part.url
        status, collection = hda_served.get(client, hda_served.collection_url(root, id_))
    hidden = saved["product"] is None and status == 404
    closed = part.internal_url is None and status in (401, 403)
    there = Check(
        "as before, HDA: collection", status == 200 or hidden or closed, f"answers {status}"
    )
    if status != 200 or saved["document"] is None:
        return [there]
    compared = hda_served.compared(collection, parse(saved["document"].encode()))
    return [there, *(Check(f"as before, {c.name}", c.passed, c.found) for c in compared)]


def _gone(client: httpx.Client, root: str, id_: str, statuses: tuple[int, ...]) -> Iterator[Check]:
    url = hda_served.collection_url(root, id_)
    status, _ = hda_served.get(client, url)
    yield Check(f"gone, HDA: collection at {root}", status in statuses, f"answers {status}")
    for what, address in (
        ("items", f"{url}/items?limit=1"),
        ("search", f"{root.rstrip('/')}/search?collections={quote(id_, safe='')}&limit=1"),
    ):
        status, answer = hda_served.get(client, address)
        features = answer.get("features") if isinstance(answer, dict) else None
        passed = 400 <= status < 500 or (status == 200 and features == [])
        summary = f"answers {status}, with {len(features or [])} items"
        yield Check(f"gone, HDA: {what} at {root}", passed, summary)
