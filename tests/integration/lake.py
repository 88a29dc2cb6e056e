"""Builders for tests on the real servers: small datasets, and jobs that publish them."""

from __future__ import annotations

import copy
import datetime as dt
import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dedl_sandbox import Sandbox
from dedl_workbook.case.case import Case
from dedl_workbook.dataset import s3
from dedl_workbook.parameters.target import S3, Hda, StacApi, Target
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Job, Plan, Verdict
from dedl_workbook.services.pool import anchors
from dedl_workbook.steps.order import STEPS

from tests import buckets, databases
from tests.databases import Database

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

COLLECTION = "EO.TEST.DAT.LAKE"
SPAN = [["2024-01-01T00:00:00Z", None]]


def a_collection(**fields: Any) -> dict[str, Any]:
    """Return a valid collection; a field given as None is left out."""
    made = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": COLLECTION,
        "title": "Levels of a lake",
        "description": "Made for a test",
        "dedl:short_description": "Levels",
        "license": "CC-BY-4.0",
        "keywords": ["Land"],
        "providers": [{"name": "A lake", "roles": ["producer", "processor", "licensor"]}],
        "links": [],
        "extent": {"spatial": {"bbox": [[2.0, 49, 7, 52.5]]}, "temporal": {"interval": SPAN}},
    } | fields
    return {key: value for key, value in made.items() if value is not None}


def an_item(number: int, **fields: Any) -> dict[str, Any]:
    """Return a valid item of the day 1 January 2024 plus `number`; fields replace its own."""
    day = dt.date(2024, 1, 1) + dt.timedelta(days=number)
    west, south = 2.0 + number % 5, 49.0 + (number % 3) / 8
    east, north = west + 1, south + 1
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    name = f"LAKE_{number:06d}"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": COLLECTION,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {"datetime": f"{day}T12:00:00Z", "gsd": 10.0, "note": r"back\slash \\ é"},
        "links": [],
        "assets": {
            "data": {
                "href": f"data/{day:%Y/%m/%d}/{name}/{name}.txt",
                "type": "text/plain",
                "roles": ["data"],
            }
        },
    } | fields


def moved(item: dict[str, Any], instant: str) -> dict[str, Any]:
    """Return an item at another time."""
    made = copy.deepcopy(item)
    made["properties"]["datetime"] = instant
    return made


def write_dataset(
    root: Path, items: Iterable[dict[str, Any]], collection: dict[str, Any] | None = None
) -> Path:
    """Write a dataset with its data files; what is there of another one goes."""
    folder = root / COLLECTION
    (folder / "metadata" / "items").mkdir(parents=True, exist_ok=True)
    for old in (folder / "metadata" / "items").iterdir():
        old.unlink()
    (folder / "metadata" / "collection.json").write_text(json.dumps(collection or a_collection()))
    for item in items:
        (folder / "metadata" / "items" / f"{item['id']}.json").write_text(json.dumps(item))
        for asset in item.get("assets", {}).values():
            file = folder / asset["href"]
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                file.write_bytes(f"bytes of {asset['href']}".encode())
    return folder


def settings(servers: Sandbox, section: str, **changes: Any) -> dict[str, Any]:
    """Return a section of the sandbox's target, as the sandbox's connections have it."""
    start = f"DEDL_SANDBOX__{section.upper()}__"
    connections = servers.connections.items()
    return {
        k.removeprefix(start).lower(): v for k, v in connections if k.startswith(start)
    } | changes


def publish(what: Job | Case, *names: str) -> None:
    """Run steps without their notebooks, but faster: of a case as a run does, checked and recorded.

    Of a job, what changes something is applied, and that is all. Not for notify: it sends
    notebooks, and there are none.
    """
    for step in (STEPS[name] for name in names):
        job = what if isinstance(what, Job) else what.job
        folder = None if isinstance(what, Job) else what.new_attempt(step.name)
        outcome = None
        if step.change is not None:
            change = step.change()
            plan = change.plan(job)
            if folder:
                what.write(folder / "plan.json", plan.as_json())
            if plan.actions:
                change.apply(plan)
            outcome = change.check(plan) if folder else None
        elif folder:
            assert step.look is not None
            outcome = step.look().check(job)
        if folder and outcome:
            what.record_outcome(folder, outcome, job.fingerprint)
            assert outcome.verdict is Verdict.PASSED, outcome.summary


