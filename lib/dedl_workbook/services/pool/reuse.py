"""Reuse: finds what earlier publications or editions stored, and marks what is used of others.

A file is reused where an earlier object of the same path has its very bytes, by ETag. An empty
object `.used-by-<ticket>` under the earlier ticket's prefix keeps that from being withdrawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from dedl_workbook.base.parallel import map_shards
from dedl_workbook.dataset import s3
from dedl_workbook.publication import keys
from dedl_workbook.publication.job import Job
from dedl_workbook.publication.keys import Reused
from dedl_workbook.services.pool import objects
from dedl_workbook.services.pool.manifest import Manifest, Row, Todo, open_manifest
from dedl_workbook.services.pool.objects import MARK, Pool, patiently

THREADS = 8


def known(job: Job, pool: Pool, manifest: Manifest) -> set[str]:
    """Take in what is remembered as reused, and list what earlier publications stored.

    Only where some files don't lie under the publication's own prefix.

    Returns:
        The earlier prefixes that hold this ticket's mark already.
    """
    marked: set[str] = set()
    manifest.fill("reused", keys.rows(job), 6)
    manifest.fill("reused", _of_earlier_editions(job), 6)
    if "missing" in manifest.states():
        manifest.fill("earlier", _earlier(job, pool, marked), 4)
    return marked


def _of_earlier_editions(job: Job) -> Iterator[Reused]:
    """Yield what earlier editions of the ticket stored or reused, the last one first.

    A file in the state in which it was uploaded then needn't be read again.
    """
    for number in range(keys.edition(job) - 1, 0, -1):
        edition = replace(job, edition=number)
        with open_manifest(edition) as manifest:
            for row in manifest.everything():
                yield Reused(row.path, keys.prefix(edition) + row.path, *row[1:])
        yield from keys.rows(edition)


def find(job: Job, pool: Pool, manifest: Manifest) -> None:
    """Find what can be reused, and remember it. Reads the files of which an earlier twin may lie.

    Raises:
        ChangedError: a file isn't any more as it was listed.
        ServiceError: the dataset's store fails.
    """
    manifest.forget_unusable()
    done, total = 0, manifest.candidates_size()
    if total:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="reuse") as executor:
            digest = partial(_hashed, pool)
            work = manifest.candidates()
            for row in map_shards(digest, work, executor, ahead=THREADS, stop=pool.stop):
                if key := manifest.twin(row):
                    manifest.fill("reused", [Reused(row.path, key, *row[1:])], 6)
                done += row.size
                job.tell("comparing with earlier publications", done, total, "B")
    keys.save(job, manifest.reused())


def _hashed(pool: Pool, todo: Todo) -> Row:
    return patiently(pool, partial(objects.hashed, pool, todo))


def _earlier(job: Job, pool: Pool, marked: set[str]) -> Iterator[tuple[str, str, int, str]]:
    own = keys.prefix(job)
    editions = [job.prefix] if own != job.prefix else []
    for prefix in (*editions, *prefixes(job, pool)):
        pages = pool.client.get_paginator("list_objects_v2")
        with s3.calling(f"s3://{pool.bucket}/{prefix} can't be listed"):
            for page in pages.paginate(Bucket=pool.bucket, Prefix=prefix):
                for entry in page.get("Contents", []):
                    key = entry["Key"]
                    if key.startswith(own):
                        continue
                    if path := keys.path_of(key):
                        yield path, key, entry["Size"], entry["ETag"].strip('"')
                    elif key == f"{prefix}{MARK}{job.ticket.ticket}":
                        marked.add(prefix)


def used(job: Job, manifest: Manifest) -> set[str]:
    """Return the prefixes of other tickets whose objects are reused."""
    return manifest.reused_from() - {job.prefix}


def prefixes(job: Job, pool: Pool) -> list[str]:
    """Return the prefixes of the collection's other tickets."""
    start = f"{job.ticket.collection}/"
    pages = pool.client.get_paginator("list_objects_v2")
    with s3.calling(f"s3://{pool.bucket}/{start} can't be listed"):
        listed = [
            entry["Prefix"]
            for page in pages.paginate(Bucket=pool.bucket, Prefix=start, Delimiter="/")
            for entry in page.get("CommonPrefixes", [])
        ]
    return [prefix for prefix in listed if prefix != job.prefix]


def mark(job: Job, pool: Pool, wanted: set[str]) -> None:
    """Mark with the earlier tickets of these prefixes that this one uses objects of theirs."""
    for prefix in sorted(wanted):
        key = f"{prefix}{MARK}{job.ticket.ticket}"
        with s3.calling(f"s3://{pool.bucket}/{key} can't be written"):
            pool.client.put_object(Bucket=pool.bucket, Key=key, Body=b"")


def marks(job: Job, pool: Pool) -> list[str]:
    """Return the keys of this ticket's marks."""
    keys = []
    for prefix in prefixes(job, pool):
        key = f"{prefix}{MARK}{job.ticket.ticket}"
        with s3.calling(f"s3://{pool.bucket}/{key} can't be looked for"):
            listed = pool.client.list_objects_v2(Bucket=pool.bucket, Prefix=key)
        keys += [key for one in listed.get("Contents", []) if one["Key"] == key]
    return keys
