"""Check that wheels of all that submitters install exist for the systems that they have.

    .venv/bin/python scripts/wheels.py [PYTHON_VERSION]...

pip resolves the base dependencies of pyproject.toml for each system, and installs nothing. Exit
code 1: some system lacks a wheel; pip's last words say of what.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SYSTEMS = {
    "Windows": ["win_amd64"],
    "macOS, Intel": [
        f"macosx_{version}_{kind}"
        for version in ("10_12", "10_13", "11_0", "13_0")
        for kind in ("x86_64", "universal2")
    ],
    "macOS, ARM": [
        f"macosx_{version}_{kind}"
        for version in ("11_0", "13_0")
        for kind in ("arm64", "universal2")
    ],
    "Linux with musl": ["musllinux_1_1_x86_64", "musllinux_1_2_x86_64"],
    "Linux on ARM": ["manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_28_aarch64"],
}


def main(versions: list[str]) -> int:
    """Print a line for each system and Python; return the exit code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    failed = 0
    for version in versions or ["3.11", "3.13"]:
        for system, platforms in SYSTEMS.items():
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet"]
                command += ["--ignore-installed", "--only-binary", ":all:", "--target", folder]
                command += ["--implementation", "cp", "--python-version", version]
                command += [f"--platform={platform}" for platform in platforms]
                done = subprocess.run(
                    [*command, *project["dependencies"]], capture_output=True, text=True
                )
            failed += done.returncode != 0
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            print(f"Python {version}, {system}: {lines[-1] if done.returncode else 'all there'}")
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
