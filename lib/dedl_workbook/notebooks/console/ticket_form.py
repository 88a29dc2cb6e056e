"""The form of a new ticket, which checks while one types, with the words of the ticket's model."""

from __future__ import annotations

import html
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ipywidgets
import yaml
from pydantic import ValidationError

from dedl_workbook.base.files import write_new
from dedl_workbook.base.times import today
from dedl_workbook.dataset.dataset import COLLECTION
from dedl_workbook.notebooks.console import widgets
from dedl_workbook.parameters.ticket import DEFAULTS, Ticket, Waiver
from dedl_workbook.parameters.yaml_files import problems
from dedl_workbook.services import health

_NEEDED = ("ticket", "dataset", "collection", "target")
_LABELS = {
    "ticket": ("Ticket", "its id in the help desk, such as DEDL-7"),
    "dataset": ("Dataset", "a folder, or s3://bucket/prefix"),
    "collection": ("Collection", "the agreed id, such as EO.XXX.DAT.YYY"),
    "target": ("Target", "where it goes"),
    "board_reference": ("Board's decision", "where it is written down"),
    "board_date": ("Decided on", "the day of the decision"),
    "access": ("Access", "who may see it"),
    "roles": ("Roles", "that open it; several with commas"),
    "mode": ("Mode", "new, or in place of what is published under this id"),
    "waivers": ("Waivers", "one a line: rule; why it does not hold here; who agreed"),
    "downloads": ("Downloads", "data files that are downloaded to verify them"),
}
_ALWAYS = ("roles", "downloads")
"""Fields of which also an empty value can be wrong."""


class Form:
    """Makes a ticket's file."""

    def __init__(self, root: Path, saved: Callable[[Ticket], None]) -> None:
        self._root, self._saved = root, saved
        self.fields = _fields(root)
        self.messages = {key: ipywidgets.HTML() for key in self.fields}
        self.rows = {key: self._row(key) for key in self.fields}
        self.folders = Folders(root, self._pick)
        self.save = widgets.Act("Save the ticket", "", self._save, style="primary")
        self.note = ipywidgets.HTML()
        rows = list(self.rows.values())
        place = list(self.rows).index("dataset") + 1
        self.box = ipywidgets.VBox(
            [*rows[:place], self.folders.box, *rows[place:], self.save.box, self.note]
        )
        for field in self.fields.values():
            field.observe(lambda _: self.check(), names="value")
        self.check()

    def _row(self, key: str) -> ipywidgets.HBox:
        label, hint = _LABELS[key]
        self.fields[key].placeholder = hint
        name = ipywidgets.Label(label, layout=ipywidgets.Layout(width="9em", flex="0 0 auto"))
        return ipywidgets.HBox([name, self.fields[key], self.messages[key]])

    def _pick(self, folder: str) -> None:
        self.fields["dataset"].value = folder

    def values(self) -> dict[str, Any]:
        """Return the ticket's keys as they stand in the form."""
        values = {key: field.value for key, field in self.fields.items()}
        day = values["board_date"]
        roles = values["roles"] if values["access"] == "restricted" else ""
        return values | {
            "board_date": day.isoformat() if day else "",
            "roles": [role.strip() for role in roles.split(",") if role.strip()],
            "waivers": [_waiver(line) for line in values["waivers"].splitlines() if line.strip()],
        }

    def check(self) -> bool:
        """Say at each field what is wrong with it; return whether the ticket can be saved."""
        values = self.values()
        widgets.shows(self.rows["roles"], values["access"] == "restricted")
        wrong = self._wrong(values)
        missing = [key for key in _NEEDED if not values[key]]
        missing += ["roles"] if values["access"] == "restricted" and not values["roles"] else []
        for key, message in self.messages.items():
            text = "" if key in missing else wrong.get(key, "")
            message.value = widgets.note("bad", text) or (
                f'<span style="{widgets.SUBDUED}">{"is needed" if key in missing else ""}</span>'
            )
        ready = not wrong and not missing
        self.save.button.disabled = not ready
        rest = ", ".join(_LABELS[key][0] for key in [*missing, *wrong] if key in _LABELS)
        self.save.say(
            f"Writes parameters/tickets/{values['ticket']}.yaml, and nothing else."
            if ready
            else f"First fill in or correct: {rest}."
        )
        return ready

    def _wrong(self, values: dict[str, Any]) -> dict[str, str]:
        wrong: dict[str, str] = {}
        try:
            Ticket.model_validate(values)
        except ValidationError as error:
            for location, text in problems(error, Ticket):
                wrong.setdefault(str(location[0]) if location else "roles", text)
        if "ticket" not in wrong and values["ticket"] and self._file(values["ticket"]).exists():
            wrong["ticket"] = "there is a ticket of this name already; choose it in the list"
        folder = values["dataset"]
        if folder and "://" not in folder and not (self._root / folder).is_dir():
            wrong.setdefault("dataset", f"there is no folder {folder} in the workbook")
        day = self.fields["board_date"].value
        if day and day > today():
            wrong["board_date"] = "lies in the future: nothing may be changed before the decision"
        return {key: text for key, text in wrong.items() if values.get(key) or key in _ALWAYS}

    def _file(self, name: str) -> Path:
        return self._root / "parameters" / "tickets" / f"{name}.yaml"

    def _save(self) -> None:
        if not self.check():
            return
        ticket = Ticket.of(self.values(), "the form")
        file = self._file(ticket.ticket)
        text = yaml.safe_dump(ticket.parameters(), sort_keys=False, allow_unicode=True)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_new(file, text)
        except OSError as error:
            self.note.value = widgets.note("bad", f"{file} can't be written: {error.strerror}")
            return
        self.note.value = widgets.note("good", f"saved as {file.relative_to(self._root)}")
        self.clear()
        self._saved(ticket)

    def clear(self) -> None:
        """Empty what belongs to one ticket alone."""
        for key in ("ticket", "dataset", "collection", "board_reference", "roles", "waivers"):
            self.fields[key].value = ""


