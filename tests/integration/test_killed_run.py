"""A run that is killed at any moment: the record is whole, and the next run works."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dedl_workbook.case import ledger
from dedl_workbook.cli.codes import DONE
from dedl_workbook.cli.main import main
from dedl_workbook.evidence import sealing

from tests.conftest import Workbook


def start(*arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "dedl_workbook.cli", "run", "DEDL-1", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def begun(lake: Workbook) -> int:
    lines = ledger.read(lake.archive / "DEDL-1" / "ledger.jsonl")
    return sum(line["event"] == "started" for line in lines)


def kill_one(lake: Workbook, chance: random.Random, *arguments: str) -> None:
    """Kill a run a random time after it began an attempt: alone, or with its kernel."""
    before = begun(lake)
    process = start(*arguments)
    while process.poll() is None and begun(lake) == before:
        time.sleep(0.05)
    late = chance.uniform(0, 3.5)
    try:
        process.wait(late)
    except subprocess.TimeoutExpired:
        found = [process.pid, *(children(process.pid) if chance.random() < 0.5 else [])]
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        process.wait()


def demand_whole_record(lake: Workbook) -> None:
    case = lake.case()
    lines = case.ledger()
    started = [line["attempt"] for line in lines if line["event"] == "started"]
    ended = [line["attempt"] for line in lines if line["event"] in ("outcome", "planned")]
    folders = sorted(folder.name for folder in (case.folder / "attempts").iterdir())
    assert folders == started
    assert sorted(ended) == started
    assert [int(name[:3]) for name in started] == list(range(1, len(started) + 1))
    for folder in (case.folder / "attempts").iterdir():
        for file in folder.glob("*.json"):
            json.loads(file.read_bytes())
        if (folder / "notebook.ipynb").is_file():
            assert (folder / "notebook.html").is_file()
    sealing.require_unchanged(case)


@pytest.mark.parametrize(
    ("seed", "kills", "arguments"),
    [
        (0, 5, ("--step", "upload")),
        *(pytest.param(seed, 10, (), marks=pytest.mark.slow) for seed in range(1, 6)),
    ],
)
def test_a_run_that_is_killed_leaves_a_whole_record_and_the_next_one_works(
    lake: Workbook, seed: int, kills: int, arguments: tuple[str, ...]
) -> None:
    chance = random.Random(seed)
    name = lake.write_ticket(approve="any")
    if arguments:
        lake.publish("validate")

    for _ in range(kills):
        kill_one(lake, chance, *arguments)

    assert main(["run", name, *arguments]) == DONE
    demand_whole_record(lake)
