"""A plan: cheap things first, every difference shown, and no approval offered that can't hold."""

import json
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.case import status
from dedl_workbook.cli.codes import COULD_NOT_RUN, DONE, NOT_APPROVED
from dedl_workbook.cli.main import main
from dedl_workbook.notebooks import kernel

from tests.conftest import COLLECTION, Lake


@pytest.fixture
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        raise AssertionError("a notebook was started")

    monkeypatch.setattr(kernel, "_papermill", start)


@pytest.mark.usefixtures("no_kernel")
@pytest.mark.parametrize("missing", ["desk", "waiver", "database", "pool"])
def test_what_is_missing_is_told_before_any_notebook_starts(
    lake: Lake, missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes: dict[str, Any] = {}
    words = {
        "desk": "help desk fails",
        "waiver": "no rule L99",
        "database": "database fails",
    }
    if missing == "desk":
        desk = {"KIND": "roundup", "URL": "http://127.0.0.1:9", "USER": "u", "PASSWORD": "p"}
        for name, value in desk.items():
            monkeypatch.setenv(f"DEDL_LAKE__HELPDESK__{name}", value)
    elif missing == "waiver":
        changes["waivers"] = [{"rule": "L99", "reason": "r", "agreed_by": "a"}]
    elif missing == "database":
        monkeypatch.setenv("DEDL_LAKE__CATALOG__PORT", "9")
    else:
        monkeypatch.setenv("DEDL_LAKE__S3__BUCKET", "no-such-bucket-here")

    assert main(["plan", lake.write_ticket(**changes)]) == COULD_NOT_RUN

    error = capsys.readouterr().err
    assert words.get(missing, "S3 pool fails") in error
    assert not (lake.archive / "DEDL-1" / "attempts").exists()


def test_a_plan_shows_each_difference_and_brief_its_counts(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    name = lake.publish("validate", approve="").ticket.ticket

    assert main(["plan", name]) == DONE
    shown = capsys.readouterr().out
    assert main(["plan", name, "--brief"]) == DONE
    brief = capsys.readouterr().out

    items = sorted(file.stem for file in (lake.dataset / "metadata" / "items").glob("*.json"))
    assert f"items added: {', '.join(items)}" in shown
    assert "Subject: " in shown
    assert "your dataset is published on the DestinE Data Lake" in shown
    assert items[0] not in brief
    (page,) = {Path(line.split(": ")[1]) for line in brief.splitlines() if "plan.html" in line}
    assert items[0] in page.read_text()
    assert f"to approve exactly this: dedl-workbook approve {name} " in brief


def test_without_the_boards_decision_no_approval_is_offered(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    name = lake.publish("validate", approve="", board_reference="").ticket.ticket

    assert main(["plan", name]) == DONE
    planned = capsys.readouterr().out
    assert main(["run", name]) == NOT_APPROVED
    ran = capsys.readouterr().out

    for shown in (planned, ran):
        assert "dedl-workbook approve" not in shown
        assert "the review board's decision is missing" in shown
        assert "Set board_reference and board_date" in shown


def test_two_open_tickets_for_one_collection_know_of_each_other(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    lake.publish("validate", approve="")
    lake.write_ticket(ticket="DEDL-2")
    capsys.readouterr()

    assert main(["plan", "DEDL-1", "--json"]) == DONE
    (plan,) = json.loads(capsys.readouterr().out)

    assert plan["others"] == ["DEDL-2 (new)"]
    assert status.story(lake.root, "DEDL-2").others == ("DEDL-1 (planned)",)
    lake.write_ticket(ticket="DEDL-2", collection=f"{COLLECTION}_2")
    assert status.story(lake.root, "DEDL-1").others == ()


def test_an_approval_names_the_page_that_it_is_of(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    name = lake.publish("validate", approve="").ticket.ticket
    main(["plan", name, "--json"])
    (plan,) = json.loads(capsys.readouterr().out)

    assert main(["approve", name, plan["plan"]["digest"]]) == DONE

    assert f"what was approved: {plan['plan']['page']}" in capsys.readouterr().out