def _fields(root: Path) -> dict[str, Any]:
    wide = ipywidgets.Layout(width="24em", flex="0 0 auto")
    text = {
        key: ipywidgets.Text(layout=wide)
        for key in ("ticket", "dataset", "collection", "board_reference", "roles")
    }
    names = health.names(root)
    fields = text | {
        "target": ipywidgets.Dropdown(options=names, value=next(iter(names), None), layout=wide),
        "board_date": ipywidgets.DatePicker(layout=wide),
        "access": ipywidgets.ToggleButtons(options=["public", "restricted"]),
        "mode": ipywidgets.ToggleButtons(options=["new", "replace"]),
        "waivers": ipywidgets.Textarea(rows=2, layout=wide),
        "downloads": ipywidgets.IntText(value=DEFAULTS["downloads"], layout=wide),
    }
    return {key: fields[key] for key in _LABELS}


def _waiver(line: str) -> dict[str, str]:
    """Return a waiver from a line; what is missing in it is left out, and named by the model."""
    return dict(
        zip(Waiver.model_fields, (part.strip() for part in line.split(";", 2)), strict=False)
    )


class Folders:
    """A way to pick a folder: into one, out of one, this one."""

    def __init__(self, root: Path, pick: Callable[[str], None]) -> None:
        self._root, self._pick = root, pick
        self.at = root
        self.list = ipywidgets.Select(rows=6, layout=ipywidgets.Layout(width="24em"))
        self._where = ipywidgets.HTML()
        self.acts = {
            "into": widgets.Act("Open it", "Shows the folders in the chosen one.", self.open),
            "out": widgets.Act("Go up", "Shows the folder that this one lies in.", self.leave),
            "use": widgets.Act("Use it", "Puts the chosen folder into the form.", self.use),
        }
        chooser = ipywidgets.VBox(
            [
                self._where,
                ipywidgets.HBox(
                    [self.list, ipywidgets.VBox([act.box for act in self.acts.values()])]
                ),
            ]
        )
        self.box = ipywidgets.Accordion([chooser], titles=["Pick a folder"])
        self._show(root)

    def open(self) -> None:
        """Show the folders in the chosen one."""
        if self.list.value is not None:
            self._show(self.at / self.list.value)

    def leave(self) -> None:
        """Show the folder that this one lies in."""
        self._show(self.at.parent)

    def use(self) -> None:
        """Pick the chosen folder, or this one if none is chosen."""
        folder = self.at / self.list.value if self.list.value is not None else self.at
        inside = folder.is_relative_to(self._root)
        self._pick(str(folder.relative_to(self._root) if inside else folder))

    def _show(self, folder: Path) -> None:
        try:
            names = sorted(one.name for one in folder.iterdir() if _is_folder(one))
        except OSError as error:
            self._where.value = widgets.note("bad", f"{folder} can't be opened: {error.strerror}")
            return
        self.at = folder
        labels = [
            f"{name} (a dataset)" if (folder / name / COLLECTION).is_file() else name
            for name in names
        ]
        self.list.options = list(zip(labels, names, strict=True))
        self.list.value = None
        self._where.value = f"<code>{html.escape(str(folder))}</code>"


def _is_folder(path: Path) -> bool:
    with suppress(OSError):
        return path.is_dir() and not path.name.startswith(".")
    return False
