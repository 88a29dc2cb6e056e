"""Where a publication stands: computed here, from the events of its ledger, and nowhere else.

A later look, a start that a gate refused, or an outcome that is only repeated never lowers a
state: what is live stays live until a withdrawal, or another ticket, takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from dedl_workbook.parameters.fields import StepName
from dedl_workbook.publication.job import Cause, Verdict

Event = Mapping[str, Any]
Kind = Literal["accepted", "refused", "withdrawn"]

LOOKS = frozenset({StepName.VALIDATE, StepName.VERIFY})
"""Steps that change nothing."""
_UNDECIDING = LOOKS | {StepName.NOTIFY}
"""Steps whose outcome says nothing of whether a plan is done."""
_STATED = frozenset(StepName) - {StepName.RETIRE}
"""Steps whose outcome says where the publication stands."""
_SHOWN = frozenset({StepName.CATALOG, StepName.HDA})
"""Steps by which others can see what was uploaded."""


class State(StrEnum):
    """Where a case stands, in words."""

    NEW = "new"
    REFUSED = "refused"
    """By validation: the submitter has to fix the dataset."""
    PLANNED = "planned"
    """To be approved, or to be planned anew since something changed."""
    PLAN_REFUSED = "plan refused"
    APPROVED = "approved"
    """And possibly done in part."""
    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"
    UNVERIFIED = "published, not verified"
    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    WITHDRAWAL_PLANNED = "withdrawal planned"
    WITHDRAWAL_APPROVED = "withdrawal approved"
    WITHDRAWN = "withdrawn"


class Move(StrEnum):
    """What an operator does next with a ticket."""

    PLAN = "plan"
    APPROVE = "approve"
    RUN = "run"
    WITHDRAW = "withdraw"
    """Go on with a withdrawal that was begun."""
    NOTHING = ""


@dataclass(frozen=True)
class Publication:
    """What a ticket has in the data lake now."""

    number: int
    """1 for the ticket's first; a second one follows a withdrawal."""
    since: str
    """UTC."""
    verified: str = ""
    """When it was verified from outside, UTC; '' if it was not."""


@dataclass(frozen=True)
class Standing:
    """Where a case stands, and what follows from that."""

    state: State
    outcomes: Mapping[str, Event]
    """The outcome that counts of each step."""
    passed: Mapping[str, Event]
    """The last passed outcome of each step since the last withdrawal."""
    live: Publication | None
    move: Move
    unpublished: Literal["refused", "withdrawn", ""]
    """Why there is no publication to tell the user of; '' if there is one, or may be."""
    publications: int
    """How many there were, the live one among them."""
    deciding: Event
    """The event that decided the state; empty for a new case."""
    superseded_by: str = ""
    """The ticket whose publication stands in place of this one's."""
    withdrawal: Literal["planned", "approved", ""] = ""
    """Whether a withdrawal is open."""

    @property
    def words(self) -> str:
        """The state as people read it."""
        by = f" by {self.superseded_by}" if self.state is State.SUPERSEDED else ""
        return f"{self.state}{by}"

    @property
    def kind(self) -> Kind:
        """What the user is to be told."""
        return self.unpublished or "accepted"

    @property
    def missing(self) -> tuple[str, ...]:
        """The steps that have not passed yet, in their order."""
        return tuple(
            step
            for step in StepName.run()
            if self.outcomes.get(step, {}).get("verdict") != Verdict.PASSED
        )

    @property
    def informed(self) -> bool:
        """Whether the user knows how it stands."""
        return self.outcomes.get(StepName.NOTIFY, {}).get("verdict") == Verdict.PASSED

    def number(self, kind: Kind) -> int:
        """Return which publication of the ticket a letter is about.

        It is the same before, during and after the steps of that publication.
        """
        if kind == "withdrawn" or self.live:
            return self.publications
        return self.publications + 1


def standing(events: Iterable[Event], *, running: bool = False) -> Standing:
    """Return where a case stands.

    Args:
        events: the lines of its ledger, in their order.
        running: whether somebody holds the case's lock.
    """
    history = _History()
    for place, event in enumerate(events):
        history.add(place, event)
    return history.standing(running)


