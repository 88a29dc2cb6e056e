"""Tickets' files: written checked, listed, and found again by what became of them."""

import json
import logging
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from dedl_workbook.case import provenance, search
from dedl_workbook.cli import dataset
from dedl_workbook.cli.codes import COULD_NOT_RUN, DONE
from dedl_workbook.cli.main import main
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.steps.order import STEPS
from dedl_workbook.views import terminal

from tests.unit.conftest import make_case

NEW = ["--ticket", "OP-1", "--dataset", "delivered", "--collection", "EO.A", "--target", "site"]


@pytest.fixture
def here(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(root))
    return root


def test_a_new_ticket_is_a_checked_file_and_never_overwrites_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ticket", "new", *NEW, "--role", "A", "--role", "B", "--replace"]) == DONE
    assert "next: dedl-workbook plan OP-1" in capsys.readouterr().out
    written = (here / "parameters" / "tickets" / "OP-1.yaml").read_text()

    assert main(["ticket", "new", *NEW]) == COULD_NOT_RUN

    assert "a ticket of this name already" in capsys.readouterr().err
    assert (here / "parameters" / "tickets" / "OP-1.yaml").read_text() == written
    values = yaml.safe_load(written)
    assert (values["access"], values["roles"], values["mode"]) == (
        "restricted",
        ["A", "B"],
        "replace",
    )
    assert main(["ticket", "list", "--json"]) == DONE
    assert json.loads(capsys.readouterr().out)[0]["collection"] == "EO.A"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--target", "sitee"], "Did you mean 'site'?"),
        (["--collection", "not an id"], "collection: must be"),
        (["--board-date", "soon"], "no date of the form"),
        (["--ticket", ""], "ticket: is missing"),
    ],
)
def test_what_is_no_ticket_is_not_written(
    here: Path, wrong: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ticket", "new", *NEW, *wrong]) == COULD_NOT_RUN

    assert message in capsys.readouterr().err
    assert list((here / "parameters" / "tickets").iterdir()) == []


def test_a_broken_ticket_is_a_line_below_the_list(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["ticket", "new", *NEW])
    (here / "parameters" / "tickets" / "OP-2.yaml").write_text("ticket: OP-2")
    capsys.readouterr()

    assert main(["ticket", "list"]) == COULD_NOT_RUN

    shown = capsys.readouterr()
    assert "OP-1\tEO.A\tsite\tpublic\tnew\t" in shown.out
    assert "could not read OP-2: " in shown.err


def published(root: Path, name: str, **changes: object) -> Path:
    """A case that published one file and one item; return its folder."""
    case = make_case(root, ticket=name, collection=f"EO.OF.{name}", **changes)
    for step in STEPS:
        dataset = case.job.fingerprint if STEPS[step].of_dataset else ""
        case.record_outcome(case.new_attempt(step), Outcome(step, Verdict.PASSED, ""), dataset)
    work = case.folder / "work"
    (work / "sha256sums.txt").write_text(f"{'0' * 64}  data/2026/{name} file.tif\n")
    (work / "items-sha256.txt").write_text(f"{'0' * 64}  ITEM_{name}\n")
    return case.folder


def found(capsys: pytest.CaptureFixture[str], *how: str) -> list[str]:
    capsys.readouterr()
    assert main(["ticket", "find", *how, "--json"]) == DONE
    return [hit["ticket"] for hit in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ([], ["OP-1", "OP-2"]),
        (["--collection", "EO.OF.OP-1"], ["OP-1"]),
        (["--collection", "EO.*"], ["OP-1", "OP-2"]),
        (["--state", "published"], ["OP-1", "OP-2"]),
        (["--state", "failed"], []),
        (["--operator", "ann"], ["OP-2"]),
        (["--role", "READERS"], ["OP-2"]),
        (["--key", "data/2026/OP-1 file.tif"], ["OP-1"]),
        (["--key", "EO.OF.OP-1/OP-0/data/2026/OP-1 file.tif"], ["OP-1"]),
        (["--key", "s3://pool/EO.OF.OP-1/OP-1/data/2026/OP-1 file.tif"], ["OP-1"]),
        (["--key", "EO.OTHER/OP-1/data/2026/OP-1 file.tif"], []),
        (["--item", "ITEM_OP-2"], ["OP-2"]),
        (["--since", "2026-01-01"], ["OP-1", "OP-2"]),
        (["--until", "2020-01-01"], []),
        (["--item", "ITEM_OP-2", "--role", "OTHERS"], []),
    ],
)
def test_a_case_is_found_by_what_became_of_it(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: list[str],
    names: list[str],
) -> None:
    published(here, "OP-1")
    monkeypatch.setenv("DEDL_OPERATOR", "ann")
    published(here, "OP-2", access="restricted", roles=["READERS"])

    assert found(capsys, *how) == names


def test_the_index_follows_the_ledgers_and_can_be_lost(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = published(here, "OP-1")
    assert found(capsys) == ["OP-1"]
    published(here, "OP-2")
    assert found(capsys, "--item", "ITEM_OP-2") == ["OP-2"]

    (here / search.INDEX).write_bytes(b"no database at all" * 100)
    assert found(capsys) == ["OP-1", "OP-2"]
    shutil.rmtree(folder)
    assert found(capsys) == ["OP-2"]
    assert found(capsys, "--item", "ITEM_OP-1") == []
    assert found(capsys, "--rebuild") == ["OP-2"]


def test_a_ticket_names_its_own_evidence(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["ticket", "new", *NEW])
    folder = published(here, "OP-1")
    case = make_case(here, ticket="OP-1", collection="EO.OF.OP-1")
    file = here / "parameters" / "tickets" / "OP-1.yaml"
    file.write_text(yaml.safe_dump(case.ticket.parameters()))

    assert main(["evidence", "verify", "OP-1"]) == COULD_NOT_RUN
    assert f"{folder / 'bag'}" in capsys.readouterr().err
    assert main(["evidence", "pack", "OP-1"]) == DONE
    assert main(["evidence", "verify", "OP-1"]) == DONE
    assert main(["evidence", "diff", "OP-1", str(folder / "bag")]) == DONE
    assert main(["evidence", "verify", "OPP-1"]) == COULD_NOT_RUN
    assert "Did you mean 'OP-1'?" in capsys.readouterr().err


def test_the_version_names_the_commit_of_a_clone(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    git = subprocess.run(command, capture_output=True, text=True)
    if git.returncode:
        pytest.skip("this is no clone")

    assert main(["--version"]) == DONE

    assert capsys.readouterr().out.endswith(f"(commit {git.stdout[:12]})\n")
    assert provenance.commit_of_code() == git.stdout.strip()


def test_quiet_shows_no_progress_and_verbose_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def works(**_: object) -> int:
        with terminal.Progress() as progress:
            progress("working: so far")
        logging.getLogger("dedl_workbook.test").info("in detail")
        return DONE

    monkeypatch.setattr(dataset.validate, "callback", works)

    shown = {}
    for how in ("", "--quiet", "--verbose", "-qv", " "):
        assert main(["validate", "x", *how.split()]) == DONE
        text = capsys.readouterr().err
        shown[how] = ("working" in text, "in detail" in text)

    assert shown == {
        "": (True, False),
        "--quiet": (False, False),
        "--verbose": (True, True),
        "-qv": (False, True),
        " ": (True, False),
    }
