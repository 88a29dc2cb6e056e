"""The trial: what HDA would serve is seen on loopback, and what is broken never goes live."""

from __future__ import annotations

import json
import sys
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from dedl_sandbox import Sandbox, oidc
from dedl_workbook.base.errors import InputError, RefusedError
from dedl_workbook.dataset import s3
from dedl_workbook.publication import addresses
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.services.hda import serving
from dedl_workbook.services.hda.files import LOCK
from dedl_workbook.steps import catalog, hda, upload
from dedl_workbook.steps.verify import hda as verify_hda

from tests.integration.hda_lake import ROLE, HdaLake, an_id, own_configuration
from tests.integration.lake import a_collection, an_item, write_dataset
from tests.integration.test_verify_hda import iam_of

TRIED: dict[str, Any] = {"no_trial": ""}
DECOMPOSED = unicodedata.normalize("NFD", "é")


@pytest.fixture
def lake(data_lake: Sandbox, tmp_path: Path) -> Iterator[HdaLake]:
    with own_configuration(data_lake, tmp_path) as lent:
        yield lent


def _add(item: dict[str, Any], **names: str) -> dict[str, Any]:
    """Return the item with further assets in the folder of its first, by key and file name."""
    folder = item["assets"]["data"]["href"].rpartition("/")[0]
    more = {key: {"href": f"{folder}/{name}", "type": "text/plain"} for key, name in names.items()}
    return item | {"assets": item["assets"] | more}


def _nothing(job: Job) -> None:
    pass


def _stored(
    lake: HdaLake,
    *items: dict[str, Any],
    happens: Callable[[Job], None] = _nothing,
    **settings: Any,
) -> Job:
    """Bring a dataset into pool and catalogue, and return its job: HDA knows nothing of it.

    `happens` is called after the upload.
    """
    id_ = an_id()
    items = tuple(item | {"collection": id_} for item in items)
    dataset = write_dataset(lake.folder / id_, items, a_collection(id=id_))
    for file in dataset.glob("data/**/equal*"):
        file.write_bytes(b"the same in both")
    for file in dataset.glob("data/**/empty*"):
        file.write_bytes(b"")
    ticket = f"T-{uuid.uuid4().hex[:8]}"
    job = lake.job(id_, ticket=ticket, dataset=dataset, hda=TRIED, **settings)
    job.folder.mkdir()
    upload.apply(upload.plan(job))
    happens(job)
    catalog.apply(catalog.plan(job))
    return job


def _files(lake: HdaLake) -> dict[Path, bytes]:
    """Return what HDA's folder holds, without the lock on it and what Python compiles there."""
    paths = (path for path in lake.config.rglob("*") if "__pycache__" not in path.parts)
    return {path: path.read_bytes() for path in paths if path.is_file() and path.name != LOCK}


def _no_token(job: Job, case: str) -> str | None:
    return None


def _elsewhere(job: Job) -> None:
    """Put an address of another server beside delivered files, past all that refuses it."""
    file = min(Path(job.ticket.dataset).glob("metadata/items/*.json"))
    item = json.loads(file.read_bytes())
    item["assets"]["far"] = {"href": "https://example.org/far.txt", "type": "text/plain"}
    file.write_text(json.dumps(item))


def _lost(job: Job) -> None:
    client, bucket = s3.client(job.target.s3), job.target.s3.bucket
    for found in client.list_objects_v2(Bucket=bucket, Prefix=job.prefix)["Contents"]:
        client.delete_object(Bucket=bucket, Key=found["Key"])


BROKEN = [
    pytest.param(_add(an_item(0), more="a#b.txt"), _nothing, id="#"),
    pytest.param(_add(an_item(0), more="a?b.txt"), _nothing, id="?"),
    pytest.param(_add(an_item(0), one="a/same.txt", two="b/same.txt"), _nothing, id="names"),
    pytest.param(an_item(0), _elsewhere, id="elsewhere"),
    pytest.param(an_item(0), _lost, id="lost"),
]


@pytest.mark.parametrize(("item", "happens"), BROKEN)
def test_what_hda_would_not_serve_never_goes_live(
    lake: HdaLake,
    monkeypatch: pytest.MonkeyPatch,
    item: dict[str, Any],
    happens: Callable[[Job], None],
) -> None:
    monkeypatch.setattr(addresses, "refuse", lambda *_: None)
    job = _stored(lake, item, an_item(1), happens=happens)
    before, plan = _files(lake), hda.plan(job)

    with pytest.raises(RefusedError, match="HDA would not serve") as refused:
        hda.apply(plan)

    assert item["id"] in str(refused.value)
    assert "Nothing is live" in str(refused.value)
    assert _files(lake) == before
    assert lake.served(job.ticket.collection).status_code == 404


def test_without_the_trial_what_is_broken_would_be_live(lake: HdaLake) -> None:
    job = _stored(lake, _add(an_item(0), more="a#b.txt"))
    part = lake.hda(no_trial="no route to the store")
    job = replace(job, target=job.target.model_copy(update={"hda": part}))
    plan = hda.plan(job)

    receipt = hda.apply(plan)

    assert plan.detail["trial"] == "none: no route to the store"
    assert receipt.done["trial"] == {"tried": "no: no route to the store"}
    assert lake.served(job.ticket.collection).status_code == 200
    assert verify_hda.check(job, _no_token).verdict is Verdict.FAILED


