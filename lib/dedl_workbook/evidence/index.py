"""Index: the page of a bag that a person reads first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedl_workbook import __version__
from dedl_workbook.base import times
from dedl_workbook.base.errors import EvidenceError, NotApprovedError
from dedl_workbook.base.text import amount
from dedl_workbook.case.approvals import one_person
from dedl_workbook.parameters.fields import StepName
from dedl_workbook.publication.job import Action, Verdict
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
    report = _report(now, records)
    return pages.render(
        Path(__file__).with_name("index.html"),
        title=f"{ticket.ticket}: {ticket.collection}",
        state=now.words,
        sentence=sentence(now),
        summary=_summary(case, lines, now, records),
        steps=_steps(lines, now),
        lists=[(name, words) for name, words in _LISTS.items() if name in files],
        map=_markup(_map(case)),
        ticket=[(key, _text(value)) for key, value in ticket.parameters().items()],
        approvals=_approvals(lines),
        one_person=one_person(lines),
        plans=_plans(case, lines, files),
        report=_markup(tables.report(report).markup) if report else "",
        timeline=[_timeline_row(line) for line in lines],
        attempts=_attempts(lines, records, files),
        signed=bool(case.target.evidence.signing_key),
        packed=times.now(),
        version=__version__,
        all=_ALL,
    )


def _markup(safe: str) -> str:
    """Return markup of our own as what a template doesn't escape."""
    from markupsafe import Markup

    return Markup(safe)  # noqa: S704


