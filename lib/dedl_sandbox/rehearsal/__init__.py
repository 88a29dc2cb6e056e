"""Rehearsal: the very ticket is published into the embedded data lake, before it is approved.

All its steps run on a stage of their own, with a copy of the target's HDA configuration. What came
of it is kept in the case's folder `rehearsal`, beside the plan. The real target is never asked for
anything; of its settings, only HDA's files are read, and a dataset that lies in a bucket.
"""

from __future__ import annotations

import datetime as dt
import html
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dedl_workbook.base import http
from dedl_workbook.base.errors import WorkbookError
from dedl_workbook.base.files import next_number, write_atomic
from dedl_workbook.base.json import pretty
from dedl_workbook.base.times import now
from dedl_workbook.case import lock
from dedl_workbook.case.case import Case
from dedl_workbook.notebooks import runner
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.steps.order import STEPS
from dedl_workbook.views import pages, tables

from dedl_sandbox import oidc
from dedl_sandbox.client import Sandbox
from dedl_sandbox.rehearsal.lake import Stage, stage
from dedl_sandbox.state import write_private

_ITEMS = 10
"""Items that are shown as HDA serves them."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Rehearsal:
    """How it went, and where it is kept."""

    outcomes: list[Outcome]
    folder: Path

    @property
    def passed(self) -> bool:
        """Whether every step did."""
        return all(outcome.verdict is Verdict.PASSED for outcome in self.outcomes)


def rehearse(case: Case, sandbox: Sandbox, say: Say) -> Rehearsal:
    """Publish a case's ticket into the sandbox, verify it, and keep what was seen.

    Raises:
        WorkbookError: it could not be rehearsed.
    """
    with tempfile.TemporaryDirectory(prefix="dedl-rehearsal-") as name:
        root = Path(name)
        say("rehearsal: setting the stage")
        with stage(sandbox, root / "hda", case.target.hda) as made:
            ticket = _write_workbook(case, root, made)
            _grant(case, sandbox)
            outcomes = _run(ticket, root, made, say)
            seen = _as_users_see(ticket, made)
        with lock.hold(case.folder):
            return _kept(case, root, outcomes, seen)


def _write_workbook(case: Case, root: Path, made: Stage) -> Ticket:
    """Make a workbook with this one ticket and the stage as its target."""
    for folder in ("targets", "tickets"):
        (root / "parameters" / folder).mkdir(parents=True)
    for linked in ("notebooks", "requirements", "parameters/keywords.yaml"):
        if (case.root / linked).exists():
            (root / linked).symlink_to((case.root / linked).resolve())
    target: dict[str, Any] = {
        "name": "rehearsal",
        "description": f"The embedded data lake, in place of {case.target.name}",
        "s3": {},
        "catalog": {},
        "stac_api": {},
        "archive": "archive",
        "allow_any_approval": True,
        "rules": dict(case.target.rules),
    }
    target |= {"hda": made.hda} if made.hda else {}
    ticket = _ticket(case)
    variables = dict(made.variables)
    if ticket.dataset.startswith("s3://"):
        delivered = case.target.proposals or case.target.s3
        target["proposals"] = {"endpoint": delivered.endpoint, "region": delivered.region}
        if delivered.ca_bundle:
            target["proposals"]["ca_bundle"] = str(delivered.ca_bundle)
        for key in ("access_key", "secret_key"):
            secret = getattr(delivered, key).get_secret_value()
            variables[f"DEDL_REHEARSAL__PROPOSALS__{key.upper()}"] = secret
    file = root / "parameters" / "targets" / "rehearsal.yaml"
    file.write_text(yaml.safe_dump(target), encoding="utf-8")
    write_private(root / ".env", "".join(f"{k}='{v}'\n" for k, v in variables.items()))
    return ticket


def _ticket(case: Case) -> Ticket:
    """Return the ticket as it is rehearsed: nothing else than where it goes, and the approval."""
    values = case.ticket.parameters() | {"target": "rehearsal", "approve": "any"}
    if "://" not in case.ticket.dataset:
        values["dataset"] = str(case.root / case.ticket.dataset)
    today = dt.datetime.now(dt.UTC).date()
    date = case.ticket.board_date
    if not case.ticket.board_reference or date is None or date > today:
        # The board may want to see the rehearsal first.
        values |= {"board_reference": "rehearsal", "board_date": today.isoformat()}
    return Ticket.of(values, "the rehearsal")


def _grant(case: Case, sandbox: Sandbox) -> None:
    """Do what the IAM service will do for the real target."""
    for role in case.ticket.roles:
        oidc.grant(sandbox.folder, oidc.USER, role)


def _run(ticket: Ticket, root: Path, made: Stage, say: Say) -> list[Outcome]:
    outcomes: dict[str, Outcome] = {}
    try:
        _run_steps(ticket, root, made, say, outcomes)
    except WorkbookError as error:
        # The real run would stop there as well; what was seen so far is worth keeping.
        outcomes["plan"] = Outcome("plan", Verdict.FAILED, str(error))
    return list(outcomes.values())


def _run_steps(
    ticket: Ticket, root: Path, made: Stage, say: Say, outcomes: dict[str, Outcome]
) -> None:
    for outcome in runner.run(ticket, root, list(STEPS.values()), say):
        outcomes[outcome.step] = outcome
    if outcomes.get("hda") and outcomes["hda"].verdict is Verdict.WAITING:
        say("rehearsal: HDA reads its configuration again")
        made.reload_hda()
        for outcome in runner.run(ticket, root, runner.steps_from("hda"), say):
            outcomes[outcome.step] = outcome


def _as_users_see(ticket: Ticket, made: Stage) -> dict[str, Any]:
    """Ask HDA, or the STAC API where there is none, as somebody without a token."""
    root = (made.hda or {}).get("url") or made.variables["DEDL_REHEARSAL__STAC_API__URL"]
    place, seen = f"collections/{ticket.collection}", {}
    with http.client(follow_redirects=True) as client:
        for name, path in (
            ("collection", place),
            ("items", f"{place}/items?limit={_ITEMS}"),
            ("queryables", f"{place}/queryables"),
        ):
            answer = client.get(f"{root}/{path}")
            shown = answer.json() if "json" in answer.headers.get("content-type", "") else None
            seen[name] = {"path": path, "status": answer.status_code, "body": shown}
    return seen


def _kept(case: Case, root: Path, outcomes: list[Outcome], seen: dict[str, Any]) -> Rehearsal:
    """Put what is worth keeping into the case's folder, and record it."""
    above = case.folder / "rehearsal"
    above.mkdir(parents=True, exist_ok=True)
    folder = above / next_number(above)
    worked = root / "archive" / case.ticket.ticket
    shutil.copytree(worked, folder, ignore=shutil.ignore_patterns("work", ".lock", "bag"))
    for name, answer in seen.items():
        write_atomic(folder / "hda" / f"{name}.json", pretty(case.redactor.value(answer)))
    rehearsal = Rehearsal(outcomes, folder)
    write_atomic(folder / "index.html", case.redactor.text(page(case, rehearsal, seen)))
    last = outcomes[-1] if outcomes else Outcome("", Verdict.FAILED, "no step ran")
    case.record(
        "rehearsed",
        folder=f"rehearsal/{folder.name}",
        verdict="passed" if rehearsal.passed else "failed",
        step=last.step,
        summary=last.summary,
    )
    return rehearsal


