"""Catalogue: collection and items go into PgSTAC, all at once or not at all.

The procedure's step 2 (`pypgstac load`), made whole: partitions first, in short transactions of
their own that show nobody anything, then one transaction for collection and items, compared with
the dataset before the commit. Nobody reads half a dataset, nor waits for it.
"""

from __future__ import annotations

import gzip
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dedl_workbook.base.errors import ChangedError, ConflictError, ServiceError, WorkbookError
from dedl_workbook.base.files import whole, write_atomic
from dedl_workbook.base.json import parse, pretty
from dedl_workbook.base.json_patch import patch
from dedl_workbook.base.retry import until
from dedl_workbook.publication import addresses, metadata
from dedl_workbook.publication.before import before_folder, goals_with, holds, matches, state_before
from dedl_workbook.publication.job import Action, Check, Job, Outcome, Plan, Receipt, judged
from dedl_workbook.services.catalog import comparison, partitions, pgstac, stac_api
from dedl_workbook.services.catalog import loading as pgstac_load
from dedl_workbook.services.catalog.comparison import Comparison

if TYPE_CHECKING:
    from dedl_workbook.services.catalog.pgstac import Connection

STEP = "catalog"
_LAG = "STAC API: up to date with the database"
STATE, GOALS = "catalog.json", "catalog-made.json"
"""The files with the state before the first change, and what this ticket published since."""
COLLECTION, ITEMS = "collection.json", "items.ndjson.gz"
"""The files with the collection and the items from before."""
_VERBS = {
    "added": ("add", "items"),
    "changed": ("change", "items"),
    "moved": ("change", "items that moved in time"),
    "twice": ("mend", "items that are held twice"),
    "vanished": ("remove", "items that are no longer in the dataset"),
}


def plan(job: Job) -> Plan:
    """Compare the published collection and items with those that PgSTAC holds.

    Raises:
        ConflictError: mode new, and somebody else's collection has this id.
        InputError: an item that PgSTAC can't hold.
        ServiceError: the database refuses or fails; the remedy says what to do.
    """
    with comparison.comparing(job.folder) as sides:
        document, goal = _goal(job, sides)
        with pgstac.connected(job) as connection:
            version = pgstac.guard(connection)
            held, state = held_state(job, connection, sides)
        before = state_before(job.before.get(STEP), state, goal)
        counts = sides.counts()
        _refuse_foreign(job, state, goal, before)
        detail: dict[str, Any] = {"pgstac": version, "items": counts}
        detail["examples"] = {k: sides.examples(k, 20) for k in _VERBS if counts[k]}
        if held is not None and state["collection"] != goal["collection"]:
            detail["collection"] = patch(held, document)
        actions = _actions(job.ticket.collection, held is None, state, goal, counts)
    return Plan(STEP, job, goal, before, actions, detail)


def _goal(job: Job, sides: Comparison, *, content: bool = False) -> tuple[dict[str, Any], Any]:
    document, items = metadata.collection(job), metadata.items(job)
    hosts: Counter[str] = Counter()
    for done in sides.publish(_with_hosts(items, hosts), content=content):
        job.tell("reading items", done, 0, "items")
    count, total = sides.side("published")
    goal = {"collection": comparison.digest(document), "items": count, "items_digest": total}
    # What lies on other servers is approved by its hosts.
    return document, goal | ({"elsewhere": dict(sorted(hosts.items()))} if hosts else {})


