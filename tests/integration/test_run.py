"""From a ticket to a verified publication, and every gate that must hold, on the real servers."""

import datetime as dt
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dedl_workbook.cli.codes import COULD_NOT_RUN, DONE, FAILED, NOT_APPROVED
from dedl_workbook.cli.main import main
from dedl_workbook.dataset import s3
from dedl_workbook.steps.order import STEPS

from tests.conftest import COLLECTION, Workbook


def approve_last_plan(lake: Workbook, name: str = "DEDL-1") -> None:
    lines = (lake.archive / name / "ledger.jsonl").read_text().splitlines()
    planned = [line for line in map(json.loads, lines) if line["event"] == "planned"]
    assert main(["approve", name, planned[-1]["digest"]]) == DONE


def outcomes(lake: Workbook, name: str = "DEDL-1") -> list[tuple[str, str]]:
    lines = (lake.archive / name / "ledger.jsonl").read_text().splitlines()
    found = [line for line in map(json.loads, lines) if line["event"] == "outcome"]
    return [(line["step"], line["verdict"]) for line in found]


def nothing_was_changed(lake: Workbook) -> bool:
    return lake.objects() == {} and lake.collections() == []


def edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def test_a_ticket_goes_from_plan_and_approval_to_a_verified_publication(lake: Workbook) -> None:
    name = lake.write_ticket()

    assert main(["plan", name]) == DONE
    assert nothing_was_changed(lake)
    approve_last_plan(lake)
    assert main(["run", name]) == DONE

    assert outcomes(lake) == [(step, "passed") for step in STEPS]
    assert lake.collections() == [COLLECTION]
    delivered = [f for f in (lake.dataset / "data").rglob("*") if f.is_file()]
    assert sorted(lake.objects()) == sorted(
        f"{COLLECTION}/DEDL-1/{file.relative_to(lake.dataset)}" for file in delivered
    )
    attempts = sorted((lake.archive / "DEDL-1" / "attempts").iterdir())
    names = [folder.name.partition("-")[2] for folder in attempts]
    assert names == ["validate", "plan", *list(STEPS)[1:]]
    kept = [f for folder in attempts for f in (folder / "notebook.ipynb", folder / "notebook.html")]
    assert [f for f in kept if f.parent.name != "002-plan" and not f.is_file()] == []


def test_running_again_changes_nothing_and_shows_no_secret(lake: Workbook) -> None:
    lake.publish()
    client = s3.client(lake.target.s3)
    before = client.list_objects_v2(Bucket=lake.bucket)["Contents"]

    for step in ("upload", "catalog", "verify"):
        assert main(["run", "DEDL-1", "--step", step]) == DONE

    assert client.list_objects_v2(Bucket=lake.bucket)["Contents"] == before
    attempts = sorted((lake.archive / "DEDL-1" / "attempts").glob("*-upload"))
    assert len(attempts) == 2
    assert json.loads((attempts[-1] / "plan.json").read_text())["actions"] == []
    secrets = lake.target.secrets()
    files = [file for file in (lake.archive / "DEDL-1").rglob("*") if file.is_file()]
    assert len(secrets) >= 3
    assert [f for f in files for s in secrets if s.encode() in f.read_bytes()] == []


def test_the_evidence_of_a_run_can_be_checked_by_itself(lake: Workbook, tmp_path: Path) -> None:
    lake.publish()
    assert main(["evidence", "pack", "DEDL-1"]) == DONE
    shutil.move(lake.archive / "DEDL-1" / "bag", tmp_path / "bag")

    assert main(["evidence", "verify", str(tmp_path / "bag")]) == DONE
    sums = (tmp_path / "bag" / "data" / "sha256sums.txt").read_text().splitlines()
    assert len(sums) == len(lake.objects())
    items = (tmp_path / "bag" / "data" / "items-sha256.txt").read_text().splitlines()
    assert [line.split("  ")[1] for line in items] == [
        file.stem for file in sorted((lake.dataset / "metadata" / "items").glob("*.json"))
    ]
    page = (tmp_path / "bag" / "data" / "index.html").read_text()
    assert "Map: 1 extent" in page
    assert lake.bucket in page
    (tmp_path / "bag" / "data" / "index.html").write_text("other")
    assert main(["evidence", "verify", str(tmp_path / "bag")]) == FAILED


def test_the_evidence_that_stays_tells_that_the_user_was_told(lake: Workbook) -> None:
    name = lake.write_ticket(approve="any")

    assert main(["run", name]) == DONE

    bag = lake.archive / "DEDL-1" / "bag"
    assert main(["evidence", "verify", str(bag)]) == DONE
    assert list(bag.glob("data/attempts/*-notify/notebook.html"))
    page = (bag / "data" / "index.html").read_text()
    assert "Published, verified from outside, and the user was told." in page
    assert main(["run", name, "--step", "verify"]) == DONE
    assert main(["evidence", "pack", name]) == DONE
    again = (bag / "data" / "index.html").read_text().partition("<td>verify</td>")[2]
    first, second = sorted(f.name for f in bag.glob("data/attempts/*-verify"))
    assert again.index(first) < again.index(second) < again.index("</tr>")


