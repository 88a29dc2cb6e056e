"""The upload when network, store or machine misbehave: it is finished, or says what to do."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.base.errors import RefusedError, ServiceError
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.services.pool import engine, listing, multipart, objects, writer
from dedl_workbook.steps import upload

from tests import buckets
from tests.integration.faulty import LOST, RESET, SLOW, STALL, TRUNCATED, Fate, Faulty, faulty
from tests.integration.shore import LARGE, PREFIX, Shore, a_shore, noise, published, run

FILES = {f"data/{n:03}": noise(3000, n) for n in range(40)} | {"data/large": noise(LARGE)}


def also(*values: Any) -> Any:
    """Return a case of a test that belongs to the slow ones."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture
def shore(data_lake: Sandbox, tmp_path: Path) -> Shore:
    made = a_shore(data_lake, tmp_path, "http")
    made.deliver(FILES)
    return made


@pytest.fixture
def proxy(shore: Shore) -> Iterator[Faulty]:
    with faulty(shore.settings()["endpoint"]) as made:
        yield made


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take two seconds of silence for a stalled connection."""
    from botocore.config import Config

    real = Config.__init__

    def init(self: Config, *args: Any, **given: Any) -> None:
        real(self, *args, **{**given, "read_timeout": 2})

    monkeypatch.setattr(Config, "__init__", init)
    monkeypatch.setattr(writer, "TIMEOUT", timedelta(seconds=2))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("fate", "method", "part"),
    [
        (RESET, "PUT", "/data/"),
        (LOST, "PUT", "/data/"),
        also(STALL, "PUT", "/data/"),
        also(SLOW, "GET", ""),
        (SLOW, "PUT", "/data/"),
        also(STALL, "GET", ""),
        (TRUNCATED, "GET", ""),
        also((500, "InternalError"), "PUT", "/data/"),
        ((503, "SlowDown"), "PUT", "/data/"),
        also((503, "SlowDown"), "GET", ""),
        also(RESET, "POST", "large"),
        (LOST, "POST", "large"),
        also(LOST, "DELETE", ".probe"),
    ],
)
def test_what_passes_is_waited_for_and_every_object_is_right(
    shore: Shore, proxy: Faulty, fate: Fate, method: str, part: str
):
    # A listing is asked for four times, an object for a minute.
    proxy.first(4 if method == "PUT" else 3, fate, method, part)
    _, _, outcome = run(shore.job(endpoint=proxy.url))
    assert outcome.verdict is Verdict.PASSED, outcome
    assert shore.objects() == published(FILES)
    assert shore.open_uploads() == []


@pytest.mark.parametrize(
    ("fate", "says"),
    [
        ((403, "AccessDenied"), "ask the store's operators for the right"),
        ((403, "QuotaExceeded"), "quota is used up"),
        also((507, "InsufficientStorage"), "store is full"),
        also((404, "NoSuchBucket"), "no such bucket"),
        also((400, "AuthorizationHeaderMalformed"), "s3.region"),
    ],
)
def test_what_does_not_pass_stops_the_upload_at_once_with_the_remedy(
    shore: Shore, proxy: Faulty, fate: Fate, says: str
):
    plan = upload.plan(shore.job(endpoint=proxy.url))

    def when(method: str, path: str) -> Fate:
        return fate if method == "PUT" and proxy.count("PUT") > 15 else None

    proxy.when = when
    with pytest.raises(RefusedError, match=says) as caught:
        upload.apply(plan)
    assert len(str(caught.value).splitlines()) == 2
    assert proxy.count("PUT") < 15 + 2 * engine.LIGHT_THREADS, "nothing is tried again"
    assert shore.objects().items() <= published(FILES).items()
    assert shore.open_uploads() == []
    proxy.when = lambda method, path: None
    assert run(shore.job(endpoint=proxy.url))[2].verdict is Verdict.PASSED
    assert shore.objects() == published(FILES)


@pytest.mark.parametrize(
    ("fate", "asked"), [((501, "NotImplemented"), 1), ((403, "AccessDenied"), 1), (RESET, 4)]
)
def test_tags_of_large_files_are_tried_again_and_done_without_where_there_are_none(
    shore: Shore, proxy: Faulty, fate: Fate, asked: int
):
    proxy.first(3, fate, "PUT", "large?tagging")
    assert run(shore.job(endpoint=proxy.url))[2].verdict is Verdict.PASSED
    assert sum("large?tagging" in path for _, path in proxy.requests) == asked
    assert shore.objects() == published(FILES)


def test_a_completion_that_fails_is_tried_again_without_its_parts(shore: Shore, proxy: Faulty):
    proxy.first(1, (409, "OperationAborted"), "POST", "large?uploadId")
    assert run(shore.job(endpoint=proxy.url))[2].verdict is Verdict.PASSED
    sent = [path for _, path in proxy.requests if "/large?" in path and "partNumber" in path]
    assert len(sent) == len(set(sent)) == 3
    assert shore.objects() == published(FILES)


@pytest.mark.parametrize("stays", [False, True])
def test_damaged_bytes_are_removed_or_said_to_be_in_the_pool_still(
    shore: Shore, proxy: Faulty, stays: bool
):
    shore.put(f"{PREFIX}data/000", b"damaged on the way")
    if stays:
        proxy.when = lambda method, path: (403, "AccessDenied") if method == "DELETE" else None
    pool = listing.pool_of(shore.job(endpoint=proxy.url))

    with pytest.raises(RefusedError, match="other bytes than were sent") as caught:
        objects.require_etag(pool, "data/000", "found", "sent")

    assert ("could not be removed" in str(caught.value)) == stays
    assert (f"{PREFIX}data/000" in shore.objects()) == stays


def test_wrong_region_is_said_with_its_remedy(shore: Shore, proxy: Faulty):
    proxy.when = lambda method, path: (400, "AuthorizationHeaderMalformed")
    with pytest.raises(RefusedError, match=r"s3\.region") as caught:
        upload.plan(shore.job(endpoint=proxy.url))
    assert len(str(caught.value).splitlines()) == 2


def test_a_server_that_is_killed_and_restarted_midway_is_waited_for(
    data_lake: Sandbox, shore: Shore
):
    killed: list[threading.Thread] = []

    def kill(what: str, done: int, total: int, unit: str, note: str = "") -> None:
        if not killed:
            data_lake.kill("s3")
            killed.append(threading.Thread(target=data_lake.restart, args=("s3",)))
            killed[0].start()

    try:
        _, receipt, outcome = run(shore.job(tell=kill))
    finally:
        killed[0].join()
    assert receipt.done["uploaded"] == len(FILES)
    assert outcome.verdict is Verdict.PASSED, outcome
    assert shore.objects() == published(FILES)
    assert shore.open_uploads() == []


def test_a_server_that_stays_away_fails_the_upload_and_the_next_run_finishes_it(
    data_lake: Sandbox, shore: Shore, monkeypatch: pytest.MonkeyPatch
):
    killed: list[int] = []

    def kill(what: str, done: int, total: int, unit: str, note: str = "") -> None:
        if not killed:
            killed.append(done)
            data_lake.kill("s3")

    plan = upload.plan(shore.job(tell=kill))
    try:
        with monkeypatch.context() as changed:
            changed.setattr(objects, "PATIENCE", 0.2)
            with pytest.raises(ServiceError, match="Run the same again"):
                upload.apply(plan)
    finally:
        data_lake.restart("s3")
    assert killed
    again, _, outcome = run(shore.job())
    assert again.digest == plan.digest
    assert outcome.verdict is Verdict.PASSED, outcome
    assert shore.objects() == published(FILES)
    assert shore.open_uploads() == []


PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["dedl_workbook.steps.upload", "boto3", "obstore"])


def _upload(given: tuple[Any, ...], resumed: int, pipe: Connection) -> None:
    engine.RESUMED = resumed

    def tell(what: str, done: int, total: int, unit: str, note: str = "") -> None:
        pipe.send("moving")

    try:
        upload.apply(upload.plan(Job(*given, tell=tell)))
    except KeyboardInterrupt:
        pipe.send("interrupted")
        raise


def begin(job: Job, resumed: int = engine.RESUMED) -> tuple[Any, Connection]:
    ours, theirs = PROCESSES.Pipe()
    given = (job.ticket, job.target, job.folder, job.root)
    process = PROCESSES.Process(target=_upload, args=(given, resumed, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours


FEW = {f"data/{n:03}": noise(3000, n) for n in range(15)}
FEW["data/large"] = noise(objects.SINGLE + 12345)


@pytest.fixture(scope="module")
def bucket(data_lake: Sandbox) -> Iterator[str]:
    """A bucket for many short tests: to make one, and to remove it, takes longer than they do."""
    there = Shore(data_lake, Path(), f"test-{uuid.uuid4().hex[:16]}", "http")
    with buckets.own(there.client, there.bucket) as name:
        yield name


@pytest.fixture
def quay(data_lake: Sandbox, bucket: str, tmp_path: Path) -> Iterator[Shore]:
    made = Shore(data_lake, tmp_path, bucket, "http")
    made.deliver(FEW)
    yield made
    buckets.empty(made.client, bucket)


@pytest.mark.parametrize("seed", [*range(5), *(also(n) for n in range(5, 50))])
def test_an_upload_that_was_killed_at_any_point_is_finished_by_the_next_run(
    quay: Shore, seed: int, monkeypatch: pytest.MonkeyPatch
):
    shore, chance = quay, random.Random(seed)
    job, resumed = shore.job(), chance.choice([0, engine.RESUMED])
    first = upload.plan(job)
    process, pipe = begin(job, resumed)
    if chance.random() < 0.9:
        pipe.poll(60)
    process.join(chance.uniform(0, 0.3))
    process.kill()
    process.join()
    there = shore.objects()
    ours = {key: data for key, data in there.items() if "/.probe-" not in key}
    assert ours.items() <= published(FEW).items()
    monkeypatch.setattr(engine, "RESUMED", resumed)
    plan, receipt, outcome = run(shore.job())
    assert plan.digest == first.digest
    assert receipt.done["uploaded"] <= len(FEW) - len(ours)
    assert outcome.verdict is Verdict.PASSED, outcome
    assert shore.objects() == published(FEW)
    assert shore.open_uploads() == []


def test_ctrl_c_does_not_wait_for_a_store_that_says_nothing(shore: Shore, proxy: Faulty):
    stalled = threading.Event()

    def when(method: str, path: str) -> Fate:
        if method == "PUT" and ".probe" not in path and proxy.count("PUT") > 20:
            stalled.set()
            return STALL
        return None

    proxy.when = when
    process, pipe = begin(shore.job(endpoint=proxy.url))
    assert stalled.wait(60)
    os.kill(process.pid, signal.SIGINT)
    while (news := pipe.recv()) != "interrupted":
        assert news == "moving"
    assert not proxy.released.is_set()
    process.kill()
    process.join()
    assert run(shore.job())[2].verdict is Verdict.PASSED
    assert shore.objects() == published(FILES)


@pytest.mark.parametrize("arrived", [also(0), 1, also(2)])
def test_a_large_file_goes_on_with_the_parts_that_arrived(
    shore: Shore, proxy: Faulty, monkeypatch: pytest.MonkeyPatch, arrived: int
):
    monkeypatch.setattr(engine, "RESUMED", LARGE)
    monkeypatch.setattr(engine, "HEAVY_THREADS", 1)
    parts = 0

    def when(method: str, path: str) -> Fate:
        nonlocal parts
        parts += "partNumber" in path and ".probe" not in path
        return (403, "AccessDenied") if parts > arrived and "partNumber" in path else None

    proxy.when = when
    job = shore.job(endpoint=proxy.url)
    plan = upload.plan(job)
    with pytest.raises(RefusedError):
        upload.apply(plan)
    assert len(shore.open_uploads()) == 1
    proxy.when = lambda method, path: None
    proxy.requests.clear()
    again = upload.plan(job)
    assert again.digest == plan.digest
    assert [action.verb for action in again.actions] == ["upload"]
    receipt = upload.apply(again)
    assert receipt.done["resumed_bytes"] == arrived * objects.SINGLE
    sent = [path for _, path in proxy.requests if "partNumber" in path and ".probe" not in path]
    assert len(sent) == 3 - arrived
    assert upload.check(again).verdict is Verdict.PASSED
    assert shore.objects() == published(FILES)
    assert shore.open_uploads() == []


def test_parts_of_a_file_that_changed_are_sent_again(shore: Shore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine, "RESUMED", LARGE)
    real = multipart.upload_part

    def refuse(pool: Any, path: str, upload: str, number: int, *rest: Any) -> str:
        if number == 3 and ".probe" not in path:
            raise RefusedError("no more")
        return real(pool, path, upload, number, *rest)

    with monkeypatch.context() as changed:
        changed.setattr(multipart, "upload_part", refuse)
        with pytest.raises(RefusedError):
            upload.apply(upload.plan(shore.job()))
    assert len(shore.open_uploads()) == 1
    other = noise(LARGE, 99)
    (shore.dataset / "data/large").write_bytes(other[:100] + FILES["data/large"][100:])
    assert run(shore.job())[2].verdict is Verdict.PASSED
    assert shore.objects()[PREFIX + "data/large"] == other[:100] + FILES["data/large"][100:]
    assert shore.open_uploads() == []
