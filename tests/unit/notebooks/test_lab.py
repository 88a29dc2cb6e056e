"""Work by hand in a real JupyterLab leaves the evidence that a headless run leaves."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import requests
from dedl_workbook.base.errors import EvidenceError
from dedl_workbook.case.case import Case
from dedl_workbook.evidence import sealing
from dedl_workbook.notebooks.jupyter.lab import working_copy
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.steps.order import STEPS

from tests import jupyter
from tests.conftest import PROJECT
from tests.jupyter import Server
from tests.unit.conftest import CANARIES, make_case, make_root

BEGIN = 'from dedl_workbook.notebooks.attempt import begin\nattempt = begin("validate", globals())'
VERDICT = """\
from dedl_workbook.publication.job import Outcome, Verdict
attempt.conclude(Outcome("validate", Verdict.PASSED, "fine"))"""
VALIDATE = STEPS["validate"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests, each of which has a ticket of its own."""
    with pytest.MonkeyPatch.context() as patch:
        root = make_root(tmp_path_factory.mktemp("lab") / "workbook", patch)
        with jupyter.lab(root, DEDL_OPERATOR="alice") as running:
            yield running


@pytest.fixture
def case(server: Server, request: pytest.FixtureRequest) -> Case:
    return make_case(server.root, ticket=f"DEDL-{abs(hash(request.node.name))}")


def opened(case: Case, *cells: str) -> Path:
    """Write the step's notebook, and open it as a working copy for the ticket."""
    parameters = nbformat.v4.new_code_cell('ticket = ""', metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(
        cells=[parameters, *(nbformat.v4.new_code_cell(cell) for cell in cells)],
        metadata={"kernelspec": {"name": "python3", "display_name": "p", "language": "python"}},
    )
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell("note"))
    (case.root / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, case.root / "notebooks" / "10-validate.ipynb")
    return working_copy(case.ticket, VALIDATE, case.root)


def attempt(case: Case, number: int = 1) -> Path:
    return case.folder / "attempts" / f"{number:03d}-validate"


def _spelt(number: int) -> str:
    """Return source that makes a secret without holding it."""
    return f"{CANARIES[number][:5]!r} + {CANARIES[number][5:]!r}"


def sealed(case: Case) -> list[dict[str, Any]]:
    return [line for line in case.ledger() if line["event"] == "sealed"]


def code(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_a_step_run_by_hand_is_kept_when_it_is_saved(case: Case, server: Server) -> None:
    file = opened(case, BEGIN, "print('seen')", VERDICT)
    notebook = server.load(file)
    with server.kernel(file) as kernel:
        assert kernel.run_all(notebook)
    assert f"001-validate of {case.ticket.ticket}. Save this" in json.dumps(notebook)

    assert server.save(file, notebook).status_code == 200

    assert "seen" in (attempt(case) / "notebook.ipynb").read_text()
    assert "seen" in (attempt(case) / "notebook.html").read_text()
    sealing.require_unchanged(case)
    (attempt(case) / "notebook.html").write_text("other")
    with pytest.raises(EvidenceError, match="001-validate/notebook.html"):
        sealing.require_unchanged(case)
    events = [(line["event"], line["operator"]) for line in case.ledger()]
    assert events == [("started", "alice"), ("outcome", "alice"), ("sealed", "alice")]
    assert (sealed(case)[0]["whole"], case.ledger()[0]["by"]) == (True, "hand")
    assert {"notebook.ipynb", "notebook.html", "outcome.json", "log.txt", "seal.json"} <= {
        file.name for file in attempt(case).iterdir()
    }


def test_what_was_written_after_the_verdict_is_kept_beside_what_was_sealed(
    case: Case, server: Server
) -> None:
    file = opened(case, BEGIN, VERDICT)
    notebook = server.load(file)
    with server.kernel(file) as kernel:
        kernel.run(code(notebook)[0])
        kernel.run(code(notebook)[1])
        server.save(file, notebook)
        assert (attempt(case) / "notebook.ipynb").is_file()
        assert sealed(case) == []
        kernel.run(code(notebook)[2])
        server.save(file, notebook)
        first = sealed(case)[0]["notebook"]

        notebook["cells"][1]["source"] = "talked to Bob"
        server.save(file, notebook)
        server.save(file, notebook)
        assert "talked to Bob" in (attempt(case) / "notebook.html").read_text()

        # Another run of a cell, or another source, isn't what led to the verdict.
        kernel.run(code(notebook)[1])
        code(notebook)[-1]["source"] = "1 + 1"
        server.save(file, notebook)

    assert [line["whole"] for line in sealed(case)] == [True, True]
    earlier = [f.name for f in (attempt(case) / "earlier").iterdir()]
    assert earlier == [f"notebook-{first[:12]}.ipynb"]
    assert "1 + 1" not in (attempt(case) / "notebook.ipynb").read_text()


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ((0, 1, 3, 2, 4), "the cells ran in the order 1, 2, 4, 3, 5"),
        pytest.param((0, 1, 4), "cells 3, 4 never ran in this attempt", marks=pytest.mark.slow),
        pytest.param((0, 1, 2, 2, 3, 4), "1 run is not shown", marks=pytest.mark.slow),
    ],
)
def test_a_notebook_is_recorded_as_what_it_is(
    case: Case, server: Server, order: tuple[int, ...], said: str
) -> None:
    file = opened(case, BEGIN, "a = 1", "b = 2", VERDICT)
    notebook = server.load(file)
    with server.kernel(file) as kernel:
        went = [kernel.run(code(notebook)[number]) for number in order]
    assert all(went)

    assert server.save(file, notebook).status_code == 200

    (line,) = sealed(case)
    assert not line["whole"]
    assert said in line["cells"]


