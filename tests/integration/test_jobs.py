"""Tickets side by side: unfinished ones share HDA's files, and one that fails stops no other."""

import json
import os
from pathlib import Path

import pytest
import yaml
from dedl_sandbox.sample.dataset import make_sample
from dedl_workbook.cli.codes import FAILED
from dedl_workbook.cli.main import main

from tests.conftest import Lake
from tests.integration.hda_lake import an_id, own_configuration


@pytest.fixture
def queue(lake: Lake, tmp_path: Path) -> dict[str, str]:
    """Three tickets whose target has the sandbox's HDA: two in the catalogue, one not yet."""
    target = lake.root / "parameters" / "targets" / "lake.yaml"
    settings = {
        name.partition("__HDA__")[2].lower(): value
        for name, value in lake.sandbox.connections.items()
        if "__HDA__" in name
    }
    settings |= {"reload": json.loads(settings["reload"]), "no_trial": "not what is tested"}
    settings.pop("client", None)
    target.write_text(yaml.safe_dump(yaml.safe_load(target.read_text()) | {"hda": settings}))
    collections = {f"OP-{number}": an_id() for number in (1, 2, 3)}
    for name, id_ in collections.items():
        make_sample(lake.root / "delivered" / id_, collection=id_, scenes=1)
        values = {"ticket": name, "collection": id_, "dataset": f"delivered/{id_}"}
        lake.publish("upload" if name == "OP-3" else "catalog", **values)
    return collections


def test_side_by_side_they_share_hdas_files_and_one_that_fails_stops_no_other(
    lake: Lake, queue: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with own_configuration(lake.sandbox, tmp_path / "hda") as hda:
        assert main(["run", "OP-*", "--jobs", "3", "--step", "hda"]) == FAILED

        entries = yaml.safe_load(hda.collections.read_bytes())
        assert queue["OP-1"] in entries
        assert queue["OP-2"] in entries
        assert queue["OP-3"] not in entries
        assert [hda.served(queue[name]).status_code for name in ("OP-1", "OP-2")] == [200, 200]
    *lines, total = capsys.readouterr().out.splitlines()
    verdicts = {line.split()[1]: line.split()[0] for line in lines}
    assert verdicts == {"OP-1": "passed", "OP-2": "passed", "OP-3": "failed"}
    assert "OP-3" in total
    assert os.environ.get("DEDL_CASE_LOCK") is None
