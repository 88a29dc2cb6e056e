"""Upload: brings data/ into the pool, under `<collection>/<ticket>/`, and proves it from there."""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dedl_workbook.base.errors import ChangedError, ConflictError, InputError
from dedl_workbook.base.files import whole
from dedl_workbook.base.json import digest
from dedl_workbook.dataset import s3
from dedl_workbook.dataset.dataset import fingerprint
from dedl_workbook.publication import keys, metadata
from dedl_workbook.publication.before import state_before
from dedl_workbook.publication.job import Action, Check, Job, Outcome, Plan, Receipt, judged
from dedl_workbook.publication.metadata import items
from dedl_workbook.services.pool import engine, listing, multipart, objects, probe, reuse
from dedl_workbook.services.pool.listing import Leftovers, pool_of
from dedl_workbook.services.pool.manifest import Manifest, Row, location, open_manifest
from dedl_workbook.services.pool.objects import SINGLE, Pool

STEP = "upload"
SAMPLE = 20
"""Files that `check` reads back in full."""
SUMS = "sha256sums.txt"
MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+( *;[\x20-\x7e]*)?", re.ASCII)


def plan(job: Job) -> Plan:
    """Compare the dataset with what lies in the pool. Changes nothing.

    Reads only the data files of which an earlier publication of the collection may hold the bytes.

    Raises:
        InputError: a data file that can't become an object.
        ConflictError: at a key of ours lies an object with other content.
        ServiceError: the store refuses or doesn't answer.
    """
    pool = pool_of(job)
    with open_manifest(job) as manifest:
        leftovers = listing.survey(job, pool, manifest)
        if _has_changed(job, pool, manifest):
            keys.begin_edition(job)
            return plan(job)
        reuse.find(job, pool, manifest)
        reused = _reused(manifest)
        to_mark = reuse.used(job, manifest) - leftovers.marked
        states = manifest.states()
        _refuse_conflicts(pool, manifest, states)
        strangers, foreign, examples = manifest.strangers()
    before = {"foreign_objects": strangers, "foreign_listing": foreign}
    files, size = (sum(part) for part in zip(*states.values(), strict=True))
    goal = {
        "bucket": job.target.s3.bucket,
        "prefix": keys.prefix(job),
        "dataset": job.fingerprint,
        "files": files,
        "bytes": size,
        **({"reused": reused} if reused else {}),
    }
    return Plan(
        step=STEP,
        job=job,
        goal=goal,
        before=state_before(job.before.get(STEP), before, goal),
        actions=tuple(_actions(pool, states, leftovers, to_mark)),
        detail={"foreign": examples, "there": states.get("done", (0, 0))[0]},
    )


def _has_changed(job: Job, pool: Pool, manifest: Manifest) -> bool:
    """Return whether a file of which this ticket stored an object is another now.

    Reads what has the size that it had, but not the identity.
    """
    for todo, sha256 in manifest.replaced():
        if not sha256:
            return True
        if objects.patiently(pool, partial(objects.hashed, pool, todo)).sha256 != sha256:
            return True
        job.tell("comparing with what was uploaded", 0, 0, "files", todo.path)
    return False


def _actions(
    pool: Pool,
    states: Mapping[str, tuple[int, int]],
    leftovers: Leftovers,
    to_mark: set[str],
) -> Iterator[Action]:
    if to_mark:
        where = ", ".join(f"s3://{pool.bucket}/{prefix}" for prefix in sorted(to_mark))
        yield Action("reuse", f"unchanged data files in {where}", *states["reused"])
    for state, verb, subject in (
        ("missing", "upload", f"data files to {pool.where()}"),
        ("unknown", "compare", f"data files with their objects in {pool.where()}"),
    ):
        if state in states:
            yield Action(verb, subject, *states[state])
    if leftovers:
        yield Action("remove", f"what a cut-off upload left in {pool.where()}", len(leftovers))


def _refuse_conflicts(
    pool: Pool, manifest: Manifest, states: Mapping[str, tuple[int, int]]
) -> None:
    if "conflict" not in states:
        return
    error = objects.conflict(", ".join(map(pool.where, manifest.examples("conflict"))))
    more = states["conflict"][0]
    raise ConflictError(
        f"{error.what} ({more} such objects)", where=error.where, remedy=error.remedy
    )


