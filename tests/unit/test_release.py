"""The release script: what it writes beside the two archives."""

import hashlib
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

sys.path.insert(0, str(PROJECT / "scripts"))
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
