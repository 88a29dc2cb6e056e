"""Builders for tests on the sandbox's real HDA: jobs whose target has one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import yaml
from dedl_sandbox import Sandbox, databases, state
from dedl_sandbox import hda as sandbox_hda
from dedl_workbook.parameters.target import Hda
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Job

from tests.integration.lake import Lake, a_collection, settings, write_dataset

ROLE = "DEDL_UGD_LAKE"


def an_id() -> str:
    """Return a collection id that nobody has."""
    return f"EO.TEST.DAT.L{uuid.uuid4().hex[:10].upper()}"


@dataclass(frozen=True)
class HdaLake:
    """The sandbox's servers with its HDA, and a folder to work in."""

    sandbox: Sandbox
    folder: Path

    @property
    def config(self) -> Path:
        """The folder of HDA's configuration."""
        return sandbox_hda.folder_of(self.sandbox.folder)

    @property
    def collections(self) -> Path:
        return self.config / "collections.yml"

    @property
    def provider(self) -> Path:
        return self.config / "providers" / "dedl_usergenerated.yml"

    def document(self, id_: str) -> Path:
        """Return the full collection that the entry names."""
        return Path(yaml.safe_load(self.collections.read_bytes())[id_]["stacCollection"])

    def hda(self, **changes: Any) -> Hda:
        """Return the target's part; arguments replace its settings."""
        values = settings(self.sandbox, "hda")
        values["reload"] = json.loads(values["reload"])
        # The eodag client takes seconds: tests that want it say so.
        # So does a trial, which needs a catalogue and a pool besides.
        quiet = {"served_timeout": 60, "client": None, "no_trial": "not what is tested"}
        return Hda(**values | quiet | changes)

    def job(
        self,
        id_: str,
        *,
        ticket: str = "HDA-1",
        mode: str = "new",
        roles: list[str] | None = None,
        dataset: Path | None = None,
        hda: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Job:
        """Return the job of a ticket for a collection with these fields."""
        if dataset is None:
            dataset = write_dataset(self.folder / id_, [], a_collection(**{"id": id_} | fields))
        asked = {
            "ticket": ticket,
            "dataset": str(dataset),
            "collection": id_,
            "target": "sandbox",
            "mode": mode,
            "access": "restricted" if roles else "public",
            "roles": roles or [],
        }
        bucket = self.sandbox.connections["DEDL_SANDBOX__S3__BUCKET"]
        target = Lake(self.sandbox, self.folder, bucket).target(
            database=databases.DATABASE,
            api=self.sandbox.endpoints["stac_api"],
            hda=self.hda(**hda or {}),
        )
        return Job(Ticket.of(asked, "a test"), target, self.folder / ticket, self.folder)

    def served(self, id_: str, **headers: str) -> httpx.Response:
        """Ask HDA for a collection, as a user does."""
        return httpx.get(
            f"{self.sandbox.endpoints['guard']}/collections/{id_}", headers=headers, timeout=20
        )

    def reload(self) -> None:
        self.sandbox.restart("hda")


@contextmanager
def own_configuration(servers: Sandbox, folder: Path) -> Iterator[HdaLake]:
    """Lend the sandbox's HDA to one test; its files, and HDA itself, are as before afterwards."""
    lake = HdaLake(servers, folder)
    kept = {path: path.read_bytes() for path in lake.config.rglob("*.yml")}
    modes = {path: path.stat().st_mode for path in kept}
    known = state.read_lake(servers.folder)

    def starts() -> int:
        return known.log("hda").read_bytes().count(b"Started server process")

    begun = starts()
    try:
        yield lake
    finally:
        changed = any(path.read_bytes() != data for path, data in kept.items() if path.exists())
        for path, data in kept.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            path.chmod(modes[path])
        for path in (lake.config / "collections").glob("*.json"):
            path.unlink()
        # What HDA never read it need not forget.
        if sandbox_hda.probe(known.ports["hda"]) or (changed and starts() != begun):
            lake.reload()


def resumed(job: Job, before: Any) -> Job:
    """Return the job as a later run has it, with what the approved plan had found."""
    return replace(job, before={"hda": before})
