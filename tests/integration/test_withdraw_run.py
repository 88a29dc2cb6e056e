"""`dedl-workbook withdraw`: planned, approved by itself, done by its notebook, kept as evidence."""

from __future__ import annotations

import json
import shutil

import pytest
from dedl_workbook.cli.codes import DONE, NOT_APPROVED
from dedl_workbook.cli.main import main
from dedl_workbook.services.pool import anchors

from tests.conftest import Workbook


def _lines(lake: Workbook) -> list[dict[str, str]]:
    return [
        json.loads(line)
        for line in (lake.archive / "DEDL-1" / "ledger.jsonl").read_text().splitlines()
    ]


def _approve_last_plan(lake: Workbook) -> None:
    planned = [line for line in _lines(lake) if line["event"] == "planned"][-1]
    assert main(["approve", "DEDL-1", planned["digest"]]) == DONE


def test_a_ticket_is_withdrawn_once_exactly_that_is_approved(
    lake: Workbook, capsys: pytest.CaptureFixture[str]
) -> None:
    lake.publish()
    name = lake.write_ticket()
    shutil.rmtree(lake.dataset)
    published = lake.objects()

    assert main(["withdraw", name]) == NOT_APPROVED
    untouched = (lake.objects(), lake.collections()) == (published, ["EO.DEDL.DAT.DEMO_HEAT"])
    _approve_last_plan(lake)
    assert main(["withdraw", name]) == DONE, capsys.readouterr().out

    assert untouched
    assert (lake.objects(), lake.collections()) == ({}, [])
    assert anchors.read(lake.target.s3, "EO.DEDL.DAT.DEMO_HEAT/DEDL-1/"), "they are evidence"
    outcomes = [line for line in _lines(lake) if line["event"] == "outcome"]
    withdrawn = next(line for line in outcomes if line["step"] == "withdraw")
    assert withdrawn["verdict"] == "passed"
    folder = lake.archive / "DEDL-1" / "attempts" / withdrawn["attempt"]
    for name in ("notebook.ipynb", "notebook.html", "plan.json", "receipt.json", "outcome.json"):
        assert (folder / name).is_file()
    assert "gone, pool: objects of this ticket" in (folder / "outcome.json").read_text()
