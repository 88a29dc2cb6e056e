"""Withdraw, pool: the objects that a ticket wrote are deleted, and no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain

from dedl_workbook.base.errors import ConflictError
from dedl_workbook.base.json import digest
from dedl_workbook.base.parallel import map_shards, shards
from dedl_workbook.base.sqlite import scratch
from dedl_workbook.dataset import s3
from dedl_workbook.dataset.dataset import Folder
from dedl_workbook.publication import keys
from dedl_workbook.publication.job import Action, Check, Job
from dedl_workbook.services.pool import listing, multipart, objects, reuse
from dedl_workbook.services.pool.listing import Leftovers
from dedl_workbook.services.pool.manifest import Manifest, open_manifest
from dedl_workbook.services.pool.objects import Pool

THREADS = 8
SHARD = 100
_KEYS = """
create table wanted (key text primary key) without rowid;
create table there (key text primary key) without rowid;
"""
EXAMPLES = 10


@dataclass(frozen=True)
class Standing:
    """What lies under a ticket's prefix."""

    count: int
    """Objects that this ticket wrote."""
    size: int
    """Their bytes."""
    foreign: tuple[str, ...]
    """Keys of objects that it didn't write; they stay."""
    leftovers: Leftovers
    marks: tuple[str, ...]
    """Keys of the objects that say that this ticket uses objects of earlier ones."""
    written: str
    """Names what the ticket wrote; the same while it is being deleted."""

    @property
    def state(self) -> str | None:
        """The state of now: None once nothing of the ticket is left."""
        return self.written if self.count or self.leftovers or self.marks else None


def pool_of(job: Job) -> Pool:
    """Return the pool without the delivered dataset, which may be gone by now."""
    client = s3.client(job.target.s3, connections=listing.CONNECTIONS)
    return Pool(client, job.target.s3.bucket, job.prefix, Folder(job.folder), copies=False)


def look(job: Job) -> Standing:
    """Return which objects under the ticket's prefix it wrote.

    Those are what the upload's manifest remembers with the very size and ETag, and those that say
    in their metadata that they were written for this publication: a killed upload may not have
    got to remember them.

    Raises:
        InputError: the manifest is damaged.
        ServiceError: the store refuses or doesn't answer.
    """
    with open_manifest(job) as manifest:
        return _look(job, pool_of(job), manifest)


def _look(job: Job, pool: Pool, manifest: Manifest) -> Standing:
    leftovers, foreign = Leftovers(), []
    manifest.fill("objects", listing.objects(pool, leftovers), 3)
    leftovers.uploads = multipart.stale(pool)
    unknown = manifest.claim(keys.prefix(job).removeprefix(job.prefix))
    marked = []
    for path, size, ours in _marked(job, pool, unknown):
        if ours:
            marked.append((path, size))
        else:
            foreign.append(pool.prefix + path)
    manifest.fill("ours", marked, 2)
    marks = tuple(reuse.marks(job, pool))
    written = digest({"prefix": keys.prefix(job), "manifest": manifest.remembered()})
    return Standing(*manifest.ours(), tuple(sorted(foreign)), leftovers, marks, written)


def _marked(
    job: Job, pool: Pool, written: Iterable[tuple[str, int]]
) -> Iterator[tuple[str, int, bool]]:
    done = 0
    with ThreadPoolExecutor(THREADS, thread_name_prefix="withdraw") as executor:
        for part in map_shards(partial(_marks, pool), shards(written, SHARD), executor):
            yield from part
            done += len(part)
            job.tell("asking objects who wrote them", done, 0, "objects")


def _marks(pool: Pool, written: list[tuple[str, int]]) -> list[tuple[str, int, bool]]:
    marks = []
    for path, size in written:
        with s3.calling(f"{pool.where(path)} can't be read"):
            head = pool.client.head_object(**pool.at(path))
        marked = head["Metadata"].get(objects.WRITTEN_FOR, "").startswith(pool.prefix)
        marks.append((path, size, marked))
    return marks


def in_use(job: Job, users: list[str]) -> ConflictError:
    """Return the error for objects that later publications reuse."""
    named = " and ".join(sorted(users))
    return ConflictError(
        f"{named} uses objects of this ticket",
        where=job.ticket.ticket,
        remedy=f"Nothing was changed. Withdraw {named} first, if that is meant: "
        f"dedl-workbook withdraw {min(users)}",
    )


def actions(standing: Standing, pool: Pool) -> tuple[Action, ...]:
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
    pool, begun, done = pool_of(job), time.monotonic(), 0
    with open_manifest(job) as manifest:
        standing = _look(job, pool, manifest)
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
        executor = ThreadPoolExecutor(THREADS, thread_name_prefix="withdraw")
        try:
            paths = shards(chain(standing.leftovers.probes, manifest.our_paths()), SHARD)
            for count in map_shards(partial(_delete, pool), paths, executor, stop=pool.stop):
                done += count
                job.tell("deleting objects", done, standing.count, "objects")
        finally:
            pool.stop.set()
            executor.shutdown(cancel_futures=True)
        for key in standing.marks:
            with s3.calling(f"s3://{pool.bucket}/{key} can't be deleted"):
                pool.client.delete_object(Bucket=pool.bucket, Key=key)
    keys.forget_editions(job)
    seconds, aborted = round(time.monotonic() - begun, 3), len(standing.leftovers.uploads)
    return {"deleted": done, "bytes": standing.size, "aborted": aborted, "seconds": seconds}


def _delete(pool: Pool, paths: list[str]) -> int:
    done = 0
    for path in paths:
        if pool.stop.is_set():
            break
        with s3.calling(f"{pool.where(path)} can't be deleted"):
            pool.client.delete_object(**pool.at(path))
        done += 1
    return done


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