def test_what_is_odd_but_right_goes_live_and_is_served(lake: HdaLake) -> None:
    items = [an_item(number) for number in range(300)]
    items[0] = _add(items[0], one="equal1.txt", two="equal2.txt")
    items[1] = _add(items[1], blank="a b.txt", plus="a+b.txt", percent="100%.txt")
    items[2] = _add(items[2], letter=f"d{DECOMPOSED}j{DECOMPOSED}.txt")
    items[3] = _add(items[3], empty="empty.txt")
    job = _stored(lake, *items)
    plan = hda.plan(job)
    assert plan.detail["trial"].startswith("served on loopback")

    receipt = hda.apply(plan)

    tried = receipt.done["trial"]
    assert tried["tried"] == "yes"
    assert "300 items" in tried["summary"]
    assert hda.check(plan).verdict is Verdict.PASSED
    assert verify_hda.check(job, _no_token).verdict is Verdict.PASSED


def test_a_restricted_dataset_is_tried_behind_a_guard(lake: HdaLake) -> None:
    job = _stored(lake, an_item(0), roles=[ROLE])

    def served(part: Any) -> dict[str, int]:
        roots = {"open": part.internal_url, "guarded": part.url}
        path = f"/collections/{job.ticket.collection}"
        return {name: httpx.get(root + path).status_code for name, root in roots.items()}

    part = job.target.hda
    assert part is not None
    files = hda.hda_store.read(job, part)
    new = hda._changed(part, files, hda._meant(job, part))
    iam = iam_of(lake)
    target = job.target.model_copy(update={"iam": iam})

    with serving.serving(target, part, new, guarded=True) as tried:
        assert served(tried) == {"open": 200, "guarded": 401}


def _with_iam(lake: HdaLake, role: str) -> Job:
    """Return the job of a restricted dataset, on a target whose IAM service gives real tokens."""
    job = _stored(lake, an_item(0), an_item(1), roles=[role])
    return replace(job, target=job.target.model_copy(update={"iam": iam_of(lake)}))


def test_a_restricted_dataset_is_verified_with_real_tokens_before_it_goes_live(
    lake: HdaLake,
) -> None:
    oidc.grant(lake.sandbox.folder, oidc.USER, ROLE)
    job = _with_iam(lake, ROLE)
    plan = hda.plan(job)

    receipt = hda.apply(plan)

    trial = receipt.done["trial"]
    shown = {check["name"]: check["found"] for check in trial["checks"]}
    assert "2 items" in trial["summary"]
    closed = {shown[f"HDA, {case}"] for case in (verify_hda.ANONYMOUS, verify_hda.OUTSIDER)}
    assert closed == {"14 ways tried, all closed"}
    assert "HDA: download: whole item" in shown
    assert hda.check(plan).verdict is Verdict.PASSED


def test_a_role_that_its_user_does_not_hold_fails_the_trial(lake: HdaLake) -> None:
    """As one that vanished since it was granted."""
    job = _with_iam(lake, "DEDL_UGD_NOBODY")
    before = _files(lake)

    with pytest.raises(RefusedError, match="HDA would not serve"):
        hda.apply(hda.plan(job))

    assert _files(lake) == before
    assert lake.served(job.ticket.collection).status_code == 404


def test_without_the_guard_the_trial_of_a_restricted_dataset_fails(
    lake: HdaLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    oidc.grant(lake.sandbox.folder, oidc.USER, ROLE)
    whole = serving.serving

    def unguarded(*arguments: Any, guarded: bool) -> Any:
        assert guarded
        return whole(*arguments, guarded=False)

    monkeypatch.setattr(serving, "serving", unguarded)

    with pytest.raises(RefusedError, match="HDA, anonymous"):
        hda.apply(hda.plan(_with_iam(lake, ROLE)))


def test_an_interpreter_without_hda_is_said_and_nothing_goes_live(
    lake: HdaLake, tmp_path: Path
) -> None:
    job = _stored(lake, an_item(0))
    part = job.target.hda
    assert part is not None
    files = hda.hda_store.read(job, part)
    bare = part.model_copy(update={"python": Path(sys.executable)})

    with (
        pytest.raises(InputError, match="has no server of HDA's"),
        serving.serving(job.target, bare, files, guarded=False),
    ):
        pass


def test_an_address_that_was_put_into_the_catalogue_behind_us_fails_the_trial(
    lake: HdaLake,
) -> None:
    """HDA would serve it: another dataset's object, with its own key."""
    job, other = _stored(lake, an_item(0), an_item(1)), _stored(lake, an_item(2))
    client, bucket = s3.client(other.target.s3), other.target.s3.bucket
    [found] = client.list_objects_v2(Bucket=bucket, Prefix=other.prefix)["Contents"]
    with psycopg.connect(lake.sandbox.admin_dsn, autocommit=True) as connection:
        connection.execute("set search_path = pgstac, public")
        connection.execute(
            "update items set content = jsonb_set(content, '{assets,data,href}',"
            " to_jsonb(%s::text)) where collection = %s and id like '%%1'",
            [f"s3://{bucket}/{found['Key']}", job.ticket.collection],
        )
    before = _files(lake)

    with pytest.raises(RefusedError, match="did not publish") as refused:
        hda.apply(hda.plan(job))

    assert "1 addresses of 3 documents: LAKE_000001 /assets/data/href" in str(refused.value)
    assert _files(lake) == before
