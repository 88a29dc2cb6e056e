"""Letters: the texts in templates/, filled in. What is filled in stays text, whatever it says."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from string import Template

from dedl_workbook.services.helpdesk.desk import one_line


def letter(name: str, **values: str | int | Sequence[str]) -> tuple[str, str]:
    """Return subject and text of a letter.

    Args:
        name: of the file in templates/, whose first line is the subject.
        values: by their names in the file. A text becomes one line; a list becomes lines.

    Raises:
        KeyError: the letter asks for a value that isn't given.
    """
    file = resources.files(__package__).joinpath("templates", f"{name}.txt")
    head, _, body = file.read_text("utf-8").partition("\n\n")
    filled = {key: _filled(value) for key, value in values.items()}
    subject = Template(head.removeprefix("Subject: ")).substitute(filled)
    return one_line(subject), Template(body).substitute(filled).strip() + "\n"


def _filled(value: str | int | Sequence[str]) -> str:
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, int):
        return f"{value:,}"
    # Lines of a list keep the indentation that they are given, and can't break out of it.
    return "\n".join(" " * (len(one) - len(one.lstrip(" "))) + one_line(one) for one in value)
