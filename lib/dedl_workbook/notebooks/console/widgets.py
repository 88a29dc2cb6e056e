"""What the console's widgets have in common: a button with what it does beside it, links, notes."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path

import ipywidgets

SUBDUED = "color:var(--jp-ui-font-color2,#555)"
_EDGES = {"good": "#00785a", "bad": "#b34700", "news": "#0066a1"}
_BUTTON = "width:15em;box-sizing:border-box;vertical-align:middle;font-size:13px;margin-left:0"
_TABLES = (
    "<style>.dedl-dense th, .dedl-dense td {padding: 2px 14px 2px 0; vertical-align: top} "
    ".dedl-dense th {white-space: nowrap} "
    ".dedl-dense td:nth-child(3), .dedl-dense td:last-child {overflow-wrap: anywhere}</style>"
)
_WORDS = {"good": "Done", "bad": "Fix this", "news": "Note"}


class Act:
    """A button, with what it will do written beside it."""

    def __init__(
        self, label: str, says: str, do: Callable[[], None], *, style: str = "", width: str = "15em"
    ) -> None:
        self._label, self._do, self._style = label, do, style
        self._layout = ipywidgets.Layout(width=width, flex="0 0 auto")
        self.says = ipywidgets.HTML()
        self.button = self._button()
        self.say(says)
        self.box = ipywidgets.HBox(
            [self.button, self.says], layout=ipywidgets.Layout(align_items="center")
        )

    def _button(self) -> ipywidgets.Button:
        button = ipywidgets.Button(
            description=self._label, button_style=self._style, layout=self._layout
        )
        button.on_click(lambda _: self._do())
        return button

    def renew(self) -> None:
        """Put a new button in place of the old one, which does nothing any more."""
        old, self.button = self.button, self._button()
        self.button.disabled, self.button.tooltip = old.disabled, old.tooltip
        self.box.children = (self.button, self.says)
        old.close()

    def say(self, text: str) -> None:
        """Change what is written beside the button."""
        self.button.tooltip = text
        self.says.value = dense(f'<span style="{SUBDUED}">{html.escape(text)}</span>')

    def show(self, shown: bool) -> None:
        """Show or hide button and text."""
        shows(self.box, shown)


def shows(box: ipywidgets.DOMWidget, shown: bool) -> None:
    """Show or hide a widget; hidden ones take no room."""
    box.layout.display = None if shown else "none"


def close(widget: ipywidgets.Widget) -> None:
    """Close a widget and all that lies in it."""
    for child in getattr(widget, "children", ()):
        close(child)
    widget.close()


def progress(text: str, line: str) -> str:
    """Return what is at work, and the line that says how far it is."""
    return (
        f'<div role="status"><progress aria-label="at work"></progress> {html.escape(text)}<br>'
        f"{html.escape(line) or '&nbsp;'}</div>"
    )


def note(kind: str, text: str) -> str:
    """Return a note: good, bad or news, which differ in their first word besides the colour."""
    if not text:
        return ""
    style = (
        f"border-left:5px solid {_EDGES[kind]};padding:4px 10px;white-space:pre-wrap;"
        "line-height:1.5;overflow-wrap:anywhere"
    )
    return f'<div role="status" style="{style}"><b>{_WORDS[kind]}:</b> {html.escape(text)}</div>'


def dense(markup: str) -> str:
    """Return markup with the lines of a text, and room between the columns of its tables.

    A widget's lines are as high as its buttons, and its tables have no style.
    """
    return f'{_TABLES}<div class="dedl-dense" style="line-height:1.4">{markup}</div>'


def moment(at: str) -> str:
    """Return a time of the ledger to the minute, which is enough to read."""
    return f"{at[:16].replace('T', ' ')} UTC" if at else ""


def link(file: Path, root: Path, label: str, *, button: bool = False) -> str:
    """Return a link that JupyterLab opens in a tab of its own.

    A file outside of the workbook's folder, where JupyterLab can't go, is named instead.
    """
    try:
        path = file.resolve().relative_to(root.resolve())
    except ValueError:
        return f"{html.escape(label)}: <code>{html.escape(str(file))}</code>"
    opens = html.escape(json.dumps({"path": str(path)}), quote=True)
    kind = "jupyter-button widget-button mod-primary"
    style = f' class="{kind}" style="{_BUTTON}"' if button else ""
    return (
        f'<a href="#" data-commandlinker-command="docmanager:open" '
        f'data-commandlinker-args="{opens}"{style}>{html.escape(label)}</a>'
    )
