"""What a ticket's case holds, as HTML: its plan, its steps, its evidence and the next notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import WorkbookError
from dedl_workbook.base.text import amount
from dedl_workbook.case.case import Case
from dedl_workbook.notebooks.console import widgets
from dedl_workbook.notebooks.jupyter import lab
from dedl_workbook.publication.standing import Move, Standing, standing
from dedl_workbook.steps.order import NOTIFY, STEPS, WITHDRAW, Step
from dedl_workbook.views import tables

_SHOWN = 40
"""Attempts that are listed."""


def plan(case_plan: Mapping[str, Any], *, folded: bool = False) -> str:
    """Return a case plan to read: one line a change at first, the rest to fold out.

    Args:
        case_plan: the plan.
        folded: whether all of it is to be folded out, since nobody has to read it now.
    """
    rows = [
        (step, *tables.action_row_of(action))
        for step, planned in case_plan["steps"].items()
        for action in planned["actions"]
    ]
    head = f"Plan {html.escape(case_plan['digest'][:12])}"
    if not rows:
        return f"<h4>{head}</h4><p>Nothing to do: what is wanted is there already.</p>"
    table = tables.table(("step", *tables.ACTION_COLUMNS), rows)
    diffs = "".join(
        tables.diff(text)
        for planned in case_plan["steps"].values()
        for text in planned["detail"].get("difference", ())
    )
    whole = tables.details("The whole plan, step by step", tables.case_plan(case_plan).markup)
    if folded:
        return tables.details(head, table + diffs + whole)
    refused = f"<p>{html.escape(case_plan['refused'])}</p>" if case_plan.get("refused") else ""
    return f"<h4>{head}: what would be done</h4>{refused}{table}{diffs}{whole}"


def changes(case_plan: Mapping[str, Any]) -> str:
    """Return how much a plan changes, as part of a sentence."""
    if set(case_plan["steps"]) == {NOTIFY.name}:
        return "nothing is published, and the user is told what to fix"
    actions = [a for planned in case_plan["steps"].values() for a in planned["actions"]]
    size = sum(action["size"] for action in actions)
    kinds = f"{len(actions)} kind{'' if len(actions) == 1 else 's'} of change"
    return kinds + (f", {amount(size)}" if size else "")


def steps(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of the steps: verdict, when, who, and what came of each."""
    outcomes = standing(lines).outcomes
    names = [*STEPS, *([WITHDRAW.name] if WITHDRAW.name in outcomes else [])]
    rows = [_step(name, outcomes.get(name)) for name in names]
    return "<h4>Steps</h4>" + tables.table(("step", "verdict", "when", "who", "what"), rows)


def _step(name: str, line: Mapping[str, Any] | None) -> tuple[str, ...]:
    if line is None:
        return name, "to do", "", "", ""
    waits = f" Waits for {line['waiting_for']}." if line.get("waiting_for") else ""
    return name, line["verdict"], line["at"], line["operator"], line["summary"] + waits


def evidence(folder: Path, root: Path) -> str:
    """Return links to what the archive keeps of a case: the newest attempts first."""
    numbers = {
        attempt: number
        for attempt in (folder / "attempts").glob("*-*")
        if (number := attempt.name.partition("-")[0]).isdecimal()
    }
    attempts = sorted(numbers, key=lambda attempt: int(numbers[attempt]), reverse=True)
    rows = []
    for attempt in attempts[:_SHOWN]:
        files = [file for file in sorted(attempt.iterdir()) if file.suffix in (".html", ".json")]
        links = " · ".join(widgets.link(file, root, file.name) for file in files)
        rows.append(f"<li>{html.escape(attempt.name)}: {links}</li>")
    if len(attempts) > _SHOWN:
        rows.append(f"<li>… and {len(attempts) - _SHOWN} more in {html.escape(str(folder))}</li>")
    bag, head = folder / "bag" / "data" / "index.html", ""
    if bag.is_file():
        head = f"<p>{widgets.link(bag, root, 'Open the packed evidence', button=True)}</p>"
    rehearsed = sorted((folder / "rehearsal").glob("*/index.html"))
    if rehearsed:
        head += f"<p>{widgets.link(rehearsed[-1], root, 'Open the rehearsal')}</p>"
    listed = (
        f"<details><summary>{len(attempts)} attempts</summary><ul>{''.join(rows)}</ul></details>"
    )
    return head + listed if attempts else ""


def next_notebook(case: Case, lines: Sequence[Mapping[str, Any]], root: Path) -> str:
    """Return a link that opens the next step's notebook, with the ticket's values in it."""
    step = next_step(standing(lines))
    if step is None:
        return ""
    try:
        file = lab.working_copy(case.ticket, step, root)
    except (WorkbookError, OSError) as error:
        return widgets.note("bad", f"{step.notebook} can't be opened: {error}")
    says = f"Opens {step.notebook} with this ticket's values, to be run by hand; runs nothing."
    return (
        f"{widgets.link(file, root, f'Open {step.notebook}', button=True)} "
        f'<span style="{widgets.SUBDUED}">{html.escape(says)}</span>'
    )


def next_step(now: Standing) -> Step | None:
    """Return the step that comes next: withdraw, or the first that has not passed; None: none."""
    if now.move is Move.WITHDRAW or now.withdrawal:
        return WITHDRAW
    if now.move is Move.NOTHING or not now.missing:
        return None
    return STEPS[now.missing[0]]
