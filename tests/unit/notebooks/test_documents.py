"""The house rules of notebooks: what an operator, and git, can rely on."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.steps.order import STEPS

NOTEBOOKS = sorted((Path(__file__).parents[3] / "notebooks").glob("*.ipynb"))
FRONT = ("title", "subtitle", "author", "tags", "thumbnail", "license", "copyright")
HEADINGS = (
    "Purpose",
    "Before you start",
    "Parameters",
    "Plan",
    "Act",
    "Verify",
    "Undo",
    "Operation note",
    "Verdict",
)
NO_STEP: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "00-console": (("Purpose", "Before you start", "Console", "Record"), ()),
    "05-explore": (
        (
            *("Purpose", "Before you start", "Parameters", "Overview", "Where", "When", "Files"),
            *("Thumbnails", "One data file", "Items as a table"),
        ),
        ("dataset", "target", "sample", "data_file"),
    ),
}
"""Notebooks that are no step of a ticket: their headings and parameters."""
VALIDATE = Path(__file__).parents[3] / "notebooks" / "10-validate.ipynb"
FORBIDDEN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def cells(notebook: dict[str, Any], kind: str) -> list[tuple[int, str]]:
    return [
        (number, "".join(cell["source"]))
        for number, cell in enumerate(notebook["cells"])
        if cell["cell_type"] == kind
    ]


def offences(notebook: dict[str, Any], name: str = VALIDATE.stem) -> Iterator[str]:
    """Yield what a notebook has against the rules."""
    code, text = cells(notebook, "code"), cells(notebook, "markdown")
    yield from front_matter(notebook["cells"][0])
    titles = [line for _, t in text for line in t.splitlines() if re.match(r"# ", line)]
    if len(titles) != 1:
        yield f"has {len(titles)} titles"
    found = [line[3:] for _, t in text for line in t.splitlines() if line.startswith("## ")]
    headings, parameters = NO_STEP.get(name, (HEADINGS, tuple(Ticket.model_fields)))
    if found != [name for name in headings if name in found]:
        yield f"has unknown headings, or in another order: {found}"
    for number, source in code:
        yield from code_offences(notebook, number, source)
    yield from parameter_offences(notebook, parameters)
    if name not in NO_STEP and "attempt.conclude" not in code[-1][1]:
        yield "does not end with the verdict"


def front_matter(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] != "raw" or not cell["metadata"].get("jupyter", {}).get("source_hidden"):
        yield "shows its front matter, which is for catalogues"
    if not (source.startswith("---\n") and source.rstrip().endswith("---")):
        yield "does not begin with front matter"
        return
    front = yaml.safe_load(source.strip().strip("-"))
    yield from (f"front matter lacks {key}" for key in FRONT if not front.get(key))


def code_offences(notebook: dict[str, Any], number: int, source: str) -> Iterator[str]:
    cell = notebook["cells"][number]
    if len(source.splitlines()) > 12:
        yield f"cell {number} has more than 12 lines"
    if cell["outputs"] or cell["execution_count"]:
        yield f"cell {number} has outputs"
    if notebook["cells"][number - 1]["cell_type"] != "markdown":
        yield f"cell {number} has no markdown before it"
    try:
        tree = ast.parse(source)
    except SyntaxError:
        yield f"cell {number} is not plain Python (magics, shell?)"
        return
    if any(isinstance(node, FORBIDDEN) for node in ast.walk(tree)):
        yield f"cell {number} defines a function or class"
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    if names & {"system", "subprocess", "run_line_magic", "exit", "quit", "eval", "exec"}:
        yield f"cell {number} runs a shell or ends the kernel"


def parameter_offences(notebook: dict[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    tagged = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != bool(names):
        yield f"has {len(tagged)} cells tagged parameters"
    if not tagged:
        return
    values = {}
    for node in ast.parse("".join(tagged[0]["source"])).body:
        if not isinstance(node, ast.Assign):
            yield "has more than literals in its parameters"
            return
        values[node.targets[0].id] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
    if tuple(values) != names:
        yield f"its parameters are not {names}: {list(values)}"
    elif names == tuple(Ticket.model_fields):
        Ticket.of(values, "the parameters")


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_keeps_the_house_rules(file: Path) -> None:
    assert list(offences(json.loads(file.read_text()), file.stem)) == []


def test_every_step_has_its_notebook() -> None:
    names = {file.stem for file in NOTEBOOKS}

    assert [step.notebook for step in STEPS.values() if step.notebook not in names] == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f():\n    pass", "defines a function"),
        ("%matplotlib inline", "not plain Python"),
        ("!pip install x", "not plain Python"),
        ("\n".join("x = 1" for _ in range(13)), "more than 12 lines"),
        ("import os; os.system('ls')", "runs a shell"),
        ("exit(0)", "ends the kernel"),
    ],
)
def test_the_house_rules_can_be_broken(source: str, said: str) -> None:
    notebook = json.loads(VALIDATE.read_text())
    number = cells(notebook, "code")[-1][0]
    notebook["cells"][number]["source"] = source

    assert any(said in offence for offence in offences(notebook))


@pytest.mark.parametrize("field", ["outputs", "execution_count", "parameters", "title"])
def test_notices_outputs_wrong_parameters_and_a_second_title(field: str) -> None:
    notebook = json.loads(VALIDATE.read_text())
    number = cells(notebook, "code")[0][0]
    if field == "outputs":
        notebook["cells"][number]["outputs"] = [{}]
    elif field == "execution_count":
        notebook["cells"][number]["execution_count"] = 1
    elif field == "parameters":
        notebook["cells"][number]["source"] = 'ticket = "DEMO-1"'
    else:
        notebook["cells"][1]["source"] += "\n# Again"

    assert list(offences(notebook)) != []
