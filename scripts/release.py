"""Builds a release into dist/, from the commit alone, and tries it as strangers will have it.

`make release` writes the wheel, the source archive, the list of all dependencies (CycloneDX, from
the lock), the release's notes from the changelog, and the SHA-256 sums of these. Both archives are
built twice and must be equal. Then the wheel is installed in fresh environments of every Python
from 3.11 to 3.14 that the machine has: the base validates the sample, `[operator]` runs a notebook
with papermill.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
DIST = ROOT / "dist"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")

# Validation asks none of a target's services.
NOWHERE = """
name: nowhere
s3: {endpoint: "http://127.0.0.1:9", bucket: none}
catalog: {host: 127.0.0.1, database: none, user: none}
stac_api: {url: "http://127.0.0.1:9"}
iam: {issuer: "http://127.0.0.1:9", identity: environment}
hda: {url: "http://127.0.0.1:9", folder: none}
helpdesk: {kind: outbox}
archive: archive
"""


def main() -> None:
    """Build, describe, sum up, try; end with a sentence at the first thing that is wrong."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    with tempfile.TemporaryDirectory(prefix="dedl-release-") as scratch:
        folder = Path(scratch)
        wheel = build(folder)
        (DIST / "sbom.cdx.json").write_text(dependencies())
        changelog = (ROOT / "CHANGELOG.md").read_text()
        (DIST / "RELEASE-NOTES.md").write_text(notes(changelog, version))
        (DIST / "SHA256SUMS").write_text(sums(DIST))
        for name in PYTHONS:
            if python := interpreter(name):
                check(wheel, python, folder / name)
                print(f"release: installed and run with Python {name}")
            else:
                print(f"release: Python {name} is not on this machine: not run")
    print(f"release: {DIST.relative_to(ROOT)}/ holds {version}")


def build(folder: Path) -> Path:
    """Build both archives twice, from what is committed; return the path of the wheel in dist/."""
    if run("git", "status", "--porcelain"):
        sys.exit("release: something is not committed: `git status`")
    # Archives that are made later have the same times within.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": run("git", "log", "-1", "--format=%ct")}
    for name in ("once", "again"):
        source = folder / name
        run("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(source))
        hatchling = [str(BIN / "hatchling"), "build", "-d", str(source / "dist")]
        subprocess.run(
            hatchling, cwd=source, env=environment, check=True, stdout=subprocess.DEVNULL
        )
    once, again = sums(folder / "once" / "dist"), sums(folder / "again" / "dist")
    if once != again:
        sys.exit(f"release: two builds of one commit differ:\n{once}{again}")
    for file in sorted((folder / "once" / "dist").iterdir()):
        shutil.copy(file, DIST)
    (wheel,) = DIST.glob("*.whl")
    return wheel


def dependencies() -> str:
    """Return what the lock names, with its hashes, as CycloneDX 1.6 in JSON."""
    cyclonedx = ["cyclonedx-py", "requirements", "requirements/workbook.txt"]
    cyclonedx += ["--pyproject", "pyproject.toml", "--output-reproducible", "--sv", "1.6"]
    with_its_lock = [
        "--isolated",
        "--no-project",
        "--with-requirements",
        "requirements/release.txt",
    ]
    return run(str(BIN / "uv"), "run", "--quiet", *with_its_lock, "--", *cyclonedx) + "\n"


def notes(changelog: str, version: str) -> str:
    """Return a version's part of the changelog; that of *Unreleased* while it has none."""
    parts = re.split(r"^## \[(.+?)\].*\n", changelog, flags=re.MULTILINE)
    by_version = dict(zip(parts[1::2], parts[2::2], strict=True))
    return by_version.get(version, by_version["Unreleased"]).strip() + "\n"


def sums(folder: Path) -> str:
    """Return a line for each file of a folder, as `sha256sum --check` reads them."""
    files = sorted(file for file in folder.iterdir() if file.name != "SHA256SUMS")
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    return "".join(lines)


def interpreter(version: str) -> str | None:
    """Return the path of an interpreter; None where there is none, or only a shim for one."""
    path = shutil.which(f"python{version}")
    works = path and subprocess.run([path, "--version"], capture_output=True).returncode == 0
    return path if works else None


def check(wheel: Path, python: str, folder: Path) -> None:
    """Install the wheel in two fresh environments, validate with one, run a notebook with both."""
    sample = folder / "sample"
    run(str(BIN / "dedl-workbook"), "sample", str(sample))
    (dataset,) = (path.parent for path in sample.glob("*/metadata"))
    base = install(wheel, python, folder / "base", "")
    run(str(base / "dedl-workbook"), "validate", str(dataset), cwd=folder)

    operator = install(wheel, python, folder / "operator", "[operator]")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    (folder / "parameters/targets").mkdir(parents=True)
    (folder / "parameters/targets/nowhere.yaml").write_text(NOWHERE)
    keys = ("ACCESS_KEY", "SECRET_KEY")
    (folder / ".env").write_text("".join(f"DEDL_NOWHERE__S3__{key}=none\n" for key in keys))
    parameters = ["-p", "dataset", str(dataset), "-p", "collection", dataset.name]
    parameters += ["-p", "target", "nowhere"]
    notebook = ["notebooks/10-validate.ipynb", "executed.ipynb"]
    run(str(operator / "papermill"), *notebook, *parameters, cwd=folder)


def install(wheel: Path, python: str, folder: Path, extra: str) -> Path:
    """Install the wheel with its locked dependencies; return the environment's bin/."""
    uv = str(BIN / "uv")
    run(uv, "venv", "--quiet", "--python", python, str(folder))
    lock = (ROOT / "requirements/workbook.txt").read_text().splitlines()
    # Without the hashes, which would be demanded of the wheel as well.
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(line.rstrip("\\ ") for line in lock if line[:1].isalnum()))
    environment = ["--python", str(folder / "bin/python"), "--constraint", str(constraints)]
    run(uv, "pip", "install", "--quiet", *environment, f"{wheel}{extra}")
    return folder / "bin"


def run(*command: str, cwd: Path = ROOT) -> str:
    """Run a command and return what it printed; end with what it said when it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if process.returncode:
        sys.exit(f"release: {' '.join(command)} failed:\n{process.stdout}{process.stderr}")
    return process.stdout.strip()


if __name__ == "__main__":
    main()
