"""The command line: exit codes, help and words for what was mistyped."""

import errno
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from dedl_workbook.cli import dataset
from dedl_workbook.cli.codes import COULD_NOT_RUN, DONE
from dedl_workbook.cli.main import main

COMMANDS = ["demo", "validate", "plan", "run", "approve", "status", "evidence", "rules"]
COMMANDS += ["schemas", "sample", "lab", "sandbox", "withdraw"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == DONE

    assert "Usage: dedl-workbook" in capsys.readouterr().out


def test_offers_the_nearest_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["aprove"]) == COULD_NOT_RUN

    assert "Did you mean 'approve'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "near"),
    [
        (["run", "DEDL-1", "--rehearsal"], "--rehearse"),
        (["evidence", "verify", "x", "--signer=f"], "--signers"),
        (["sandbox", "down", "--wip"], "--wipe"),
    ],
)
def test_refuses_an_option_that_its_command_does_not_know(
    given: list[str], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given) == COULD_NOT_RUN

    said = capsys.readouterr().err
    assert said.startswith(f"Usage: dedl-workbook {given[0]}")
    assert re.search(f"Did you mean .*{near!r}", said)


def test_says_that_there_is_no_workbook_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["status"]) == COULD_NOT_RUN

    assert "no workbook here" in capsys.readouterr().err


def test_a_full_disk_is_told_with_the_folder_of_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(**_: object) -> int:
        # As writing to an open file says it: without the file's name.
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(dataset.validate, "callback", full)

    assert main(["validate", "x"]) == COULD_NOT_RUN

    said = capsys.readouterr().err
    assert said.startswith("error: No space left on device\n")
    assert f"Make room, also in {tmp_path}, or name another folder in TMPDIR" in said


def test_importing_the_library_loads_nothing_heavy() -> None:
    heavy = ("boto3", "papermill", "pystac", "psycopg", "pypgstac", "IPython", "rasterio", "numpy")
    code = (
        "import sys, dedl_workbook.cli.main, dedl_workbook.notebooks.runner;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
