"""Programs that run by other interpreters, and commands of the target: without our settings."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dedl_workbook.errors import InputError, ServiceError

NO_EODAG = 3
"""How a program of ours ends where the interpreter has no eodag."""


def ask(
    python: Path,
    program: Path,
    told: Mapping[str, Any],
    *,
    patience: float,
    setting: str,
    environment: Mapping[str, str],
) -> tuple[dict[str, Any] | None, str]:
    """Run a program of ours by an interpreter that has eodag.

    Args:
        python: the interpreter, where the workbook isn't installed.
        program: its file.
        told: what it gets on stdin, as JSON.
        patience: seconds that it may take.
        setting: where the target names the interpreter.
        environment: variables for it.

    Returns:
        What it answered; or None, and the last line that it said.

    Raises:
        InputError: the interpreter has no eodag.
        ServiceError: it can't be run, or doesn't end in time.
    """
    command = [str(python), "-I", str(program)]
    done = run(command, patience, setting, json.dumps(told), environment)
    if done.returncode == NO_EODAG:
        raise InputError(
            "has no eodag",
            where=str(python),
            remedy=f"Set {setting} in the target to an interpreter that has it, or take it out.",
        )
    try:
        return json.loads(done.stdout), ""
    except ValueError:
        return None, last_line(done)


def run(
    command: list[str],
    patience: float,
    setting: str,
    told: str = "",
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command of the target's without a shell, and without our settings and secrets.

    Raises:
        ServiceError: it can't be run, or doesn't end in `patience` seconds; names the setting.
    """
    kept = {key: os.environ[key] for key in ("PATH", "TMPDIR", "HOME") if key in os.environ}
    try:
        return subprocess.run(
            command,
            input=told,
            env=kept | {"LANG": "C.UTF-8"} | dict(environment or {}),
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(
            f"the command of {setting} did not end in {patience:g} s", where=command[0]
        ) from error
    except OSError as error:
        raise ServiceError(
            f"the command of {setting} can't be run: {error.strerror}",
            where=command[0],
            remedy=f"Mend {setting} in the target, then run again.",
        ) from error


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line that a command said."""
    lines = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
    return lines[-1][:300]
