"""What the commands do: forward to the library, print, and return the exit code.

Imports stand in the functions: a command loads what it needs, and no more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dedl_workbook.errors import WorkbookError

DONE, FAILED, COULD_NOT_RUN, NOT_APPROVED, WAITING = range(5)
_WORST_FIRST = (FAILED, COULD_NOT_RUN, NOT_APPROVED, WAITING, DONE)
_CODES = {"passed": DONE, "failed": FAILED, "planned": NOT_APPROVED, "waiting": WAITING}


def demo(_: Any) -> int:
    from dedl_workbook.sandbox.demo import demo

    return DONE if demo() else FAILED


def validate(options: Any) -> int:
    from dedl_workbook import fix, terminal, views
    from dedl_workbook.dataset import open_dataset
    from dedl_workbook.documents import pretty, write_atomic
    from dedl_workbook.progress import sparse
    from dedl_workbook.validate import validate

    dataset = open_dataset(options.dataset)
    with terminal.Progress() as progress:
        tell = sparse(progress)
        report = validate(
            dataset, executor="auto", tell=tell, second_opinion=options.second_opinion
        )
        fixed = fix.fix(dataset, options.fix, tell=tell) if options.fix else None
    terminal.show_report(views.report_rows(report), views.report_head(report), report.notes)
    if options.json:
        write_atomic(options.json, pretty(report.as_json()))
    if options.csv:
        write_atomic(options.csv, report.as_csv())
    if fixed:
        terminal.out.print(
            f"{fixed.changed} of {fixed.documents} documents are mended in {options.fix}, with "
            "the patches; a person has to mend what remains:",
            markup=False,
        )
        left = fixed.remaining
        terminal.show_report(views.report_rows(left), views.report_head(left), left.notes)
    return DONE if report.passed else FAILED


def plan(options: Any) -> int:
    from dedl_workbook import headless, terminal
    from dedl_workbook.reading import workbook_root
    from dedl_workbook.ticket import Ticket

    root = workbook_root()

    def one(name: str) -> int:
        ticket = Ticket.load(name, root)
        with terminal.Progress() as progress:
            _mend_sandbox(ticket.target, progress)
            outcome = headless.validate(ticket, root, progress)
            if outcome is not None:
                terminal.show_outcome(ticket.ticket, outcome)
            plan = headless.plan(ticket, root, progress)
        terminal.show_plan(ticket.ticket, plan)
        return FAILED if outcome and outcome.verdict == "failed" else DONE

    return _each(options.tickets, one)


def run(options: Any) -> int:
    from dedl_workbook import headless, terminal
    from dedl_workbook.reading import workbook_root
    from dedl_workbook.ticket import Ticket

    root = workbook_root()
    steps = headless.steps_from(options.first, options.step)

    def one(name: str) -> int:
        code = DONE
        ticket = Ticket.load(name, root)
        with terminal.Progress() as progress:
            _mend_sandbox(ticket.target, progress)
            for outcome in headless.run(ticket, root, steps, progress):
                terminal.show_outcome(ticket.ticket, outcome)
                code = _worst([code, _CODES[str(outcome.verdict)]])
        return code

    return _each(options.tickets, one)


def _each(names: Sequence[str], one: Callable[[str], int]) -> int:
    """Do the same for each ticket: one that can't be run doesn't stop the others."""
    from dedl_workbook import terminal

    codes = []
    for name in names:
        try:
            codes.append(one(name))
        except WorkbookError as error:
            terminal.show_error(error)
            codes.append(COULD_NOT_RUN)
    return _worst(codes)


def _worst(codes: Sequence[int]) -> int:
    return next(code for code in _WORST_FIRST if code in codes)


def approve(options: Any) -> int:
    from dedl_workbook import lock, terminal
    from dedl_workbook.case import Case
    from dedl_workbook.ticket import Ticket

    case = Case.of(Ticket.load(options.ticket))
    with lock.hold(case.folder):
        line = case.approve(options.digest)
    terminal.out.print(f"approved {line['digest']} as {line['operator']}", markup=False)
    withdraws = "withdraw" in (case.approved_plan() or {}).get("steps", {})
    terminal.out.print(f"next: dedl-workbook {'withdraw' if withdraws else 'run'} {options.ticket}")
    return DONE


def status(options: Any) -> int:
    from dedl_workbook import status, terminal
    from dedl_workbook.reading import workbook_root

    rows = status.rows(workbook_root(), options.tickets)
    terminal.show_table(("ticket", "collection", "target", "step", "verdict", "when", "who"), rows)
    return DONE


def withdraw(options: Any) -> int:
    from dedl_workbook import headless, terminal
    from dedl_workbook.reading import workbook_root
    from dedl_workbook.ticket import Ticket

    root = workbook_root()
    ticket = Ticket.load(options.ticket, root)
    with terminal.Progress() as progress:
        _mend_sandbox(ticket.target, progress)
        outcomes, plan = headless.withdraw(ticket, root, progress)
    for outcome in outcomes:
        terminal.show_outcome(ticket.ticket, outcome)
    if plan:
        terminal.show_plan(ticket.ticket, plan)
        return NOT_APPROVED if any(s["actions"] for s in plan["steps"].values()) else DONE
    return _worst([_CODES[str(outcome.verdict)] for outcome in outcomes])


def pack(options: Any) -> int:
    from dedl_workbook import evidence, lock, terminal
    from dedl_workbook.case import Case
    from dedl_workbook.ticket import Ticket

    case = Case.of(Ticket.load(options.ticket))
    with lock.hold(case.folder):
        bag = evidence.pack(case)
    terminal.show_bag("packed", bag.path, bag.files, bag.size, bag.digest)
    return DONE


def verify(options: Any) -> int:
    from dedl_workbook import evidence, terminal

    bag = evidence.verify(options.path, digest=options.digest)
    state = "intact, as given" if options.digest else "intact, signer unknown"
    terminal.show_bag(state, bag.path, bag.files, bag.size, bag.digest)
    return DONE


def rules(_: Any) -> int:
    from dedl_workbook import terminal
    from dedl_workbook.rules import RULES

    rows = [(rule.id, str(rule.severity), rule.doc) for rule in RULES.values()]
    terminal.show_table(("rule", "severity", "what must hold"), rows)
    return DONE


def schemas_sync(options: Any) -> int:
    from dedl_workbook import schemas, terminal

    if options.folder:
        report = schemas.sync(source=options.folder)
    else:
        report = schemas.sync(source="packages" if options.from_packages else "network")
    terminal.out.print(
        f"{len(report.written)} schemas written, {len(report.kept)} were there, "
        f"{len(report.absent)} absent, in {schemas.default_store()}"
    )
    for problem in report.problems:
        terminal.err.print(problem, markup=False)
    return FAILED if report.problems else DONE


def sample(options: Any) -> int:
    from dedl_workbook import terminal
    from dedl_workbook.sample import make_sample

    with terminal.Progress() as progress:
        root = make_sample(
            options.folder, progress=lambda done, of: progress(f"sample: {done} of {of} scenes")
        )
    terminal.out.print(f"a sample dataset lies in {root}", markup=False)
    return DONE


def lab(_: Any) -> int:
    from dedl_workbook.reading import workbook_root

    root = workbook_root()
    lab = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"]
    lab += ["--ServerApp.ip=127.0.0.1", "--LabApp.default_url=/lab/tree/notebooks"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        lab.append("--allow-root")
    os.environ["DEDL_WORKBOOK_ROOT"] = str(root)
    os.execv(lab[0], lab)  # noqa: S606 - no shell is wanted


def _mend_sandbox(target: str, progress: Callable[[str], None]) -> None:
    """Start what of the sandbox is down, for a ticket that goes there."""
    if target == "sandbox":
        from dedl_workbook import sandbox

        sandbox.up(_sandbox_folder(), progress=lambda text: progress(f"sandbox: {text}"))


def _sandbox_folder() -> Path:
    from dedl_workbook.reading import workbook_root

    return workbook_root() / ".sandbox"


def sandbox_up(_: Any) -> int:
    from dedl_workbook import sandbox, terminal

    with terminal.Progress() as progress:
        sandbox.up(_sandbox_folder(), progress=lambda text: progress(f"sandbox: {text}"))
    return sandbox_status(_)


def sandbox_down(options: Any) -> int:
    from dedl_workbook import sandbox, terminal

    sandbox.down(_sandbox_folder(), wipe=options.wipe)
    terminal.out.print("the sandbox is down" + (", and wiped" if options.wipe else ""))
    return DONE


def sandbox_grant(options: Any) -> int:
    from dedl_workbook import sandbox, terminal

    sandbox.grant(_sandbox_folder(), options.user, options.role)
    terminal.out.print(f"{options.user} holds {options.role} now", markup=False)
    return DONE


def sandbox_status(_: Any) -> int:
    from dedl_workbook import sandbox, terminal

    found = sandbox.status(_sandbox_folder())
    rows = [
        (s.name, s.url, str(s.pid or ""), "up" if s.healthy else f"down: {s.reason}", str(s.log))
        for s in found.services
    ]
    terminal.show_table(("service", "address", "pid", "state", "log"), rows, found.phase)
    return DONE if found.healthy else FAILED
