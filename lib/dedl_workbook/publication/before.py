"""The state before a step's first change, which a withdrawal puts back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dedl_workbook.publication.job import Job

State = Mapping[str, Any]


def before_folder(job: Job) -> Path:
    """Return the folder in which each step saves the state before its first change."""
    return job.folder / "before"


def state_before(saved: State | None, state: State, goal: State) -> dict[str, Any]:
    """Return the state before a step's first change.

    After a crash the real system stands somewhere between what was there before and the goal.
    As long as each part of it is one of the two, nobody else changed it, and the saved state
    before still holds. Otherwise the state of now is a new state before: the approval is void.
    """
    ours = saved is not None and state.keys() == saved.keys() and holds(saved, [goal], state)
    return dict(saved if saved is not None and ours else state)


def matches(state: State, goal: State) -> bool:
    """Return whether a state is as a goal has it, which may say more than the state shows."""
    return state.items() <= goal.items()


def holds(saved: State, goals: Iterable[State], state: State) -> bool:
    """Return whether a saved state before is still what there is to go back to.

    That is so where each part of the state is as it was saved, or as one of the goals has it that
    the ticket set out to publish since: what this very ticket published is nothing to go back to.
    """
    known = [saved, *goals]
    return all(value in [one.get(key) for one in known] for key, value in state.items())


def goals_with(goals: Iterable[State], goal: State) -> list[dict[str, Any]]:
    """Return the goals that a ticket set out to publish, oldest first, each once, and this one."""
    every = [dict(one) for one in (*goals, goal)]
    return [one for number, one in enumerate(every) if one not in every[:number]]
