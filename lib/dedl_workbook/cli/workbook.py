"""Commands on the workbook itself: its folder, JupyterLab on it, and completion in the shell.

Imports stand in the functions: a command loads what it needs, and no more.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from dedl_workbook.cli.codes import DONE
from dedl_workbook.cli.parser import command
from dedl_workbook.cli.sandbox import start_sandbox

COMPLETE = "_DEDL_WORKBOOK_COMPLETE"
"""The variable by which a shell asks for completions."""
SHELLS = ("bash", "zsh", "fish")


@command(example="dedl-workbook init promotions")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
def init(folder: Path) -> int:
    """Write a workbook's folder: notebooks, example targets and tickets, a README."""
    from dedl_workbook.notebooks.folder import write
    from dedl_workbook.views import terminal

    new = write(folder)
    if not new:
        terminal.out.print(f"{folder} is whole already", markup=False)
        return DONE
    terminal.out.print(f"{folder} has {len(new)} new files; go on with:", markup=False)
    terminal.out.print(f"  cd {folder} && dedl-workbook demo", markup=False)
    return DONE


@command(example="dedl-workbook lab --sandbox")
@click.option("--sandbox", is_flag=True, help="Bring the sandbox up first.")
@click.option("--port", type=int, metavar="N", help="Default: 8888, or the next free one.")
@click.option("--no-browser", is_flag=True, help="Print the address only.")
def lab(sandbox: bool, port: int | None, no_browser: bool) -> int:
    """Open JupyterLab on this machine alone; what is saved there is put into its case."""
    from dedl_workbook.notebooks.jupyter import lab
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    root = workbook_root()
    if sandbox:
        with terminal.Progress() as progress:
            start_sandbox(progress)
    more = [f"--ServerApp.port={port}"] if port is not None else []
    more += ["--no-browser"] if no_browser else []
    words = lab.command(root, *more)
    os.execve(words[0], words, lab.environment(root))  # noqa: S606 - no shell is wanted


@command(
    example='eval "$(dedl-workbook completion bash)"      in ~/.bashrc\n'
    'eval "$(dedl-workbook completion zsh)"       in ~/.zshrc\n'
    "dedl-workbook completion fish | source       in ~/.config/fish/config.fish"
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> int:
    """Print what makes a shell complete commands and the names of tickets, targets and rules."""
    complete = get_completion_class(shell)
    assert complete is not None  # noqa: S101 - the shells above are click's own
    root = click.get_current_context().find_root()
    program = root.info_name or ""
    click.echo(complete(root.command, {}, program, COMPLETE).source())
    return DONE
