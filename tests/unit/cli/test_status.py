"""What `status` shows: a queue at 80 columns, one ticket's story, and a change as it comes."""

import json
import re
from pathlib import Path

import pytest
import yaml
from dedl_workbook.cli import status as commands
from dedl_workbook.cli.codes import COULD_NOT_RUN, DONE
from dedl_workbook.cli.main import main
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.steps.order import STEPS
from dedl_workbook.views import terminal
from rich.console import Console

from tests.unit.conftest import make_case


def ticket(root: Path, name: str, *verdicts: str) -> None:
    """Write a ticket, and run its first steps with these verdicts."""
    case = make_case(root, ticket=name, collection=f"EO.DEDL.DAT.OF_{name.replace('-', '_')}")
    file = root / "parameters" / "tickets" / f"{name}.yaml"
    file.write_text(yaml.safe_dump(case.ticket.parameters()))
    for step, verdict in zip(STEPS, verdicts, strict=False):
        dataset = case.job.fingerprint if STEPS[step].of_dataset else ""
        case.record_outcome(
            case.new_attempt(step), Outcome(step, Verdict(verdict), "", waiting_for=""), dataset
        )


@pytest.fixture
def queue(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten tickets, of which OP-2 failed, OP-10 is published and the others are new."""
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(root))
    for number in (1, 3, 4, 5, 6, 7, 8, 9):
        ticket(root, f"OP-{number}")
    ticket(root, "OP-2", "passed", "passed", "failed")
    ticket(root, "OP-10", *["passed"] * len(STEPS))
    return root


def names(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()[1:]]


def test_what_needs_somebody_comes_first_and_what_is_done_last(
    queue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == DONE

    assert names(capsys) == ["OP-2", *(f"OP-{n}" for n in (1, 3, 4, 5, 6, 7, 8, 9, 10))]


def test_patterns_choose_as_those_of_run_do(
    queue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "OP-1*"]) == DONE
    assert names(capsys) == ["OP-1", "OP-10"]

    assert main(["status", "XX-*"]) == COULD_NOT_RUN
    assert "no ticket fits the pattern" in capsys.readouterr().err


def test_a_broken_ticket_is_a_line_below_and_the_others_are_shown(
    queue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (queue / "parameters" / "tickets" / "OP-3.yaml").write_text("ticket: OP-3\n")
    (queue / "parameters" / "tickets" / "OP-11.yml").write_text("ticket: OP-11\n")

    assert main(["status"]) == COULD_NOT_RUN

    shown = capsys.readouterr()
    assert "OP-3" not in shown.out
    assert "OP-4" in shown.out
    assert "could not read OP-3: dataset: is missing" in shown.err
    assert "could not read OP-11: tickets' files end in .yaml" in shown.err


def test_a_terminal_of_80_columns_shows_each_ticket_on_one_line(
    queue: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = Console(width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(terminal, "out", narrow)

    assert main(["status"]) == DONE

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    assert max(map(len, lines)) <= 80
    assert re.match(r"OP-2 +EO.DEDL.DAT.OF_OP_2 +failed +today \d\d:\d\d +plan$", lines[1].strip())


def test_one_ticket_tells_its_whole_story(queue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = make_case(queue, ticket="OP-10", collection="EO.DEDL.DAT.OF_OP_10")
    passed = Outcome("withdraw", Verdict.PASSED, "")
    case.record_outcome(case.new_attempt("withdraw"), passed, "")
    for step in STEPS:
        dataset = case.job.fingerprint if STEPS[step].of_dataset else ""
        case.record_outcome(case.new_attempt(step), Outcome(step, Verdict.PASSED, ""), dataset)

    assert main(["status", "OP-10"]) == DONE
    shown = capsys.readouterr().out
    assert main(["status", "OP-10", "--json"]) == DONE
    (story,) = json.loads(capsys.readouterr().out)

    first, second = story["publications"]
    assert (first["number"], second["number"]) == (1, 2)
    assert first["ended"].startswith("withdrawn 20")
    assert second["verified"]
    assert second["ended"] == ""
    assert [one["attempt"] for one in story["attempts"]][-1] == "015-notify"
    assert f"archive    {case.folder}" in shown
    assert "not packed yet" in shown
    assert "attempts/015-notify" in shown


def test_watching_shows_a_change_and_nothing_else(
    queue: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([lambda: None, lambda: ticket(queue, "OP-12"), lambda: None])

    def pause(seconds: int) -> None:
        assert seconds == 30
        look = next(looks, None)
        if look is None:
            raise KeyboardInterrupt
        look()

    monkeypatch.setattr(commands.time, "sleep", pause)

    assert main(["status", "OP-1*", "--watch", "--every", "30s"]) == DONE

    assert names(capsys) == ["OP-1", "OP-10", "ticket", "OP-1", "OP-12", "OP-10"]


@pytest.mark.parametrize("arguments", [["--every", "0"], ["--watch", "--json"]])
def test_what_would_never_pause_or_never_end_is_refused(
    queue: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["status", *arguments]) == COULD_NOT_RUN
    assert capsys.readouterr().out == ""


def test_a_name_that_is_nearly_a_tickets_is_answered_with_that(
    queue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "OPP-10"]) == COULD_NOT_RUN
    assert "Did you mean 'OP-10'?" in capsys.readouterr().err
