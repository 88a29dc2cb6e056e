"""Audit of the pool: every key, size and ETag that the upload remembers, and what items name."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

from dedl_workbook.base.parallel import map_shards
from dedl_workbook.case.audit.assets import Assets
from dedl_workbook.case.audit.records import Record
from dedl_workbook.publication import keys
from dedl_workbook.publication.job import Check, Job
from dedl_workbook.publication.standing import State, standing
from dedl_workbook.services.pool import listing as survey
from dedl_workbook.services.pool import objects
from dedl_workbook.services.pool.listing import Leftovers
from dedl_workbook.services.pool.manifest import Manifest, location, open_manifest
from dedl_workbook.services.pool.objects import Pool
from dedl_workbook.services.pool.ownership import pool_of
from dedl_workbook.steps import retire, upload

THREADS = 8
EXAMPLES = 3
NAMED = 20
"""Objects that are no longer needed, and are named."""
SAMPLE = 20
"""Objects that are read in full, unless all are."""


def look(job: Job, known: Record | None, assets: Assets, *, every_byte: bool) -> Iterator[Check]:
    """Compare the bucket with the upload's memory, if there is one, and with the catalogue.

    Raises:
        InputError: the upload's memory is damaged.
        ServiceError: the store refuses or doesn't answer.
    """
    pool = pool_of(job)
    remembered = known is not None and location(known.job).is_file()
    if known is not None and remembered:
        with open_manifest(known.job) as manifest:
            place = replace(pool, prefix=keys.prefix(known.job))
            yield from _remembered(job, place, known, manifest, every_byte=every_byte)
        yield from _reused(pool, known, assets)
    yield from _named(replace(pool, prefix=assets.prefix()), assets)
    if not remembered:
        sample = assets.sample(None if every_byte else SAMPLE)
        yield _content(job, replace(pool, prefix=""), sample, "SHA-256 that items declare")


def unneeded(jobs: Iterable[Job]) -> Iterator[Check]:
    """Name the objects that tickets wrote and that nothing refers to any more.

    They are no drift: they stay until they are retired.

    Raises:
        ServiceError: store or database refuse or don't answer.
    """
    for job in jobs:
        name = job.ticket.ticket
        if retire.unsettled(job) or (job.events and standing(job.events).state is State.WITHDRAWN):
            continue
        with retire.unneeded(job) as manifest:
            count, _ = manifest.unneeded_size()
            some = ", ".join(job.prefix + path for path in islice(manifest.unneeded(), NAMED))
        if count:
            more = f" and {count - NAMED} more" if count > NAMED else ""
            summary = f"{count} that {name} wrote and nothing names: {some}{more}; they can go: "
            yield Check("no longer needed", True, f"{summary}dedl-workbook retire {name}")


def _remembered(
    job: Job, pool: Pool, known: Record, manifest: Manifest, *, every_byte: bool
) -> Iterator[Check]:
    """Compare what lies under the ticket's prefix with what its upload wrote there."""
    leftovers = Leftovers()
    published = manifest.everything(upload.published_paths(known.job))
    every = ((row.path, row.size, row.version) for row in published)
    manifest.fill("delivered", every, 3)
    manifest.fill("objects", survey.objects(pool, leftovers), 3)
    states = manifest.states()
    total = sum(count for count, _ in states.values())
    for name, state, what in (
        ("every file of the upload", "missing", "are missing"),
        ("size and ETag", "conflict", "hold other bytes than were uploaded"),
    ):
        count = states.get(state, (0, 0))[0]
        some = ", ".join(pool.prefix + path for path in manifest.examples(state))
        yield Check(name, not count, f"{count} {what}: {some}" if count else f"{total} objects")
    count, listing, examples = manifest.strangers()
    same = listing == str(known.before("upload").get("foreign_listing", ""))
    summary = f"{count} others" + ("" if same else f": {', '.join(examples[:3])}")
    yield Check("nothing else under the ticket's prefix", same, summary)
    done = states.get("done", (0, 0))[0]
    ranks = random.SystemRandom().sample(range(done), min(done, SAMPLE - 2))
    rows = manifest.rows() if every_byte else manifest.pick(ranks)
    digests = ((row.path, row.sha256) for row in rows)
    yield _content(job, pool, digests, "SHA-256 of the upload")


def _reused(pool: Pool, known: Record, assets: Assets) -> Iterator[Check]:
    """Compare the objects of earlier publications that this one uses with what they were then."""
    if not keys.location(known.job).is_file():
        return
    place = replace(pool, prefix=f"{known.ticket.collection}/")
    listed = survey.objects(place, Leftovers())
    assets.fill((place.prefix + path, size, etag) for path, size, etag in listed)
    count, gone, some = 0, 0, list[str]()
    for row in keys.rows(known.job):
        count += 1
        if not assets.holds(row.key, row.size, row.etag):
            gone += 1
            some += [row.key] if len(some) < EXAMPLES else []
    summary = f"{gone} are missing or hold other bytes: {', '.join(some)}" if gone else f"{count}"
    yield Check("files of earlier publications", not gone, summary)


def _named(pool: Pool, assets: Assets) -> Iterator[Check]:
    """Compare what lies in the bucket with the assets that the catalogue's items name."""
    count = assets.count()
    if count:
        listed = survey.objects(pool, Leftovers())
        assets.fill((pool.prefix + path, size, etag) for path, size, etag in listed)
    gone, some = assets.missing()
    summary = f"{count} objects, {assets.elsewhere} assets elsewhere"
    summary += f"; {gone} are missing: {', '.join(some)}" if gone else ""
    yield Check("every file that items name", not gone, summary)
    other, some = assets.resized()
    summary = f"{other} have another size: {', '.join(some)}" if other else "none differs"
    yield Check("sizes that items tell", not other, summary)


def _content(job: Job, pool: Pool, digests: Iterable[tuple[str, str]], by: str) -> Check:
    """Read objects in full; compare each with its SHA-256."""

    def differs(one: tuple[str, str]) -> str:
        return pool.prefix + one[0] if objects.digest_of(pool, one[0]) != one[1] else ""

    wrong, done = [], 0
    with ThreadPoolExecutor(THREADS, thread_name_prefix="audit") as executor:
        for done, key in enumerate(map_shards(differs, digests, executor), 1):
            wrong += [key] if key else []
            job.tell("reading objects", done, 0, "objects")
    summary = f"{done} objects read in full, compared with the {by}"
    summary += f"; others: {', '.join(wrong[:3])}" if wrong else ""
    return Check("content", not wrong, summary)
