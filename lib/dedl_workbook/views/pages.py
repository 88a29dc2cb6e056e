"""Pages: an executed notebook as HTML that opens anywhere, with no server and no network."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path

from dedl_workbook.base.files import write_atomic
from dedl_workbook.base.redact import Redactor

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
"""What a browser lets a page do: be read. No script runs, and nothing is fetched."""
_HIDDEN = {"front-matter", "parameters"}
"""The front matter is for catalogues of notebooks; the defaults were overruled by the ticket."""
_MARKUP = ("text/html", "image/svg+xml")
_SHOWN = (*_MARKUP, "image/png", "image/jpeg", "text/plain")
_DROPPED = {"script", "iframe", "frame", "object", "embed", "link", "base", "meta", "form"} | {
    "textarea",
    "template",
    "noscript",
    "title",
    "xmp",
    "plaintext",
    "html",
    "head",
    "body",
}
_FETCHING = {"src", "srcset", "href", "xlink:href", "background", "poster", "data", "ping"}
_REMOTE_STYLE = re.compile(r"url\(|@import", re.IGNORECASE)
_VOID = {"area", "br", "col", "hr", "img", "input", "source", "track", "wbr"}
STYLE = """
:root{color-scheme:light dark;--line:light-dark(#c8ccd2,#444b55);--soft:light-dark(#f4f5f7,#1d2127)}
body{font:16px/1.5 system-ui,sans-serif;max-width:78em;margin:2em auto;padding:0 1.2em;
background:light-dark(#fff,#14171b);color:light-dark(#1b1f24,#e4e7eb)}
h1{margin:0 0 .3em}h2{margin:2em 0 .5em;border-bottom:1px solid var(--line);padding-bottom:.2em}
a{color:light-dark(#0b5cad,#7db7ff)}code,pre{font:13px/1.45 ui-monospace,monospace}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.3em 0}
table{border-collapse:collapse;margin:.8em 0;display:block;overflow-x:auto;max-width:100%}
td,th{border:1px solid var(--line);padding:4px 9px;vertical-align:top;overflow-wrap:break-word}
th{background:var(--soft);font-weight:600}
caption{text-align:left;font-weight:600;padding:4px 0}details{margin:.5em 0}
"""
_NOTEBOOK_STYLE = """
.highlight{background:var(--soft);border-left:3px solid var(--line);padding:.1em .8em}
.prompt,.anchor-link{display:none}.output_wrapper{margin:.4em 0 1em}
.output_error,.output_stderr{border-left:3px solid #d55e00;padding-left:.8em}
img,svg{max-width:100%;height:auto}
.ansi-red-fg,.ansi-bold{color:light-dark(#b3261e,#ff8a80)}
.highlight .k,.highlight .kn{color:light-dark(#7b2cbf,#c792ea)}
.highlight .s1,.highlight .s2{color:light-dark(#1a7f37,#8ddb8c)}
.highlight .c1{color:light-dark(#6e7781,#9aa4af)}
"""


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
    return page(title, clean(str(body)), _NOTEBOOK_STYLE)


def page(title: str, body: str, style: str = "") -> str:
    """Return a page of its own around some markup that is safe."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}{style}</style></head>\n"
        f"<body>{body}</body></html>\n"
    )


def clean(markup: str) -> str:
    """Return markup without what runs, or fetches from elsewhere; its text stays, and it ends.

    What it opens it closes, and it closes no more: it stays in the place that it is put into.
    """
    cleaner = _Cleaner()
    cleaner.feed(markup)
    cleaner.close()
    return "".join(cleaner.parts) + "".join(f"</{tag}>" for tag in reversed(cleaner.opened))


class _Cleaner(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self.opened: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._script = tag == "script"
        if tag in _DROPPED and not (tag == "title" and "svg" in self.opened):
            return
        kept = [_attribute(name, value) for name, value in attrs if _safe(tag, name, value)]
        self.parts.append(f"<{tag}{''.join(kept)}>")
        if tag not in _VOID:
            self.opened.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        self._script = False
        while tag in self.opened:
            self.parts.append(f"</{self.opened[-1]}>")
            if self.opened.pop() == tag:
                return

    def handle_data(self, data: str) -> None:
        style = self.opened[-1:] == ["style"]
        if not self._script and not (style and _REMOTE_STYLE.search(data)):
            self.parts.append(data.replace("<", "&lt;") if not style else data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")


def _safe(tag: str, name: str, value: str | None) -> bool:
    value = re.sub(r"[\s\x00-\x1f]+", "", value or "").lower()
    if name.startswith("on") or name in ("srcdoc", "formaction", "action"):
        return False
    if name == "style":
        return not _REMOTE_STYLE.search(value)
    if name not in _FETCHING:
        return True
    if tag == "a" and name == "href":
        # A link is followed by the reader, not by the page.
        return not value.startswith(("javascript:", "data:", "vbscript:"))
    return value.startswith(("data:image/", "#"))


def _attribute(name: str, value: str | None) -> str:
    return f" {name}" if value is None else f' {name}="{html.escape(value)}"'
