"""The lock of a case: one at a time, also between processes, and gone with its process."""

import subprocess
import sys
from pathlib import Path

import pytest
from dedl_workbook import lock
from dedl_workbook.errors import ConflictError

HOLDER = """
import sys, pathlib
from dedl_workbook import lock
with lock.hold(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"DEDL_OPERATOR": "alice", "PATH": ""},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_says_who_is_at_the_case(tmp_path: Path) -> None:
    process = holder(tmp_path / "DEDL-1")
    try:
        with pytest.raises(ConflictError, match=rf"in use by alice on .*process {process.pid}\)"):
            with lock.hold(tmp_path / "DEDL-1"):
                pass
    finally:
        process.communicate("")


def test_goes_with_a_process_that_is_killed(tmp_path: Path) -> None:
    process = holder(tmp_path / "DEDL-1")
    process.kill()
    process.wait()

    with lock.hold(tmp_path / "DEDL-1"):
        pass


def test_lets_the_kernel_in_that_its_holder_started(tmp_path: Path) -> None:
    with lock.hold(tmp_path):
        # The variable is inherited by a kernel; here the same process plays both.
        with lock.hold(tmp_path):
            pass
    with lock.hold(tmp_path):
        pass


def test_is_free_again_after_its_block_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        with lock.hold(tmp_path):
            raise RuntimeError
    process = holder(tmp_path)
    process.communicate("")
    assert process.returncode == 0
