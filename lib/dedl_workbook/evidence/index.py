"""Index: the page of a bag that a person reads first."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dedl_workbook import __version__
from dedl_workbook.base import times
from dedl_workbook.base.errors import EvidenceError, NotApprovedError
from dedl_workbook.base.text import amount, number
from dedl_workbook.publication.job import Action, StepName, Verdict
from dedl_workbook.publication.standing import Standing, State, standing
from dedl_workbook.rules.findings import Report
from dedl_workbook.steps.order import STEPS
from dedl_workbook.views import maps, pages, tables

if TYPE_CHECKING:
    from dedl_workbook.case.case import Case

Lines = Sequence[Mapping[str, Any]]
_ALL = 1_000_000
"""Rows of a table that is never cut."""


def page(case: Case, lines: list[dict[str, Any]], files: set[str]) -> str:
    """Return the page: verdict, publication, plan and approval, timeline, attempts, how to check.

    Args:
        case: whose evidence it is.
        lines: of its ledger.
        files: the names of what is packed, for links.
    """
    records = _Records(case.folder)
    ticket, now = case.ticket, standing(lines)
    title = f"{ticket.ticket}: {ticket.collection}"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="lead">{tables.badge(now.words)} {html.escape(sentence(now))}</p>',
        '<nav><a href="#published">Published</a><a href="#plan">Plan and approval</a>'
        '<a href="#validation">Validation</a><a href="#timeline">Timeline</a>'
        '<a href="#attempts">Attempts</a><a href="#check">How to check this</a></nav>',
        _steps(now),
        '<h2 id="published">What was asked for, and what was published where</h2>',
        _published(case, now, records, files),
        '<h2 id="plan">Plan and approval</h2>',
        _approvals(lines),
        _plan(case, lines),
        '<h2 id="validation">Validation</h2>',
        _validation(now, records),
        '<h2 id="timeline">Timeline</h2>',
        tables.table(_TIMELINE, [_timeline_row(x) for x in lines], most=_ALL),
        '<h2 id="attempts">Attempts</h2>',
        "".join(_attempts(lines, records, files)),
        '<h2 id="check">How to check this</h2>',
        _check(case),
        f"<footer>Packed {times.now()} by dedl-workbook {__version__}.</footer>",
    ]
    from markupsafe import Markup

    template = Path(__file__).with_name("index.html")
    return pages.render(template, title=title, body=Markup("".join(parts)))  # noqa: S704


class _Records:
    """What the attempts of a case left: read when it is shown, and never all at once."""

    def __init__(self, case: Path) -> None:
        self._attempts = case / "attempts"

    def of(self, attempt: object, name: str) -> dict[str, Any]:
        """Return a JSON file of an attempt; empty if it has none, or not such a one."""
        try:
            found = json.loads((self._attempts / str(attempt) / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def sentence(now: Standing) -> str:
    """Return where a case stands as one sentence."""
    if sentence := _SENTENCES.get(now.state, ""):
        return sentence.format(by=now.superseded_by)
    if now.state is State.PUBLISHED:
        told = ", and the user was told" if now.told else ". The user was not told yet"
        return f"Published, verified from outside{told}."
    if now.state is State.UNVERIFIED:
        failed = now.outcomes.get(StepName.VERIFY, {}).get("verdict") == Verdict.FAILED
        return f"PUBLISHED, UNVERIFIED: {'the verification failed' if failed else 'not verified'}."
    passed = [name for name in STEPS if name in now.passed]
    waiting = [step for step, line in now.outcomes.items() if line["verdict"] == Verdict.WAITING]
    waits = f" Waiting: {', '.join(waiting)}." if waiting else ""
    live = " A publication of this ticket is live." if now.live else ""
    return f"Passed so far: {', '.join(passed) or 'nothing'}.{waits}{live}"


_SENTENCES = {
    State.WITHDRAWN: "Withdrawn: what was published is gone, and what was there before is back.",
    State.REFUSED: "Refused: the dataset has errors that the submitter has to fix.",
    State.SUPERSEDED: "Superseded: the publication of {by} stands in its place.",
    State.WITHDRAWAL_PLANNED: "Published; a plan to withdraw it waits for its approval.",
    State.WITHDRAWAL_APPROVED: "Published; its withdrawal is approved, and not done yet.",
}


def _steps(now: Standing) -> str:
    rows = []
    for name in [*STEPS, *(name for name in now.outcomes if name not in STEPS)]:
        line = now.outcomes.get(name, {"verdict": "not done", "at": "", "summary": ""})
        rows.append((name, line["verdict"], line["at"], line["summary"]))
    columns = ("step", "verdict", "when (UTC)", "what")
    return tables.table(columns, rows, "Where the steps stand", most=_ALL)


def _published(case: Case, now: Standing, records: _Records, files: set[str]) -> str:
    upload = now.passed.get(StepName.UPLOAD, {})
    uploaded = records.of(upload.get("attempt", ""), "outcome").get("detail", {})
    target = case.target
    rows: dict[str, Any] = {
        "collection": case.ticket.collection,
        "objects": f"s3://{target.s3.bucket}/{case.job.prefix} at {target.s3.endpoint}",
        "catalogue": f"{target.identity()['catalog']}, served by {target.stac_api.url}",
        "HDA": target.hda.url if target.hda else "not of this target",
    }
    if uploaded:
        size = amount(int(uploaded.get("bytes", 0)))
        rows["files"] = f"{int(uploaded.get('files', 0)):,}, {size}"
    links = " · ".join(_link(name, words) for name, words in _LISTS.items() if name in files)
    asked = tables.table((), [(k, _text(v)) for k, v in case.ticket.parameters().items()])
    return f"{tables.pairs(rows)}<p>{links}</p>{_map(case)}{tables.details('The ticket', asked)}"


_LISTS = {
    "sha256sums.txt": "SHA-256 of each published file",
    "items-sha256.txt": "of each published item",
    "collection.json": "the Collection",
}


def _map(case: Case) -> str:
    """Return where on Earth it is: the extent of the published Collection."""
    try:
        document = json.loads((case.folder / "work" / "collection.json").read_bytes())
        boxes = document["extent"]["spatial"]["bbox"]
        return maps.footprints([_outline(box) for box in boxes], "extents").svg
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return ""


def _outline(box: list[float]) -> dict[str, Any]:
    west, south, east, north = (box[n] for n in ((0, 1, 2, 3) if len(box) == 4 else (0, 1, 3, 4)))
    east += 360 if west > east else 0
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _approvals(lines: Lines) -> str:
    rows = [
        (
            x["at"],
            x["operator"],
            x["event"],
            x["digest"][:12],
            ", ".join(x.get("steps", ())),
            x.get("attempt") or x.get("reason", ""),
        )
        for x in lines
        if x["event"] in ("planned", "approved", "refused")
    ]
    columns = ("when (UTC)", "who", "event", "digest of the plan", "of", "attempt or reason")
    return tables.table(columns, rows, most=_ALL)


def _plan(case: Case, lines: Sequence[dict[str, Any]]) -> str:
    """Return what the approved plan lists, and to fold out, what those before it did."""
    try:
        approved = case.approved_plan()
    except NotApprovedError as error:
        return f"<p>{html.escape(error.what)}.</p>"
    last = approved["digest"] if approved else ""
    planned = {line["digest"]: line for line in lines if line["event"] == "planned"}
    before = dict.fromkeys(line["digest"] for line in lines if line["event"] == "approved")
    folded = [
        tables.details(f"Plan {digest[:12]}, approved before", _earlier(case, planned[digest]))
        for digest in before
        if digest != last and digest in planned
    ]
    shown = _listed(approved) if approved else "<p>No plan is approved.</p>"
    return shown + "".join(folded)


def _earlier(case: Case, line: dict[str, Any]) -> str:
    try:
        return _listed(case.read_plan(line))
    except EvidenceError as error:
        return f"<p>{html.escape(str(error))}</p>"


def _listed(plan: Mapping[str, Any]) -> str:
    rows = [
        (step, *tables.action_row(Action(**action)))
        for step, planned in plan["steps"].items()
        for action in planned["actions"]
    ]
    if not rows:
        return "<p>The plan lists no change: all was there already.</p>"
    caption = f"What was approved: {plan['digest']}"
    return tables.table(("step", "does", "what", "how many", "size"), rows, caption, most=_ALL)


def _validation(now: Standing, records: _Records) -> str:
    line = now.outcomes.get(StepName.VALIDATE)
    report = records.of(line["attempt"], "outcome").get("detail", {}).get("report") if line else {}
    try:
        return tables.report(Report.from_json(report)).markup if report else _NO_REPORT
    except (KeyError, TypeError, ValueError):
        return _NO_REPORT


_NO_REPORT = "<p>There is no report of a validation.</p>"
_TIMELINE = ("", "when (UTC)", "who", "where", "event", "what")


def _timeline_row(line: Mapping[str, Any]) -> tuple[str, ...]:
    event = str(line["event"])
    what = str(line.get("digest") or line.get("attempt", ""))
    if event == "refused":
        what += f": {line['reason']}"
    if event == "sealed":
        what += f": {line.get('cells', '')}"
    if event == "outcome":
        event, what = str(line["verdict"]), f"{line['step']}: {line['summary']}"
    if event == "rehearsed":
        what = f"{line['folder']}: {line['verdict']}. {line['summary']}"
    return str(line["seq"]), line["at"], line["operator"], line["host"], event, what


def _of_notebook(line: Mapping[str, Any], ended: bool, cells: str, files: set[str]) -> str:
    """Return what is known of an attempt's notebook: by whom it was run, and which cells of it."""
    by_hand = "Run by hand: " if line.get("by") == "hand" else ""
    if cells:
        note = by_hand + cells
    elif ended and f"attempts/{line['attempt']}/notebook.ipynb" not in files:
        note = "Run by hand: its notebook is not kept here."
    elif ended and by_hand:
        note = "Run by hand: its notebook was not saved after its verdict."
    elif ended:
        note = "Its notebook is damaged: it lies here as it was found, and was never sealed."
    else:
        note = ""
    return f"<p><i>{html.escape(note)}</i></p>" if note else ""


