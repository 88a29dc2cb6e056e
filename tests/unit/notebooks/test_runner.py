"""The headless runner: one tiny notebook for each way in which a notebook can go wrong."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from dedl_workbook.case.case import Case
from dedl_workbook.cli.codes import COULD_NOT_RUN, FAILED
from dedl_workbook.cli.main import main
from dedl_workbook.notebooks import runner
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.steps.order import STEPS
from dedl_workbook.views.failure import failure_of

from tests.unit.conftest import CANARIES, make_case, make_root

BEGIN = 'from dedl_workbook.notebooks.attempt import begin\nattempt = begin("validate", globals())'
PASS = """\
from dedl_workbook.publication.job import Outcome, Verdict
attempt.conclude(Outcome("validate", Verdict.PASSED, "fine"))"""


def write(root: Path, *cells: str) -> None:
    parameters = nbformat.v4.new_code_cell('ticket = ""', metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(
        cells=[parameters, *(nbformat.v4.new_code_cell(cell) for cell in cells)],
        metadata={"kernelspec": {"name": "python3", "display_name": "p", "language": "python"}},
    )
    (root / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, root / "notebooks" / "10-validate.ipynb")


def run(root: Path, *cells: str) -> tuple[Case, Outcome]:
    write(root, *cells)
    case = make_case(root)
    return case, runner.run_step(case, STEPS["validate"], lambda _: None)


def attempt(case: Case) -> Path:
    return case.folder / "attempts" / "001-validate"


def recorded(case: Case) -> list[str]:
    return [line["verdict"] for line in case.ledger() if line["event"] == "outcome"]


def test_keeps_the_executed_notebook_and_its_page_of_a_step_that_passed(root: Path) -> None:
    case, outcome = run(root, BEGIN, "print('seen')", PASS)

    assert outcome.verdict is Verdict.PASSED
    assert recorded(case) == ["passed"]
    assert "seen" in (attempt(case) / "notebook.ipynb").read_text()
    assert "seen" in (attempt(case) / "notebook.html").read_text()


def test_an_error_in_a_cell_is_a_failure_with_its_reason_recorded_once(root: Path) -> None:
    case, outcome = run(root, BEGIN, "raise ValueError('no such thing')", PASS)

    assert (outcome.verdict, outcome.summary) == (Verdict.FAILED, "ValueError: no such thing")
    assert recorded(case) == ["failed"]
    assert "no such thing" in (attempt(case) / "notebook.html").read_text()


def test_our_own_errors_come_without_a_traceback(root: Path) -> None:
    raises = "from dedl_workbook.base.errors import InputError\n"
    raises += "raise InputError('is empty', where='a.json', remedy='Fill it.')"

    case, outcome = run(root, BEGIN, raises)

    assert outcome.summary == "a.json: is empty\n  Fill it."
    outputs = (attempt(case) / "notebook.ipynb").read_text()
    assert "InputError: a.json: is empty" in outputs
    assert "Traceback" not in outputs


@pytest.mark.parametrize("last", ["import sys\nsys.exit(0)", "import os\nos._exit(0)"])
def test_a_notebook_that_ends_early_has_not_passed(root: Path, last: str) -> None:
    case, outcome = run(root, BEGIN, last, PASS)

    assert outcome.verdict is Verdict.FAILED
    assert recorded(case)[-1] == "failed"


def test_a_verdict_before_the_end_does_not_count_when_cells_never_ran(root: Path) -> None:
    case, outcome = run(root, BEGIN, PASS, "import os\nos._exit(0)", "print('never')")

    assert outcome.verdict is Verdict.FAILED
    assert recorded(case)[-1] == "failed"


def test_a_notebook_without_a_verdict_has_failed(root: Path) -> None:
    _, outcome = run(root, BEGIN)

    assert outcome.verdict is Verdict.FAILED
    assert "without a verdict" in outcome.summary


def test_a_verdict_of_failed_ends_the_notebook(root: Path) -> None:
    case, outcome = run(root, BEGIN, PASS.replace("PASSED", "FAILED"), "print('never')")

    assert outcome.verdict is Verdict.FAILED
    assert recorded(case) == ["failed"]


def test_secrets_that_a_notebook_shows_reach_no_file_of_the_case(root: Path) -> None:
    shows = f"""\
