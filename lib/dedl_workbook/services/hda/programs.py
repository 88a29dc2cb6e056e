"""Programs that run by other interpreters, and commands of the target: without our settings."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dedl_workbook.base import trust
from dedl_workbook.base.errors import InputError, ServiceError

NO_EODAG = 3
"""How a program of ours ends where the interpreter has no eodag."""

Answer = Callable[[Mapping[str, Any]], tuple[dict[str, Any] | None, str]]
"""Asks a program something and returns its answer; or None, and the last line that it printed.

It raises InputError where the interpreter has no eodag, ServiceError where it doesn't end in time.
"""


def ask(
    python: Path,
    program: Path,
    question: Mapping[str, Any],
    *,
    patience: float,
    setting: str,
    environment: Mapping[str, str],
) -> tuple[dict[str, Any] | None, str]:
    """Run a program of ours by an interpreter that has eodag: as `started`, and told at once."""
    with started(python, program, patience, setting, environment) as answer:
        return answer(question)


@contextmanager
def started(
    python: Path, program: Path, patience: float, setting: str, environment: Mapping[str, str]
) -> Iterator[Answer]:
    """Start a program of ours by an interpreter that has eodag, and yield what asks it, once.

    Args:
        python: the interpreter, where the workbook isn't installed.
        program: its file. It gets what it is told on stdin, as JSON.
        patience: seconds that it may take to answer.
        setting: where the target names the interpreter.
        environment: variables for it.

    Raises:
        ServiceError: it can't be run.
    """
    command = [str(python), "-I", str(program)]
    with _process(command, setting, environment) as process:
        yield lambda question: _answer(process, command, json.dumps(question), patience, setting)


def _answer(
    process: subprocess.Popen[str], command: Sequence[str], text: str, patience: float, setting: str
) -> tuple[dict[str, Any] | None, str]:
    done = _end(process, command, text, patience, setting)
    if done.returncode == NO_EODAG:
        raise InputError(
            "has no eodag",
            where=command[0],
            remedy=f"Set {setting} in the target to an interpreter that has it, or take it out.",
        )
    try:
        return json.loads(done.stdout), ""
    except ValueError:
        return None, last_line(done)


def run(
    command: Sequence[str],
    patience: float,
    setting: str,
    text: str = "",
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command of the target's without a shell, and without our settings and secrets.

    Raises:
        ServiceError: it can't be run, or doesn't end in `patience` seconds; names the setting.
    """
    with _process(command, setting, environment or {}) as process:
        return _end(process, command, text, patience, setting)


@contextmanager
def _process(
    command: Sequence[str], setting: str, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    inherited = {key: os.environ[key] for key in ("PATH", "TMPDIR", "HOME") if key in os.environ}
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command,
            env=inherited | trust.variables() | {"LANG": "C.UTF-8"} | dict(environment),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
    except OSError as error:
        raise ServiceError(
            f"the command of {setting} can't be run: {error.strerror}",
            where=command[0],
            remedy=f"Fix {setting} in the target, then run again.",
        ) from error
    with process:
        try:
            yield process
        finally:
            process.kill()


def _end(
    process: subprocess.Popen[str], command: Sequence[str], text: str, patience: float, setting: str
) -> subprocess.CompletedProcess[str]:
    try:
        out, err = process.communicate(text, patience)
    except subprocess.TimeoutExpired as error:
        raise ServiceError(
            f"the command of {setting} did not end in {patience:g} s", where=command[0]
        ) from error
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line that a command printed."""
    lines = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
    return lines[-1][:300]
