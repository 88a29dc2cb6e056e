"""What notebooks and evidence show: plans, outcomes, reports as tables; everything escaped."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dedl_workbook.base.text import amount, number, printable
from dedl_workbook.publication.job import Action, Check, Job, Outcome, Plan, Receipt
from dedl_workbook.rules.findings import Group, Report, Severity, grouped

# Marks differ in shape as well as in colour (Okabe-Ito), for readers who see no difference.
_MARKS = {
    "passed": "✔",
    "answers": "✔",
    "planned": "✎",
    "withdrawal planned": "✎",
    "withdrawal approved": "✎",
    "published": "✔",
    "published, not verified": "▲",
    "plan refused": "✘",
    "approved": "✎",
    "waiting": "◔",
    "failed": "✘",
    "fails": "✘",
    "refused": "✘",
    "unreadable": "✘",
    "error": "✘",
    "warning": "▲",
    "info": "●",
}
# Dark enough for white letters (WCAG AA), so that they read the same in light and dark themes.
_GOOD, _BAD, _CARE, _NEWS = "#00785a", "#b34700", "#8a5a00", "#0066a1"
_COLOURS = {
    "passed": _GOOD,
    "answers": _GOOD,
    "planned": _NEWS,
    "approved": _NEWS,
    "withdrawal planned": _NEWS,
    "withdrawal approved": _NEWS,
    "published": _GOOD,
    "published, not verified": _BAD,
    "plan refused": _BAD,
    "waiting": _CARE,
    "failed": _BAD,
    "fails": _BAD,
    "refused": _BAD,
    "unreadable": _BAD,
    "error": _BAD,
    "warning": _CARE,
    "info": _NEWS,
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_SHORT = 10
"""Letters of what stays in one line, such as a size and its unit."""
_SHOWN = 50
"""Rows of a table before it is cut."""
_SHOWN_GROUPS = 500
"""Kinds of findings before the table is cut."""


@dataclass(frozen=True)
class View:
    """Something to look at, in HTML and in plain text."""

    markup: str
    text: str

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return self.text


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    caption: str = "",
    *,
    classes: Sequence[str] = (),
    most: int = _SHOWN,
    whole: str = "",
) -> str:
    """Return an HTML table; every cell is escaped, of more than `most` rows the count is said.

    Args:
        columns: their names.
        rows: their cells.
        caption: above it.
        classes: of each row.
        most: rows that are shown.
        whole: the file beside the page that holds all rows, for the link of a table that is cut.
    """
    shown = list(rows)
    left = len(shown) - most
    head = "".join(f'<th style="text-align:left">{html.escape(name)}</th>' for name in columns)
    body = "".join(
        (f'<tr class="{html.escape(classes[n])}">' if classes else "<tr>")
        + "".join(f'<td style="text-align:left;white-space:pre-wrap">{cell(c)}</td>' for c in row)
        + "</tr>"
        for n, row in enumerate(shown[:most])
    )
    link = f': <a href="{html.escape(whole)}">{html.escape(whole)}</a>' if whole else "."
    more = f"<p>… and {left:,} more rows{link}</p>" if left > 0 else ""
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    top = f"<thead><tr>{head}</tr></thead>" if columns else ""
    return f"<table>{title}{top}<tbody>{body}</tbody></table>{more}"


def job(job: Job) -> View:
    """Show what is at work: ticket, target, dataset."""
    ticket, target = job.ticket, job.target
    rows = {
        "ticket": ticket.ticket,
        "collection": ticket.collection,
        "access": ticket.access + (f": {', '.join(ticket.roles)}" if ticket.roles else ""),
        "mode": ticket.mode,
        "board": f"{ticket.board_reference or 'no reference'}, {ticket.board_date or 'no date'}",
        "dataset": ticket.dataset,
        "target": f"{target.name}: {target.description}",
        "pool": f"s3://{target.s3.bucket}/{job.prefix}",
    }
    return View(pairs(rows), "\n".join(f"{key}: {value}" for key, value in rows.items()))


def plan(plan: Plan) -> View:
    """Show what a step would do."""
    if not plan.actions:
        text = f"{plan.step}: nothing to do; what is wanted is there already."
        return View(f"<p><b>{html.escape(text)}</b></p>", text)
    rows = [action_row(action) for action in plan.actions]
    lines = [f"{plan.step}: {len(rows)} kinds of change"]
    lines += ["  " + "  ".join(row) for row in rows]
    parts = [
        table(ACTION_COLUMNS, rows, whole="plan.json"),
        folded(plan.goal, plan.before, plan.detail),
        f"<p>Digest of this step's plan: <code>{plan.digest}</code></p>",
    ]
    return View("".join(parts), "\n".join(lines))


ACTION_COLUMNS = ("does", "what", "how many", "size")


def folded(goal: Mapping[str, Any], before: Mapping[str, Any], detail: Mapping[str, Any]) -> str:
    """Return what a plan rests on, to fold out; differences of files are there to be read."""
    rest = {key: value for key, value in detail.items() if key != "difference"}
    return "".join(
        [
            *(diff(text) for text in detail.get("difference", ())),
            details("Goal", pairs(goal)),
            details("State before", pairs(before)),
            details("Detail", pairs(rest)) if rest else "",
        ]
    )


def case_plan(plan: Mapping[str, Any]) -> View:
    """Show a case plan, as it is kept: what each step would do, and all that the digest covers."""
    head = f"Digest of the plan: {plan['digest']}"
    parts, lines = [], [head]
    for step, planned in plan["steps"].items():
        rows = [action_row_of(action) for action in planned["actions"]]
        lines += [f"{step}: {'nothing to do' if not rows else ''}".rstrip()]
        lines += ["  " + "  ".join(row) for row in rows]
        parts.append(f"<h4>{html.escape(step)}</h4>")
        parts.append(table(ACTION_COLUMNS, rows) if rows else "<p>nothing to do</p>")
        parts.append(folded(planned["goal"], planned["before"], planned["detail"]))
    parts.append(f"<p>Digest of the plan: <code>{plan['digest']}</code></p>")
    return View("".join(parts), "\n".join(lines))


def differences(plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield as lines what a case plan changes, and what it writes to whom: for a terminal.

    Of items, the first names; of HDA's files and the collection, every difference.
    """
    for step, planned in plan["steps"].items():
        detail = planned["detail"] if planned["actions"] else {}
        lines = [line for text in detail.get("difference", ()) for line in text.splitlines()]
        lines += [json.dumps(one, ensure_ascii=False) for one in detail.get("collection", ())]
        for verb, names in detail.get("examples", {}).items():
            shown = names[:_NAMES]
            left = detail.get("items", {}).get(verb, len(names)) - len(shown)
            more = f" and {left:,} more" if left else ""
            lines.append(f"items {verb}: {', '.join(shown)}{more}")
        lines += [f"Subject: {detail['subject']}"] if "subject" in detail else []
        lines += str(detail.get("text", "")).splitlines()
        if lines:
            yield f"{step}:"
            yield from (f"    {line}" for line in lines)


