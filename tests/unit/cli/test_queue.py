"""Many tickets at once: what became of them, and how long to wait."""

import datetime as dt
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from dedl_workbook.base.errors import InputError
from dedl_workbook.case import lock
from dedl_workbook.case.status import Row
from dedl_workbook.cli import queue
from dedl_workbook.cli.codes import COULD_NOT_RUN, DONE, FAILED, WAITING
from dedl_workbook.cli.main import main
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.steps.order import STEPS

from tests.unit.conftest import make_case

NOW = dt.datetime(2026, 12, 3, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400)]
)
def test_a_time_to_wait_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert queue.seconds(text) == seconds


@pytest.mark.parametrize("text", ["0", "0m", "", "soon", "-1m", "10", "1.5h"])
def test_what_is_no_time_to_wait_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no time to wait"):
        queue.seconds(text)


@pytest.mark.parametrize(
    ("verdicts", "step"),
    [
        ("access:waiting upload:passed catalog:passed", "access"),
        ("upload:passed catalog:failed", "catalog"),
        ("access:waiting catalog:failed", "catalog"),
        ("upload:passed notify:passed", "notify"),
    ],
)
def test_the_outcome_that_decides_is_the_worst_one(verdicts: str, step: str) -> None:
    outcomes = [
        Outcome(step, Verdict(verdict), "")
        for step, _, verdict in (pair.partition(":") for pair in verdicts.split())
    ]

    outcome = queue.deciding(outcomes)

    assert outcome is not None
    assert outcome.step == step


def test_the_total_says_who_waits_for_whom_and_names_what_needs_somebody() -> None:
    def row(name: str, state: str, **more: str) -> Row:
        return Row(name, "C", "site", state, **more)

    waits = {"waiting_for": "the IAM service", "since": "2026-12-01T00:00:00Z"}
    rows = [
        row("OP-1", "published"),
        row("OP-2", "failed"),
        row("OP-3", "waiting", **waits),
        row("OP-4", "published"),
        row("OP-5", "superseded by OP-4"),
        row("OP-6", "planned"),
    ]

    assert queue.total(rows, ["OP-6"], NOW) == (
        "2 published, 1 waiting for the IAM service since 2 days, "
        "1 superseded by OP-4: OP-5, 1 failed: OP-2, 1 could not be run: OP-6"
    )


@pytest.fixture
def tickets(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tickets that are published, with files of their own."""
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(root))
    for name in ("DEDL-1", "DEDL-2"):
        case = make_case(root, ticket=name, collection=f"EO.XXX.DAT.{name[-1]}")
        file = root / "parameters" / "tickets" / f"{name}.yaml"
        file.write_text(yaml.safe_dump(case.ticket.parameters()))
        for step in STEPS:
            dataset = case.job.fingerprint if STEPS[step].of_dataset else ""
            case.record_outcome(case.new_attempt(step), Outcome(step, Verdict.PASSED, ""), dataset)
    return root


def attempts(root: Path) -> int:
    return len(list((root / "archive").glob("*/attempts/*")))


@pytest.mark.parametrize("how", [[], ["--jobs", "2"]])
def test_finished_tickets_get_a_line_each_and_no_attempt(
    tickets: Path, capsys: pytest.CaptureFixture[str], how: list[str]
) -> None:
    before = attempts(tickets)

    assert main(["run", "DEDL-*", *how]) == DONE

    *lines, total = capsys.readouterr().out.splitlines()
    assert sorted(line.partition(";")[0] for line in lines) == [
        "DEDL-1: nothing left to do",
        "DEDL-2: nothing left to do",
    ]
    assert total == "2 published"
    assert attempts(tickets) == before


def test_a_ticket_that_can_not_be_run_stops_none_beside_it(
    tickets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tickets / "parameters" / "tickets" / "DEDL-1.yaml"
    file.write_text(file.read_text().replace("mode: new", "mode: wrong"))

    assert main(["run", "DEDL-*", "--jobs", "2"]) == COULD_NOT_RUN

    shown = capsys.readouterr()
    assert "could not run DEDL-1: " in shown.err
    assert shown.out.splitlines()[-1] == "1 published, 1 could not be run: DEDL-1"


@pytest.mark.parametrize("how", [["--jobs", "0"], ["--wait", "--every", "0"], ["--every", "soon"]])
def test_what_would_run_nothing_or_without_a_pause_is_refused(
    tickets: Path, capsys: pytest.CaptureFixture[str], how: list[str]
) -> None:
    assert main(["run", "DEDL-1", *how]) == COULD_NOT_RUN
    assert "error: " in capsys.readouterr().err


def test_looking_again_asks_the_data_lake_anew(
    tickets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["run", "DEDL-1", "--again"])

    assert "s3://pool/EO.XXX.DAT.1/DEDL-1/ can't be listed" in capsys.readouterr().err


def test_what_waits_is_run_again_until_none_waits_though_another_failed(
    tickets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    passes: list[list[str]] = [[]]
    codes = {"DEDL-1": [FAILED], "DEDL-2": [WAITING, WAITING, DONE]}

    def run(how: object, name: str, summary: dict[str, Any]) -> int:
        passes[-1].append(name)
        return codes[name].pop(0)

    def pause(seconds: int) -> None:
        assert seconds == 120
        passes.append([])

    monkeypatch.setattr(queue, "_run_one", run)
    monkeypatch.setattr(queue.time, "sleep", pause)

    assert main(["run", "DEDL-*", "--wait", "--every", "2m", "--json"]) == FAILED
    assert passes == [["DEDL-1", "DEDL-2"], ["DEDL-2"], ["DEDL-2"]]
    assert [one["ticket"] for one in json.loads(capsys.readouterr().out)] == ["DEDL-1", "DEDL-2"]


def test_what_somebody_else_is_at_is_tried_again_while_one_waits(
    tickets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held = ExitStack()
    held.enter_context(lock.hold(tickets / "archive" / "DEDL-2"))
    # The lock says who may come in by a variable, which a batch of somebody else has not.
    monkeypatch.delenv(lock.VARIABLE)
    monkeypatch.setattr(queue.time, "sleep", lambda _: held.close())

    assert main(["run", "DEDL-*", "--wait"]) == DONE

    shown = capsys.readouterr()
    assert "the case is in use by" in shown.err
    assert "1 published, 1 running: DEDL-2" in shown.out
    assert shown.out.splitlines()[-1] == "2 published"
