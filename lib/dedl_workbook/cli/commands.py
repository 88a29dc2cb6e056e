"""What the commands on datasets and tickets do: forward, print, and return the exit code.

Imports stand in the functions: a command loads what it needs, and no more.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from dedl_workbook.cli.batch import (
    CODES,
    COULD_NOT_RUN,
    DONE,
    FAILED,
    NOT_APPROVED,
    each,
    mend_sandbox,
    worst,
)


def validate(options: Any) -> int:
    from dedl_workbook.base.progress import sparse
    from dedl_workbook.dataset.dataset import open_dataset
    from dedl_workbook.rules import fix
    from dedl_workbook.rules.validation import validate
    from dedl_workbook.views import tables, terminal

    dataset = open_dataset(options.dataset)
    # Before what may take hours.
    _demand_files(options.json, options.csv)
    if options.fix:
        fix.demand_fresh(dataset, options.fix)
    with terminal.Progress() as progress:
        report = validate(
            dataset,
            executor=options.executor,
            tell=sparse(progress),
            second_opinion=options.second_opinion,
        )
    printed = "-" in (str(options.json), str(options.csv))
    if not printed:
        terminal.show_report(tables.report_rows(report), tables.report_head(report), report.notes)
    if options.json:
        _write_json(options.json, report.as_json())
    if options.csv:
        _write_csv(options.csv, report.as_csv())
    if options.fix:
        with terminal.Progress() as progress:
            fixed = fix.fix(
                dataset,
                options.fix,
                executor=options.executor,
                tell=sparse(progress),
                second_opinion=options.second_opinion,
            )
        left = fixed.remaining
        (terminal.err if printed else terminal.out).print(
            f"{fixed.changed} of {fixed.documents} documents are mended in {options.fix}, with the "
            + (
                "patches; with them it passes:"
                if left.passed
                else "patches; a person has to mend what remains:"
            ),
            markup=False,
        )
        if not printed:
            terminal.show_report(tables.report_rows(left), tables.report_head(left), left.notes)
    return DONE if report.passed else FAILED


def _demand_files(*paths: Path | None) -> None:
    from dedl_workbook.base.errors import InputError

    if [str(path) for path in paths].count("-") > 1:
        raise InputError("only one of --json and --csv can be printed", remedy="Name a file.")
    for path in paths:
        if path is not None and path.is_dir():
            raise InputError("is a folder", where=str(path), remedy="Name a file.")


def _write_json(path: Path, value: object) -> None:
    from dedl_workbook.base.files import write_out
    from dedl_workbook.base.json import pretty
    from dedl_workbook.views import terminal

    if str(path) == "-":
        terminal.show_json(value)
    else:
        write_out(path, pretty(value))


def _write_csv(path: Path, text: str) -> None:
    from dedl_workbook.base.files import write_out
    from dedl_workbook.base.text import printable

    if str(path) == "-":
        sys.stdout.write(printable(text.replace("\r\n", "\n"), lines=True))
    else:
        write_out(path, text)


def plan(options: Any) -> int:
    from dedl_workbook.dataset.dataset import open_dataset
    from dedl_workbook.notebooks import runner
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    root = workbook_root()

    def one(name: str, told: dict[str, Any]) -> int:
        ticket = Ticket.load(name, root)
        if not ticket.dataset.startswith("s3://"):
            # Before a sandbox is started for it.
            open_dataset(ticket.dataset, root=root)
        with terminal.Progress() as progress:
            mend_sandbox(ticket.target, progress)
            outcome = runner.validate(ticket, root, progress)
            if outcome is not None:
                told["outcomes"] = [outcome.as_json()]
                if not options.json:
                    terminal.show_outcome(ticket.ticket, outcome)
            told["plan"] = runner.plan(ticket, root, progress)
        if not options.json:
            terminal.show_plan(ticket.ticket, told["plan"])
        return FAILED if outcome and outcome.verdict == "failed" else DONE

    return each(options, one)


def approve(options: Any) -> int:
    from dedl_workbook.case import lock
    from dedl_workbook.case.case import Case
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.views import terminal

    case = Case.of(Ticket.load(options.ticket))
    with lock.hold(case.folder):
        line = case.approve(options.digest)
    if options.json:
        terminal.show_json(line)
        return DONE
    terminal.out.print(f"approved {line['digest']} as {line['operator']}", markup=False)
    withdraws = "withdraw" in (case.approved_plan() or {}).get("steps", {})
    terminal.out.print(f"next: dedl-workbook {'withdraw' if withdraws else 'run'} {options.ticket}")
    return DONE


def refuse(options: Any) -> int:
    from dedl_workbook.case import lock
    from dedl_workbook.case.case import Case
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.views import terminal

    case = Case.of(Ticket.load(options.ticket))
    with lock.hold(case.folder):
        line = case.refuse(options.digest, options.reason)
    if options.json:
        terminal.show_json(line)
    else:
        terminal.out.print(f"refused {line['digest']} as {line['operator']}", markup=False)
    return DONE


def unlock(options: Any) -> int:
    from dedl_workbook.case import lock
    from dedl_workbook.case.case import Case
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.views import terminal

    case = Case.of(Ticket.load(options.ticket))
    left = lock.release(case.folder)
    if left:
        with lock.hold(case.folder):
            case.record("unlocked", left_by=left)
    if options.json:
        terminal.show_json(left)
        return DONE
    by = f"{left.get('operator')} on {left.get('host')} since {left.get('since')}"
    said = f"took away the lock of {by}" if left else "nobody left a lock behind"
    terminal.out.print(f"{options.ticket}: {said}", markup=False)
    return DONE


def status(options: Any) -> int:
    from dedl_workbook.case import status
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    found = status.rows(workbook_root(), options.tickets)
    if options.json:
        terminal.show_json([standing.as_json() for standing in found])
    else:
        rows = [tuple(standing.as_json().values()) for standing in found]
        terminal.show_table(status.COLUMNS, rows)
    return DONE


def withdraw(options: Any) -> int:
    from dedl_workbook.notebooks import runner
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    root = workbook_root()
    ticket = Ticket.load(options.ticket, root)
    with terminal.Progress() as progress:
        mend_sandbox(ticket.target, progress)
        outcomes, plan = runner.withdraw(ticket, root, progress)
    if options.json:
        told = [outcome.as_json() for outcome in outcomes]
        terminal.show_json({"ticket": options.ticket, "outcomes": told, "plan": plan})
    for outcome in [] if options.json else outcomes:
        terminal.show_outcome(ticket.ticket, outcome)
    if plan:
        if not options.json:
            terminal.show_plan(ticket.ticket, plan)
        return NOT_APPROVED if any(s["actions"] for s in plan["steps"].values()) else DONE
    return worst([CODES[str(outcome.verdict)] for outcome in outcomes])


def audit(options: Any) -> int:
    from dedl_workbook.base.progress import sparse
    from dedl_workbook.case import audit
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    with terminal.Progress() as progress:
        found = audit.audit(
            options.collection,
            workbook_root(),
            target=options.target,
            every_byte=options.every_byte,
            tell=sparse(progress),
        )
    if options.json:
        terminal.show_json(found.as_json())
    else:
        rows = [(row.part, row.what, row.state, row.found) for row in found.rows]
        of = f"as {found.ticket} published it" if found.ticket else "published by hand"
        terminal.show_table(audit.COLUMNS, rows, f"{found.collection} on {found.target}, {of}")
    return {audit.SAME: DONE, audit.DRIFTED: FAILED}.get(found.state, COULD_NOT_RUN)


def pack(options: Any) -> int:
    from dedl_workbook import evidence
    from dedl_workbook.case import lock
    from dedl_workbook.case.case import Case
    from dedl_workbook.parameters.ticket import Ticket

    case = Case.of(Ticket.load(options.ticket))
    with lock.hold(case.folder):
        bag = evidence.pack(case)
    _show_bag(options, "packed", bag)
    return DONE


def diff(options: Any) -> int:
    from dedl_workbook.evidence.diff import as_json, diff
    from dedl_workbook.views import terminal

    rows = diff(options.first, options.second)
    if options.json:
        terminal.show_json(as_json(rows))
    elif rows:
        names = ("in", "what", str(options.first), str(options.second))
        terminal.show_table(names, [(r.area, r.what, r.first, r.second) for r in rows])
    else:
        terminal.out.print("nothing differs")
    return DONE


def _show_bag(options: Any, state: str, bag: Any) -> None:
    from dedl_workbook.views import terminal

    if options.json:
        told = {"state": state, "path": str(bag.path), "files": bag.files, "bytes": bag.size}
        terminal.show_json(told | {"digest": bag.digest})
    else:
        terminal.show_bag(state, bag.path, bag.files, bag.size, bag.digest)


def verify(options: Any) -> int:
    from dedl_workbook import evidence

    bag = evidence.verify(options.path, digest=options.digest, signers=options.signers)
    _show_bag(options, bag.state, bag)
    return DONE
