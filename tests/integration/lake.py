"""Builders for tests on the real servers: small datasets, and jobs that publish them."""

from __future__ import annotations

import copy
import datetime as dt
import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from dedl_sandbox import Sandbox
from dedl_workbook.dataset import s3
from dedl_workbook.parameters.target import Catalog, Pool, StacApi, Target
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Job, Plan
from psycopg.conninfo import make_conninfo

from tests import buckets, databases
from tests.databases import Database

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


@dataclass
class Lake:
    """A sandbox with a database of its own, the STAC API on it, and a folder to work in."""

    own: Database
    folder: Path
    bucket: str

    @property
    def sandbox(self) -> Sandbox:
        return self.own.servers

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
        return make_conninfo(self.sandbox.admin_dsn, dbname=self.database)

    def target(self, *, api: bool = True, **catalog: Any) -> Target:
        """Return the target; further arguments replace settings of its catalog."""
        told = self.sandbox.connections
        part = {
            kind: {
                name.removeprefix(prefix).lower(): value
                for name, value in told.items()
                if name.startswith(prefix)
            }
            for kind in ("s3", "catalog", "stac_api")
            if (prefix := f"DEDL_SANDBOX__{kind.upper()}__")
        }
        part["catalog"] |= {"database": self.database} | catalog
        part["s3"]["bucket"] = self.bucket
        return Target(
            name="sandbox",
            s3=Pool(**part["s3"]),
            catalog=Catalog(**part["catalog"]),
            stac_api=StacApi(url=self.api if api else "http://127.0.0.1:9/not-asked-for"),
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
        asked = Ticket.of(
            {
                "ticket": ticket,
                "dataset": str(dataset),
                "collection": COLLECTION,
                "target": "sandbox",
                "mode": mode,
            },
            "a test",
        )
        return Job(asked, self.target(api=api, **catalog), self.folder / ticket, self.folder)

    def execute(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser; return its rows."""
        with psycopg.connect(self.admin_dsn, autocommit=True) as connection:
            connection.execute("set search_path = pgstac, public")
            done = connection.execute(statement, arguments or None)  # type: ignore[arg-type]
            return done.fetchall() if done.description else []

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


@contextmanager
def own_lake(servers: Sandbox, folder: Path) -> Iterator[Lake]:
    """Lend a database and a bucket of its own to one test."""
    with databases.lent(servers) as own:
        # An upload uses what earlier ones of its collection stored in the bucket.
        made = Lake(own, folder, f"test-{uuid.uuid4().hex[:16]}")
        with buckets.own(s3.client(made.target(api=False).s3), made.bucket):
            yield made
