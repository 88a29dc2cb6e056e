"""The evidence on paper: a browser prints its first page, and nothing of it is missing."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from dedl_workbook import evidence
from dedl_workbook.publication.job import Check, Outcome, Verdict
from dedl_workbook.rules.findings import Finding, Report, Severity

from tests.browser.conftest import ARGUMENTS
from tests.unit.conftest import make_case, make_root

LONG = "https://stac.example/" + "/".join(f"a_rather_long_part_of_a_path_{n:02}" for n in range(9))


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the first page of a pack with folded, wide and long tables."""
    case = make_case(make_root(tmp_path / "workbook", monkeypatch))
    findings = tuple(
        Finding("C04", Severity.WARNING, f"metadata/items/item-{n:03}.json", f"bad {n}", LONG, "")
        for n in range(60)
    )
    report = Report("delivered", findings, items=60, files=60, size=1).as_json()
    for step in ("validate", "upload", "validate"):
        checks = tuple(Check(f"check {n} of {step}", True, f"found {n} {LONG}") for n in range(40))
        detail = {"report": report} if step == "validate" else {}
        outcome = Outcome(step, Verdict.PASSED, f"{step} {LONG}", checks, detail=detail)
        case.record_outcome(case.new_attempt(step), outcome, case.job.fingerprint)
    return evidence.pack(case).path / "data" / "index.html"


def printed(page: Path, chromium: str) -> str:
    """Return the text of the page as a browser prints it on A4."""
    sheets = page.parent.parent.parent / "page.pdf"
    options = [*ARGUMENTS, "--headless", "--no-pdf-header-footer", f"--print-to-pdf={sheets}"]
    subprocess.run([chromium, *options, page.as_uri()], check=True, capture_output=True)
    size = subprocess.run(["pdfinfo", sheets], check=True, capture_output=True, text=True).stdout
    assert re.search(r"Page size: +59[45]\S* x 84[12]", size), size
    return subprocess.run(
        ["pdftotext", "-raw", sheets, "-"], check=True, capture_output=True, text=True
    ).stdout


def texts(page: Path) -> list[str]:
    """Return each text between two tags, as a person reads it."""
    # What a browser leaves off paper: links within the page, drawings, choices of a table.
    body = re.sub(
        r"(?s)<(nav|svg|fieldset|style)\b.*?</\1>",
        "",
        page.read_text().partition("</head>")[2],
    )
    return list(dict.fromkeys(filter(str.strip, map(html.unescape, re.split(r"<[^>]*>", body)))))


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="pdftotext is not installed")
def test_every_row_of_the_evidence_is_on_paper(page: Path, chromium: str) -> None:
    paper = without_spaces(printed(page, chromium))

    assert [text for text in texts(page) if without_spaces(text) not in paper] == []


def without_spaces(text: str) -> str:
    """Return a text as it is the same wherever its lines end."""
    return re.sub(r"\s+", "", text)
