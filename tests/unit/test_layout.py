"""The layout page: what the linter's floors and the packages' docstrings say, and no more."""

import subprocess
import sys
import tomllib

from tests.conftest import PROJECT

LIBRARY = PROJECT / "lib" / "dedl_workbook"


def floors() -> list[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    return list(next(c["layers"] for c in contracts if c["type"] == "layers"))


def test_the_page_is_what_the_code_says() -> None:
    code = "import generated; print(generated.layout(), end='')"
    made = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT / "docs",
        capture_output=True,
        text=True,
        check=True,
    )

    assert made.stdout == (PROJECT / "docs" / "layout.md").read_text(), "python docs/generated.py"


def test_every_package_stands_on_a_floor_and_there_are_few_of_both() -> None:
    packages = {path.parent.name for path in LIBRARY.glob("*/__init__.py")}

    assert packages == {name for floor in floors() for name in floor.split(" | ")}
    assert len(packages) <= 12
    assert len(floors()) <= 11


def test_every_module_says_in_its_first_line_what_it_is() -> None:
    page = (PROJECT / "docs" / "layout.md").read_text()

    assert [line for line in page.splitlines() if line.endswith("|  |")] == []
