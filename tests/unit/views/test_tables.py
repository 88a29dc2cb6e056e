"""What people see of a report: grouped, filtered without script, in the terminal and in files."""

import csv
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from dedl_workbook.base.json import pretty
from dedl_workbook.base.progress import line
from dedl_workbook.rules.findings import Finding, Gatherer, Report, Severity, ordered
from dedl_workbook.views import pages, tables, terminal
from rich.console import Console


def finding(rule: str = "L03", n: int = 0, **changes: str) -> Finding:
    values = {"file": f"metadata/items/{n}.json", "pointer": "", "message": f"has {n} bytes"}
    severity = Severity(changes.pop("severity", "error"))
    return Finding(rule, severity, fix="Mend it.", **{**values, **changes})


def report_of(*findings: Finding) -> Report:
    gathered = Gatherer()
    for found in findings:
        gathered.add(found)
    return Report("d", ordered(gathered.findings()), items=5, files=1, size=1500)


MIXED = (
    finding("A01", message="names no file"),
    finding("I06", severity="warning"),
    finding("C05", severity="info"),
    finding("C08", waived="agreed (by X)"),
)


class Page(HTMLParser):
    """What of a page matters here: its elements, and the rows with their classes."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.values: list[str] = []
        self.rows: list[set[str]] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        given = dict(attrs)
        assert [name for name in given if name.startswith("on")] == []
        if tag == "tr" and "class" in given:
            self.rows.append(set((given["class"] or "").split()))
        if tag == "input":
            self.values.append(given["value"] or "")


def hidden(markup: str, choice: str) -> Iterator[int]:
    """Yield the rows that the style sheet hides when a choice is made."""
    rules = re.findall(
        r'\.dedl-report:has\(\[value="(\w+)"\]:checked\)'
        r" tbody tr:not\(\.([\w-]+)\)\{display:none\}",
        markup,
    )
    for n, classes in enumerate(Page(markup).rows):
        if any(value == choice and kept not in classes for value, kept in rules):
            yield n


def test_a_hundred_thousand_equal_findings_read_as_one_line() -> None:
    report = report_of(*(finding(n=n) for n in range(100_000)))

    assert [row[:3] for row in tables.report_rows(report)] == [("error", "L03", "100,000")]
    assert tables.report(report).markup.count("<tr") == 2
    assert len(pretty(report.as_json())) < 10_000


@pytest.mark.parametrize(
    ("choice", "shown"),
    [
        ("error", ["A01", "C08"]),
        ("warning", ["I06"]),
        ("info", ["C05"]),
        ("I06", ["I06"]),
        ("", None),
    ],
)
def test_a_report_is_filtered_by_severity_and_rule_without_script(
    choice: str, shown: list[str] | None
) -> None:
    report = report_of(*MIXED)
    markup = tables.report(report).markup

    page = Page(markup)

    assert "script" not in page.elements
    assert choice in page.values
    gone = set(hidden(markup, choice))
    rules = [row[1] for n, row in enumerate(tables.report_rows(report)) if n not in gone]
    # What is waived does the least harm.
    assert rules == (shown or ["A01", "I06", "C05", "C08"])


def test_a_choice_leads_nowhere_and_hides_itself_where_style_sheets_do_not_hold() -> None:
    markup = tables.report(report_of(*MIXED)).markup

    assert '<form class="dedl-report" method="dialog">' in markup
    assert markup.count('display:none" aria-label') == 2


def test_one_kind_of_finding_needs_no_filter() -> None:
    assert "<form" not in tables.report(report_of(finding())).markup


def test_a_long_path_can_break_and_does_not_push_the_remedy_out_of_the_page() -> None:
    path = "metadata/items/EO.DEDL.DAT.DEMO_HEAT_20260701T000000_20260701T235959.json"

    markup = tables.table(("where", "remedy"), [(f"{path}\n<b>", "short/enough")])

    assert f'<span style="overflow-wrap:anywhere">{path}</span>' in markup
    assert "\n&lt;b&gt;<" in markup
    assert ">short/enough<" in markup


def test_markup_in_findings_is_text() -> None:
    report = report_of(
        finding(message="<script>x</script>", file='"><img src=x onerror=y>'), *MIXED
    )

    assert not {"script", "img"} & set(Page(tables.report(report).markup).elements)


def test_the_head_counts_in_words() -> None:
    assert (
        tables.report_head(report_of(*MIXED))
        == "5 items, 1 file, 1.5 kB: 1 error, 1 warning, 1 note"
    )


def shown(report: Report, *, terminal_of: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is printed of a report on a terminal of some columns, or in a pipe (0)."""
    width = terminal_of or 200
    settings = {"width": width, "highlight": False, "soft_wrap": True}
    screen = Console(file=io.StringIO(), force_terminal=bool(terminal_of), **settings)  # type: ignore[arg-type]
    monkeypatch.setattr(terminal, "out", screen)
    terminal.show_report(report)
    return re.sub(r"\x1b\[[0-9;]*m", "", screen.file.getvalue())  # type: ignore[attr-defined]


GAPS = Report(
    "delivered/EO.XXX",
    (
        finding(severity=Severity.INFO, rule="C05", message="is missing"),
        finding(rule="A01", message="names [b]no[/b] file " + "which is long " * 20),
        finding(rule="L03", waived="agreed", message="is waived"),
    ),
    items=3,
    files=7,
    size=1500,
    notes=("C13 was not looked at: it needs a target",),
    unknown={"application/xml": 2},
)


