"""Withdraw, on the real servers: what a ticket published goes, what was before it comes back."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.base.errors import ConflictError, EvidenceError, InputError, ServiceError
from dedl_workbook.publication.job import Job, Outcome, Plan, Verdict
from dedl_workbook.services.catalog import partitions
from dedl_workbook.services.pool import multipart, objects, ownership
from dedl_workbook.services.pool.manifest import Manifest, Row, location
from dedl_workbook.steps import catalog, hda, order, upload, withdraw
from dedl_workbook.steps.order import WITHDRAW
from dedl_workbook.steps.withdraw import catalog as withdraw_catalog
from dedl_workbook.steps.withdraw import hda as withdraw_hda
from dedl_workbook.steps.withdraw import pool as withdraw_pool

from tests.integration.hda_lake import ROLE, HdaLake, an_id, own_configuration
from tests.integration.lake import (
    COLLECTION,
    Lake,
    a_collection,
    an_item,
    lent,
    moved,
    publish,
    write_dataset,
)

if TYPE_CHECKING:
    pass

SLOW = pytest.mark.slow
STEPS: dict[str, Any] = {"upload": upload, "catalog": catalog, "hda": hda}
LARGE = objects.SINGLE + 4321


def resumed(job: Job, plan: Plan) -> Job:
    """Return the job as a later run has it: knowing what the approved plan had found."""
    return replace(job, before={**job.before, plan.step: plan.before})


def taken_back(job: Job) -> Outcome:
    """Withdraw, and demand that it is proven."""
    plan = withdraw.plan(job)
    withdraw.apply(plan)
    outcome = withdraw.check(plan)
    assert outcome.verdict is Verdict.PASSED, outcome.summary
    return outcome


def failed(outcome: Outcome) -> dict[str, str]:
    assert outcome.verdict is Verdict.FAILED, outcome.summary
    return {check.name: check.found for check in outcome.checks if not check.passed}


class Shore(Lake):
    """A database and a bucket of one's own, without HDA."""

    def job_of(self, items: list[dict[str, Any]], *, ticket: str = "A-1", **asked: Any) -> Job:
        """Return the job of a ticket that publishes these items."""
        collection = asked.pop("document", None)
        dataset = write_dataset(self.folder / f"of-{ticket}", items, collection)
        return self.job(dataset, ticket=ticket, api=True, **asked)

    def catalogue(self) -> Any:
        """Return all that the database holds of collections and items, and their partitions."""
        tables = ("select id, content from collections", "select id, datetime, content from items")
        parts = "select partition, collection from partition_stats"
        return [sorted(map(str, self.execute(query))) for query in (*tables, parts)]

    def served(self) -> Any:
        """Return what a user sees: the collection and its items, as the STAC API has them."""
        root = f"{self.api}/collections/{COLLECTION}"
        answer = httpx.get(root, timeout=20)
        items = httpx.get(f"{root}/items?limit=100", timeout=20).json().get("features", [])
        collection = answer.json() if answer.status_code == 200 else answer.status_code
        return collection, sorted(items, key=lambda item: str(item["id"]))

    def all(self) -> Any:
        return self.objects(), self.open_uploads(), self.catalogue()


@pytest.fixture
def shore(data_lake: Sandbox, tmp_path: Path) -> Iterator[Shore]:
    with lent(Shore(data_lake, tmp_path)) as shore:
        yield shore


def items(count: int = 6) -> list[dict[str, Any]]:
    return [an_item(number) for number in range(count)]


def others() -> list[dict[str, Any]]:
    """Items of a later publication: one changed, one moved in time, one gone, two new."""
    made = items(8)[1:]
    made[0]["properties"]["gsd"] = 99.5
    made[1] = moved(made[1], "2025-06-01T00:00:00Z")
    return made


# --- After each step, and after a failure in each


