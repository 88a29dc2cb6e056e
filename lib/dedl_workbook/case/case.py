"""Case: the folder of a ticket, with its ledger, attempts, approval, gates and lock.

<archive of the target>/DEDL-1/
  ledger.jsonl     what happened, chained
  attempts/        one numbered folder an attempt, never overwritten
  work/            what steps keep for going on after a crash; no evidence
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dedl_workbook.base import files
from dedl_workbook.base.errors import EvidenceError, GateError, InputError, NotApprovedError
from dedl_workbook.base.files import next_number, write_atomic
from dedl_workbook.base.json import digest, pretty
from dedl_workbook.base.progress import Tell, silent
from dedl_workbook.base.redact import Pseudonyms, Redactor
from dedl_workbook.base.times import now, today
from dedl_workbook.case import approvals, ledger, lock, plans, provenance, supersession
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import DEFAULTS, DEFAULTS_VERSION, Ticket
from dedl_workbook.parameters.yaml_files import workbook_root
from dedl_workbook.publication.job import Cause, Job, Outcome, Plan, Verdict
from dedl_workbook.publication.standing import Move, Standing, standing
from dedl_workbook.rules.findings import PAGE, Report
from dedl_workbook.steps import notify
from dedl_workbook.steps.order import PUBLISHING, RETIRE, STEPS, UPLOAD, WITHDRAW, Step
from dedl_workbook.views import pages

_OPERATORS = "work/operators.txt"
"""Where the names of those who work on a case are kept, if its evidence has pseudonyms for them."""


@dataclass(frozen=True)
class Case:
    """One ticket's publication, as the archive knows it."""

    ticket: Ticket
    target: Target
    root: Path
    tell: Tell = field(default=silent, compare=False)

    @classmethod
    def of(cls, ticket: Ticket, root: Path | None = None, tell: Tell = silent) -> Case:
        """Return the case of a ticket.

        Raises:
            InputError: the ticket's target is unknown, lacks a value, or allows no such approval.
        """
        root = root or workbook_root()
        target = Target.load(ticket.target, root)
        strict = target.approvals.by_another or target.approvals.signed
        anybody = target.allow_any_approval and not strict
        if ticket.approve == "any" and not anybody:
            raise InputError(
                f"approve: 'any' is not allowed on the target {target.name}",
                where=f"ticket {ticket.ticket}",
                remedy="Leave it empty, or name the digest of a case plan.",
            )
        if target.evidence.group:
            files.restrict(target.archive, target.evidence.group)
        return cls(ticket, target, root, tell)

    @property
    def folder(self) -> Path:
        """The case's folder in the target's archive."""
        return self.target.archive / self.ticket.ticket

    @property
    def ledger_file(self) -> Path:
        """The file of the ledger."""
        return self.folder / "ledger.jsonl"

    def ledger(self) -> list[dict[str, Any]]:
        """Return the ledger's lines, checked."""
        return ledger.read(self.ledger_file)

    @cached_property
    def redactor(self) -> Redactor:
        """Knows the target's secrets."""
        return Redactor(self.target.secrets())

    @cached_property
    def people(self) -> Pseudonyms:
        """Puts pseudonyms for people, where the target wants that."""
        settings, iam = self.target.evidence, self.target.iam
        if settings.people == "keep":
            return Pseudonyms("")
        accounts = [login.user for login in (iam.login, iam.outsider) if login] if iam else []
        names = [*self._me(), *self._operators(), *accounts]
        return Pseudonyms(settings.pseudonym_key.get_secret_value(), names)

    def _operators(self) -> list[str]:
        """Return who worked on the case: their notebooks hold names that the ledger doesn't."""
        file = self.folder / _OPERATORS
        return file.read_text("utf-8").splitlines() if file.is_file() else []

    @staticmethod
    def _me() -> list[str]:
        """Return the names of who works now: as claimed, and as the machine knows them."""
        account = provenance.account()
        names = (provenance.who()["operator"], account["login"], account.get("hub", ""))
        return list(dict.fromkeys(name for name in names if name))

    def _remember_operator(self) -> None:
        known = self._operators()
        new = [name for name in self._me() if name not in known] if self.people else []
        if new:
            file = self.folder / _OPERATORS
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as names:
                names.writelines(f"{name}\n" for name in new)

    @cached_property
    def job(self) -> Job:
        """The job of this ticket, with the state before that the approved plan recorded."""
        before: dict[str, Any] = {}
        for kind in ("", RETIRE.name):
            # What can't be relied on doesn't count; planning anew is the way out.
            with suppress(NotApprovedError, EvidenceError):
                steps = (self.approved_plan(kind) or {}).get("steps", {})
                before |= {name: step["before"] for name, step in steps.items()}
        folder = self.folder / "work"
        folder.mkdir(parents=True, exist_ok=True)
        events = tuple(self.ledger())
        return Job(self.ticket, self.target, folder, self.root, before, self.tell, events)

    def record(self, event: str, **values: Any) -> dict[str, Any]:
        """Append an event to the ledger: who, where, when and what, free of secrets."""
        entry = {"at": now(), "event": event, **provenance.who(), **provenance.account()}
        clean = self.people.value(self.redactor.value(entry | values))
        return ledger.append(self.ledger_file, clean)

    def write(self, path: Path, value: Any) -> None:
        """Write a JSON file of the case, free of secrets."""
        write_atomic(path, pretty(self.redactor.value(value)))

    # Attempts

    def new_attempt(self, name: str, by: str = "run") -> Path:
        """Make the next numbered attempt folder, and record that it was started.

        Args:
            name: the step, or 'plan'.
            by: 'run' when the workbook runs it; 'hand' when a person runs its notebook.
        """
        attempts = self.folder / "attempts"
        attempts.mkdir(parents=True, exist_ok=True)
        self._record_cut_off()
        self._remember_operator()
        while True:
            folder = attempts / f"{next_number(attempts)}-{name}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            break
        self.record(
            "started",
            step=name,
            attempt=folder.name,
            by=by,
            ticket=self.ticket.parameters(),
            software=provenance.software(self.root),
        )
        return folder

    def _record_cut_off(self) -> None:
        """Record attempts whose process died before a verdict: they have failed.

        One that died before it could record its start did nothing: its empty folder goes.
        """
        lines = self.ledger()
        started = {line["attempt"] for line in lines if line["event"] == "started"}
        for folder in (self.folder / "attempts").iterdir():
            if folder.name not in started:
                with suppress(OSError):
                    folder.rmdir()
        ended = {line["attempt"] for line in lines if line["event"] in ("outcome", "planned")}
        for line in lines:
            if line["event"] == "started" and line["attempt"] not in ended:
                folder = self.folder / "attempts" / line["attempt"]
                why = "Cut off: its process died, or was ended, before a verdict."
                cut_off = Outcome(line["step"], Verdict.FAILED, why, cause=Cause.ERROR)
                self.record_outcome(folder, cut_off, "")

    def record_outcome(self, attempt: Path, outcome: Outcome, dataset: str) -> None:
        """Write an attempt's outcome into its folder and the ledger."""
        self.write(attempt / "outcome.json", outcome.as_json())
        if page := _report_page(outcome):
            write_atomic(attempt / PAGE, self.redactor.text(page))
        self.record(
            "outcome",
            step=outcome.step,
            attempt=attempt.name,
            verdict=str(outcome.verdict),
            summary=outcome.summary,
            dataset=dataset,
            terms=terms(self.ticket, self.target),
            **({"waiting_for": outcome.waiting_for} if outcome.waiting_for else {}),
            **({"since": outcome.since} if outcome.since else {}),
            **({"cause": str(outcome.cause)} if outcome.cause is not Cause.CHECKS else {}),
        )
        replaces = self.ticket.mode == "replace" or outcome.step == WITHDRAW.name
        if replaces and outcome.verdict is Verdict.PASSED:
            supersession.tell_others(self)

    # Gates

    def standing(self) -> Standing:
        """Return where the case stands."""
        running = bool(lock.holder(self.folder))
        return standing(self.ledger(), running=running)

    def last_outcome(self, step: str) -> dict[str, Any]:
        """Return the outcome that counts of a step; empty if there is none."""
        return dict(standing(self.ledger()).outcomes.get(step, {}))

    def passed(self, step: str, dataset: str) -> bool:
        """Whether the last outcome of a step is passed, for that dataset and these terms."""
        last = self.last_outcome(step)
        return (
            last.get("verdict") == Verdict.PASSED
            and last.get("dataset") == dataset
            and last.get("terms") == terms(self.ticket, self.target)
        )

    def gate_needs(self, step: Step) -> None:
        """Let a step start only when those that it needs have passed for the same dataset.

        Raises:
            GateError: naming the steps that have not.
        """
        if step.tells and standing(self.ledger()).unpublished:
            return
        missing = [name for name in step.needs if not self.passed(name, self.job.fingerprint)]
        if missing:
            raise GateError(
                f"{step.name} may not start: {' and '.join(missing)} "
                f"{'has' if len(missing) == 1 else 'have'} not passed for the dataset as it is",
                where=self.ticket.ticket,
                remedy=f"Run {missing[0]} first: dedl-workbook run {self.ticket.ticket}",
            )

    def gate_board(self) -> None:
        """Let nothing be changed without the review board's decision.

        Raises:
            GateError: no reference, no date, or a date in the future.
        """
        reference, date = self.ticket.board_reference, self.ticket.board_date
        where = f"ticket {self.ticket.ticket}"
        if not reference or date is None:
            raise GateError(
                "the review board's decision is missing: nothing may be changed",
                where=where,
                remedy="Set board_reference and board_date in the ticket's file.",
            )
        if date > today():
            raise GateError(
                f"the review board's decision is dated in the future: {date}",
                where=where,
                remedy="Fix board_date in the ticket's file, or wait for the board.",
            )

    def gate_approval(self, plan: Plan) -> None:
        """Let a plan be applied only if it is part of the case plan that was approved.

        Raises:
            NotApprovedError: nothing was approved, or something changed since; says what.
        """
        if self.ticket.approve == "any":
            return
        command = plan.step if plan.step in (WITHDRAW.name, RETIRE.name) else Move.PLAN
        remedy = f"Read the plan and approve it: dedl-workbook {command} {self.ticket.ticket}"
        approved = self.approved_plan(plan.step)
        if approved is None:
            raise NotApprovedError("no plan is approved: nothing was changed", remedy=remedy)
        now_is = {**self.terms_of_plan(approved["steps"]), "step": plan.digest}
        then = {key: approved.get(key) for key in now_is}
        then["step"] = approved["steps"].get(plan.step, {}).get("digest")
        words = {
            "ticket": _changed_terms(then["ticket"]),
            "dataset": "the dataset",
            "target": "the target",
            "step": f"what {plan.step} would do, or the state that it found,",
        }
        changed = [words[key] for key in now_is if now_is[key] != then[key]]
        if changed:
            raise NotApprovedError(
                f"{' and '.join(changed)} changed since the approval of "
                f"{approved['digest'][:12]}: it is void, nothing was changed",
                remedy=remedy,
            )
        if self.target.approvals.by_another:
            me = self.people.value(provenance.who() | provenance.account())
            approvals.require_another_approver(self.ledger(), approved["digest"], me)
        if (settings := self.target.approvals).signed:
            name, given = self.ticket.ticket, approved["digest"]
            approvals.require_signature(self.ledger(), name, given, settings)

    def gate_published(self, withdrawal: Plan) -> None:
        """Let no withdrawal be told of where nothing was ever published.

        Raises:
            GateError: nothing stands, and no step that publishes was ever started.
        """
        steps = {line.get("step") for line in self.ledger() if line["event"] == "started"}
        if not withdrawal.actions and not steps & set(PUBLISHING):
            raise GateError(
                "nothing of this ticket was ever published: there is nothing to withdraw",
                where=self.ticket.ticket,
                remedy=f"See where it stands: dedl-workbook status {self.ticket.ticket}",
            )

    # The case plan

    def terms_of_plan(self, steps: Iterable[str]) -> dict[str, Any]:
        """Return what a plan of these steps is bound to besides them.

        What is withdrawn, or refused, doesn't depend on what the submitter's folder holds by now.
        """
        bound = {
            "ticket": terms(self.ticket, self.target),
            "target": digest(self.target.identity()),
        }
        return bound | ({"dataset": self.job.fingerprint} if UPLOAD.name in steps else {})

    def plan(self) -> dict[str, Any]:
        """Plan all changing steps at once and keep the case plan as an attempt.

        When the dataset was refused, the one change to plan is to tell the user.

        Returns:
            The case plan as JSON, with `digest`: what an approval names.
        """
        if standing(self.ledger()).unpublished == "refused":
            return self._keep_plan([notify.plan(self.job, "refused")])
        changes = [step.change for step in STEPS.values() if step.change and not step.tells]
        planned = [change().plan(self.job) for change in changes]
        return self._keep_plan([*planned, notify.plan(self.job, "accepted")])

    def plan_withdrawal(self) -> dict[str, Any]:
        """Plan to take this ticket's publication back, and to tell the user; keep the plan.

        Returns:
            The plan as JSON, with `digest`: what an approval names.

        Raises:
            GateError: there is nothing to take back, and never was.
        """
        from dedl_workbook.steps import withdraw

        plan = withdraw.plan(self.job)
        self.gate_published(plan)
        return self._keep_plan([plan, notify.plan(self.job, "withdrawn")])

    def plan_retirement(self) -> dict[str, Any]:
        """Plan to delete the objects that this ticket wrote and no longer needs; keep the plan.

        Returns:
            The plan as JSON, with `digest`: what an approval names.

        Raises:
            GateError: what was uploaded last may still be needed.
        """
        from dedl_workbook.steps import retire

        return self._keep_plan([retire.plan(self.job)])

    def _keep_plan(self, planned: list[Plan]) -> dict[str, Any]:
        steps = {plan.step: plan.as_json() for plan in planned}
        case_plan: dict[str, Any] = {**self.terms_of_plan(steps), "steps": steps}
        case_plan["digest"] = plans.digest_of(case_plan)
        case_plan["refused"] = plans.refusal(self.ledger(), case_plan["digest"])
        case_plan["describes"] = {
            "ticket": self.ticket.parameters(),
            "target": self.target.identity(),
        }
        folder = self.new_attempt("plan")
        self.write(folder / "plan.json", case_plan)
        page = pages.of_plan(self.ticket.ticket, self.ticket.collection, case_plan)
        write_atomic(folder / "plan.html", self.redactor.text(page))
        self.record(
            "planned",
            attempt=folder.name,
            digest=case_plan["digest"],
            steps=list(steps),
            changes=sum(len(plan.actions) for plan in planned),
        )
        return case_plan | {"page": str(folder / "plan.html")}

    def approve(self, given: str, key: Path | None = None) -> dict[str, Any]:
        """Approve a case plan by its digest, or by the first characters (12 or more) of it.

        Args:
            given: the digest.
            key: the SSH key that the approval is signed with; the target may demand one.

        Raises:
            GateError: the board's decision is missing, or whoever approves may not.
            InputError: this case has no such plan, or a key is missing.
        """
        approved = plans.named(self.ledger(), given, self.ticket.ticket)
        if UPLOAD.name in self._plan_of(approved)["steps"]:
            self.gate_board()
        if self.target.approvals.by_another:
            me = self.people.value(provenance.who() | provenance.account())
            approvals.require_another_planner(self.ledger(), approved, me)
        settings = self.target.approvals
        if settings.signed and key is None:
            raise InputError(
                "this target wants approvals signed with the approver's SSH key",
                where=self.ticket.ticket,
                remedy="Name it: --key ~/.ssh/id_ed25519, or in DEDL_APPROVAL_KEY.",
            )
        name, head = self.ticket.ticket, ledger.head(self.ledger())
        return self.record(
            "approved",
            digest=approved,
            meaning="whoever approves has read this plan and wants what it lists to be done",
            **(approvals.signed(name, approved, head, key, settings) if key else {}),
        )

    def refuse(self, given: str, reason: str) -> dict[str, Any]:
        """Refuse a case plan, by its digest or the start of it; an approval of it is void.

        Raises:
            InputError: this case has no such plan, or no reason is given.
        """
        if not reason.strip():
            raise InputError(
                "a refusal needs a reason",
                where=self.ticket.ticket,
                remedy="Say what is wrong with the plan, for whoever reads the evidence.",
            )
        return self.record(
            "refused",
            digest=plans.named(self.ledger(), given, self.ticket.ticket),
            reason=reason.strip(),
        )

    def record_approval_of_ticket(self) -> None:
        """Record an approval that stands in the ticket itself, once a digest."""
        given = self.ticket.approve
        known = {line.get("digest") for line in self.ledger() if line["event"] == "approved"}
        if given and given not in known:
            self.record("approved", digest=given, meaning="approved by the ticket's key 'approve'")

    def approved_plan(self, step: str = "") -> dict[str, Any] | None:
        """Return the case plan that was approved last: by the ticket's key, or in the ledger.

        Args:
            step: for which a plan is meant; retiring has plans of its own, which void no other.
        """
        lines = self.ledger()
        planned = [line for line in lines if line["event"] == "planned"]
        apart = step == RETIRE.name
        others = {x["digest"] for x in planned if (x.get("steps") == [RETIRE.name]) != apart}
        given = self.ticket.approve if self.ticket.approve not in ("", "any", *others) else ""
        for line in lines:
            approves = line["event"] == "approved" and line["digest"] not in ("any", *others)
            if approves and not self.ticket.approve:
                given = line["digest"]
            elif line["event"] == "refused" and line["digest"] == given:
                given = ""
        if not given and self.ticket.approve == "any":
            digests = (line["digest"] for line in reversed(planned))
            given = next((one for one in digests if one not in others), "")
        if not given:
            return None
        return self._plan_of(given)

    def _plan_of(self, given: str) -> dict[str, Any]:
        """Return a kept case plan by its digest, which must be that of what it says."""
        return self.read_plan(self.planned(given))

    def planned(self, given: str) -> dict[str, Any]:
        """Return the last line of the ledger that records the case plan of this digest.

        Raises:
            NotApprovedError: it is none of this case's.
        """
        for line in reversed(self.ledger()):
            if line["event"] == "planned" and line["digest"] == given:
                return dict(line)
        where = f"ticket {self.ticket.ticket}"
        remedy = f"Make a plan and approve that: dedl-workbook plan {self.ticket.ticket}"
        if self.ticket.approve:
            remedy = "Empty 'approve' in the ticket's file. " + remedy
        raise NotApprovedError(
            f"the approved digest {given[:12]} is none of this case's plans",
            where=where,
            remedy=remedy,
        )

    def read_plan(self, line: dict[str, Any]) -> dict[str, Any]:
        """Return the case plan that a line of the ledger records.

        Raises:
            EvidenceError: the file is gone, damaged, or says something else than was planned.
        """
        file = self.folder / "attempts" / line["attempt"] / "plan.json"
        return plans.read(file, line["digest"], self.ticket.ticket)


