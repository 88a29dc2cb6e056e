"""The verification through HDA, on the sandbox's real HDA with its guard, catalogue and store."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dedl_sandbox import Sandbox, oidc
from dedl_sandbox import hda as sandbox_hda
from dedl_workbook.base.errors import InputError
from dedl_workbook.base.json import pretty
from dedl_workbook.dataset import s3
from dedl_workbook.parameters.target import Iam
from dedl_workbook.publication.job import Job, Outcome, Verdict
from dedl_workbook.services.iam import fresh_token
from dedl_workbook.steps import catalog, hda, upload, verify
from dedl_workbook.steps.verify import eodag
from dedl_workbook.steps.verify import hda as verify_hda
from dedl_workbook.steps.verify.addresses import few, shown_check
from dedl_workbook.steps.verify.user import asking

from tests.integration.hda_lake import ROLE, HdaLake, an_id, own_configuration
from tests.integration.lake import a_collection, an_item, write_dataset


@dataclass(frozen=True)
class Site:
    """A published collection, and who asks for it."""

    lake: HdaLake
    job: Job

    @property
    def id(self) -> str:
        return self.job.ticket.collection

    def execute(self, statement: str, *arguments: Any) -> None:
        with psycopg.connect(self.lake.sandbox.admin_dsn, autocommit=True) as connection:
            connection.execute("set search_path = pgstac, public")
            connection.execute(statement, arguments)  # type: ignore[arg-type]

    def edit_item(self, change: str) -> None:
        self.execute(f"update items set {change} where collection = %s and id like '%%1'", self.id)


def _published(lake: HdaLake, count: int = 3, **settings: Any) -> Site:
    id_ = an_id()
    items = [an_item(number, collection=id_) for number in range(count)]
    items[0]["assets"]["more"] = {
        "href": items[0]["assets"]["data"]["href"].replace(".txt", ".json"),
        "type": "application/json",
    }
    dataset = write_dataset(lake.folder / id_, items, a_collection(id=id_))
    job = lake.job(id_, ticket=f"T-{uuid.uuid4().hex[:8]}", dataset=dataset, **settings)
    job.folder.mkdir()
    upload.apply(upload.plan(job))
    catalog.apply(catalog.plan(job))
    hda.apply(hda.plan(job))
    return Site(lake, job)


@pytest.fixture(scope="module")
def lake(data_lake: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HdaLake]:
    with own_configuration(data_lake, tmp_path_factory.mktemp("verify")) as lent:
        yield lent


@pytest.fixture(scope="module")
def public(lake: HdaLake) -> Site:
    return _published(lake, 12)


def _with_client(job: Job, client: Path | None = None) -> Job:
    """Return the job on a target that names an eodag client."""
    assert job.target.hda is not None
    part = job.target.hda.model_copy(update={"client": client or sandbox_hda.python()})
    return replace(job, target=job.target.model_copy(update={"hda": part}))


@pytest.fixture(scope="module")
def restricted(lake: HdaLake) -> Site:
    return _published(lake, roles=[ROLE])


def iam_of(lake: HdaLake) -> Iam:
    """Return the IAM service that the sandbox tells its users of."""
    told: dict[str, Any] = {}
    for name, value in lake.sandbox.connections.items():
        if name.startswith("DEDL_SANDBOX__IAM__"):
            *parts, last = name.removeprefix("DEDL_SANDBOX__IAM__").lower().split("__")
            inner = told
            for part in parts:
                inner = inner.setdefault(part, {})
            inner[last] = value
    return Iam(**told)


@pytest.fixture(scope="module")
def tokens(lake: HdaLake) -> verify_hda.Tokens:
    """Return what gives the tokens of each case, from the sandbox's own issuer."""
    iam = iam_of(lake)
    before = fresh_token(iam)
    oidc.grant(lake.sandbox.folder, oidc.USER, ROLE)
    assert iam.outsider is not None
    cases = {
        verify_hda.OUTSIDER: fresh_token(iam, iam.outsider).get_secret_value(),
        verify_hda.BEFORE: before.get_secret_value(),
        verify_hda.MEMBER: fresh_token(iam).get_secret_value(),
    }
    return lambda _, case: cases.get(case)


def _nobody(job: Job, case: str) -> str | None:
    return None


def _failed(outcome: Outcome) -> dict[str, str]:
    assert outcome.verdict is Verdict.FAILED, outcome.summary
    return {check.name: check.found for check in outcome.checks if not check.passed}


