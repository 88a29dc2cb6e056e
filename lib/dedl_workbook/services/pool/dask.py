"""Dask: the workers of a Dask cluster move the data themselves; nothing passes through here."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

from dedl_workbook import __version__
from dedl_workbook.base.parallel import map_shards
from dedl_workbook.dataset import s3
from dedl_workbook.dataset.dataset import Dataset
from dedl_workbook.parameters import target
from dedl_workbook.services.pool import multipart, objects, writer
from dedl_workbook.services.pool.manifest import Row, Todo
from dedl_workbook.services.pool.objects import Pool, patiently, starts

THREADS = 16
"""Small files that a worker moves at once."""


@dataclass(frozen=True)
class Errand:
    """What a worker has to know besides the files: with the pool's keys, so use tls://."""

    pool: target.Pool
    prefix: str
    dataset: Dataset
    copies: bool


@cache
def _pool(errand: Errand) -> Pool:
    client = s3.client(errand.pool, connections=THREADS)
    store = writer.writer(errand.pool, errand.pool.bucket)
    bucket, prefix = errand.pool.bucket, errand.prefix
    return Pool(client, bucket, prefix, errand.dataset, errand.copies, store)


def hindrance(errand: Errand, sample: Todo, version: str) -> str:
    """Return what hinders this worker from moving the files; '' if nothing does."""
    if version != __version__:
        return f"has version {__version__} of the workbook, not {version}"
    if errand.dataset.stat(sample.path) != sample.file:
        return f"doesn't see {sample.path} of {errand.dataset.location}"
    return ""


def put(errand: Errand, todos: list[Todo]) -> list[Row]:
    """Upload small files that are missing, and compare those that are there."""
    pool = _pool(errand)
    with ThreadPoolExecutor(min(THREADS, len(todos))) as executor:
        return list(map_shards(partial(_one, pool), todos, executor, ahead=THREADS))


def _one(pool: Pool, todo: Todo) -> Row:
    work = objects.put if todo.etag is None else objects.compare
    return patiently(pool, partial(work, pool, todo))


def send(errand: Errand, todo: Todo, upload: str) -> list[Row]:
    """Send the parts of a large file that haven't arrived, one after the other, and complete it."""
    pool = _pool(errand)
    begun = patiently(pool, partial(multipart.resume, pool, todo, upload))
    rows: Iterable[Row | None] = [
        patiently(pool, partial(multipart.send, pool, multipart.read_part(pool, begun, start)))
        for start in starts(todo.size)
    ]
    return [row for row in rows if row]