@pytest.mark.parametrize("columns", [0, 80, 240])
def test_a_printed_report_begins_with_its_verdict_and_goes_on_by_harm(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    text = shown(GAPS, terminal_of=columns, monkeypatch=monkeypatch)

    lines = text.splitlines()
    assert lines[:5] == [
        "failed: 1 error, 0 warnings, 1 note",
        "  dataset: delivered/EO.XXX",
        "  looked at: 3 items, 7 files, 1.5 kB",
        "  not looked at: 2 files were not looked into (2 application/xml)",
        "  note: C13 was not looked at: it needs a target",
    ]
    assert re.findall(r"^(?:error|info) (?:\(waived\) )?\w\d\d", text, re.MULTILINE) == [
        "error A01",
        "info C05",
        "error (waived) L03",
    ]
    assert "names [b]no[/b] file" in text
    if columns:
        assert max(map(len, lines)) <= min(columns, 100)
        assert lines[-1] == lines[0]
    else:
        assert "    where: metadata/items/0.json\n    remedy: Mend it.\n" in text


def test_the_page_of_a_report_says_by_harm_what_was_found_and_what_was_not_looked_at() -> None:
    markup = pages.of_report(GAPS)

    page = Page(markup)
    assert not {"script", "link", "img"} & set(page.elements)
    places = [markup.index(f"<h2>{heading}</h2>") for heading in ("Errors", "Notes", "Waived")]
    assert places == sorted(places)
    for text in ("Validation of EO.XXX", "2 files were not looked into", "1 error, 0 warnings"):
        assert text in markup
    # The path is of the machine of whoever validates.
    assert "delivered/" not in markup


def test_markup_in_findings_is_text_on_the_page_of_a_report() -> None:
    report = report_of(
        finding(message="<script>x</script>\u202e", file='"><img src=x onerror=y>', waived="<b>")
    )

    markup = pages.of_report(report)

    assert not {"script", "img"} & set(Page(markup).elements)
    assert "\u202e" not in markup
    assert "&lt;script&gt;" in markup


def test_the_page_of_a_flawless_dataset_says_that_nothing_was_found() -> None:
    assert "Nothing was found." in pages.of_report(Report("x", ()))


def test_json_and_csv_hold_every_listed_finding_with_its_count() -> None:
    report = report_of(*(finding(n=n) for n in range(50)), *MIXED)

    read = json.loads(pretty(report.as_json()))
    rows = list(csv.DictReader(io.StringIO(report.as_csv())))

    assert Report.from_json(read) == report
    assert sum(int(row["count"]) for row in rows if row["rule"] == "L03") == 50
    assert sum(found["count"] for found in read["findings"]) == 54


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            ("validate", 50_000, 200_000, "items", 10.0),
            "validate: █████░░░░░░░░░░░░░░░ 50,000 of 200,000 items, 5,000 items/s, 30 s left",
        ),
        (
            ("upload", 10**9, 10**12, "B", 10.0),
            "upload: ░░░░░░░░░░░░░░░░░░░░ 1.0 GB of 1.0 TB, 100.0 MB/s, 2 h 46 min left",
        ),
        (("list", 500, 0, "files", 1.0), "list: 500 files, 500 files/s"),
        (("look", 5, 5, "items", 0.1), "look: ████████████████████ 5 of 5 items"),
        (
            ("upload", 90, 100, "files", 10.0, "from 80 on", 80),
            "upload: ██████████████████░░ 90 of 100 files, from 80 on, 1 files/s, 10 s left",
        ),
    ],
)
def test_progress_is_a_bar_with_rate_and_time_left(values: tuple[object, ...], said: str) -> None:
    assert line(*values) == said  # type: ignore[arg-type]


def a_case_plan() -> dict[str, Any]:
    step = {"goal": {"id": "<b>"}, "before": {"id": None}, "digest": "d" * 64}
    step |= {"actions": [{"verb": "add", "subject": "entry", "count": 2, "size": 5000}]}
    step |= {"detail": {"difference": ["--- a\n+++ a\n-old: 1\n+new: <2>\n same"]}}
    idle = {"goal": {}, "before": {}, "digest": "e" * 64, "actions": [], "detail": {}}
    return {"digest": "f" * 64, "steps": {"hda": step, "notify": idle}}


def test_a_case_plan_shows_every_step_its_differences_and_its_digest() -> None:
    view = tables.case_plan(a_case_plan())

    assert "hda:\n  add  entry  2  5.0 kB\nnotify: nothing to do" in repr(view)
    assert "f" * 64 in repr(view)
    assert "<b>" not in view.markup.replace("<b class", "")
    assert view.markup.count("<details>") == 4


def test_what_a_difference_adds_and_removes_differs_in_more_than_colour() -> None:
    removed, added = (
        re.search(rf'<span style="([^"]+)">{re.escape(text)}', tables.diff("-old: 1\n+new: <2>"))
        for text in ("-old: 1", "+new: &lt;2&gt;")
    )

    assert removed
    assert added
    assert "double" in removed[1]
    assert "solid" in added[1]


def test_a_table_that_is_cut_says_how_much_and_links_the_whole() -> None:
    shown = tables.table(("a",), [(n,) for n in range(60)], whole="plan.json")

    assert 'and 10 more rows: <a href="plan.json">plan.json</a>' in shown


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("word", sorted(tables._COLOURS))
def test_every_verdict_is_readable_and_has_a_mark_of_its_own(word: str) -> None:
    """White letters on its colour reach the contrast of WCAG 2.1, level AA."""
    assert 1.05 / (luminance(tables._COLOURS[word]) + 0.05) >= 4.5
    assert tables._MARKS[word] in tables.badge(word)
