"""Which ticket's publication of a collection stands: told to the cases of those it replaced.

A run that publishes over another ticket's publication, and a withdrawal that puts that one back,
write so into the other case's ledger, under its lock. Whoever can't be told now is told at the
next step: what stands is decided by the data lake, and a ledger in use never fails a run.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dedl_workbook.base.errors import ConflictError, WorkbookError
from dedl_workbook.case import ledger, lock
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.standing import Standing, standing

if TYPE_CHECKING:
    from dedl_workbook.case.case import Case

PATIENCE = 3.0
"""Seconds to wait for the other case's lock."""
log = logging.getLogger(__name__)


def tell_others(case: Case) -> None:
    """Tell the other cases of the collection what a publication, or its end, means for them."""
    now = standing(case.ledger())
    name = case.ticket.ticket
    for folder in _others(case):
        try:
            other = standing(ledger.read(folder / "ledger.jsonl"))
            if event := _event(name, now, other):
                _record(case, folder, event)
        except (WorkbookError, OSError) as error:
            log.warning("the case %s was not told of %s yet: %s", folder.name, name, error)


def _event(name: str, now: Standing, other: Standing) -> str:
    """Return the event that the other case lacks; '' if it lacks none."""
    if now.live and other.live and other.live.since <= now.live.since:
        return "superseded"
    if not now.live and other.superseded_by == name:
        return "restored"
    return ""


def _others(case: Case) -> Iterator[Path]:
    """Yield the folders of other cases of the collection in the target's archive."""
    wanted = json.dumps(case.ticket.collection).encode()
    for file in sorted(case.target.archive.glob("*/ledger.jsonl")):
        if file.parent != case.folder and wanted in file.read_bytes():
            yield file.parent


def _record(case: Case, folder: Path, event: str) -> None:
    with _held(folder):
        started = [line for line in ledger.read(folder / "ledger.jsonl") if "ticket" in line]
        ticket = Ticket.of(started[-1]["ticket"], str(folder))
        if ticket.collection == case.ticket.collection:
            replace(case, ticket=ticket).record(event, by=case.ticket.ticket)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the other case's lock, for which it waits a moment."""
    until = time.monotonic() + PATIENCE
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lock.hold(folder))
                break
            except ConflictError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.1)
        yield
