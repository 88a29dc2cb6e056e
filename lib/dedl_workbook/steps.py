"""The order of the steps, and the words that mean the same in each: Plan, Receipt, Outcome."""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, cast

from dedl_workbook.documents import digest
from dedl_workbook.job import Job


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


def unpublished(outcomes: Iterable[tuple[str, str]]) -> Literal["refused", "withdrawn", ""]:
    """Return why there is no publication to tell the user of: '' if there is one, or may be.

    Args:
        outcomes: step and verdict of each outcome of a case, in their order.
    """
    refused = withdrawn = False
    for step, verdict in outcomes:
        if step == "validate":
            refused = verdict == Verdict.FAILED
        elif step == "withdraw" and verdict == Verdict.PASSED:
            refused, withdrawn = False, True
        elif step == "upload":
            refused = withdrawn = False
    return "refused" if refused else "withdrawn" if withdrawn else ""


def vars_of(thing: Any) -> dict[str, Any]:
    """Return a flat dataclass as a dict."""
    return {name: getattr(thing, name) for name in thing.__dataclass_fields__}


def now() -> str:
    """Return the time in UTC, ISO 8601 with milliseconds and Z."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Module(Protocol):
    """The one form of every step. A step that changes nothing has `check` alone."""

    def plan(self, job: Job) -> Plan:
        """Read both sides; change nothing."""

    def apply(self, plan: Plan) -> Receipt:
        """Do what the plan says and no more."""

    def check(self, plan: Plan) -> Outcome:
        """Read the real system back."""


@dataclass(frozen=True)
class Step:
    """A step of the procedure."""

    name: str
    notebook: str
    needs: tuple[str, ...] = ()
    """Steps that must have passed for the same dataset."""
    changes: bool = True
    """Whether it changes anything: then it needs an approved plan."""

    @property
    def module(self) -> Module:
        """The step's module, imported when it is asked for."""
        return cast(Module, importlib.import_module(f"dedl_workbook.{self.name}"))


STEPS = {
    step.name: step
    for step in (
        Step("validate", "10-validate", changes=False),
        Step("access", "20-access", needs=("validate",)),
        Step("upload", "30-upload", needs=("validate",)),
        Step("catalog", "40-catalog", needs=("validate", "upload")),
        Step("hda", "50-hda", needs=("catalog", "access")),
        Step("verify", "60-verify", needs=("upload", "catalog", "hda"), changes=False),
        Step("notify", "70-notify", needs=("verify",)),
    )
}
"""In the order in which they run."""

WITHDRAW = Step("withdraw", "90-withdraw")
"""Takes a publication back. No step of a run; it has a plan and an approval of its own."""


def named(name: str) -> Step:
    """Return the step of that name, or withdraw.

    Raises:
        KeyError: there is none.
    """
    return WITHDRAW if name == WITHDRAW.name else STEPS[name]
