"""The verification from outside, on a real STAC API and a real S3 server."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.dataset import s3
from dedl_workbook.parameters.target import StacApi
from dedl_workbook.publication.job import Job, Outcome, Verdict
from dedl_workbook.steps import catalog, upload, verify

from tests.integration.lake import Lake, a_collection, an_item, own_lake, write_dataset


@pytest.fixture
def lake(data_lake: Sandbox, tmp_path: Path) -> Iterator[Lake]:
    """A database of its own, on the servers of all tests."""
    with own_lake(data_lake, tmp_path) as made:
        yield made


def _published(
    lake: Lake,
    count: int = 12,
    *,
    items: list[dict[str, Any]] | None = None,
    collection: dict[str, Any] | None = None,
) -> Job:
    """Upload and load a dataset; return its job."""
    items = items or [an_item(number) for number in range(count)]
    dataset = write_dataset(lake.folder, items, collection)
    job = lake.job(dataset, ticket=lake.database, api=True)
    upload.apply(upload.plan(job))
    catalog.apply(catalog.plan(job))
    return job


def _failed(outcome: Outcome) -> dict[str, str]:
    assert outcome.verdict is Verdict.FAILED
    return {check.name: check.found for check in outcome.checks if not check.passed}


def _key(job: Job, number: int) -> str:
    return job.prefix + str(an_item(number)["assets"]["data"]["href"])


def _several_types(number: int) -> dict[str, Any]:
    """Return an item with a picture besides its data, and an asset elsewhere."""
    item = an_item(number)
    href = str(item["assets"]["data"]["href"])
    item["assets"]["thumbnail"] = {"href": f"{href}.png", "type": "image/png"}
    item["assets"]["untyped"] = {"href": f"{href}.bin"}
    return item


def test_a_whole_publication_passes_with_every_file_compared(lake: Lake) -> None:
    job = _published(lake, items=[_several_types(number) for number in range(4)])

    outcome = verify.check(job)

    assert outcome.verdict is Verdict.PASSED, outcome.summary
    found = {check.name: check.found for check in outcome.checks}
    assert found["paging: every item"] == "4 found, 4 in the dataset"
    assert found["downloads"] == "12 of 12 files"
    assert found["download: thumbnail, image/png"].startswith("4 of 4 assets")
    assert found["download: no media type"].startswith("4 of 4 assets")
    assert len(outcome.detail["downloads"]) == 12
    assert {(row["by"], row["wanted"] is None) for row in outcome.detail["searches"]} == {
        (by, miss) for by in ("id", "bbox", "time") for miss in (False, True)
    }


def test_of_many_files_a_sample_of_each_media_type_is_downloaded(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "PAGE", 7)
    items = [an_item(number) for number in range(30)]
    items[29] = _several_types(29)

    job = _published(lake, items=items)
    job = replace(job, ticket=job.ticket.model_copy(update={"downloads": 20}))
    outcome = verify.check(job)

    assert outcome.verdict is Verdict.PASSED, outcome.summary
    types = [row["type"] for row in outcome.detail["downloads"]]
    assert set(types) == {"text/plain", "thumbnail, image/png", "no media type"}
    assert len(types) < 30
    assert {c.name: c.found for c in outcome.checks}["paging: every item"].startswith("30 found")


def test_a_missing_item_fails_by_its_name(lake: Lake) -> None:
    job = _published(lake)
    lake.execute("delete from items where id = 'LAKE_000007'")

    failed = _failed(verify.check(job))

    assert "11 found, 12 in the dataset; 1 are missing: LAKE_000007" in failed["paging: every item"]
    assert "paging: numberMatched" in failed


def test_an_item_too_many_fails_by_its_name(lake: Lake) -> None:
    job = _published(lake)
    (job.root / job.ticket.dataset / "metadata" / "items" / "LAKE_000007.json").unlink()

    failed = _failed(verify.check(job))

    assert "1 don't belong: LAKE_000007" in failed["paging: none besides"]


def test_a_missing_collection_fails(lake: Lake) -> None:
    job = _published(lake, 2)
    lake.execute("select delete_collection(id) from collections")

    failed = _failed(verify.check(job))

    assert {"collection in the list", "collection by its id"} <= set(failed)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("jsonb_set(content, '{license}', '\"proprietary\"')", "license"),
        ("jsonb_set(content, '{links,0,href}', '\"https://example.org/other\"')", "links"),
        ("content - 'keywords'", "keywords"),
        ("""content || '{"more": 1}'""", "more"),
    ],
)
def test_a_collection_that_was_changed_fails_by_its_field(
    lake: Lake, change: str, field: str
) -> None:
    links = [
        {"rel": "license", "href": "https://example.org/license"},
        {"rel": "about", "href": "../readme.html"},
        {"rel": "items", "href": "https://example.org/items"},
    ]
    job = _published(lake, 2, collection=a_collection(links=links))
    assert verify.check(job).verdict is Verdict.PASSED
    lake.execute(f"update collections set content = {change}")

    failed = _failed(verify.check(job))

    assert failed == {"collection as published": f"differs in {field}"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda body: body[:-1] + b"!", "another SHA-256"),
        (lambda body: body[:-1], "bytes, delivered"),
        (lambda _: b"", "0 bytes, delivered"),
        (lambda _: None, "answered 404"),
    ],
)
def test_a_damaged_object_fails_by_its_item(
    lake: Lake, change: Callable[[bytes], bytes | None], said: str
) -> None:
    job = _published(lake, 3)
    client, place = s3.client(job.target.s3), {"Bucket": job.target.s3.bucket, "Key": _key(job, 1)}
    body = change(client.get_object(**place)["Body"].read())
    client.delete_object(**place) if body is None else client.put_object(**place, Body=body)

    failed = _failed(verify.check(job))

    assert "LAKE_000001 data" in failed["download: text/plain"]
    assert said in failed["download: text/plain"]


def test_an_asset_that_points_to_another_file_fails(lake: Lake) -> None:
    job = _published(lake, 3)
    lake.execute(
        "update items set content = jsonb_set(content, '{assets,data,href}', (select"
        " content #> '{assets,data,href}' from items where id = 'LAKE_000002'))"
        " where id = 'LAKE_000001'"
    )

    failed = _failed(verify.check(job))

    assert "1 differ: LAKE_000001" in failed["paging: as published"]


def test_an_item_that_is_not_found_where_it_lies_fails(lake: Lake) -> None:
    job = _published(lake, 1)
    lake.execute("update items set geometry = ST_SetSRID(ST_MakePoint(-60, -60), 4326)")

    failed = _failed(verify.check(job))

    assert "wanted LAKE_000000" in failed["search by bbox that must hit"]


def test_an_item_that_is_not_found_when_it_was_fails(lake: Lake) -> None:
    job = _published(lake, 1)
    lake.execute(
        "update items set content = jsonb_set(content, '{properties,datetime}',"
        " '\"2024-07-01T00:00:00Z\"')"
    )

    failed = _failed(verify.check(job))

    assert "wanted LAKE_000000" in failed["search by time that must hit"]


def test_presigned_urls_stay_out_of_outcome_and_log(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    job = _published(lake, 2)
    s3.client(job.target.s3).delete_object(Bucket=job.target.s3.bucket, Key=_key(job, 1))

    with caplog.at_level(logging.DEBUG, "httpx"), caplog.at_level(logging.DEBUG, "httpcore"):
        outcome = verify.check(job)

    assert "X-Amz" not in json.dumps(outcome.as_json())
    assert "X-Amz" not in caplog.text
    assert logging.getLogger("httpx").level != logging.WARNING


def test_an_api_that_does_not_answer_is_one_line(lake: Lake) -> None:
    job = _published(lake, 1)
    gone = job.target.model_copy(update={"stac_api": StacApi(url="http://127.0.0.1:9")})

    with pytest.raises(ServiceError, match="STAC API") as error:
        verify.check(replace(job, target=gone))

    assert "\n" not in error.value.what


def test_without_an_upload_there_is_nothing_to_verify(lake: Lake) -> None:
    with pytest.raises(InputError, match="nothing was uploaded"):
        verify.check(lake.job(write_dataset(lake.folder, [an_item(1)])))
