"""The environments of servers whose dependencies clash with those of the workbook.

Each is made with uv from a hashed requirement file beside this module, under the workbook's own
environment, in a folder named by the digest of that file: a changed lock makes a new one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from dedl_workbook.base.errors import ServiceError

from dedl_sandbox.state import locked

REQUIREMENTS = Path(__file__).parent / "requirements"
API = "api-0.9" if version("pypgstac").startswith("0.9.") else "api"
"""The one with the STAC API that serves what our pypgstac loads."""
NAMES = (API, "hda", "iam", "desk")
"""Those of the sandbox's servers. Others are made when they are asked for."""
# Written last: an environment without it was cut off while it was made.
_STAMP = "complete"


def home(name: str, *, prefix: Path | None = None) -> Path:
    """Return where the environment of this name belongs, made or not."""
    digest = hashlib.sha256((REQUIREMENTS / f"{name}.txt").read_bytes()).hexdigest()
    return (prefix or Path(sys.prefix)) / "servers" / f"{name}-{digest[:8]}"


def python_of(name: str) -> Path:
    """Return the interpreter of an environment."""
    return home(name) / "bin" / "python"


def executable(name: str) -> Path | None:
    """Return a program of the active conda environment, or else of our own, or of the PATH."""
    for prefix in filter(None, (os.environ.get("CONDA_PREFIX"), sys.prefix)):
        own = Path(prefix) / "bin" / name
        if os.access(own, os.X_OK):
            return own
    program = shutil.which(name)
    return Path(program) if program else None


def ensure_environments(
    progress: Callable[[str], None] = lambda _: None,
    *,
    prefix: Path | None = None,
    names: Sequence[str] = NAMES,
) -> None:
    """Make those of these environments that aren't there, or aren't whole.

    Raises:
        ServiceError: uv is missing or fails.
    """
    for name in names:
        folder = home(name, prefix=prefix)
        if (folder / _STAMP).exists():
            continue
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.parent / f"{name}.lock"
        with locked(lock, patience=600, waiting=lambda: progress("waiting for another set-up")):
            if not (folder / _STAMP).exists():
                progress(f"installing the servers' environment {name!r}")
                _make(name, folder)


def _make(name: str, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _uv("venv", "--python", sys.executable, str(folder))
    python = str(folder / "bin" / "python")
    requirements = str(REQUIREMENTS / f"{name}.txt")
    _uv(
        "pip",
        "install",
        "--require-hashes",
        "--compile-bytecode",
        "--python",
        python,
        "-r",
        requirements,
    )
    (folder / _STAMP).touch()


def gated(environment: str, app: str, port: int, *options: str) -> list[str]:
    """Return the command that serves an ASGI application behind the gate."""
    gate = Path(__file__).with_name("gate.py")
    return [str(python_of(environment)), "-P", str(gate), app, f"--port={port}", *options]


def _uv(*arguments: str) -> None:
    uv = executable("uv")
    if uv is None:
        raise ServiceError("uv isn't installed", remedy="Type: make setup")
    done = subprocess.run(
        [str(uv), "--quiet", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ServiceError(
            f"uv {arguments[0]} failed: {done.stderr.strip()[-2000:]}",
            remedy="Check that the package registry can be reached, then start again.",
        )
