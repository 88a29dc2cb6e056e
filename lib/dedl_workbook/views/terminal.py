"""What the command line shows: lines, tables, and one line of progress that replaces itself."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dedl_workbook.base.files import write_atomic
from dedl_workbook.base.json import pretty
from dedl_workbook.base.progress import VARIABLE
from dedl_workbook.base.text import amount, harmless, printable
from dedl_workbook.publication.job import Outcome
from dedl_workbook.rules.findings import Report
from dedl_workbook.views import tables
from dedl_workbook.views.failure import Failure

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_OBJECTS = 20
"""Objects of a plan that are printed by name."""
_STYLES = {
    "passed": "bold green",
    "planned": "bold blue",
    "waiting": "bold yellow",
    "failed": "bold red",
    "refused": "bold red",
    "fails": "bold red",
    "answers": "bold green",
    "error": "bold red",
    "warning": "yellow",
    "info": "blue",
    "same": "bold green",
    "drifted": "bold red",
    "unknown": "yellow",
}


def styled(word: str) -> str:
    """Return a verdict or severity in its colour."""
    style = _STYLES.get(word)
    return f"[{style}]{escape(word)}[/]" if style else escape(printable(word, lines=True))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Print a table; cells are plain text, words for verdicts and severities are coloured.

    In a pipe, each row is a line whose cells are parted by tabs: nothing is cut, and programs can
    read it.
    """
    if not out.is_terminal:
        for row in [columns, *rows]:
            # Not by rich, which makes blanks of tabs.
            out.file.write("\t".join(" ".join(cell.split()) for cell in row) + "\n")
        return
    table = Table(title=title or None, title_justify="left")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(styled(cell) for cell in row))
    out.print(table, soft_wrap=False)


