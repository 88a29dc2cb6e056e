"""Who works, on which host, and with what software; for the ledger."""

from __future__ import annotations

import hashlib
import os
import platform
import pwd
import socket
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from dedl_workbook import __version__

_PACKAGES = ("papermill", "pystac", "boto3", "pypgstac", "psycopg", "stac-validator")
_WORKING = ("lib", "notebooks", "parameters", "requirements")
"""The folders of code, templates and parameters."""


def who() -> dict[str, str]:
    """Return the operator ($DEDL_OPERATOR, or the login name) and the host."""
    return {
        "operator": os.environ.get("DEDL_OPERATOR") or _login(),
        "host": socket.gethostname(),
    }


def account() -> dict[str, Any]:
    """Return who works as the machine knows it, whatever the operator claims to be called."""
    hub = os.environ.get("JUPYTERHUB_USER", "")
    return {"login": _login(), "uid": os.getuid(), **({"hub": hub} if hub else {})}


def _login() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # As in a container that runs under any number.
        return f"uid {os.getuid()}"


def software(root: Path) -> dict[str, Any]:
    """Return what the work is done with: versions, git commit, digest of the lock file."""
    lock = root / "requirements" / "workbook.txt"
    return {
        "dedl-workbook": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "commit": _commit(root),
        "lock": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else "",
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def commit_of_code() -> str:
    """Return the commit of the clone that this code lies in; '' if it lies in none."""
    lib = Path(__file__).parents[2]
    top = _git(lib, "rev-parse", "--show-toplevel")
    # An environment may lie in some other repository.
    return _git(lib, "rev-parse", "HEAD") if top and Path(top) == lib.parent else ""


def _commit(root: Path) -> str:
    """Return the commit of the workbook, with '+changes' when what is at work differs."""
    head = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", *_WORKING)
    return f"{head}+changes" if changed else head


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
