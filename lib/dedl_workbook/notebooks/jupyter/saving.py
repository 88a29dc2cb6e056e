"""Saving in JupyterLab: no secret reaches the disk, and a step's notebook its case.

A server extension: `dedl-workbook lab` switches it on. Elsewhere, as on a JupyterHub, put this
into jupyter_server_config.py:

    c.ServerApp.jpserver_extensions = {"dedl_workbook.notebooks.jupyter.saving": True}
    c.ServerApp.contents_manager_class = "dedl_workbook.notebooks.jupyter.contents.Contents"
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import ConflictError, WorkbookError
from dedl_workbook.base.redact import Redactor
from dedl_workbook.case import ledger, lock
from dedl_workbook.case.case import Case
from dedl_workbook.evidence import cells, packing, sealing
from dedl_workbook.notebooks.handover import Handover
from dedl_workbook.parameters.target import SECRET_KEYS, Target, variables
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.parameters.yaml_files import read_yaml, workbook_root
from dedl_workbook.publication.job import Verdict
from dedl_workbook.steps.order import STEPS

log = logging.getLogger(__name__)
TELLING = frozenset(name for name, step in STEPS.items() if step.tells)
WIDGET = "application/vnd.jupyter.widget-view+json"


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "dedl_workbook.notebooks.jupyter.saving"}]


def _load_jupyter_server_extension(app: Any) -> None:
    """Put the hooks before and after each save of this server."""
    os.environ.update(Handover(saves=True).to_environment())
    app.contents_manager.register_pre_save_hook(scrub)
    app.contents_manager.register_post_save_hook(keep)


def scrub(model: dict[str, Any], path: str, contents_manager: Any) -> None:
    """Take secrets out of a notebook that is about to be saved; refuse to overwrite evidence.

    It knows the secrets of every target of the workbook.

    Raises:
        HTTPError: it is not saved; says why and what to do.
    """
    from tornado.web import HTTPError

    if _is_evidence(Path(contents_manager.root_dir) / path.strip("/")):
        why = "This is evidence of a case and isn't changed any more. Save it under another name."
        raise HTTPError(403, reason=why, log_message=why)
    if model.get("type") != "notebook" or not model.get("content"):
        return
    try:
        model["content"] = _without_widgets(_redactor().value(model["content"]))
    except Exception as error:
        # Anything else would be logged only, and the notebook saved with its secrets.
        why = f"Not saved, since its secrets could not be taken out: {error}"
        raise HTTPError(500, reason=" ".join(why.split()), log_message=why) from error


def _without_widgets(notebook: dict[str, Any]) -> dict[str, Any]:
    """Leave the text of each widget alone: a file can't show widgets, and JupyterLab complains."""
    for cell in notebook.get("cells", ()):
        for output in cell.get("outputs", ()):
            if "text/plain" in output.get("data", {}):
                output["data"].pop(WIDGET, None)
    return notebook


def _is_evidence(file: Path) -> bool:
    parents = file.parents
    return any(p.name == "attempts" and (p.parent / "ledger.jsonl").is_file() for p in parents)


def _redactor() -> Redactor:
    """Return what knows every secret that the environment and the settings files hold.

    Also those of targets that lack something yet, or that can't be read.
    """
    root = workbook_root()
    values = variables(root, None)
    for file in (root / "parameters" / "targets").glob("*.yaml"):
        with suppress(WorkbookError):
            named = read_yaml(file).get("settings_file")
            values |= variables(root, root / str(named)) if named else {}
    ends = tuple(f"__{key}" for key in SECRET_KEYS)
    names = (key for key in values if key.upper().startswith("DEDL_"))
    return Redactor(values[key] for key in names if key.lower().endswith(ends))


def keep(os_path: str, model: dict[str, Any], contents_manager: Any) -> None:
    """Put a saved notebook into the case of the attempt that it belongs to, if to any.

    Raises:
        HTTPError: it was saved, but could not be put into the case.
    """
    from tornado.web import HTTPError

    if model.get("type") != "notebook":
        return
    try:
        keep_file(Path(os_path))
    except (WorkbookError, OSError) as error:
        why = f"Saved, but not put into its case: {error}"
        raise HTTPError(500, reason=" ".join(why.split()), log_message=why) from error


def keep_file(file: Path) -> cells.Shown | None:
    """Put a notebook's file into the case of the attempt that it belongs to, if to any.

    Returns:
        Which cells ran, if it was sealed now, see `sealing.seal`.

    Raises:
        WorkbookError: its case can't be read.
        OSError: its case can't be written.
    """
    import nbformat

    notebook = nbformat.read(file, as_version=4)
    link = cells.link_of(notebook)
    if link is None:
        return None
    root = workbook_root()
    lines = ledger.read(Target.archive_of(link.target, root) / link.ticket / "ledger.jsonl")
    for line in lines:
        begun = line["event"] == "started" and line["attempt"] == link.attempt
        if begun and line.get("by") == "hand":
            case = Case.of(Ticket.of(line["ticket"], link.ticket), root)
            shown = sealing.seal(case, link.attempt, notebook)
            if shown and _told(lines, link.attempt):
                _pack_again(case)
            return shown
    return None


def _told(lines: list[dict[str, Any]], attempt: str) -> bool:
    """Return whether an attempt told the user."""
    return any(
        line["event"] == "outcome"
        and line["attempt"] == attempt
        and line["verdict"] == Verdict.PASSED
        and line["step"] in TELLING
        for line in lines
    )


def _pack_again(case: Case) -> None:
    try:
        with lock.hold(case.folder):
            packing.pack_again(case, log.warning)
    except ConflictError as error:
        log.warning("the evidence was not packed again: %s", error)
