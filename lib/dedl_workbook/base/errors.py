"""The errors of the workbook. Each says what was wrong, where, and what to do about it."""

from __future__ import annotations


class WorkbookError(Exception):
    """Something that a person has to know: what is wrong, where, and the remedy."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  {self.remedy}" if self.remedy else text


class InputError(WorkbookError):
    """What the user gave can't be used: a ticket, a target, a dataset, an argument."""


class GateError(WorkbookError):
    """A step may not start: nothing was changed."""


class NotApprovedError(GateError):
    """The plan at hand is not the one that was approved: nothing was changed."""


class ConflictError(WorkbookError):
    """The real system holds something that the plan didn't find, and that isn't ours."""


class ChangedError(WorkbookError):
    """The dataset isn't any more what was validated."""


class ServiceError(WorkbookError):
    """A server can't be reached, refuses, or fails; running again later may help."""


class RefusedError(ServiceError):
    """A server refuses for good: running again helps once a person has done something."""


class EvidenceError(WorkbookError):
    """The evidence is not whole, or holds what it must not hold."""


class StepFailedError(WorkbookError):
    """The verdict of a step is failed."""
