"""Job, Plan, Receipt, Check, Outcome: what every step is given, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from dedl_workbook.base.json import digest
from dedl_workbook.base.progress import Tell, silent
from dedl_workbook.dataset.dataset import Dataset, fingerprint, open_dataset
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket


@dataclass(frozen=True)
class Job:
    """One publication at work."""

    ticket: Ticket
    target: Target
    folder: Path
    """Where steps keep what they need for going on after a crash. Not evidence."""
    root: Path
    """The workbook's root."""
    before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The state before each step's first change, as the approved plan recorded it."""
    tell: Tell = silent
    events: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    """The lines of the case's ledger, as they were when the job began."""
    edition: int = 0
    """Which edition of the ticket's files is meant; 0: the last one, see `publication.keys`."""

    @property
    def case(self) -> Path:
        """The folder of the ticket's case."""
        return self.target.archive / self.ticket.ticket

    @cached_property
    def dataset(self) -> Dataset:
        """The delivered dataset.

        Raises:
            InputError: nothing there, or it can't be read.
        """
        settings = self.target.proposals or self.target.s3
        return open_dataset(self.ticket.dataset, root=self.root, settings=settings)

    @cached_property
    def fingerprint(self) -> str:
        """The dataset's identity, as it was when first asked for."""
        return fingerprint(self.dataset)

    @property
    def prefix(self) -> str:
        """What the keys of this publication's objects start with: `<collection>/<ticket>/`."""
        return f"{self.ticket.collection}/{self.ticket.ticket}/"


@dataclass(frozen=True)
class Action:
    """One kind of change that a plan makes, with its size."""

    verb: str
    subject: str
    count: int = 1
    size: int = 0
    """Bytes, where bytes move."""


@dataclass(frozen=True)
class Plan:
    """What a step would do. Its digest covers goal and state before, not how much remains."""

    step: str
    job: Job = field(repr=False, compare=False)
    goal: Mapping[str, Any]
    """The desired state, as far as this step makes it."""
    before: Mapping[str, Any]
    """The state found before the first change."""
    actions: tuple[Action, ...]
    """What remains to be done. None: nothing to do."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What a reader should see besides, such as a diff; no part of the digest."""

    @property
    def digest(self) -> str:
        """SHA-256 over goal and state before."""
        return digest({"step": self.step, "goal": self.goal, "before": self.before})

    def as_json(self) -> dict[str, Any]:
        """Return the plan in its JSON form."""
        return {
            "step": self.step,
            "digest": self.digest,
            "goal": dict(self.goal),
            "before": dict(self.before),
            "actions": [vars_of(action) for action in self.actions],
            "detail": dict(self.detail),
        }


@dataclass(frozen=True)
class Receipt:
    """What `apply` did."""

    step: str
    done: Mapping[str, Any]
    """Counts of what was changed, and what a reader should know of it."""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the receipt in its JSON form."""
        return {"step": self.step, "done": dict(self.done), "seconds": round(self.seconds, 3)}


class Verdict(StrEnum):
    """How a step ended."""

    PASSED = "passed"
    PLANNED = "planned"
    """No approval was given: nothing was changed, nothing is wrong."""
    WAITING = "waiting"
    """On somebody else; may take days."""
    FAILED = "failed"


class Cause(StrEnum):
    """What brought an outcome about."""

    CHECKS = "checks"
    GATE = "gate"
    """It was refused before anything was changed: the step did not start."""
    ERROR = "error"
    """Something broke, or was cut off, so that nothing was judged."""


@dataclass(frozen=True)
class Check:
    """One thing that was compared with the real system."""

    name: str
    passed: bool
    found: str
    """What was seen, with numbers."""


@dataclass(frozen=True)
class Outcome:
    """The verdict of a step, and what it rests on."""

    step: str
    verdict: Verdict
    summary: str
    """One or two lines: what stands, or why it failed and what to do."""
    checks: tuple[Check, ...] = ()
    waiting_for: str = ""
    since: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    cause: Cause = Cause.CHECKS

    def as_json(self) -> dict[str, Any]:
        """Return the outcome in its JSON form."""
        return {
            "step": self.step,
            "verdict": str(self.verdict),
            "summary": self.summary,
            "checks": [vars_of(check) for check in self.checks],
            "waiting_for": self.waiting_for,
            "since": self.since,
            "detail": dict(self.detail),
        }


def judged(step: str, checks: list[Check], summary: str, **detail: Any) -> Outcome:
    """Return the outcome that follows from checks: failed if one failed, or if there is none."""
    failed = [check for check in checks if not check.passed]
    if not checks:
        return Outcome(step, Verdict.FAILED, "Nothing was checked.", detail=detail)
    if failed:
        reasons = "; ".join(f"{check.name}: {check.found}" for check in failed[:3])
        more = f" (and {len(failed) - 3} more)" if len(failed) > 3 else ""
        return Outcome(step, Verdict.FAILED, reasons + more, tuple(checks), detail=detail)
    return Outcome(step, Verdict.PASSED, summary, tuple(checks), detail=detail)


def vars_of(thing: Any) -> dict[str, Any]:
    """Return a flat dataclass as a dict."""
    return {name: getattr(thing, name) for name in thing.__dataclass_fields__}
