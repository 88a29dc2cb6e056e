"""Job: a ticket, its target, its dataset and its working folder; what every step is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from dedl_workbook.dataset import Dataset, fingerprint, open_dataset
from dedl_workbook.target import Target
from dedl_workbook.ticket import Ticket


class Tell(Protocol):
    """Takes note of progress."""

    def __call__(self, what: str, done: int, total: int, unit: str, note: str = "", /) -> None:
        """Say what is being done, how much is done, of how much (0: unknown), in which unit."""


def silent(what: str, done: int, total: int, unit: str, note: str = "", /) -> None:
    """Report progress to nobody."""


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


def state_before(
    saved: Mapping[str, Any] | None, found: Mapping[str, Any], goal: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the state before a step's first change.

    After a crash the real system stands somewhere between what was there before and the goal.
    As long as each part of it is one of the two, nobody else changed it, and the saved state
    before still holds. Otherwise what is found now is a new state before: the approval is void.
    """
    if saved is not None and found.keys() == saved.keys():
        ours = all(found[key] == saved[key] or found[key] == goal.get(key) for key in found)
        if ours:
            return dict(saved)
    return dict(found)