def test_nothing_is_changed_when_validation_fails(lake: Workbook) -> None:
    name = lake.write_ticket()
    edit(lake.dataset / "metadata/collection.json", lambda c: c.pop("license"))

    assert main(["plan", name]) == FAILED
    assert main(["run", name]) == FAILED

    assert nothing_was_changed(lake)
    assert outcomes(lake) == [("validate", "failed")] * 2


def test_the_user_is_told_once_that_the_dataset_is_refused_and_why(lake: Workbook) -> None:
    name = lake.write_ticket(board_reference="")
    edit(lake.dataset / "metadata/collection.json", lambda c: c.pop("license"))
    assert main(["plan", name]) == FAILED
    approve_last_plan(lake)

    assert main(["run", name]) == FAILED
    assert main(["run", name]) == FAILED

    letters = list((lake.archive / "DEDL-1" / "outbox").rglob("*.txt"))
    told = [letter for letter in letters if "license" in letter.read_text()]
    assert len(told) == 1
    assert outcomes(lake)[-1] == ("notify", "passed")
    assert nothing_was_changed(lake)


@pytest.mark.parametrize(
    "changes",
    [
        {"board_reference": ""},
        {"board_date": ""},
        {"board_date": str(dt.date.today() + dt.timedelta(days=2))},
    ],
)
def test_nothing_is_changed_without_the_boards_decision(
    lake: Workbook, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    name = lake.publish("access", **changes).ticket.ticket

    assert main(["run", name, "--step", "upload"]) == FAILED

    assert nothing_was_changed(lake)
    assert "review board's decision" in capsys.readouterr().out


def test_nothing_is_changed_without_an_approval(
    lake: Workbook, capsys: pytest.CaptureFixture[str]
) -> None:
    name = lake.publish("validate", approve="").ticket.ticket

    assert main(["run", name]) == NOT_APPROVED

    assert nothing_was_changed(lake)
    assert "dedl-workbook approve DEDL-1" in capsys.readouterr().out


def test_an_approval_of_another_plan_changes_nothing(lake: Workbook) -> None:
    name = lake.publish("validate", approve="").ticket.ticket
    assert main(["plan", name]) == DONE
    approve_last_plan(lake)
    lake.write_ticket(board_reference="minutes 8")

    assert main(["run", name]) == NOT_APPROVED

    assert nothing_was_changed(lake)


def test_a_dataset_that_changed_since_the_approval_changes_nothing(
    lake: Workbook, capsys: pytest.CaptureFixture[str]
) -> None:
    name = lake.publish("validate", approve="").ticket.ticket
    assert main(["plan", name]) == DONE
    approve_last_plan(lake)
    edit(lake.dataset / "metadata/collection.json", lambda c: c.update(description="Another text."))

    assert main(["run", name]) == NOT_APPROVED

    assert nothing_was_changed(lake)
    assert "the dataset" in capsys.readouterr().out


def test_a_step_by_itself_waits_for_those_that_it_needs(lake: Workbook) -> None:
    name = lake.write_ticket(approve="any")

    assert main(["run", name, "--step", "catalog"]) == COULD_NOT_RUN
    lake.publish("validate")
    assert main(["run", name, "--step", "catalog"]) == FAILED

    assert nothing_was_changed(lake)


def test_verification_fails_when_an_item_is_missing_in_the_catalogue(
    lake: Workbook, capsys: pytest.CaptureFixture[str]
) -> None:
    lake.publish()
    item = sorted((lake.dataset / "metadata/items").iterdir())[1].stem
    with psycopg.connect(lake.admin_dsn) as connection:
        connection.execute("delete from pgstac.items where id = %s", [item])

    assert main(["run", "DEDL-1", "--step", "verify"]) == FAILED

    assert item in capsys.readouterr().out


def test_verification_fails_when_an_object_is_damaged_in_the_bucket(
    lake: Workbook, capsys: pytest.CaptureFixture[str]
) -> None:
    lake.publish()
    key, size = next((k, s) for k, s in lake.objects().items() if k.endswith(".tif"))
    client = s3.client(lake.target.s3)
    client.put_object(Bucket=lake.bucket, Key=key, Body=b"\0" * size)

    assert main(["run", "DEDL-1", "--step", "verify"]) == FAILED

    output = capsys.readouterr().out
    assert key.split("/")[-2] in output
    assert "another SHA-256" in output


def test_a_server_that_died_fails_the_attempt_and_a_second_run_finishes(
    lake: Workbook, capsys: pytest.CaptureFixture[str]
) -> None:
    name = lake.write_ticket()
    assert main(["plan", name]) == DONE
    approve_last_plan(lake)
    lake.sandbox.kill("postgres")
    try:
        assert main(["run", name]) == FAILED
        output = capsys.readouterr().out
    finally:
        lake.sandbox.restart("postgres")

    assert "Traceback" not in output
    failed = sorted((lake.archive / "DEDL-1" / "attempts").iterdir())[-1]
    assert failed.name.endswith("-catalog")
    assert (failed / "notebook.ipynb").is_file()
    assert main(["run", name]) == DONE


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "NONE-1"], "there is no such ticket file"),
        (["run", "parameters/tickets/NONE.yaml"], "there is no such ticket file"),
        (["evidence", "verify", "nowhere"], "is neither a folder nor a zip"),
        (["run", "DEDL-1", "--step", "uplod"], "Did you mean 'upload'?"),
        (["approve", "DEDL-1", "0" * 64], "no plan of this case"),
    ],
)
def test_says_in_a_line_what_can_not_be_run(
    lake: Workbook, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lake.write_ticket()

    assert main(arguments) == COULD_NOT_RUN

    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target": "production"}, "there is no such target file"),
        ({"dataset": "nowhere"}, "there is no such folder"),
        ({"dataset": "parameters/targets/lake.yaml"}, "is a file; a dataset is a folder"),
        ({"dataset": "empty"}, "is an empty folder"),
        ({"dataset": "s3://no-such-bucket-here/x"}, "no such bucket"),
        ({"colection": "x"}, "Did you mean 'collection'?"),
        ({"mode": 1}, "mode: should be 'new' or 'replace'"),
    ],
)
def test_refuses_a_ticket_that_can_not_be_run(
    lake: Workbook, changes: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (lake.root / "empty").mkdir()
    name = lake.write_ticket(**changes)

    assert main(["run", name]) == COULD_NOT_RUN

    assert said in capsys.readouterr().err


def test_says_in_a_line_that_the_archive_can_not_be_written(
    lake: Workbook, capsys: pytest.CaptureFixture[str]
) -> None:
    lake.archive.write_text("a file in the place of the folder")

    assert main(["plan", lake.write_ticket()]) == COULD_NOT_RUN

    assert f"{lake.archive}" in capsys.readouterr().err


def test_a_wrong_digest_in_the_ticket_changes_nothing_and_the_way_out_works(
    lake: Workbook, capsys: pytest.CaptureFixture[str]
) -> None:
    name = lake.write_ticket(approve="a" * 64)

    assert main(["run", name]) == NOT_APPROVED

    assert nothing_was_changed(lake)
    assert main(["plan", lake.write_ticket()]) == DONE


def test_a_validation_that_passes_after_one_that_failed_counts(lake: Workbook) -> None:
    name = lake.write_ticket(approve="any")
    file = lake.dataset / "metadata/collection.json"
    right = file.read_text()
    edit(file, lambda c: c.pop("license"))
    assert main(["run", name, "--step", "validate"]) == FAILED
    file.write_text(right)

    assert main(["run", name, "--step", "validate"]) == DONE

    assert main(["run", name, "--step", "upload"]) == DONE


def test_one_ticket_that_fails_does_not_stop_the_others(lake: Workbook) -> None:
    wrong = lake.write_ticket(ticket="DEDL-1", dataset="nowhere", approve="any")
    lake.publish("validate", ticket="DEDL-2")

    assert main(["run", wrong, "DEDL-2", "--step", "upload"]) != DONE

    assert outcomes(lake, "DEDL-2")[-1] == ("upload", "passed")


def test_kernels_of_runs_that_start_at_the_same_time_do_not_meet(lake: Workbook) -> None:
    names = [lake.write_ticket(ticket=f"DEDL-{number}") for number in (1, 2, 3)]
    command = [sys.executable, "-m", "dedl_workbook.cli", "run", "--step", "validate"]

    running = [subprocess.Popen([*command, name], stdout=subprocess.DEVNULL) for name in names]

    assert [process.wait() for process in running] == [DONE] * 3


def test_status_shows_where_each_ticket_stands(
    lake: Workbook, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    lake.publish("access", ticket="DEDL-2", board_reference="")
    lake.write_ticket(ticket="DEDL-3")
    main(["run", "DEDL-2"])
    capsys.readouterr()

    assert main(["status"]) == DONE

    output = capsys.readouterr().out
    # The board's decision is missing: the upload was refused, and nothing was begun.
    assert "approved" in output.partition("DEDL-2")[2].partition("DEDL-3")[0]
    assert "new" in output.partition("DEDL-3")[2]
