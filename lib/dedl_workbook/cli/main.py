"""The command line: parses, forwards, prints, and returns the exit code."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dedl_workbook import __version__
from dedl_workbook.base.errors import EvidenceError, WorkbookError
from dedl_workbook.cli import batch, commands, tools
from dedl_workbook.cli.batch import COULD_NOT_RUN, FAILED
from dedl_workbook.cli.parser import Parser, command, group_of, on_ticket, takes_json

_EPILOG = """\
exit codes: 0 done, 1 failed, 2 could not run, 3 not approved, 4 waiting for somebody

examples:
  dedl-workbook demo                         everything, on the embedded data lake
  dedl-workbook validate EO.XXX.DAT.YYY      check a delivered folder
  dedl-workbook plan DEDL-1                  what would be done for a ticket
  dedl-workbook approve DEDL-1 3f9a...       approve that very plan
  dedl-workbook run DEDL-1                   do it
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        result: int = options.run(options)
    except WorkbookError as error:
        from dedl_workbook.views import terminal

        terminal.show_error(error)
        return FAILED if isinstance(error, EvidenceError) else COULD_NOT_RUN
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        if missing.startswith("dedl_workbook"):
            raise
        sys.stderr.write(f"error: {missing} isn't installed, which this command needs\n")
        sys.stderr.write("  Install all of the workbook: dedl-workbook[operator,sandbox].\n")
        return COULD_NOT_RUN
    except BrokenPipeError:
        # The reader of our output went away; what is left to print has nobody to read it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return COULD_NOT_RUN
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"error: {named}{error.strerror or error}\n")
        remedy = "Make room there, or make it writable"
        if not error.filename:
            temporary = tempfile.tempdir or "/tmp"  # noqa: S108
            remedy = f"Make room, also in {temporary}, or name another folder in TMPDIR"
        sys.stderr.write(f"  {remedy}; then run the same again.\n")
        return COULD_NOT_RUN
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what was done is recorded; running again goes on\n")
        return 130
    return result


def _parser() -> Parser:
    parser = Parser(
        prog="dedl-workbook",
        description="Promote a user's dataset to a public one on the DestinE Data Lake.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=__version__)
    group = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        _add_demo,
        _add_validate,
        _add_tickets,
        _add_withdraw,
        _add_audit,
        _add_evidence,
        _add_tools,
        _add_target,
        _add_sandbox,
    ):
        add(group)
    return parser


def _add_demo(group: Any) -> None:
    command(
        group,
        "demo",
        tools.demo,
        "publish a sample dataset into the embedded data lake, from ticket to evidence",
        "dedl-workbook demo",
    )


def _add_validate(group: Any) -> None:
    parser = command(
        group,
        "validate",
        commands.validate,
        "check a delivered dataset; no ticket needed",
        "dedl-workbook validate EO.XXX.DAT.YYY --json findings.json\n"
        "dedl-workbook validate EO.XXX.DAT.YYY --fix mended",
    )
    parser.add_argument("dataset", metavar="DATASET", help="a folder, or s3://bucket/prefix")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the findings there; - prints them instead of the report",
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write them as a table; - prints it instead"
    )
    parser.add_argument("--fix", type=Path, metavar="DIR", help="write mended metadata there")
    parser.add_argument(
        "--executor",
        default="auto",
        metavar="NAME",
        help="auto, one, threads, processes, or a Dask scheduler's address (default: auto)",
    )
    parser.add_argument(
        "--second-opinion",
        choices=("none", "sample", "all"),
        default="sample",
        help="the items that stac-validator is asked about (default: sample)",
    )


