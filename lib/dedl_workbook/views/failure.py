"""Failure: what an operator needs to know of a notebook that failed, on a few lines."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LINES = 5
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Failure:
    """Where a notebook failed, with what, and where all of it can be read."""

    cell: str
    """Its place among the code cells, and the heading that it stands under."""
    error: str
    """The kind of the error, and what it says."""
    last: tuple[str, ...]
    """The last lines that were printed."""
    record: Path
    """The page of the executed notebook; the attempt's folder where there is none."""

    def as_json(self) -> dict[str, Any]:
        """Return it in its JSON form."""
        return {**vars(self), "last": list(self.last), "record": str(self.record)}


def failure_of(folder: Path) -> Failure:
    """Return what failed in an attempt, from its executed notebook."""
    page = folder / "notebook.html"
    record = page if page.is_file() else folder
    try:
        cells = json.loads((folder / "notebook.ipynb").read_bytes())["cells"]
    except (OSError, ValueError, KeyError):
        return Failure("", "", (), record)
    code = [number for number, cell in enumerate(cells) if cell["cell_type"] == "code"]
    for place, number in enumerate(code, start=1):
        outputs = cells[number]["outputs"]
        errors = [output for output in outputs if output["output_type"] == "error"]
        if not errors:
            continue
        title = heading(cells, number)
        where = f"{place} of {len(code)}" + (f", {title}" if title else "")
        error = f"{errors[-1]['ename']}: {errors[-1]['evalue']}"
        return Failure(where, _COLOURS.sub("", error), _last_lines(outputs), record)
    return Failure("", "", (), record)


def _last_lines(outputs: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    printed = ("".join(o["text"]) for o in outputs if o["output_type"] == "stream")
    lines = [_COLOURS.sub("", line) for line in "".join(printed).splitlines()]
    return tuple(line for line in lines if line.strip())[-_LINES:]


def heading(cells: Sequence[dict[str, Any]], number: int) -> str:
    """Return the last heading above a cell; '' if there is none."""
    for cell in reversed(cells[:number]):
        if cell["cell_type"] == "markdown":
            lines = "".join(cell["source"]).splitlines()
            titles = [line.lstrip("#").strip() for line in lines if re.match("#{1,6} ", line)]
            if titles:
                return titles[-1]
    return ""
