"""What the commands do: forward to the library, print, and return the exit code.

Imports stand in the functions: a command loads what it needs, and no more.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dedl_workbook.batch import (
    CODES,
    COULD_NOT_RUN,
    DONE,
    FAILED,
    NOT_APPROVED,
    each,
    mend_sandbox,
    sandbox_folder,
    worst,
)


def demo(_: Any) -> int:
    from dedl_workbook.sandbox.demo import demo

    return DONE if demo() else FAILED


def validate(options: Any) -> int:
    from dedl_workbook import fix, terminal, views
    from dedl_workbook.dataset import open_dataset
    from dedl_workbook.documents import write_atomic
    from dedl_workbook.progress import sparse
    from dedl_workbook.validate import validate

    dataset = open_dataset(options.dataset)
    if options.fix:
        # Before what may take hours.
        fix.demand_fresh(dataset, options.fix)
    with terminal.Progress() as progress:
        report = validate(
            dataset,
            executor=options.executor,
            tell=sparse(progress),
            second_opinion=options.second_opinion,
        )
    if str(options.json) != "-":
        terminal.show_report(views.report_rows(report), views.report_head(report), report.notes)
    if options.json:
        _write_json(options.json, report.as_json())
    if options.csv:
        write_atomic(options.csv, report.as_csv())
    if options.fix:
        with terminal.Progress() as progress:
            fixed = fix.fix(
                dataset,
                options.fix,
                tell=sparse(progress),
                second_opinion=options.second_opinion,
            )
        left = fixed.remaining
        terminal.out.print(
            f"{fixed.changed} of {fixed.documents} documents are mended in {options.fix}, with the "
            + (
                "patches; with them it passes:"
                if left.passed
                else "patches; a person has to mend what remains:"
            ),
            markup=False,
        )
        terminal.show_report(views.report_rows(left), views.report_head(left), left.notes)
    return DONE if report.passed else FAILED


def _write_json(path: Path, value: object) -> None:
    from dedl_workbook import terminal
    from dedl_workbook.documents import pretty, write_atomic

    if str(path) == "-":
        terminal.show_json(value)
    else:
        write_atomic(path, pretty(value))


def plan(options: Any) -> int:
    from dedl_workbook import headless, terminal
    from dedl_workbook.reading import workbook_root
    from dedl_workbook.ticket import Ticket

    root = workbook_root()

    def one(name: str, told: dict[str, Any]) -> int:
        ticket = Ticket.load(name, root)
        with terminal.Progress() as progress:
            mend_sandbox(ticket.target, progress)
            outcome = headless.validate(ticket, root, progress)
            if outcome is not None:
                told["outcomes"] = [outcome.as_json()]
                if not options.json:
                    terminal.show_outcome(ticket.ticket, outcome)
            told["plan"] = headless.plan(ticket, root, progress)
        if not options.json:
            terminal.show_plan(ticket.ticket, told["plan"])
        return FAILED if outcome and outcome.verdict == "failed" else DONE

    return each(options, one)


def approve(options: Any) -> int:
    from dedl_workbook import lock, terminal
    from dedl_workbook.case import Case
    from dedl_workbook.ticket import Ticket

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
    from dedl_workbook import lock, terminal
    from dedl_workbook.case import Case
    from dedl_workbook.ticket import Ticket

    case = Case.of(Ticket.load(options.ticket))
    with lock.hold(case.folder):
        line = case.refuse(options.digest, options.reason)
    if options.json:
        terminal.show_json(line)
    else:
        terminal.out.print(f"refused {line['digest']} as {line['operator']}", markup=False)
    return DONE


def unlock(options: Any) -> int:
    from dedl_workbook import lock, terminal
    from dedl_workbook.case import Case
    from dedl_workbook.ticket import Ticket

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
    from dedl_workbook import status, terminal
    from dedl_workbook.reading import workbook_root

    found = status.standings(workbook_root(), options.tickets)
    if options.json:
        terminal.show_json([standing.as_json() for standing in found])
    else:
        rows = [tuple(standing.as_json().values()) for standing in found]
        terminal.show_table(status.COLUMNS, rows)
    return DONE


def target_check(options: Any) -> int:
    from dedl_workbook import health, terminal
    from dedl_workbook.reading import workbook_root

    root = workbook_root()
    found = {name: health.check(name, root) for name in options.names or health.names(root)}
    if options.json:
        terminal.show_json({name: [one.as_json() for one in all_] for name, all_ in found.items()})
    else:
        for name, services in found.items():
            terminal.show_table(health.COLUMNS, [health.row(one) for one in services], name)
    fails = any(one.state == "fails" for services in found.values() for one in services)
    return FAILED if fails else DONE


def withdraw(options: Any) -> int:
    from dedl_workbook import headless, terminal
    from dedl_workbook.reading import workbook_root
    from dedl_workbook.ticket import Ticket

    root = workbook_root()
    ticket = Ticket.load(options.ticket, root)
    with terminal.Progress() as progress:
        mend_sandbox(ticket.target, progress)
        outcomes, plan = headless.withdraw(ticket, root, progress)
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
    from dedl_workbook import audit, terminal
    from dedl_workbook.progress import sparse
    from dedl_workbook.reading import workbook_root

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
    from dedl_workbook import evidence, lock
    from dedl_workbook.case import Case
    from dedl_workbook.ticket import Ticket

    case = Case.of(Ticket.load(options.ticket))
    with lock.hold(case.folder):
        bag = evidence.pack(case)
    _show_bag(options, "packed", bag)
    return DONE


def diff(options: Any) -> int:
    from dedl_workbook import terminal
    from dedl_workbook.evidence.diff import as_json, diff

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
    from dedl_workbook import terminal

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


def rules(options: Any) -> int:
    from dedl_workbook import terminal
    from dedl_workbook.errors import InputError
    from dedl_workbook.reading import nearest
    from dedl_workbook.rules import RULES

    for name in options.rules:
        if name not in RULES:
            near = nearest(name.upper(), RULES)
            raise InputError(f"there is no rule {name!r}", remedy=near or "See them all: rules")
    columns = ("rule", "severity", "what must hold")
    chosen = [RULES[name] for name in options.rules or RULES]
    rows = [(rule.id, str(rule.severity), rule.doc) for rule in chosen]
    if options.json:
        terminal.show_json(
            [dict(zip(("rule", "severity", "text"), row, strict=True)) for row in rows]
        )
    else:
        terminal.show_table(columns, rows)
    return DONE


def schemas_sync(options: Any) -> int:
    from dedl_workbook import schemas, terminal

    if options.folder:
        report = schemas.sync(source=options.folder)
    else:
        report = schemas.sync(source="packages" if options.from_packages else "network")
    if options.json:
        terminal.show_json(
            {
                "store": str(schemas.default_store()),
                "written": len(report.written),
                "kept": len(report.kept),
                "absent": len(report.absent),
                "problems": list(report.problems),
            }
        )
        return FAILED if report.problems else DONE
    terminal.out.print(
        f"{len(report.written)} schemas written, {len(report.kept)} were there, "
        f"{len(report.absent)} absent, in {schemas.default_store()}"
    )
    for problem in report.problems:
        terminal.err.print(problem, markup=False)
    if report.problems and not (options.folder or options.from_packages):
        terminal.err.print(
            "without these hosts: `dedl-workbook schemas sync --from-packages` brings STAC's own "
            "schemas by pip, `--from FOLDER` whatever was fetched elsewhere",
            markup=False,
        )
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


def lab(options: Any) -> int:
    from dedl_workbook import lab, terminal
    from dedl_workbook.reading import workbook_root

    root = workbook_root()
    if options.sandbox:
        with terminal.Progress() as progress:
            mend_sandbox("sandbox", progress)
    more = [f"--ServerApp.port={options.port}"] if options.port is not None else []
    more += ["--no-browser"] if options.no_browser else []
    command = lab.command(root, *more)
    os.execve(command[0], command, lab.environment(root))  # noqa: S606 - no shell is wanted


def sandbox_up(options: Any) -> int:
    from dedl_workbook import sandbox, terminal

    with terminal.Progress() as progress:
        sandbox.up(sandbox_folder(), progress=lambda text: progress(f"sandbox: {text}"))
    return sandbox_status(options)


def sandbox_down(options: Any) -> int:
    from dedl_workbook import sandbox, terminal

    sandbox.down(sandbox_folder(), wipe=options.wipe)
    terminal.out.print("the sandbox is down" + (", and wiped" if options.wipe else ""))
    return DONE


def sandbox_grant(options: Any) -> int:
    from dedl_workbook import sandbox, terminal

    sandbox.grant(sandbox_folder(), options.user, options.role)
    terminal.out.print(f"{options.user} holds {options.role} now", markup=False)
    return DONE


def sandbox_file(options: Any) -> int:
    from dedl_workbook import sandbox, terminal

    filed = sandbox.file(sandbox_folder(), options.ticket)
    if options.json:
        terminal.show_json({"ticket": options.ticket, "filed": filed})
    else:
        said = "is filed in" if filed else "is already in"
        terminal.out.print(f"{options.ticket} {said} the sandbox's help desk", markup=False)
    return DONE


def sandbox_status(options: Any) -> int:
    from dedl_workbook import sandbox, terminal

    found = sandbox.status(sandbox_folder())
    columns = ("service", "address", "pid", "state", "log")
    rows = [
        (s.name, s.url, str(s.pid or ""), "up" if s.healthy else f"down: {s.reason}", str(s.log))
        for s in found.services
    ]
    if options.json:
        services = [dict(zip(columns, row, strict=True)) for row in rows]
        terminal.show_json({"phase": found.phase, "services": services})
    else:
        terminal.show_table(columns, rows, found.phase)
    return DONE if found.healthy else FAILED
