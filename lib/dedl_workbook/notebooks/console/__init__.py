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
from pathlib import Path
from typing import Any

import ipywidgets

from dedl_workbook.base.errors import WorkbookError
from dedl_workbook.base.times import now
from dedl_workbook.case import provenance, status
from dedl_workbook.case.status import Row
from dedl_workbook.notebooks.console import widgets
from dedl_workbook.notebooks.console.targets import Targets
from dedl_workbook.notebooks.console.ticket_form import Form
from dedl_workbook.notebooks.console.ticket_panel import Panel
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.parameters.yaml_files import workbook_root
from dedl_workbook.views import tables

TICKETS, NEW, TARGETS = range(3)
"""The tabs."""
_SHOWN = 100
"""Tickets that are listed at once."""
_GLANCE = 2.0
"""Seconds between two looks at whether a ledger has changed."""


class Console:
    """The console's widgets and what they know."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or workbook_root()
        self.choices: list[str] = []
        self._record: Any = None
        self._seen: object = None
        self._guard = threading.RLock()
        self.panel = Panel(self.root, self._chose, self.refresh)
        self.form = Form(self.root, self._saved)
        self.targets = Targets(self.root, self._update_record)
        self.filter = ipywidgets.Text(
            placeholder="show only tickets with …", continuous_update=True
        )
        self.filter.observe(lambda _: self.refresh(), names="value")
        self.rows, self._acts = ipywidgets.VBox(), dict[str, widgets.Act]()
        self.tabs = ipywidgets.Tab(
            [
                ipywidgets.VBox([self.filter, self.rows, self.panel.box]),
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
        self.standings: list[Row] = []
        self.chosen = ""
        self.refresh()

    def show(self) -> None:
        """Display the console, ask every target how it is, and follow the ledgers."""
        from IPython.display import display

        bundle = self.box._repr_mimebundle_() or {}
        bundle["text/plain"] = "The console: open this notebook in JupyterLab to use it."
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
        self._chose(f"chose {ticket}")
        self.chosen = ticket
        self.refresh()

    def refresh(self) -> None:
        """Read every ledger again, and show where things stand."""
        with self._guard:
            self._seen = self._signature()
            self.standings = status.rows(self.root)
            wanted = self.filter.value.lower()
            found = [s for s in self.standings if wanted in " ".join(s.as_json().values()).lower()]
            self.rows.children = [
                *(self._row(standing) for standing in found[:_SHOWN]),
                ipywidgets.HTML(_left(len(found), len(self.standings))),
            ]
            chosen = next((s for s in self.standings if s.ticket == self.chosen), None)
            if chosen is not None:
                self.panel.show(chosen)
            self._update_record()

    def _row(self, standing: Row) -> ipywidgets.HBox:
        ticket = standing.ticket
        act = self._acts.get(ticket)
        if act is None:
            says = f"Shows {ticket} below."
            act = widgets.Act(ticket, says, lambda: self.choose(ticket), width="12em")
            self._acts[ticket] = act
        act.button.button_style = "info" if ticket == self.chosen else ""
        waits = f"waits for {standing.waiting_for}, since {widgets.moment(standing.since)}"
        told = [standing.step, waits if standing.waiting_for else "", standing.who]
        told.append(widgets.moment(standing.when))
        comes = f"next: {standing.next}" if standing.next else "nothing left to do"
        comes = comes if standing.target else "mend its file in parameters/tickets"
        details = " · ".join(
            [*(html.escape(text) for text in told if text), f"<b>{html.escape(comes)}</b>"]
        )
        what = " → ".join(filter(None, (standing.collection, standing.target)))
        act.says.value = widgets.dense(
            f"{tables.badge(standing.state)} {html.escape(what)}<br>"
            f'<span style="{widgets.SUBDUED}">{details}</span>'
        )
        return act.box

    def _saved(self, ticket: Ticket) -> None:
        self._chose(f"saved the new ticket {ticket.ticket}")
        self.tabs.selected_index = TICKETS
        self.chosen = ticket.ticket
        self.refresh()

    def _chose(self, text: str) -> None:
        self.choices.append(f"{now()} {text}")
        self._update_record()

    def _signature(self) -> object:
        """Return what differs when a ticket or its ledger has changed."""
        files = sorted((self.root / "parameters" / "tickets").glob("*.yaml"))
        for name in {standing.target for standing in self.standings if standing.target}:
            try:
                archive = Target.archive_of(name, self.root)
            except WorkbookError:
                continue
            files += sorted(archive.glob("*/ledger.jsonl"))
        return [(str(file), file.stat().st_mtime_ns) for file in files if file.exists()]

    def _follow(self) -> None:
        """Show what others do, and what notebooks do by hand."""
        pause = threading.Event()
        while not pause.wait(_GLANCE):
            if self._signature() != self._seen:
                self.refresh()

    def _as_view(self) -> tables.View:
        rows = [tuple(standing.as_json().values()) for standing in self.standings]
        lines = ["  ".join(filter(None, row)) for row in rows] or ["There are no tickets yet."]
        choices = self.choices or ["No choice was made."]
        markup = tables.table(status.COLUMNS, rows, "Tickets") + self.targets.markup()
        markup += "<p>Choices:</p><ul>"
        markup += "".join(f"<li>{html.escape(choice)}</li>" for choice in choices) + "</ul>"
        return tables.View(markup, "\n".join([*lines, *self.targets.text(), *choices]))

    def _update_record(self) -> None:
        if self._record is not None:
            self._record.update(self._as_view())


def _left(found: int, all_: int) -> str:
    if not all_:
        return "<p>There are no tickets yet: make one with the form <b>New ticket</b>.</p>"
    more = (
        f"{found - _SHOWN} more are not shown: narrow them down above. " if found > _SHOWN else ""
    )
    shown = f"{found} of {all_} tickets" if found < all_ else ""
    return f'<span style="{widgets.SUBDUED}">{more}{shown}</span>'
