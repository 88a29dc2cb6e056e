"""A bucket and a dataset of one test's own, for the tests of the upload on a real S3 server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedl_sandbox import Sandbox
from dedl_workbook.base.progress import Tell, silent
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Job, Outcome, Plan, Receipt
from dedl_workbook.services.pool import objects
from dedl_workbook.steps import upload

from tests import buckets
from tests.integration.lake import Lake

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ID = "EO.TEST.DAT.UPLOAD"
PREFIX = f"{ID}/DEDL-1/"
LARGE = objects.SINGLE * 2 + 12345
SMALL = {
    "data/2024/a/x.tif": b"x" * 1000,
    "data/2024/a.txt": b"sorts before a/ in S3, after it in SeaweedFS",
    "data/2024/b ü+%41.json": b"{}",
    "data/2024/empty": b"",
    "data/2024/item_config.json": b"{}",
}


class Shore(Lake):
    """A lake's bucket, and a dataset that is uploaded to it."""

    def settings(self, **changes: Any) -> dict[str, Any]:
        return self.s3(**changes)

    @property
    def dataset(self) -> Path:
        return self.folder / ID

    def deliver(self, files: dict[str, bytes], items: dict[str, Any] | None = None) -> None:
        names = {"metadata/collection.json": json.dumps({"type": "Collection", "id": ID}).encode()}
        for name, item in (items or {}).items():
            names[f"metadata/items/{name}.json"] = json.dumps(item).encode()
        for name, data in (names | files).items():
            path = self.dataset / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def job(  # type: ignore[override]
        self, *, dataset: str = "", tell: Tell = silent, work: str = "work", **changes: Any
    ) -> Job:
        proposals = changes.pop("proposals", None)
        # No catalogue is asked, so none is made.
        target = self.target(
            name="lake", s3=changes, proposals=proposals, api=False, database="none"
        )
        ticket = {
            "ticket": "DEDL-1",
            "dataset": dataset or str(self.dataset),
            "collection": ID,
            "target": "lake",
        }
        return Job(Ticket.of(ticket, "test"), target, self.folder / work, self.folder, tell=tell)


def a_shore(servers: Sandbox, folder: Path, scheme: str) -> Shore:
    shore = Shore(servers, folder, scheme=scheme)
    buckets.made(shore.client, shore.bucket)
    return shore


def published(files: dict[str, bytes]) -> dict[str, bytes]:
    return {PREFIX + path: data for path, data in files.items()}


@contextmanager
def listening(client: S3Client, handlers: dict[str, Callable[..., Any]]) -> Iterator[None]:
    """Have events of a client handled meanwhile; other tests share it."""
    for event, handler in handlers.items():
        client.meta.events.register(event, handler)
    try:
        yield
    finally:
        for event, handler in handlers.items():
            client.meta.events.unregister(event, handler)


def noise(size: int, seed: int = 0) -> bytes:
    return hashlib.shake_128(seed.to_bytes(4)).digest(size)


def run(job: Job) -> tuple[Plan, Receipt, Outcome]:
    plan = upload.plan(job)
    receipt = upload.apply(plan)
    return plan, receipt, upload.check(plan)


def failed(outcome: Outcome) -> dict[str, str]:
    return {check.name: check.found for check in outcome.checks if not check.passed}


def offer(shore: Shore, bucket: str, files: dict[str, bytes]) -> str:
    shore.deliver(files)
    for path in sorted(shore.dataset.rglob("*")):
        if path.is_file():
            key = f"{ID}/{path.relative_to(shore.dataset)}"
            shore.client.upload_file(str(path), bucket, key)
    return f"s3://{bucket}/{ID}"
