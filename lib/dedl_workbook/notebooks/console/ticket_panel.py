"""One ticket: where its steps stand, its plan, and what can be done with it now."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets

from dedl_workbook.base.errors import WorkbookError
from dedl_workbook.case import ledger, lock
from dedl_workbook.case.case import Case
from dedl_workbook.case.status import Row
from dedl_workbook.notebooks.console import case_html, widgets
from dedl_workbook.notebooks.console.process import Done, Work
from dedl_workbook.notebooks.kernel import progress_of
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.standing import Move
from dedl_workbook.views import tables

_WORDS = {
    0: "",
    1: "it failed",
    2: "it could not be run",
    3: "nothing was changed, since no plan is approved",
    4: "it waits for somebody; run it again later",
    130: "interrupted; running it again goes on",
    -2: "interrupted; running it again goes on",
}


_READ = (Move.NOTHING, Move.PLAN, Move.RUN)
"""Where the last plan is done, void, or approved: where the steps stand matters more."""


class Panel:
    """The chosen ticket."""

    def __init__(
        self, root: Path, ticket: str, choose: Callable[[str], None], change: Callable[[], None]
    ) -> None:
        """Make the panel of one ticket; nothing can be pressed in it before `show`.

        Args:
            root: the workbook.
            ticket: its name.
            choose: takes note of a choice.
            change: is called when the ticket may stand elsewhere.
        """
        self._root, self.ticket, self._choose, self._change = root, ticket, choose, change
        self.row: Row | None = None
        self._digest = ""
        self._held = False
        self.work = Work(root, self._disable)
        self._elsewhere = ipywidgets.HTML()
        self.note = ipywidgets.HTML()
        self._head, self._steps, self._plan = (
            ipywidgets.HTML(),
            ipywidgets.HTML(),
            ipywidgets.HTML(),
        )
        self._papers, self._notebook = ipywidgets.HTML(), ipywidgets.HTML()
        self.reason = ipywidgets.Text(placeholder="why", layout=ipywidgets.Layout(width="24em"))
        self.name = ipywidgets.Text(layout=ipywidgets.Layout(width="15em"))
        self.acts = self._make_acts()
        row = {"align_items": "center"}
        self._refusal = ipywidgets.HBox([self.acts["refuse"].box, self.reason], layout=row)
        self._withdrawal = ipywidgets.HBox([self.name, self.acts["withdraw"].box], layout=row)
        self.reason.observe(lambda _: self._allow(), names="value")
        self.name.observe(lambda _: self._allow(), names="value")
        self.box = ipywidgets.VBox(self._children())
        widgets.shows(self.box, False)

    def _make_acts(self) -> dict[str, widgets.Act]:
        return {
            "file": widgets.Act("File in the sandbox", "", self.file),
            "plan": widgets.Act("Validate and plan", "", self.plan, style="primary"),
            "approve": widgets.Act("Approve this plan", "", self.approve, style="primary"),
            "refuse": widgets.Act("Refuse this plan", "", self.refuse),
            "run": widgets.Act("Run", "", self.run, style="primary"),
            "rehearse": widgets.Act("Rehearse", "", self.rehearse),
            "pack": widgets.Act("Pack the evidence", "", self.pack),
            "withdraw": widgets.Act("Withdraw", "", self.withdraw, style="danger"),
        }

    def _children(self) -> list[ipywidgets.Widget]:
        acts = self.acts
        return [
            self._head,
            self.note,
            self._elsewhere,
            self.work.box,
            *(acts[name].box for name in ("file", "plan", "approve")),
            self._refusal,
            acts["run"].box,
            self._notebook,
            acts["rehearse"].box,
            self._withdrawal,
            self._plan,
            self._steps,
            acts["pack"].box,
            self._papers,
        ]

    # What is shown

    def show(self, row: Row) -> None:
        """Show the ticket as it stands now."""
        self.row = row
        widgets.shows(self.box, True)
        self._head.value = _head(row)
        try:
            ticket = Ticket.load(row.ticket, self._root)
            case = Case.of(ticket, self._root)
            lines = ledger.read(case.ledger_file)
            self._show_holder(case)
            self._show_case(case, lines, Move(row.next))
        except WorkbookError as error:
            # Nothing of this one before it broke may stay and be pressed.
            for part in (*(act.box for act in self.acts.values()), self._refusal, self._withdrawal):
                widgets.shows(part, False)
            for text in (self._notebook, self._plan, self._steps, self._papers):
                text.value = ""
            self.note.value = widgets.note("bad", str(error))

    def close(self) -> None:
        """Take the panel away: what was pressed in it meanwhile does nothing any more."""
        widgets.close(self.box)

    def _show_holder(self, case: Case) -> None:
        """Show who else is at this ticket, since when, and how far that run is."""
        holder = {} if self.work.busy else lock.holder(case.folder)
        self._held = bool(holder)
        if not holder:
            self._elsewhere.value = ""
            return
        step = self.row.step if self.row else ""
        text = f"{holder.get('operator', 'somebody')} on {holder.get('host', 'another host')}"
        text += f" (process {holder.get('pid', '?')}) is at it"
        text += f", {step}" if step else ""
        text += f", since {widgets.moment(str(holder.get('since', '')))}."
        self._elsewhere.value = widgets.progress(text, progress_of(case.folder))

    def _show_case(self, case: Case, lines: list[dict[str, Any]], move: Move) -> None:
        planned = next((x for x in reversed(lines) if x["event"] == "planned"), None)
        plan = case.read_plan(planned) if planned else None
        digest = plan["digest"] if plan else ""
        if digest != self._digest:
            # Buttons of its own for each plan: one that was pressed for another does nothing.
            self._digest = digest
            for name in ("approve", "refuse", "run", "withdraw"):
                self.acts[name].renew()
        self._plan.value = widgets.dense(case_html.plan(plan, folded=move in _READ)) if plan else ""
        self._steps.value = widgets.dense(case_html.steps(lines))
        self._papers.value = widgets.dense(case_html.evidence(case.folder, self._root))
        self._notebook.value = case_html.next_notebook(case, lines, self._root)
        steps = plan["steps"] if plan else ()
        shown = {
            "file": move is Move.PLAN and case.target.name == "sandbox",
            "plan": move is not Move.NOTHING or not lines,
            "approve": move is Move.APPROVE,
            "refuse": move is Move.APPROVE,
            "run": move in (Move.RUN, Move.APPROVE) and "withdraw" not in steps,
            "rehearse": move in (Move.APPROVE, Move.RUN)
            and "upload" in steps
            and case.target.name != "sandbox",
            "pack": bool(lines),
            "withdraw": any(x.get("step") == "upload" for x in lines),
        }
        for name, act in self.acts.items():
            act.show(shown[name])
        widgets.shows(self._refusal, shown["refuse"])
        widgets.shows(self._withdrawal, shown["withdraw"])
        self._explain(case, plan, move)
        self._allow()

    def _explain(self, case: Case, plan: dict[str, Any] | None, move: Move) -> None:
        ticket, acts = case.ticket.ticket, self.acts
        digest = plan["digest"][:12] if plan else ""
        changes = case_html.changes(plan) if plan else ""
        acts["file"].say(f"Files {ticket} in the sandbox's help desk, as its submitter would.")
        acts["plan"].button.button_style = "primary" if move is Move.PLAN else ""
        acts["plan"].say(
            f"Checks the dataset, and looks at {case.target.name} to see what would be done. "
            "Changes nothing there."
        )
        acts["approve"].say(f"Records that you have read plan {digest} and want it: {changes}.")
        acts["refuse"].say("Records that you don't want it, and why, in the ticket's ledger:")
        acts["run"].say(
            f"Does what the approved plan lists, in {case.target.name}: {changes}."
            if move is Move.RUN
            else "Nothing is run before the plan is approved."
        )
        acts["rehearse"].say(
            f"Publishes {ticket} into the embedded data lake, with a copy of HDA's configuration; "
            f"never touches {case.target.name}."
        )
        acts["pack"].say("Writes the ticket's bag of evidence, in place of an earlier one.")
        self.name.placeholder = f"type {ticket} first"
        withdraws = move is Move.WITHDRAW and plan and "withdraw" in plan["steps"]
        acts["withdraw"].say(
            f"DELETES what {ticket} published in {case.target.name}, puts back what was there "
            "before, and tells the user."
            if withdraws
            else f"Plans to take back what {ticket} published. Changes nothing before that plan "
            "is approved."
        )

    def _allow(self) -> None:
        """Enable what may be pressed now."""
        acts, row, busy = self.acts, self.row, self.work.busy or self._held
        for act in acts.values():
            act.button.disabled = busy
        move = row.next if row else ""
        acts["refuse"].button.disabled |= not self.reason.value.strip()
        acts["run"].button.disabled |= move != Move.RUN
        acts["withdraw"].button.disabled |= not row or self.name.value != row.ticket

    def _disable(self, busy: bool) -> None:
        for act in self.acts.values():
            act.button.disabled = busy

    # What the buttons do

    def file(self) -> None:
        """File the ticket in the sandbox's help desk."""
        self._start("sandbox", "file", self.ticket)

    def plan(self) -> None:
        """Validate and plan."""
        self._start("plan", self.ticket)

    def run(self) -> None:
        """Do what is approved."""
        self._start("run", self.ticket)

    def rehearse(self) -> None:
        """Publish into the sandbox."""
        self._start("run", self.ticket, "--rehearse")

    def pack(self) -> None:
        """Pack the evidence."""
        self._start("evidence", "pack", self.ticket)

    def withdraw(self) -> None:
        """Plan the withdrawal, or do it when that plan is approved; only by the ticket's name."""
        if self.name.value == self.ticket:
            self._start("withdraw", self.ticket)

    def approve(self) -> None:
        """Approve the plan that is shown."""
        self._record("approved", lambda case, digest: case.approve(digest))

    def refuse(self) -> None:
        """Refuse the plan that is shown, with the reason in the field."""
        reason = self.reason.value
        self._record("refused", lambda case, digest: case.refuse(digest, reason), f": {reason}")

    def _record(self, verb: str, act: Callable[[Case, str], object], why: str = "") -> None:
        """Approve or refuse the plan that is shown, whatever was planned since."""
        try:
            case = Case.of(Ticket.load(self.ticket, self._root), self._root)
            with lock.hold(case.folder):
                act(case, self._digest)
        except WorkbookError as error:
            self._report("bad", f"not {verb}: {error}")
            return
        self._report("good", f"{verb} plan {self._digest[:12]}{why}")

    def _start(self, *words: str) -> None:
        self.note.value = ""
        self._choose(f"{self.ticket}: dedl-workbook {' '.join(words)}")
        self.work.start(words, self._done)

    def _done(self, done: Done) -> None:
        word = _WORDS.get(done.code, f"exit code {done.code}")
        lines = [": ".join(filter(None, (" ".join(done.words), word))), *_outcomes(done)]
        text = "\n".join([*lines, *([done.error] if done.code == 2 else [])])
        self._report("good" if done.code == 0 else "bad" if done.code in (1, 2) else "news", text)

    def _report(self, kind: str, text: str) -> None:
        self._choose(f"{self.ticket}: {text}")
        self._change()
        # Last, so that what is shown and what may be pressed is already as it says.
        self.note.value = widgets.note(kind, text)


def _outcomes(done: Done) -> list[str]:
    answer = done.answer[0] if isinstance(done.answer, list) and done.answer else done.answer
    outcomes = answer.get("outcomes", []) if isinstance(answer, dict) else []
    return [f"{one['step']}: {one['verdict']}. {one['summary']}" for one in outcomes]


def _head(row: Row) -> str:
    waits = f"waits for {row.waiting_for}, since {widgets.moment(row.since)}"
    parts = [row.step, waits if row.waiting_for else "", row.who, widgets.moment(row.when)]
    where = f": {row.collection} → {row.target}" if row.target else ""
    return widgets.dense(
        f"<h3>{html.escape(row.ticket + where)}</h3>{tables.badge(row.state)} "
        f"{html.escape(' · '.join(filter(None, parts)))}"
    )
