"""A workbook's folder is written from what is installed, and nothing of a person's is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from dedl_workbook.cli.main import main
from dedl_workbook.notebooks import folder
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.parameters.yaml_files import read_yaml, workbook_root

from tests.conftest import PROJECT


def test_writes_notebooks_targets_tickets_and_a_readme(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "promotions"

    assert main(["init", str(root)]) == 0

    notebooks = sorted(path.name for path in (PROJECT / "notebooks").glob("*.ipynb"))
    assert sorted(path.name for path in (root / "notebooks").iterdir()) == notebooks
    monkeypatch.delenv("DEDL_WORKBOOK_ROOT", raising=False)
    monkeypatch.chdir(root)
    assert workbook_root() == root.resolve()
    assert [Ticket.load(name, root).target for name in ("DEMO-1", "DEMO-2")] == ["sandbox"] * 2
    for target in ("sandbox", "production.example"):
        assert read_yaml(root / "parameters" / "targets" / f"{target}.yaml")["archive"]
    assert "dedl-workbook demo" in (root / "README.md").read_text()
    assert ".env" in (root / ".gitignore").read_text().split()
    assert f"cd {root}" in capsys.readouterr().out.replace("\n", "")


def test_a_second_time_writes_what_is_missing_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.write(tmp_path)
    (tmp_path / "parameters" / "tickets" / "DEDL-1.yaml").write_text("mine")
    (tmp_path / "README.md").unlink()

    assert folder.write(tmp_path) == ["README.md"]
    assert main(["init", str(tmp_path)]) == 0

    assert "whole already" in capsys.readouterr().out
    assert (tmp_path / "parameters" / "tickets" / "DEDL-1.yaml").read_text() == "mine"


def test_a_file_that_was_changed_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("my own")

    assert main(["init", str(tmp_path)]) == 2

    assert "holds other files of these names: README.md" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_place_that_can_not_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    assert main(["init", str(tmp_path / "file" / "below")]) == 2

    assert "Traceback" not in capsys.readouterr().err
