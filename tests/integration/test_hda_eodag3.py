"""The hda step in the dialect of eodag 3, against eodag 3 and the server that came with it."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from dedl_sandbox import Sandbox, environments
from dedl_workbook.base.errors import InputError
from dedl_workbook.dataset import s3
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.services.hda import dialect as hda_dialect
from dedl_workbook.steps import catalog, hda, upload
from dedl_workbook.steps.verify import hda as verify_hda
from dedl_workbook.steps.withdraw import hda as withdraw_hda

from tests.integration.hda_lake import ROLE, HdaLake, an_id
from tests.integration.lake import a_collection, an_item, write_dataset

ENVIRONMENT = "eodag3"
PRODUCT_TYPES = """# Product types of HDA.
EO.DEMO.DAT.OLD:
  abstract: >-
    From before; don't touch.
  instrument:
  platform: OLD   # as it was called
  platformSerialIdentifier:
  processingLevel:
  keywords: Land,Old
  sensorType:
  license: other
  missionStartDate: "2014-12-07T00:00:00Z"
  title: Old
"""
PROVIDERS = """# Providers of HDA; each is a document.
---
!provider
  name: dedl_usergenerated
  priority: 1
  roles: [host]
  description: DEDL user generated data
  url: http://127.0.0.1:9
  search: !plugin
    type: StacSearch
    api_endpoint: http://127.0.0.1:9/search
    need_auth: false
    discover_queryables: {fetch_url: null, product_type_fetch_url: null}
    sort:
      sort_by_default:
        - !!python/tuple [startTimeFromAscendingNode, ASC]
      sort_param_mapping: {startTimeFromAscendingNode: properties.datetime}
  # One line a dataset.
  products:
  download: !plugin
    type: AwsDownload
    s3_endpoint: http://127.0.0.1:9
    ssl_verify: false
  download_auth: !plugin
    type: AwsAuth
    matching_url: s3://
    s3_endpoint: http://127.0.0.1:9
---
!provider
  name: dedl_operational
  priority: 0
  roles: [host]
  description: DEDL operational data
  url: http://127.0.0.1:9
  search: !plugin
    type: StacSearch
    api_endpoint: http://127.0.0.1:9/search
  products:
    EO.DEMO.DAT.OLD:
      productType: old
  download: !plugin
    type: HTTPDownload
