"""Where the seconds of a small ticket go: each step's own work, and what the workbook adds to it.

Run: python benchmarks/ticket.py [--scenes 36] [--tickets 200]
A step's work is what its notebook's cells take; the rest is the kernel's start and end, papermill,
the page of the notebook, and the seal. Validation and plan are done before the clock starts.
Limits: a ticket of 36 scenes 28 s, `status` of 200 tickets 0.8 s, `run` of a finished one 1 s.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dedl_sandbox as sandbox
import yaml
from dedl_sandbox.sample.dataset import make_sample
from dedl_workbook.case import lock
from dedl_workbook.case.case import Case
from dedl_workbook.notebooks import runner
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.steps.order import STEPS
from overhead import ID, report, seconds, workbook

WHOLE, STATUS, FINISHED = 28.0, 0.8, 1.0
"""Seconds that are allowed."""


def cells(folder: Path) -> float:
    """Seconds that the cells of an attempt's notebook took."""
    notebook = json.loads((folder / "notebook.ipynb").read_bytes())
    marks = [cell["metadata"].get("papermill", {}) for cell in notebook["cells"]]
    return sum(mark.get("duration") or 0.0 for mark in marks)


def published(ticket: Ticket, root: Path) -> float:
    """Run a planned and approved ticket; print a line a step; return its seconds."""
    case = Case.of(ticket, root)
    last = start = time.perf_counter()
    print(f"{'step':<12}{'whole':>8}{'work':>8}{'overhead':>10}")
    for outcome in runner.run(ticket, root, list(STEPS.values()), lambda _: None):
        now = time.perf_counter()
        require_passed(outcome)
        attempt = sorted((case.folder / "attempts").glob(f"*-{outcome.step}"))[-1]
        work = cells(attempt)
        whole, last = now - last, now
        print(f"{outcome.step:<12}{whole:8.1f}{work:8.1f}{whole - work:10.1f}", flush=True)
    return time.perf_counter() - start


def require_passed(outcome: Outcome) -> None:
    if outcome.verdict is not Verdict.PASSED:
        raise SystemExit(f"{outcome.step}: {outcome.verdict}. {outcome.summary}")


def command(root: Path, *arguments: str) -> float:
    """Seconds for a command of a process of its own."""
    program = [sys.executable, "-m", "dedl_workbook.cli", *arguments]
    options = {"cwd": root, "stdout": subprocess.DEVNULL, "check": True}
    return seconds(lambda: subprocess.run(program, **options))


def queue(root: Path, ticket: Ticket, count: int) -> None:
    """Write the files of many tickets, each with the ledger of the one that was published."""
    archive = Case.of(ticket, root).target.archive
    ledger = (archive / ticket.ticket / "ledger.jsonl").read_bytes()
    for number in range(count):
        name = f"Q-{number}"
        values = ticket.parameters() | {"ticket": name}
        file = root / "parameters" / "tickets" / f"{name}.yaml"
        file.write_text(yaml.safe_dump(values))
        (archive / name).mkdir(parents=True)
        (archive / name / "ledger.jsonl").write_bytes(ledger)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=36)
    parser.add_argument("--tickets", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch).resolve() / "workbook"
        template = workbook(root)
        dataset = make_sample(root / "small" / ID, collection=ID, scenes=given.scenes)
        values = template.parameters() | {"dataset": str(dataset), "approve": ""}
        ticket = Ticket.of(values, "the benchmark")
        file = root / "parameters" / "tickets" / f"{ticket.ticket}.yaml"
        file.write_text(yaml.safe_dump(ticket.parameters()))
        with sandbox.up(root / ".sandbox", attached=True):
            case = Case.of(ticket, root)
            runner.validate(ticket, root, lambda _: None)
            print(f"{'plan':<12}{seconds(lambda: runner.plan(ticket, root, lambda _: None)):8.1f}")
            with lock.hold(case.folder):
                planned = [x for x in case.ledger() if x["event"] == "planned"]
                case.approve(planned[-1]["digest"])
            slow = [report("the ticket", published(ticket, root), WHOLE)]
            slow.append(report("run of a finished one", command(root, "run", "DEMO-1"), FINISHED))
            queue(root, ticket, given.tickets)
            name = f"status of {given.tickets}"
            slow.append(report(name, command(root, "status"), STATUS))
        sandbox.down(root / ".sandbox", wipe=True)
    return int(any(slow))


if __name__ == "__main__":
    sys.exit(main())
