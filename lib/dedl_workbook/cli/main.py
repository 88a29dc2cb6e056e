"""The program: finds the command, and says on a line or two what failed, as a full disk does."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import shell_complete

from dedl_workbook import __version__
from dedl_workbook.base.errors import EvidenceError, WorkbookError
from dedl_workbook.cli import (
    dataset,
    evidence,
    queue,
    sandbox,
    status,
    streams,
    target,
    ticket_files,
    tickets,
    workbook,
)
from dedl_workbook.cli.codes import COULD_NOT_RUN, FAILED, INTERRUPTED
from dedl_workbook.cli.parser import group

PROGRAM = "dedl-workbook"
_LITTLE = 1_000_000
"""Bytes; with less a folder counts as full."""
_EXAMPLE = """\
dedl-workbook demo                         everything, on the embedded data lake
dedl-workbook validate EO.XXX.DAT.YYY      check a delivered folder
dedl-workbook plan DEDL-1                  what would be done for a ticket
dedl-workbook approve DEDL-1 3f9a...       approve that very plan
dedl-workbook run DEDL-1                   do it"""


@group(
    example=_EXAMPLE,
    epilog="exit codes: 0 done, 1 failed, 2 could not run, 3 not approved, 4 waiting for somebody",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=lambda context, _, given: _show_version(context) if given else None,
    help="Show the version, and the commit where it is a clone.",
)
def cli() -> None:
    """Promote a user's dataset to a public one on the DestinE Data Lake."""


def _show_version(context: click.Context) -> None:
    from dedl_workbook.case import provenance

    commit = provenance.commit_of_code()
    click.echo(f"{__version__} (commit {commit[:12]})" if commit else __version__)
    context.exit()


for each in (
    sandbox.demo,
    dataset.validate,
    tickets.plan,
    queue.run,
    tickets.approve,
    tickets.unlock,
    tickets.refuse,
    status.status,
    tickets.withdraw,
    tickets.retire,
    ticket_files.ticket,
    evidence.audit,
    evidence.evidence,
    dataset.rules,
    dataset.schemas,
    sandbox.sample,
    workbook.init,
    workbook.lab,
    workbook.completion,
    target.target,
    sandbox.sandbox,
):
    cli.add_command(each)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if completing := os.environ.get(workbook.COMPLETE):
        return shell_complete(cli, {}, PROGRAM, workbook.COMPLETE, completing)
    given = list(sys.argv[1:] if arguments is None else arguments)
    with streams.patient():
        return _run(given)


def _run(given: list[str]) -> int:
    try:
        with cli.make_context(PROGRAM, given) as context:
            code = int(cli.invoke(context))
            # A full disk under our output is told like any other.
            sys.stdout.flush()
            return code
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        error.show()
        return COULD_NOT_RUN
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
    except OSError as error:
        _show_os_error(error)
        return COULD_NOT_RUN
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what was done is recorded; running again goes on\n")
        return INTERRUPTED


def _show_os_error(error: OSError) -> None:
    place = f"{error.filename}: " if error.filename else ""
    sys.stderr.write(f"error: {place}{error.strerror or error}\n")
    remedy = "Make room there, or make it writable"
    if not error.filename:
        temporary = Path(tempfile.tempdir or "/tmp")  # noqa: S108
        remedy = f"Make room, also in {temporary}, or name another folder in TMPDIR"
        if full := [str(folder) for folder in [*_archives(), temporary] if _is_full(folder)]:
            remedy = f"{' and '.join(dict.fromkeys(full))} can't take more: make room there"
    sys.stderr.write(f"  {remedy}; then run the same again.\n")


def _archives() -> Iterator[Path]:
    """Yield where the targets' cases are kept, and the workbook itself."""
    from dedl_workbook.parameters.target import Target
    from dedl_workbook.parameters.yaml_files import workbook_root

    with suppress(WorkbookError):
        root = workbook_root()
        yield root
        for file in (root / "parameters" / "targets").glob("*.yaml"):
            with suppress(WorkbookError):
                yield Target.archive_of(file.stem, root)


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _LITTLE
    except OSError:
        return False
