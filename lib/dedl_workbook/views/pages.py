"""Pages: HTML that opens anywhere, with no server and no network; a notebook's, or a template's."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from dedl_workbook import __version__
from dedl_workbook.base.files import write_atomic
from dedl_workbook.base.redact import Redactor
from dedl_workbook.base.text import printable
from dedl_workbook.rules.findings import Group, Report, Severity, grouped
from dedl_workbook.views import tables

if TYPE_CHECKING:
    import jinja2
    import nh3

_TEMPLATES = Path(__file__).with_name("templates")
_HIDDEN = {"front-matter", "parameters"}
"""The front matter is for catalogues of notebooks; the defaults were overruled by the ticket."""
_MARKUP = ("text/html", "image/svg+xml")
_SHOWN = (*_MARKUP, "image/png", "image/jpeg", "text/plain")
_SVG = {
    "circle": {"cx", "cy", "r"},
    "ellipse": {"cx", "cy", "rx", "ry"},
    "g": set(),
    "line": {"x1", "x2", "y1", "y2"},
    "path": {"d"},
    "polygon": {"points"},
    "polyline": {"points"},
    "rect": {"height", "rx", "ry", "width", "x", "y"},
    "svg": {"height", "viewBox", "width", "x", "y", "xmlns"},
    "text": {"text-anchor", "x", "y"},
    "title": set(),
    "tspan": {"dx", "dy", "x", "y"},
}
"""The elements that pictures are drawn with, and their attributes: none moves, runs or fetches."""
_DRAWN = {
    *("fill", "fill-opacity", "fill-rule", "font-family", "font-size", "font-weight", "opacity"),
    *("stroke", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "stroke-opacity"),
    *("stroke-width", "text-anchor"),
}
"""What any drawn element may have."""
_EVERYWHERE = {"aria-hidden", "aria-label", "class", "dir", "id", "lang", "role", "style", "title"}
_OWN = {
    "a": {"href"},
    "col": {"span"},
    "colgroup": {"span"},
    "details": {"open"},
    "img": {"alt", "height", "src", "width"},
    "ol": {"start"},
    "table": {"border"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan", "scope"},
    "time": {"datetime"},
}
_WITHOUT_TEXT = {"script", "style", "template", "textarea", "xmp", "noscript"}
"""Elements of which not even the text is for readers."""
_PROPERTIES = {
    *("background", "background-color", "border", "border-bottom", "border-collapse"),
    *(
        "border-left",
        "border-radius",
        "border-right",
        "border-top",
        "color",
        "display",
        "font",
        "gap",
    ),
    *("font-family", "font-size", "font-style", "font-weight", "height", "image-rendering"),
    *("line-height", "margin", "overflow-wrap"),
    *("margin-left", "margin-right", "max-height", "max-width", "min-width", "overflow-x"),
    *("padding", "padding-left", "padding-right", "text-align", "text-decoration"),
    *("vertical-align", "white-space", "width"),
}
"""What a style attribute may set: colours, type and boxes; nothing that leaves its place."""
_PLAIN_STYLE = re.compile(r"(?:[^\\()\"'@<>/]|rgba?\([\d\s.,%]*\))*", re.IGNORECASE)
"""A style that calls no function but a colour: an escape could spell url(), which fetches."""


def write(file: Path, redactor: Redactor) -> None:
    """Write the page of an executed notebook beside it, free of secrets; nothing if there is none.

    Raises:
        OSError: it can't be written; `evidence pack` makes the pages that are missing.
    """
    if file.is_file():
        write_atomic(file.with_suffix(".html"), redactor.text(of_notebook(file)))


def of_notebook(file: Path) -> str:
    """Return the page of an executed notebook."""
    import nbformat
    from markupsafe import Markup
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    notebook = nbformat.read(file, as_version=4)
    notebook.cells = [c for c in notebook.cells if not _HIDDEN & set(c.metadata.get("tags", []))]
    for output in (o for cell in notebook.cells for o in cell.get("outputs", [])):
        # Each by itself, so that what one leaves open ends with it.
        for kind in set(_MARKUP) & set(output.get("data", {})):
            output.data[kind] = clean(output.data[kind])
        if "data" in output and not set(_SHOWN) & set(output.data):
            output.data["text/plain"] = f"Not shown here: {', '.join(sorted(output.data))}"
    # No script, no widget: what is shown is what was kept as markup, image or text.
    settings = Config({"NbConvertBase": {"display_data_priority": list(_SHOWN)}})
    exporter = HTMLExporter(config=settings, template_name="basic", embed_images=True)
    body, _ = exporter.from_notebook_node(notebook)
    title = str(notebook.metadata.get("title", "")) or file.parent.name
    safe = Markup(clean(str(body)))  # noqa: S704
    return render(_TEMPLATES / "notebook.html", title=title, body=safe)


def of_plan(ticket: str, collection: str, case_plan: Mapping[str, Any]) -> str:
    """Return the page of a case plan: all that its digest covers, for whoever approves it."""
    from markupsafe import Markup

    view = tables.case_plan(case_plan)
    return render(
        _TEMPLATES / "plan.html",
        title=f"Plan of {ticket}: {collection}",
        refused=case_plan.get("refused", ""),
        asked=case_plan.get("describes", {}).get("ticket", {}),
        steps=Markup(view.markup),  # noqa: S704
    )


MOST_PLACES = 20
"""Places of like findings that a page names."""
_MEANINGS = {
    Severity.ERROR: ("Errors", "Each of them stops the promotion."),
    Severity.WARNING: ("Warnings", "They stop nothing; look at each, as it may be a slip."),
    Severity.INFO: ("Notes", "Nothing has to be done."),
}
_WAIVED = ("Waived", "They stop nothing: the ticket waives their rules.")


def of_report(report: Report) -> str:
    """Return the page of a validation, which can be sent to whoever delivered the dataset."""
    from dedl_workbook.rules.rulebook import RULES

    sections: dict[tuple[str, str], dict[str, list[Group]]] = {}
    for group in grouped(report.findings, MOST_PLACES):
        meaning = _WAIVED if group.finding.waived else _MEANINGS[group.finding.severity]
        sections.setdefault(meaning, {}).setdefault(group.finding.rule, []).append(group)
    facts = tables.report_facts(report)
    # The path is one of this machine, which is none of the reader's business.
    facts.pop("dataset")
    return render(
        _TEMPLATES / "report.html",
        title=f"Validation of {printable(PurePath(report.dataset).name)}",
        verdict="passed" if report.passed else "failed",
        counts=tables.report_counts(report),
        facts=facts,
        sections=sections,
        titles={rule.id: rule.title for rule in RULES.values()},
        printable=printable,
        version=__version__,
        now=f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC",
    )


def render(template: Path, **values: Any) -> str:
    """Return a page of its own from a template; a value is text unless it is `Markup`.

    Templates extend `page.html`, and have the tables of `views.tables` as functions.
    """
    return _environment(template.parent).get_template(template.name).render(values)


@cache
def _environment(folder: Path) -> jinja2.Environment:
    import jinja2
    from markupsafe import Markup, escape

    def as_markup(function: Callable[..., str]) -> Callable[..., str]:
        return lambda *values, **named: Markup(function(*values, **named))  # noqa: S704

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (tables.badge, tables.cell, tables.diff, tables.pairs, tables.table):
        environment.globals[function.__name__] = as_markup(function)
    environment.globals["details"] = as_markup(lambda t, body: tables.details(t, escape(body)))
    return environment


def clean(markup: str) -> str:
    """Return markup with the elements, attributes and styles of a list, all of them closed.

    What is not on the list goes; its text stays. Nothing that is left runs, moves, fetches from
    elsewhere, or leaves the place that the markup is put into.
    """
    return _cleaner().clean(markup)


@cache
def _cleaner() -> nh3.Cleaner:
    import nh3

    attributes = {name: own | _DRAWN for name, own in _SVG.items()} | _OWN
    return nh3.Cleaner(
        tags=nh3.ALLOWED_TAGS | set(_SVG),
        attributes=attributes | {"*": _EVERYWHERE},
        clean_content_tags=_WITHOUT_TEXT,
        attribute_filter=_attribute,
        filter_style_properties=_PROPERTIES,
        url_schemes={"http", "https", "mailto", "data"},
        link_rel=None,
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Return the value of an attribute on the list; None where the value is not allowed there."""
    plain = re.sub(r"[\s\x00-\x1f]+", "", value).lower()
    if name == "style" or (name in _DRAWN and tag in _SVG):
        return value if _PLAIN_STYLE.fullmatch(value) else None
    if name == "src":
        return value if plain.startswith("data:image/") else None
    if name == "href":
        # A link is followed by the reader, not by the page.
        return None if plain.startswith("data:") else value
    return value
