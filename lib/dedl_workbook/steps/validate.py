"""Validate: hold a dataset against the rulebook. Changes nothing."""

from __future__ import annotations

from dedl_workbook.base.files import write_atomic
from dedl_workbook.base.json import pretty
from dedl_workbook.dataset.dataset import (
    fingerprint,
)
from dedl_workbook.publication.job import Check, Job, Outcome, judged
from dedl_workbook.publication.metadata import VALIDATION
from dedl_workbook.rules.findings import Finding, Report, Severity, grouped
from dedl_workbook.rules.rulebook import RULES
from dedl_workbook.rules.validation import validate


def check(job: Job) -> Outcome:
    """Validate a job's dataset; the outcome's detail holds the report in its JSON form.

    The report is also left in the job's folder, as validation.json. A dataset that was changed
    meanwhile has failed: what was looked at first may be another thing by now.

    Raises:
        InputError: the dataset can't be read at all.
        ServiceError: the bucket refuses or doesn't answer.
    """
    begun = job.fingerprint
    report = validate(
        job.dataset,
        ticket=job.ticket,
        target=job.target,
        executor=job.target.executor,
        tell=job.tell,
    )
    written = report.as_json()
    write_atomic(job.folder / VALIDATION, pretty(written))
    checks = _checks(report)
    changed = fingerprint(job.dataset) != begun
    if changed:
        problem = (
            "it was changed while it was validated; validate it again when nobody writes to it"
        )
        checks.insert(0, Check("dataset", False, problem))
    return judged("validate", checks, _summary(report), report=written, changed=changed)


def _checks(report: Report) -> list[Check]:
    errors = [g for g in grouped(report.findings) if _counts(g.finding)]
    looked_at = f"{report.items} items, {report.files} files, {report.size} bytes of data"
    if not errors:
        return [Check("rulebook", True, f"{looked_at}; {_summary(report)}")]
    return [
        Check(
            f"{group.finding.rule} {RULES[group.finding.rule].name.replace('_', ' ')}",
            False,
            f"{group.count} x {group.finding.message}, such as {group.examples[0] or '(dataset)'}",
        )
        for group in errors
    ]


def _counts(finding: Finding) -> bool:
    return finding.severity is Severity.ERROR and not finding.waived


def _summary(report: Report) -> str:
    counts = ", ".join(f"{report.count(severity)} {severity}s" for severity in Severity)
    text = f"{len(RULES)} rules over {report.items} items: {counts}".replace("infos", "notes")
    return "; ".join([text, *report.gaps])
