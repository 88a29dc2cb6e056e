"""Withdraw, catalogue: the collection and items from before are put back, or all is deleted."""

from __future__ import annotations

import gzip
import json
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedl_workbook.base.errors import ConflictError, EvidenceError
from dedl_workbook.base.json import parse
from dedl_workbook.base.retry import until
from dedl_workbook.publication import keys
from dedl_workbook.publication.before import before_folder, matches
from dedl_workbook.publication.job import Action, Check, Job
from dedl_workbook.services.catalog import comparison, partitions, pgstac, stac_api
from dedl_workbook.services.catalog import loading as pgstac_load
from dedl_workbook.steps import catalog

if TYPE_CHECKING:
    from dedl_workbook.services.catalog.pgstac import Connection

State = Mapping[str, Any]
UNKNOWN = "unknown"
"""In the place of a ticket: no href tells who published what stands there."""


@dataclass(frozen=True)
class Before:
    """What the catalogue step saved before its first change."""

    state: State
    goals: tuple[State, ...]
    """What this ticket set out to publish since."""
    folder: Path

    @property
    def written(self) -> set[str]:
        """The digests of the collections that nobody but this ticket published."""
        return {state["collection"] for state in self.goals} - {self.state["collection"]}

    def published(self, state: State) -> bool:
        """Return whether a state of the catalogue is one that this ticket set out to publish."""
        return any(matches(state, goal) for goal in self.goals)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The collection from before."""
        document: dict[str, Any] = parse((self.folder / catalog.COLLECTION).read_bytes())
        return document

    def items(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield where each item from before stands, and the item."""
        path = self.folder / catalog.ITEMS
        # Earlier versions saved them as they are.
        plain = path.with_suffix("")
        with plain.open("rb") if plain.is_file() else gzip.open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                yield f"{path}, line {number}", json.loads(line)

    def keys(self, bucket: str) -> Iterator[str]:
        """Yield the keys in a bucket that the items and collection from before refer to."""
        if self.state["collection"] is None:
            return
        start = f"s3://{bucket}/"
        yield from _keys(self.document, start)
        for _, item in self.items():
            yield from _keys(item, start)


def _keys(document: dict[str, Any], start: str) -> Iterator[str]:
    for asset in (document.get("assets") or {}).values():
        href = str(asset.get("href", "")) if isinstance(asset, dict) else ""
        if href.startswith(start):
            yield href.removeprefix(start)


@dataclass(frozen=True)
class Standing:
    """How the catalogue stands towards a ticket."""

    state: State
    before: Before | None
    """None: the catalogue step never began to change anything, as far as is known."""
    ours: bool
    """Whether this ticket's publication stands there."""
    above: tuple[str, ...]
    """Other tickets, where what stands there is theirs."""
    actions: tuple[Action, ...] = ()

    @property
    def goal(self) -> State | None:
        """What is to stand there; None: that isn't this ticket's business."""
        return None if self.before is None else self.before.state

    @property
    def altered(self) -> bool:
        """Whether somebody changed by hand what this ticket published."""
        return self.ours and self.before is not None and not self.before.published(self.state)


def before(job: Job) -> Before | None:
    """Return what the catalogue step saved, or None where it never saved anything.

    Raises:
        EvidenceError: what was saved is damaged.
    """
    folder = before_folder(job)
    marker = folder / catalog.STATE
    try:
        if not marker.exists():
            return None
        return Before(parse(marker.read_bytes()), tuple(catalog.goals_of(job)), folder)
    except (OSError, ValueError) as error:
        raise lost(marker, str(error)) from error


def lost(where: Path, why: str) -> EvidenceError:
    """Return the error for a state before that isn't there, or isn't whole."""
    return EvidenceError(
        f"what was there before this ticket can't be put back: {why}",
        where=str(where),
        remedy="Nothing was changed. Bring the case's folder 'work/before' back from its backup; "
        "without it, what was there before has to be published anew by a ticket of its own.",
    )


