"""What the workbook costs where there is nothing to do: each notebook beside papermill on `pass`.

Run: python benchmarks/overhead.py [--runs 5]
Verify alone has something to do: see `workbook`.
Limits: a notebook 3 s more than papermill; `import dedl_workbook` and the command line 0.3 s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dedl_sandbox as sandbox
import nbformat
from dedl_sandbox.client import TIED_TO
from dedl_sandbox.sample.dataset import make_sample
from dedl_workbook.case import lock
from dedl_workbook.case.case import Case
from dedl_workbook.notebooks import runner
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Verdict
from dedl_workbook.steps.order import STEPS, Step

PROJECT = Path(__file__).parents[1]
NOTEBOOK, IMPORT = 3.0, 0.3
"""Seconds that are allowed."""
MODULES = ("dedl_workbook", "dedl_workbook.cli.main")
ID = "EO.DEDL.DAT.DEMO_HEAT"


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def imported(module: str, runs: int) -> float:
    """Seconds for importing a module, less those for starting Python."""
    code = f"import time; s = time.perf_counter(); import {module}; print(time.perf_counter() - s)"
    command = [sys.executable, "-c", code]
    return statistics.median(float(subprocess.check_output(command)) for _ in range(runs))


def workbook(root: Path) -> Ticket:
    """Make a workbook with a dataset of one item, its ticket, and a sandbox of its own as target.

    Verify is never without work: that one item it searches for and downloads, as two clients.
    """
    (root / "parameters" / "tickets").mkdir(parents=True)
    shutil.copytree(PROJECT / "parameters" / "targets", root / "parameters" / "targets")
    shutil.copy(PROJECT / "parameters" / "keywords.yaml", root / "parameters")
    (root / "notebooks").symlink_to(PROJECT / "notebooks")
    dataset = make_sample(root / "delivered", scenes=1)
    values = {
        "ticket": "DEMO-1",
        "dataset": str(dataset),
        "collection": ID,
        "target": "sandbox",
        "board_reference": "benchmark",
        "board_date": "2026-01-01",
        "approve": "any",
    }
    return Ticket.of(values, "the benchmark")


def papermill_alone(folder: Path) -> float:
    import papermill
    from traitlets.config import Config

    source = folder / "pass.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cell = nbformat.v4.new_code_cell("pass")
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    nbformat.write(notebook, source)
    # Without its progress bar, and over local sockets, which spares a warning.
    options = {"progress_bar": False, "config": Config({"KernelManager": {"transport": "ipc"}})}
    out = str(folder / "out.ipynb")
    return seconds(lambda: papermill.execute_notebook(str(source), out, **options))


def again(ticket: Ticket, root: Path, step: Step) -> float:
    """Seconds for a step that has nothing to do any more."""
    case = Case.of(ticket, root)

    def work() -> None:
        with lock.hold(case.folder):
            outcome = runner.run_step(case, step, lambda _: None)
        if outcome.verdict is not Verdict.PASSED:
            raise SystemExit(f"{step.name}: {outcome.verdict}. {outcome.summary}")

    return seconds(work)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="default: 5; the median counts")
    os.environ[TIED_TO] = str(os.getpid())
    runs = parser.parse_args().runs
    slow = [report(f"import {m}", imported(m, runs), IMPORT) for m in MODULES]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch).resolve() / "workbook"
        ticket = workbook(root)
        with sandbox.up(root / ".sandbox", attached=True):
            for outcome in runner.run(ticket, root, list(STEPS.values()), lambda _: None):
                if outcome.verdict is not Verdict.PASSED:
                    raise SystemExit(f"{outcome.step}: {outcome.summary}")
            papermill_alone(root)
            # By turns, so that a machine that is busy is so for both.
            for step in STEPS.values():
                pairs = [(again(ticket, root, step), papermill_alone(root)) for _ in range(runs)]
                more = statistics.median(ours - theirs for ours, theirs in pairs)
                slow.append(report(step.notebook, more, NOTEBOOK))
        sandbox.down(root / ".sandbox", wipe=True)
    return int(any(slow))


def report(name: str, value: float, limit: float) -> bool:
    """Print a line, and tell whether it is too slow."""
    slow = value > limit
    print(f"{name:<26} {value:6.2f} s   of {limit} s{'   TOO SLOW' if slow else ''}", flush=True)
    return slow


if __name__ == "__main__":
    sys.exit(main())
