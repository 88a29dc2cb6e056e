"""The demo: a sample dataset goes from its ticket to a verified publication, with its evidence."""

from __future__ import annotations

import os
from pathlib import Path

from dedl_workbook import evidence, headless, lock, terminal
from dedl_workbook.case import Case
from dedl_workbook.reading import workbook_root
from dedl_workbook.sample import make_sample
from dedl_workbook.sandbox.client import up
from dedl_workbook.steps import STEPS, Verdict
from dedl_workbook.ticket import Ticket

TICKET = "DEMO-1"


def demo() -> bool:
    """Publish the sample into the sandbox, and say what was published where.

    Returns:
        Whether every step passed.

    Raises:
        WorkbookError: it could not be run.
    """
    root = workbook_root()
    with terminal.Progress() as progress:
        terminal.show_heading("1 the embedded data lake", "PostgreSQL with PgSTAC, S3, STAC API")
        up(root / ".sandbox", progress=lambda text: progress(f"sandbox: {text}"))
        ticket = Ticket.load(TICKET, root)
        terminal.show_heading("2 a delivered dataset", ticket.dataset)
        make_sample(
            root / ticket.dataset,
            progress=lambda done, of: progress(f"sample: {done} of {of} scenes"),
        )
        terminal.show_heading("3 validation, and the plan", f"dedl-workbook plan {TICKET}")
        outcome = headless.validate(ticket, root, progress)
        if outcome is not None:
            terminal.show_outcome(TICKET, outcome)
            if outcome.verdict is not Verdict.PASSED:
                return False
        plan = headless.plan(ticket, root, progress)
        terminal.show_plan(TICKET, plan)
        if any(step["actions"] for step in plan["steps"].values()):
            terminal.show_heading(
                "4 the approval", f"dedl-workbook approve {TICKET} {plan['digest'][:12]}"
            )
            case = Case.of(ticket, root)
            with lock.hold(case.folder):
                case.approve(plan["digest"])
        terminal.show_heading("5 the run", f"dedl-workbook run {TICKET}")
        for outcome in headless.run(ticket, root, list(STEPS.values()), progress):
            terminal.show_outcome(TICKET, outcome)
            if outcome.verdict is not Verdict.PASSED:
                return False
        terminal.show_heading("6 the evidence", f"dedl-workbook evidence pack {TICKET}")
        case = Case.of(ticket, root)
        with lock.hold(case.folder):
            bag = evidence.pack(case)
    _summary(case, bag, root)
    return True


def _summary(case: Case, bag: evidence.Bag, root: Path) -> None:
    ticket, target = case.ticket, case.target
    here = Path(os.path.relpath(bag.path, root))
    rows = [
        ("collection", f"{target.stac_api.url}/collections/{ticket.collection}"),
        ("data", f"s3://{target.s3.bucket}/{case.job.prefix}data/ at {target.s3.endpoint}"),
        ("evidence", f"{here / 'data' / 'index.html'}"),
        ("its digest", bag.digest),
        ("check it", f"dedl-workbook evidence verify {here} --digest {bag.digest}"),
        ("JupyterLab", "make lab"),
        ("stop the data lake", "dedl-workbook sandbox down"),
    ]
    terminal.out.print("\n[bold]Published and verified.[/]")
    for name, value in rows:
        terminal.out.print(f"  {name:<20}{value}", markup=False)
    terminal.out.print("(dedl-workbook is in .venv/bin)", markup=False)