def test_no_secret_of_any_target_reaches_the_disk(case: Case, server: Server) -> None:
    file = opened(case, BEGIN, f"print({_spelt(1)})", f"raise ValueError({_spelt(2)})")
    notebook = server.load(file)
    state = {"state": {"a": {"state": {"value": CANARIES[0]}}}, "version_major": 2}
    notebook["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": state}
    with server.kernel(file) as kernel:
        assert not kernel.run_all(notebook)
    assert CANARIES[1] in json.dumps(notebook)

    assert server.save(file, notebook).status_code == 200
    server.ask("POST", f"contents/{file.relative_to(case.root)}/checkpoints").raise_for_status()

    folders = (file.parent, case.folder)
    files = [f for folder in folders for f in folder.rglob("*") if f.is_file()]
    assert len(files) >= 8
    found = {f.name for f in files for c in CANARIES if c.encode() in f.read_bytes()}
    assert found == set()
    assert (attempt(case) / "notebook.html").is_file()
    assert case.last_outcome("validate")["verdict"] == "failed"


def test_evidence_can_not_be_overwritten_from_jupyterlab(case: Case, server: Server) -> None:
    file = opened(case, BEGIN, VERDICT)
    notebook = server.load(file)
    with server.kernel(file) as kernel:
        kernel.run_all(notebook)
    server.save(file, notebook)
    kept = attempt(case) / "notebook.ipynb"
    before = kept.read_bytes()

    answer = server.save(kept, notebook | {"cells": []})

    assert (answer.status_code, kept.read_bytes()) == (403, before)
    assert "evidence" in answer.json()["message"]


def test_opening_evidence_in_jupyterlab_adds_nothing_to_it(server: Server) -> None:
    """Its front end makes a checkpoint of every file that it opens."""
    page = server.root / "archive" / "DEDL-1" / "bag" / "data" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>evidence</p>")

    made = server.ask("POST", f"contents/{page.relative_to(server.root)}/checkpoints")

    assert made.status_code == 201, made.text
    assert [file.name for file in page.parent.rglob("*")] == ["index.html"]


def test_jupyterlab_asks_for_a_token_and_listens_here_alone(server: Server) -> None:
    assert server.url.startswith("http://127.0.0.1:")
    assert requests.get(f"{server.url}api/contents", timeout=20).status_code == 403
    extensions = server.ask("GET", "contents").json()
    assert extensions["type"] == "directory"


def test_a_working_copy_keeps_what_was_written_until_the_ticket_changes(root: Path) -> None:
    case = make_case(root)
    file = opened(case, BEGIN, VERDICT)
    ticket = case.ticket
    text = file.read_text()
    assert "DEDL-1" in text
    file.write_text(text.replace("note", "talked to Bob"))

    assert working_copy(ticket, VALIDATE, root) == file
    assert "talked to Bob" in file.read_text()
    changed = Ticket.of(ticket.parameters() | {"mode": "replace"}, "the test")
    assert working_copy(changed, VALIDATE, root) == file

    assert '"replace"' in nbformat.read(file, as_version=4).cells[0].source
    aside = [f for f in file.parent.iterdir() if f != file]
    assert ["talked to Bob" in f.read_text() for f in aside] == [True]


def test_a_working_copy_shows_the_tickets_values_alone(root: Path) -> None:
    case = make_case(root)
    source = root / "notebooks" / "10-validate.ipynb"
    source.parent.mkdir(exist_ok=True)
    source.write_bytes((PROJECT / "notebooks" / "10-validate.ipynb").read_bytes())

    notebook = nbformat.read(working_copy(case.ticket, VALIDATE, root), as_version=4)

    assert notebook.cells[0].cell_type == "markdown"
    assert "DEMO-1" not in json.dumps(notebook)
    parameters = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
    assert ['"DEDL-1"' in cell.source for cell in parameters] == [True]


def test_a_notebook_of_the_workbook_is_saved_as_a_copy(server: Server) -> None:
    source = server.root / "notebooks" / "mine.ipynb"
    source.parent.mkdir(exist_ok=True)
    front = nbformat.v4.new_raw_cell("---", metadata={"tags": ["front-matter"]})
    cells = [front, nbformat.v4.new_code_cell("1 + 1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), source)
    before = source.read_bytes()

    notebook = server.load(source)
    assert [cell["cell_type"] for cell in notebook["cells"]] == ["code"]
    notebook["cells"][0]["source"] = "2 + 2"
    assert server.save(source, notebook).status_code == 200

    assert source.read_bytes() == before
    assert "2 + 2" in (server.root / "work" / "notebooks" / "mine.ipynb").read_text()
    assert server.load(source)["cells"][0]["source"] == "2 + 2"
    source.write_bytes(before.replace(b"1 + 1", b"3 + 3"))
    assert server.load(source)["cells"][0]["source"] == "3 + 3"
    aside = (server.root / "work" / "notebooks").glob("mine-until-*.ipynb")
    assert ["2 + 2" in file.read_text() for file in aside] == [True]
