"""Findings: what the rulebook has to say of a dataset, and the report that gathers it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad a finding is: errors stop the promotion."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect: which rule, where, what is wrong, how to mend it."""

    rule: str
    severity: Severity
    file: str
    """Relative to the dataset's root; '' for the dataset as a whole."""
    pointer: str
    """An RFC 6901 JSON pointer into the file; '' for the file as a whole."""
    message: str
    fix: str
    count: int = 1
    """How many equal findings this one stands for."""
    waived: str = ""
    """The reason of the ticket's waiver, if there is one."""


@dataclass(frozen=True)
class Report:
    """What was looked at and what was found."""

    dataset: str
    findings: tuple[Finding, ...]
    items: int = 0
    """Item files read."""
    files: int = 0
    """Files seen."""
    size: int = 0
    """Bytes of data files."""
    notes: tuple[str, ...] = ()
    """Rules that were off, waived or not applicable, and why."""
    extra: dict[str, Any] = field(default_factory=dict)

    def count(self, severity: Severity) -> int:
        """Return how many findings have that severity, waived ones left out."""
        return sum(f.count for f in self.findings if f.severity is severity and not f.waived)

    @property
    def passed(self) -> bool:
        """Whether there is no error."""
        return self.count(Severity.ERROR) == 0

    def as_json(self) -> dict[str, Any]:
        """Return the report in its JSON form."""
        return {
            "verdict": "passed" if self.passed else "failed",
            "dataset": self.dataset,
            "counts": {
                **{str(severity): self.count(severity) for severity in Severity},
                "items": self.items,
                "files": self.files,
                "bytes": self.size,
            },
            "notes": list(self.notes),
            "findings": [asdict(finding) for finding in self.findings],
        }


_ORDER = {severity: place for place, severity in enumerate(Severity)}


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings worst first, then by rule, file and pointer."""
    return tuple(
        sorted(findings, key=lambda f: (_ORDER[f.severity], f.rule, f.file, f.pointer, f.message))
    )


@dataclass(frozen=True)
class Group:
    """Findings of one rule that say the same, with some examples."""

    finding: Finding
    count: int
    examples: tuple[str, ...]
    """Places: file, and pointer after '#'."""


def grouped(findings: Iterable[Finding], examples: int = 3) -> list[Group]:
    """Gather findings that differ only in their file: 100,000 equal ones read as one line."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        key = (finding.rule, finding.severity, finding.pointer, finding.message, finding.waived)
        groups.setdefault(key, []).append(finding)
    return [
        Group(
            replace(members[0], count=1),
            sum(member.count for member in members),
            tuple(place(member) for member in members[:examples]),
        )
        for members in groups.values()
    ]


def place(finding: Finding) -> str:
    """Return where a finding is, as file#pointer."""
    return f"{finding.file}#{finding.pointer}" if finding.pointer else finding.file
