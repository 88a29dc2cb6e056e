"""Many tickets at once: side by side, again after a while, and what became of all of them."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

from dedl_workbook.base.errors import InputError

if TYPE_CHECKING:
    from dedl_workbook.case.status import Row
    from dedl_workbook.publication.job import Outcome

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> int:
    """Return a duration such as 90s, 10m, 2h or 1d in seconds.

    Raises:
        InputError: it is none, or no time at all.
    """
    match = re.fullmatch(r"(\d+)([smhd])", text.strip())
    if match is None or int(match[1]) == 0:
        raise InputError(
            f"{text!r} is no time to wait",
            where="--every",
            remedy="Write a number and a unit: 90s, 10m, 2h or 1d.",
        )
    return int(match[1]) * _UNITS[match[2]]


def deciding(outcomes: Sequence[Outcome]) -> Outcome | None:
    """Return the outcome that decides what became of a run: the worst, and of those the last."""
    for verdict in ("failed", "planned", "waiting"):
        if of_it := [outcome for outcome in outcomes if outcome.verdict == verdict]:
            return of_it[-1]
    return outcomes[-1] if outcomes else None


def side_by_side(
    names: Sequence[str], jobs: int, options: Sequence[str]
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Run tickets, each in a process of its own, and yield name, exit code and summary.

    Args:
        names: the tickets.
        jobs: how many run at the same time.
        options: further ones of `run`.

    A process that ends without an answer yields its last words as `error`.
    """
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(_run, name, options): name for name in names}
        for done in as_completed(running):
            yield running[done], *done.result()


def _run(name: str, options: Sequence[str]) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "dedl_workbook.cli", "run", name, "--json", *options]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        (summary,) = json.loads(process.stdout)
    except ValueError:
        words = process.stderr.strip().splitlines() or ["it ended without an answer"]
        summary = {"ticket": name, "error": words[-1]}
    return process.returncode, summary


def total(rows: Sequence[Row], not_run: Sequence[str], now: dt.datetime) -> str:
    """Return what became of all tickets as one line, what needs nobody first.

    Args:
        rows: where each stands.
        not_run: the names of those that could not be run.
        now: UTC, for how long those wait that do.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.ticket not in not_run:
            groups.setdefault(row.state, []).append(row)
    order = ["published", "withdrawn", "waiting", "planned", "failed"]
    states = sorted(groups, key=lambda s: order.index(s) if s in order else len(order) - 2)
    parts = [text for state in states for text in _parts(state, groups[state], now)]
    if not_run:
        parts.append(f"{len(not_run)} could not be run: {', '.join(not_run)}")
    return ", ".join(parts)


def _parts(state: str, rows: Sequence[Row], now: dt.datetime) -> Iterator[str]:
    if state in ("published", "withdrawn"):
        yield f"{len(rows)} {state}"
    elif state == "waiting":
        by_whom: dict[str, list[Row]] = {}
        for row in rows:
            by_whom.setdefault(row.waiting_for, []).append(row)
        for whom, those in by_whom.items():
            since = min(row.since for row in those)
            yield f"{len(those)} waiting for {whom}{_for_how_long(since, now)}"
    else:
        yield f"{len(rows)} {state}: {', '.join(row.ticket for row in rows)}"


def _for_how_long(since: str, now: dt.datetime) -> str:
    try:
        days = (now - dt.datetime.fromisoformat(since)).days
    except (ValueError, TypeError):
        return ""
    return f" since {days} day{'' if days == 1 else 's'}" if days else " since today"
