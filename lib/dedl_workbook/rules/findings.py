"""Findings: what the rulebook has to say of a dataset, and the report that gathers it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from dedl_workbook.base.text import number, printable


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
    """How many findings this one stands for: itself, and like ones that are not listed."""
    waived: str = ""
    """The reason of the ticket's waiver, if there is one."""


PAGE = "report.html"
"""What a report is called as a page, in the folder of the attempt that made it."""


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
    unchecked: tuple[str, ...] = ()
    """Schemas of extensions that documents name, but could not be held against."""
    unchecked_documents: int = 0
    """The collection and the items that name one."""
    content: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of collection and items as they were read (see `publication.content`)."""
    unknown: Mapping[str, int] = field(default_factory=dict)
    """Data files that were not looked into, counted by what their media types call them."""
    data_files: int = 0

    def count(self, severity: Severity) -> int:
        """Return how many findings have that severity, waived ones left out."""
        return sum(f.count for f in self.findings if f.severity is severity and not f.waived)

    @property
    def passed(self) -> bool:
        """Whether there is no error."""
        return self.count(Severity.ERROR) == 0

    @property
    def verdict(self) -> str:
        """The verdict in words; what could not be checked is never a plain pass."""
        return "; ".join(["passed" if self.passed else "failed", *self.gaps])

    @property
    def gaps(self) -> tuple[str, ...]:
        """What was not looked into, in words."""
        gaps = []
        if self.unchecked:
            documents = number(self.unchecked_documents, "documents")
            names = "name" if self.unchecked_documents != 1 else "names"
            extensions = number(len(self.unchecked), "extensions")
            gaps.append(f"{documents} {names} {extensions} that could not be checked")
        if self.unknown:
            total = sum(self.unknown.values())
            few = ", ".join(f"{count:,} {name}" for name, count in list(self.unknown.items())[:5])
            more = f" and {len(self.unknown) - 5} other types" if len(self.unknown) > 5 else ""
            were = "was" if total == 1 else "were"
            gaps.append(f"{number(total, 'files')} {were} not looked into ({few}{more})")
        return tuple(gaps)

    def as_json(self) -> dict[str, Any]:
        """Return the report in its JSON form."""
        return {
            "verdict": "passed" if self.passed else "failed",
            "dataset": self.dataset,
            "counts": {
                **{str(severity): self.count(severity) for severity in Severity},
                "items": self.items,
                "files": self.files,
                "data_files": self.data_files,
                "bytes": self.size,
            },
            "not_checked": {
                "extensions": list(self.unchecked),
                "documents": self.unchecked_documents,
            },
            "not_looked_into": dict(self.unknown),
            "content": dict(self.content),
            "notes": list(self.notes),
            "findings": [asdict(finding) for finding in self.findings],
        }

    def as_csv(self) -> str:
        """Return the findings as CSV with a header; no cell is a formula to a spreadsheet."""
        text = io.StringIO()
        columns = ("severity", "rule", "file", "pointer", "message", "fix", "count", "waived")
        writer = csv.writer(text)
        writer.writerow(columns)
        for finding in self.findings:
            cells = (printable(str(getattr(finding, name))) for name in columns)
            writer.writerow([*map(_no_formula, cells)])
        return text.getvalue()

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Report:
        """Return the report that `as_json` gave this form."""
        counts = value["counts"]
        findings = [
            Finding(**{**f, "severity": Severity(f["severity"])}) for f in value["findings"]
        ]
        return cls(
            value["dataset"],
            tuple(findings),
            items=counts["items"],
            files=counts["files"],
            size=counts["bytes"],
            notes=tuple(value["notes"]),
            unchecked=tuple(value.get("not_checked", {}).get("extensions", ())),
            unchecked_documents=value.get("not_checked", {}).get("documents", 0),
            content=dict(value.get("content", {})),
            unknown=dict(value.get("not_looked_into", {})),
            data_files=counts.get("data_files", 0),
        )


def _no_formula(cell: str) -> str:
    """Keep a spreadsheet from taking a cell for a formula: OWASP's advice on CSV injection."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


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
    """Gather findings that are alike, by harm: 100,000 of them read as one line.

    A few that are of one file, such as its keywords, are told apart by what they say.
    """
    shapes: dict[Shape, list[Finding]] = {}
    for finding in findings:
        shapes.setdefault(shape(finding), []).append(finding)
    groups = [
        Group(
            replace(members[0], count=1),
            sum(member.count for member in members),
            tuple(place(member) for member in members[:examples]),
        )
        for alike in shapes.values()
        for members in _apart(alike)
    ]
    return sorted(groups, key=lambda g: (bool(g.finding.waived), _ORDER[g.finding.severity]))


def _apart(alike: list[Finding]) -> Iterable[list[Finding]]:
    """Part findings of one file by their messages, if each stands for itself alone."""
    if any(finding.count > 1 or finding.file != alike[0].file for finding in alike):
        return [alike]
    parts: dict[str, list[Finding]] = {}
    for finding in alike:
        parts.setdefault(finding.message, []).append(finding)
    return parts.values()


def place(finding: Finding) -> str:
    """Return where a finding is, as file#pointer, on one line."""
    return printable(f"{finding.file}#{finding.pointer}" if finding.pointer else finding.file)


Shape = tuple[str, Severity, str, str, str]

_VARIES = re.compile(r"""(?<!\w)'[^']*'|"[^"]*"|\d+(?:\.\d+)?""")
_NAMED = re.compile(r"^/(assets|links|properties)/[^/]+")


def shape(finding: Finding) -> Shape:
    """Return what findings of the same kind share: all but file, numbers and quoted names."""
    pointer = _VARIES.sub("…", _NAMED.sub(r"/\1/…", finding.pointer))
    message = _VARIES.sub("…", finding.message)
    return finding.rule, finding.severity, pointer, message, finding.waived


LISTED = 20
"""How many findings of one shape are listed; the last of them stands for the rest."""
SHAPES = 200
"""How many shapes of one rule are told apart."""


class Gatherer:
    """Findings as they come, in bounded memory: of each shape the first ones and a count.

    Which are kept does not depend on the order in which they come.
    """

    def __init__(self) -> None:
        self._listed: dict[Shape, list[Finding]] = {}
        self._counts: dict[Shape, int] = {}
        self._shapes: dict[str, int] = {}

    def add(self, finding: Finding) -> None:
        """Take a finding in."""
        key = shape(finding)
        if key not in self._counts:
            known = self._shapes.get(finding.rule, 0)
            if known >= SHAPES:
                key = (finding.rule, finding.severity, "", "", finding.waived)
            else:
                self._shapes[finding.rule] = known + 1
        self._counts[key] = self._counts.get(key, 0) + finding.count
        listed = self._listed.setdefault(key, [])
        listed.append(replace(finding, count=1) if finding.count > 1 else finding)
        if len(listed) > 2 * LISTED:
            self._listed[key] = _first(listed)

    def findings(self) -> list[Finding]:
        """Return what is listed; the last of each shape stands for all that is not."""
        result: list[Finding] = []
        for key, listed in self._listed.items():
            first = _first(listed)
            rest = self._counts[key] - len(first)
            result += [*first[:-1], replace(first[-1], count=1 + rest)]
        return result


def _first(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda f: (f.file, f.pointer, f.message))[:LISTED]
