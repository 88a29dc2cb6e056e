"""The generated pages that are kept in git: what the code, the linter and the lock say, no more."""

import subprocess
import sys
import tomllib

import pytest

from tests.conftest import PROJECT

LIBRARY = PROJECT / "lib" / "dedl_workbook"


def floors() -> list[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    return list(next(c["layers"] for c in contracts if c["type"] == "layers"))


@pytest.mark.parametrize("name", ["layout", "licences"])
def test_the_page_is_what_the_code_says(name: str) -> None:
    page = (PROJECT / "docs" / f"{name}.md").read_text()
    arguments = "sys.stdin.read()" if name == "licences" else ""
    code = f"import generated, sys; print(generated.{name}({arguments}), end='')"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT / "docs",
        input=page,
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout == page, "python docs/generated.py"


def test_every_locked_package_states_a_licence() -> None:
    assert "not known" not in (PROJECT / "docs" / "licences.md").read_text()


def test_every_package_stands_on_a_floor_and_there_are_few_of_both() -> None:
    packages = {path.parent.name for path in LIBRARY.glob("*/__init__.py")}

    assert packages == {name for floor in floors() for name in floor.split(" | ")}
    assert len(packages) <= 12
    assert len(floors()) <= 11


def test_every_module_says_in_its_first_line_what_it_is() -> None:
    page = (PROJECT / "docs" / "layout.md").read_text()

    assert [line for line in page.splitlines() if line.endswith("|  |")] == []
