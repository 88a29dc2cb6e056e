"""Upload engine: hands files to threads, remembers what arrived, ends cleanly whatever comes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from dedl_workbook import __version__
from dedl_workbook.base.errors import ServiceError
from dedl_workbook.base.formats import media_type_of
from dedl_workbook.base.parallel import map_shards, open_executor
from dedl_workbook.publication.job import Job
from dedl_workbook.services.pool import dask, multipart, objects
from dedl_workbook.services.pool.manifest import Manifest, Row, Todo
from dedl_workbook.services.pool.multipart import Multipart, Part
from dedl_workbook.services.pool.objects import PLAIN, SINGLE, Pool, part_size, patiently, starts

LIGHT = 2**20
"""Bytes up to which files go many at once; what one of them costs isn't its bytes."""
LIGHT_THREADS = 32
HEAVY_THREADS = 8
SHARD = 20
AHEAD = 64
"""Units that a Dask cluster has at once."""
MEMORY = 64 * 2**20
"""Bytes of larger files, and of parts, that are held at once (or one part, if it is larger)."""
COMMIT = 0.5
"""Seconds between two commits of the manifest, which cost more than small files do. What was not
committed when a process is killed is compared with its object by the next run."""
MOST = 2**62
RESUMED = 2**30
"""Bytes from which a cut-off file is resumed by part; the parts of smaller ones are aborted."""
_Unit = list[Todo] | Part


@dataclass(frozen=True)
class _Result:
    """What became of a unit of work."""

    rows: list[Row]
    counts: Counter[str]
    size: int


class _Room:
    """Bytes that may be held at once. What is larger than all of it is held alone."""

    def __init__(self, size: int) -> None:
        self.size, self.taken = size, 0
        self.changed = threading.Condition()

    def take(self, size: int) -> None:
        """Wait until there is room."""
        with self.changed:
            self.changed.wait_for(lambda: not self.taken or self.taken + size <= self.size)
            self.taken += size

    def give(self, size: int) -> None:
        """Give back what was taken."""
        with self.changed:
            self.taken -= size
            self.changed.notify_all()


@dataclass
class _Move:
    """What moving all files needs to know, and how far it is."""

    job: Job
    pool: Pool
    manifest: Manifest
    resumable: Mapping[str, str]
    files: int
    size: int
    room: _Room = field(default_factory=lambda: _Room(MEMORY))
    open: dict[str, Multipart] = field(default_factory=dict)
    """The multipart uploads under way, by path."""
    done: Counter[str] = field(
        default_factory=lambda: Counter(uploaded=0, bytes=0, compared=0, resumed_bytes=0)
    )
    moved: int = 0


def move(
    job: Job,
    pool: Pool,
    manifest: Manifest,
    states: Mapping[str, tuple[int, int]],
    resumable: Mapping[str, str],
) -> Counter[str]:
    """Upload what is missing and compare what is unknown; return what was done, counted.

    Memory doesn't grow with the number of files, nor with their size up to some 600 GB each.

    Args:
        job: whose progress is told.
        pool: where to.
        manifest: what is to be done, and where it is remembered.
        states: count and bytes by state.
        resumable: the ids of multipart uploads to go on with, by path.

    Raises:
        ChangedError, ConflictError, ServiceError: what arrived until then is remembered.
    """
    todo = [states.get(state, (0, 0)) for state in ("missing", "unknown")]
    files, size = (sum(part) for part in zip(*todo, strict=True))
    moving = _Move(job, pool, manifest, resumable, files, size)
    try:
        if "://" in job.target.executor:
            _move_remotely(moving)
        else:
            _pass(moving, LIGHT_THREADS, _light(moving))
            _pass(moving, HEAVY_THREADS, _heavy(moving))
    finally:
        for begun in moving.open.values():
            if begun.todo.size < RESUMED:
                # What can't be aborted now is found and aborted by the next run.
                with suppress(ServiceError):
                    multipart.abort(pool, pool.prefix + begun.todo.path, begun.upload)
    return moving.done


