"""Attempt: one run of a step's notebook, from its first cell to its verdict.

A notebook says `attempt = begin("upload", globals())` and then plans, applies, checks and
concludes through it, so that whatever happens is in the case's ledger: by hand in JupyterLab,
with plain papermill, or headless.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dedl_workbook import evidence
from dedl_workbook.base.errors import GateError, NotApprovedError, StepFailedError, WorkbookError
from dedl_workbook.base.progress import for_notebook
from dedl_workbook.case import lock
from dedl_workbook.case.case import Case
from dedl_workbook.evidence import cells
from dedl_workbook.notebooks.handover import Handover
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Cause, Job, Outcome, Plan, Receipt, Verdict
from dedl_workbook.steps.order import EVERY, Change, Look, Step

log = logging.getLogger(__name__)


def begin(step: str, variables: Mapping[str, Any]) -> Attempt:
    """Begin an attempt at a step, in a notebook.

    Args:
        step: the step's name.
        variables: the notebook's `globals()`, with the ticket's keys among them.

    Raises:
        InputError: the parameters are not a ticket, or its target lacks something.
        GateError: a step that this one needs has not passed.
        ConflictError: somebody else is at this case.
    """
    show_errors_plainly()
    case = Case.of(Ticket.from_notebook(variables), tell=for_notebook())
    if _kernel.attempt:
        _kernel.attempt.end("Begun again before it came to a verdict.")
    held = ExitStack()
    held.enter_context(lock.hold(case.folder))
    folder = Handover.from_environment().attempt or case.new_attempt(step, by="hand")
    attempt = Attempt(case, EVERY[step], folder, held)
    _kernel.attempt = attempt
    attempt.watch()
    attempt.show_link()
    case.gate_needs(EVERY[step])
    return attempt


class Attempt:
    """One run of one step."""

    def __init__(self, case: Case, step: Step, folder: Path, held: ExitStack) -> None:
        self.case, self.step, self.folder = case, step, folder
        self._held = held
        self._applied = False
        self._refusal = "Planned; apply was not called, so nothing was changed."
        self._ended = ""
        # The cell that begins this attempt is its own, also when that ended an earlier one.
        self._before = min(_kernel.traced, len(_ran()) - 1)
        self._log = _log_to(folder / "log.txt", case)

    @property
    def job(self) -> Job:
        """The ticket, target and dataset at work."""
        return self.case.job

    def plan(self) -> Plan:
        """Plan the step; nothing is changed."""
        self._require_open()
        plan = self._change.plan(self.job)
        self.case.write(self.folder / "plan.json", plan.as_json())
        log.info("planned %s: %d actions", self.step.name, len(plan.actions))
        return plan

    def apply(self, plan: Plan) -> Receipt | None:
        """Do what the plan says, if it is approved; else change nothing and return None.

        A plan without actions needs no approval: there is nothing to do.

        Raises:
            GateError: the board's decision is missing.
        """
        self._require_open()
        if plan.actions:
            if self.step.needs_board:
                self.case.gate_board()
            try:
                self.case.gate_approval(plan)
            except NotApprovedError as refusal:
                self._refusal = str(refusal)
                return None
            self.case.record_approval_of_ticket()
        if self.step.undoes:
            self.case.gate_published(plan)
        if self.step.tells and plan.actions:
            evidence.pack(self.case, without=self.folder.name)
        self._applied = True
        receipt = self._change.apply(plan) if plan.actions else Receipt(plan.step, {})
        self.case.write(self.folder / "receipt.json", receipt.as_json())
        log.info("applied %s: %s", self.step.name, json.dumps(receipt.as_json()["done"]))
        return receipt

    def check(self, plan: Plan | None = None) -> Outcome:
        """Read the real system back; without an approved plan there is nothing to check yet."""
        self._require_open()
        if plan is None:
            return self._look.check(self.job)
        if not self._applied:
            return Outcome(self.step.name, Verdict.PLANNED, self._refusal)
        return self._change.check(plan)

    @property
    def _change(self) -> Change:
        if self.step.change is None:
            raise GateError(
                f"{self.step.name} changes nothing: there is nothing to plan",
                remedy="Call attempt.check() alone.",
            )
        return self.step.change()

    @property
    def _look(self) -> Look:
        if self.step.look is None:
            raise GateError(
                f"{self.step.name} is checked against its plan",
                remedy="Call attempt.check(plan).",
            )
        return self.step.look()

    def conclude(self, outcome: Outcome) -> None:
        """Write the verdict into the attempt's folder and the ledger.

        Raises:
            StepFailedError: the verdict is failed.
        """
        self._require_open()
        self._end(outcome)
        print(f"{outcome.step}: {outcome.verdict}. {outcome.summary}")
        if outcome.verdict is Verdict.FAILED:
            raise StepFailedError(outcome.summary, where=outcome.step)

    def watch(self) -> None:
        """Trace the cells that run, and record an error of any as the attempt's failure."""
        shell = _shell()
        if shell is not None:
            shell.events.register("post_run_cell", self._cell_ran)

    def show_link(self) -> None:
        """Let the notebook name the attempt that it belongs to."""
        if _shell() is None:
            return
        from IPython.display import display

        link = cells.Link(self.job.target.name, self.job.ticket.ticket, self.folder.name)
        text = f"Attempt {self.folder.name} of {self.job.ticket.ticket}."
        handover = Handover.from_environment()
        if handover.attempt is None:
            text += (
                " Save this notebook after its verdict: that puts it into the case."
                if handover.saves
                else " This notebook isn't put into the case: that needs `dedl-workbook lab`."
            )
        display({"text/plain": text}, metadata=link.as_metadata(), raw=True)

    def _trace(self) -> None:
        if _shell() is not None:
            cells.write(self.folder, _ran(), self._before, self.case.redactor)
            _kernel.traced = len(_ran())

    def _cell_ran(self, result: Any) -> None:
        self._trace()
        error = result.error_before_exec or result.error_in_exec
        if isinstance(error, KeyboardInterrupt) and Handover.from_environment().attempt:
            # The runner interrupts the kernel to end it, and records why.
            return
        if error is not None:
            outcome = failure(self.step.name, error)
            if self._applied and outcome.cause is Cause.GATE:
                outcome = replace(outcome, cause=Cause.ERROR)
            self._end(outcome)

    def end(self, why: str) -> None:
        """End an attempt that came to no verdict: it has failed."""
        if not self._ended:
            self._end(Outcome(self.step.name, Verdict.FAILED, why, cause=Cause.ERROR))

    def _require_open(self) -> None:
        if self._ended:
            raise GateError(
                f"this attempt has ended: {self._ended}",
                where=self.folder.name,
                remedy="Run the notebook again from the cell that begins the attempt.",
            )

    def _end(self, outcome: Outcome) -> None:
        passed = outcome.verdict is Verdict.PASSED
        self._trace()
        dataset = self.job.fingerprint if passed and self.step.of_dataset else ""
        self.case.record_outcome(self.folder, outcome, dataset)
        self._ended = str(outcome.verdict)
        log.info("%s: %s. %s", outcome.step, outcome.verdict, outcome.summary)
        if (shell := _shell()) is not None:
            shell.events.unregister("post_run_cell", self._cell_ran)
        if _kernel.attempt is self:
            _kernel.attempt = None
        logging.getLogger("dedl_workbook").removeHandler(self._log)
        self._log.close()
        self._held.close()


