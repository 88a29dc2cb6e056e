"""A target can let a group alone read its archive, whatever the umask of who works is."""

import grp
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dedl_workbook import evidence
from dedl_workbook.base import files
from dedl_workbook.base.errors import InputError
from dedl_workbook.evidence import sealing
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.rules.findings import Report

from tests.unit.conftest import make_case, make_root
from tests.unit.evidence.test_pages import notebook

GROUP = grp.getgrgid(os.getgroups()[-1] if os.getgroups() else os.getgid())


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a workbook, while everything that is written may be read and written by all."""
    root = make_root(tmp_path / "workbook", monkeypatch)
    before = os.umask(0)
    yield root
    os.umask(before)
    files._hidden = 0


def restrict(root: Path, group: str) -> None:
    target = root / "parameters" / "targets" / "site.yaml"
    values = yaml.safe_load(target.read_text()) | {"evidence": {"group": group}}
    target.write_text(yaml.safe_dump(values))


def went_through(root: Path) -> Path:
    """Let a case be validated, planned and packed; return its archive."""
    case = make_case(root)
    report = Report("delivered", (), items=1, files=1, size=1).as_json()
    folder = case.new_attempt("validate")
    (folder / "log.jsonl").write_text("{}\n")
    case.record_outcome(
        folder, Outcome("validate", Verdict.PASSED, "", detail={"report": report}), ""
    )
    sealing.seal(case, folder.name, notebook("text"))
    evidence.pack(case)
    return case.folder.parent


def too_open(archive: Path) -> list[str]:
    """Return what others than the owner and the group may read, or the group may write."""
    return [
        f"{stat.filemode(path.lstat().st_mode)} {path.relative_to(archive)}"
        for path in (archive, *archive.rglob("*"))
        if path.lstat().st_mode & files.GROUP_ALONE
    ]


def test_files_of_the_archive_are_for_the_owner_and_the_group_alone(root: Path) -> None:
    restrict(root, GROUP.gr_name)

    archive = went_through(root)

    assert too_open(archive) == []
    parts = [path for path in archive.rglob("*") if path.name != "lock"]
    assert {path.lstat().st_gid for path in parts} == {GROUP.gr_gid}
    readable = [path for path in parts if path.is_file() and not path.stat().st_mode & 0o040]
    assert readable == [], "the group can't read these"
    assert (archive / "DEDL-1" / "attempts" / "001-validate" / "report.html").is_file()


def test_without_the_setting_the_umask_of_who_works_holds(root: Path) -> None:
    assert too_open(went_through(root)) != []


def test_a_group_that_there_is_not_is_named(root: Path) -> None:
    restrict(root, "nobody-knows-this-group")

    with pytest.raises(InputError, match="can't be given to the group nobody-knows"):
        make_case(root)
