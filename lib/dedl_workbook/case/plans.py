"""Case plans as the archive keeps them: found by their digest, and held against it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import EvidenceError, InputError
from dedl_workbook.base.json import digest


def digest_of(plan: dict[str, Any]) -> str:
    """Return the digest of a case plan, from what its steps say; '' if one contradicts itself."""
    steps = {
        name: digest({"step": step["step"], "goal": step["goal"], "before": step["before"]})
        for name, step in plan["steps"].items()
    }
    wrong = [name for name, step in plan["steps"].items() if step["digest"] != steps[name]]
    bound = {key: plan[key] for key in ("ticket", "target", "dataset") if key in plan}
    return "" if wrong else digest(bound | {"steps": steps})


def read(file: Path, wanted: str, ticket: str) -> dict[str, Any]:
    """Read a case plan that must have this digest.

    Raises:
        EvidenceError: the file is gone, damaged, or says something else than was planned.
    """
    try:
        plan: dict[str, Any] = json.loads(file.read_bytes())
        right = plan["digest"] == wanted == digest_of(plan)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        right = False
    if not right:
        raise EvidenceError(
            f"is not the plan {wanted[:12]} that the ledger records",
            where=str(file),
            remedy="Restore it from a backup or from an evidence pack; or make a new plan: "
            f"dedl-workbook plan {ticket}",
        )
    return plan


def refusal(lines: Sequence[Mapping[str, Any]], digest: str) -> str:
    """Return who refused a case plan and why, if that was the last decision on it; else ''."""
    decisions = [
        x for x in lines if x["event"] in ("approved", "refused") and x["digest"] == digest
    ]
    if not decisions or decisions[-1]["event"] != "refused":
        return ""
    return f"{decisions[-1]['operator']} refused this very plan: {decisions[-1]['reason']}"


def named(lines: Sequence[dict[str, Any]], given: str, ticket: str) -> str:
    """Return the digest of the one plan that a digest, or 12 or more characters of it, names.

    Raises:
        InputError: the ledger has no such plan.
    """
    planned = [line for line in lines if line["event"] == "planned"]
    digests = {line["digest"] for line in planned if line["digest"].startswith(given)}
    if len(given) < 12 or len(digests) != 1:
        raise InputError(
            f"no plan of this case has the digest {given!r}",
            where=ticket,
            remedy="Read the plan before it is approved; its digest stands below it: "
            f"dedl-workbook plan {ticket}"
            if planned
            else f"There is no plan yet: dedl-workbook plan {ticket}",
        )
    return str(digests.pop())