def _attempts(lines: Lines, records: _Records, files: set[str]) -> Iterator[str]:
    outcomes = {x["attempt"]: x for x in lines if x["event"] == "outcome"}
    planned = {x["attempt"]: x for x in lines if x["event"] == "planned"}
    sealed = {x["attempt"]: str(x["cells"]) for x in lines if x["event"] == "sealed"}
    for line in (x for x in lines if x["event"] == "started"):
        name = str(line["attempt"])
        end = outcomes.get(name) or planned.get(name)
        found = str(outcomes.get(name, {}).get("verdict", "planned" if end else "under way"))
        said = str(end.get("summary") or f"Planned {end.get('digest')}") if end else ""
        own = sorted(f for f in files if f.startswith(f"attempts/{name}/"))
        links = " · ".join(_link(f, f.removeprefix(f"attempts/{name}/")) for f in own)
        note = _of_notebook(line, name in outcomes, sealed.get(name, ""), files)
        used = line.get("software", {})
        when = f"{line['at']} to {end['at']}" if end else f"since {line['at']}"
        checks = records.of(name, "outcome").get("checks", [])
        yield (
            f'<div class="attempt {html.escape(found)}" id="{html.escape(name)}">'
            f"<b>{html.escape(name)}</b> {tables.badge(found)} {html.escape(said)}"
            f"<br><small>{html.escape(line['operator'])} on {html.escape(line['host'])}, "
            f"{html.escape(when)}</small>"
            f"{note}<div>{links}</div>{_checks(checks)}"
            f"{tables.details('Software', tables.pairs(used)) if used else ''}</div>"
        )


