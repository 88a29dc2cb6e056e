"""The files that JupyterLab shows: a notebook of the workbook is opened and saved as a copy."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from traitlets import default

from dedl_workbook.notebooks.jupyter import lab
from dedl_workbook.notebooks.jupyter.checkpoints import Checkpoints

_FOLDER = lab.CONSOLE.parent


class Contents(AsyncLargeFileManager):
    """Serves the workbook's folder, with `work/notebooks/` in place of `notebooks/`'s files.

    What belongs to the workbook is thus never changed by whoever opens and runs it.
    """

    @default("checkpoints_class")
    def _checkpoints_class_default(self) -> type[Checkpoints]:
        return Checkpoints

    def _get_os_path(self, path: str) -> str:
        root = Path(self.root_dir)
        relative = PurePosixPath(path.strip("/"))
        source = root / relative
        own = relative.parent == PurePosixPath(_FOLDER) and relative.suffix == ".ipynb"
        if own and source.is_file():
            return str(lab.opened_copy(source, root))
        return str(super()._get_os_path(path))  # type: ignore[no-untyped-call]
