"""The lock of a case: one at a time, also between processes, and gone with its process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dedl_workbook.base.errors import ConflictError
from dedl_workbook.case import lock
from dedl_workbook.cli.codes import DONE
from dedl_workbook.cli.main import main
from dedl_workbook.publication.job import Outcome, Verdict

from tests.unit.conftest import make_case

LIBRARY = str(Path(lock.__file__).parents[2])
HOLDER = """
import sys, pathlib
from dedl_workbook.case import lock
with lock.hold(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path, **more: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"DEDL_OPERATOR": "alice", "PATH": "", "PYTHONPATH": LIBRARY, **more},
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


def left_on(host: str, folder: Path) -> None:
    """Leave what a run leaves that was killed there."""
    process = holder(folder)
    process.kill()
    process.wait()
    owner = json.loads((folder / ".lock").read_text())
    (folder / ".lock").write_text(json.dumps(owner | {"host": host}))


def test_what_another_host_left_behind_needs_a_persons_word(tmp_path: Path) -> None:
    left_on("elsewhere", tmp_path / "DEDL-1")

    with pytest.raises(ConflictError, match="dedl-workbook unlock DEDL-1"):
        with lock.hold(tmp_path / "DEDL-1"):
            pass
    assert lock.release(tmp_path / "DEDL-1")["host"] == "elsewhere"

    with lock.hold(tmp_path / "DEDL-1"):
        pass


def test_a_lock_that_is_held_is_not_released(tmp_path: Path) -> None:
    process = holder(tmp_path / "DEDL-1")
    try:
        with pytest.raises(ConflictError, match="in use by alice"):
            lock.release(tmp_path / "DEDL-1")
    finally:
        process.communicate("")
    assert lock.release(tmp_path / "nobody") == {}


def test_unlock_is_recorded(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(root))
    case = make_case(root)
    file = root / "parameters" / "tickets" / "DEDL-1.yaml"
    file.write_text(yaml.safe_dump(case.ticket.parameters()))
    left_on("elsewhere", case.folder)

    assert main(["unlock", "DEDL-1"]) == DONE
    assert main(["unlock", "DEDL-1"]) == DONE

    assert [line["left_by"]["host"] for line in case.ledger()] == ["elsewhere"]
    assert "nobody left a lock" in capsys.readouterr().out


def test_the_next_run_waits_for_the_kernel_of_one_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = holder(tmp_path)
    key = json.loads((tmp_path / ".lock").read_text())["key"]
    kernel = holder(tmp_path, DEDL_CASE_LOCK=key)
    process.kill()
    process.wait()
    monkeypatch.setattr(lock, "_GRACE", 0)
    with pytest.raises(ConflictError, match="in use by alice"):
        with lock.hold(tmp_path):
            pass

    kernel.kill()
    kernel.wait()

    with lock.hold(tmp_path):
        pass


def test_a_worker_that_outlives_its_process_holds_no_lock(tmp_path: Path) -> None:
    forks = HOLDER.replace('    print("held", flush=True)', "    import os, signal\n    os.fork()")
    forks = forks.replace(
        "sys.stdin.read()", "os.write(1, b'%d\\n' % os.getpid())\n    signal.pause()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", forks, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    pids = {int(process.stdout.readline()) for _ in range(2)}
    process.kill()
    process.wait()
    try:
        with lock.hold(tmp_path):
            pass
    finally:
        (worker,) = pids - {process.pid}
        os.kill(worker, 9)


def test_a_case_is_handed_to_another_operator_on_a_shared_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for operator in ("alice", "bob"):
        monkeypatch.setenv("DEDL_OPERATOR", operator)
        case = make_case(root)
        with lock.hold(case.folder):
            folder = case.new_attempt("validate")
            case.record_outcome(folder, Outcome("validate", Verdict.PASSED, "fine"), "")

    who = [(line["operator"], line["attempt"]) for line in case.ledger()]
    assert who == [*[("alice", "001-validate")] * 2, *[("bob", "002-validate")] * 2]
