"""The steps of the procedure in their order, and the form that each of them has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dedl_workbook.parameters.fields import StepName
from dedl_workbook.publication.job import Job, Outcome, Plan, Receipt


class Change(Protocol):
    """A step that changes something. The words mean the same in each."""

    def plan(self, job: Job) -> Plan:
        """Read both sides; change nothing."""

    def apply(self, plan: Plan) -> Receipt:
        """Do what the plan says and no more. It is called with a plan that has actions only."""

    def check(self, plan: Plan) -> Outcome:
        """Read the real system back."""


class Look(Protocol):
    """A step that changes nothing."""

    def check(self, job: Job) -> Outcome:
        """Read what there is, and judge it."""


@dataclass(frozen=True)
class Step:
    """A step of the procedure: how it differs from the others."""

    name: StepName
    notebook: str
    needs: tuple[str, ...] = ()
    """Steps that must have passed for the same dataset."""
    change: Callable[[], Change] | None = None
    """Imports the module of a step that changes something: then it needs an approved plan."""
    look: Callable[[], Look] | None = None
    """Imports the module of a step that changes nothing."""
    needs_board: bool = False
    """Whether nothing may be changed without the review board's decision."""
    of_dataset: bool = True
    """Whether its outcome holds for the dataset as it was, and for no other."""
    publishes: bool = False
    """Whether it puts something of the dataset into the data lake."""
    tells: bool = False
    """Whether it tells the user: then the evidence is packed before."""
    undoes: bool = False
    """Whether it takes a publication back."""
    once: bool = False
    """Whether a run leaves it out once it has passed for the dataset as it is."""

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self.change is not None


def _validate() -> Look:
    from dedl_workbook.steps import validate

    return validate


def _access() -> Change:
    from dedl_workbook.steps import access

    return access


def _upload() -> Change:
    from dedl_workbook.steps import upload

    return upload


def _catalog() -> Change:
    from dedl_workbook.steps import catalog

    return catalog


def _hda() -> Change:
    from dedl_workbook.steps import hda

    return hda


def _verify() -> Look:
    from dedl_workbook.steps import verify

    return verify


def _notify() -> Change:
    from dedl_workbook.steps import notify

    return notify


def _withdraw() -> Change:
    from dedl_workbook.steps import withdraw

    return withdraw


def _retire() -> Change:
    from dedl_workbook.steps import retire

    return retire


VALIDATE = Step(StepName.VALIDATE, "10-validate", look=_validate, once=True)
ACCESS = Step(
    StepName.ACCESS, "20-access", needs=(StepName.VALIDATE,), change=_access, needs_board=True
)
UPLOAD = Step(
    StepName.UPLOAD,
    "30-upload",
    needs=(StepName.VALIDATE,),
    change=_upload,
    needs_board=True,
    publishes=True,
)
CATALOG = Step(
    StepName.CATALOG,
    "40-catalog",
    needs=(StepName.VALIDATE, StepName.UPLOAD),
    change=_catalog,
    needs_board=True,
    publishes=True,
)
HDA = Step(
    StepName.HDA,
    "50-hda",
    needs=(StepName.CATALOG, StepName.ACCESS),
    change=_hda,
    needs_board=True,
    publishes=True,
)
VERIFY = Step(
    StepName.VERIFY,
    "60-verify",
    needs=(StepName.UPLOAD, StepName.CATALOG, StepName.HDA),
    look=_verify,
)
NOTIFY = Step(
    StepName.NOTIFY,
    "70-notify",
    needs=(StepName.VERIFY,),
    change=_notify,
    of_dataset=False,
    tells=True,
)
STEPS = {str(step.name): step for step in (VALIDATE, ACCESS, UPLOAD, CATALOG, HDA, VERIFY, NOTIFY)}
"""In the order in which they run."""
PUBLISHING = tuple(name for name, step in STEPS.items() if step.publishes)
"""Those that put something of the dataset into the data lake."""

WITHDRAW = Step(StepName.WITHDRAW, "90-withdraw", change=_withdraw, of_dataset=False, undoes=True)
"""Takes a publication back. No step of a run; it has a plan and an approval of its own."""


RETIRE = Step(StepName.RETIRE, "95-retire", change=_retire, of_dataset=False)
"""Deletes objects that nothing refers to any more. No step of a run, and says nothing of where the
publication stands; it has a plan and an approval of its own."""
EVERY = STEPS | {str(step.name): step for step in (WITHDRAW, RETIRE)}
"""Those of a run, and those beside them."""
