"""The scripts of a release: what stands beside the archives, and what is known of the locks."""

import hashlib
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

sys.path.insert(0, str(PROJECT / "scripts"))
import audit_deps
import release

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n- new\n\n## [0.2.0] - 2027-01-05\n\n- old\n"


@pytest.mark.parametrize(("version", "notes"), [("0.2.0", "- old\n"), ("0.3.0", "- new\n")])
def test_the_notes_are_the_versions_part_of_the_changelog(version: str, notes: str) -> None:
    assert release.notes(CHANGELOG, version) == notes


def test_the_sums_name_all_files_but_themselves(tmp_path: Path) -> None:
    for name in ("b.whl", "a.tar.gz", "SHA256SUMS"):
        (tmp_path / name).write_text(name)

    lines = [line.split("  ") for line in release.sums(tmp_path).splitlines()]

    assert lines == [
        [hashlib.sha256(name.encode()).hexdigest(), name] for name in ("a.tar.gz", "b.whl")
    ]


def test_a_shim_without_a_python_behind_it_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "python3.14"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    assert release.interpreter("3.14") is None


def test_a_known_weakness_is_named_and_what_was_not_looked_up_is_counted() -> None:
    weak = {"id": "PYSEC-1", "fix_versions": ["1.1"]}
    answer = [
        {"name": "a", "version": "1.0", "vulns": [weak]},
        {"name": "b", "version": "1.0", "vulns": []},
        {"name": "c", "skip_reason": "not found"},
    ]

    first, looked_up, not_known = audit_deps.report(answer)

    assert first == "a 1.0: PYSEC-1, fixed in 1.1"
    assert looked_up.startswith("known: 2 packages")
    assert not_known.startswith("not known: 1 packages")


def test_no_answer_is_not_taken_for_no_weakness() -> None:
    assert list(audit_deps.report("no route")) == ["not known: no route"]
