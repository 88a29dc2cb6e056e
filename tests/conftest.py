"""Fixtures on real servers: one sandbox a test process, one data lake of its own a test."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dedl_sandbox as sandbox
import pytest
import yaml
from dedl_sandbox.client import TIED_TO
from dedl_sandbox.sample.dataset import make_sample
from dedl_workbook.case.case import Case
from dedl_workbook.notebooks import handover
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.steps.order import STEPS

from tests import buckets, databases
from tests.integration.lake import Lake, own_lake, publish

PROJECT = Path(__file__).parents[1]
COLLECTION = "EO.DEDL.DAT.DEMO_HEAT"


def pytest_addoption(parser: pytest.Parser) -> None:
    help_ = "write the browser tests' screenshots into docs/images"
    parser.addoption("--screenshots", action="store_true", help=help_)


def pytest_configure() -> None:
    # A shell's background jobs ignore Ctrl-C, and so would what the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # However the tests end, also what their own children started ends with them.
    os.environ[TIED_TO] = str(os.getpid())


@pytest.fixture(autouse=True)
def no_settings_of_the_person_who_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEDL_OPERATOR", "JUPYTERHUB_USER", *handover.VARIABLES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def small_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes; never written to: `Workbook.dataset` is a copy of it."""
    return make_sample(tmp_path_factory.mktemp("sample") / COLLECTION, scenes=3)


@pytest.fixture(autouse=True)
def _buckets() -> Iterator[None]:
    yield
    buckets.remove_made()


@pytest.fixture(scope="session")
def data_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sandbox.Sandbox]:
    """The real servers, ended with this test process whatever happens to it."""
    folder = tmp_path_factory.mktemp("sandbox")
    with sandbox.up(folder, attached=True) as running:
        yield running
        databases.close(running)
    sandbox.down(folder, wipe=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Dask scheduler on this machine, with two workers of their own."""
    import dask
    from distributed import LocalCluster

    folder = str(tmp_path_factory.mktemp("dask"))
    settings = {"temporary-directory": folder, "distributed.worker.use-file-locking": False}
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as made,
    ):
        yield made.scheduler_address


@dataclass(frozen=True)
class Workbook:
    """A workbook's folder whose target has its own database, bucket and archive."""

    root: Path
    own: Lake

    @property
    def sandbox(self) -> sandbox.Sandbox:
        return self.own.sandbox

    @property
    def database(self) -> str:
        return self.own.database

    @property
    def bucket(self) -> str:
        return self.own.bucket

    @property
    def target(self) -> Target:
        return Target.load("lake", self.root)

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    @property
    def dataset(self) -> Path:
        return self.root / "delivered" / COLLECTION

    def write_ticket(self, **changes: Any) -> str:
        values = {
            "ticket": "DEDL-1",
            "dataset": f"delivered/{COLLECTION}",
            "collection": COLLECTION,
            "target": "lake",
            "board_reference": "minutes 7",
            "board_date": "2026-11-02",
            **changes,
        }
        file = self.root / "parameters" / "tickets" / f"{values['ticket']}.yaml"
        file.write_text(yaml.safe_dump(values))
        return str(values["ticket"])

    def ticket(self, **changes: Any) -> Ticket:
        return Ticket.load(self.write_ticket(**changes), self.root)

    def case(self, **changes: Any) -> Case:
        return Case.of(self.ticket(**changes), self.root)

    def publish(self, last: str = "verify", **changes: Any) -> Case:
        """Run the steps to `last` without notebooks, as a run does, but faster.

        For tests of what comes after. Not for notify: it sends notebooks, and there are none.
        """
        case, names = self.case(**{"approve": "any", **changes}), list(STEPS)
        publish(case, *names[: names.index(last) + 1])
        return case

    def objects(self) -> dict[str, int]:
        """Return the size of each object in the bucket, by key."""
        return {key: len(data) for key, data in self.own.objects().items()}

    def collections(self) -> list[str]:
        return [row[0] for row in self.own.execute("select id from collections")]

    @property
    def admin_dsn(self) -> str:
        return self.own.admin_dsn


@pytest.fixture
def lake(
    data_lake: sandbox.Sandbox,
    small_sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Workbook]:
    """A data lake of its own for one test, with a small dataset delivered into it."""
    root = tmp_path / "workbook"
    (root / "parameters" / "tickets").mkdir(parents=True)
    (root / "parameters" / "targets").mkdir()
    (root / "notebooks").symlink_to(PROJECT / "notebooks")
    values = {"s3": {}, "catalog": {}, "stac_api": {"patience": 0}, "archive": "archive"}
    values["allow_any_approval"] = True
    (root / "parameters" / "targets" / "lake.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(root))
    with own_lake(data_lake, tmp_path) as own:
        workbook = Workbook(root, own)
        shutil.copytree(small_sample, workbook.dataset)
        variables = {
            key.replace("SANDBOX", "LAKE"): value
            for key, value in data_lake.connections.items()
            # HDA of the sandbox serves the sandbox's own database.
            if "__HDA__" not in key
        }
        variables |= {
            "DEDL_LAKE__S3__BUCKET": own.bucket,
            "DEDL_LAKE__CATALOG__DATABASE": own.database,
            "DEDL_LAKE__STAC_API__URL": own.api,
        }
        lines = [f"{key}='{value}'" for key, value in variables.items()]
        (root / ".env").write_text("\n".join(lines) + "\n")
        yield workbook