def look(job: Job) -> Standing:
    """Return what stands in the catalogue, whose it is, and what would undo it.

    Raises:
        EvidenceError: this ticket's publication stands there, and the state before is lost.
        ServiceError: the database refuses or fails.
    """
    saved = before(job)
    with comparison.comparing(job.folder) as sides:
        if saved is not None:
            _require_whole(job, saved, sides)
        with pgstac.connected(job) as connection:
            pgstac.guard(connection)
            _, state = catalog.held_state(job, connection, sides)
            tickets = _tickets(job, connection)
            hidden = partitions.hidden(connection, job.ticket.collection)
        ours, above = _whose(job, state, saved, tickets)
        if ours and not above and saved is None:
            raise lost(before_folder(job), "it was not saved, or is lost")
        actions: tuple[Action, ...] = ()
        # What somebody deleted by hand since is put back as well.
        if saved is not None and not above:
            actions = _actions(job, state, saved, sides.counts()) if state != saved.state else ()
            actions += (_LEFT,) if hidden else ()
    return Standing(state, saved, ours, above, actions)


def _whose(
    job: Job, now: State, saved: Before | None, tickets: set[str]
) -> tuple[bool, tuple[str, ...]]:
    """Return whether what stands there is this ticket's, and which other tickets' it is."""
    own = job.ticket.ticket in tickets
    # Its items may lead to objects of earlier tickets, which it uses where they lie.
    others = tuple(sorted(tickets - {job.ticket.ticket} - (keys.tickets(job) if own else set())))
    if now["collection"] is None or (saved is not None and now == saved.state):
        return False, ()
    if saved is not None and saved.published(now):
        return True, ()
    ours = {state["collection"] for state in saved.goals} if saved is not None else set()
    begun = now["collection"] in ours and not now["items"]
    if begun or (own and not others):
        return True, ()
    return own, others or (UNKNOWN,)


def _tickets(job: Job, connection: Connection) -> set[str]:
    """Return the tickets under whose prefixes the collection's assets lie, by their hrefs."""
    start = f"s3://{job.target.s3.bucket}/{job.ticket.collection}/"
    rows = connection.execute(
        "with held as (select content from items where collection = %(id)s"
        " union all select content from collections where id = %(id)s)"
        " select distinct substring(asset.href #>> '{}' from %(start)s)"
        " from held, jsonb_path_query(content, '$.assets.*.href') asset (href)",
        {"id": job.ticket.collection, "start": f"^{re.escape(start)}([^/]+)/"},
    ).fetchall()
    return {row[0] for row in rows if row[0] is not None}


def refers_to(job: Job) -> bool:
    """Return whether the catalogue refers to objects of this ticket."""
    with pgstac.connected(job) as connection:
        return job.ticket.ticket in _tickets(job, connection)


def _require_whole(job: Job, saved: Before, sides: comparison.Comparison, **how: bool) -> None:
    """Take in the items from before; they and the collection must be what was saved."""
    if saved.state["collection"] is None:
        return
    try:
        for done in sides.publish(saved.items(), **how):
            job.tell("reading what was before", done, 0, "items")
        same = comparison.digest(saved.document) == saved.state["collection"]
        count, items = sides.side("published")
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise lost(saved.folder, str(error)) from error
    if not same or (count, items) != (saved.state["items"], saved.state["items_digest"]):
        raise lost(saved.folder, "what was saved isn't whole any more")


_VERBS = {
    "added": ("put back", "items"),
    "changed": ("change back", "items"),
    "moved": ("change back", "items that moved in time"),
    "twice": ("mend", "items that are held twice"),
    "vanished": ("delete", "items that weren't there before"),
}

_LEFT = Action("delete", "empty partitions of a load that was cut off")


def _actions(job: Job, state: State, saved: Before, counts: dict[str, int]) -> tuple[Action, ...]:
    named = f"collection {job.ticket.collection}"
    if saved.state["collection"] is None:
        if state["collection"] is None:
            return ()
        items = (Action("delete", "items", state["items"]),) if state["items"] else ()
        return (*items, Action("delete", named))
    actions = [
        Action(verb, subject, counts[kind])
        for kind, (verb, subject) in _VERBS.items()
        if counts[kind]
    ]
    if state["collection"] != saved.state["collection"]:
        verb = "put back" if state["collection"] is None else "change back"
        actions.insert(0, Action(verb, named))
    return tuple(actions)


