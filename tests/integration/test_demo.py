"""The demo, as `make demo` runs it: twice in a row, then taken back."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dedl_sandbox as sandbox
import pytest

from tests.conftest import PROJECT

COMMAND = Path(sys.executable).parent / "dedl-workbook"


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A workbook's folder of its own, whose sandbox is wiped at the end."""
    root = tmp_path / "a clone"
    shutil.copytree(PROJECT / "parameters", root / "parameters")
    shutil.copytree(PROJECT / "notebooks", root / "notebooks")
    yield root
    sandbox.down(root / ".sandbox", wipe=True)


def run(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(COMMAND), *arguments], cwd=root, capture_output=True, text=True, check=False
    )


def verdicts(root: Path, ticket: str) -> dict[str, str]:
    lines = (root / "archive" / "sandbox" / ticket / "ledger.jsonl").read_text().splitlines()
    found = [line for line in map(json.loads, lines) if line["event"] == "outcome"]
    return {line["step"]: line["verdict"] for line in found}


@pytest.mark.timeout(900)
def test_publishes_a_public_and_a_restricted_dataset_and_takes_one_back(clone: Path) -> None:
    first = run(clone, "demo")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "waiting DEMO-2 access" in first.stdout
    for ticket in ("DEMO-1", "DEMO-2"):
        assert set(verdicts(clone, ticket).values()) == {"passed"}

    planned = run(clone, "withdraw", "DEMO-2")
    assert planned.returncode == 3, planned.stdout + planned.stderr
    digest = planned.stdout.split()[-1]
    assert run(clone, "approve", "DEMO-2", digest).returncode == 0
    withdrawn = run(clone, "withdraw", "DEMO-2")
    assert withdrawn.returncode == 0, withdrawn.stdout + withdrawn.stderr
    assert verdicts(clone, "DEMO-2")["withdraw"] == "passed"


@pytest.mark.slow
def test_runs_twice_in_a_row_and_has_nothing_to_do_the_second_time(clone: Path) -> None:
    assert run(clone, "demo").returncode == 0

    second = run(clone, "demo")

    assert second.returncode == 0, second.stdout + second.stderr
    assert "DEMO-1: nothing to do" in second.stdout
    assert "DEMO-2: nothing to do" in second.stdout