_NAMES = 20
"""Names of items that are shown of each kind."""


def diff(text: str) -> str:
    """Return a unified diff; what is added and removed differs in sign, edge and colour."""
    return f'<pre style="line-height:1.4">{"".join(map(_diff_line, text.splitlines()))}</pre>'


_ADDED = "display:block;border-left:4px solid #0066a1;background:rgba(0,102,161,.18)"
_REMOVED = "display:block;border-left:4px double #b34700;background:rgba(179,71,0,.18)"
_KEPT = "display:block;border-left:4px solid transparent"


def _diff_line(line: str) -> str:
    style = _KEPT
    if line.startswith(("+", "-")) and not line.startswith(("+++", "---")):
        style = _ADDED if line[0] == "+" else _REMOVED
    return f'<span style="{style}">{html.escape(line) or " "}</span>'


def action_row_of(action: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return an action in its JSON form as a row."""
    return action_row(Action(**action))


def action_row(action: Action) -> tuple[str, str, str, str]:
    """Return an action as a row: verb, subject, count, size."""
    size = amount(action.size) if action.size else ""
    return action.verb, action.subject, f"{action.count:,}", size


def receipt(receipt: Receipt | None) -> View:
    """Show what was done."""
    if receipt is None:
        text = "No plan is approved: nothing was changed."
        return View(f"<p><b>{text}</b></p>", text)
    if not receipt.done:
        return View("<p><b>Nothing was to be done.</b></p>", "Nothing was to be done.")
    text = ", ".join(f"{key}: {value}" for key, value in receipt.done.items())
    return View(pairs(receipt.done) + f"<p>{receipt.seconds:.1f} s</p>", text)


def outcome(outcome: Outcome) -> View:
    """Show a verdict and every check that it rests on; for validating, every finding."""
    verdict = str(outcome.verdict)
    rows = [check_row(check) for check in outcome.checks]
    text = "\n".join([f"{verdict}: {outcome.summary}", *("  " + "  ".join(row) for row in rows)])
    markup = badge(verdict) + f" {html.escape(outcome.summary)}"
    if rows:
        markup += table(("", "checked", "found"), rows)
    if "report" in outcome.detail:
        below = report(Report.from_json(outcome.detail["report"]))
        markup, text = markup + below.markup, f"{text}\n{below.text}"
    return View(markup, text)


def check_row(check: Check) -> tuple[str, str, str]:
    """Return a check as a row: mark, name, found."""
    return _MARKS["passed" if check.passed else "failed"], check.name, check.found


def report(report: Report) -> View:
    """Show a validation report: equal findings as one line, worst first, to be filtered."""
    verdict = "passed" if report.passed else "failed"
    head, groups = report_head(report), grouped(report.findings)
    rows = [finding_row(group) for group in groups]
    markup = badge(verdict) + f" {html.escape(head)}"
    if rows:
        markup += _filtered(groups, rows)
    markup += "".join(f"<p>{html.escape(note)}</p>" for note in report.notes)
    lines = [f"{verdict}: {head}", *("  " + "  ".join(row) for row in rows), *report.notes]
    return View(markup, "\n".join(lines))


def _filtered(groups: Sequence[Group], rows: Sequence[Sequence[str]]) -> str:
    """Return findings as a table that can be filtered by severity and rule without any script.

    The choices show themselves only where style sheets hold: a notebook that isn't trusted loses
    them, and shows the whole table.
    """
    severities: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    for group in groups:
        severities[str(group.finding.severity)] += group.count
        rules[group.finding.rule] += group.count
    classes = [f"of-{group.finding.severity} of-{group.finding.rule}" for group in groups]
    shown = table(REPORT_COLUMNS, rows, classes=classes, most=_SHOWN_GROUPS, whole="outcome.json")
    if len(groups) < 2:
        return shown
    choices = _choices("severity", severities) + _choices("rule", dict(sorted(rules.items())))
    hiding = "".join(
        f'.dedl-report:has([value="{value}"]:checked) tbody tr:not(.of-{value}){{display:none}}'
        for value in (*severities, *rules)
    )
    style = f"<style>.dedl-report fieldset{{display:block!important}}{hiding}</style>"
    # A form keeps its choices apart from those of another report; a dialog's leads nowhere.
    return f'<form class="dedl-report" method="dialog">{style}{choices}{shown}</form>'


def _choices(name: str, counts: Mapping[str, int]) -> str:
    inputs = "".join(
        f'<label style="margin-right:1em;white-space:nowrap"><input type="radio" name="{name}" '
        f'value="{html.escape(value)}"{"" if value else " checked"}> {html.escape(text)}</label> '
        for value, text in [
            ("", f"every {name}"),
            *((value, f"{value} ({count:,})") for value, count in counts.items()),
        ]
    )
    frame = "border:0;padding:0;margin:.3em 0;display:none"
    return f'<fieldset style="{frame}" aria-label="{name}">{inputs}</fieldset>'


REPORT_COLUMNS = ("severity", "rule", "times", "where", "what is wrong", "remedy")


def report_head(report: Report) -> str:
    """Return what was looked at and what was not, and how many findings there are, as one line."""
    return "; ".join([f"{_extent(report)}: {report_counts(report)}", *report.gaps])


def report_counts(report: Report) -> str:
    """Return how many findings of each severity there are, waived ones left out."""
    names = {Severity.ERROR: "errors", Severity.WARNING: "warnings", Severity.INFO: "notes"}
    return ", ".join(number(report.count(s), name) for s, name in names.items())


def report_facts(report: Report) -> dict[str, str]:
    """Return the head of a report: which dataset, what was looked at, what was not, and notes."""
    facts = {
        "dataset": report.dataset,
        "looked at": _extent(report),
        "not looked at": "\n".join(report.gaps),
        "note": "\n".join(report.notes),
    }
    return {name: text for name, text in facts.items() if text}


def _extent(report: Report) -> str:
    items, files = number(report.items, "items"), number(report.files, "files")
    return f"{items}, {files}, {amount(report.size)}"


def report_rows(report: Report) -> list[tuple[str, ...]]:
    """Return a report's findings as rows, equal ones as one."""
    return [finding_row(group) for group in grouped(report.findings)]


def finding_row(group: Group) -> tuple[str, str, str, str, str, str]:
    """Return a group of findings as a row: severity, rule, count, places, message, remedy."""
    finding = group.finding
    where = "\n".join(group.examples)
    where += "\n…" if group.count > len(group.examples) else ""
    severity = f"{finding.severity} (waived)" if finding.waived else str(finding.severity)
    message = finding.message + (f" (waived: {finding.waived})" if finding.waived else "")
    count = f"{group.count:,}"
    return severity, finding.rule, count, where, printable(message), printable(finding.fix)


def badge(verdict: str) -> str:
    """Return a verdict as a coloured mark with its word."""
    mark = _MARKS.get(verdict, "")
    return (
        f'<b class="badge" style="color:#fff;background:{colour(verdict)};padding:2px 8px;'
        'border-radius:4px;display:inline-block;white-space:nowrap">'
        f"{mark} {html.escape(verdict)}</b>"
    )


def colour(verdict: str) -> str:
    """Return the colour of a verdict's mark, on which white letters can be read."""
    return _COLOURS.get(verdict, "#595959")


def pairs(values: Mapping[str, Any]) -> str:
    """Return a mapping as a table of two columns."""
    return table((), [(key, _plain(value)) for key, value in values.items()])


def details(title: str, markup: str) -> str:
    """Return something to fold out."""
    return f"<details><summary>{html.escape(title)}</summary>{markup}</details>"


def _plain(value: Any) -> str:
    if value is None or value in ("", [], ()):
        return "none"
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        more = [f"… {len(value) - 20} more"] if len(value) > 20 else []
        return "\n".join([_plain(member) for member in value[:20]] + more)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def cell(value: object) -> str:
    """Return a value as a table shows it: a time without its fractions, a verdict as its badge."""
    text = printable(str(value), lines=True)
    if _TIME.fullmatch(text):
        return f'<span style="white-space:nowrap">{text[:10]} {text[11:19]}</span>'
    if text in _COLOURS:
        return badge(text)
    if " " in text and len(text) <= _SHORT:
        return f'<span style="white-space:nowrap">{html.escape(text)}</span>'
    # No element between its letters: whoever looks for a secret, or for a path, finds it whole.
    return _LONG.sub(r'<span style="overflow-wrap:anywhere">\g<0></span>', html.escape(text))


_LONG = re.compile(r"[^\s<>]{25,}")
"""A path, an address or a digest that would push the other columns out of the page."""