def page(case: Case, rehearsal: Rehearsal, seen: dict[str, Any]) -> str:
    """Return the page of a rehearsal: what came of each step, and HDA as users will see it."""
    ticket = case.ticket
    title = f"Rehearsal of {ticket.ticket}: {ticket.collection}"
    rows = [(o.step, str(o.verdict), o.summary) for o in rehearsal.outcomes]
    notebooks = sorted(rehearsal.folder.glob("attempts/*/notebook.html"))
    links = "".join(
        f'<li><a href="{n.relative_to(rehearsal.folder)}">{html.escape(n.parent.name)}</a></li>'
        for n in notebooks
    )
    letters = sorted(rehearsal.folder.glob("outbox/**/*.txt"))
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{tables.badge('passed' if rehearsal.passed else 'failed')} in the embedded data lake, "
        f"{now()}. {html.escape(case.target.name)} was not touched.</p>",
        tables.table(("step", "verdict", "what"), rows),
        "<h2>HDA, as users without a token will see it</h2>",
        *(_seen(name, answer) for name, answer in seen.items()),
        "<h2>What the user would be told</h2>" if letters else "",
        *(f"<pre>{html.escape(letter.read_text('utf-8'))}</pre>" for letter in letters),
        f"<h2>Notebooks</h2><ul>{links}</ul>",
    ]
    return pages.page(title, "".join(parts))


def _seen(name: str, answer: dict[str, Any]) -> str:
    head = f"<h3>{name}: {html.escape(answer['path'])} answers {answer['status']}</h3>"
    body = answer["body"] if isinstance(answer["body"], dict) else {}
    if answer["status"] != 200:
        return head + "<p>Nothing is shown to whoever has no token with the role.</p>"
    if name == "items":
        rows = [
            (item["id"], item["properties"].get("datetime") or "", "\n".join(item["assets"]))
            for item in body.get("features", [])
        ]
        table = tables.table(("item", "when", "assets"), rows)
        return head + table + tables.details("The answer", _json(body))
    shown = ("id", "title", "description", "license", "keywords", "extent", "providers")
    told = {key: body[key] for key in shown if key in body}
    return head + (tables.pairs(told) if told else "") + tables.details("The answer", _json(body))


def _json(body: object) -> str:
    return f"<pre>{html.escape(json.dumps(body, indent=1, ensure_ascii=False)[:50_000])}</pre>"
