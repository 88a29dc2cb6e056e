"""The README: every command in it is run here, but for the two that run this and the demo."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT, Workbook

README = (PROJECT / "README.md").read_text()
COMMANDS = re.findall(r"^\$ (.+)$", README, flags=re.MULTILINE)
RUN_ELSEWHERE = {
    "make demo": "by the test of the demo",
    "make test": "it runs this test",
    "dedl-workbook sandbox up": "by the tests of the sandbox; here it is up",
    "dedl-workbook sandbox file DEDL-1": "by the tests of its help desk; here it is filed",
}


WITHDRAW = "dedl-workbook withdraw DEDL-1"
"""The first time it shows the plan, and ends with 3: not approved."""


def digest_of_last_plan(lake: Workbook) -> str:
    lines = (lake.archive / "DEDL-1" / "ledger.jsonl").read_text().splitlines()
    return str(
        [line for line in map(json.loads, lines) if line["event"] == "planned"][-1]["digest"]
    )


def test_every_command_runs_as_it_is_written(lake: Workbook) -> None:
    """In their order, for the ticket as it is written there, on a lake in place of the sandbox."""
    ticket = yaml.safe_load(README.partition("```yaml\n")[2].partition("```")[0])
    lake.write_ticket(**{**ticket, "target": "lake", "board_date": str(ticket["board_date"])})
    failed, done_before = [], list[str]()
    for command in COMMANDS:
        if command in RUN_ELSEWHERE:
            continue
        text = command.replace("archive/sandbox", "archive")
        if "DIGEST" in text:
            text = text.replace("DIGEST", digest_of_last_plan(lake))
        expected = 3 if text == WITHDRAW and text not in done_before else 0
        done_before.append(text)
        program, *arguments = shlex.split(text)
        done = subprocess.run(
            [str(Path(sys.executable).parent / program), *arguments],
            cwd=lake.root,
            capture_output=True,
            text=True,
        )
        if done.returncode != expected:
            failed.append(f"{command}: {done.stdout}{done.stderr}")

    assert failed == []


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_names_the_two_commands(command: str) -> None:
    assert command in COMMANDS


def test_gives_a_reason_for_every_dependency() -> None:
    from tests.unit.test_project import declared

    table = README.partition("| package | why |")[2].partition("\n\n")[0]
    named = set(re.findall(r"[a-z0-9-]+", table))
    plugins = {"boto3-stubs", "editables", "hatchling", "types-pyyaml"}
    missing = [name for name in declared() if name not in named | plugins]

    assert [name for name in missing if not name.startswith("pytest-")] == []
