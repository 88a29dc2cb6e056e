"""Who reads what is printed may go away, be nobody, or not know every letter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dedl_workbook.cli.codes import DONE
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.steps.order import STEPS

from tests.unit.conftest import make_case

PROGRAM = [sys.executable, "-m", "dedl_workbook.cli"]


@pytest.fixture
def queue(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three tickets that are published."""
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(root))
    for name in ("OP-1", "OP-2", "OP-3"):
        case = make_case(root, ticket=name, collection=f"EO.XXX.DAT.{name[-1]}")
        file = root / "parameters" / "tickets" / f"{name}.yaml"
        file.write_text(yaml.safe_dump(case.ticket.parameters()))
        for step in STEPS:
            dataset = case.job.fingerprint if STEPS[step].of_dataset else ""
            case.record_outcome(case.new_attempt(step), Outcome(step, Verdict.PASSED, ""), dataset)
    return root


def test_a_run_whose_reader_has_gone_goes_on(queue: Path) -> None:
    case = make_case(queue, ticket="OP-3", collection="EO.XXX.DAT.3", dataset="nowhere")
    file = queue / "parameters" / "tickets" / "OP-3.yaml"
    file.write_text(yaml.safe_dump(case.ticket.parameters()))
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*PROGRAM, "run", "OP-*"], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(reader)
    os.close(writer)

    _, err = process.communicate(timeout=120)

    assert "Traceback" not in err
    assert "BrokenPipe" not in err
    # The last of the three was come to.
    assert "could not run OP-3" in err


def errors(stderr: bytes) -> list[bytes]:
    """Return the lines but the one on the pool, which `status` asks and which is away here."""
    return [line for line in stderr.splitlines() if b"were not compared with the pool" not in line]


@pytest.mark.parametrize("command", ["rules", "rules --json", "status", "--help"])
def test_what_nobody_reads_is_printed_all_the_same(queue: Path, command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    gone = subprocess.run([*PROGRAM, *command.split()], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    shell = ["/bin/sh", "-c", f"exec {' '.join(PROGRAM)} {command} >&-"]
    closed = subprocess.run(shell, capture_output=True)

    assert [gone.returncode, errors(gone.stderr)] == [DONE, []]
    assert [closed.returncode, errors(closed.stderr)] == [DONE, []]


@pytest.mark.parametrize("command", ["rules", "rules --json", "status", "run --help"])
def test_a_stream_that_does_not_know_a_letter_gets_it_escaped(queue: Path, command: str) -> None:
    for encoding in ("latin-1", "ascii"):
        done = subprocess.run(
            [*PROGRAM, *command.split()],
            env=os.environ | {"PYTHONIOENCODING": encoding},
            capture_output=True,
        )
        assert [done.returncode, errors(done.stderr)] == [DONE, []]
        done.stdout.decode(encoding)
