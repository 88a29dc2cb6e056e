"""The targets, and whether each of their services answers."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from pathlib import Path

import ipywidgets

from dedl_workbook.notebooks.console import widgets
from dedl_workbook.services import health
from dedl_workbook.views import tables


class Targets:
    """Asks every service of every target, beside the kernel."""

    def __init__(self, root: Path, changed: Callable[[], None]) -> None:
        self._root, self._changed = root, changed
        self.health: dict[str, list[health.Health]] = {}
        self._again = widgets.Act(
            "Check again",
            "Asks every service of every target whether it answers; changes nothing. "
            "The test account logs in.",
            self.check,
        )
        self._tables = ipywidgets.HTML("Not asked yet.")
        self.box = ipywidgets.VBox([self._again.box, self._tables])
        self._thread: threading.Thread | None = None

    def check(self) -> None:
        """Start asking; one that is under way already goes on."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._again.button.disabled = True
        self._tables.value = '<progress aria-label="asking"></progress> asking every service'
        self._thread = threading.Thread(target=self._check, daemon=True)
        self._thread.start()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until all have answered, or their time is over."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _check(self) -> None:
        try:
            self.health = {
                name: health.check(name, self._root) for name in health.names(self._root)
            }
            self._tables.value = widgets.dense(self.markup())
        finally:
            self._again.button.disabled = False
        self._changed()

    def markup(self) -> str:
        """Return the last answers as tables."""
        parts = []
        for name, services in self.health.items():
            parts.append(f"<h3>{html.escape(name)}</h3>")
            parts.append(tables.table(health.COLUMNS, [health.row(one) for one in services]))
        return "".join(parts) or "<p>There are no targets: see parameters/targets.</p>"

    def text(self) -> list[str]:
        """Return the last answers as lines."""
        return [
            f"{name}: {one.service} {one.state}"
            + (f": {one.found} ({one.remedy})" if one.state == "fails" else "")
            for name, services in self.health.items()
            for one in services
        ]
