"""Commands on targets, the data lakes to publish to.

Imports stand in the functions: a command loads what it needs, and no more.
"""

from __future__ import annotations

import click

from dedl_workbook.cli.codes import DONE, FAILED
from dedl_workbook.cli.parser import TARGET, group, takes_json


@group(example="dedl-workbook target check sandbox")
def target() -> None:
    """Look at the data lakes to publish to."""


@target.command(example="dedl-workbook target check sandbox")
@click.argument("names", nargs=-1, type=TARGET, metavar="[NAME]...", help="Default: all.")
@takes_json
def check(names: tuple[str, ...], as_json: bool) -> int:
    """Ask every service of a target whether it answers; nothing is changed."""
    from dedl_workbook.parameters.target import Target
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.services import health
    from dedl_workbook.views import terminal

    root = workbook_root()
    known = health.names(root)
    for name in names:
        if name not in known:
            # It says which there are: a wrong name is no service that fails.
            Target.load(name, root)
    services = {name: health.check(name, root) for name in names or known}
    if as_json:
        terminal.show_json(
            {name: [one.as_json() for one in answers] for name, answers in services.items()}
        )
    else:
        for name, answers in services.items():
            terminal.show_table(health.COLUMNS, [health.row(one) for one in answers], name)
    fails = any(one.state == "fails" for answers in services.values() for one in answers)
    return FAILED if fails else DONE
