"""The operator's console: every ticket, every target, and what to do next, in one notebook.

    console = Console()
    console.show()
    console.record()

`show` displays the widgets; `record` displays the same as text, and every choice that is made: an
executed notebook keeps that, and no widgets.
"""

from __future__ import annotations

import html
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import ipywidgets

from dedl_workbook.base.errors import WorkbookError
from dedl_workbook.base.times import now
from dedl_workbook.case import lock, provenance, status
from dedl_workbook.notebooks.console import widgets
from dedl_workbook.notebooks.console.targets import Targets
from dedl_workbook.notebooks.console.ticket_form import Form
from dedl_workbook.notebooks.console.ticket_panel import Panel
from dedl_workbook.notebooks.console.ticket_table import TicketTable
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.parameters.yaml_files import workbook_root
from dedl_workbook.publication.standing import State
from dedl_workbook.views import tables

TICKETS, NEW, TARGETS = range(3)
"""The tabs."""
_GLANCE = 1.0
"""Seconds between two looks at whether a ledger has changed, and at how far runs are."""
REOPENED = "Run this cell (Shift+Enter): the console lives only as long as its kernel."
"""What a notebook shows in place of the console's widgets, which no file keeps."""


class Console:
    """The console's widgets, and what they show."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or workbook_root()
        self.choices: list[str] = []
        self._record: Any = None
        self._stamps: dict[str, object] = {}
        self._at = ""
        self._guard = threading.RLock()
        self.rows: dict[str, status.Row] = {}
        self.panel = Panel(self.root, "", self._note_choice, self.refresh)
        self._busy_panels: dict[str, Panel] = {}
        self._panel_place = ipywidgets.VBox()
        self._panel_place.add_class("dedl-panel")
        self.form = Form(self.root, self._saved)
        self.targets = Targets(self.root, self._update_record)
        self.table = TicketTable(self.choose)
        self._empty = ipywidgets.HTML(
            "<p>There are no tickets yet: make one with the form <b>New ticket</b>.</p>"
        )
        self.tabs = ipywidgets.Tab(
            [
                ipywidgets.VBox([self._empty, self.table, self._panel_place]),
                self.form.box,
                self.targets.box,
            ],
            titles=["Tickets", "New ticket", "Targets"],
        )
        who = provenance.who()
        self.head = ipywidgets.HTML(
            f"<b>{html.escape(who['operator'])}</b> on {html.escape(who['host'])}, "
            f"workbook {html.escape(str(self.root))}"
        )
        self.box = ipywidgets.VBox([self.head, self.tabs])
        self.refresh()

    @property
    def chosen(self) -> str:
        """The ticket that is shown below the list; '' if none is."""
        return self.panel.ticket

    def show(self) -> None:
        """Display the console, ask every target how it is, and follow the ledgers."""
        from IPython.display import display

        bundle = self.box._repr_mimebundle_() or {}
        bundle["text/plain"] = f"{REOPENED} It was opened at {widgets.moment(now())}."
        display(bundle, raw=True)
        self.targets.check()
        threading.Thread(target=self._follow, daemon=True).start()

    def record(self) -> None:
        """Display tickets, targets and choices as text, which stays in the executed notebook."""
        from IPython.display import display

        self.targets.wait(60)
        self._record = display(self._as_view(), display_id=True)

    def choose(self, ticket: str) -> None:
        """Show a ticket below the list."""
        with self._guard:
            if not ticket or ticket == self.chosen or ticket not in self.rows:
                return
            self._note_choice(f"chose {ticket}")
            # Nothing of another ticket stays that could be pressed, and nothing is there to press
            # before it is filled: each ticket has buttons of its own.
            self._panel_place.children = ()
            if self.panel.work.busy:
                self._busy_panels[self.chosen] = self.panel
            else:
                self.panel.close()
            if ticket in self._busy_panels:
                self.panel = self._busy_panels.pop(ticket)
            else:
                self.panel = Panel(self.root, ticket, self._note_choice, self.refresh)
            self.panel.show(self.rows[ticket])
            self._panel_place.children = (self.panel.box,)
            self.table.chosen = ticket
            self.table.bring_panel_into_view()

    def refresh(self) -> None:
        """Read every ledger that has changed, and show where things stand."""
        with self._guard:
            stamps = self._read_stamps()
            running = {name for name, row in self.rows.items() if row.state == State.RUNNING}
            changed = {name for name, stamp in stamps.items() if self._stamps.get(name) != stamp}
            if changed | running or stamps.keys() != self.rows.keys():
                self._read_rows(changed | running, stamps)
            # Those from before the reading: what changed meanwhile is read again the next time. So
            # are new tickets, once, since only now it is known where their ledgers lie.
            self._stamps = stamps
            if self.chosen in self.rows:
                self.panel.show(self.rows[self.chosen])
            elif self.chosen:
                self._panel_place.children = ()
            self._update_record()

    def _read_rows(self, changed: set[str], stamps: dict[str, object]) -> None:
        known = {name: row for name, row in self.rows.items() if name in stamps.keys() - changed}
        try:
            # All at once the first time; later those that have changed.
            rows = status.rows(self.root, sorted(changed) if known else ())
        except WorkbookError:
            # One was removed meanwhile.
            rows, known = status.rows(self.root), {}
        rows = sorted([*known.values(), *rows], key=status.urgency)
        self.rows = {row.ticket: row for row in rows}
        self._at = now()
        self.table.show(rows, {row.ticket: self._holder(row) for row in rows})
        widgets.shows(self._empty, not rows)
        widgets.shows(self.table, bool(rows))

    def _holder(self, row: status.Row) -> dict[str, Any]:
        if row.state != State.RUNNING:
            return {}
        return lock.holder(Target.archive_of(row.target, self.root) / row.ticket)

    def _saved(self, ticket: Ticket) -> None:
        self._note_choice(f"saved the new ticket {ticket.ticket}")
        self.refresh()
        self.tabs.selected_index = TICKETS
        self.choose(ticket.ticket)

    def _note_choice(self, text: str) -> None:
        self.choices.append(f"{now()} {text}")
        self._update_record()

    def _read_stamps(self) -> dict[str, object]:
        """Return, by ticket, what differs when it, its ledger or its lock has changed."""
        archives: dict[str, Path | None] = {}
        stamps: dict[str, object] = {}
        for file in (self.root / "parameters" / "tickets").glob("*.y*ml"):
            target = row.target if (row := self.rows.get(file.stem)) else ""
            if target and target not in archives:
                with suppress(WorkbookError):
                    archives[target] = Target.archive_of(target, self.root)
            archive = archives.get(target)
            files = [file]
            if archive is not None:
                files += [archive / file.stem / name for name in ("ledger.jsonl", ".lock")]
            stamps[file.stem] = [str(archive), *map(_stamp, files)]
        return stamps

    def _follow(self) -> None:
        """Show what others do, and what notebooks do by hand."""
        pause = threading.Event()
        while not pause.wait(_GLANCE):
            with self._guard:
                states = [row.state for row in self.rows.values()]
                if self._read_stamps() != self._stamps or State.RUNNING in states:
                    self.refresh()

    def _as_view(self) -> tables.View:
        rows = [tuple(row.as_json().values()) for row in self.rows.values()]
        lines = ["  ".join(filter(None, row)) for row in rows] or ["There are no tickets yet."]
        choices = self.choices or ["No choice was made."]
        as_of = f"As of {widgets.moment(self._at or now())}"
        markup = tables.table(status.COLUMNS, rows, f"Tickets, {as_of[0].lower()}{as_of[1:]}")
        markup += self.targets.markup()
        markup += "<p>Choices:</p><ul>"
        markup += "".join(f"<li>{html.escape(choice)}</li>" for choice in choices) + "</ul>"
        return tables.View(markup, "\n".join([as_of, *lines, *self.targets.text(), *choices]))

    def _update_record(self) -> None:
        if self._record is not None:
            self._record.update(self._as_view())


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        state = file.stat()
    except OSError:
        return 0, 0, 0
    return state.st_mtime_ns, state.st_size, state.st_ino
