"""Secrets: looks for them in whatever passes by, as fast as it is hashed.

Hyperscan finds in one pass what is suspicious; only such files are then searched by the
redactor itself, whose word counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from typing import Any

from dedl_workbook.base.redact import CORES, LOOSE, Redactor

_CODINGS = ("utf-8", "utf-16-le", "utf-16-be")


class Search:
    """Finds what may be a secret. Threads may share it."""

    def __init__(self, redactor: Redactor) -> None:
        import hyperscan

        known = [
            (_literal(form.encode(coding, "surrogatepass")), 0)
            for form, coding in product(redactor.forms, _CODINGS)
        ]
        cores = [
            (_literal(core.encode(coding)), hyperscan.HS_FLAG_CASELESS)
            for core, coding in product(CORES, _CODINGS[1:])
        ]
        every = [*known, *((pattern.encode(), 0) for pattern in LOOSE), *cores]
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_STREAM)
        self._database.compile(
            expressions=[expression for expression, _ in every],
            ids=list(range(len(every))),
            elements=len(every),
            flags=[hyperscan.HS_FLAG_SINGLEMATCH | flag for _, flag in every],
        )
        self._local = threading.local()

    @contextmanager
    def of(self, hits: list[Any]) -> Iterator[Callable[[bytes | memoryview], object]]:
        """Search what is handed over in pieces; `hits` has members afterwards if it may be one."""
        import hyperscan

        if not hasattr(self._local, "scratch"):
            self._local.scratch = hyperscan.Scratch(self._database)
        note = partial(_note, hits)
        with self._database.stream(match_event_handler=note) as stream:
            yield partial(stream.scan, scratch=self._local.scratch)


def _note(hits: list[Any], number: int, *_: object) -> None:
    hits.append(number)


def _literal(raw: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in raw)
