"""Handover: what a process says, by environment variables, to the kernels that it starts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dedl_workbook.base import progress
from dedl_workbook.case import lock

_ATTEMPT, _SAVES, _ROOT = "DEDL_ATTEMPT", "DEDL_SAVES", "DEDL_WORKBOOK_ROOT"
VARIABLES = (_ATTEMPT, _SAVES, _ROOT, lock.VARIABLE, progress.VARIABLE)
"""All of them. `case.lock` sets its own, since it is the lock that lets a kernel in."""


@dataclass(frozen=True)
class Handover:
    """What a kernel is told; what is empty is not told."""

    attempt: Path | None = None
    """The attempt's folder that a runner made for this kernel."""
    progress: Path | None = None
    """The file that progress is written to, for the terminal that watches."""
    root: Path | None = None
    """The workbook's root."""
    saves: bool = False
    """Whether the server that started this kernel puts saved notebooks into their case."""

    def to_environment(self) -> dict[str, str]:
        """Return the variables."""
        paths = {_ATTEMPT: self.attempt, progress.VARIABLE: self.progress, _ROOT: self.root}
        variables = {name: str(path) for name, path in paths.items() if path is not None}
        return variables | ({_SAVES: "1"} if self.saves else {})

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Handover:
        """Return what this process was told."""

        def path(name: str) -> Path | None:
            return Path(variables[name]) if variables.get(name) else None

        return cls(
            path(_ATTEMPT), path(progress.VARIABLE), path(_ROOT), bool(variables.get(_SAVES))
        )

    @contextmanager
    def in_force(self, **more: str) -> Iterator[None]:
        """Let the kernels that this process starts in the block inherit it."""
        variables = self.to_environment() | more
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
