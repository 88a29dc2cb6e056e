"""What an earlier publication of the collection stored unchanged is used where it lies."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.base.errors import ConflictError, InputError
from dedl_workbook.publication import keys as reuse
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.publication.metadata import items
from dedl_workbook.steps import upload
from dedl_workbook.steps.withdraw import pool as withdraw_pool

from tests.integration.shore import ID, LARGE, Shore, a_shore, failed, noise, run

FIRST = {"data/same": b"1" * 100, "data/other": b"2" * 100, "data/large": noise(LARGE)}
SECOND = FIRST | {"data/other": b"3" * 100, "data/new": b"new"}


@pytest.fixture
def shore(data_lake: Sandbox, tmp_path: Path) -> Shore:
    made = a_shore(data_lake, tmp_path, "http")
    made.deliver(FIRST)
    assert run(ticket(made, 1))[2].verdict is Verdict.PASSED
    assets = {path: {"href": path} for path in SECOND}
    made.deliver(SECOND, {"I": {"assets": assets}})
    return made


def ticket(shore: Shore, number: int) -> Job:
    job = shore.job(work=f"work-{number}")
    return replace(job, ticket=job.ticket.model_copy(update={"ticket": f"DEDL-{number}"}))


def key(number: int, path: str) -> str:
    return f"{ID}/DEDL-{number}/{path}"


KEYS = {
    "data/same": key(1, "data/same"),
    "data/large": key(1, "data/large"),
    "data/other": key(2, "data/other"),
    "data/new": key(2, "data/new"),
}


def test_only_what_is_new_is_uploaded_and_the_addresses_lead_to_where_the_rest_lies(shore: Shore):
    before = shore.objects()
    job = ticket(shore, 2)
    plan = upload.plan(job)
    assert {action.verb: action.count for action in plan.actions} == {"reuse": 2, "upload": 2}
    assert shore.objects() == before
    receipt = upload.apply(plan)
    assert (receipt.done["reused"], receipt.done["uploaded"]) == (2, 2)
    outcome = upload.check(plan)
    assert outcome.verdict is Verdict.PASSED, outcome
    assert f"{ID}/DEDL-2/ (2) and, reused, in s3://" in outcome.summary
    assert f"{ID}/DEDL-1/ (2)" in outcome.summary
    made = shore.objects().keys() - before.keys()
    assert made == {key(2, "data/other"), key(2, "data/new"), key(1, ".used-by-DEDL-2")}
    [(_, item)] = items(job)
    start = f"s3://{shore.bucket}/"
    assert {path: asset["href"] for path, asset in item["assets"].items()} == {
        path: start + found for path, found in KEYS.items()
    }
    objects, digests = shore.objects(), upload.digests(job)
    assert len(digests) == len(SECOND)
    for path, data in SECOND.items():
        assert objects[KEYS[path]] == data
        assert digests.of(start + KEYS[path]) == (len(data), hashlib.sha256(data).hexdigest())
        other = 2 if KEYS[path] == key(1, path) else 1
        assert digests.of(start + key(other, path)) is None
    sums = (job.folder / upload.SUMS).read_text().splitlines()
    assert len(sums) == len(SECOND)


def test_running_again_finds_nothing_to_do_and_the_same_plan(shore: Shore):
    first, _, _ = run(ticket(shore, 2))
    again = upload.plan(ticket(shore, 2))
    assert (again.actions, again.digest) == ((), first.digest)
    assert upload.apply(again).done["uploaded"] == 0
    assert upload.check(again).verdict is Verdict.PASSED
    assert upload.plan(ticket(shore, 1)).before["foreign_objects"] == 0


def test_an_upload_that_was_cut_off_keeps_its_plan(shore: Shore, monkeypatch: pytest.MonkeyPatch):
    first = upload.plan(ticket(shore, 2))

    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(upload.engine, "move", cut)
        with pytest.raises(KeyboardInterrupt):
            upload.apply(first)
    again, _, outcome = run(ticket(shore, 2))
    assert again.digest == first.digest
    assert outcome.verdict is Verdict.PASSED


def test_a_third_publication_finds_what_the_first_wrote(shore: Shore):
    run(ticket(shore, 2))
    _, receipt, outcome = run(ticket(shore, 3))
    assert (receipt.done["reused"], receipt.done["uploaded"]) == (4, 0)
    assert outcome.verdict is Verdict.PASSED
    keys = reuse.keys(ticket(shore, 3))
    assert {path: keys(path) for path in SECOND} == KEYS


def test_an_object_that_vanished_since_the_plan_stops_the_upload(shore: Shore):
    plan = upload.plan(ticket(shore, 2))
    shore.client.delete_object(Bucket=shore.bucket, Key=key(1, "data/same"))
    with pytest.raises(ConflictError, match="Plan again"):
        upload.apply(plan)
    again, receipt, outcome = run(ticket(shore, 2))
    assert again.digest != plan.digest
    assert receipt.done["uploaded"] == 3
    assert outcome.verdict is Verdict.PASSED


@pytest.mark.parametrize("data", [b"?" * 100, None])
def test_check_finds_a_reused_object_that_was_damaged_or_removed(shore: Shore, data: bytes | None):
    plan, _, _ = run(ticket(shore, 2))
    if data is None:
        shore.client.delete_object(Bucket=shore.bucket, Key=key(1, "data/same"))
    else:
        shore.put(key(1, "data/same"), data)
    outcome = upload.check(plan)
    assert outcome.verdict is Verdict.FAILED
    assert "reused objects" in failed(outcome)


def test_check_misses_the_mark_that_keeps_reused_objects(shore: Shore):
    plan, _, _ = run(ticket(shore, 2))
    shore.client.delete_object(Bucket=shore.bucket, Key=key(1, ".used-by-DEDL-2"))
    assert "not marked as used" in failed(upload.check(plan))["reused objects"]
    assert [action.verb for action in upload.plan(ticket(shore, 2)).actions] == ["reuse"]


def test_what_another_ticket_uses_is_not_withdrawn_until_that_one_is(shore: Shore):
    before = shore.objects()
    run(ticket(shore, 2))
    with pytest.raises(ConflictError, match="DEDL-2 uses objects(?s:.)*withdraw DEDL-2"):
        withdraw_pool.undo(ticket(shore, 1), referred=lambda: False)
    assert before.items() <= shore.objects().items()
    assert not all(check.passed for check in withdraw_pool.checks(ticket(shore, 2)))
    withdraw_pool.undo(ticket(shore, 2), referred=lambda: False)
    assert all(check.passed for check in withdraw_pool.checks(ticket(shore, 2)))
    assert shore.objects() == before
    withdraw_pool.undo(ticket(shore, 1), referred=lambda: False)
    assert shore.objects() == {}


def test_a_damaged_memory_of_what_is_reused_is_named_with_the_remedy(shore: Shore):
    upload.plan(ticket(shore, 2))
    reuse.location(ticket(shore, 2)).write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match=r"reused\.sqlite(?s:.)*Delete it"):
        upload.plan(ticket(shore, 2))
    with pytest.raises(InputError, match=r"reused\.sqlite(?s:.)*Delete it"):
        list(items(ticket(shore, 2)))
