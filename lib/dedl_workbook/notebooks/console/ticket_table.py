"""The tickets as a table that is sorted, filtered and walked through, by mouse or keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from dedl_workbook.case.status import Row
from dedl_workbook.notebooks.console import widgets
from dedl_workbook.views import tables

_COLUMNS = ("ticket", "collection", "target", "state", "next", "since", "by")


class TicketTable(anywidget.AnyWidget):
    """A table; what is typed, sorted and folded in it is the browser's affair."""

    _esm = Path(__file__).with_name("ticket_table.js")
    _css = Path(__file__).with_name("ticket_table.css")
    columns = traitlets.List(list(_COLUMNS)).tag(sync=True)
    badge = traitlets.Int(_COLUMNS.index("state")).tag(sync=True)
    """The column that is shown as a badge."""
    rows: traitlets.List[Any] = traitlets.List().tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)

    def __init__(self, choose: Callable[[str], None]) -> None:
        super().__init__()
        self.observe(lambda change: choose(change.new), names="chosen")

    def show(self, rows: Iterable[Row], holders: Mapping[str, Mapping[str, Any]]) -> None:
        """Show tickets in this order.

        Args:
            rows: where they stand.
            holders: who is at a ticket now, by its name.
        """
        self.rows = [_row(row, holders.get(row.ticket, {})) for row in rows]

    def bring_panel_into_view(self) -> None:
        """Scroll to what is shown of the chosen ticket, as soon as it is drawn."""
        self.send("panel")


def _row(row: Row, holder: Mapping[str, Any]) -> dict[str, Any]:
    following = f"wait for {row.waiting_for}" if row.waiting_for else row.next
    following = following or ("" if row.target else "fix its file")
    state, by = row.state, row.who
    if holder:
        following, by = row.step, f"{holder.get('operator', '?')} on {holder.get('host', '?')}"
    since = str(holder.get("since") or row.since or row.when)
    return {
        "id": row.ticket,
        "cells": [
            *(row.ticket, row.collection, row.target, state, following),
            *(widgets.moment(since), by),
        ],
        "state": state,
        "colour": tables.colour(state),
        "done": not following,
    }