@dataclass
class Lake:
    """The sandbox's servers with a bucket and a database of one's own, and a folder to work in."""

    sandbox: Sandbox
    folder: Path
    # An upload uses what earlier ones of its collection stored in the bucket.
    bucket: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex[:16]}")
    scheme: str = "http"
    """How the S3 server is asked."""
    running: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def own(self) -> Database:
        """The database, which is made when it is first asked for."""
        return self.running.enter_context(databases.lent(self.sandbox))

    @property
    def database(self) -> str:
        return self.own.name

    @property
    def api(self) -> str:
        """The URL of the STAC API on this database."""
        return self.own.api

    @property
    def admin_dsn(self) -> str:
        """How the superuser connects to this database."""
        from psycopg.conninfo import make_conninfo

        return make_conninfo(self.sandbox.admin_dsn, dbname=self.database)

    def s3(self, **changes: Any) -> dict[str, Any]:
        """Return the target's section of the pool."""
        values = settings(self.sandbox, "s3", bucket=self.bucket)
        if self.scheme == "https":
            ends = self.sandbox.endpoints
            values |= {"endpoint": ends["s3_https"], "ca_bundle": ends["ca"]}
        return values | changes

    def target(
        self,
        *,
        name: str = "sandbox",
        api: bool | str = True,
        s3: dict[str, Any] | None = None,
        hda: Hda | None = None,
        proposals: Any = None,
        **catalog: Any,
    ) -> Target:
        """Return the target; further arguments replace settings of its catalogue."""
        if "database" not in catalog:
            catalog["database"] = self.database
        url = self.api if api is True else api or "http://127.0.0.1:9/not-asked-for"
        return Target(
            name=name,
            s3=self.s3(**s3 or {}),
            proposals=proposals,
            catalog=settings(self.sandbox, "catalog", **catalog),
            stac_api=StacApi(url=url, patience=0),
            hda=hda,
            archive=self.folder / "archive",
            allow_any_approval=True,
        )

    def job(
        self,
        dataset: Path,
        *,
        ticket: str = "LAKE-1",
        mode: str = "new",
        api: bool = False,
        **catalog: Any,
    ) -> Job:
        """Return the job of a ticket for this dataset."""
        values = {
            "ticket": ticket,
            "dataset": str(dataset),
            "collection": COLLECTION,
            "target": "sandbox",
            "mode": mode,
        }
        target = self.target(api=api, **catalog)
        return Job(Ticket.of(values, "a test"), target, self.folder / ticket, self.folder)

    @property
    def client(self) -> S3Client:
        return s3.client(S3(**{k: v for k, v in self.s3().items() if k != "bucket"}))

    def objects(self) -> dict[str, bytes]:
        """Return the bytes of each object in the bucket, by key; ledgers' anchors are left out."""
        client = self.client
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        keys = [key for key in keys if f"/{anchors.FOLDER}" not in key]
        return {key: client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    def put(self, key: str, data: bytes = b"foreign", **how: Any) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data, **how)

    def open_uploads(self) -> list[Any]:
        return list(self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []))

    def execute(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser; return its rows."""
        import psycopg

        with psycopg.connect(self.admin_dsn, autocommit=True) as connection:
            connection.execute("set search_path = pgstac, public")
            cursor = connection.execute(statement, arguments or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def ids(self) -> list[str]:
        """Return the ids of all items that the database holds, in order."""
        rows = self.execute("select id from items where collection = %s order by id", COLLECTION)
        return [row[0] for row in rows]

    def tables(self) -> list[str]:
        """Return the names of all tables of items, in order."""
        rows = self.execute("select relid::text from pg_partition_tree('items') where isleaf")
        return sorted(row[0] for row in rows if row[0] != "items")

    @staticmethod
    def resumed(job: Job, plan: Plan) -> Job:
        """Return the job as a later run has it: knowing what the approved plan had found."""
        return replace(job, before={**job.before, plan.step: plan.before})


L = TypeVar("L", bound=Lake)


@contextmanager
def lent(lake: L) -> Iterator[L]:
    """Make a lake's bucket, and remove that and its database after the block."""
    with lake.running, buckets.own(lake.client, lake.bucket):
        yield lake


def own_lake(servers: Sandbox, folder: Path) -> AbstractContextManager[Lake]:
    """Lend a bucket, and a database where it is asked for, to one test."""
    return lent(Lake(servers, folder))