def _pass(moving: _Move, threads: int, work: Iterator[_Unit]) -> None:
    executor = ThreadPoolExecutor(threads, thread_name_prefix="upload")
    run, stop = partial(_run, moving), moving.pool.stop
    try:
        _gather(moving, map_shards(run, work, executor, ahead=threads * 3 // 2, stop=stop))
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _move_remotely(moving: _Move) -> None:
    sample = next(iter(moving.manifest.todo(0, MOST)), None)
    if sample is None:
        return
    target, pool = moving.job.target, moving.pool
    errand = dask.Errand(target.s3, pool.prefix, pool.dataset, pool.copies)
    probe = partial(dask.hindrance, errand, sample, __version__)
    with open_executor(target.executor, probe, many=True, remote=True) as executor:
        run = partial(_run_remotely, errand)
        _gather(moving, map_shards(run, _errands(moving), executor, ahead=AHEAD))


def _errands(moving: _Move) -> Iterator[tuple[list[Todo], str]]:
    """Yield what a worker does at once: small files, or a large one with its upload's id."""
    for shard in _light(moving):
        yield shard, ""
    for todo in map(_typed, moving.manifest.todo(LIGHT + 1, MOST)):
        upload = ""
        if todo.etag is None and todo.size > SINGLE:
            begun = patiently(moving.pool, partial(_begin, moving, todo))
            moving.open[todo.path] = begun
            upload = begun.upload
        yield [todo], upload


def _run_remotely(errand: dask.Errand, unit: tuple[list[Todo], str]) -> _Result:
    todos, upload = unit
    rows = dask.send(errand, todos[0], upload) if upload else dask.put(errand, todos)
    size = sum(row.size for row in rows)
    missing = [todo for todo in todos if todo.etag is None]
    sent, uploaded = sum(todo.size for todo in missing), len(missing)
    return _Result(
        rows, Counter(uploaded=uploaded, bytes=sent, compared=len(todos) - uploaded), size
    )


def _gather(moving: _Move, results: Iterator[_Result]) -> None:
    waiting: list[Row] = []
    committed = time.monotonic()
    try:
        for result in results:
            waiting += result.rows
            if time.monotonic() - committed > COMMIT:
                moving.manifest.remember(waiting)
                waiting, committed = [], time.monotonic()
            _count(moving, result)
    finally:
        moving.manifest.remember(waiting)


def _count(moving: _Move, result: _Result) -> None:
    for row in result.rows:
        moving.open.pop(row.path, None)
    moving.done.update(result.counts)
    moving.moved += result.size
    finished = moving.done["uploaded"] + moving.done["compared"]
    note = f"{finished:,} of {moving.files:,} files"
    moving.job.tell("upload", moving.moved, moving.size, "B", note)


def _light(moving: _Move) -> Iterator[list[Todo]]:
    shard: list[Todo] = []
    for todo in moving.manifest.todo(0, LIGHT):
        shard.append(_typed(todo))
        if len(shard) == SHARD or sum(one.size for one in shard) > LIGHT:
            yield shard
            shard = []
    if shard:
        yield shard


def _heavy(moving: _Move) -> Iterator[_Unit]:
    for todo in map(_typed, moving.manifest.todo(LIGHT + 1, MOST)):
        if todo.etag is None and todo.size > SINGLE:
            begun = moving.open[todo.path] = patiently(moving.pool, partial(_begin, moving, todo))
            for start in starts(todo.size):
                moving.room.take(min(part_size(todo.size), todo.size - start))
                yield multipart.read_part(moving.pool, begun, start)
        else:
            moving.room.take(_held([todo]))
            yield [todo]


def _begin(moving: _Move, todo: Todo) -> Multipart:
    pool, manifest = moving.pool, moving.manifest
    kind = todo.media_type or PLAIN
    if upload := moving.resumable.get(todo.path):
        if manifest.begun(todo.path) == (upload, kind):
            return multipart.resume(pool, todo, upload)
        multipart.abort(pool, pool.prefix + todo.path, upload)
    begun = multipart.begin(pool, todo)
    if todo.size >= RESUMED:
        manifest.remember_begun(todo.path, begun.upload, kind)
    return begun


def _typed(todo: Todo) -> Todo:
    kind = todo.media_type or media_type_of(todo.path)
    return todo._replace(media_type=kind or PLAIN)


def _held(unit: _Unit) -> int:
    """Return the bytes of a unit that count against the room."""
    if isinstance(unit, Part):
        return len(unit.data)
    return sum(min(todo.size, part_size(todo.size)) for todo in unit if todo.size > LIGHT)


def _run(moving: _Move, unit: _Unit) -> _Result:
    try:
        if isinstance(unit, Part):
            return _send(moving.pool, unit)
        return _put(moving.pool, unit)
    finally:
        moving.room.give(_held(unit))


def _send(pool: Pool, part: Part) -> _Result:
    resumed = multipart.arrived(part)
    row = None if pool.stop.is_set() else patiently(pool, partial(multipart.send, pool, part))
    rows = [row] if row else []
    size = len(part.data)
    counts = Counter(uploaded=len(rows), **{"resumed_bytes" if resumed else "bytes": size})
    return _Result(rows, counts, size)


def _put(pool: Pool, todos: list[Todo]) -> _Result:
    rows, counts = [], Counter[str]()
    for todo in todos:
        if pool.stop.is_set():
            break
        if todo.etag is None:
            rows.append(patiently(pool, partial(objects.put, pool, todo)))
            counts.update(uploaded=1, bytes=todo.size)
        else:
            rows.append(patiently(pool, partial(objects.compare, pool, todo)))
            counts.update(compared=1)
    return _Result(rows, counts, sum(row.size for row in rows))