def apply(plan: Plan) -> Receipt:
    """Upload what is missing, and compare what lies there but isn't known to be the same.

    Objects are never overwritten. A run that was cut off, by whatever, is finished by the next.

    Raises:
        ChangedError: the dataset, or a file while it was read, isn't what was planned.
        ConflictError: the pool isn't what was planned.
        ServiceError: the store refuses, fails, or damages what it is given.
    """
    job, begun = plan.job, time.monotonic()
    pool = pool_of(job)
    with open_manifest(job, write=True) as manifest:
        leftovers = listing.survey(job, pool, manifest)
        states = manifest.states()
        _refuse_other_dataset(plan, states)
        _refuse_conflicts(pool, manifest, states)
        _refuse_strangers(plan, pool, manifest)
        _refuse_other_reuse(plan, pool, manifest)
        in_parts = manifest.largest() > SINGLE
        if states.keys() - {"done", "reused"}:
            probe.probe(pool, in_parts=in_parts)
        _remove(pool, leftovers)
        reuse.mark(job, pool, reuse.used(job, manifest) - leftovers.marked)
        if "missing" in states:
            manifest.fill("types", _media_types(job), 2)
        done = engine.move(job, pool, manifest, states, leftovers.resumable)
        if in_parts:
            # An upload begun twice, because the first answer got lost, is known to nobody.
            for key, upload in multipart.stale(pool):
                multipart.abort(pool, key, upload)
    done |= {"already_there": states.get("done", (0, 0))[0], "removed_leftovers": len(leftovers)}
    done |= {"reused": states.get("reused", (0, 0))[0]}
    return Receipt(STEP, done, time.monotonic() - begun)


def _refuse_other_dataset(plan: Plan, states: Mapping[str, tuple[int, int]]) -> None:
    files, size = (sum(part) for part in zip(*states.values(), strict=True))
    now = fingerprint(plan.job.dataset)
    if (now, files, size) != (plan.goal["dataset"], plan.goal["files"], plan.goal["bytes"]):
        raise ChangedError(
            "the dataset was changed since it was planned; nothing was uploaded",
            where=plan.job.dataset.location,
            remedy="Validate the dataset again, plan, and have the new plan approved.",
        )


def _refuse_strangers(plan: Plan, pool: Pool, manifest: Manifest) -> None:
    count, foreign, examples = manifest.strangers()
    if foreign != plan.before["foreign_listing"]:
        raise ConflictError(
            f"{count} objects that aren't ours lie there, "
            f"and not the {plan.before['foreign_objects']} that the plan found",
            where=", ".join(map(pool.where, examples[:3])) or pool.where(),
            remedy="Find out who wrote them, then plan again.",
        )


def _reused(manifest: Manifest) -> str:
    """Return the digest of what is reused, by its keys; "" for nothing."""
    total, any_row = hashlib.sha256(), False
    for row in manifest.reused():
        total.update(digest((row.path, row.key)).encode())
        any_row = True
    return total.hexdigest() if any_row else ""


def _refuse_other_reuse(plan: Plan, pool: Pool, manifest: Manifest) -> None:
    if _reused(manifest) != plan.goal.get("reused", ""):
        raise ConflictError(
            "objects of earlier publications that were to be reused are others, or gone",
            where=f"s3://{pool.bucket}/{plan.job.ticket.collection}/",
            remedy="Plan again: what can't be reused is uploaded.",
        )


def _remove(pool: Pool, leftovers: Leftovers) -> None:
    for path in leftovers.probes:
        with s3.calling(f"the left-over probe {pool.where(path)} can't be deleted"):
            pool.client.delete_object(**pool.at(path))
    for key, upload in leftovers.uploads:
        multipart.abort(pool, key, upload)


def _media_types(job: Job) -> Iterator[tuple[str, str]]:
    start = metadata.href(job, "")
    for _, item in items(job):
        assets = item.get("assets")
        for asset in assets.values() if isinstance(assets, dict) else ():
            if isinstance(asset, dict):
                href, kind = str(asset.get("href", "")), str(asset.get("type", ""))
                if href.startswith(start) and MEDIA_TYPE.fullmatch(kind):
                    yield href[len(start) :], kind


def check(plan: Plan) -> Outcome:
    """Read the pool back: every key, size and ETag, and some files in full.

    The expected ETags are those of the bytes that were read from the dataset. Writes the digests
    of all files, as `sha256sum -c` reads them, to `sha256sums.txt` in the job's folder.
    """
    job = plan.job
    pool = pool_of(job)
    with open_manifest(job) as manifest:
        leftovers = listing.survey(job, pool, manifest)
        states = manifest.states()
        checks = [
            _check_dataset(plan),
            *_check_objects(plan, manifest, states),
            _check_strangers(plan, manifest, leftovers),
            *_check_reuse(plan, manifest, leftovers),
            _check_content(job, pool, manifest, _whole(states)[0]),
        ]
        _write_sums(job.folder / SUMS, manifest.rows())
        earlier = [f"s3://{pool.bucket}/{prefix}" for prefix in sorted(manifest.reused_from())]
    files, size = _whole(states)
    where = pool.where()
    if earlier:
        reused = states.get("reused", (0, 0))[0]
        where += f" ({files - reused}) and, reused, in {' and '.join(earlier)} ({reused})"
    summary = f"{files:,} files, {size:,} bytes lie in {where} as they were delivered."
    return judged(STEP, checks, summary, sha256sums=SUMS, files=files, bytes=size)


def _check_dataset(plan: Plan) -> Check:
    same = fingerprint(plan.job.dataset) == plan.goal["dataset"]
    return Check("dataset", same, "as planned" if same else "was changed since it was planned")


