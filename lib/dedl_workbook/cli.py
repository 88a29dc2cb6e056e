"""The command line: parses, forwards, prints, and returns the exit code."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from dedl_workbook import __version__
from dedl_workbook.errors import EvidenceError, WorkbookError

DONE, FAILED, COULD_NOT_RUN, NOT_APPROVED, WAITING = range(5)
_WORST_FIRST = (FAILED, COULD_NOT_RUN, NOT_APPROVED, WAITING, DONE)

_EPILOG = """\
exit codes: 0 done, 1 failed, 2 could not run, 3 not approved, 4 waiting for somebody

examples:
  dedl-workbook demo                         everything, on the embedded data lake
  dedl-workbook validate EO.XXX.DAT.YYY      check a delivered folder
  dedl-workbook plan DEDL-1                  what would be done for a ticket
  dedl-workbook approve DEDL-1 3f9a...       approve that very plan
  dedl-workbook run DEDL-1                   do it
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Name the nearest command for one that isn't known, and end with exit code 2."""
        wrong = message.partition("invalid choice: '")[2].partition("'")[0]
        known = [c for a in self._actions for c in (a.choices or ())]
        near = difflib.get_close_matches(wrong, known, n=1)
        hint = f"\nDid you mean {near[0]!r}?" if near else ""
        self.print_usage(sys.stderr)
        self.exit(COULD_NOT_RUN, f"{self.prog}: {message}{hint}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        result: int = options.run(options)
    except WorkbookError as error:
        from dedl_workbook import terminal

        terminal.show_error(error)
        return FAILED if isinstance(error, EvidenceError) else COULD_NOT_RUN
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what was done is recorded; running again goes on\n")
        return 130
    except BrokenPipeError:
        # The reader of our output went away; what is left to print has nobody to read it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return COULD_NOT_RUN
    return result


def _parser() -> _Parser:
    parser = _Parser(
        prog="dedl-workbook",
        description="Promote a user's dataset to a public one on the DestinE Data Lake.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_demo, _add_validate, _add_tickets, _add_evidence, _add_tools, _add_sandbox):
        add(commands)
    return parser


def _command(
    commands: Any, name: str, run: Callable[[Any], int], what: str, example: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=what[0].upper() + what[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_demo(commands: Any) -> None:
    _command(
        commands,
        "demo",
        _demo,
        "publish a sample dataset into the embedded data lake, from ticket to evidence",
        "dedl-workbook demo",
    )


def _add_validate(commands: Any) -> None:
    parser = _command(
        commands,
        "validate",
        _validate,
        "check a delivered dataset; no ticket needed",
        "dedl-workbook validate EO.XXX.DAT.YYY --json findings.json",
    )
    parser.add_argument("dataset", metavar="DATASET", help="a folder, or s3://bucket/prefix")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings there, too")


def _add_tickets(commands: Any) -> None:
    parser = _command(
        commands,
        "plan",
        _plan,
        "validate, and show what a ticket would change; nothing is changed",
        "dedl-workbook plan DEDL-1",
    )
    parser.add_argument("tickets", nargs="+", metavar="TICKET", help="a file, or its name")
    parser = _command(
        commands,
        "run",
        _run,
        "do what is left to do for tickets whose plan is approved",
        "dedl-workbook run DEDL-1",
    )
    parser.add_argument("tickets", nargs="+", metavar="TICKET", help="a file, or its name")
    parser.add_argument("--step", metavar="S", help="this step alone")
    parser.add_argument("--from", dest="first", metavar="S", help="this step and those after it")
    parser = _command(
        commands,
        "approve",
        _approve,
        "approve a ticket's case plan by its digest",
        "dedl-workbook approve DEDL-1 3f9a52c01b7e",
    )
    parser.add_argument("ticket", metavar="TICKET")
    parser.add_argument("digest", metavar="DIGEST", help="all of it, or its first 12 characters")
    parser = _command(
        commands, "status", _status, "show where tickets stand", "dedl-workbook status"
    )
    parser.add_argument("tickets", nargs="*", metavar="TICKET", help="default: all")


def _add_evidence(commands: Any) -> None:
    parser = commands.add_parser("evidence", help="pack a ticket's evidence, or verify a pack")
    below = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    pack = _command(
        below, "pack", _pack, "pack a ticket's evidence", "dedl-workbook evidence pack DEDL-1"
    )
    pack.add_argument("ticket", metavar="TICKET")
    check = _command(
        below,
        "verify",
        _verify,
        "check a pack of evidence: every file, every byte",
        "dedl-workbook evidence verify archive/sandbox/DEMO-1/bag",
    )
    check.add_argument("path", type=Path, metavar="PATH")
    check.add_argument("--digest", default="", help="what the pack's digest should be")


def _add_tools(commands: Any) -> None:
    _command(commands, "rules", _rules, "list the rules of validation", "dedl-workbook rules")
    parser = commands.add_parser("schemas", help="the local store of STAC's JSON schemas")
    below = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    sync = _command(
        below,
        "sync",
        _schemas_sync,
        "fill the store: from the network, from packages, or from a folder",
        "dedl-workbook schemas sync --from-packages",
    )
    source = sync.add_mutually_exclusive_group()
    source.add_argument("--from", dest="folder", type=Path, metavar="FOLDER")
    source.add_argument("--from-packages", action="store_true", help="the core schemas only")
    parser = _command(
        commands, "sample", _sample, "write a sample dataset", "dedl-workbook sample demo"
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    _command(commands, "lab", _lab, "open JupyterLab on the notebooks", "dedl-workbook lab")


def _add_sandbox(commands: Any) -> None:
    parser = commands.add_parser("sandbox", help="the embedded data lake")
    below = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _command(below, "up", _sandbox_up, "start it", "dedl-workbook sandbox up")
    down = _command(below, "down", _sandbox_down, "stop it", "dedl-workbook sandbox down")
    down.add_argument("--wipe", action="store_true", help="delete all that it holds, too")
    _command(below, "status", _sandbox_status, "show it", "dedl-workbook sandbox status")


def _demo(_: Any) -> int:
    from dedl_workbook.sandbox.demo import demo

    return DONE if demo() else FAILED


def _validate(options: Any) -> int:
    from dedl_workbook import terminal, views
    from dedl_workbook.dataset import open_dataset
    from dedl_workbook.documents import pretty, write_atomic
    from dedl_workbook.progress import sparse
    from dedl_workbook.validate import validate

    with terminal.Progress() as progress:
        report = validate(open_dataset(options.dataset), tell=sparse(progress))
    terminal.show_report(views.report_rows(report), views.report_head(report), report.notes)
    if options.json:
        write_atomic(options.json, pretty(report.as_json()))
    return DONE if report.passed else FAILED


def _plan(options: Any) -> int:
    from dedl_workbook import headless, terminal
    from dedl_workbook.reading import workbook_root
    from dedl_workbook.ticket import Ticket

    root = workbook_root()

    def one(name: str) -> int:
        with terminal.Progress() as progress:
            ticket = Ticket.load(name, root)
            outcome = headless.validate(ticket, root, progress)
            if outcome is not None:
                terminal.show_outcome(ticket.ticket, outcome)
            plan = headless.plan(ticket, root, progress)
        terminal.show_plan(ticket.ticket, plan)
        return FAILED if outcome and outcome.verdict == "failed" else DONE

    return _each(options.tickets, one)


def _run(options: Any) -> int:
    from dedl_workbook import headless, terminal
    from dedl_workbook.reading import workbook_root
    from dedl_workbook.ticket import Ticket

    root, codes = workbook_root(), {"passed": DONE, "failed": FAILED, "planned": NOT_APPROVED}
    steps = headless.steps_from(options.first, options.step)

    def one(name: str) -> int:
        code = DONE
        ticket = Ticket.load(name, root)
        with terminal.Progress() as progress:
            for outcome in headless.run(ticket, root, steps, progress):
                terminal.show_outcome(ticket.ticket, outcome)
                code = codes.get(str(outcome.verdict), WAITING)
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
    return next(code for code in _WORST_FIRST if code in codes)


def _approve(options: Any) -> int:
    from dedl_workbook import lock, terminal
    from dedl_workbook.case import Case
    from dedl_workbook.ticket import Ticket

    case = Case.of(Ticket.load(options.ticket))
    with lock.hold(case.folder):
        line = case.approve(options.digest)
    terminal.out.print(f"approved {line['digest']} as {line['operator']}", markup=False)
    terminal.out.print(f"next: dedl-workbook run {options.ticket}")
    return DONE


def _status(options: Any) -> int:
    from dedl_workbook import status, terminal
    from dedl_workbook.reading import workbook_root

    rows = status.rows(workbook_root(), options.tickets)
    terminal.show_table(("ticket", "collection", "target", "step", "verdict", "when", "who"), rows)
    return DONE


def _pack(options: Any) -> int:
    from dedl_workbook import evidence, lock, terminal
    from dedl_workbook.case import Case
    from dedl_workbook.ticket import Ticket

    case = Case.of(Ticket.load(options.ticket))
    with lock.hold(case.folder):
        bag = evidence.pack(case)
    terminal.show_bag("packed", bag.path, bag.files, bag.size, bag.digest)
    return DONE


def _verify(options: Any) -> int:
    from dedl_workbook import evidence, terminal

    bag = evidence.verify(options.path, digest=options.digest)
    state = "intact, as given" if options.digest else "intact, signer unknown"
    terminal.show_bag(state, bag.path, bag.files, bag.size, bag.digest)
    return DONE


def _rules(_: Any) -> int:
    from dedl_workbook import terminal
    from dedl_workbook.rules import RULES

    rows = [(rule.id, str(rule.severity), rule.doc) for rule in RULES.values()]
    terminal.show_table(("rule", "severity", "what must hold"), rows)
    return DONE


def _schemas_sync(options: Any) -> int:
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


def _sample(options: Any) -> int:
    from dedl_workbook import terminal
    from dedl_workbook.sample import make_sample

    with terminal.Progress() as progress:
        root = make_sample(
            options.folder, progress=lambda done, of: progress(f"sample: {done} of {of} scenes")
        )
    terminal.out.print(f"a sample dataset lies in {root}", markup=False)
    return DONE


def _lab(_: Any) -> int:
    from dedl_workbook.reading import workbook_root

    root = workbook_root()
    lab = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"]
    lab += ["--ServerApp.ip=127.0.0.1", "--LabApp.default_url=/lab/tree/notebooks"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        lab.append("--allow-root")
    os.environ["DEDL_WORKBOOK_ROOT"] = str(root)
    os.execv(lab[0], lab)  # noqa: S606 - no shell is wanted


def _sandbox_folder() -> Path:
    from dedl_workbook.reading import workbook_root

    return workbook_root() / ".sandbox"


def _sandbox_up(_: Any) -> int:
    from dedl_workbook import sandbox, terminal

    with terminal.Progress() as progress:
        sandbox.up(_sandbox_folder(), progress=lambda text: progress(f"sandbox: {text}"))
    return _sandbox_status(_)


def _sandbox_down(options: Any) -> int:
    from dedl_workbook import sandbox, terminal

    sandbox.down(_sandbox_folder(), wipe=options.wipe)
    terminal.out.print("the sandbox is down" + (", and wiped" if options.wipe else ""))
    return DONE


def _sandbox_status(_: Any) -> int:
    from dedl_workbook import sandbox, terminal

    found = sandbox.status(_sandbox_folder())
    rows = [
        (s.name, s.url, str(s.pid or ""), "up" if s.healthy else f"down: {s.reason}", str(s.log))
        for s in found.services
    ]
    terminal.show_table(("service", "address", "pid", "state", "log"), rows, found.phase)
    return DONE if found.healthy else FAILED


if __name__ == "__main__":
    sys.exit(main())