@pytest.mark.parametrize("done", [(), ("upload",), ("upload", "catalog")])
def test_takes_back_what_each_step_published(shore: Shore, done: tuple[str, ...]) -> None:
    job = shore.job_of(items())
    shore.put("EO.OTHER/X-1/data/x")
    before = shore.all()
    publish(job, *done)
    published = shore.all()

    plan = withdraw.plan(job)
    untouched = shore.all() == published
    unproven = withdraw.check(plan)
    receipt = withdraw.apply(plan)
    outcome = withdraw.check(plan)

    assert untouched
    assert bool(plan.actions) == bool(done)
    assert (unproven.verdict is Verdict.PASSED) == (not done)
    assert outcome.verdict is Verdict.PASSED, outcome.summary
    assert shore.all() == before
    assert bool(receipt.done) == bool(done)
    again = withdraw.plan(job)
    assert again.actions == ()


def test_a_killed_upload_is_taken_back_whole(shore: Shore, monkeypatch: pytest.MonkeyPatch) -> None:
    job = shore.job_of(items())
    for name in ("large", "open"):
        (Path(job.ticket.dataset) / f"data/2024/{name}.bin").write_bytes(b"x" * LARGE)
    before = shore.all()

    whole = multipart.send

    def send(pool: objects.Pool, part: multipart.Part) -> Row | None:
        return None if "open" in part.of.todo.path else whole(pool, part)

    def remember(_: Manifest, rows: list[Row]) -> None:
        if any(row.size == LARGE for row in rows):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        # As SIGKILL leaves it: objects are there, and nothing remembers them.
        patch.setattr(Manifest, "remember", remember)
        patch.setattr(multipart, "send", send)
        patch.setattr(multipart, "abort", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            publish(job, "upload")
    assert shore.objects() != {}
    shore.put(f"{COLLECTION}/A-1/.probe-1")
    assert shore.open_uploads() != []

    plan = withdraw.plan(job)
    withdraw.apply(plan)

    assert shore.all() == before
    assert withdraw.check(plan).verdict is Verdict.PASSED


def test_objects_of_a_lost_manifest_are_known_by_their_marks(shore: Shore) -> None:
    job = shore.job_of(items())
    (Path(job.ticket.dataset) / "data/2024/large.bin").write_bytes(b"x" * LARGE)
    publish(job, "upload")
    for file in job.folder.glob(f"{location(job).name}*"):
        file.unlink()

    taken_back(job)

    assert shore.objects() == {}


def test_what_a_killed_load_left_that_nobody_sees_is_taken_back(
    shore: Shore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = shore.job_of(items())
    before = shore.all()
    publish(job, "upload")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(catalog, "_load", killed)
        patch.setattr(partitions, "drop_hidden", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            publish(job, "catalog")
    assert shore.execute("select id from collections") == []
    assert shore.execute("select count(*) from partition_stats") == [(1,)]

    plan = withdraw.plan(job)

    assert "empty partitions of a load that was cut off" in {a.subject for a in plan.actions}
    taken_back(job)
    assert shore.all() == before


# --- Cut off in the middle


@pytest.mark.parametrize(
    ("where", "name"),
    [(withdraw_catalog, "undo"), (withdraw_pool, "undo"), (ownership, "_delete")],
)
@pytest.mark.parametrize("mode", [pytest.param("new", marks=SLOW), "replace"])
def test_a_withdrawal_that_was_cut_off_is_finished(
    shore: Shore, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, mode: str
) -> None:
    if mode == "replace":
        publish(shore.job_of(items(), ticket="A-0"), "upload", "catalog")
    before = shore.objects(), shore.served()
    job = shore.job_of(others(), mode=mode)
    publish(job, "upload", "catalog")
    first = withdraw.plan(job)
    whole, seen = getattr(where, name), []

    def cut_off(*given: Any, **how: Any) -> Any:
        seen.append(given)
        if name == "_delete" and len(seen) == 1:
            whole(given[0], given[1][:3])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, name, cut_off)
        with pytest.raises(KeyboardInterrupt):
            withdraw.apply(first)
    again = withdraw.plan(resumed(job, first))

    assert again.digest == first.digest
    assert again.actions != ()
    withdraw.apply(again)
    outcome = withdraw.check(again)
    assert outcome.verdict is Verdict.PASSED, outcome.summary
    assert (shore.objects(), shore.served()) == before


# --- To the publication before


def test_a_replacement_is_taken_back_to_the_publication_before(shore: Shore) -> None:
    first = shore.job_of(items(), ticket="A-0")
    publish(first, "upload", "catalog")
    before = shore.objects(), shore.served()
    job = shore.job_of(others(), mode="replace", document=a_collection(title="Other"))
    publish(job, "upload", "catalog")
    assert shore.served() != before[1]

    plan = withdraw.plan(job)
    withdraw.apply(plan)
    outcome = withdraw.check(plan)

    assert outcome.verdict is Verdict.PASSED, outcome.summary
    assert (shore.objects(), shore.served()) == before
    assert plan.detail["afterwards"] == "the publication before stands again"
    verbs = {(a.verb, a.subject): a.count for a in plan.actions}
    assert verbs[("put back", "items")] == 1
    assert verbs[("delete", "items that weren't there before")] == 2
    assert catalog.check(catalog.plan(first)).verdict is Verdict.PASSED


@pytest.mark.slow
def test_a_second_try_of_the_same_ticket_does_not_hide_what_was_before_it(shore: Shore) -> None:
    publish(shore.job_of(items(), ticket="A-0"), "upload", "catalog")
    before = shore.objects(), shore.served()
    publish(shore.job_of(others(), mode="replace"), "upload", "catalog")
    more = [*others(), an_item(20)]
    again = shore.job_of(more, mode="replace")
    publish(again, "upload", "catalog")

    taken_back(again)

    assert (shore.objects(), shore.served()) == before


@pytest.mark.slow
def test_what_was_withdrawn_can_be_published_again_and_withdrawn_again(shore: Shore) -> None:
    job = shore.job_of(items())
    before = shore.all()
    publish(job, "upload", "catalog")
    served = shore.served()
    taken_back(job)

    publish(job, "upload", "catalog")

    assert catalog.check(catalog.plan(job)).verdict is Verdict.PASSED
    assert shore.served() == served
    taken_back(job)
    assert shore.all() == before


def test_the_delivered_dataset_is_not_needed(shore: Shore) -> None:
    job = shore.job_of(items())
    publish(job, "upload", "catalog")
    shutil.rmtree(job.ticket.dataset)

    taken_back(shore_job := replace(job, before={}))

    assert shore.objects() == {}
    assert shore_job.ticket == job.ticket


# --- Refusals


def test_refuses_when_another_ticket_published_on_top_and_names_it(shore: Shore) -> None:
    job = shore.job_of(items())
    publish(job, "upload", "catalog")
    later = shore.job_of(others(), ticket="B-2", mode="replace")
    publish(later, "upload", "catalog")
    stands = shore.all()

    with pytest.raises(ConflictError, match="B-2 published .* on top") as error:
        withdraw.plan(job)

    assert "dedl-workbook withdraw B-2" in str(error.value)
    assert shore.all() == stands
    taken_back(later)
    taken_back(job)
    assert shore.objects() == {}


def test_on_top_is_seen_in_the_catalogue_even_if_all_memory_is_lost(shore: Shore) -> None:
    job = shore.job_of(items())
    publish(job, "upload", "catalog")
    mixed = [(row[0], row[1]) for row in shore.execute("select id, content from items")]
    name, content = mixed[0]
    href = content["assets"]["data"]["href"].replace("/A-1/", "/B-2/")
    changed = copy.deepcopy(content)
    changed["assets"]["data"]["href"] = href
    shore.execute("update items set content = %s::jsonb where id = %s", json.dumps(changed), name)
    shutil.rmtree(job.folder)

    with pytest.raises(ConflictError, match="B-2 published"):
        withdraw.plan(job)


@pytest.mark.slow
def test_nothing_is_to_do_once_another_ticket_published_after_a_withdrawal(shore: Shore) -> None:
    job = shore.job_of(items())
    publish(job, "upload", "catalog")
    taken_back(job)
    publish(shore.job_of(others(), ticket="B-2"), "upload", "catalog")
    stands = shore.all()

    plan = withdraw.plan(job)

    assert plan.actions == ()
    assert plan.detail["note"] == "Nothing of this ticket stands any more."
    assert withdraw.check(plan).verdict is Verdict.PASSED
    assert shore.all() == stands


@pytest.mark.slow
def test_an_upload_alone_is_taken_back_below_a_publication_of_another_ticket(
    shore: Shore,
) -> None:
    publish(shore.job_of(items(), ticket="A-0"), "upload", "catalog")
    before = shore.all()
    job = shore.job_of(others(), mode="replace")
    publish(job, "upload")

    taken_back(job)

    assert shore.all() == before


def _lose(folder: Path) -> None:
    shutil.rmtree(folder / "before")


def _cut(folder: Path) -> None:
    file = folder / "before" / "items.ndjson.gz"
    file.write_bytes(file.read_bytes()[:-20])


def _alter(folder: Path) -> None:
    file = folder / "before" / "collection.json"
    file.write_text(file.read_text().replace("Levels", "Other"))


def _break(folder: Path) -> None:
    (folder / "before" / "catalog.json").write_text("{")


@pytest.mark.parametrize(
    "damage", [_lose, *(pytest.param(it, marks=SLOW) for it in (_cut, _alter, _break))]
)
def test_changes_nothing_when_the_state_before_is_lost(
    shore: Shore, damage: Callable[[Path], None]
) -> None:
    publish(shore.job_of(items(), ticket="A-0"), "upload", "catalog")
    job = shore.job_of(others(), mode="replace")
    publish(job, "upload", "catalog")
    plan = withdraw.plan(job)
    damage(job.folder)
    stands = shore.all()

    for tried in (lambda: withdraw.plan(job), lambda: withdraw.apply(plan)):
        with pytest.raises(EvidenceError, match="can't be put back") as error:
            tried()
        assert "Nothing was changed" in str(error.value)
        assert str(job.folder / "before") in error.value.where

    assert shore.all() == stands


def test_puts_nothing_back_whose_objects_are_gone(shore: Shore) -> None:
    publish(shore.job_of(items(), ticket="A-0"), "upload", "catalog")
    job = shore.job_of(others(), mode="replace")
    publish(job, "upload", "catalog")
    gone = next(key for key in shore.objects() if "/A-0/data/" in key)
    shore.client.delete_object(Bucket=shore.bucket, Key=gone)
    stands = shore.all()

    with pytest.raises(EvidenceError, match="1 objects of the publication before") as error:
        withdraw.plan(job)

    assert gone in str(error.value)
    assert shore.all() == stands


def test_a_change_by_hand_is_shown_and_goes_with_the_publication(shore: Shore) -> None:
    job = shore.job_of(items())
    before = shore.all()
    publish(job, "upload", "catalog")
    first = withdraw.plan(job)
    shore.execute("update collections set content = jsonb_set(content, '{title}', '\"By hand\"')")

    with pytest.raises(ConflictError, match=r"catalog\.collection changed"):
        withdraw.apply(first)
    plan = withdraw.plan(resumed(job, first))

    assert plan.digest != first.digest
    assert plan.detail["changed_by_hand_since"] == ["catalogue"]
    withdraw.apply(plan)
    assert withdraw.check(plan).verdict is Verdict.PASSED
    assert shore.all() == before


def test_a_collection_of_nobody_known_is_left_alone(shore: Shore) -> None:
    job = shore.job_of(items())
    publish(job, "upload", "catalog")
    shore.execute("delete from items")
    content = json.dumps(a_collection(title="Of nobody"))
    shore.execute("update collections set content = %s::jsonb", content)
    stands = shore.all()

    with pytest.raises(ConflictError, match="was not published by this ticket"):
        withdraw.plan(job)

    assert shore.all() == stands


def test_foreign_objects_under_the_prefix_stay_and_are_named(shore: Shore) -> None:
    job = shore.job_of(items())
    publish(job, "upload", "catalog")
    mine = next(iter(shore.objects()))
    foreign = f"{COLLECTION}/A-1/data/of-somebody"
    shore.put(foreign)
    shore.client.delete_object(Bucket=shore.bucket, Key=mine)
    shore.put(mine, b"another one's")

    plan = withdraw.plan(job)
    withdraw.apply(plan)
    outcome = withdraw.check(plan)

    assert plan.detail["foreign"] == sorted([mine, foreign])
    assert sorted(shore.objects()) == sorted([mine, foreign])
    assert outcome.verdict is Verdict.PASSED
    found = {check.name: check.found for check in outcome.checks}
    assert foreign in found["gone, pool: objects of this ticket"]


def test_no_object_is_deleted_that_the_catalogue_refers_to(
    shore: Shore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = shore.job_of(items())
    publish(job, "upload", "catalog")
    stands = shore.objects()
    monkeypatch.setattr(withdraw_catalog, "undo", lambda *_: {})

    with pytest.raises(ConflictError, match="still refers to objects"):
        withdraw.apply(withdraw.plan(job))

    assert shore.objects() == stands


def test_a_load_by_somebody_else_at_the_same_time_is_waited_for_or_named(
    shore: Shore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dedl_workbook.services.catalog import pgstac

    job = shore.job_of(items())
    publish(job, "upload", "catalog")
    plan = withdraw.plan(job)
    stands = shore.all()
    monkeypatch.setattr(pgstac, "LOCK_PATIENCE", 0.2)

    with pgstac.connected(
        replace(job, ticket=job.ticket.model_copy(update={"ticket": "B-2"}))
    ) as c:
        pgstac.lock(c, COLLECTION)
        with pytest.raises(ServiceError, match="is being loaded by dedl B-2"):
            withdraw.apply(plan)

    assert shore.all() == stands
    withdraw.apply(plan)
    assert shore.objects() == {}


# --- The check can fail


def _item_back(shore: Shore, job: Job) -> None:
    publish(job, "catalog")


def _object_back(shore: Shore, job: Job) -> None:
    marks = {objects.WRITTEN_FOR: job.prefix}
    shore.put(f"{job.prefix}data/x", Metadata=marks)


def _upload_back(shore: Shore, job: Job) -> None:
    shore.client.create_multipart_upload(Bucket=shore.bucket, Key=f"{job.prefix}data/x")


@pytest.mark.parametrize(
    ("back", "said"),
    [
        (_item_back, "gone, STAC API: search"),
        (_object_back, "gone, pool: objects of this ticket"),
        (_upload_back, "gone, pool: cut-off uploads"),
    ],
)
def test_check_fails_when_something_is_there_again(
    shore: Shore, back: Callable[[Shore, Job], None], said: str
) -> None:
    job = shore.job_of(items())
    publish(job, "upload", "catalog")
    plan = withdraw.plan(job)
    withdraw.apply(plan)
    back(shore, job)

    assert said in failed(withdraw.check(plan))


def test_check_fails_when_what_was_before_is_not_the_same(shore: Shore) -> None:
    publish(shore.job_of(items(), ticket="A-0"), "upload", "catalog")
    job = shore.job_of(others(), mode="replace")
    publish(job, "upload", "catalog")
    plan = withdraw.plan(job)
    withdraw.apply(plan)
    shore.execute("delete from items where id = 'LAKE_000003'")
    gone = next(key for key in shore.objects() if "/A-0/data/" in key)
    shore.client.delete_object(Bucket=shore.bucket, Key=gone)

    wrong = failed(withdraw.check(plan))

    assert "as before, database: every item is there" in wrong
    assert "as before, STAC API: every item is there" in wrong
    assert gone in wrong["pool: objects of the publication before"]


# --- With HDA


@pytest.fixture
def lake(data_lake: Sandbox, tmp_path: Path) -> Iterator[HdaLake]:
    with own_configuration(data_lake, tmp_path) as lent:
        yield lent


def hda_job(lake: HdaLake, id_: str, count: int = 3, *, ticket: str = "HDA-1", **asked: Any) -> Job:
    """Return the job of a ticket that publishes these items through HDA."""
    document = a_collection(id=id_, title=asked.pop("title", "Levels"))
    made = [an_item(number, collection=id_) for number in range(count)]
    dataset = write_dataset(lake.folder / f"{id_}-{ticket}", made, document)
    return lake.job(id_, ticket=ticket, dataset=dataset, **asked)


def files(lake: HdaLake) -> dict[str, bytes]:
    found = [*lake.config.rglob("*.yml"), *(lake.config / "collections").glob("*.json")]
    return {path.name: path.read_bytes() for path in found}


def ids_in_hda(lake: HdaLake, id_: str) -> list[str]:
    root = lake.sandbox.endpoints["hda"]
    answer = httpx.get(f"{root}/search", params={"collections": id_}, timeout=30)
    return sorted(item["id"] for item in answer.json().get("features", []))


def seen_in_hda(lake: HdaLake, id_: str) -> dict[str, Any]:
    """Return the collection as HDA serves it, which gives keywords in any order."""
    served: dict[str, Any] = lake.served(id_).json()
    return served | {"keywords": sorted(served["keywords"])}


def test_a_restricted_publication_goes_from_hda_catalogue_and_pool(lake: HdaLake) -> None:
    id_ = an_id()
    before, job = files(lake), hda_job(lake, id_, roles=[ROLE])
    publish(job, "upload", "catalog", "hda")
    assert len(ids_in_hda(lake, id_)) == 3
    by_others = b"# by others\n" + lake.collections.read_bytes()
    lake.collections.write_bytes(by_others)

    plan = withdraw.plan(job)
    unproven = failed(withdraw.check(plan))
    withdraw.apply(plan)
    outcome = withdraw.check(plan)

    assert outcome.verdict is Verdict.PASSED, outcome.summary
    assert {name.partition(":")[0] for name in unproven} >= {
        "gone, HDA's configuration", "gone, HDA", "gone, database", "gone, STAC API", "gone, pool",
    }  # fmt: skip
    assert f"-{id_}:" in plan.detail["difference"][0]
    name = lake.collections.name
    assert files(lake) == before | {name: b"# by others\n" + before[name]}
    assert lake.served(id_).status_code in (401, 404)
    root = lake.sandbox.endpoints["hda"]
    assert httpx.get(f"{root}/collections/{id_}", timeout=20).status_code == 404
    assert ids_in_hda(lake, id_) == []
    assert ROLE in outcome.summary
    assert "were not revoked" in outcome.summary
    assert withdraw.plan(job).actions == ()


@pytest.mark.parametrize("title", ["Other", pytest.param("Levels", marks=SLOW)])
def test_a_replacement_in_hda_is_taken_back_to_the_entry_before(lake: HdaLake, title: str) -> None:
    id_ = an_id()
    publish(hda_job(lake, id_, ticket="HDA-0"), "upload", "catalog", "hda")
    before, served = files(lake), seen_in_hda(lake, id_)
    job = hda_job(lake, id_, 5, mode="replace", title=title)
    publish(job, "upload", "catalog", "hda")
    assert lake.served(id_).json()["title"] == title
    assert len(ids_in_hda(lake, id_)) == 5

    taken_back(job)

    assert files(lake) == before
    assert seen_in_hda(lake, id_) == served
    assert len(ids_in_hda(lake, id_)) == 3


def test_hda_that_was_written_but_not_reloaded_is_taken_back(
    lake: HdaLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = an_id()
    before, job = files(lake), hda_job(lake, id_)
    publish(job, "upload", "catalog")

    def cut_off(*_: Any) -> None:
        raise KeyboardInterrupt

    for act in (lambda: publish(job, "hda"), lambda: withdraw.apply(withdraw.plan(job))):
        with monkeypatch.context() as patch:
            patch.setattr(hda, "reload_or_put_back", cut_off)
            with suppress(KeyboardInterrupt):
                act()
    first = withdraw.plan(job)
    taken_back(job)

    assert first.actions != ()
    assert files(lake) == before
    assert lake.served(id_).status_code == 404


def test_waits_for_the_roll_out_before_catalogue_and_objects_go(lake: HdaLake) -> None:
    id_ = an_id()
    publish(hda_job(lake, id_), "upload", "catalog", "hda")
    job = hda_job(lake, id_, hda={"reload": []})
    plan = withdraw.plan(job)

    receipt = withdraw.apply(plan)
    waiting = withdraw.check(plan)
    there = ids_in_hda(lake, id_)
    lake.reload()
    again = withdraw.plan(resumed(job, plan))
    withdraw.apply(again)

    assert "catalogue and objects stay" in receipt.done["waiting"]
    assert waiting.verdict is Verdict.WAITING
    assert waiting.waiting_for == "the roll-out of HDA's configuration"
    assert len(there) == 3
    assert again.digest == plan.digest
    assert withdraw.check(again).verdict is Verdict.PASSED


def test_an_entry_that_could_not_be_put_back_changes_nothing(lake: HdaLake) -> None:
    id_ = an_id()
    job = hda_job(lake, id_)
    publish(job, "upload", "catalog", "hda")
    stands, there = files(lake), len(ids_in_hda(lake, id_))
    bad = hda_job(lake, id_, hda={"check": ["false"]})

    with pytest.raises(InputError, match="the check ended with 1"):
        withdraw.apply(withdraw.plan(bad))
    (job.folder / "before" / "hda.json").unlink()
    with pytest.raises(EvidenceError, match="HDA's entry from before"):
        withdraw.plan(job)

    assert files(lake) == stands
    assert len(ids_in_hda(lake, id_)) == there


def test_a_reload_that_fails_leaves_the_publication_whole(lake: HdaLake) -> None:
    id_ = an_id()
    job = hda_job(lake, id_)
    publish(job, "upload", "catalog", "hda")
    stands = files(lake)

    with pytest.raises(ServiceError, match="the files were put back"):
        withdraw.apply(withdraw.plan(hda_job(lake, id_, hda={"reload": ["false"]})))

    assert files(lake) == stands
    assert len(ids_in_hda(lake, id_)) == 3
    taken_back(job)


def test_an_entry_changed_by_hand_while_nothing_of_ours_is_in_the_catalogue_stays(
    lake: HdaLake,
) -> None:
    id_ = an_id()
    job = hda_job(lake, id_)
    publish(job, "hda")
    text = lake.collections.read_text()
    lake.collections.write_text(text.replace("title: Levels", "title: By hand"))
    stands = files(lake)

    with pytest.raises(ConflictError, match="stands there otherwise") as error:
        withdraw.plan(job)

    assert str(withdraw_hda._record(job)) in str(error.value)
    assert files(lake) == stands


def test_is_a_step_with_a_notebook_of_its_own() -> None:
    assert WITHDRAW.change is not None
    assert WITHDRAW.change().plan is withdraw.plan
    assert WITHDRAW.name not in order.STEPS
