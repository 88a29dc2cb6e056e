"""The order of the steps, and what each needs."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Protocol, cast

from dedl_workbook.publication.job import Job, Outcome, Plan, Receipt


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
        return cast(Module, importlib.import_module(f"dedl_workbook.steps.{self.name}"))


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