import base64, logging, sys
secret = {CANARIES[1]!r}
print(secret, base64.b64encode(secret.encode()))
print(secret, file=sys.stderr)
logging.getLogger("dedl_workbook").warning("it is %s", secret)
{{"key": secret}}"""
    raises = f"raise ValueError({CANARIES[2]!r})"

    case, _ = run(root, BEGIN, shows, raises)

    files = [file for file in case.folder.rglob("*") if file.is_file()]
    assert len(files) >= 5
    found = [(f.name, c) for f in files for c in CANARIES if c.encode() in f.read_bytes()]
    assert found == []


def test_parameters_are_the_tickets(root: Path) -> None:
    case, outcome = run(root, BEGIN, "assert ticket == 'DEDL-1' and roles == []", PASS)

    assert outcome.verdict is Verdict.PASSED, outcome.summary
    injected = json.loads((attempt(case) / "notebook.ipynb").read_text())["cells"][1]
    assert "injected-parameters" in injected["metadata"]["tags"]


WAITS = """\
import os, pathlib, time
pathlib.Path('here').write_text(str(os.getpid()))
time.sleep(600)"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_a_signal_to_end_ends_the_kernel_and_leaves_a_record(
    root: Path, number: signal.Signals
) -> None:
    os.mkfifo(root / "here")
    write(root, BEGIN, WAITS, PASS)
    code = f"""\
import pathlib
from dedl_workbook.notebooks import runner as headless
from dedl_workbook.steps.order import STEPS
from tests.unit.conftest import make_case
headless.run_step(make_case(pathlib.Path({str(root)!r})), STEPS["validate"], lambda _: None)"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], stderr=subprocess.DEVNULL
    )
    kernel = int((root / "here").read_text())

    process.send_signal(number)
    process.wait(60)

    case = make_case(root)
    assert process.returncode != 0
    assert not Path(f"/proc/{kernel}").exists()
    assert recorded(case) == ["failed"]
    assert "Interrupted by the operator" in case.last_outcome("validate")["summary"]
    assert (attempt(case) / "notebook.html").is_file()


@pytest.mark.parametrize("event", ["started", "outcome"])
def test_ctrl_c_while_the_record_is_written_leaves_it_whole(
    root: Path, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    record = Case.record

    def interrupted(case: Case, what: str, **told: object) -> dict[str, object]:
        if what == event:
            signal.raise_signal(signal.SIGINT)
        line = record(case, what, **told)
        if what == event:
            signal.raise_signal(signal.SIGINT)
        return line

    monkeypatch.setattr(Case, "record", interrupted)

    with pytest.raises(KeyboardInterrupt):
        run(root, BEGIN)  # no verdict: the outcome is the runner's to record

    case = make_case(root)
    assert [line["event"] for line in case.ledger()][:2] == ["started", "outcome"]
    assert recorded(case) == ["failed"]


def test_a_step_that_takes_too_long_is_ended_and_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDL_SITE__STEP_HOURS", '{"validate": 0.0015}')
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text()

    case, outcome = run(root, BEGIN, "import time\ntime.sleep(600)", PASS)

    assert recorded(case) == ["failed"]
    assert "Ended after 0.0015 h" in outcome.summary
    assert children.read_text() == before
    assert (attempt(case) / "notebook.html").is_file()


def test_a_failure_is_told_on_a_few_lines(root: Path) -> None:
    prints = "for n in range(9):\n    print('line', n)\nraise ValueError('no such thing')"
    case, _ = run(root, BEGIN, prints, PASS)

    found = failure_of(attempt(case))

    assert (found.cell, found.error) == ("4 of 5", "ValueError: no such thing")
    assert found.last == tuple(f"line {n}" for n in range(4, 9))
    assert found.record == attempt(case) / "notebook.html"


def test_the_running_cell_is_told(root: Path) -> None:
    write(root, BEGIN, "import time; time.sleep(1)", PASS)
    said: list[str] = []

    runner.run_step(make_case(root), STEPS["validate"], said.append)

    cells = {text.partition(":")[0] for text in said if text}
    assert {"validate", "validate, cell 4 of 5"} <= cells
    assert said[-1] == ""


def test_a_folder_with_braces_in_its_name_is_no_parameter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_root(tmp_path / "a{ticket}{", monkeypatch)

    assert run(folder, BEGIN, PASS)[1].verdict is Verdict.PASSED


@pytest.mark.parametrize("how", [[], ["--rehearse"]])
def test_a_pattern_that_fits_no_ticket_is_named(
    root: Path,
    how: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(root))

    assert main(["run", "NONE-*", *how]) == COULD_NOT_RUN
    assert "no ticket fits the pattern 'NONE-*'" in capsys.readouterr().err


def test_many_tickets_get_a_line_each_and_one_that_fails_does_not_stop_the_others(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(root))
    write(root, BEGIN, "print('so far')\nassert ticket != 'DEDL-2'", PASS)
    for name, mode in (("1", "wrong"), ("2", "new"), ("3", "new")):
        values = make_case(root, ticket=f"DEDL-{name}").ticket.parameters()
        file = root / "parameters" / "tickets" / f"DEDL-{name}.yaml"
        file.write_text(yaml.safe_dump(values | {"mode": mode}))

    code = main(["run", "DEDL-[123]", "--step", "validate"])

    said = capsys.readouterr()
    assert code == FAILED
    assert [line for line in said.err.splitlines() if "could not run DEDL-1: " in line]
    second, third, total = said.out.splitlines()
    assert total == "1 new: DEDL-3, 1 failed: DEDL-2, 1 could not be run: DEDL-1"
    page = make_case(root, ticket="DEDL-2").folder / "attempts" / "001-validate" / "notebook.html"
    assert second.startswith("failed DEDL-2 validate: AssertionError")
    assert second.endswith(f"({page})")
    assert third == "passed DEDL-3 validate: fine"

    assert main(["run", "DEDL-2", "--step", "validate"]) == FAILED
    alone = capsys.readouterr().out
    assert "cell:         4 of 5" in alone
    assert "printed last: so far" in alone
    assert main(["run", "NONE-*"]) == COULD_NOT_RUN


HANDMADE = """\
from dedl_workbook.base.errors import GateError
try:
    {}
