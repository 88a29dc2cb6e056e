"""Commands on the embedded data lake: the demo, the sample dataset, the sandbox, rehearsals.

The only module of the workbook that knows `dedl_sandbox`. Imports stand in the functions: a command
loads what it needs, and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dedl_workbook.cli.codes import DONE, FAILED
from dedl_workbook.cli.parser import NEW_FOLDER, TICKET, command, group, takes_json

if TYPE_CHECKING:
    from dedl_sandbox.rehearsal import Rehearsal


@command(example="dedl-workbook demo")
def demo() -> int:
    """Publish a sample dataset into the embedded data lake, from ticket to evidence."""
    from dedl_sandbox.demo import demo

    return DONE if demo() else FAILED


@command(example="dedl-workbook sample demo")
@click.argument("folder", type=NEW_FOLDER, metavar="DIR")
def sample(folder: Path) -> int:
    """Write a sample dataset."""
    from dedl_sandbox.sample.dataset import make_sample

    from dedl_workbook.views import terminal

    with terminal.Progress() as progress:
        root = make_sample(
            folder, progress=lambda done, of: progress(f"sample: {done} of {of} scenes")
        )
    terminal.out.print(f"a sample dataset lies in {root}", markup=False)
    return DONE


@group(example="dedl-workbook sandbox up")
def sandbox() -> None:
    """Start, stop and look at the embedded data lake."""


@sandbox.command(example="dedl-workbook sandbox up")
@takes_json
def up(as_json: bool) -> int:
    """Start it."""
    from dedl_workbook.views import terminal

    with terminal.Progress() as progress:
        start_sandbox(progress)
    code = _show_status(as_json)
    if not as_json:
        terminal.out.print("It stays up until you type: dedl-workbook sandbox down")
    return code


@sandbox.command(example="dedl-workbook sandbox down")
@click.option("--wipe", is_flag=True, help="Delete all that it holds, too.")
def down(wipe: bool) -> int:
    """Stop it."""
    import dedl_sandbox

    from dedl_workbook.views import terminal

    dedl_sandbox.down(sandbox_folder(), wipe=wipe)
    terminal.out.print("the sandbox is down" + (", and wiped" if wipe else ""))
    return DONE


@sandbox.command(example="dedl-workbook sandbox status")
@takes_json
def status(as_json: bool) -> int:
    """Show it."""
    return _show_status(as_json)


def _show_status(as_json: bool) -> int:
    import dedl_sandbox

    from dedl_workbook.views import terminal

    state = dedl_sandbox.status(sandbox_folder())
    columns = ("service", "address", "pid", "state", "log")
    rows = [
        (s.name, s.url, str(s.pid or ""), "up" if s.healthy else f"down: {s.reason}", str(s.log))
        for s in state.services
    ]
    if as_json:
        services = [dict(zip(columns, row, strict=True)) for row in rows]
        terminal.show_json({"phase": state.phase, "services": services})
    else:
        terminal.show_table(columns, rows, state.phase)
    return DONE if state.healthy else FAILED


@sandbox.command(example="dedl-workbook sandbox file DEDL-1")
@click.argument("ticket", type=TICKET)
@takes_json
def file(ticket: str, as_json: bool) -> int:
    """File a ticket in its help desk, as its submitter would."""
    import dedl_sandbox

    from dedl_workbook.views import terminal

    filed = dedl_sandbox.file(sandbox_folder(), ticket)
    if as_json:
        terminal.show_json({"ticket": ticket, "filed": filed})
    else:
        verb = "is filed in" if filed else "is already in"
        terminal.out.print(f"{ticket} {verb} the sandbox's help desk", markup=False)
    return DONE


@sandbox.command(example="dedl-workbook sandbox grant alice DEDL_UGD_DEMO")
@click.argument("user")
@click.argument("role")
def grant(user: str, role: str) -> int:
    """Grant a role to one of its users, as the IAM service would."""
    import dedl_sandbox

    from dedl_workbook.views import terminal

    dedl_sandbox.grant(sandbox_folder(), user, role)
    terminal.out.print(f"{user} holds {role} now", markup=False)
    return DONE


def rehearse(ticket: str, progress: Callable[[str], None]) -> Rehearsal:
    """Publish a ticket into the sandbox, with a copy of its target's HDA configuration."""
    import dedl_sandbox
    from dedl_sandbox.rehearsal import rehearse

    from dedl_workbook.case.case import Case
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.parameters.yaml_files import workbook_root

    root = workbook_root()
    case = Case.of(Ticket.load(ticket, root), root)
    lake = dedl_sandbox.up(sandbox_folder(), progress=lambda text: progress(f"sandbox: {text}"))
    return rehearse(case, lake, progress)


def start_sandbox(progress: Callable[[str], None]) -> None:
    """Start what of the sandbox is down."""
    import dedl_sandbox

    dedl_sandbox.up(sandbox_folder(), progress=lambda text: progress(f"sandbox: {text}"))


def start_sandbox_for(target: str, progress: Callable[[str], None]) -> None:
    """Start what is down, if the target is the sandbox."""
    if target == "sandbox":
        start_sandbox(progress)


def sandbox_folder() -> Path:
    """Return the folder of this workbook's sandbox."""
    from dedl_workbook.parameters.yaml_files import workbook_root

    return workbook_root() / ".sandbox"