def test_a_public_dataset_is_found_and_downloaded_without_a_token(
    public: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_hda, "PAGE", 5)

    outcome = verify_hda.check(_with_client(public.job), _nobody)

    assert outcome.verdict is Verdict.PASSED, outcome.summary
    found = {check.name: check.found for check in outcome.checks}
    assert found["eodag: search"].endswith("finds 12 on its first page, 12 in all")
    assert found["eodag: search by id"] == "3 tried"
    assert {"eodag: download"} < found.keys()
    assert found["HDA: paging: every item"].startswith("12 found, 12 in the dataset")
    assert found["HDA: numberMatched"] == "12"
    assert {"HDA: download: text/plain", "HDA: download: whole item"} < found.keys()
    assert "X-Amz" not in json.dumps(outcome.as_json())


def test_an_item_that_is_gone_is_missed(lake: HdaLake) -> None:
    site = _published(lake)
    site.execute("delete from items where collection = %s and id like '%%1'", site.id)

    failed = _failed(verify_hda.check(site.job, _nobody))

    assert "1 are missing: LAKE_000001" in failed["HDA: paging: every item"]


def test_bytes_that_differ_are_noticed(lake: HdaLake) -> None:
    site = _published(lake)
    pool = site.job.target.s3
    client = s3.client(pool)
    listed = client.list_objects_v2(Bucket=pool.bucket, Prefix=site.job.prefix)["Contents"]
    key = next(one["Key"] for one in listed if "LAKE_000001" in one["Key"])
    client.put_object(Bucket=pool.bucket, Key=key, Body=b"other")

    failed = _failed(verify_hda.check(site.job, _nobody))

    assert any("LAKE_000001" in found and "none of the files" in found for found in failed.values())


def test_an_alternate_that_leads_elsewhere_is_noticed_in_what_is_shown(lake: HdaLake) -> None:
    site = _published(lake, 1)
    alternate = json.dumps({"other": {"href": "s3://others/restricted.nc"}})
    site.execute(
        "update items set content = jsonb_set(content, '{assets,data,alternate}', %s::jsonb)"
        " where collection = %s",
        alternate,
        site.id,
    )

    failed = _failed(verify_hda.check(site.job, _nobody))

    assert "s3://others/restricted.nc" in failed["database: every address"]
    assert "did not publish, as the STAC API shows it" in failed["HDA: addresses shown"]


def test_an_address_that_hda_alone_shows_is_noticed(public: Site) -> None:
    part = public.job.target.hda
    assert part is not None
    item: dict[str, Any] = {
        "type": "Feature",
        "id": "LAKE_000001",
        "assets": {
            "data": {"href": f"{part.url}/data/backend/a/b/c"},
            "far": {"href": "https://example.org/far.nc"},
        },
        "links": [{"rel": "self", "href": "http://10.0.0.1/internal"}],
    }

    with asking(part, None) as user:
        check = shown_check(public.job, user, [item])

    assert not check.passed
    assert check.found == (
        "LAKE_000001 /assets/far/href: 'https://example.org/far.nc' is none of its addresses"
    )


def test_one_failure_does_not_hide_how_many_others_there_are() -> None:
    assert few(["a", "b"]) == "a; b"
    assert few(["a", "b", "c", "d", "e"]) == "a; b; c; and 2 more"


def test_what_the_eodag_client_finds_wrong_fails(public: Site) -> None:
    part = _with_client(public.job).target.hda
    assert part is not None
    delivered = {"LAKE_000001": {(7, "0" * 64): "data/other"}, "LAKE_999999": {}}

    with eodag.client(part) as tried:
        checks, told = tried(public.id, None, delivered, 13)

    found = {check.name: check.found for check in checks if not check.passed}
    assert told["version"] in found["eodag: search"]
    assert found["eodag: search by id"] == "LAKE_999999"
    assert found["eodag: download"] == "LAKE_000001: 1 files are missing, 1 other"


def test_paging_that_ends_early_is_the_clients_known_fault_and_does_not_count() -> None:
    told = {"version": "4", "page": 20, "first": 20, "matched": 50, "paged": 20, "items": []}

    checks = {check.name: check for check in eodag._judged(told, {}, 50)}

    assert checks["eodag: search"].passed
    assert "known fault, not counted: its paging ends after 20" in checks["eodag: search"].found


