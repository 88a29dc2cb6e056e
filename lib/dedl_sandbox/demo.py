"""The demo: two sample datasets go from their tickets to verified publications, with evidence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dedl_workbook import evidence
from dedl_workbook.case import lock
from dedl_workbook.case.case import Case
from dedl_workbook.notebooks import runner
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.parameters.yaml_files import workbook_root
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.steps.order import STEPS
from dedl_workbook.views import terminal
from dedl_workbook.views.terminal import Progress

from dedl_sandbox.client import up
from dedl_sandbox.oidc import grant
from dedl_sandbox.sample.dataset import make_sample

PUBLIC, RESTRICTED = "DEMO-1", "DEMO-2"


def demo() -> bool:
    """Publish a public and a restricted sample into the sandbox, and say what is where.

    Returns:
        Whether every step passed.

    Raises:
        WorkbookError: it could not be run.
    """
    root = workbook_root()
    with Progress() as progress:
        terminal.show_heading("The embedded data lake", "dedl-workbook sandbox up")
        up(root / ".sandbox", progress=lambda text: progress(f"sandbox: {text}"))
        done = _publish(PUBLIC, 36, root, progress) and _publish(RESTRICTED, 12, root, progress)
    if done:
        _show_ends(root)
    return done


def _publish(name: str, scenes: int, root: Path, progress: Progress) -> bool:
    ticket = Ticket.load(name, root)
    terminal.show_heading(f"{name}: a delivered dataset, {ticket.access}", ticket.dataset)
    make_sample(
        root / ticket.dataset,
        collection=ticket.collection,
        scenes=scenes,
        progress=lambda count, of: progress(f"sample: {count} of {of} scenes"),
    )
    terminal.show_heading(f"{name}: validation and plan", f"dedl-workbook plan {name}")
    outcome = runner.validate(ticket, root, progress)
    if outcome is not None:
        terminal.show_outcome(name, outcome)
        if outcome.verdict is not Verdict.PASSED:
            return False
    plan = runner.plan(ticket, root, progress)
    terminal.show_plan(name, plan)
    terminal.show_heading(
        f"{name}: the approval", f"dedl-workbook approve {name} {plan['digest'][:12]}"
    )
    case = Case.of(ticket, root)
    with lock.hold(case.folder):
        case.approve(plan["digest"])
    terminal.show_heading(f"{name}: the run", f"dedl-workbook run {name}")
    last = _run(ticket, root, progress)
    if last and last[-1].verdict is not Verdict.FAILED and _is_waiting(last):
        _grant(ticket, root)
        terminal.show_heading(f"{name}: the run goes on", f"dedl-workbook run {name}")
        last = _run(ticket, root, progress)
    return all(outcome.verdict is Verdict.PASSED for outcome in last)


def _run(ticket: Ticket, root: Path, progress: Progress) -> list[Outcome]:
    return list(_shown(runner.run(ticket, root, list(STEPS.values()), progress), ticket))


def _shown(outcomes: Iterator[Outcome], ticket: Ticket) -> Iterator[Outcome]:
    for outcome in outcomes:
        terminal.show_outcome(ticket.ticket, outcome)
        yield outcome


def _is_waiting(outcomes: list[Outcome]) -> bool:
    return any(outcome.verdict is Verdict.WAITING for outcome in outcomes)


def _grant(ticket: Ticket, root: Path) -> None:
    """Do what the IAM team would do once they have read the request."""
    iam = Case.of(ticket, root).target.iam
    user = iam.account if iam else ""
    for role in ticket.roles:
        terminal.show_heading(
            "Meanwhile, the IAM service grants the role",
            f"dedl-workbook sandbox grant {user} {role}",
        )
        grant(root / ".sandbox", user, role)


def _show_ends(root: Path) -> None:
    rows = []
    for name in (PUBLIC, RESTRICTED):
        case = Case.of(Ticket.load(name, root), root)
        bag = evidence.verify(case.folder / "bag")
        here = Path(os.path.relpath(bag.path, root))
        hda, ticket = case.target.hda, case.ticket
        served = hda.url if hda else case.target.stac_api.url
        rows += [
            (name, f"{ticket.collection}, {ticket.access}"),
            ("  users find it at", f"{served}/collections/{ticket.collection}"),
            ("  its data", f"s3://{case.target.s3.bucket}/{case.job.prefix}data/"),
            ("  its evidence", f"{here / 'data' / 'index.html'}"),
            ("  check that", f"dedl-workbook evidence verify {here} --digest {bag.digest}"),
            ("  take it back", f"dedl-workbook withdraw {name}"),
        ]
    rows += [
        ("JupyterLab", "dedl-workbook lab"),
        ("the data lake", "stays up until: dedl-workbook sandbox down"),
    ]
    terminal.out.print("\n[bold]Published and verified.[/]")
    for key, value in rows:
        terminal.out.print(f"  {key:<20}{value}", markup=False)
    terminal.out.print("(dedl-workbook is in .venv/bin)", markup=False)
