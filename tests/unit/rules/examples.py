"""Good and bad examples of rules: `good` and `bad` note which rule a test is an example of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from dedl_workbook.dataset.dataset import open_dataset
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.rules.findings import Finding, Report
from dedl_workbook.rules.validation import validate

F = TypeVar("F", bound=Callable[..., Any])
GOOD: set[str] = set()
BAD: set[str] = set()


def good(*rules: str) -> Callable[[F], F]:
    """Mark a test that shows what rules let pass."""

    def note(test: F) -> F:
        GOOD.update(rules)
        return test

    return note


def bad(*rules: str) -> Callable[[F], F]:
    """Mark a test that shows what rules find."""

    def note(test: F) -> F:
        BAD.update(rules)
        return test

    return note


def report(root: Path, **given: Any) -> Report:
    """Validate a dataset on disk, without the slow second opinion."""
    return validate(open_dataset(str(root)), **{"second_opinion": "none", **given})


def found(root: Path, rule: str, **given: Any) -> list[Finding]:
    """Return what a rule finds in a dataset on disk."""
    return [finding for finding in report(root, **given).findings if finding.rule == rule]


def places(root: Path, rule: str, **given: Any) -> list[str]:
    """Return where a rule finds something: severity, file and pointer."""
    return [f"{f.severity} {f.file}#{f.pointer}" for f in found(root, rule, **given)]


def any_ticket(**changes: Any) -> Ticket:
    """A ticket for the dataset of the builders."""
    values = {
        "ticket": "DEDL-1",
        "dataset": "delivered",
        "collection": "EO.XXX.DAT.HEAT",
        "target": "sandbox",
        **changes,
    }
    return Ticket.of(values, "the test")