except GateError as error:
    print("REFUSED", error)"""


def test_by_hand_an_attempt_that_failed_does_not_go_on(root: Path) -> None:
    """Cells run one after the other although one failed, as an operator would in JupyterLab."""
    import nbclient

    conclude = PASS.splitlines()
    again = HANDMADE.format("attempt.conclude(Outcome('validate', Verdict.PASSED, 'fine'))")
    write(root, by_hand(BEGIN), "typo", f"{conclude[0]}\n{again}", by_hand(BEGIN), PASS)
    notebook = nbformat.read(root / "notebooks" / "10-validate.ipynb", as_version=4)

    nbclient.NotebookClient(notebook, allow_errors=True, kernel_name="python3").execute(cwd=root)

    case = make_case(root)
    assert "this attempt has ended" in str(notebook.cells[3].outputs)
    ended = [line for line in case.ledger() if line["event"] == "outcome"]
    assert [(line["attempt"], line["verdict"]) for line in ended] == [
        ("001-validate", "failed"),
        ("002-validate", "passed"),
    ]
    assert case.passed("validate", case.job.fingerprint)


def test_by_hand_a_second_beginning_ends_the_first_and_nothing_undoes_its_verdict(
    root: Path,
) -> None:
    import nbclient

    write(root, by_hand(BEGIN), by_hand(BEGIN), PASS, "1 / 0")
    notebook = nbformat.read(root / "notebooks" / "10-validate.ipynb", as_version=4)

    nbclient.NotebookClient(notebook, allow_errors=True, kernel_name="python3").execute(cwd=root)

    ended = [line for line in make_case(root).ledger() if line["event"] == "outcome"]
    assert [(line["attempt"], line["verdict"]) for line in ended] == [
        ("001-validate", "failed"),
        ("002-validate", "passed"),
    ]
    assert "Begun again" in ended[0]["summary"]


def by_hand(begin: str) -> str:
    """Return a cell that begins with the ticket's values written into it."""
    values = {
        "ticket": "DEDL-1",
        "dataset": "delivered",
        "collection": "EO.XXX.DAT.YYY",
        "target": "site",
        "board_reference": "minutes 7",
        "board_date": "2026-11-02",
    }
    return f"globals().update({values!r})\n{begin}"
