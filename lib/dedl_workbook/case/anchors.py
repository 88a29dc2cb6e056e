"""Anchors: compares ledgers with what the pool holds of them, and adds to it.

A chain shows by itself that no line between two others is missing. That its end is missing, or
that it was computed anew, only what lies elsewhere can show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import EvidenceError, ServiceError, WorkbookError
from dedl_workbook.parameters.fields import StepName
from dedl_workbook.parameters.target import Target
from dedl_workbook.publication import anchor
from dedl_workbook.publication.job import Verdict
from dedl_workbook.services.pool import anchors as objects

THREADS = 16
PATIENCE = 2.0
"""Seconds that a pool may take to answer where many tickets are looked at."""
_REMEDY = (
    "Lines were removed, or the chain was made anew. Restore the ledger from a backup or an "
    "evidence pack, and find out who can write in the archive."
)


def uploaded(lines: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a ticket has objects in the pool, or had: only such ones get anchors there."""
    return any(
        line["event"] == "outcome"
        and line["step"] == StepName.UPLOAD
        and line["verdict"] == Verdict.PASSED
        for line in lines
    )


def problem(ledger: bytes, target: Target, prefix: str, patience: float = PATIENCE) -> str:
    """Return why a ledger isn't the one that the pool's anchors name; '' if it is.

    Args:
        ledger: its bytes.
        target: whose pool.
        prefix: of the ticket's keys.
        patience: seconds that the store may take.

    Raises:
        ServiceError: the store refuses or doesn't answer.
    """
    named = objects.read(target.s3, prefix, patience)
    return next(filter(None, (anchor.problem(ledger, one) for one in reversed(named))), "")


def require(file: Path, target: Target, prefix: str) -> None:
    """Require that a ledger is the one that the pool's anchors name.

    Raises:
        EvidenceError: it isn't.
        ServiceError: the store refuses or doesn't answer.
    """
    if wrong := problem(file.read_bytes(), target, prefix, objects.PATIENCE):
        raise EvidenceError(wrong, where=str(file), remedy=_REMEDY)


def problems(tickets: Sequence[tuple[str, str, str]], root: Path) -> dict[str, str]:
    """Return the tickets whose ledgers aren't those that the pools name, and why.

    A pool that gives no answer is named once, by its target.

    Args:
        tickets: names of tickets, their collections and targets.
        root: the workbook's.
    """
    targets: dict[str, Target | None] = {}
    for name in dict.fromkeys(target for _, _, target in tickets):
        try:
            targets[name] = Target.load(name, root)
        except WorkbookError:
            # `target check` says what is wrong with it.
            targets[name] = None

    def compared(one: tuple[str, str, str]) -> tuple[str, str]:
        name, collection, of = one
        target = targets[of]
        folder = target.archive / name if target else root / "nowhere"
        if target is None or not folder.is_dir():
            return name, ""
        file = folder / "ledger.jsonl"
        try:
            ledger = file.read_bytes() if file.is_file() else b""
            return name, problem(ledger, target, f"{collection}/{name}/")
        except ServiceError as error:
            targets[of] = None
            return of, f"its tickets' ledgers were not compared with the pool: {error.what}"

    with ThreadPoolExecutor(THREADS, thread_name_prefix="anchors") as executor:
        return {name: wrong for name, wrong in executor.map(compared, tickets) if wrong}
