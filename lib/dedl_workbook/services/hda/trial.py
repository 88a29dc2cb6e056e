"""Loads a changed configuration with HDA's own software, before it replaces anything."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import InputError
from dedl_workbook.parameters.target import Hda
from dedl_workbook.services.hda import dialect as hda_dialect
from dedl_workbook.services.hda import files as hda_files
from dedl_workbook.services.hda import programs
from dedl_workbook.services.hda import served as hda_served
from dedl_workbook.services.hda.files import Files


def load(hda: Hda, id_: str, entry: Mapping[str, Any], new: Files) -> None:
    """Let HDA's own software load the changed files, from a folder of their own.

    Raises:
        InputError: it can't, or makes something else of the entry.
    """
    answer = _trial(hda, id_, new)
    if answer is None:
        return
    if answer["document"]:
        raise _refused(hda, f"HDA could not serve the collection: {answer['document']}")
    if answer["entry"] is None:
        raise _refused(hda, f"eodag doesn't list {id_}")
    loaded = hda_dialect.of(hda).loaded
    wrong = [field for field in loaded if not _same(field, answer["entry"], entry)]
    if wrong:
        raise _refused(hda, f"eodag makes something else of {', '.join(wrong)} of {id_}")


def load_restored(hda: Hda, id_: str, new: Files, *, entry: bool) -> None:
    """Let HDA's own software load files that were put back as they were.

    Args:
        hda: the target's part.
        id_: of the collection.
        new: the files.
        entry: whether they hold an entry of it, which then is as it was, whatever that was.

    Raises:
        InputError: it can't, or still lists a collection without an entry.
    """
    answer = _trial(hda, id_, new)
    if answer is not None and not entry and answer["entry"] is not None:
        raise _refused(hda, f"eodag still lists {id_}")


def _trial(hda: Hda, id_: str, new: Files) -> dict[str, Any] | None:
    """Return what eodag made of it, or None where a check of the site's own was content."""
    with tempfile.TemporaryDirectory(prefix="hda-check-") as name:
        folder = Path(name)
        draft(hda, new, folder)
        if hda.check:
            done = programs.run([*hda.check, str(folder)], hda.reload_timeout, "hda.check")
            if done.returncode:
                raise _refused(
                    hda, f"the check ended with {done.returncode}: {programs.last_line(done)}"
                )
            return None
        document = "" if new.document is None else str(folder / str(new.name))
        return _loaded(hda, {"id": id_, "document": document}, folder)


def draft(hda: Hda, new: Files, folder: Path) -> None:
    """Write the files as they are to be, with the other providers, into a folder."""
    providers = folder / hda.providers_folder
    providers.mkdir(parents=True, exist_ok=True)
    for file in (hda.folder / hda.providers_folder).glob("*.yml"):
        (providers / file.name).write_bytes(hda_files.read(file))
    for name, data in new.contents(hda).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "ext.json").write_text("{}")
    (folder / "eodag.yml").write_text("{}")


def _loaded(hda: Hda, question: dict[str, str], folder: Path) -> dict[str, Any]:
    environment = {
        "EODAG_CFG_DIR": str(folder),
        "EODAG_CFG_FILE": str(folder / "eodag.yml"),
        "HOME": str(folder),
        **hda_dialect.of(hda).environment(hda, folder),
    }
    answer, log = programs.ask(
        hda.python or Path(sys.executable),
        Path(__file__).with_name("eodag_load.py"),
        question,
        patience=hda.reload_timeout,
        setting="hda.python",
        environment=environment,
    )
    if answer is None:
        raise _refused(hda, f"eodag can't load it: {log}")
    return answer


def _same(field: str, loaded: Mapping[str, Any], meant: Mapping[str, Any]) -> bool:
    served = {field: loaded.get(field)}
    return all(check.passed for check in hda_served.compared(served, {field: meant.get(field)}))


def _refused(hda: Hda, what: str) -> InputError:
    return InputError(
        what,
        where=str(hda_files.collections(hda)),
        remedy="Nothing was changed. Fix the collection (or the file), then plan again.",
    )