def undo(job: Job, standing: Standing) -> dict[str, Any]:
    """Put the collection and items from before back, or delete all, in one transaction.

    Raises:
        ConflictError: the catalogue isn't as the plan found it.
        EvidenceError: the state before is lost.
        ServiceError: the database refuses or fails. After any of these nothing is half-done.
    """
    saved, id_ = standing.before, job.ticket.collection
    if saved is None or not standing.actions:
        return {}
    start = time.monotonic()
    with comparison.comparing(job.folder) as sides, pgstac.connected(job) as connection:
        pgstac.guard(connection)
        _require_whole(job, saved, sides, content=True)
        pgstac.lock(connection, id_)
        held, state = catalog.held_state(job, connection, sides)
        if state != standing.state:
            raise ConflictError(
                f"{id_} was changed in the catalogue since the withdrawal was planned",
                remedy="Nothing was changed there. Plan again, and read what it finds.",
            )
        partitions.drop_hidden(connection, id_)
        done: dict[str, Any] = {}
        if saved.state["collection"] is None:
            if held is not None:
                pgstac_load.delete_collection(connection, id_)
                done = {"items_deleted": state["items"], "collection": "deleted"}
        elif state != saved.state:
            catalog.load(job, connection, sides, saved.document, new=held is None)
            left = pgstac_load.finish(connection, id_)
            done = {"items_put_back": saved.state["items"], "collection": "put back"}
            done |= {"left": left} if left else {}
    return done | {"seconds": round(time.monotonic() - start, 3)}


def checks(job: Job, goal: State) -> list[Check]:
    """Read the database, over a connection of its own, and the STAC API; compare with `goal`."""
    if goal["collection"] is None:
        return [*_gone_from_database(job), *_gone_from_api(job)]
    saved = before(job)
    if saved is None or saved.state != goal:
        raise lost(before_folder(job), "it isn't what the plan was made for")
    with comparison.comparing(job.folder) as sides:
        _require_whole(job, saved, sides)
        with pgstac.connected(job) as connection:
            held, state = catalog.held_state(job, connection, sides)
        same = state["collection"] == goal["collection"]
        results = [catalog.collection_check("database", held is not None, same)]
        results += catalog.item_checks("database", sides)
    results += catalog.awaited_checks(
        job, saved.document, saved.items, lambda: catalog.state_of(job) == state
    )
    return [Check(f"as before, {check.name}", check.passed, check.found) for check in results]


def _gone_from_database(job: Job) -> Iterator[Check]:
    id_ = job.ticket.collection
    with pgstac.connected(job) as connection:
        there = pgstac.held_collection(connection, id_) is not None
        items = pgstac.count_items(connection, id_)
        row = connection.execute(
            "select count(*) from partition_stats where collection = %s", [id_]
        ).fetchone()
    parts = int(row[0]) if row else 0
    yield Check("gone, database: collection", not there, "still there" if there else "none")
    yield Check("gone, database: items", not items, f"{items} items")
    yield Check("gone, database: partitions", not parts, f"{parts} partitions")


def _gone_from_api(job: Job) -> list[Check]:
    """Ask the STAC API, which may lag behind the database, as long as the target has patience."""
    checks: list[Check] = []

    def gone() -> bool:
        job.tell("waiting for the STAC API to follow the database", 0, 0, "")
        checks[:] = _looks_gone(job)
        return all(check.passed for check in checks)

    until(gone, job.target.stac_api.patience, pause=1)
    return checks


def _looks_gone(job: Job) -> Iterator[Check]:
    root, id_ = job.target.stac_api.url, job.ticket.collection
    with stac_api.reading(root) as client:
        collection = stac_api.collection(client, root, id_)
        answer = client.get(f"{root.rstrip('/')}/search", params={"collections": id_, "limit": "1"})
        answer.raise_for_status()
        count = len(answer.json().get("features") or [])
    summary = "answers 404" if collection is None else "still served"
    yield Check("gone, STAC API: collection", collection is None, summary)
    yield Check("gone, STAC API: search", not count, f"{count} items found")
