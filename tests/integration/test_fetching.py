"""What the reply tells users to type, typed: curl, pystac-client and eodag get the dataset."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Job
from dedl_workbook.steps.notify import fetching

from tests.integration.lake import an_item
from tests.integration.test_audit import ITEMS, Site, _site


@pytest.fixture(scope="module")
def site(data_lake: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with _site(data_lake, tmp_path_factory.mktemp("fetching")) as made:
        made.publish()
        yield made


def job_of(site: Site, **ticket: object) -> Job:
    values = {"ticket": "T-1", "dataset": ".", "collection": site.id, "target": "site"}
    return Job(Ticket.of(values | ticket, "a test"), site.target, site.root, site.root)


def commands(job: Job) -> list[str]:
    """Return what the letter shows to be typed: one text for each client."""
    text = "\n".join(fetching.lines(job))
    return [dedent(block) for block in re.findall(r"(?m)(?:^    .*\n?)+", text)]


def typed(*command: str, folder: Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_gets_the_items(site: Site, tmp_path: Path) -> None:
    shown = typed("bash", "-c", commands(job_of(site))[0], folder=tmp_path)

    assert all(str(an_item(number)["id"]) in shown for number in range(ITEMS))


def test_pystac_client_gets_the_items_and_the_addresses_of_their_files(
    site: Site, tmp_path: Path
) -> None:
    shown = typed(sys.executable, "-c", commands(job_of(site))[1], folder=tmp_path)

    assert all(str(an_item(number)["id"]) in shown for number in range(ITEMS))
    assert site.target.hda is not None
    assert site.target.hda.url in shown


def test_eodag_downloads_an_item(site: Site, tmp_path: Path) -> None:
    assert site.target.hda is not None
    assert site.target.hda.client is not None

    shown = typed(str(site.target.hda.client), "-c", commands(job_of(site))[2], folder=tmp_path)

    delivered = {file.read_bytes() for file in (site.root / site.id).rglob("LAKE_*.txt")}
    place = Path(shown.strip().splitlines()[-1])
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    assert {file.read_bytes() for file in files} <= delivered
    assert files


def test_without_hda_the_stac_api_is_named_and_eodag_is_not(site: Site) -> None:
    job = job_of(site)
    job = replace(job, target=job.target.model_copy(update={"hda": None}))

    curl, python = commands(job)

    assert job.target.stac_api.url in curl
    assert job.target.stac_api.url in python


def test_a_restricted_dataset_is_asked_for_with_a_token(site: Site) -> None:
    job = job_of(site, access="restricted", roles=["DEDL_A"])

    curl, python, eodag = commands(job)

    assert 'Bearer $TOKEN"' in curl
    assert "os.environ['TOKEN']" in python
    assert '"need_auth": True' in eodag