def show_narrow(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table without lines, for a narrow terminal; in a pipe as `show_table` does."""
    if not out.is_terminal:
        show_table(columns, rows)
        return
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(styled(cell) for cell in row))
    out.print(table, soft_wrap=False)


def show_lines(lines: Iterable[str]) -> None:
    """Print lines of plain text."""
    for line in lines:
        out.print(printable(line), markup=False)


def show_json(value: object) -> None:
    """Print a value as JSON, and nothing else: for programs. A terminal has nothing to obey."""
    sys.stdout.write(harmless(pretty(value)))


def show_error(error: Exception, ticket: str = "") -> None:
    """Print an error as it says itself: what, where, remedy; of a ticket among many on one line."""
    if ticket:
        show_not_run(ticket, str(error))
    else:
        err.print(f"[bold red]error:[/] {escape(printable(str(error), lines=True))}")


def show_not_run(ticket: str, error: str) -> None:
    """Print on one line why a ticket of many could not be run."""
    lines = [" ".join(line.split()) for line in error.splitlines()]
    ended = (line if line.endswith((".", ":", ";")) else f"{line}." for line in lines)
    text = printable(" ".join(ended)).removeprefix(f"{ticket}: ")
    err.print(f"[bold red]could not run[/] {escape(ticket)}: {escape(text)}")


def show_heading(title: str, text: str) -> None:
    """Print where we are in something longer."""
    out.print(f"\n[bold]{escape(title)}[/]  {escape(text)}")


def show_outcome(ticket: str, outcome: Outcome) -> None:
    """Print a step's verdict: one line if it passed, its reason besides if not."""
    if not outcome.step:
        out.print(f"{ticket}: {outcome.summary}", markup=False)
        return
    out.print(f"{styled(str(outcome.verdict))} {escape(ticket)} {escape(outcome.step)}: ", end="")
    out.print(printable(outcome.summary, lines=True), markup=False)


def show_failure(failure: Failure) -> None:
    """Print where a notebook failed, with what, and where its record is."""
    rows = [("cell", failure.cell), ("error", failure.error)]
    rows += [("printed last", "\n".join(failure.last)), ("record", str(failure.record))]
    for name, text in rows:
        first, *more = text.splitlines() or [""]
        lines = [f"    {name + ':':<14}{first}", *(" " * 18 + line for line in more)]
        if text:
            out.print(printable("\n".join(lines), lines=True), markup=False)


def show_line(ticket: str, outcome: Outcome | None, record: str = "") -> None:
    """Print what became of one ticket of many, on one line; `record`: where a failure lies."""
    if outcome is None:
        out.print(f"{styled('passed')} {escape(ticket)}: nothing was left to do")
        return
    if not outcome.step:
        show_outcome(ticket, outcome)
        return
    more = f" ({record})" if record else ""
    out.print(f"{styled(str(outcome.verdict))} {escape(ticket)} {escape(outcome.step)}: ", end="")
    out.print(f"{printable(' '.join(outcome.summary.split()))}{more}", markup=False)


def show_plan(
    ticket: str, plan: Mapping[str, Any], *, obstacle: str = "", brief: bool = True
) -> None:
    """Print a case plan, and how to approve it.

    Args:
        ticket: its name.
        plan: the case plan.
        obstacle: why it can't be approved now; '' if it can.
        brief: whether its counts are enough; else all differences are printed.
    """
    rows = [
        (step, action["verb"], action["subject"], f"{action['count']:,}", size(action["size"]))
        for step, planned in plan["steps"].items()
        for action in planned["actions"]
    ]
    if not rows:
        out.print(f"{ticket}: nothing to do; what is wanted is there already", markup=False)
        return
    show_table(("step", "does", "what", "how many", "size"), rows, f"{ticket}: what would be done")
    if not brief:
        from dedl_workbook.views.tables import differences

        show_lines(differences(plan))
    for planned in plan["steps"].values():
        _show_objects(planned["detail"])
        for host, count in planned["goal"].get("elsewhere", {}).items():
            out.print(f"lie on another server: {count:,} assets, on {host}", markup=False)
    if plan["refused"]:
        out.print(plan["refused"], markup=False)
    if page := plan.get("page"):
        out.print(f"all of it, to be read first: {page}", markup=False)
    if obstacle:
        out.print(f"it can't be approved yet: {obstacle}", markup=False)
    else:
        out.print(f"to approve exactly this: dedl-workbook approve {ticket} {plan['digest']}")


def _show_objects(detail: Mapping[str, Any]) -> None:
    """Print the objects that a plan names, and what deleting them means."""
    objects = detail.get("objects", [])
    for key in objects[:_OBJECTS]:
        out.print(f"  {key}", markup=False)
    if len(objects) > _OBJECTS:
        out.print(f"  and {len(objects) - _OBJECTS:,} more, which the plan's page names")
    if "afterwards" in detail:
        out.print(f"afterwards: {detail['afterwards']}", markup=False)


def size(number: int) -> str:
    """Return bytes for people; '' for none."""
    return amount(number) if number else ""


def show_report(report: Report, title: str = "") -> None:
    """Print a validation report: a head with its verdict, then findings, the most harmful first.

    In a pipe nothing is wrapped: a finding is three lines, each of which can be searched for.

    Args:
        report: what was found.
        title: stands before the verdict.
    """
    width = min(out.width, WIDEST) if out.is_terminal else None
    verdict = f"{title}{'passed' if report.passed else 'failed'}"
    head = f"{styled(verdict)}: {tables.report_counts(report)}"
    out.print(head)
    for name, text in tables.report_facts(report).items():
        for line in text.splitlines():
            out.print(escape(_wrapped(f"  {name}: {printable(line)}", width)))
    rows = tables.report_rows(report)
    for severity, rule, times, where, message, fix in rows:
        text = escape(_wrapped(f"{severity} {rule} ({times}x) {message}", width))
        word = severity.partition(" ")[0]
        gap = "\n" if width else ""
        out.print(gap + text.replace(word, styled(word), 1))
        out.print(escape(_wrapped(f"    where: {', '.join(where.splitlines())}", width)))
        out.print(escape(_wrapped(f"    remedy: {fix}", width)))
    if width and rows:
        # What was printed first may have left the screen.
        out.print(f"\n{head}")


WIDEST = 100
"""Columns of a report: longer lines are hard to read."""


def _wrapped(text: str, width: int | None) -> str:
    """Wrap a line at blanks and fold what is longer than a line; below it, it is indented."""
    if width is None:
        return text
    indent = " " * (len(text) - len(text.lstrip()) + 4)
    return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False)


def show_bag(state: str, path: Path, files: int, number: int, digest: str) -> None:
    """Print what is known of a pack of evidence."""
    out.print(f"{state}: {path}", markup=False)
    out.print(f"{files:,} files, {amount(number)}, digest {digest}", markup=False)


class Progress:
    """One line of progress: it replaces itself on a terminal; in a pipe, each step is one line.

    Where a watcher named a file for it (`progress.VARIABLE`), it goes there.

    Args:
        place: stands before each line.
    """

    quiet = False
    """Whether none is shown."""

    def __init__(self, place: str = "") -> None:
        self._place = place
        self._status = err.status("") if err.is_terminal else None
        self._last = ""
        self._file = os.environ.get(VARIABLE)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self("")

    def __call__(self, text: str) -> None:
        """Show what is going on; '' ends it."""
        text = "" if self.quiet else text and self._place + text
        if self._file:
            write_atomic(Path(self._file), json.dumps(text))
            return
        if self._status is not None:
            if text:
                self._status.update(escape(text))
                self._status.start()
            else:
                self._status.stop()
            return
        head = text.partition(":")[0]
        if head and head != self._last:
            err.print(f"  {escape(text)}")
        self._last = head
