"""Commands on tickets: plan, approve, run and withdraw them, and show where they stand.

Imports stand in the functions: a command loads what it needs, and no more.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from dedl_workbook.base.errors import InputError, WorkbookError
from dedl_workbook.cli import queue
from dedl_workbook.cli.codes import CODES, COULD_NOT_RUN, DONE, FAILED, NOT_APPROVED, WAITING, worst
from dedl_workbook.cli.parser import STEP, TICKET, command, exclusive, takes_json
from dedl_workbook.cli.sandbox import rehearse, start_sandbox

if TYPE_CHECKING:
    from dedl_workbook.publication.job import Outcome

_digest = click.argument("digest", help="All of it, or its first 12 characters.")


@command(example="dedl-workbook plan DEDL-1")
@click.argument(
    "tickets",
    nargs=-1,
    required=True,
    type=TICKET,
    metavar="TICKET...",
    help="A file, or its name.",
)
@takes_json
def plan(tickets: tuple[str, ...], as_json: bool) -> int:
    """Validate, and show what a ticket would change; nothing is changed."""
    from dedl_workbook.dataset.dataset import open_dataset
    from dedl_workbook.notebooks import runner
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    root = workbook_root()

    def one(name: str, summary: dict[str, Any]) -> int:
        ticket = Ticket.load(name, root)
        if not ticket.dataset.startswith("s3://"):
            # Before a sandbox is started for it.
            open_dataset(ticket.dataset, root=root)
        with terminal.Progress() as progress:
            _start_sandbox_for(ticket.target, progress)
            outcome = runner.validate(ticket, root, progress)
            if outcome is not None:
                summary["outcomes"] = [outcome.as_json()]
                if not as_json:
                    terminal.show_outcome(ticket.ticket, outcome)
            summary["plan"] = runner.plan(ticket, root, progress)
        if not as_json:
            terminal.show_plan(ticket.ticket, summary["plan"])
        return FAILED if outcome and outcome.verdict == "failed" else DONE

    return _each(tickets, as_json, one)


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
@click.option("--wait", is_flag=True, help="Run again and again until none waits any more.")
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

    exclusive(**{"step": step, "from": first, "rehearse": rehearsal})
    pause = queue.seconds(every)
    if jobs < 1:
        raise InputError("--jobs is less than 1: nothing would be run", remedy="Write --jobs 2.")
    names = ticket_names(tickets, workbook_root())
    if rehearsal:
        return _each(names, as_json, lambda name, summary: _rehearse(name, summary, as_json))
    how = _How(names, step, first, again, jobs, as_json)
    while True:
        code = _run_all(how)
        if not wait or code != WAITING:
            return code
        time.sleep(pause)


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


def _run_all(how: _How) -> int:
    """Run the tickets once; of many, print a line each and what became of all."""
    from dedl_workbook.case import status
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    not_run: list[str] = []
    if how.many and how.jobs > 1:
        code = _side_by_side(how, not_run)
    else:
        code = _each(how.names, how.as_json, lambda *one: _run_one(how, *one), not_run)
    if how.many and not how.as_json:
        rows = status.rows(workbook_root(), how.names)
        terminal.out.print(queue.total(rows, not_run, dt.datetime.now(dt.UTC)), markup=False)
    return code


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
        _start_sandbox_for(ticket.target, progress)
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
        terminal.show_line(name, queue.deciding(outcomes), failure)
    elif failure and not how.as_json:
        terminal.show_failure(failure)
    return worst(codes)


def _side_by_side(how: _How, not_run: list[str]) -> int:
    from dedl_workbook.publication.job import Outcome, Verdict
    from dedl_workbook.views import terminal

    codes, summaries = [], {}
    for name, code, summary in queue.side_by_side(how.names, how.jobs, how.options()):
        codes.append(code)
        summaries[name] = summary
        if "error" in summary:
            not_run.append(name)
            if not how.as_json:
                terminal.err.print(f"could not run {name}: {summary['error']}", markup=False)
        elif not how.as_json:
            outcomes = [
                Outcome(one["step"], Verdict(one["verdict"]), one["summary"])
                for one in summary["outcomes"]
            ]
            terminal.show_line(name, queue.deciding(outcomes), None)
    if how.as_json:
        terminal.show_json([summaries[name] for name in how.names])
    return worst(codes)


def _rehearse(name: str, summary: dict[str, Any], as_json: bool) -> int:
    from dedl_workbook.views import terminal

    with terminal.Progress() as progress:
        rehearsal = rehearse(name, progress)
    summary["outcomes"] = [outcome.as_json() for outcome in rehearsal.outcomes]
    summary["folder"] = str(rehearsal.folder)
    if not as_json:
        for outcome in rehearsal.outcomes:
            terminal.show_outcome(f"{name} (rehearsal)", outcome)
        terminal.out.print(f"kept in {rehearsal.folder / 'index.html'}", markup=False)
    return DONE if rehearsal.passed else FAILED


def _each(
    names: Sequence[str],
    as_json: bool,
    one: Callable[[str, dict[str, Any]], int],
    not_run: list[str] | None = None,
) -> int:
    """Do the same for each ticket: one that can't be run doesn't stop the others.

    Its name is added to `not_run`.

    With `--json`, the summaries of all tickets are printed at the end, in one list.
    """
    from dedl_workbook.views import terminal

    codes, summaries = [], []
    for name in names:
        summary: dict[str, Any] = {"ticket": name}
        summaries.append(summary)
        try:
            codes.append(one(name, summary))
        except (WorkbookError, OSError) as error:
            many = len(names) > 1 and not isinstance(error, BrokenPipeError)
            if not many and not isinstance(error, WorkbookError):
                raise
            terminal.show_error(error, name if many else "")
            summary["error"] = str(error)
            codes.append(COULD_NOT_RUN)
            if not_run is not None:
                not_run.append(name)
    if as_json:
        terminal.show_json(summaries)
    return worst(codes)


def _start_sandbox_for(target: str, progress: Callable[[str], None]) -> None:
    if target == "sandbox":
        start_sandbox(progress)


@command(example="dedl-workbook approve DEDL-1 3f9a52c01b7e")
@click.argument("ticket", type=TICKET)
@_digest
@takes_json
def approve(ticket: str, digest: str, as_json: bool) -> int:
    """Approve a ticket's case plan by its digest."""
    from dedl_workbook.case import lock
    from dedl_workbook.case.case import Case
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.views import terminal

    case = Case.of(Ticket.load(ticket))
    with lock.hold(case.folder):
        line = case.approve(digest)
    if as_json:
        terminal.show_json(line)
        return DONE
    terminal.out.print(f"approved {line['digest']} as {line['operator']}", markup=False)
    withdraws = "withdraw" in (case.approved_plan() or {}).get("steps", {})
    terminal.out.print(f"next: dedl-workbook {'withdraw' if withdraws else 'run'} {ticket}")
    return DONE