@dataclass
class _Kernel:
    """What this kernel is at."""

    attempt: Attempt | None = None
    """One at a time."""
    traced: int = 0
    """How many of its cells stand in the trace of an attempt."""


_kernel = _Kernel()


def failure(step: str, error: BaseException) -> Outcome:
    """Return the failed outcome that an error stands for."""
    if isinstance(error, WorkbookError):
        cause = Cause.GATE if isinstance(error, GateError) else Cause.ERROR
        return Outcome(step, Verdict.FAILED, str(error), cause=cause)
    if isinstance(error, KeyboardInterrupt):
        return Outcome(
            step,
            Verdict.FAILED,
            "Interrupted by the operator; run it again to go on.",
            cause=Cause.ERROR,
        )
    # papermill's error tells of the one in the kernel.
    kind = getattr(error, "ename", type(error).__name__)
    text = str(getattr(error, "evalue", error)).strip().partition("\n")[0]
    return Outcome(step, Verdict.FAILED, f"{kind}: {text}", cause=Cause.ERROR)


def _shell() -> Any:
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def _ran() -> list[str]:
    """Return what this kernel ran so far, and runs now."""
    shell = _shell()
    return list(shell.history_manager.input_hist_raw[1:]) if shell else [""]


def show_errors_plainly() -> None:
    """Show our own errors by their message: they are meant for people, not for debuggers."""
    shell = _shell()
    if shell is None:
        return

    def show(shell: Any, kind: type, error: BaseException, _: Any, tb_offset: Any = None) -> None:
        shell._showtraceback(kind, str(error), [f"{kind.__name__}: {error}"])

    shell.set_custom_exc((WorkbookError,), show)


class _Redacting(logging.Formatter):
    def __init__(self, case: Case, step: str) -> None:
        super().__init__(
            f"%(asctime)s.%(msecs)03dZ %(levelname)s {case.ticket.ticket} {step} "
            "%(name)s: %(message)s",
            "%Y-%m-%dT%H:%M:%S",
        )
        self.converter = time.gmtime
        self._redactor = case.redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.text(super().format(record))


def _log_to(path: Path, case: Case) -> logging.Handler:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(_Redacting(case, path.parent.name))
    logger = logging.getLogger("dedl_workbook")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return handler
