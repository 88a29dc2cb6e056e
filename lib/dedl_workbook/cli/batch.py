"""Batch: the same for many tickets, and one exit code for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import WorkbookError

DONE, FAILED, COULD_NOT_RUN, NOT_APPROVED, WAITING = range(5)
CODES = {"passed": DONE, "failed": FAILED, "planned": NOT_APPROVED, "waiting": WAITING}
"""The exit code of each verdict."""
_WORST_FIRST = (FAILED, COULD_NOT_RUN, NOT_APPROVED, WAITING, DONE)


def each(options: Any, one: Callable[[str, dict[str, Any]], int]) -> int:
    """Do the same for each ticket: one that can't be run doesn't stop the others.

    With `--json`, what is told of each ticket is printed at the end, in one list.
    """
    from dedl_workbook.views import terminal

    codes, all_told = [], []
    for name in options.tickets:
        told: dict[str, Any] = {"ticket": name}
        all_told.append(told)
        try:
            codes.append(one(name, told))
        except (WorkbookError, OSError) as error:
            many = len(options.tickets) > 1 and not isinstance(error, BrokenPipeError)
            if not many and not isinstance(error, WorkbookError):
                raise
            terminal.show_error(error, name if many else "")
            told["error"] = str(error)
            codes.append(COULD_NOT_RUN)
    if options.json:
        terminal.show_json(all_told)
    return worst(codes)


def worst(codes: Sequence[int]) -> int:
    """Return the exit code for several: a failure counts most."""
    return next(code for code in _WORST_FIRST if code in codes)


def run(options: Any) -> int:
    """Run tickets, and print what becomes of them: of one its steps, of many a line each."""
    from dedl_workbook.notebooks import runner
    from dedl_workbook.parameters.ticket import Ticket, ticket_names
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    root = workbook_root()
    options.tickets = ticket_names(options.tickets, root)
    if options.rehearse:
        return each(options, lambda name, told: _rehearse(name, told, quiet=options.json))
    steps = runner.steps_from(options.first, options.step)
    batch = len(options.tickets) > 1

    def one(name: str, told: dict[str, Any]) -> int:
        codes, last = [DONE], None
        told["outcomes"] = []
        ticket = Ticket.load(name, root)
        place = f"{options.tickets.index(name) + 1}/{len(options.tickets)} {name}, "
        with terminal.Progress(place if batch else "") as progress:
            mend_sandbox(ticket.target, progress)
            for outcome in runner.run(ticket, root, steps, progress):
                last = outcome
                told["outcomes"].append(outcome.as_json())
                codes.append(CODES[str(outcome.verdict)])
                if not options.json and not batch:
                    terminal.show_outcome(ticket.ticket, outcome)
        failed = runner.failure(ticket, root) if FAILED in codes else None
        if failed:
            told["failure"] = failed.as_json()
        if batch and not options.json:
            terminal.show_line(name, last, failed)
        elif failed and not options.json:
            terminal.show_failure(failed)
        return worst(codes)

    return each(options, one)


def _rehearse(name: str, told: dict[str, Any], *, quiet: bool) -> int:
    import dedl_sandbox as sandbox
    from dedl_sandbox.rehearsal import rehearse

    from dedl_workbook.case.case import Case
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    root = workbook_root()
    case = Case.of(Ticket.load(name, root), root)
    with terminal.Progress() as progress:
        lake = sandbox.up(sandbox_folder(), progress=lambda text: progress(f"sandbox: {text}"))
        rehearsal = rehearse(case, lake, progress)
    told["outcomes"] = [outcome.as_json() for outcome in rehearsal.outcomes]
    told["folder"] = str(rehearsal.folder)
    if not quiet:
        for outcome in rehearsal.outcomes:
            terminal.show_outcome(f"{name} (rehearsal)", outcome)
        terminal.out.print(f"kept in {rehearsal.folder / 'index.html'}", markup=False)
    return DONE if rehearsal.passed else FAILED


def mend_sandbox(target: str, progress: Callable[[str], None]) -> None:
    """Start what of the sandbox is down, for a ticket that goes there."""
    if target == "sandbox":
        import dedl_sandbox as sandbox

        sandbox.up(sandbox_folder(), progress=lambda text: progress(f"sandbox: {text}"))


def sandbox_folder() -> Path:
    """Return the folder of this workbook's sandbox."""
    from dedl_workbook.parameters.yaml_files import workbook_root

    return workbook_root() / ".sandbox"
