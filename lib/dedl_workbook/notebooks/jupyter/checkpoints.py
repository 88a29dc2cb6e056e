"""JupyterLab's checkpoints, apart from the files that they are of.

Its front end makes one of every file that it opens, in a folder beside it. Beside a file of a pack
of evidence, that would be found as added to the pack.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from jupyter_server.services.contents.filecheckpoints import AsyncFileCheckpoints

FOLDER = ".checkpoints"
"""In the workbook's folder."""


class Checkpoints(AsyncFileCheckpoints):
    """Keeps checkpoints in a tree of their own."""

    def checkpoint_path(self, checkpoint_id: str, path: str) -> str:
        """Return the file of a checkpoint; its folder is made."""
        of = PurePosixPath(path.strip("/"))
        if ".." in of.parts:
            raise ValueError(path)
        folder = Path(self.root_dir) / FOLDER / of.parent
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder / f"{of.stem}-{checkpoint_id}{of.suffix}")
