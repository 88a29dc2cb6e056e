"""Databases of single tests: each as new, with a STAC API that is started once for many.

A STAC API takes seconds to start, and comes back by itself when its database was made anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path

from dedl_sandbox import Sandbox

_FREE: dict[Path, list[Database]] = {}
"""Those of each sandbox that no test has just now."""
_NUMBERS = count(1)


@dataclass
class Database:
    """A name under which one test after the other has its database."""

    servers: Sandbox
    name: str
    running: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def api(self) -> str:
        """The URL of the STAC API on it, which starts when it is first asked for."""
        return self.running.enter_context(self.servers.stac_api(self.name))


@contextmanager
def lent(servers: Sandbox) -> Iterator[Database]:
    """Lend an empty PgSTAC database to one test; whatever the test did to it is gone afterwards."""
    free = _FREE.setdefault(servers.folder, [])
    made = free.pop() if free else Database(servers, f"test_{next(_NUMBERS)}")
    servers.create_database(made.name)
    try:
        yield made
    finally:
        servers.drop_database(made.name)
        free.append(made)


def close(servers: Sandbox) -> None:
    """End the STAC APIs of a sandbox, before it goes down."""
    for made in _FREE.pop(servers.folder, []):
        made.running.close()
