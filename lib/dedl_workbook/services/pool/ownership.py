"""Ownership: which objects in the pool a ticket wrote, and how they are deleted.

Those are what the upload's manifest remembers with the very size and ETag, and those that say in
their metadata that they were written for this publication: a killed upload may not have got to
remember them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from dedl_workbook.base.json import digest
from dedl_workbook.base.parallel import map_shards, shards
from dedl_workbook.dataset import s3
from dedl_workbook.dataset.dataset import Folder
from dedl_workbook.publication import keys
from dedl_workbook.publication.job import Job
from dedl_workbook.services.pool import listing, multipart, objects, reuse
from dedl_workbook.services.pool.listing import Leftovers
from dedl_workbook.services.pool.manifest import Manifest, open_manifest
from dedl_workbook.services.pool.objects import Pool

THREADS = 8
SHARD = 100


@dataclass(frozen=True)
class Written:
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


def look(job: Job) -> Written:
    """Return which objects under the ticket's prefix it wrote.

    Raises:
        InputError: the manifest is damaged.
        ServiceError: the store refuses or doesn't answer.
    """
    with open_manifest(job) as manifest:
        return written(job, pool_of(job), manifest)


def written(job: Job, pool: Pool, manifest: Manifest) -> Written:
    """Put what the ticket wrote into the manifest, as `ours`; see `look`."""
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
    name = digest({"prefix": keys.prefix(job), "manifest": manifest.remembered()})
    return Written(*manifest.ours(), tuple(sorted(foreign)), leftovers, marks, name)


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


def delete(job: Job, pool: Pool, paths: Iterable[str], total: int = 0) -> int:
    """Delete objects by their paths under the ticket's prefix; return how many.

    Raises:
        ServiceError: the store refuses or doesn't answer.
    """
    done = 0
    executor = ThreadPoolExecutor(THREADS, thread_name_prefix="delete")
    try:
        work = shards(paths, SHARD)
        for count in map_shards(partial(_delete, pool), work, executor, stop=pool.stop):
            done += count
            job.tell("deleting objects", done, total, "objects")
    finally:
        pool.stop.set()
        executor.shutdown(cancel_futures=True)
    return done


def _delete(pool: Pool, paths: list[str]) -> int:
    done = 0
    for path in paths:
        if pool.stop.is_set():
            break
        with s3.calling(f"{pool.where(path)} can't be deleted"):
            pool.client.delete_object(**pool.at(path))
        done += 1
    return done