def _with_hosts(
    items: Iterable[tuple[str, dict[str, Any]]], hosts: Counter[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the items, and count the hosts of those of their assets that lie elsewhere."""
    for path, item in items:
        hosts.update(addresses.hosts(item))
        yield path, item


def held_state(job: Job, connection: Connection, sides: Comparison) -> tuple[Any, dict[str, Any]]:
    """Return the collection that is held, and the catalogue's state; fills the side `held`."""
    held = pgstac.held_collection(connection, job.ticket.collection)
    _hold(job, sides, [] if held is None else _held_items(job, connection))
    if held is None:
        return None, {"collection": None, "items": 0, "items_digest": None}
    count, items = sides.side("held")
    return held, {"collection": comparison.digest(held), "items": count, "items_digest": items}


def _held_items(job: Job, connection: Connection) -> Iterator[tuple[str, str, bytes]]:
    return pgstac.held_items(connection, job.ticket.collection)


def _hold(job: Job, sides: Comparison, items: Iterable[tuple[str, str, bytes]]) -> None:
    for done in sides.hold(items):
        job.tell("reading the catalogue", done, 0, "items")


def _refuse_foreign(
    job: Job, state: dict[str, Any], goal: dict[str, Any], before: dict[str, Any]
) -> None:
    """In mode new, only what isn't there, or is ours, may be loaded."""
    ours = (
        state["collection"] is None
        or before["collection"] is None
        or (state["collection"] == goal["collection"] and not state["items"])
        or matches(state, goal)
    )
    if job.ticket.mode == "new" and not ours:
        if any(matches(state, one) for one in goals_of(job)):
            raise published_before(job, f"{state['items']} items")
        raise ConflictError(
            f"the catalogue has a collection {job.ticket.collection} with {state['items']} items "
            "that this ticket did not publish",
            remedy="If this ticket shall replace it, set 'mode: replace' in the ticket; else "
            "agree on another collection id.",
        )


def _actions(
    collection: str,
    new: bool,
    state: dict[str, Any],
    goal: dict[str, Any],
    counts: dict[str, int],
) -> tuple[Action, ...]:
    actions = []
    if state["collection"] != goal["collection"]:
        actions.append(Action("add" if new else "change", f"collection {collection}"))
    for kind, (verb, subject) in _VERBS.items():
        if counts[kind]:
            actions.append(Action(verb, subject, counts[kind]))
    return tuple(actions)


def apply(plan: Plan) -> Receipt:
    """Load what differs: one transaction, compared with the dataset before it is committed.

    Raises:
        ChangedError: the dataset isn't what the plan was made for.
        ConflictError: the catalogue isn't either what the plan found or what it wants.
        InputError: PgSTAC refuses an item.
        ServiceError: the database refuses or fails. After any of these nothing is half-done.
    """
    start = time.monotonic()
    job = plan.job
    with comparison.comparing(job.folder) as sides, pgstac.connected(job) as connection:
        pgstac.guard(connection)
        document, goal = _goal(job, sides, content=True)
        if goal != plan.goal:
            raise ChangedError(
                "the metadata isn't what the plan was made for", remedy="Plan and approve again."
            )
        pgstac.lock(connection, job.ticket.collection)
        held, state = held_state(job, connection, sides)
        _require_expected(plan, state)
        counts = sides.counts()
        _save_before(plan, connection, held)
        load(job, connection, sides, document, new=held is None)
        left = pgstac_load.finish(connection, job.ticket.collection)
    done: dict[str, Any] = {"collection": goal["collection"] != state["collection"]}
    done["items"] = {kind: count for kind, count in counts.items() if kind != "equal"}
    return Receipt(STEP, done | ({"left": left} if left else {}), time.monotonic() - start)


def _require_expected(plan: Plan, state: dict[str, Any]) -> None:
    if state_before(plan.before, state, plan.goal) != dict(plan.before):
        raise ConflictError(
            f"{plan.job.ticket.collection} was changed in the catalogue since the plan was made",
            remedy="Find out by whom, then plan and approve again.",
        )


def goals_of(job: Job) -> list[dict[str, Any]]:
    """Return the goals that this ticket set out to publish, oldest first."""
    record = before_folder(job) / GOALS
    goals: list[dict[str, Any]] = parse(record.read_bytes()) if record.exists() else []
    return goals


def published_before(job: Job, what: str) -> ConflictError:
    """Return the error for a dataset that changed after this very ticket published it."""
    ticket = job.ticket.ticket
    return ConflictError(
        f"this ticket published {what} of {job.ticket.collection}; the dataset has changed since",
        remedy=f"Withdraw them first: dedl-workbook withdraw {ticket}. Or set 'mode: replace' in "
        "the ticket, and plan the changed dataset as their replacement.",
    )


def _save_before(plan: Plan, connection: Connection, held: dict[str, Any] | None) -> None:
    """Save what is there before the first change, unless an earlier run did so."""
    folder, state = before_folder(plan.job), dict(plan.before)
    marker, goals = folder / STATE, goals_with(goals_of(plan.job), plan.goal)
    write_atomic(folder / GOALS, pretty(goals))
    saved = parse(marker.read_bytes()) if marker.exists() else None
    if saved and holds(saved, goals, state):
        return
    marker.unlink(missing_ok=True)
    if held is not None:
        write_atomic(folder / COLLECTION, pretty(held))
        # Items are much alike: the fastest level leaves a tenth of them.
        with whole(folder / ITEMS) as raw_file, gzip.open(raw_file, "wb", 1) as file:
            file.writelines(raw + b"\n" for _, _, raw in _held_items(plan.job, connection))
    write_atomic(marker, pretty(state))


def load(
    job: Job, connection: Connection, sides: Comparison, document: dict[str, Any], *, new: bool
) -> None:
    """Make the catalogue hold this collection and the published side's items, or change nothing.

    Args:
        new: whether the collection isn't there yet.

    Raises:
        ConflictError: somebody else made or deleted the collection meanwhile.
        InputError: PgSTAC refuses an item.
        ServiceError: the database fails, or holds them otherwise.
    """
    collection = job.ticket.collection
    partitions.drop_hidden(connection, collection)
    unseen = None
    if new:
        sides.select()
        trunc = partitions.by_size(sides.fullest, job.target.catalog.partition_items)
        unseen = partitions.Hidden.of(connection, document, trunc)
    else:
        sides.select(everything=pgstac.alters_items(connection, document))
        trunc = pgstac.partition_trunc(connection, collection)
    spans = sides.spans(partitions.LENGTHS[trunc])
    try:
        names = partitions.make(connection, collection, spans, unseen)
        with connection.transaction():
            if unseen is not None:
                unseen.show(connection)
            _load(job, connection, sides, document, list(zip(names, spans, strict=True)))
    except BaseException:
        if new:
            with suppress(WorkbookError), pgstac.connected(job) as other:
                partitions.drop_hidden(other, collection)
        raise


def _load(
    job: Job,
    connection: Connection,
    sides: Comparison,
    document: dict[str, Any],
    places: list[tuple[str, partitions.Span]],
) -> None:
    """Load what was selected into these partitions; inside the transaction."""
    collection = job.ticket.collection
    pgstac_load.prepare_load(connection)
    pgstac_load.update(connection, document)
    pgstac_load.remove(connection, collection, sides.outdated())
    total = sides.selected_count
    for done in pgstac_load.load(connection, places, sides):
        job.tell("loading items", done, total, "items")
    pgstac_load.unqueue(connection, [name for name, _ in places])
    _compare(job, connection, sides, document)
    pgstac_load.forget_counts(connection)


def _compare(job: Job, connection: Connection, sides: Comparison, document: dict[str, Any]) -> None:
    """Compare what PgSTAC holds now with the dataset, inside the transaction.

    Raises:
        ServiceError: they differ; nothing is committed.
    """
    held, state = held_state(job, connection, sides)
    counts = sides.counts()
    wrong = [f"{_example(sides, kind)} is {_WRONG[kind]}" for kind in _VERBS if counts[kind]]
    if held is None or state["collection"] != comparison.digest(document):
        wrong.append("the collection is held otherwise than it was sent")
    if wrong:
        raise ServiceError(
            f"PgSTAC does not hold what it was sent: {'; '.join(wrong)}",
            remedy="Nothing was loaded. Look at what is special in these items (a value that the "
            "collection's item_assets have and the item has as null, for one).",
        )


_WRONG = {
    "added": "missing",
    "changed": "altered",
    "moved": "altered, also in time",
    "twice": "there twice",
    "vanished": "there but not in the dataset",
}


def _example(sides: Comparison, kind: str) -> str:
    count, some = sides.counts()[kind], sides.examples(kind, 3)
    named = ", ".join(sides.where(id_) for id_ in some)
    return named if count <= len(some) else f"{named} and {count - len(some)} more"


def check(plan: Plan) -> Outcome:
    """Read the catalogue back, over a connection of its own and through the STAC API.

    The dataset is read anew; what `apply` said does not count.
    """
    job = plan.job
    with comparison.comparing(job.folder) as sides:
        document, goal = _goal(job, sides)
        checks = [
            Check("the dataset is the planned one", goal == plan.goal, f"{goal['items']} items")
        ]
        # What was published, for the evidence.
        sides.write_digests(job.folder / "items-sha256.txt")
        write_atomic(job.folder / "collection.json", pretty(document))
        with pgstac.connected(job) as connection:
            held, state = held_state(job, connection, sides)
            covered = pgstac.extent(connection, job.ticket.collection)
        same = state["collection"] == goal["collection"]
        checks.append(collection_check("database", held is not None, same))
        checks += item_checks("database", sides)
        checks += _extent_checks(job, document, covered)
    checks += awaited_checks(
        job, document, lambda: metadata.items(job), lambda: matches(state_of(job), goal)
    )
    summary = f"{goal['items']} items of {job.ticket.collection} are in the catalogue, as published"
    return judged(STEP, checks, summary, goal=goal)


def _extent_checks(job: Job, document: dict[str, Any], covered: tuple[Any, ...]) -> Iterator[Check]:
    """Compare the declared extent with what PostGIS finds, where rule C12 requires that it holds.

    PostGIS doesn't know of the antimeridian, so a declared box that crosses it is not compared.
    """
    from dedl_workbook.rules.extent import extent_of

    box, first, last = covered
    waived = any(waiver.rule == "C12" for waiver in job.ticket.waivers)
    if first is None or waived or job.target.rules.get("C12", "error") != "error":
        return
    declared = extent_of(document)
    inside = declared.holds_span(first, last)
    span = f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"
    if box is not None and declared.box is not None and declared.box[0] <= declared.box[2]:
        inside = inside and declared.holds_box(tuple(box))
        span += f", {', '.join(f'{edge:.6g}' for edge in box)}"
    yield Check("database: the declared extent holds the items", inside, span)


def collection_check(side: str, there: bool, same: bool) -> Check:
    """Return the check that a side has the collection as it was published."""
    summary = ("as published" if same else "differs from the published") if there else "missing"
    return Check(f"{side}: collection", there and same, summary)


def item_checks(side: str, sides: Comparison) -> list[Check]:
    """Return the checks that a side has each item, once, as published, and none besides."""
    counts = sides.counts()
    count = sides.side("held")[0]
    checks = []
    for name, kinds in (
        ("every item is there", ("added",)),
        ("once", ("twice",)),
        ("none besides", ("vanished",)),
        ("as published", ("changed", "moved")),
    ):
        wrong = [f"{_example(sides, k)}: {_WRONG[k]}" for k in kinds if counts[k]]
        checks.append(Check(f"{side}: {name}", not wrong, "; ".join(wrong) or f"{count} items"))
    return checks


def state_of(job: Job) -> dict[str, Any]:
    """Return the state of the catalogue now, from the database itself."""
    with comparison.comparing(job.folder) as sides, pgstac.connected(job) as connection:
        return held_state(job, connection, sides)[1]


def awaited_checks(
    job: Job,
    document: dict[str, Any],
    items: Callable[[], Iterable[tuple[str, dict[str, Any]]]],
    is_held: Callable[[], bool],
) -> list[Check]:
    """Compare what the STAC API serves, which may lag behind the database for a while.

    Args:
        job: whose `stac_api.patience` is waited for.
        document: the collection that is to be served.
        items: gives the items that are to be served, each time anew.
        is_held: returns whether the database itself still holds them.
    """
    checks: list[Check] = []

    def is_served() -> bool:
        checks[:] = served_checks(job, document, items())
        return all(check.passed for check in checks)

    if is_served():
        return checks
    if not is_held():
        return [Check(_LAG, False, "the database itself does not hold it as published"), *checks]
    begun, patience = time.monotonic(), job.target.stac_api.patience
    what = "waiting for the STAC API, which lags behind the database"

    def is_served_now() -> bool:
        job.tell(what, int(time.monotonic() - begun), int(patience), "s")
        return is_served()

    served = patience > 0 and until(is_served_now, patience, pause=1)
    waited = f"{time.monotonic() - begun:.0f} s"
    if served:
        return [Check(_LAG, True, f"after {waited}, in which it lagged behind"), *checks]
    if not is_held():
        return [Check(_LAG, False, "meanwhile the database itself lost it"), *checks]
    late = f"it lags behind the database by more than {waited}, or serves something else"
    remedy = "nothing is lost: the database holds it as published; run again later"
    return [Check(_LAG, False, f"{late}; {remedy}"), *checks]


def served_checks(
    job: Job, document: dict[str, Any], items: Iterable[tuple[str, dict[str, Any]]]
) -> list[Check]:
    """Compare what the STAC API serves; see `stac_api.shown` for what it may serve otherwise."""
    root, id_ = job.target.stac_api.url, job.ticket.collection
    matched: list[int | None] = []

    def served() -> Iterator[tuple[str, str, bytes]]:
        for features, number in stac_api.pages(client, root, id_):
            matched.append(number)
            for item in features:
                raw = comparison.form(stac_api.shown(item))
                yield str(item.get("id")), comparison.span(item)[0], raw

    unlinked = ((path, stac_api.shown(item)) for path, item in items)
    with comparison.comparing(job.folder) as outside, stac_api.reading(root) as client:
        for _ in outside.publish(unlinked):
            pass
        collection = stac_api.collection(client, root, id_)
        _hold(job, outside, served() if collection is not None else [])
        same = collection is not None and _same(collection, document)
        checks = [collection_check("STAC API", collection is not None, same)]
        checks += item_checks("STAC API", outside)
        count = outside.side("published")[0]
    numbers = {number for number in matched if number is not None}
    summary = ", ".join(map(str, sorted(numbers))) or "not told (context is off)"
    checks.append(Check("STAC API: numberMatched", not numbers - {count}, summary))
    return checks


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return comparison.form(stac_api.shown(one)) == comparison.form(stac_api.shown(other))
