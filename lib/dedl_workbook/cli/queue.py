"""The command that runs tickets: many of them, side by side, and until none waits.

Imports stand in the functions: a command loads what it needs, and no more.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from dedl_workbook.base.errors import ConflictError, InputError, WorkbookError
from dedl_workbook.cli.codes import CODES, COULD_NOT_RUN, DONE, FAILED, WAITING, worst
from dedl_workbook.cli.parser import STEP, TICKET, command, exclusive, takes_json
from dedl_workbook.cli.sandbox import rehearse, start_sandbox_for

if TYPE_CHECKING:
    from dedl_workbook.case.status import Row
    from dedl_workbook.publication.job import Outcome

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Result:
    """What became of one ticket."""

    code: int
    summary: dict[str, Any]
    """JSON."""

    @property
    def waits(self) -> bool:
        """Whether running it again later may go on: it waits, or somebody else is at it."""
        return self.code == WAITING or bool(self.summary.get("in_use"))


@dataclass(frozen=True)
class _How:
    """How tickets are to be run."""

    names: Sequence[str]
    step: str | None
    first: str | None
    again: bool
    jobs: int
    as_json: bool

    @property
    def many(self) -> bool:
        return len(self.names) > 1

    def options(self) -> list[str]:
        """Return the options for a process that runs one of them."""
        step = ["--step", self.step] if self.step else []
        first = ["--from", self.first] if self.first else []
        return [*step, *first, *(["--again"] if self.again else [])]


@command(
    example="dedl-workbook run DEDL-1\n"
    "dedl-workbook run 'DEDL-*'            all of them\n"
    "dedl-workbook run DEDL-1 --rehearse   into the sandbox first"
)
@click.argument(
    "tickets",
    nargs=-1,
    required=True,
    type=TICKET,
    metavar="TICKET...",
    help="A file, its name, or a pattern.",
)
@click.option("--step", type=STEP, metavar="S", help="This step alone.")
@click.option("--from", "first", type=STEP, metavar="S", help="This step and those after it.")
@click.option(
    "--rehearse",
    "rehearsal",
    is_flag=True,
    help="Publish into the sandbox, with a copy of HDA's configuration; not into the target.",
)
@click.option("--again", is_flag=True, help="Look once more at what has nothing left to do.")
@click.option("--jobs", type=int, default=1, metavar="N", help="Run N tickets side by side.")
@click.option("--wait", is_flag=True, help="Run those that wait again and again, until none does.")
@click.option(
    "--every", default="10m", metavar="TIME", help="How long --wait pauses: 90s, 10m, 2h or 1d."
)
@takes_json
def run(
    tickets: tuple[str, ...],
    step: str | None,
    first: str | None,
    rehearsal: bool,
    again: bool,
    jobs: int,
    wait: bool,
    every: str,
    as_json: bool,
) -> int:
    """Do what is left to do for tickets whose plan is approved."""
    from dedl_workbook.parameters.ticket import ticket_names
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    exclusive(**{"step": step, "from": first, "rehearse": rehearsal})
    pause = seconds(every)
    if jobs < 1:
        raise InputError("--jobs is less than 1: nothing would be run", remedy="Write --jobs 2.")
    names = ticket_names(tickets, workbook_root())
    if rehearsal:
        return each(names, as_json, lambda name, summary: _rehearse(name, summary, as_json))
    how = _How(names, step, first, again, jobs, as_json)
    results = _run_all(how, names)
    while wait and (waiting := [name for name in names if results[name].waits]):
        time.sleep(pause)
        results |= _run_all(how, waiting)
    if as_json:
        terminal.show_json([results[name].summary for name in names])
    return worst(result.code for result in results.values())


def _run_all(how: _How, names: Sequence[str]) -> dict[str, Result]:
    """Run tickets once; of many, print a line each and what became of all."""
    from dedl_workbook.case import status
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    if how.many and how.jobs > 1:
        results = _side_by_side(how, names)
    else:
        results = one_by_one(names, lambda *one: _run_one(how, *one))
    if how.many and not how.as_json:
        broken = [
            name
            for name, result in results.items()
            if "error" in result.summary and not result.waits
        ]
        rows = status.rows(workbook_root(), how.names)
        terminal.out.print(total(rows, broken, dt.datetime.now(dt.UTC)), markup=False)
    return results


def _run_one(how: _How, name: str, summary: dict[str, Any]) -> int:
    from dedl_workbook.notebooks import runner
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    root = workbook_root()
    ticket, steps = Ticket.load(name, root), runner.steps_from(how.first, how.step)
    outcomes: list[Outcome] = []
    summary["outcomes"] = []
    place = f"{how.names.index(name) + 1}/{len(how.names)} {name}, "
    with terminal.Progress(place if how.many else "") as progress:
        start_sandbox_for(ticket.target, progress)
        for outcome in runner.run(ticket, root, steps, progress, again=how.again):
            outcomes.append(outcome)
            summary["outcomes"].append(outcome.as_json())
            if not how.as_json and not how.many:
                terminal.show_outcome(ticket.ticket, outcome)
    codes = [DONE, *(CODES[str(outcome.verdict)] for outcome in outcomes)]
    failure = runner.failure(ticket, root) if FAILED in codes else None
    if failure:
        summary["failure"] = failure.as_json()
    if how.many and not how.as_json:
        terminal.show_line(name, deciding(outcomes), str(failure.record) if failure else "")
    elif failure and not how.as_json:
        terminal.show_failure(failure)
    return worst(codes)


def _side_by_side(how: _How, names: Sequence[str]) -> dict[str, Result]:
    from dedl_workbook.publication.job import Outcome, Verdict
    from dedl_workbook.views import terminal

    results = {}
    for name, result in side_by_side(names, how.jobs, how.options()):
        results[name], summary = result, result.summary
        if how.as_json:
            continue
        if "error" in summary:
            terminal.show_not_run(name, summary["error"])
            continue
        outcomes = [
            Outcome(one["step"], Verdict(one["verdict"]), one["summary"])
            for one in summary["outcomes"]
        ]
        record = summary.get("failure", {}).get("record", "")
        terminal.show_line(name, deciding(outcomes), record)
    return results


def _rehearse(name: str, summary: dict[str, Any], as_json: bool) -> int:
    from dedl_workbook.views import terminal

    with terminal.Progress() as progress:
        rehearsal = rehearse(name, progress)
    summary["outcomes"] = [outcome.as_json() for outcome in rehearsal.outcomes]
    summary["folder"] = str(rehearsal.folder)
    if not as_json:
        for outcome in rehearsal.outcomes:
            terminal.show_outcome(f"{name} (rehearsal)", outcome)
        terminal.out.print(f"it lies in {rehearsal.folder / 'index.html'}", markup=False)
    return DONE if rehearsal.passed else FAILED


def each(names: Sequence[str], as_json: bool, one: Callable[[str, dict[str, Any]], int]) -> int:
    """Do the same for each ticket, and return the exit code for all.

    With `--json`, the summaries of all tickets are printed at the end, in one list.
    """
    from dedl_workbook.views import terminal

    results = one_by_one(names, one)
    if as_json:
        terminal.show_json([result.summary for result in results.values()])
    return worst(result.code for result in results.values())


def one_by_one(
    names: Sequence[str], one: Callable[[str, dict[str, Any]], int]
) -> dict[str, Result]:
    """Do the same for each ticket: one that can't be run doesn't stop the others.

    Args:
        names: the tickets.
        one: is given a name, and a summary to fill; returns the exit code.
    """
    from dedl_workbook.views import terminal

    results = {}
    for name in names:
        summary: dict[str, Any] = {"ticket": name}
        try:
            code = one(name, summary)
        except (WorkbookError, OSError) as error:
            if len(names) == 1 and not isinstance(error, WorkbookError):
                raise
            terminal.show_error(error, name if len(names) > 1 else "")
            summary["error"], code = str(error), COULD_NOT_RUN
            if isinstance(error, ConflictError):
                summary["in_use"] = True
        results[name] = Result(code, summary)
    return results


def side_by_side(
    names: Sequence[str], jobs: int, options: Sequence[str]
) -> Iterator[tuple[str, Result]]:
    """Run tickets, each in a process of its own, and yield what became of each as it ends.

    A process that ends without an answer leaves its last words as `error`. Who ends this process
    ends them, too; what they did is recorded.

    Args:
        names: the tickets.
        jobs: how many run at the same time.
        options: further ones of `run`.
    """
    running: list[subprocess.Popen[str]] = []
    with ThreadPoolExecutor(jobs) as pool, _interrupted_by_signals():
        futures = {pool.submit(_run_in_process, name, options, running): name for name in names}
        try:
            for done in as_completed(futures):
                yield futures[done], done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                process.terminate()
            raise


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Let the signals that end a process do what Ctrl-C does."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_in_process(
    name: str, options: Sequence[str], running: list[subprocess.Popen[str]]
) -> Result:
    command = [sys.executable, "-m", "dedl_workbook.cli", "run", name, "--json", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        running.append(process)
        out, err = process.communicate()
        running.remove(process)
    try:
        (summary,) = json.loads(out)
    except ValueError:
        words = err.strip().splitlines() or ["it ended without an answer"]
        summary = {"ticket": name, "error": words[-1]}
    known = process.returncode in CODES.values() or "error" not in summary
    return Result(process.returncode if known else COULD_NOT_RUN, summary)


def seconds(text: str) -> int:
    """Return a duration such as 90s, 10m, 2h or 1d in seconds.

    Raises:
        InputError: it is none, or no time at all.
    """
    match = re.fullmatch(r"(\d{1,6})([smhd])", text.strip(), re.ASCII)
    if match is None or int(match[1]) == 0:
        raise InputError(
            f"{text!r} is no time to wait",
            where="--every",
            remedy="Write a number and a unit: 90s, 10m, 2h or 1d.",
        )
    return int(match[1]) * _UNITS[match[2]]


def deciding(outcomes: Sequence[Outcome]) -> Outcome | None:
    """Return the outcome that decides what became of a run: the worst, and of those the last."""
    for verdict in ("failed", "planned", "waiting"):
        if of_it := [outcome for outcome in outcomes if outcome.verdict == verdict]:
            return of_it[-1]
    return outcomes[-1] if outcomes else None


def total(rows: Sequence[Row], broken: Sequence[str], now: dt.datetime) -> str:
    """Return what became of all tickets as one line, what needs nobody first.

    Args:
        rows: where each stands.
        broken: the names of those that could not be run.
        now: UTC, for how long those wait that do.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.ticket not in broken:
            groups.setdefault(row.state, []).append(row)
    order = ["published", "withdrawn", "waiting", "planned", "failed"]
    states = sorted(groups, key=lambda s: order.index(s) if s in order else len(order) - 2)
    parts = [text for state in states for text in _parts(state, groups[state], now)]
    if broken:
        parts.append(f"{len(broken)} could not be run: {', '.join(broken)}")
    return ", ".join(parts)


def _parts(state: str, rows: Sequence[Row], now: dt.datetime) -> Iterator[str]:
    if state in ("published", "withdrawn"):
        yield f"{len(rows)} {state}"
    elif state == "waiting":
        by_whom: dict[str, list[Row]] = {}
        for row in rows:
            by_whom.setdefault(row.waiting_for, []).append(row)
        for whom, those in by_whom.items():
            since = min(row.since for row in those)
            yield f"{len(those)} waiting for {whom}{_for_how_long(since, now)}"
    else:
        yield f"{len(rows)} {state}: {', '.join(row.ticket for row in rows)}"


def _for_how_long(since: str, now: dt.datetime) -> str:
    try:
        days = (now - dt.datetime.fromisoformat(since)).days
    except (ValueError, TypeError):
        return ""
    return f" since {days} day{'' if days == 1 else 's'}" if days else " since today"
