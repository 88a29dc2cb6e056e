"""Process: a command that runs beside the kernel, which stays free, with its progress on show.

It is the very command that a person would type, so what it leaves is the same. It goes on when the
browser or the kernel goes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets

from dedl_workbook.base.progress import VARIABLE
from dedl_workbook.notebooks.console import widgets

_COLOURS = ("FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE")
_GLANCE = 0.3
"""Seconds between two looks at the progress."""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    words: tuple[str, ...]
    code: int
    """0 done, 1 failed, 2 could not run, 3 not approved, 4 waiting."""
    answer: Any
    """What it printed as JSON; None if it could not run."""
    error: str
    """'' if it had none."""


Then = Callable[[Done], None]


class Work:
    """Runs one command at a time."""

    def __init__(self, root: Path, busy: Callable[[bool], None] = lambda _: None) -> None:
        self._root, self._busy = root, busy
        self._text = ipywidgets.HTML()
        self._stop = widgets.Act(
            "Stop",
            "Interrupts it. What was done is recorded; running it again goes on from there.",
            self.stop,
            style="warning",
            width="6em",
        )
        self.box = ipywidgets.VBox([self._text, self._stop.box])
        self._stop.show(False)
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self.busy = False

    def start(self, words: Sequence[str], then: Then) -> None:
        """Run `dedl-workbook <words> --json`, and call `then` when it has ended.

        A second command is refused while one runs.
        """
        if self.busy:
            return
        self.busy = True
        self._busy(True)
        self._stop.show(True)
        self._thread = threading.Thread(target=self._run, args=(tuple(words), then), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Interrupt the command, as Ctrl-C would."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the command has ended."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self, words: tuple[str, ...], then: Then) -> None:
        try:
            done = self._ended(words)
        finally:
            self._stop.show(False)
            self._text.value = ""
            self.busy = False
            self._busy(False)
        then(done)

    def _ended(self, words: tuple[str, ...]) -> Done:
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="dedl-") as scratch:
            file = Path(scratch) / "progress"
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "dedl_workbook.cli", *words, "--json"],
                cwd=self._root,
                env=_environment() | {"DEDL_WORKBOOK_ROOT": str(self._root), VARIABLE: str(file)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            while True:
                try:
                    out, err = self._process.communicate(timeout=_GLANCE)
                    break
                except subprocess.TimeoutExpired:
                    self._show(words, file, time.monotonic() - start)
        try:
            answer = json.loads(out)
        except ValueError:
            answer = None
        return Done(words, self._process.returncode, answer, err.strip())

    def _show(self, words: tuple[str, ...], file: Path, seconds: float) -> None:
        text = ""
        with suppress(OSError, ValueError):
            text = str(json.loads(file.read_bytes()))
        line = f"dedl-workbook {' '.join(words)}: {seconds:.0f} s"
        self._text.value = widgets.progress(line, text)


def _environment() -> dict[str, str]:
    """Return the environment, less what makes a kernel's programs write colours into their text."""
    return {key: value for key, value in os.environ.items() if key not in _COLOURS}
