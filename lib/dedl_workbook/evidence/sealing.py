"""Sealing: an attempt's notebook is put into the case once it has its verdict, and its digest
into the ledger; by the headless runner, and by JupyterLab's save.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import EvidenceError
from dedl_workbook.base.files import write_atomic
from dedl_workbook.case.case import Case
from dedl_workbook.evidence import cells
from dedl_workbook.evidence.cells import Shown
from dedl_workbook.views import pages

NOTEBOOK, PAGE, SEAL = "notebook.ipynb", "notebook.html", "seal.json"


def seal(case: Case, attempt: str, notebook: Mapping[str, Any]) -> Shown | None:
    """Keep a notebook as the evidence of an attempt, free of secrets.

    Before the verdict it is only a draft, which the next one replaces. With the verdict it is
    sealed: its page is made, and its digest and which cells ran go into the ledger. Later only
    its prose may differ, such as the operation note: it is sealed again, and the earlier one kept.

    Returns:
        Which cells ran, if it was sealed now; None: it is a draft, is sealed as it is already,
        or is not any more what was sealed.
    """
    import nbformat

    folder = case.folder / "attempts" / attempt
    clean = nbformat.from_dict(case.redactor.value(notebook))
    text = nbformat.writes(clean) + "\n"
    file = folder / NOTEBOOK
    if (folder / SEAL).is_file():
        sealed = file.read_text("utf-8")
        if sealed == text or _code(nbformat.reads(sealed, as_version=4)) != _code(clean):
            return None
        earlier = folder / "earlier" / f"notebook-{_sha256(file)[:12]}.ipynb"
        write_atomic(earlier, file.read_bytes())
    write_atomic(file, text)
    return _sealed(case, folder) if _ended(case, attempt) else None


def seal_rest(case: Case) -> None:
    """Seal the notebooks of headless attempts whose process died before it could.

    One that was run by hand, and never saved with its verdict, stays a draft: no page is made.
    """
    lines = case.ledger()
    ended = {line["attempt"] for line in lines if line["event"] == "outcome"}
    for line in lines:
        if line["event"] != "started" or line.get("by") == "hand" or line["attempt"] not in ended:
            continue
        folder = case.folder / "attempts" / line["attempt"]
        if (folder / NOTEBOOK).is_file() and not (folder / SEAL).is_file():
            # What isn't a notebook any more is packed as it lies there, without a seal.
            with suppress(ValueError, TypeError, LookupError):
                _sealed(case, folder)


def require_unchanged(case: Case) -> None:
    """Require that every sealed notebook, and its page, is what the ledger says.

    Raises:
        EvidenceError: naming those that were changed, or are gone.
    """
    last = {line["attempt"]: line for line in case.ledger() if line["event"] == "sealed"}
    wrong = [
        f"attempts/{attempt}/{name}"
        for attempt, line in last.items()
        for name, key in ((NOTEBOOK, "notebook"), (PAGE, "page"))
        if not _is(case.folder / "attempts" / attempt / name, line[key])
    ]
    if wrong:
        raise EvidenceError(
            f"changed since it was sealed: {', '.join(wrong)}",
            where=str(case.folder),
            remedy="Restore it from a backup or from an evidence pack.",
        )


def _is(file: Path, digest: str) -> bool:
    return file.is_file() and _sha256(file) == digest


def _ended(case: Case, attempt: str) -> bool:
    return any(x["event"] == "outcome" and x["attempt"] == attempt for x in case.ledger())


def _sealed(case: Case, folder: Path) -> Shown:
    file = folder / NOTEBOOK
    shown = cells.shown(folder)
    pages.write(file, case.redactor)
    line = case.record(
        "sealed",
        attempt=folder.name,
        notebook=_sha256(file),
        page=_sha256(folder / PAGE),
        whole=shown.whole,
        cells=shown.sentence(),
    )
    case.write(
        folder / SEAL, {key: line[key] for key in ("at", "notebook", "page", "whole", "cells")}
    )
    return shown


def _code(notebook: Mapping[str, Any]) -> list[Any]:
    """Return what ran and what came of it: all of a notebook but its prose."""
    return [
        ("".join(cell["source"]), cell.get("execution_count"), cell.get("outputs"))
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
