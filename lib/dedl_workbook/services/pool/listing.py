"""Listing: lists what was delivered and what lies in the pool, for the manifest to compare."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from dedl_workbook.base.errors import InputError
from dedl_workbook.dataset import s3
from dedl_workbook.dataset.dataset import DATA, Bucket, File
from dedl_workbook.publication import keys
from dedl_workbook.publication.job import Job
from dedl_workbook.services.pool import anchors, multipart, reuse, writer
from dedl_workbook.services.pool.manifest import Manifest
from dedl_workbook.services.pool.objects import MARK, Pool
from dedl_workbook.services.pool.probe import NAME as PROBE

CONNECTIONS = 16
_PROBE = re.compile(rf"([0-9]+/)?{re.escape(PROBE)}")


@dataclass
class Leftovers:
    """What an upload that was cut off left under the prefix."""

    probes: list[str] = field(default_factory=list)
    uploads: list[tuple[str, str]] = field(default_factory=list)
    """Key and id of multipart uploads that nothing goes on with."""
    resumable: dict[str, str] = field(default_factory=dict)
    """By path, the ids of those that the next upload goes on with."""
    users: list[str] = field(default_factory=list)
    """Other tickets that use objects of this one."""
    marked: set[str] = field(default_factory=set)
    """Prefixes of the tickets that know that this one uses objects of theirs."""

    def __len__(self) -> int:
        return len(self.probes) + len(self.uploads)


def pool_of(job: Job) -> Pool:
    """Return the pool that a job uploads to, and where from."""
    target, dataset = job.target, job.dataset
    source = target.proposals or target.s3
    same = (source.endpoint, source.access_key) == (target.s3.endpoint, target.s3.access_key)
    return Pool(
        s3.client(target.s3, connections=CONNECTIONS),
        target.s3.bucket,
        keys.prefix(job),
        dataset,
        copies=same and isinstance(dataset, Bucket),
        store=writer.writer(target.s3, target.s3.bucket),
    )


def survey(job: Job, pool: Pool, manifest: Manifest) -> Leftovers:
    """Put both listings into the manifest; return what a cut-off upload left behind.

    Raises:
        InputError: no data files, or one that can't become an object.
        ServiceError: the store refuses or doesn't answer.
    """
    leftovers = Leftovers()
    with ThreadPoolExecutor(1) as beside:
        stale = beside.submit(multipart.stale, pool)
        manifest.fill("delivered", _delivered(job.dataset.files(DATA)), 3)
        manifest.fill("objects", objects(pool, leftovers), 3)
        if not manifest.states():
            raise InputError("holds no files", where=f"{job.dataset.location}/{DATA}")
        leftovers.marked = reuse.known(job, pool, manifest)
    for key, upload in stale.result():
        path = key[len(pool.prefix) :]
        if path not in leftovers.resumable and manifest.resumable(path, upload):
            leftovers.resumable[path] = upload
        else:
            leftovers.uploads.append((key, upload))
    return leftovers


def _delivered(files: Iterable[File]) -> Iterator[tuple[str, int, str]]:
    for file in files:
        try:
            file.path.encode()
        except UnicodeEncodeError:
            raise InputError(
                "the name isn't UTF-8, so it can't be a key in S3",
                where=os.fsencode(file.path).decode(errors="replace"),
                remedy="Rename the file, and mend the item that names it.",
            ) from None
        if file.kind != "file":
            raise InputError(
                f"is no regular file ({file.kind}), so it can't be uploaded",
                where=file.path,
                remedy="Put the file itself there, or mend its rights.",
            )
        yield file.path, file.size, file.version


def objects(pool: Pool, leftovers: Leftovers) -> Iterator[tuple[str, int, str]]:
    """Yield path, size and ETag of what lies under the prefix; probes, marks, anchors apart."""
    pages = pool.client.get_paginator("list_objects_v2")
    with s3.calling(f"{pool.where()} can't be listed"):
        for page in pages.paginate(Bucket=pool.bucket, Prefix=pool.prefix):
            for entry in page.get("Contents", []):
                path = entry["Key"][len(pool.prefix) :]
                if _PROBE.match(path):
                    leftovers.probes.append(path)
                elif path.startswith(MARK):
                    leftovers.users.append(path.removeprefix(MARK))
                elif not path.startswith(anchors.FOLDER):
                    yield path, entry["Size"], entry["ETag"].strip('"')
