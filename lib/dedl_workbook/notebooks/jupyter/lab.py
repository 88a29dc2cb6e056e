"""Lab: JupyterLab on the workbook, and steps' notebooks with a ticket's parameters in them."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from dedl_workbook.base.files import write_atomic
from dedl_workbook.base.json import digest
from dedl_workbook.base.times import now
from dedl_workbook.notebooks.kernel import notebook_file
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.steps.order import Step

CONSOLE = Path("notebooks", "00-console.ipynb")
_EXTENSION = "dedl_workbook.notebooks.jupyter.saving"
_CONTENTS = "dedl_workbook.notebooks.jupyter.contents.Contents"
_SETTINGS = Path(__file__).parent


def working_copy(ticket: Ticket, step: Step, root: Path) -> Path:
    """Return the file of a step's notebook for working by hand, with a ticket's parameters in it.

    It lies in `work/<target>/<ticket>/` of the workbook, so that JupyterLab can open it: by its
    path relative to `root`, as in `/lab/tree/work/sandbox/DEDL-1/30-upload.ipynb`. Run there and
    saved in a JupyterLab that `dedl-workbook lab` started, it is put into the ticket's case.

    A copy that is there already is kept, with all that was written into it, as long as ticket and
    notebook are the same; otherwise it is put aside under a name with the time.

    Raises:
        InputError: the workbook has no such notebook.
        OSError: it can't be written.
    """
    import nbformat
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    source = notebook_file(root, step)
    origin = digest({"notebook": source.read_text("utf-8"), "ticket": ticket.parameters()})
    copy = root / "work" / ticket.target / ticket.ticket / source.name
    if _is_of(copy, origin):
        return copy
    notebook = load_notebook_node(str(source))
    notebook = parameterize_notebook(notebook, ticket.parameters(), kernel_name="python3")
    injected = next(c for c in notebook.cells if "injected-parameters" in c.metadata.tags)
    # In place of the template's own values, which are another ticket's.
    notebook.cells = [
        injected if "parameters" in cell.metadata.tags else cell
        for cell in notebook.cells
        if cell is not injected and "front-matter" not in cell.metadata.tags
    ]
    injected.metadata["tags"] = ["parameters"]
    notebook.metadata["dedl"] = {"origin": origin}
    write_atomic(copy, nbformat.writes(notebook) + "\n")
    return copy


def opened_copy(source: Path, root: Path) -> Path:
    """Return the copy of a notebook of the workbook that JupyterLab opens and saves in its place.

    It lies in `work/notebooks/`, so that nothing that belongs to the workbook is ever changed by
    running it. A copy that is there already is kept as long as the notebook is the same; otherwise
    it is put aside under a name with the time.

    Raises:
        OSError: it can't be read or written.
    """
    import nbformat

    copy = root / "work" / "notebooks" / source.name
    origin = digest({"notebook": source.read_text("utf-8")})
    if _is_of(copy, origin):
        return copy
    notebook = nbformat.read(source, as_version=4)
    notebook.cells = [c for c in notebook.cells if "front-matter" not in c.metadata.get("tags", ())]
    notebook.metadata["dedl"] = {"origin": origin}
    write_atomic(copy, nbformat.writes(notebook) + "\n")
    return copy


def _is_of(copy: Path, origin: str) -> bool:
    """Return whether a copy is there and of this origin; one of another is put aside."""
    if not copy.is_file():
        return False
    with suppress(ValueError, KeyError, AttributeError):
        if json.loads(copy.read_bytes())["metadata"].get("dedl", {}).get("origin") == origin:
            return True
    aside = now().replace(":", "").replace(".", "")
    copy.rename(copy.with_name(f"{copy.stem}-until-{aside}.ipynb"))
    return False


def command(root: Path, *more: str) -> list[str]:
    """Return the command that starts JupyterLab on a workbook, with the hooks of `saving` on.

    It listens on this machine alone and asks for a token; the console comes first, if there is
    one. `environment` goes with it.

    Args:
        root: the workbook.
        more: arguments for JupyterLab, which win over these.
    """
    first = CONSOLE if (root / CONSOLE).is_file() else CONSOLE.parent
    line = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"]
    line += ["--ServerApp.ip=127.0.0.1", f"--LabApp.default_url=/lab/tree/{first}"]
    line += [f"--ServerApp.jpserver_extensions={{'{_EXTENSION}': True}}"]
    line += [f"--ServerApp.contents_manager_class={_CONTENTS}"]
    # As root the server wants to be told that this is meant.
    line += ["--ServerApp.allow_root=True"] if os.geteuid() == 0 else []
    return [*line, *more]


def environment(root: Path) -> dict[str, str]:
    """Return the environment that JupyterLab and its kernels run in.

    Its settings, where the operator has none, ask the network for neither news nor new versions.
    """
    places = [str(_SETTINGS), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    config = os.pathsep.join(filter(None, places))
    return os.environ | {"DEDL_WORKBOOK_ROOT": str(root), "JUPYTER_CONFIG_PATH": config}
