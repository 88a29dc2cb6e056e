"""The upload by the workers of a Dask cluster: the same objects, moved by other processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from dedl_sandbox import Sandbox
from dedl_workbook import __version__
from dedl_workbook.base.errors import ConflictError
from dedl_workbook.dataset.dataset import Folder
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.services.pool import dask, objects
from dedl_workbook.services.pool.manifest import Todo
from dedl_workbook.steps import upload

from tests.integration.shore import LARGE, PREFIX, SMALL, Shore, a_shore, noise, published, run

FILES = SMALL | {f"data/{n:03}": noise(2000, n) for n in range(60)} | {"data/large": noise(LARGE)}


@pytest.fixture
def shore(data_lake: Sandbox, tmp_path: Path) -> Shore:
    made = a_shore(data_lake, tmp_path, "http")
    made.deliver(FILES)
    return made


def clustered(shore: Shore, cluster: str) -> Job:
    job = shore.job()
    return replace(job, target=job.target.model_copy(update={"executor": cluster}))


def test_workers_move_every_file_and_nothing_passes_through_here(
    shore: Shore, cluster: str, monkeypatch: pytest.MonkeyPatch
):
    job = clustered(shore, cluster)
    for module, name in ((objects, "put"), (objects, "upload_part"), (dask, "put")):
        monkeypatch.setattr(module, name, None)
    _, receipt, outcome = run(job)
    assert outcome.verdict is Verdict.PASSED, outcome
    assert receipt.done["uploaded"] == len(FILES)
    assert shore.objects() == published(FILES)
    assert shore.open_uploads() == []
    (job.folder / "upload.sqlite").unlink()
    _, receipt, outcome = run(job)
    assert (receipt.done["uploaded"], receipt.done["compared"]) == (0, len(FILES))
    assert outcome.verdict is Verdict.PASSED, outcome


def test_what_a_worker_refuses_is_said_as_it_is_here(shore: Shore, cluster: str):
    shore.put(PREFIX + "data/2024/a.txt", b"?" * len(SMALL["data/2024/a.txt"]))
    plan = upload.plan(clustered(shore, cluster))
    with pytest.raises(ConflictError, match=r"data/2024/a\.txt(?s:.)*Withdraw"):
        upload.apply(plan)


def test_a_worker_that_is_not_fit_says_why(shore: Shore):
    job = shore.job()
    [listed] = list(job.dataset.files("data/000"))
    sample = Todo(listed.path, listed.size, listed.version, None, None)
    errand = dask.Errand(job.target.s3, PREFIX, job.dataset, False)
    assert dask.hindrance(errand, sample, __version__) == ""
    assert "has version" in dask.hindrance(errand, sample, "0")
    elsewhere = replace(errand, dataset=Folder(shore.folder))
    assert "doesn't see data/000" in dask.hindrance(elsewhere, sample, __version__)
