"""Commands on one ticket: plan it, approve or refuse its plan, withdraw it, unlock it.

Imports stand in the functions: a command loads what it needs, and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dedl_workbook.cli.codes import CODES, DONE, FAILED, NOT_APPROVED, worst
from dedl_workbook.cli.parser import EXISTING, TICKET, command, takes_json
from dedl_workbook.cli.queue import each
from dedl_workbook.cli.sandbox import start_sandbox_for

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
@click.option("--brief", is_flag=True, help="Show counts, not each difference.")
@takes_json
def plan(tickets: tuple[str, ...], brief: bool, as_json: bool) -> int:
    """Validate, and show what a ticket would change; nothing is changed."""
    from dedl_workbook.case import approvals, readiness, status
    from dedl_workbook.case.case import Case
    from dedl_workbook.dataset.dataset import open_dataset
    from dedl_workbook.notebooks import runner
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.steps.order import UPLOAD
    from dedl_workbook.views import terminal

    root = workbook_root()

    def one(name: str, summary: dict[str, Any]) -> int:
        ticket = Ticket.load(name, root)
        if not ticket.dataset.startswith("s3://"):
            # Before a sandbox is started for it.
            open_dataset(ticket.dataset, root=root)
        with terminal.Progress() as progress:
            start_sandbox_for(ticket.target, progress)
            case = Case.of(ticket, root)
            progress("looking at the target's services")
            readiness.require_ready(case)
            outcome = runner.validate(ticket, root, progress)
            if outcome is not None:
                summary["outcomes"] = [outcome.as_json()]
                if not as_json:
                    terminal.show_outcome(ticket.ticket, outcome)
            summary["plan"] = runner.plan(ticket, root, progress)
        obstacle = readiness.obstacle(case) if UPLOAD.name in summary["plan"]["steps"] else ""
        summary["obstacle"] = obstacle
        summary["others"] = status.others_open(root, ticket)
        if not as_json:
            terminal.show_plan(ticket.ticket, summary["plan"], obstacle=obstacle, brief=brief)
            for other in summary["others"]:
                terminal.out.print(f"also open for {ticket.collection}: {other}", markup=False)
            if same_person := approvals.one_person(case.ledger()):
                terminal.out.print(same_person)
        return FAILED if outcome and outcome.verdict == "failed" else DONE

    return each(tickets, as_json, one)


@command(example="dedl-workbook approve DEDL-1 3f9a52c01b7e")
@click.argument("ticket", type=TICKET)
@_digest
@click.option(
    "--key",
    type=EXISTING,
    envvar="DEDL_APPROVAL_KEY",
    metavar="FILE",
    help="Sign it with this SSH key; or the public one of a key that ssh-agent holds.",
)
@takes_json
def approve(ticket: str, digest: str, key: Path | None, as_json: bool) -> int:
    """Approve a ticket's case plan by its digest."""
    from dedl_workbook.case import lock
    from dedl_workbook.case.case import Case
    from dedl_workbook.parameters.fields import StepName
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.views import terminal

    case = Case.of(Ticket.load(ticket))
    with lock.hold(case.folder):
        line = case.approve(digest, key)
    if as_json:
        terminal.show_json(line)
        return DONE
    page = case.folder / "attempts" / case.planned(line["digest"])["attempt"] / "plan.html"
    signer = f", signed by {line['signer']}" if line.get("signer") else ""
    terminal.out.print(f"approved {line['digest']} as {line['operator']}{signer}", markup=False)
    terminal.out.print(f"what was approved: {page}", markup=False)
    steps = case.planned(line["digest"])["steps"]
    apart = (StepName.WITHDRAW, StepName.RETIRE)
    terminal.out.print(
        f"next: dedl-workbook {next((s for s in apart if s in steps), 'run')} {ticket}"
    )
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


@command(example="dedl-workbook withdraw DEDL-1")
@click.argument("ticket", type=TICKET)
@takes_json
def withdraw(ticket: str, as_json: bool) -> int:
    """Take a ticket's publication back, once that very plan is approved."""
    from dedl_workbook.notebooks import runner

    return _beside(ticket, runner.withdraw, as_json=as_json)


@command(example="dedl-workbook retire DEDL-1")
@click.argument("ticket", type=TICKET)
@takes_json
def retire(ticket: str, as_json: bool) -> int:
    """Delete a ticket's objects that nothing refers to, once that very plan is approved."""
    from dedl_workbook.notebooks import runner

    return _beside(ticket, runner.retire, as_json=as_json)


def _beside(ticket: str, run: Callable[..., Any], *, as_json: bool) -> int:
    """Run what is no step of a run, if it is approved; else show its plan."""
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    root = workbook_root()
    loaded = Ticket.load(ticket, root)
    with terminal.Progress() as progress:
        start_sandbox_for(loaded.target, progress)
        outcomes, plan = run(loaded, root, progress)
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