def _checks(checks: Any) -> str:
    try:
        rows = [("✔" if c["passed"] else "✘", c["name"], c["found"]) for c in checks]
    except (KeyError, TypeError):
        return ""
    table = tables.table(("", "checked", "found"), rows, most=_ALL)
    return tables.details(number(len(rows), "checks"), table) if rows else ""


def _check(case: Case) -> str:
    """Return what to type to be sure that nothing was changed."""
    key = case.target.evidence.signing_key
    signed = (
        "<p>This pack is signed with the key that <code>bag-info.txt</code> names. A file of "
        "signers is needed, as <code>man ssh-keygen</code> has it under ALLOWED SIGNERS:</p>"
        "<pre>dedl-workbook evidence verify . --signers FILE\n\n"
        "ssh-keygen -Y verify -n dedl-evidence -f FILE -I NAME -s tagmanifest-sha256.txt.sig "
        "&lt; tagmanifest-sha256.txt</pre>"
        if key
        else "<p>This pack is not signed. Its digest, as the help desk or the archive has it, "
        "tells whether it is the one that was packed.</p>"
    )
    return (
        "<p>In the folder that holds <code>bagit.txt</code>; the first command needs nothing but "
        "the workbook, the second nothing but a shell:</p>"
        "<pre>dedl-workbook evidence verify . --digest DIGEST\n\n"
        "sha256sum --quiet --check tagmanifest-sha256.txt manifest-sha256.txt</pre>"
        f"{signed}<p>{_link('ledger.jsonl', 'The ledger')} · "
        f"{_link('ro-crate-metadata.json', 'what the files are to each other (RO-Crate)')}</p>"
    )


def _link(name: str, text: str) -> str:
    return f'<a href="{quote(name)}">{html.escape(text)}</a>'


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
