"""Withdraw, pool: the objects that a ticket wrote are deleted, and no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import chain

from dedl_workbook.base.errors import ConflictError
from dedl_workbook.base.sqlite import scratch
from dedl_workbook.dataset import s3
from dedl_workbook.publication import keys
from dedl_workbook.publication.job import Action, Check, Job
from dedl_workbook.services.pool import multipart
from dedl_workbook.services.pool.manifest import open_manifest
from dedl_workbook.services.pool.objects import Pool
from dedl_workbook.services.pool.ownership import Written, delete, look, pool_of, written

THREADS = 8
SHARD = 100
_KEYS = """
create table wanted (key text primary key) without rowid;
create table there (key text primary key) without rowid;
"""
EXAMPLES = 10


def in_use(job: Job, users: list[str]) -> ConflictError:
    """Return the error for objects that later publications reuse."""
    named = " and ".join(sorted(users))
    return ConflictError(
        f"{named} uses objects of this ticket",
        where=job.ticket.ticket,
        remedy=f"Nothing was changed. Withdraw {named} first, if that is meant: "
        f"dedl-workbook withdraw {min(users)}",
    )


def actions(standing: Written, pool: Pool) -> tuple[Action, ...]:
    """Return what deletes what the ticket wrote."""
    actions = []
    if standing.count:
        where = f"objects of this ticket under {pool.where()}"
        actions.append(Action("delete", where, standing.count, standing.size))
    if standing.leftovers:
        left = len(standing.leftovers)
        actions.append(Action("delete", f"what a cut-off upload left under {pool.where()}", left))
    if standing.marks:
        actions.append(Action("delete", "marks at earlier tickets' objects", len(standing.marks)))
    return tuple(actions)


def undo(job: Job, *, referred: Callable[[], bool]) -> dict[str, float]:
    """Delete what the ticket wrote; finishes what was cut off.

    Args:
        job: the ticket at work.
        referred: returns whether the catalogue refers to these objects, as it is now.

    Raises:
        ConflictError: it does; nothing was deleted.
        ServiceError: the store refuses or doesn't answer; running again deletes the rest.
    """
    pool, begun = pool_of(job), time.monotonic()
    with open_manifest(job) as manifest:
        standing = written(job, pool, manifest)
        if standing.state and referred():
            raise ConflictError(
                "the catalogue still refers to objects of this ticket, so none was deleted",
                where=pool.where(),
                remedy="Somebody changed the catalogue meanwhile: plan the withdrawal again.",
            )
        if standing.leftovers.users:
            raise in_use(job, standing.leftovers.users)
        for key, upload in standing.leftovers.uploads:
            multipart.abort(pool, key, upload)
        paths = chain(standing.leftovers.probes, manifest.our_paths())
        done = delete(job, pool, paths, standing.count)
        for key in standing.marks:
            with s3.calling(f"s3://{pool.bucket}/{key} can't be deleted"):
                pool.client.delete_object(Bucket=pool.bucket, Key=key)
    keys.forget_editions(job)
    seconds, aborted = round(time.monotonic() - begun, 3), len(standing.leftovers.uploads)
    return {"deleted": done, "bytes": standing.size, "aborted": aborted, "seconds": seconds}


def checks(job: Job) -> list[Check]:
    """List the bucket anew: nothing that this ticket wrote is there, not even half of it."""
    standing = look(job)
    left, summary = standing.count, f"{standing.count} objects"
    if standing.foreign:
        some = ", ".join(standing.foreign[:3])
        summary += f"; {len(standing.foreign)} that it didn't write stay: {some}"
    cut = len(standing.leftovers)
    return [
        Check("gone, pool: objects of this ticket", not left, summary),
        Check("gone, pool: cut-off uploads", not cut, f"{cut} left"),
        Check("gone, pool: marks", not standing.marks, f"{len(standing.marks)} left"),
    ]


def absent(job: Job, keys: Iterable[str]) -> tuple[int, list[str]]:
    """Return how many of these keys have no object in the pool, and some of them.

    Only keys under the collection's prefix are looked at. Memory stays flat.
    """
    pool, start = pool_of(job), f"{job.ticket.collection}/"
    pages = pool.client.get_paginator("list_objects_v2")
    with scratch(_KEYS) as database:
        database.execute("begin")
        wanted = ((key,) for key in keys if key.startswith(start))
        database.executemany("insert or ignore into wanted values (?)", wanted)
        if database.execute("select 1 from wanted limit 1").fetchone() is None:
            return 0, []
        with s3.calling(f"s3://{pool.bucket}/{start} can't be listed"):
            for page in pages.paginate(Bucket=pool.bucket, Prefix=start):
                rows = [(one["Key"],) for one in page.get("Contents", [])]
                database.executemany("insert or ignore into there values (?)", rows)
        query = "from wanted where key not in (select key from there)"
        count = int(database.execute(f"select count(*) {query}").fetchone()[0])
        some = database.execute(f"select key {query} order by key limit {EXAMPLES}")
        return count, [key for (key,) in some]