class _Records:
    """What the attempts of a case left: read when it is shown, and never all at once."""

    def __init__(self, case: Path) -> None:
        self._attempts = case / "attempts"

    def of(self, attempt: object, name: str) -> dict[str, Any]:
        """Return a JSON file of an attempt; empty if it has none, or not such a one."""
        try:
            document = json.loads((self._attempts / str(attempt) / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}


def sentence(now: Standing) -> str:
    """Return where a case stands as one sentence."""
    if sentence := _SENTENCES.get(now.state, ""):
        return sentence.format(by=now.superseded_by)
    if now.state is State.PUBLISHED:
        end = ", and the user was told" if now.informed else ". The user was not told yet"
        return f"Published, verified from outside{end}."
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


def _summary(case: Case, lines: Lines, now: Standing, records: _Records) -> list[tuple[str, str]]:
    """Return what a reader asks first, and the answers."""
    ticket, target = case.ticket, case.target
    upload = now.passed.get(StepName.UPLOAD, {})
    uploaded = records.of(upload.get("attempt", ""), "outcome").get("detail", {})
    roles = f": {', '.join(ticket.roles)}" if ticket.roles else ""
    rows = {
        "what": f"{ticket.collection}, {_MODES.get(ticket.mode, ticket.mode)}",
        "data files": f"{int(uploaded.get('files', 0)):,}, {amount(int(uploaded.get('bytes', 0)))}"
        if uploaded
        else "",
        "for whom": f"{ticket.access}{roles}",
        "asked for in": f"the ticket {ticket.ticket}",
        "delivered as": ticket.dataset,
        "the board's decision": f"{ticket.board_reference or 'no reference'}, "
        f"{ticket.board_date or 'no date'}",
        **_people(lines),
        "verdict": f"{now.words}: {sentence(now)}",
        "bound by": _BOUND,
        "objects": f"s3://{target.s3.bucket}/{case.job.prefix} at {target.s3.endpoint}",
        "catalogue": f"{target.identity()['catalog']}, served by {target.stac_api.url}",
        "HDA": target.hda.url if target.hda else "not of this target",
    }
    return [(name, value) for name, value in rows.items() if value]


_BOUND = (
    "collection, items and uploaded files: content, by SHA-256\n"
    "data files between validation and upload: file identity (device, inode, size, times; ETag)"
)
"""How what was validated is known to be what was approved and published."""
_MODES = {"new": "a new collection", "replace": "in place of what was published before"}
_DONE = {"planned": "planned by", "approved": "approved by", "started": "run by"}
"""Events of a publication, and what a person did by them."""


def _people(lines: Lines) -> dict[str, str]:
    """Return who planned, approved and ran it, and when last; and whether that is one person."""
    people: dict[str, dict[str, str]] = {}
    for line in lines:
        if line["event"] in _DONE and line.get("step") != "plan":
            people.setdefault(_DONE[line["event"]], {})[line["operator"]] = line["at"]
    rows = {
        words: "\n".join(f"{name}, {_minute(at)}" for name, at in people[words].items())
        for words in _DONE.values()
        if words in people
    }
    everybody = {name for names in people.values() for name in names}
    if len(people) == len(_DONE) and len(everybody) == 1:
        rows["by one person"] = "Planned, approved and run by the same person."
    return rows


def _minute(at: str) -> str:
    return f"{at[:10]} {at[11:16]} UTC"


def _steps(lines: Lines, now: Standing) -> list[dict[str, Any]]:
    """Return each step with the attempt that did it, and when that was seen again."""
    steps = []
    for name in [*STEPS, *(name for name in now.outcomes if name not in STEPS)]:
        same = _same(lines, now.outcomes.get(name))
        first: Mapping[str, Any] = same[0] if same else {}
        steps.append(
            {
                "name": name,
                "verdict": first.get("verdict", "not done"),
                "at": first.get("at", ""),
                "attempt": first.get("attempt", ""),
                "summary": first.get("summary", ""),
                "again": [(line["at"], line["attempt"]) for line in same[1:]],
            }
        )
    return steps


def _same(lines: Lines, counts: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return the outcomes of a step that say what the one that counts says, in their order.

    Another verdict, another dataset or a withdrawal between them begins anew.
    """
    same: list[Mapping[str, Any]] = []
    if counts is None:
        return same
    for line in (line for line in lines if line["event"] == "outcome"):
        if line["step"] == counts["step"]:
            if all(line.get(key) == counts.get(key) for key in ("verdict", "dataset", "terms")):
                same.append(line)
            elif line["seq"] <= counts["seq"]:
                same.clear()
        elif line["step"] == StepName.WITHDRAW and line["verdict"] == Verdict.PASSED:
            same = [] if line["seq"] < counts["seq"] else same
    return same


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


def _approvals(lines: Lines) -> list[tuple[str, ...]]:
    return [
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


def _plans(case: Case, lines: Sequence[dict[str, Any]], files: set[str]) -> dict[str, Any]:
    """Return the approved plan, or why there is none, and those that were approved before it."""
    try:
        approved = case.approved_plan()
    except NotApprovedError as error:
        return {"problem": f"{error.what}.", "approved": None, "before": []}
    last = approved["digest"] if approved else ""
    planned = {line["digest"]: line for line in lines if line["event"] == "planned"}
    before = dict.fromkeys(line["digest"] for line in lines if line["event"] == "approved")
    earlier = [
        _earlier(case, planned[digest], files)
        for digest in before
        if digest != last and digest in planned
    ]
    problem = "" if approved else "No plan is approved."
    return {
        "problem": problem,
        "approved": _listed(approved, planned.get(last, {}), files) if approved else None,
        "before": earlier,
    }


def _earlier(case: Case, line: dict[str, Any], files: set[str]) -> dict[str, Any]:
    try:
        return _listed(case.read_plan(line), line, files)
    except EvidenceError as error:
        return {"digest": line["digest"], "rows": [], "problem": str(error), "page": ""}


def _listed(plan: Mapping[str, Any], line: Mapping[str, Any], files: set[str]) -> dict[str, Any]:
    """Return what a plan lists, and its page, which has all that its digest covers."""
    page = f"attempts/{line.get('attempt')}/plan.html"
    rows = [
        (step, *tables.action_row(Action(**action)))
        for step, planned in plan["steps"].items()
        for action in planned["actions"]
    ]
    return {
        "digest": plan["digest"],
        "rows": rows,
        "problem": "",
        "page": page if page in files else "",
    }


def _report(now: Standing, records: _Records) -> Report | None:
    line = now.outcomes.get(StepName.VALIDATE)
    report = records.of(line["attempt"], "outcome").get("detail", {}).get("report") if line else {}
    try:
        return Report.from_json(report) if report else None
    except (KeyError, TypeError, ValueError):
        return None


def _timeline_row(line: Mapping[str, Any]) -> tuple[str, ...]:
    event = str(line["event"])
    what = str(line.get("digest") or line.get("attempt", ""))
    if event == "refused":
        what += f": {line['reason']}"
    if event == "sealed":
        what += f": {line.get('cells', '')}"
    if event in ("superseded", "restored"):
        what = f"by {line['by']}" if event == "superseded" else f"{line['by']} was withdrawn"
    if event == "still waiting":
        what = f"{line['step']}: for {line['waiting_for']}, since {line['since']}"
    if event == "outcome":
        event, what = str(line["verdict"]), f"{line['step']}: {line['summary']}"
    if event == "rehearsed":
        what = f"{line['folder']}: {line['verdict']}. {line['summary']}"
    return str(line["seq"]), line["at"], line["operator"], line["host"], event, what


def _of_notebook(line: Mapping[str, Any], ended: bool, cells: str, files: set[str]) -> str:
    """Return what is known of an attempt's notebook: by whom it was run, and which cells of it."""
    by_hand = "Run by hand: " if line.get("by") == "hand" else ""
    if cells:
        return by_hand + cells
    if ended and f"attempts/{line['attempt']}/notebook.ipynb" not in files:
        return "Run by hand: its notebook is not kept here."
    if ended and by_hand:
        return "Run by hand: its notebook was not saved after its verdict."
    if ended:
        return "Its notebook is damaged: it lies here as it was, and was never sealed."
    return ""


def _attempts(lines: Lines, records: _Records, files: set[str]) -> Iterator[dict[str, Any]]:
    outcomes = {x["attempt"]: x for x in lines if x["event"] == "outcome"}
    planned = {x["attempt"]: x for x in lines if x["event"] == "planned"}
    sealed = {x["attempt"]: str(x["cells"]) for x in lines if x["event"] == "sealed"}
    for line in (x for x in lines if x["event"] == "started"):
        name = str(line["attempt"])
        end = outcomes.get(name) or planned.get(name)
        above = f"attempts/{name}/"
        yield {
            "name": name,
            "verdict": str(
                outcomes.get(name, {}).get("verdict", "planned" if end else "under way")
            ),
            "summary": str(end.get("summary") or f"Planned {end.get('digest')}") if end else "",
            "by": f"{line['operator']} on {line['host']}",
            "when": f"{line['at']} to {end['at']}" if end else f"since {line['at']}",
            "note": _of_notebook(line, name in outcomes, sealed.get(name, ""), files),
            "files": [(f, f.removeprefix(above)) for f in sorted(files) if f.startswith(above)],
            "checks": _checks(records.of(name, "outcome").get("checks", [])),
            "software": line.get("software", {}),
        }


def _checks(checks: Any) -> list[tuple[str, str, str]]:
    try:
        return [("✔" if c["passed"] else "✘", c["name"], c["found"]) for c in checks]
    except (KeyError, TypeError):
        return []


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