@dataclass
class _Plan:
    """The case plan that matters now."""

    line: Event
    status: Literal["planned", "approved", "refused", "void"]
    place: int
    """Of the event that gave it its status."""

    @property
    def withdraws(self) -> bool:
        return StepName.WITHDRAW in self.line.get("steps", ())

    @property
    def changes(self) -> bool:
        return bool(self.line.get("changes", 1))

    @property
    def publishes(self) -> bool:
        return not self.withdraws and list(self.line.get("steps", ())) != [StepName.NOTIFY]


@dataclass
class _History:
    """What the events so far come to."""

    outcomes: dict[str, Event] = field(default_factory=dict)
    passed: dict[str, Event] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    """Where in the ledger the outcome of each step stands."""
    plan: _Plan | None = None
    plans: dict[str, Event] = field(default_factory=dict)
    approved: set[str] = field(default_factory=set)
    open: Event | None = None
    """The attempt that has no outcome."""
    content: tuple[str, str] | None = None
    """Dataset and terms of what is live."""
    since: str = ""
    verified: str = ""
    begun: int = 0
    withdrawn: bool = False
    resumed: bool = False
    """Whether the ticket was begun again after its withdrawal."""
    refused: bool = False
    superseded: Event | None = None
    last: Event = field(default_factory=dict)

    @property
    def live(self) -> Publication | None:
        if self.content is None or self.superseded is not None:
            return None
        return Publication(self.begun, self.since, self.verified)

    def add(self, place: int, event: Event) -> None:
        """Take one event into account."""
        name = event["event"]
        if name == "started":
            self._started(place, event)
        elif name == "planned" and event.get("steps") == [StepName.RETIRE]:
            # It deletes what nothing refers to, so it is no plan of the publication.
            self.open = None
        elif name == "planned":
            self._planned(place, event)
        elif name == "approved":
            self._approved(place, event)
        elif name == "refused":
            self.approved.discard(event.get("digest", ""))
            if self.plan and event.get("digest") == self.plan.line.get("digest"):
                self.plan.status, self.plan.place = "refused", place
                self.last = event
        elif name == "outcome":
            self._outcome(place, event)
        elif name == "superseded" and self.content is not None:
            self.superseded = self.last = event
        elif name == "restored" and self.superseded is not None:
            self.superseded, self.last = None, event

    def _started(self, place: int, event: Event) -> None:
        self.open = event
        approves = (event.get("ticket") or {}).get("approve")
        plan = self.plan
        if plan and plan.status == "planned" and approves == plan.line.get("digest", ""):
            self.approved.add(approves)
            plan.status, plan.place = "approved", place

    def _planned(self, place: int, event: Event) -> None:
        given = ((self.open or {}).get("ticket") or {}).get("approve")
        self.open = None
        self.plans[event.get("digest", "")] = event
        was = self.plan
        if was and was.status == "approved" and was.withdraws and not self.withdrawn:
            # It stays approved, and would be carried out, until it is refused.
            return
        known = event.get("digest") in self.approved
        if was and was.line.get("digest") == event.get("digest") and was.status != "void":
            # The same plan once more says nothing new.
            was.line = event
        else:
            self.plan = _Plan(event, "approved" if known else "planned", place)
        if self.plan and given and given in ("any", event.get("digest")):
            self.plan.status = "approved"
        if self.plan and self.plan.changes:
            self.last = event

    def _approved(self, place: int, event: Event) -> None:
        digest = event.get("digest", "")
        any_plan = self.plan.line if self.plan else None
        line = any_plan if digest == "any" else self.plans.get(digest)
        self.approved.add(digest)
        plan = self.plan
        if line is None:
            return
        if plan and plan.status == "approved" and plan.line.get("digest") == line.get("digest"):
            # What was done of it since then stays done.
            return
        self.plan = _Plan(line, "approved", place)
        self.last = event

    def _outcome(self, place: int, event: Event) -> None:
        self.open = None
        step, verdict = event["step"], event["verdict"]
        if event.get("cause") == Cause.GATE or step not in _STATED:
            return
        if step == StepName.WITHDRAW:
            self._withdraw(place, event)
            return
        if verdict == Verdict.PLANNED:
            self._void(place, event)
            return
        if step == StepName.VALIDATE:
            self.refused = verdict == Verdict.FAILED and event.get("cause") != Cause.ERROR
        elif step == StepName.UPLOAD:
            self.refused = False
        if step != StepName.NOTIFY:
            self.resumed = True
        self.outcomes[step], self.places[step] = event, place
        if verdict == Verdict.PASSED:
            self._pass(step, event)
        if not (self.content is not None and step in LOOKS and self.verified):
            self.last = event

    def _void(self, place: int, event: Event) -> None:
        """Take note that a step found no approval for what it would do."""
        if self.plan and self.plan.status == "approved":
            self.plan.status, self.plan.place = "void", place
        if self.outcomes.get(event["step"], {}).get("verdict") != Verdict.PASSED:
            self.last = event

    def _pass(self, step: str, event: Event) -> None:
        self.passed[step] = event
        content = (event.get("dataset", ""), event.get("terms", ""))
        if step in _SHOWN:
            if self.content is None:
                self.begun += 1
            if self.content != content or self.superseded:
                self.content, self.since, self.verified = content, event.get("at", ""), ""
            self.superseded = None
            self.withdrawn = False
        elif step == StepName.VERIFY and self.content is not None and not self.verified:
            self.verified = event.get("at", "") or "yes"

    def _withdraw(self, place: int, event: Event) -> None:
        self.last = event
        verdict = event["verdict"]
        if verdict == Verdict.PLANNED:
            if self.plan and self.plan.withdraws and self.plan.status == "approved":
                self.plan.status, self.plan.place = "void", place
            return
        self.outcomes[StepName.WITHDRAW], self.places[StepName.WITHDRAW] = event, place
        if verdict != Verdict.PASSED:
            return
        # Only validating changed nothing that a withdrawal takes back.
        remaining = {StepName.VALIDATE, StepName.WITHDRAW}
        self.outcomes = {step: line for step, line in self.outcomes.items() if step in remaining}
        self.passed = {step: line for step, line in self.passed.items() if step in remaining}
        self.passed[StepName.WITHDRAW] = event
        self.content, self.since, self.verified = None, "", ""
        self.withdrawn, self.resumed, self.refused = True, False, False
        self.superseded = None

    # What follows from it

    def standing(self, running: bool) -> Standing:
        """Return what all events come to."""
        state = self._state()
        unpublished: Literal["refused", "withdrawn", ""] = ""
        if self.content is None:
            if self.refused:
                unpublished = "refused"
            elif self.withdrawn and StepName.UPLOAD not in self.outcomes:
                unpublished = "withdrawn"
        return Standing(
            State.RUNNING if running else state,
            self.outcomes,
            self.passed,
            self.live,
            Move.NOTHING if running else self._move(state),
            unpublished,
            self.begun,
            self._deciding(state, running),
            str(self.superseded.get("by", "")) if self.superseded else "",
            self._withdrawal(),
        )

    def _withdrawal(self) -> Literal["planned", "approved", ""]:
        plan = self.plan
        if plan is None or not plan.withdraws or plan.status in ("refused", "void"):
            return ""
        if self._at(StepName.WITHDRAW, Verdict.PASSED) > plan.place:
            return ""
        return "approved" if plan.status == "approved" else "planned"

    def _at(self, step: str, *verdicts: Verdict) -> int:
        """Return where the outcome of a step stands, if it is one of these; else -1."""
        line = self.outcomes.get(step)
        return self.places[step] if line and line["verdict"] in verdicts else -1

    def _state(self) -> State:
        open_withdrawal = self._withdrawal()
        if open_withdrawal:
            return self._state_of_withdrawal(open_withdrawal)
        if self.superseded is not None:
            return State.SUPERSEDED
        if self.content is None and self.refused:
            return State.REFUSED
        if self.withdrawn and not self._begun_again():
            return State.WITHDRAWN
        pending = self._state_of_plan()
        troubled = self._trouble()
        if pending in (State.PLANNED, State.PLAN_REFUSED):
            return pending
        if troubled:
            return troubled
        if pending is None and StepName.HDA in self.passed and self.content is not None:
            return State.PUBLISHED if self.verified else State.UNVERIFIED
        return self._progress(pending)

    def _progress(self, pending: State | None) -> State:
        if pending:
            return pending
        plan = self.plan
        if plan and plan.status == "approved" and plan.publishes:
            return State.APPROVED
        return State.PLANNED if plan and plan.status == "void" and plan.publishes else State.NEW

    def _state_of_withdrawal(self, status: Literal["planned", "approved"]) -> State:
        if status == "planned":
            return State.WITHDRAWAL_PLANNED
        plan = self.plan
        place = plan.place if plan else -1
        if self._at(StepName.WITHDRAW, Verdict.FAILED) > place or self._cut_off(StepName.WITHDRAW):
            return State.FAILED
        if self._at(StepName.WITHDRAW, Verdict.WAITING) > place:
            return State.WAITING
        return State.WITHDRAWAL_APPROVED

    def _begun_again(self) -> bool:
        """Whether more than a look followed the withdrawal."""
        plan = self.plan
        planned = plan is not None and plan.publishes and plan.status != "refused"
        return planned or bool(self.outcomes.keys() - LOOKS - {StepName.WITHDRAW, StepName.NOTIFY})

    def _state_of_plan(self) -> State | None:
        """Return the state that an open plan means; None if there is none, or all of it is done."""
        plan = self.plan
        if plan is None or not plan.publishes or not plan.changes:
            return None
        if plan.status == "planned":
            return State.PLANNED
        if plan.status == "refused":
            return None if self.content is not None else State.PLAN_REFUSED
        if plan.status == "void":
            return None if self._complete() else State.PLANNED
        steps = [s for s in plan.line.get("steps", ()) if s not in _UNDECIDING]
        done = all(self._at(step, Verdict.PASSED) > plan.place for step in steps)
        return None if done else State.APPROVED

    def _complete(self) -> bool:
        return StepName.HDA in self.passed and bool(self.verified)

    def _trouble(self) -> State | None:
        """Return failed or waiting, where a step that changes something is."""
        place = self.plan.place if self.plan else -1
        steps = [s for s in StepName.run() if s not in _UNDECIDING]
        if self.content is None:
            steps.append(StepName.VALIDATE)
        if any(self._at(step, Verdict.FAILED) > place or self._cut_off(step) for step in steps):
            return State.FAILED
        if any(self._at(step, Verdict.WAITING) >= 0 for step in steps):
            return State.WAITING
        return None

    def _cut_off(self, step: str) -> bool:
        return self.open is not None and self.open.get("step") == step

    def _move(self, state: State) -> Move:
        plan = self.plan
        if state in (State.PLANNED, State.WITHDRAWAL_PLANNED):
            return Move.APPROVE if plan and plan.status == "planned" else Move.PLAN
        if state is State.REFUSED:
            return self._move_of_refusal()
        if state is State.WITHDRAWN:
            return self._move_of_withdrawn()
        if self._withdrawal():
            return Move.WITHDRAW
        if state in (State.NEW, State.PLAN_REFUSED):
            return Move.PLAN
        if state is State.SUPERSEDED:
            return Move.NOTHING
        if state is State.PUBLISHED and not self._missing():
            return Move.NOTHING
        if state is State.FAILED and not (plan and plan.status == "approved"):
            return Move.PLAN
        return Move.RUN

    def _missing(self) -> list[str]:
        return [step for step in StepName.run() if self._at(step, Verdict.PASSED) < 0]

    def _move_of_refusal(self) -> Move:
        refused, plan = self.places[StepName.VALIDATE], self.plan
        if self._at(StepName.NOTIFY, Verdict.PASSED) > refused:
            return Move.NOTHING
        if plan and list(plan.line.get("steps", ())) == [StepName.NOTIFY] and plan.place > refused:
            by_status = {"planned": Move.APPROVE, "approved": Move.RUN}
            return by_status.get(plan.status, Move.PLAN)
        return Move.PLAN

    def _move_of_withdrawn(self) -> Move:
        if self._at(StepName.NOTIFY, Verdict.FAILED, Verdict.WAITING) >= 0:
            return Move.WITHDRAW
        return Move.PLAN if self.resumed else Move.NOTHING

    def _deciding(self, state: State, running: bool) -> Event:
        if running and self.open is not None:
            return self.open
        if state is State.WAITING:
            waiting = [line for line in self.outcomes.values() if line["verdict"] == "waiting"]
            return waiting[0]
        if state is State.REFUSED:
            return self.outcomes[StepName.VALIDATE]
        if state is State.WITHDRAWN:
            return self.outcomes[StepName.WITHDRAW]
        if state is State.FAILED and self.open is not None:
            return self.open
        return self.last