@command(example="dedl-workbook refuse DEDL-1 3f9a52c01b7e --reason 'the wrong collection id'")
@click.argument("ticket", type=TICKET)
@_digest
@click.option("--reason", required=True, metavar="TEXT", help="Why.")
@takes_json
def refuse(ticket: str, digest: str, reason: str, as_json: bool) -> int:
    """Refuse a ticket's case plan, with a reason that the evidence keeps."""
    from dedl_workbook.case import lock
    from dedl_workbook.case.case import Case
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.views import terminal

    case = Case.of(Ticket.load(ticket))
    with lock.hold(case.folder):
        line = case.refuse(digest, reason)
    if as_json:
        terminal.show_json(line)
    else:
        terminal.out.print(f"refused {line['digest']} as {line['operator']}", markup=False)
    return DONE


@command(example="dedl-workbook unlock DEDL-1")
@click.argument("ticket", type=TICKET)
@takes_json
def unlock(ticket: str, as_json: bool) -> int:
    """Take away the lock of a run that died on another host."""
    from dedl_workbook.case import lock
    from dedl_workbook.case.case import Case
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.views import terminal

    case = Case.of(Ticket.load(ticket))
    left = lock.release(case.folder)
    if left:
        with lock.hold(case.folder):
            case.record("unlocked", left_by=left)
    if as_json:
        terminal.show_json(left)
        return DONE
    by = f"{left.get('operator')} on {left.get('host')} since {left.get('since')}"
    summary = f"took away the lock of {by}" if left else "nobody left a lock behind"
    terminal.out.print(f"{ticket}: {summary}", markup=False)
    return DONE


@command(example="dedl-workbook status")
@click.argument("tickets", nargs=-1, type=TICKET, metavar="[TICKET]...", help="Default: all.")
@takes_json
def status(tickets: tuple[str, ...], as_json: bool) -> int:
    """Show where tickets stand."""
    from dedl_workbook.case import status
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    standings = status.rows(workbook_root(), tickets)
    if as_json:
        terminal.show_json([standing.as_json() for standing in standings])
    else:
        rows = [tuple(standing.as_json().values()) for standing in standings]
        terminal.show_table(status.COLUMNS, rows)
    return DONE


@command(example="dedl-workbook withdraw DEDL-1")
@click.argument("ticket", type=TICKET)
@takes_json
def withdraw(ticket: str, as_json: bool) -> int:
    """Take a ticket's publication back, once that very plan is approved."""
    from dedl_workbook.notebooks import runner
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    root = workbook_root()
    loaded = Ticket.load(ticket, root)
    with terminal.Progress() as progress:
        _start_sandbox_for(loaded.target, progress)
        outcomes, plan = runner.withdraw(loaded, root, progress)
    if as_json:
        rows = [outcome.as_json() for outcome in outcomes]
        terminal.show_json({"ticket": ticket, "outcomes": rows, "plan": plan})
    else:
        for outcome in outcomes:
            terminal.show_outcome(loaded.ticket, outcome)
    if plan:
        if not as_json:
            terminal.show_plan(loaded.ticket, plan)
        return NOT_APPROVED if any(s["actions"] for s in plan["steps"].values()) else DONE
    return worst(CODES[str(outcome.verdict)] for outcome in outcomes)