def _add_tickets(group: Any) -> None:
    parser = command(
        group,
        "plan",
        commands.plan,
        "validate, and show what a ticket would change; nothing is changed",
        "dedl-workbook plan DEDL-1",
    )
    parser.add_argument("tickets", nargs="+", metavar="TICKET", help="a file, or its name")
    takes_json(parser)
    parser = command(
        group,
        "run",
        batch.run,
        "do what is left to do for tickets whose plan is approved",
        "dedl-workbook run DEDL-1\n"
        "dedl-workbook run 'DEDL-*'            all of them\n"
        "dedl-workbook run DEDL-1 --rehearse   into the sandbox first",
    )
    parser.add_argument(
        "tickets", nargs="+", metavar="TICKET", help="a file, its name, or a pattern"
    )
    takes_json(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--step", metavar="S", help="this step alone")
    which.add_argument("--from", dest="first", metavar="S", help="this step and those after it")
    which.add_argument(
        "--rehearse",
        action="store_true",
        help="publish into the sandbox, with a copy of HDA's configuration; not into the target",
    )
    on_ticket(
        group,
        "approve",
        commands.approve,
        "approve a ticket's case plan by its digest",
        "dedl-workbook approve DEDL-1 3f9a52c01b7e",
        digest=True,
    )
    on_ticket(
        group,
        "unlock",
        commands.unlock,
        "take away the lock of a run that died on another host",
        "dedl-workbook unlock DEDL-1",
    )
    parser = on_ticket(
        group,
        "refuse",
        commands.refuse,
        "refuse a ticket's case plan, with a reason that the evidence keeps",
        "dedl-workbook refuse DEDL-1 3f9a52c01b7e --reason 'the wrong collection id'",
        digest=True,
    )
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why")
    parser = command(
        group, "status", commands.status, "show where tickets stand", "dedl-workbook status"
    )
    parser.add_argument("tickets", nargs="*", metavar="TICKET", help="default: all")
    takes_json(parser)


def _add_withdraw(group: Any) -> None:
    on_ticket(
        group,
        "withdraw",
        commands.withdraw,
        "take a ticket's publication back, once that very plan is approved",
        "dedl-workbook withdraw DEDL-1",
    )


def _add_audit(group: Any) -> None:
    parser = command(
        group,
        "audit",
        commands.audit,
        "compare a published collection with what is known of it; nothing is changed",
        "dedl-workbook audit EO.DEDL.DAT.DEMO_HEAT",
    )
    parser.add_argument("collection", metavar="COLLECTION", help="its id, also if by hand")
    parser.add_argument("--target", default="", metavar="T", help="where; default: as archived")
    parser.add_argument("--every-byte", action="store_true", help="read all objects, not a sample")
    takes_json(parser)


def _add_evidence(group: Any) -> None:
    below = group_of(
        group,
        "evidence",
        "pack a ticket's evidence; verify and compare packs",
        "dedl-workbook evidence pack DEDL-1",
    )
    on_ticket(
        below,
        "pack",
        commands.pack,
        "pack a ticket's evidence",
        "dedl-workbook evidence pack DEDL-1",
    )
    check = command(
        below,
        "verify",
        commands.verify,
        "check a pack of evidence: every file, every byte",
        "dedl-workbook evidence verify archive/sandbox/DEMO-1/bag",
    )
    check.add_argument("path", type=Path, metavar="PATH", help="the bag's folder, or its zip")
    check.add_argument(
        "--signers",
        type=Path,
        metavar="FILE",
        help="demand a signature by one of these (lines NAME KEY-TYPE KEY, see man ssh-keygen)",
    )
    check.add_argument("--digest", default="", help="what the pack's digest should be")
    takes_json(check)
    compare = command(
        below,
        "diff",
        commands.diff,
        "show what differs between two packs of one collection",
        "dedl-workbook evidence diff archive/sandbox/DEDL-1/bag archive/sandbox/DEDL-9/bag",
    )
    compare.add_argument("first", type=Path, metavar="A", help="a bag's folder, or its zip")
    compare.add_argument("second", type=Path, metavar="B", help="another of the same collection")
    takes_json(compare)


def _add_tools(group: Any) -> None:
    rules = command(
        group, "rules", tools.rules, "list the rules of validation", "dedl-workbook rules C04"
    )
    rules.add_argument("rules", nargs="*", metavar="RULE", help="default: all")
    takes_json(rules)
    below = group_of(
        group,
        "schemas",
        "the local store of STAC's JSON schemas",
        "dedl-workbook schemas sync --from-packages",
    )
    sync = command(
        below,
        "sync",
        tools.schemas_sync,
        "fill the store: from the network, from packages, or from a folder",
        "dedl-workbook schemas sync --from-packages",
    )
    source = sync.add_mutually_exclusive_group()
    source.add_argument("--from", dest="folder", type=Path, metavar="FOLDER")
    source.add_argument("--from-packages", action="store_true", help="the core schemas only")
    takes_json(sync)
    parser = command(
        group, "sample", tools.sample, "write a sample dataset", "dedl-workbook sample demo"
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser = command(
        group,
        "lab",
        tools.lab,
        "open JupyterLab on this machine alone; what is saved there is put into its case",
        "dedl-workbook lab --sandbox",
    )
    parser.add_argument("--sandbox", action="store_true", help="bring the sandbox up first")
    parser.add_argument("--port", type=int, metavar="N", help="default: 8888, or the next free one")
    parser.add_argument("--no-browser", action="store_true", help="print the address only")


def _add_target(group: Any) -> None:
    below = group_of(
        group, "target", "the data lakes to publish to", "dedl-workbook target check sandbox"
    )
    check = command(
        below,
        "check",
        tools.target_check,
        "ask every service of a target whether it answers; nothing is changed",
        "dedl-workbook target check sandbox",
    )
    check.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    takes_json(check)


def _add_sandbox(group: Any) -> None:
    below = group_of(group, "sandbox", "the embedded data lake", "dedl-workbook sandbox up")
    takes_json(command(below, "up", tools.sandbox_up, "start it", "dedl-workbook sandbox up"))
    down = command(below, "down", tools.sandbox_down, "stop it", "dedl-workbook sandbox down")
    down.add_argument("--wipe", action="store_true", help="delete all that it holds, too")
    takes_json(
        command(below, "status", tools.sandbox_status, "show it", "dedl-workbook sandbox status")
    )
    on_ticket(
        below,
        "file",
        tools.sandbox_file,
        "file a ticket in its help desk, as its submitter would",
        "dedl-workbook sandbox file DEDL-1",
    )
    grant = command(
        below,
        "grant",
        tools.sandbox_grant,
        "grant a role to one of its users, as the IAM service would",
        "dedl-workbook sandbox grant alice DEDL_UGD_DEMO",
    )
    grant.add_argument("user", metavar="USER")
    grant.add_argument("role", metavar="ROLE")
