"""Pages: an executed notebook as HTML that opens anywhere, with no server and no network."""

from __future__ import annotations

from pathlib import Path

from dedl_workbook.documents import write_atomic
from dedl_workbook.redact import Redactor

_HIDDEN = {"front-matter", "parameters"}
"""The front matter is for catalogues of notebooks; the defaults were overruled by the ticket."""


def write(file: Path, redactor: Redactor) -> None:
    """Write the page of an executed notebook beside it, free of secrets; nothing if there is none.

    Raises:
        OSError: it can't be written; `evidence pack` makes the pages that are missing.
    """
    if not file.is_file():
        return
    import nbformat
    from nbconvert import HTMLExporter

    notebook = nbformat.read(file, as_version=4)
    notebook.cells = [c for c in notebook.cells if not _HIDDEN & set(c.metadata.get("tags", []))]
    page, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook)
    write_atomic(file.with_suffix(".html"), redactor.text(page))
