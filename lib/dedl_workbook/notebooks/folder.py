"""A workbook's folder: what a person works in, written from what came with the installation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dedl_workbook.base.errors import InputError
from dedl_workbook.base.files import write_atomic

PACKAGED = "folder_files"
"""In a wheel, beside this module: the files as the build hook put them there."""
PATTERNS = (
    "notebooks/*.ipynb",
    "parameters/targets/*.yaml",
    "parameters/tickets/DEMO-*.yaml",
)
"""What of a clone belongs to every workbook's folder."""
_IGNORED = """.env
.sandbox/
archive/
demo/
.checkpoints/
.ipynb_checkpoints/
"""
_README = """# A workbook of the DEDL promotion workbook

    notebooks/            the steps of the procedure, and the console: 00-console.ipynb
    parameters/targets/   where datasets go: sandbox.yaml; copy production.example.yaml
    parameters/tickets/   one file a ticket: DEMO-1 (public) and DEMO-2 (restricted) are examples
    archive/              the cases with their evidence, once there are some
    .env                  secrets of the targets; never commit it

Type in this folder:

    dedl-workbook demo                   two samples, from ticket to evidence, in a data lake here
    dedl-workbook sandbox up             that data lake alone; ended by sandbox down
    dedl-workbook ticket new             a file for a ticket of yours
    dedl-workbook plan TICKET            what would change
    dedl-workbook lab                    JupyterLab on these notebooks
    dedl-workbook --help                 everything else
"""


def files() -> Iterator[tuple[str, bytes]]:
    """Yield the files of a new folder: path and content.

    Raises:
        InputError: this installation brought none.
    """
    packaged = Path(__file__).with_name(PACKAGED)
    source = packaged if packaged.is_dir() else Path(__file__).parents[3]
    paths = sorted(path for pattern in PATTERNS for path in source.glob(pattern))
    if not paths:
        raise InputError("has no notebooks: the installation is not whole", where=str(source))
    for path in paths:
        yield path.relative_to(source).as_posix(), path.read_bytes()
    yield "README.md", _README.encode()
    yield ".gitignore", _IGNORED.encode()


def write(folder: Path) -> list[str]:
    """Write a workbook's folder; return the paths that are new in it.

    Raises:
        InputError: a file is there with other content, or can't be written; nothing was changed in
            the first case.
    """
    wanted = dict(files())
    try:
        present = {name for name in wanted if (folder / name).exists()}
        changed = [name for name in present if (folder / name).read_bytes() != wanted[name]]
        if changed:
            raise InputError(
                f"holds other files of these names: {', '.join(sorted(changed))}",
                where=str(folder),
                remedy="Name a new folder. To have what is new in it, compare the two.",
            )
        for name in wanted.keys() - present:
            write_atomic(folder / name, wanted[name])
    except OSError as error:
        raise InputError(
            f"can't be written: {error.strerror}", where=str(error.filename or folder)
        ) from error
    return sorted(wanted.keys() - present)