"""


@dataclass
class Site:
    """A configuration of eodag 3, and the server that reads it at its start."""

    lake: HdaLake
    folder: Path
    port: int
    server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def product_types(self) -> Path:
        return self.folder / "product_types.yml"

    @property
    def providers(self) -> Path:
        return self.folder / "providers.yml"

    def job(self, id_: str, **more: Any) -> Job:
        settings: dict[str, Any] = {
            "dialect": "eodag3",
            "url": self.url,
            "internal_url": None,
            "folder": self.folder,
            "python": environments.python_of(ENVIRONMENT),
            "reload": [],
        }
        return self.lake.job(id_, hda=settings | more.pop("hda", {}), **more)

    def restart(self) -> None:
        self.stop()
        for name in ("eodag.yml", "ext.json"):
            (self.folder / name).write_text("{}")
        part = self.job(an_id()).target.hda
        assert part is not None
        told = hda_dialect.of(part).environment(part, self.folder)
        told |= {"EODAG_CFG_DIR": str(self.folder), "EODAG_CFG_FILE": f"{self.folder}/eodag.yml"}
        command = [str(environments.python_of(ENVIRONMENT)), "-P", "-m", "uvicorn"]
        command += ["eodag.rest.server:app", "--port", str(self.port)]
        with (self.folder / "server.log").open("wb") as log:
            environment = {"PATH": os.environ["PATH"], **self._keys(), **told}
            self.server = subprocess.Popen(command, stderr=log, stdout=log, env=environment)
        deadline = time.monotonic() + 60
        while not self._up():
            assert self.server.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def _keys(self) -> dict[str, str]:
        pool = self.job(an_id()).target.s3
        return {
            "AWS_CONFIG_FILE": str(self.lake.config / "aws_config"),
            "AWS_ACCESS_KEY_ID": pool.access_key.get_secret_value(),
            "AWS_SECRET_ACCESS_KEY": pool.secret_key.get_secret_value(),
        }

    def _up(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/_mgmt/ping")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        if self.server is not None:
            self.server.kill()
            self.server.wait()


@pytest.fixture
def site(data_lake: Sandbox, tmp_path: Path) -> Iterator[Site]:
    environments.ensure_environments(names=[ENVIRONMENT])
    folder = tmp_path / "eodag3"
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = Site(HdaLake(data_lake, tmp_path), folder, port)
    made.product_types.write_text(PRODUCT_TYPES)
    made.providers.write_text(PROVIDERS)
    try:
        yield made
    finally:
        made.stop()


def test_eodag_3_serves_a_collection_as_published_and_its_withdrawal_leaves_no_trace(
    site: Site,
) -> None:
    id_ = an_id()
    job = site.job(id_)
    plan = hda.plan(job)

    hda.apply(plan)
    waiting = hda.check(plan)
    added = site.providers.read_text()
    site.restart()
    passed = hda.check(plan)
    again = hda.plan(job)
    served = httpx.get(f"{site.url}/collections/{id_}").json()
    withdraw_hda.undo(job, withdraw_hda.look(job, ours=True, written=()))

    assert waiting.verdict is Verdict.WAITING, waiting.summary
    assert added.replace(f"    {id_}: {{productType: {id_}}}\n", "") == PROVIDERS
    assert passed.verdict is Verdict.PASSED, passed.summary
    assert again.actions == ()
    assert served["dedl:short_description"] == "Levels"
    assert site.product_types.read_text() == PRODUCT_TYPES
    assert site.providers.read_text() == PROVIDERS


def test_verify_finds_and_downloads_what_an_hda_of_eodag_3_offers(site: Site) -> None:
    ends, id_ = site.lake.sandbox.endpoints, an_id()
    first, rest = PROVIDERS.split("---\n!provider\n  name: dedl_operational")
    first = first.replace("_endpoint: http://127.0.0.1:9/", f"_endpoint: {ends['stac_api']}/")
    first = first.replace("_endpoint: http://127.0.0.1:9\n", f"_endpoint: {ends['s3']}\n")
    site.providers.write_text(f"{first}---\n!provider\n  name: dedl_operational{rest}")
    items = [an_item(number, collection=id_) for number in range(3)]
    more = items[0]["assets"]["data"]["href"].replace(".txt", ".json")
    items[0]["assets"]["more"] = {"href": more, "type": "application/json"}
    dataset = write_dataset(site.folder / id_, items, a_collection(id=id_))
    job = site.job(id_, ticket="V-3", dataset=dataset, hda={"check": ["true"]})
    job.folder.mkdir()
    upload.apply(upload.plan(job))
    catalog.apply(catalog.plan(job))
    hda.apply(hda.plan(job))
    site.restart()

    passed = verify_hda.check(job, lambda *_: None)
    client, pool = s3.client(job.target.s3), job.target.s3
    listed = client.list_objects_v2(Bucket=pool.bucket, Prefix=job.prefix)["Contents"]
    key = next(one["Key"] for one in listed if "LAKE_000001" in one["Key"])
    client.put_object(Bucket=pool.bucket, Key=key, Body=b"other")
    failed = verify_hda.check(job, lambda *_: None)

    assert passed.verdict is Verdict.PASSED, passed.summary
    found = {check.name: check.found for check in passed.checks}
    assert found["HDA: download: text/plain"].startswith("3 downloaded")
    assert {"HDA: download: application/json", "HDA: download: whole item"} < found.keys()
    wrong = {check.name for check in failed.checks if not check.passed}
    assert "HDA: download: text/plain" in wrong


def test_an_entry_is_written_as_eodag_3_has_them_and_scopes_in_the_shape_of_the_target(
    site: Site,
) -> None:
    id_ = an_id()
    job = site.job(id_, roles=[ROLE, "B"], hda={"scopes_shape": "comma", "check": ["true"]})

    hda.apply(hda.plan(job))

    text = site.product_types.read_text()
    assert text.startswith(PRODUCT_TYPES)
    entry = yaml.safe_load(text)[id_]
    assert entry["scopes"] == f"{ROLE},B"
    assert entry["keywords"] == "Land,User generated"
    assert (entry["missionStartDate"], entry["missionEndDate"]) == ("2024-01-01T00:00:00Z", None)
    assert entry.keys() >= {"abstract", "instrument", "platformSerialIdentifier", "sensorType"}


@pytest.mark.parametrize(
    "title",
    [
        "Half a { brace",
        pytest.param("Levels {of} lakes", marks=pytest.mark.slow),
        pytest.param("2024", marks=pytest.mark.slow),
    ],
)
def test_what_eodag_3_takes_for_a_template_is_refused_before_anything_is_changed(
    site: Site, title: str
) -> None:
    with pytest.raises(InputError, match="could not serve the collection"):
        hda.apply(hda.plan(site.job(an_id(), title=title)))

    assert site.product_types.read_text() == PRODUCT_TYPES
    assert site.providers.read_text() == PROVIDERS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a list\n", "no provider with a name"),
        (PROVIDERS + "---\n!provider\n  name: dedl_operational\n", "twice"),
        ("!provider\n  name: another\n  products: {}\n", "has no provider 'dedl_usergenerated'"),
    ],
)
def test_a_file_of_providers_that_is_none_is_named(site: Site, text: str, said: str) -> None:
    site.providers.write_text(text)

    with pytest.raises(InputError, match=said) as error:
        hda.plan(site.job(an_id()))

    assert str(site.providers) in error.value.where
