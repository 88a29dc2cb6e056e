"""Others at work in the catalogue while we load: a line that says who, and nothing half-done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.base.errors import ConflictError, ServiceError
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.services.catalog import loading, partitions
from dedl_workbook.steps import catalog

from tests.integration.lake import (
    COLLECTION,
    Lake,
    a_collection,
    an_item,
    own_lake,
    write_dataset,
)


@pytest.fixture
def lake(data_lake: Sandbox, tmp_path: Path) -> Iterator[Lake]:
    with own_lake(data_lake, tmp_path) as made:
        yield made


def a_job(lake: Lake, start: int = 0, **asked: Any) -> Job:
    items = [an_item(number) for number in range(start, start + 6)]
    return lake.job(write_dataset(lake.folder, items), **asked)


def before(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, happens: Callable[[], None]
) -> None:
    """Let something happen right before a function of the load."""
    whole = getattr(where, name)

    def wrapped(*given: Any, **how: Any) -> Any:
        happens()
        return whole(*given, **how)

    monkeypatch.setattr(where, name, wrapped)


def finished(lake: Lake, job: Job) -> None:
    plan = catalog.plan(job)
    catalog.apply(plan)
    assert lake.ids() == [f"LAKE_{number:06d}" for number in range(6)]
    assert len(lake.tables()) == 1


@pytest.mark.parametrize(
    ("where", "name"), [(partitions, "make"), (loading, "prepare_load")], ids=["early", "late"]
)
def test_a_collection_that_somebody_makes_meanwhile_is_told(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, where: Any, name: str
) -> None:
    job = a_job(lake)
    plan = catalog.plan(job)
    foreign = json.dumps(a_collection(title="Somebody else's"))

    def make() -> None:
        # Late it stands in our own transaction already: theirs waits for it, and fails.
        with psycopg.connect(lake.admin_dsn, autocommit=True) as other:
            other.execute("set search_path = pgstac, public")
            other.execute("set lock_timeout = '50ms'")
            other.execute("select create_collection(%s)", [foreign])

    with monkeypatch.context() as patch:
        before(patch, where, name, make)
        expected = ConflictError if name == "make" else psycopg.errors.LockNotAvailable
        with pytest.raises((expected, ServiceError)) as error:
            catalog.apply(plan)

    if name == "make":
        assert "was made in the catalogue by somebody else" in str(error.value)
        assert lake.execute("select content ->> 'title' from collections") == [("Somebody else's",)]
        lake.execute("select delete_collection(%s)", COLLECTION)
    assert lake.tables() == []
    finished(lake, job)


@pytest.mark.parametrize(
    ("where", "name"), [(partitions, "make"), (loading, "update")], ids=["early", "late"]
)
def test_a_collection_that_somebody_deletes_meanwhile_is_told(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, where: Any, name: str
) -> None:
    first = a_job(lake)
    finished(lake, first)
    later = a_job(lake, 3, ticket="LAKE-2", mode="replace")
    plan = catalog.plan(later)

    with monkeypatch.context() as patch:
        before(
            patch,
            where,
            name,
            lambda: lake.execute("select delete_collection(%s)", COLLECTION) and None,
        )
        with pytest.raises(
            ConflictError, match="was deleted in the catalogue by somebody"
        ) as error:
            catalog.apply(plan)

    assert "\n" not in error.value.what
    assert error.value.remedy
    assert lake.execute("select count(*) from collections") == [(0,)]
    assert lake.tables() == []


def test_a_collection_deleted_since_the_plan_is_not_made_again(lake: Lake) -> None:
    finished(lake, a_job(lake))
    plan = catalog.plan(a_job(lake, 3, ticket="LAKE-2", mode="replace"))
    lake.execute("select delete_collection(%s)", COLLECTION)

    with pytest.raises(ConflictError, match="changed in the catalogue since") as error:
        catalog.apply(plan)

    assert error.value.remedy

    assert lake.execute("select count(*) from collections") == [(0,)]


def test_who_keeps_the_catalogue_locked_is_named(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = a_job(lake)
    plan = catalog.plan(job)
    monkeypatch.setattr(partitions, "_PATIENCE", 0.2)

    dsn = psycopg.conninfo.make_conninfo(lake.admin_dsn, application_name="nightly dump")
    with psycopg.connect(dsn) as other:
        other.execute("lock table pgstac.items in access share mode")
        with pytest.raises(ServiceError, match=r"always locked, now by nightly dump \(") as error:
            catalog.apply(plan)

    assert "Run again" in error.value.remedy
    assert lake.execute("select count(*) from collections") == [(0,)]
    finished(lake, job)


def test_partitions_follow_the_size(lake: Lake) -> None:
    dates = {number: an_item(number) for number in (0, 1, 40, 400, 401, 800)}
    job = lake.job(write_dataset(lake.folder, dates.values()), partition_items=3, api=True)

    plan = catalog.plan(job)
    catalog.apply(plan)

    years = [name.rpartition("_")[2] for name in lake.tables()]
    assert years == ["2024", "2025", "2026"]
    assert catalog.check(plan).verdict is Verdict.PASSED


@pytest.mark.parametrize(("most", "length"), [(6, None), (3, "year"), (2, "month"), (1, "month")])
def test_the_coarsest_that_fits_is_taken(most: int, length: str | None) -> None:
    fullest = {0: 6, 4: 3, 7: 2}

    assert partitions.by_size(fullest.__getitem__, most) == length


def test_items_outside_of_the_declared_extent_fail_the_check(lake: Lake) -> None:
    narrow = {"spatial": {"bbox": [[2, 49, 3, 51]]}, "temporal": {"interval": [[None, None]]}}
    items = [an_item(number) for number in range(3)]
    job = lake.job(write_dataset(lake.folder, items, a_collection(extent=narrow)), api=True)
    plan = catalog.plan(job)
    catalog.apply(plan)

    outcome = catalog.check(plan)

    failed = {check.name: check.found for check in outcome.checks if not check.passed}
    assert list(failed) == ["database: the declared extent holds the items"]
    assert "2, 49, 5, 50.25" in failed["database: the declared extent holds the items"]


def test_pgstacs_own_extent_is_that_of_the_items(lake: Lake) -> None:
    finished(lake, a_job(lake))

    [(own,)] = lake.execute("select collection_extent(%s)", COLLECTION)

    assert own["spatial"]["bbox"] == [[2, 49, 7, 50.25]]
    assert [end[:10] for end in own["temporal"]["interval"][0]] == ["2024-01-01", "2024-01-06"]
