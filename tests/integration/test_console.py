"""The console: its widgets' callbacks do on the real servers what they say."""

import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dedl_sandbox import processes
from dedl_workbook.notebooks.console import TICKETS, Console

from tests.conftest import COLLECTION, Workbook

PATIENCE = 300


@pytest.fixture
def console(lake: Workbook) -> Iterator[Console]:
    console = Console(lake.root)
    yield console
    console.panel.work.stop()
    console.panel.work.wait(PATIENCE)


def press(console: Console, name: str) -> str:
    """Press a button of the chosen ticket, and return what the console says when it is done."""
    act = console.panel.acts[name]
    assert act.box.layout.display != "none", name
    assert not act.button.disabled, name
    act.button.click()
    console.panel.work.wait(PATIENCE)
    return str(console.panel.note.value)


def verdict(console: Console) -> tuple[str, str]:
    row = next(iter(console.rows.values()))
    return row.state, row.next


def shown(console: Console) -> set[str]:
    acts = console.panel.acts
    return {name for name, act in acts.items() if act.box.layout.display != "none"}


def fill(console: Console, **values: object) -> None:
    for key, value in values.items():
        console.form.fields[key].value = value


@pytest.mark.slow
def test_a_ticket_goes_from_the_form_to_the_evidence_and_is_taken_back(
    lake: Workbook, console: Console
) -> None:
    fill(console, ticket="DEDL-1", dataset=f"delivered/{COLLECTION}", collection=COLLECTION)
    fill(console, board_reference="minutes 7", board_date=dt.date(2026, 11, 2))
    console.form.save.button.click()
    assert console.tabs.selected_index == TICKETS
    assert verdict(console) == ("new", "plan")

    assert "Done:" in press(console, "plan")
    assert verdict(console) == ("planned", "approve")
    assert console.panel.acts["run"].button.disabled
    assert "approved plan" in press(console, "approve")
    assert "notify: passed" in press(console, "run")
    assert verdict(console) == ("published", "")
    assert lake.collections() == [COLLECTION]
    assert "Done:" in press(console, "pack")
    assert "bag/data/index.html" in console.panel._papers.value

    console.panel.name.value = "DEDL-1"
    press(console, "withdraw")
    hidden = [k for k, act in console.panel.acts.items() if act.box.layout.display == "none"]
    assert hidden == ["file", "run", "rehearse"]
    press(console, "approve")
    console.panel.name.value = "DEDL-1"
    assert "withdraw: passed" in press(console, "withdraw")
    assert lake.collections() == []
    assert verdict(console) == ("withdrawn", "")


def test_a_refused_plan_is_not_run_and_the_reason_is_kept(lake: Workbook, console: Console) -> None:
    lake.write_ticket()
    console.refresh()
    console.choose("DEDL-1")
    press(console, "plan")
    assert console.panel.acts["refuse"].button.disabled

    console.panel.reason.value = "the wrong id"
    press(console, "refuse")

    assert verdict(console) == ("plan refused", "plan")
    assert "run" not in shown(console)
    lines = (lake.archive / "DEDL-1" / "ledger.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["reason"] == "the wrong id"
    assert lake.collections() == []


def test_a_failing_validation_is_said_with_what_to_do(lake: Workbook, console: Console) -> None:
    next((lake.dataset / "metadata" / "items").iterdir()).write_text("{")
    lake.write_ticket()
    console.refresh()
    console.choose("DEDL-1")

    said = press(console, "plan")

    assert "validate: failed" in said
    assert "Fix this" in said
    assert "told what to fix" in console.panel.acts["approve"].says.value
    assert console.panel.acts["rehearse"].box.layout.display == "none"


def test_withdraw_asks_for_the_tickets_name(lake: Workbook, console: Console) -> None:
    lake.publish()
    console.refresh()
    console.choose("DEDL-1")
    button = console.panel.acts["withdraw"].button
    assert button.disabled

    console.panel.name.value = "DEDL-2"
    assert button.disabled
    console.panel.name.value = "DEDL-1"
    assert not button.disabled


def test_an_approval_is_of_the_plan_that_was_shown(lake: Workbook, console: Console) -> None:
    case = lake.case()
    lake.publish()
    shown_digest = case.plan()["digest"]
    console.refresh()
    console.choose("DEDL-1")
    (lake.dataset / "data" / "more.txt").write_text("more")
    later = lake.case().plan()["digest"]
    assert later != shown_digest

    console.panel.approve()

    approved = [line for line in case.ledger() if line["event"] == "approved"]
    assert approved[-1]["digest"] == shown_digest


def test_a_run_can_be_stopped_and_is_recorded(lake: Workbook, console: Console) -> None:
    lake.write_ticket(approve="any")
    console.refresh()
    console.choose("DEDL-1")
    work = console.panel.work
    ledger = lake.archive / "DEDL-1" / "ledger.jsonl"

    console.panel.plan()
    await_line(ledger, b"started")
    work.stop()
    work.wait(PATIENCE)

    assert "interrupted" in console.panel.note.value
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    outcomes = [line["verdict"] for line in lines if line["event"] == "outcome"]
    assert outcomes == ["failed"]


@pytest.mark.slow
def test_a_run_goes_on_when_the_kernel_that_started_it_is_killed(lake: Workbook) -> None:
    """As it does when JupyterLab ends, or the machine's memory does."""
    lake.write_ticket(approve="any")
    ledger = lake.archive / "DEDL-1" / "ledger.jsonl"
    code = (
        "import sys; from pathlib import Path;"
        "from dedl_workbook.notebooks.console.process import Work;"
        "work = Work(Path(sys.argv[1])); work.start(['run', 'DEDL-1'], print); work.wait()"
    )
    kernel = subprocess.Popen([sys.executable, "-c", code, str(lake.root)])
    await_line(ledger, b'"event":"started"')
    kernel.kill()
    kernel.wait()

    await_line(ledger, b'"step":"notify","summary"')

    last = [line for line in map(json.loads, ledger.read_text().splitlines()) if "verdict" in line]
    assert last[-1]["verdict"] == "passed"


def await_line(file: Path, part: bytes) -> None:
    for _ in processes.wait_until(time.monotonic() + PATIENCE):
        if file.exists() and part in file.read_bytes():
            return
    raise AssertionError(file.read_text() if file.exists() else "no ledger")
