"""Collection and items are published as validation read them, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.base.errors import ChangedError
from dedl_workbook.base.json import parse
from dedl_workbook.publication import metadata
from dedl_workbook.publication.job import Job
from dedl_workbook.steps import validate

from tests.unit.builders import any_asset, any_dataset, any_item
from tests.unit.rules.examples import any_ticket
from tests.unit.rules.test_validation import any_target

COUNT = 130
"""Items enough for shards of more than one, and one that isn't full."""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Return the job of a dataset that was validated."""
    items = [
        any_item(f"heat_{n:03}", assets={"map": any_asset(f"heat_{n:03}")}) for n in range(COUNT)
    ]
    root = any_dataset(tmp_path, *items)
    job = Job(any_ticket(dataset=str(root)), any_target(), tmp_path / "work", tmp_path)
    validate.check(job)
    return job


def root(job: Job) -> Path:
    return Path(job.dataset.location)


def swap(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_what_was_validated_is_taken(job: Job) -> None:
    assert len(list(metadata.items(job))) == COUNT


@pytest.mark.parametrize("n", [0, 57, COUNT - 1])
def test_an_item_that_was_swapped_since_is_refused(job: Job, n: int) -> None:
    swap(root(job) / f"metadata/items/heat_{n:03}.json", bbox=[0, 0, 1, 1])

    with pytest.raises(ChangedError, match="not what was validated"):
        list(metadata.items(job))
    # Without what binds them they are taken.
    (job.folder / metadata.VALIDATION).unlink()
    assert len(list(metadata.items(job))) == COUNT


def test_an_item_that_is_gone_or_new_is_refused(job: Job) -> None:
    file = root(job) / "metadata/items/heat_057.json"
    data = file.read_bytes()
    file.unlink()
    with pytest.raises(ChangedError):
        list(metadata.items(job))

    file.write_bytes(data)
    assert len(list(metadata.items(job))) == COUNT

    file.with_name("heat_999.json").write_bytes(data)
    with pytest.raises(ChangedError):
        list(metadata.items(job))


def test_items_that_changed_their_places_are_refused(job: Job) -> None:
    one, other = (root(job) / f"metadata/items/heat_{n:03}.json" for n in (3, 4))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)

    with pytest.raises(ChangedError):
        list(metadata.items(job))


def test_a_collection_that_was_swapped_since_is_refused(job: Job) -> None:
    swap(root(job) / "metadata/collection.json", title="Another")

    with pytest.raises(ChangedError, match=r"collection\.json.*not what was validated"):
        metadata.collection(job)
    (job.folder / metadata.VALIDATION).unlink()
    assert metadata.collection(job)["title"] == "Another"


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_the_digests_are_the_same_however_the_items_are_read(job: Job, executor: str) -> None:
    record = job.folder / metadata.VALIDATION
    before = parse(record.read_bytes())["content"]
    assert len(before["collection"]) == len(before["items"]) == 64

    validate.check(
        Job(job.ticket, any_target(executor=executor), job.folder, Path(job.folder.parent))
    )

    assert parse(record.read_bytes())["content"] == before