def test_an_interpreter_without_eodag_is_named(public: Site) -> None:
    part = _with_client(public.job, Path(sys.executable)).target.hda
    assert part is not None

    with eodag.client(part) as tried, pytest.raises(InputError, match="has no eodag"):
        tried(public.id, None, {"LAKE_000001": {}}, 12)


def test_a_field_that_hda_serves_otherwise_is_noticed(lake: HdaLake) -> None:
    site = _published(lake)
    file = lake.document(site.id)
    file.write_text(pretty(json.loads(file.read_bytes()) | {"license": "other"}))
    lake.reload()

    assert _failed(verify_hda.check(site.job, _nobody))["HDA: license"].startswith("other")


@pytest.mark.parametrize(("failing", "spare"), [(3, 10), (3, 2), (99, 10)])
def test_a_download_that_fails_once_is_tried_again(
    public: Site, monkeypatch: pytest.MonkeyPatch, failing: int, spare: int
) -> None:
    """As when the catalogue doesn't answer HDA in time, which then answers 404."""
    fetched, asked, turn = verify.fetched, set[str](), threading.Lock()

    def once(client: Any, url: str, *file: Any) -> tuple[int, str, str, str]:
        with turn:
            fails = failing == 99 or (len(asked) < failing and url not in asked)
            asked.update([url] if fails else [])
        if fails:
            return 0, "", "the download answered 404", ""
        # HDA itself answers 404 on a machine at its limit: that isn't counted here.
        answers = (fetched(client, url, *file) for _ in range(20))
        return next(answer for answer in answers if "404" not in answer[2])

    monkeypatch.setattr(verify, "fetched", once)
    monkeypatch.setattr(verify_hda, "AGAIN", spare)
    monkeypatch.setattr(verify_hda, "PAUSE", 0.5)

    outcome = verify_hda.check(public.job, _nobody)

    passes = failing <= spare
    assert outcome.verdict is (Verdict.PASSED if passes else Verdict.FAILED), outcome.summary
    assert passes or "answered 404" in outcome.summary


def test_a_collection_that_hda_does_not_have_fails(lake: HdaLake, public: Site) -> None:
    id_ = an_id()
    dataset = lake.folder / id_ / id_
    shutil.copytree(public.job.dataset.location.removeprefix("file://"), dataset)
    job = lake.job(id_, dataset=dataset)
    job.folder.mkdir()
    upload.apply(upload.plan(job))

    failed = _failed(verify_hda.check(job, _nobody))

    assert {"HDA: collection in the list", "HDA: collection by its id"} < failed.keys()


def test_a_restricted_dataset_is_for_those_with_the_role_alone(
    restricted: Site, tokens: verify_hda.Tokens
) -> None:
    outcome = verify_hda.check(_with_client(restricted.job), tokens)

    assert outcome.detail["eodag"].get("matched") == 3, outcome.detail["eodag"]
    assert outcome.verdict is Verdict.PASSED, outcome.summary
    found = {check.name: check.found for check in outcome.checks}
    cases = (verify_hda.ANONYMOUS, verify_hda.OUTSIDER, verify_hda.BEFORE)
    assert {found[f"HDA, {case}"] for case in cases} == {"14 ways tried, all closed"}
    told = json.dumps(outcome.as_json())
    known = [tokens(restricted.job, case) for case in (*cases, verify_hda.MEMBER)]
    assert [token for token in known if token and token in told] == []


def test_a_restricted_dataset_fails_when_the_guard_is_off(
    restricted: Site, tokens: verify_hda.Tokens
) -> None:
    open_ = {"url": restricted.lake.sandbox.endpoints["hda"]}
    target = restricted.job.target
    part = target.hda.model_copy(update=open_) if target.hda else None
    job = Job(
        restricted.job.ticket,
        target.model_copy(update={"hda": part}),
        restricted.job.folder,
        restricted.job.root,
    )

    failed = _failed(verify_hda.check(job, tokens))

    assert set(failed) == {
        f"HDA, {case}" for case in (verify_hda.ANONYMOUS, verify_hda.OUTSIDER, verify_hda.BEFORE)
    }
    assert "search shows 3 items" in failed["HDA, anonymous"]


def test_without_a_token_with_the_role_a_restricted_dataset_is_not_verified(
    restricted: Site,
) -> None:
    assert _failed(verify_hda.check(restricted.job, _nobody)) == {
        "HDA, with the role": "no token is to be had"
    }