def _check_objects(
    plan: Plan, manifest: Manifest, states: Mapping[str, tuple[int, int]]
) -> Iterator[Check]:
    for name, state, what in (
        ("every file is there", "missing", "are missing"),
        ("size and ETag", "conflict", "hold other bytes than were delivered"),
        ("upload finished", "unknown", "lie there, but nobody compared them; run the upload"),
    ):
        count = states.get(state, (0, 0))[0]
        named = ", ".join(keys.prefix(plan.job) + path for path in manifest.examples(state))
        summary = f"{count} objects {what}: {named}" if count else "none differs"
        yield Check(name, not count, summary)
    done = _whole(states)
    whole = done == (plan.goal["files"], plan.goal["bytes"])
    summary = f"{done[0]} of {plan.goal['files']} files, {done[1]} of {plan.goal['bytes']} bytes"
    yield Check("whole", whole, summary)


def _whole(states: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    parts = (states.get("done", (0, 0)), states.get("reused", (0, 0)))
    files, size = (sum(part) for part in zip(*parts, strict=True))
    return files, size


def _check_reuse(plan: Plan, manifest: Manifest, leftovers: Leftovers) -> Iterator[Check]:
    wanted = plan.goal.get("reused", "")
    reused, unmarked = _reused(manifest), reuse.used(plan.job, manifest) - leftovers.marked
    if wanted or reused:
        summary = "as planned" if reused == wanted else "others than planned"
        summary += f"; not marked as used: {', '.join(sorted(unmarked))}" if unmarked else ""
        yield Check("reused objects", reused == wanted and not unmarked, summary)


def _check_strangers(plan: Plan, manifest: Manifest, leftovers: Leftovers) -> Check:
    count, foreign, examples = manifest.strangers()
    summary = f"{count} objects that aren't of this dataset"
    if foreign != plan.before["foreign_listing"]:
        summary += f", not those that the plan found: {', '.join(examples[:3])}"
    if leftovers:
        summary += f"; {len(leftovers)} left over from a cut-off upload"
    passed = foreign == plan.before["foreign_listing"] and not leftovers
    return Check("nothing else is there", passed, summary)


def _check_content(job: Job, pool: Pool, manifest: Manifest, files: int) -> Check:
    ranks = random.SystemRandom().sample(range(files), min(files, SAMPLE - 2))
    rows = manifest.pick(ranks)
    key = keys.keys(job)
    wrong = []
    for row in rows:
        read = partial(objects.digest_of, pool, row.path, key(row.path))
        if objects.patiently(pool, read) != row.sha256:
            wrong.append(row.path)
    summary = f"{len(rows)} files read back in full, {sum(row.size for row in rows)} bytes"
    if wrong:
        summary += f"; another SHA-256: {', '.join(pool.prefix + path for path in wrong[:3])}"
    return Check("content", bool(rows) and not wrong, summary)


def _write_sums(path: Path, rows: Iterable[Row]) -> None:
    with whole(path) as file:
        for row in rows:
            name = row.path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
            line = f"{'' if name == row.path else chr(92)}{row.sha256}  {name}\n"
            file.write(line.encode())


def published_paths(job: Job) -> Iterator[str] | None:
    """Return the paths of the files as they were last proven in the pool; None: never."""
    sums = job.folder / SUMS
    if not sums.is_file():
        return None
    return (_unescaped(line.decode()) for line in sums.read_bytes().split(b"\n") if line)


def _unescaped(line: str) -> str:
    name = line.split("  ", 1)[1]
    if not line.startswith("\\"):
        return name
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "r": "\r"}.get(match[1], match[1]), name)


@dataclass(frozen=True)
class Digests:
    """Size (bytes) and SHA-256 of each published file, by its path in the dataset."""

    manifest: Manifest
    pool: str
    """The address that all keys follow: `s3://bucket/`."""
    key: Callable[[str], str]
    """Gives the key of a file's object, by the file's path."""

    def of(self, href: str) -> tuple[int, str] | None:
        """Return size and SHA-256 of the file that a published address leads to, or None."""
        key = href.removeprefix(self.pool)
        path = keys.path_of(key)
        return self.get(path) if path and href == f"{self.pool}{self.key(path)}" else None

    def get(self, path: str) -> tuple[int, str] | None:
        """Return size and SHA-256 of a file, or None if it wasn't uploaded. Thread-safe."""
        row = self.manifest.find(path)
        return (row.size, row.sha256) if row else None

    def __getitem__(self, path: str) -> tuple[int, str]:
        if (digest := self.get(path)) is None:
            raise KeyError(path)
        return digest

    def __len__(self) -> int:
        return self.manifest.count()


def digests(job: Job) -> Digests:
    """Return size and SHA-256 of what this job's upload brought into the pool, by path.

    Raises:
        InputError: nothing was uploaded yet, or the manifest is damaged.
    """
    if not location(job).is_file():
        raise InputError(
            "nothing was uploaded yet", where=str(location(job)), remedy="Run the upload first."
        )
    manifest = open_manifest(job)
    manifest.fill("reused", keys.rows(job), 6)
    pool, key = f"s3://{job.target.s3.bucket}/", keys.keys(job)
    return Digests(manifest, pool, lambda path: key(path) or job.prefix + path)
