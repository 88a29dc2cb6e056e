"""Diff: what differs between the evidence of two publications of one collection."""

import json
import re
from pathlib import Path

import pytest
from dedl_workbook import evidence
from dedl_workbook.base.errors import EvidenceError, InputError
from dedl_workbook.case.case import Case
from dedl_workbook.cli import main
from dedl_workbook.evidence.diff import Row, summary
from dedl_workbook.publication.job import Action, Outcome, Plan, Verdict
from dedl_workbook.rules.findings import Report

from tests.unit.conftest import make_case


def published(root: Path, fingerprint: str, files: dict[str, str], **ticket: object) -> Case:
    """Return a case that was validated, planned, and has lists of what it published."""
    case = make_case(root, **ticket)
    folder = case.new_attempt("validate")
    report = Report("delivered", (), items=len(files), files=len(files), size=7, notes=()).as_json()
    outcome = Outcome("validate", Verdict.PASSED, "fine", detail={"report": report})
    case.record_outcome(folder, outcome, fingerprint)
    goal = {"files": len(files), "bytes": 7}
    case._keep_plan([Plan("upload", case.job, goal, {}, (Action("upload", "files"),))])
    work = case.folder / "work"
    sums = "".join(f"{digest * 64}  data/{name}\n" for name, digest in files.items())
    (work / "sha256sums.txt").write_text(sums)
    (work / "items-sha256.txt").write_text(sums.replace("data/", ""))
    title = f"Heat {ticket.get('ticket', '')}"
    (work / "collection.json").write_text(json.dumps({"id": "EO.XXX.DAT.YYY", "title": title}))
    return case


@pytest.fixture
def packs(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setenv("DEDL_OPERATOR", "alice")
    one = evidence.pack(published(root, "f1", {"a": "1", "b": "2", "c": "3"}))
    monkeypatch.setenv("DEDL_OPERATOR", "bob")
    files = {"a": "1", "b": "9", "d": "4"}
    two = evidence.pack(published(root, "f2", files, ticket="DEDL-2", mode="replace"))
    return one.path, two.path


def test_names_what_differs_in_every_respect(packs: tuple[Path, Path]) -> None:
    rows = evidence.diff(*packs)

    for row in (
        Row("parameters", "ticket", "DEDL-1", "DEDL-2"),
        Row("parameters", "mode", "new", "replace"),
        Row("dataset", "fingerprint", "f1", "f2"),
        Row("collection", "title", "Heat ", "Heat DEDL-2"),
        Row("items", "d", "not there", "there"),
        Row("items", "c", "there", "not there"),
        Row("files", "data/b", "there", "another content"),
    ):
        assert row in rows
    assert {r.what for r in rows if r.area == "files"} == {"data/b", "data/c", "data/d"}
    assert any(r.area == "people" and "alice on" in r.first and "bob on" in r.second for r in rows)
    assert not [r for r in rows if r.area in ("software", "outcome")]


def test_tells_another_plan_and_other_software(root: Path, packs: tuple[Path, Path]) -> None:
    case = published(root, "f1", {"a": "1"}, ticket="DEDL-3")
    case.record(
        "started",
        step="upload",
        attempt="003-upload",
        ticket={},
        software={"dedl-workbook": "9", "packages": {"boto3": "1.0"}},
    )
    rows = evidence.diff(packs[0], evidence.pack(case).path)

    assert Row("plan", "upload: files", "3", "1") in rows
    assert [r.second for r in rows if (r.area, r.what) == ("software", "boto3")] == ["1.0"]


def test_nothing_differs_from_itself(packs: tuple[Path, Path]) -> None:
    assert evidence.diff(packs[0], packs[0]) == []


def test_does_not_compare_what_was_changed_or_is_of_another_collection(
    root: Path, packs: tuple[Path, Path]
) -> None:
    other = published(root, "f", {}, ticket="DEDL-4", collection="EO.XXX.DAT.ZZZ")
    with pytest.raises(InputError, match=r"is of EO\.XXX\.DAT\.ZZZ"):
        evidence.diff(packs[0], evidence.pack(other).path)
    (packs[1] / "data" / "ticket.json").write_text("{}")
    with pytest.raises(EvidenceError, match="was changed"):
        evidence.diff(*packs)


def test_the_command_prints_a_table_or_json(
    packs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["evidence", "diff", *map(str, packs), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    mode = {"area": "parameters", "what": "mode", "first": "new", "second": "replace"}
    assert mode | {"count": 1} in rows

    assert main.main(["evidence", "diff", *map(str, packs)]) == 0
    shown = capsys.readouterr().out
    assert re.match(r"\d+ things differ: parameters 2, dataset 1, ", shown)
    assert "items added 1, items vanished 1, items changed 1" in " ".join(shown.split())
    assert "another content" in shown
    assert main.main(["evidence", "diff", str(packs[0]), str(packs[0])]) == 0
    assert "Nothing differs." in capsys.readouterr().out


def test_long_lists_are_cut_with_their_count(root: Path) -> None:
    one = evidence.pack(published(root, "f", {f"{n:04}": "1" for n in range(250)}))
    two = evidence.pack(published(root, "f", {}, ticket="DEDL-2"))

    rows = [row for row in evidence.diff(one.path, two.path) if row.area == "files"]

    assert len(rows) == 101
    assert rows[-1] == Row("files", "… and 150 more", "there", "not there")
    assert "files vanished 250" in summary(rows)
