"""Standard output and error, whoever reads them: nobody, or one who can't read every letter."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class _Patient:
    """A stream that goes on when its reader has gone: what is left to print has nobody to read it.

    A run that somebody looked at with `head` would end in the middle otherwise.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return int(self._stream.write(text))
        except BrokenPipeError:
            self._let_go()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._let_go()

    def _let_go(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        # What it holds back is written to nowhere now, not at the end of the process.
        self._stream.flush()


@contextmanager
def patient() -> Iterator[None]:
    """Let what is printed in the block fail for nobody's sake: not for a reader that has gone, a
    stream that was closed before we began, or one that can't write a letter."""
    for number in (0, 1, 2):
        # What is closed would be given to the next file that is opened, and printed into.
        with suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    streams = []
    for stream in before:
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        streams.append(_Patient(stream))
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        for stream in streams:
            stream.flush()
        sys.stdout, sys.stderr = before
