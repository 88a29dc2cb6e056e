"""The command that shows where tickets stand.

Imports stand in the functions: a command loads what it needs, and no more.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import click

from dedl_workbook.cli.codes import COULD_NOT_RUN, DONE, FAILED
from dedl_workbook.cli.parser import TICKET, command, exclusive, takes_json
from dedl_workbook.cli.queue import seconds

if TYPE_CHECKING:
    from dedl_workbook.case.status import Row, Story


@command(
    example="dedl-workbook status\n"
    "dedl-workbook status 'DEDL-*' --watch   anew whenever something changes\n"
    "dedl-workbook status DEDL-1             the whole story of one"
)
@click.argument(
    "tickets", nargs=-1, type=TICKET, metavar="[TICKET]...", help="Names, patterns; default: all."
)
@click.option("--wide", is_flag=True, help="With targets, steps, who was at it, and who waits.")
@click.option("--watch", is_flag=True, help="Go on, and show it anew whenever it changes.")
@click.option("--every", default="5s", metavar="TIME", help="How often --watch looks.")
@takes_json
def status(tickets: tuple[str, ...], wide: bool, watch: bool, every: str, as_json: bool) -> int:
    """Show where tickets stand, those first that need somebody; of one alone, its story."""
    from dedl_workbook.case import anchors, status
    from dedl_workbook.parameters.ticket import ticket_names
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    exclusive(json=as_json, watch=watch)
    pause, root = seconds(every), workbook_root()
    one = len(tickets) == 1 and not set(tickets[0]) & set("*?[") and not wide

    def look() -> tuple[list[Row], Story | None]:
        rows = status.rows(root, ticket_names(tickets, root))
        return rows, status.story(root, tickets[0]) if one and rows[0].readable else None

    shown = look()
    wrong = anchors.problems(
        [(r.ticket, r.collection, r.target) for r in shown[0] if r.readable], root
    )
    if as_json:
        rows, story = shown
        more = story.as_json() if story else {}
        terminal.show_json(
            [
                {**row.as_json(), **more}
                | ({"ledger": wrong[row.ticket]} if row.ticket in wrong else {})
                for row in rows
            ]
        )
        return _code(rows, wrong)
    _show(*shown, wide)
    for name, problem in wrong.items():
        terminal.err.print(f"{name}: {problem}", markup=False)
    while watch:
        try:
            time.sleep(pause)
        except KeyboardInterrupt:
            break
        last, shown = shown, look()
        if shown != last:
            if terminal.out.is_terminal:
                terminal.out.clear()
            _show(*shown, wide)
    return _code(shown[0], wrong)


def _show(rows: Sequence[Row], story: Story | None, wide: bool) -> None:
    from dedl_workbook.case import status
    from dedl_workbook.views import terminal

    if story is not None:
        terminal.show_lines(story.lines())
        return
    readable = [row for row in rows if row.readable]
    if wide:
        cells = [tuple(row.as_json().values()) for row in readable]
        terminal.show_table(status.COLUMNS, cells)
    elif readable:
        now = dt.datetime.now(dt.UTC)
        terminal.show_narrow(status.NARROW, [row.narrow(now) for row in readable])
    for row in rows:
        if not row.readable:
            terminal.err.print(f"could not read {row.ticket}: {row.collection}", markup=False)


def _code(rows: Sequence[Row], wrong: Collection[str]) -> int:
    """Return the exit code: a ticket can't be read, or its ledger isn't the anchored one."""
    if not all(row.readable for row in rows):
        return COULD_NOT_RUN
    return FAILED if any(row.ticket in wrong for row in rows) else DONE
