"""What an operator does at the console, click by click; every click is counted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

_READY = """async () => {
    const panel = () => window.jupyterapp?.shell.currentWidget;
    while (!panel()?.sessionContext) await new Promise(done => setTimeout(done, 100));
    await panel().sessionContext.ready;
    await panel().sessionContext.session.kernel.info;
}"""
"""Ends when the kernel of the notebook in front is ready."""
_ELSEWHERE = """([here, there]) => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode;
        if (text.data.includes(here)) text.data = text.data.replaceAll(here, there);
    }
}"""
"""Shows another folder than the test's, in pictures that others see."""
MOST = 20
"""Clicks that one ticket may take."""


@dataclass
class Seat:
    """A page with JupyterLab."""

    page: Any
    root: Path
    """The workbook's."""
    images: Path | None
    """Where screenshots go; None: nowhere."""
    clicks: int = 0

    def click(self, what: Any) -> None:
        """Click once."""
        what.click()
        self.clicks += 1

    def run_all(self) -> None:
        """Run all cells of the notebook in front."""
        menu = self.page.get_by_role("menuitem", name="Run", exact=True)
        self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook").wait_for()
        self.page.evaluate(_READY)
        self.click(menu)
        self.click(self.page.get_by_role("menuitem", name="Run All Cells", exact=True))

    def run_to_the_end(self) -> None:
        """Run all cells of the notebook in front, and wait until the last has ended."""
        self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook").wait_for()
        self.page.evaluate(_READY)
        self._command("notebook:run-all-cells")

    def run_console(self) -> None:
        """Run all cells of the console's notebook, which JupyterLab opened."""
        self.run_all()
        self.page.get_by_role("tab", name="New ticket").wait_for()
        self.page.get_by_text("No choice was made.").wait_for()

    def open(self, path: Path) -> None:
        """Open a notebook, as the file browser does."""
        self._command("docmanager:open", path=str(path))
        self.page.wait_for_function(
            "name => window.jupyterapp.shell.currentWidget?.title.label === name", arg=path.name
        )

    def save(self) -> None:
        """Save the notebook in front."""
        self._command("docmanager:save")

    def _command(self, name: str, **given: str) -> None:
        run = "async ([name, given]) => { await window.jupyterapp.commands.execute(name, given) }"
        self.page.evaluate(run, [name, given])

    def tab(self, name: str) -> None:
        """Open a tab of the console."""
        self.click(self.page.get_by_role("tab", name=name, exact=True).last)

    def press(self, name: str) -> None:
        """Press a button of the console, once it can be pressed."""
        button = self.page.get_by_role("button", name=re.compile(f"^{name}")).and_(
            self.page.locator(".widget-button:not([disabled])")
        )
        button.last.scroll_into_view_if_needed()
        self.click(button.last)

    def choose(self, ticket: str) -> None:
        """Choose a ticket in the console's table."""
        self.click(self.row(ticket))

    def row(self, ticket: str) -> Any:
        """Return a ticket's row in the console's table."""
        return self.page.locator(f'tr[data-ticket="{ticket}"]').last

    def fill(self, hint: str, text: str) -> None:
        """Type into the field with this hint."""
        field = self.page.get_by_placeholder(hint)
        field.wait_for()
        field.press_sequentially(text, delay=5)

    def see(self, text: str | re.Pattern[str]) -> None:
        """Wait until a text is to be seen."""
        self.page.get_by_text(text).first.wait_for()

    def said(self, text: str) -> None:
        """Wait until the console says so in its note."""
        self.page.locator("[role=status]", has_text=text).first.wait_for()

    def unsaid(self, text: str) -> None:
        """Wait until the console says so no more."""
        self.page.locator("[role=status]", has_text=text).wait_for(state="detached")

    def shoot(self, name: str, *, console: bool = True) -> None:
        """Make a screenshot, if they are wanted: of the console, or of the whole page.

        Of what is longer than the page, the first part.
        """
        if not self.images:
            return
        self.images.mkdir(parents=True, exist_ok=True)
        file, clip = self.images / f"{name}.png", None
        for frame in self.page.frames:
            frame.evaluate(_ELSEWHERE, [str(self.root), "/home/operator/workbook"])
        if console:
            shown = self.page.locator(".jp-Cell-outputWrapper:has(.widget-tab)").first
            shown.evaluate("shown => shown.scrollIntoView({block: 'start'})")
            clip, page = shown.bounding_box(), self.page.locator(".jp-NotebookPanel").first
            room = page.bounding_box()
            clip["height"] = min(clip["height"], room["y"] + room["height"] - clip["y"])
        self.page.screenshot(path=file, clip=clip)
        # In as few colours as a page needs: a third of the size.
        Image.open(file).convert("RGB").quantize(96).save(file, optimize=True)
