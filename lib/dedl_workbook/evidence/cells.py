"""Cells: which cells a kernel ran for an attempt, and what a notebook of it shows of that.

The kernel writes the trace into the attempt's folder while cells run, so that it is there whatever
becomes of the notebook. A notebook carries a link to its attempt in the output of the cell that
began it, so that it is known what it is evidence of, wherever it was saved.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedl_workbook.base.files import write_atomic
from dedl_workbook.base.json import digest, pretty
from dedl_workbook.base.redact import Redactor

FILE = "cells.json"
_LINK = "dedl"
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Link:
    """Names an attempt."""

    target: str
    ticket: str
    attempt: str

    def as_metadata(self) -> dict[str, Any]:
        """Return it as the metadata of an output."""
        return {_LINK: vars(self)}


def link_of(notebook: Mapping[str, Any]) -> Link | None:
    """Return the attempt that a notebook's outputs name last, in its order; None: it names none.

    Names that aren't plain file names don't count: the link is used as a path.
    """
    link = None
    for cell in notebook.get("cells", []):
        for output in cell.get("outputs") or ():
            value = (output.get("metadata") or {}).get(_LINK)
            if isinstance(value, Mapping) and set(value) == {"target", "ticket", "attempt"}:
                plain = all(isinstance(v, str) and _SAFE.fullmatch(v) for v in value.values())
                link = Link(**value) if plain else link
    return link


@dataclass(frozen=True)
class Ran:
    """What a kernel ran."""

    sources: tuple[str, ...] = ()
    """Their digests, in the order in which they ran; the n-th one has execution count n."""
    before: int = 0
    """How many of them ran before the attempt, for an earlier one."""


def write(folder: Path, sources: Iterable[str], before: int, redactor: Redactor) -> None:
    """Write what a kernel ran so far, see `Ran`."""
    cells = [_identity(redactor.text(source)) for source in sources]
    write_atomic(folder / FILE, pretty({"before": before, "ran": cells}))


def read(folder: Path) -> Ran:
    """Return what an attempt's kernel ran; nothing if it kept no trace."""
    try:
        value = json.loads((folder / FILE).read_bytes())
        return Ran(tuple(value["ran"]), value["before"])
    except (OSError, ValueError, KeyError, TypeError):
        return Ran()


def _identity(source: str) -> str:
    # Front ends and kernels differ in the white space at the end.
    return digest(source.strip())


@dataclass(frozen=True)
class Shown:
    """What a notebook shows of what its attempt's kernel ran. Code cells count from 1."""

    cells: int
    """Code cells that aren't empty."""
    order: tuple[int, ...]
    """The cells that ran, in the order in which they did."""
    never: tuple[int, ...]
    """Cells that never ran in this attempt."""
    edited: tuple[int, ...]
    """Cells that were edited after they ran."""
    later: tuple[int, ...]
    """Cells that ran after the verdict."""
    hidden: int
    """Runs of cells that the notebook doesn't show: ran again later, or deleted."""

    @property
    def whole(self) -> bool:
        """Whether every cell ran once, in order, and stands as it ran."""
        return not (self.never or self.edited or self.later or self.hidden) and self.in_order

    @property
    def in_order(self) -> bool:
        """Whether the cells ran from top to bottom."""
        return list(self.order) == sorted(self.order)

    def sentence(self) -> str:
        """Return it in words."""
        if self.whole:
            return f"All {self.cells} code cells ran once, from top to bottom."
        parts = []
        if self.never:
            parts.append(f"{_cells(self.never)} never ran in this attempt")
        if not self.in_order:
            parts.append(f"the cells ran in the order {', '.join(map(str, self.order))}")
        if self.hidden:
            parts.append(
                f"{self.hidden} {'run is' if self.hidden == 1 else 'runs are'} not shown: "
                "those cells ran again later, or were deleted"
            )
        if self.edited:
            parts.append(f"{_cells(self.edited)} edited after running")
        if self.later:
            parts.append(f"{_cells(self.later)} ran after the verdict")
        return f"Of {self.cells} code cells, {len(self.order)} ran: {'; '.join(parts)}."


def shown(folder: Path) -> Shown:
    """Return what the notebook in an attempt's folder shows of what ran.

    Raises:
        OSError: there is none.
    """
    return compare(json.loads((folder / "notebook.ipynb").read_bytes()), read(folder))


def compare(notebook: Mapping[str, Any], ran: Ran) -> Shown:
    """Compare a notebook's code cells with what its attempt's kernel ran."""
    all_code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    code = [
        (number, "".join(cell["source"]), cell.get("execution_count"))
        for number, cell in enumerate(all_code, start=1)
        if "".join(cell["source"]).strip()
    ]
    counts = {number: count for number, _, count in code if count}
    last = len(ran.sources)
    within = {number: count for number, count in counts.items() if 0 < count <= last}
    return Shown(
        cells=len(code),
        order=tuple(sorted(within, key=lambda number: within[number])),
        never=tuple(number for number, _, count in code if not count),
        edited=tuple(
            number
            for number, source, _ in code
            if number in within and _identity(source) != ran.sources[within[number] - 1]
        ),
        later=tuple(number for number, count in counts.items() if count > last),
        hidden=len(set(range(ran.before + 1, last + 1)) - set(within.values())),
    )


def _cells(numbers: tuple[int, ...]) -> str:
    return f"cell{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"
