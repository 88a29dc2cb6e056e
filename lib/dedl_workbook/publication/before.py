"""The state before a step's first change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
