"""Rehearsal: the very ticket is published into the embedded data lake, before it is approved.

All its steps run on a data lake of their own, with a copy of the target's HDA configuration. What
came of it is in the case's folder `rehearsal`, beside the plan. The real target is asked for
nothing; of its settings, only HDA's files are read, and a dataset that lies in a bucket.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
from dedl_workbook.views import pages

from dedl_sandbox import oidc
from dedl_sandbox.client import Sandbox
from dedl_sandbox.rehearsal.lake import RehearsalLake, rehearsal_lake
from dedl_sandbox.state import write_private

_ITEMS = 10
"""Items that are shown as HDA serves them."""
_MOST = 50_000
"""Letters of an answer that are shown."""
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
    """Publish a case's ticket into the sandbox, verify it, and keep the answers.

    Raises:
        WorkbookError: it could not be rehearsed.
    """
    with tempfile.TemporaryDirectory(prefix="dedl-rehearsal-") as name:
        root = Path(name)
        say("rehearsal: making a data lake of its own")
        if case.target.hda is not None:
            say(f"rehearsal: copying HDA's configuration from {case.target.hda.folder}")
        with rehearsal_lake(sandbox, root / "hda", case.target.hda) as lake:
            ticket = _write_workbook(case, root, lake)
            _grant(case, sandbox)
            outcomes = _run(ticket, root, lake, say)
            answers = _answers(ticket, lake)
        with lock.hold(case.folder):
            return _keep(case, root, outcomes, answers)


def _write_workbook(case: Case, root: Path, lake: RehearsalLake) -> Ticket:
    """Make a workbook with this one ticket and the rehearsal's lake as its target."""
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
    target |= {"hda": lake.hda} if lake.hda else {}
    ticket = _ticket(case)
    variables = dict(lake.variables)
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


def _run(ticket: Ticket, root: Path, lake: RehearsalLake, say: Say) -> list[Outcome]:
    outcomes: dict[str, Outcome] = {}
    try:
        _run_steps(ticket, root, lake, say, outcomes)
    except WorkbookError as error:
        # The real run would stop there as well; what it came to is worth keeping.
        outcomes["plan"] = Outcome("plan", Verdict.FAILED, str(error))
    return list(outcomes.values())


def _run_steps(
    ticket: Ticket, root: Path, lake: RehearsalLake, say: Say, outcomes: dict[str, Outcome]
) -> None:
    for outcome in runner.run(ticket, root, list(STEPS.values()), say):
        outcomes[outcome.step] = outcome
    if outcomes.get("hda") and outcomes["hda"].verdict is Verdict.WAITING:
        say("rehearsal: HDA reads its configuration again")
        lake.reload_hda()
        for outcome in runner.run(ticket, root, runner.steps_from("hda"), say):
            outcomes[outcome.step] = outcome


def _answers(ticket: Ticket, lake: RehearsalLake) -> dict[str, dict[str, Any]]:
    """Ask HDA, or the STAC API where there is none, as somebody without a token."""
    root = (lake.hda or {}).get("url") or lake.variables["DEDL_REHEARSAL__STAC_API__URL"]
    place, answers = f"collections/{ticket.collection}", {}
    with http.client(follow_redirects=True) as client:
        for name, path in (
            ("collection", place),
            ("items", f"{place}/items?limit={_ITEMS}"),
            ("queryables", f"{place}/queryables"),
        ):
            answer = client.get(f"{root}/{path}")
            body = answer.json() if "json" in answer.headers.get("content-type", "") else None
            answers[name] = {"path": path, "status": answer.status_code, "body": body}
    return answers


def _keep(
    case: Case, root: Path, outcomes: list[Outcome], answers: dict[str, dict[str, Any]]
) -> Rehearsal:
    """Put what is worth keeping into the case's folder, and record it."""
    above = case.folder / "rehearsal"
    above.mkdir(parents=True, exist_ok=True)
    folder = above / next_number(above)
    worked = root / "archive" / case.ticket.ticket
    shutil.copytree(worked, folder, ignore=shutil.ignore_patterns("work", ".lock", "bag"))
    for name, answer in answers.items():
        write_atomic(folder / "hda" / f"{name}.json", pretty(case.redactor.value(answer)))
    for file in folder.rglob("*.html"):
        write_atomic(file, _lasting(file.read_text("utf-8"), worked, root))
    outcomes = [replace(o, summary=_lasting(o.summary, worked, root)) for o in outcomes]
    rehearsal = Rehearsal(outcomes, folder)
    text = _lasting(page(case, rehearsal, answers), worked, root)
    write_atomic(folder / "index.html", case.redactor.text(text))
    last = outcomes[-1] if outcomes else Outcome("", Verdict.FAILED, "no step ran")
    case.record(
        "rehearsed",
        folder=f"rehearsal/{folder.name}",
        verdict="passed" if rehearsal.passed else "failed",
        step=last.step,
        summary=last.summary,
    )
    return rehearsal


def _lasting(text: str, worked: Path, root: Path) -> str:
    """Return a text without paths of the rehearsal's workbook, which is gone when it is read."""
    for path, words in (
        (f"{worked}/", ""),
        (str(worked), "this folder"),
        (f"{root}/", ""),
        (str(root), "the rehearsal's workbook"),
    ):
        text = text.replace(path, words)
    return text


def page(case: Case, rehearsal: Rehearsal, answers: Mapping[str, dict[str, Any]]) -> str:
    """Return the page of a rehearsal: the user's letter, each step's outcome, HDA's answers."""
    letters, requests = _letters(rehearsal.folder)
    return pages.render(
        Path(__file__).with_name("rehearsal.html"),
        title=f"Rehearsal of {case.ticket.ticket}: {case.ticket.collection}",
        verdict="passed" if rehearsal.passed else "failed",
        at=now(),
        target=case.target.name,
        letters=letters,
        outcomes=[(o.step, str(o.verdict), o.summary) for o in rehearsal.outcomes],
        answers=[_answer(name, answer) for name, answer in answers.items()],
        requests=requests,
        notebooks=[
            (file.parent.name, file.relative_to(rehearsal.folder).as_posix())
            for file in sorted(rehearsal.folder.glob("attempts/*/notebook.html"))
        ],
    )


def _letters(folder: Path) -> tuple[list[str], list[str]]:
    """Return the texts that the user would get, and those for others."""
    letters: list[str] = []
    requests: list[str] = []
    for file in sorted(folder.glob("outbox/**/*.txt")):
        if "attachments" in file.relative_to(folder).parts:
            continue
        record = file.with_name("message.json")
        to_user = record.is_file() and not json.loads(record.read_bytes())["internal"]
        (letters if to_user else requests).append(file.read_text("utf-8"))
    return letters, requests


def _answer(name: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows of an answer of HDA."""
    body = answer["body"] if isinstance(answer["body"], dict) else {}
    fields = ("id", "title", "description", "license", "keywords", "extent", "providers")
    return {
        "name": name,
        "path": answer["path"],
        "status": answer["status"],
        "items": [
            (item["id"], item["properties"].get("datetime") or "", "\n".join(item["assets"]))
            for item in body.get("features", [])
        ],
        "fields": {key: body[key] for key in fields if key in body},
        "text": json.dumps(body, indent=1, ensure_ascii=False)[:_MOST],
    }