def _report_page(outcome: Outcome) -> str:
    """Return the page of a validation's report; '' if there is none."""
    try:
        return pages.of_report(Report.from_json(outcome.detail["report"]))
    except (KeyError, TypeError, ValueError):
        return ""


def terms(ticket: Ticket, target: Target) -> str:
    """Return what a ticket asks for: the version of the defaults, and a digest of what differs.

    A key that a later workbook adds voids no approval. The approval itself is no part of it. How
    strict the target's rules are is: what a validation let pass with a rule off doesn't count once
    that is on again.
    """
    asked: dict[str, Any] = {
        key: value
        for key, value in ticket.parameters().items()
        if key != "approve" and value != DEFAULTS.get(key, ...)
    }
    if target.rules:
        asked["rules"] = dict(target.rules)
    if target.remote_assets != "refuse":
        asked["remote_assets"] = target.remote_assets
    return f"{DEFAULTS_VERSION}:{digest(asked)}"


def _changed_terms(then: object) -> str:
    """Return what of a ticket's terms is not as it was, in words."""
    version, colon, _ = str(then).partition(":")
    if not colon:
        return "the way in which the workbook digests a ticket (this once)"
    if version != str(DEFAULTS_VERSION):
        return "a default of the ticket's keys"
    return "the ticket, or what the target makes of the rules,"
