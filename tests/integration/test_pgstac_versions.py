"""The catalogue on the other PgSTAC that the workbook works with."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from dedl_sandbox import environments

PROJECT = Path(__file__).parents[2]
TESTS = ("test_catalog.py", "test_catalog_kills.py", "test_catalog_role.py", "test_withdraw.py")


@pytest.mark.slow
@pytest.mark.skipif(version("pypgstac").startswith("0.9."), reason="this is the other one")
def test_the_catalogue_works_on_pgstac_0_9_too(tmp_path: Path) -> None:
    other = tmp_path / "pypgstac"
    lock = PROJECT / "requirements" / "pypgstac-0.9.txt"
    install = [str(environments.executable("uv")), "pip", "install", "--quiet", "--no-deps"]
    install += ["--require-hashes", "--python", sys.executable, "--target", str(other)]
    subprocess.run([*install, "-r", str(lock)], check=True)
    # Ahead of the workbook's own, in these tests and in their sandbox.
    path = os.pathsep.join([str(other), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    tests = [str(PROJECT / "tests" / "integration" / name) for name in TESTS]
    seen = "import importlib.metadata as m; print(m.version('pypgstac'))"

    told = [
        subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | {"PYTHONPATH": path},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
        for arguments in (["-c", seen], ["-m", "pytest", "-q", "-n", "0", "-m", "not slow", *tests])
    ]

    assert told[0].stdout.startswith("0.9.")
    assert told[1].returncode == 0, told[1].stdout[-5000:]
