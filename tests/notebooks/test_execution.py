"""Each notebook runs as users run it: with plain papermill, by nbval, by hand in a kernel."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dedl_workbook.cli.codes import DONE
from dedl_workbook.cli.main import main
from dedl_workbook.steps.order import STEPS

from tests.conftest import Workbook

BIN = Path(sys.executable).parent
COPIES = [f"{name}.ipynb" for name in reversed(STEPS)]
"""The last goes first: it sends notebooks that were run before, and nbval keeps none."""


def ledger(lake: Workbook) -> list[dict[str, object]]:
    file = lake.archive / "DEDL-1" / "ledger.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def papermill(lake: Workbook, step: str, *more: str) -> "subprocess.CompletedProcess[str]":
    notebook = f"notebooks/{STEPS[step].notebook}.ipynb"
    ticket = "parameters/tickets/DEDL-1.yaml"
    command = [str(BIN / "papermill"), notebook, f"{step}.ipynb", "-f", ticket, *more]
    return subprocess.run(command, cwd=lake.root, capture_output=True, text=True)


@pytest.mark.slow
def test_plain_papermill_runs_every_step_and_leaves_the_same_ledger(lake: Workbook) -> None:
    """But for the last, which sends executed notebooks that plain papermill keeps elsewhere."""
    lake.write_ticket(approve="any")
    steps = list(STEPS)[:-1]

    for step in steps:
        done = papermill(lake, step)
        assert done.returncode == 0, done.stderr

    passed = [(x["step"], x["verdict"]) for x in ledger(lake) if x["event"] == "outcome"]
    assert passed == [(step, "passed") for step in steps]


def test_the_console_runs_without_anybody_who_clicks_and_keeps_what_it_showed(
    lake: Workbook,
) -> None:
    lake.publish(board_reference="minutes <7>")

    command = [str(BIN / "papermill"), "notebooks/00-console.ipynb", "console.ipynb"]
    done = subprocess.run(command, cwd=lake.root, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    cells = json.loads((lake.root / "console.ipynb").read_text())["cells"]
    kept = "".join(cells[-1]["outputs"][0]["data"]["text/plain"])
    assert "DEDL-1  EO.DEDL.DAT.DEMO_HEAT  lake  published" in kept
    assert "lake: database answers" in kept
    assert "No choice was made." in kept


def test_plain_papermill_without_approval_plans_only(lake: Workbook) -> None:
    lake.publish("validate", approve="")

    assert papermill(lake, "upload").returncode == 0

    assert ledger(lake)[-1]["verdict"] == "planned"
    assert lake.objects() == {}


def test_the_executed_upload_keeps_one_line_of_its_progress(lake: Workbook) -> None:
    for number in range(500):
        (lake.dataset / "data" / f"{number:03}.txt").write_text(str(number))
    lake.publish("access")

    done = papermill(lake, "upload")

    assert done.returncode == 0, done.stderr
    cells = json.loads((lake.root / "upload.ipynb").read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    shown = ["".join(output.get("data", {}).get("text/markdown", "")) for output in outputs]
    lines = [text for text in shown if text.startswith("upload: ")]
    files = sum(path.is_file() for path in (lake.dataset / "data").rglob("*"))
    assert len(outputs) < 10
    assert [f", {files} of {files} files" in line for line in lines] == [True]
    assert len(lines[0].splitlines()) == 1


def test_plain_papermill_fails_when_the_step_fails_and_the_ledger_says_why(lake: Workbook) -> None:
    lake.write_ticket(approve="any")

    done = papermill(lake, "upload")

    assert done.returncode != 0
    assert "validate has not passed" in done.stderr
    last = ledger(lake)[-1]
    assert (last["step"], last["verdict"]) == ("upload", "failed")
    assert "validate has not passed" in str(last["summary"])


def test_a_wrong_parameter_is_refused_before_anything_is_done(lake: Workbook) -> None:
    lake.write_ticket()

    done = papermill(lake, "validate", "-p", "mode", "update")

    assert done.returncode != 0
    assert "mode: should be 'new' or 'replace'" in done.stderr
    assert not lake.archive.exists()


def test_nbval_runs_every_notebook_of_a_run(lake: Workbook) -> None:
    """On copies with the ticket's parameters injected; what is done already stays so."""
    import papermill

    ticket = lake.ticket(approve="any")
    lake.publish()
    for sent in ("validate", "verify"):
        assert main(["run", ticket.ticket, "--step", sent]) == DONE
    for step in STEPS.values():
        source = lake.root / "notebooks" / f"{step.notebook}.ipynb"
        copy = lake.root / f"{step.name}.ipynb"
        papermill.execute_notebook(
            str(source), str(copy), parameters=ticket.parameters(), prepare_only=True
        )

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "-p", "no:randomly", *COPIES],
        cwd=lake.root,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )

    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
