"""Every notebook run and saved in JupyterLab: nothing that belongs to the workbook changes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import jupyter
from tests.conftest import PROJECT, Workbook


def git(root: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return done.stdout


def with_values(notebook: dict[str, object], values: dict[str, object]) -> dict[str, object]:
    """Write a ticket's values into a notebook's parameters, as an operator does by hand."""
    cells: list[dict[str, object]] = notebook["cells"]  # type: ignore[assignment]
    for cell in cells:
        if "parameters" in cell["metadata"].get("tags", ()):  # type: ignore[attr-defined]
            lines = (f"{key} = {value!r}" for key, value in values.items())
            cell["source"] = "\n".join(lines)
    return notebook


@pytest.mark.slow
def test_running_all_notebooks_changes_nothing_that_is_tracked(lake: Workbook) -> None:
    (lake.root / "notebooks").unlink()
    shutil.copytree(
        PROJECT / "notebooks", lake.root / "notebooks", ignore=shutil.ignore_patterns(".*")
    )
    shutil.copy(PROJECT / ".gitignore", lake.root)
    lake.write_ticket()
    git(lake.root, "init", "-q")
    git(lake.root, "add", ".")
    git(lake.root, "commit", "-qm", "as it was installed")
    ticket = lake.ticket().parameters()
    explored = {"dataset": str(lake.dataset), "target": "", "sample": 5, "data_file": ""}
    sources = sorted((lake.root / "notebooks").glob("*.ipynb"))
    assert len(sources) == 10

    with jupyter.lab(lake.root, DEDL_OPERATOR="an.operator") as server:
        for source in sources:
            values = explored if source.name.startswith("05") else ticket
            notebook = with_values(server.load(source), values)
            with server.kernel(source) as kernel:
                kernel.run_all(notebook)
                assert server.save(source, notebook).status_code == 200, source.name
            assert '"execution_count": 1' in json.dumps(server.load(source)), source.name

    assert git(lake.root, "status", "--porcelain") == ""
    copies = {file.name for file in (lake.root / "work" / "notebooks").glob("*.ipynb")}
    assert copies == {source.name for source in sources}
