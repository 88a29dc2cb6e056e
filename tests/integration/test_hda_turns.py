"""Several tickets at HDA's configuration at once: each has its turn, HDA restarts in peace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import dedl_sandbox
import pytest
import yaml
from dedl_sandbox import Sandbox, state
from dedl_sandbox import hda as sandbox_hda
from dedl_workbook.base.errors import ConflictError
from dedl_workbook.base.retry import until
from dedl_workbook.publication.job import Outcome, Plan, Verdict
from dedl_workbook.steps import hda
from dedl_workbook.steps.verify.user import asking

from tests.integration.hda_lake import HdaLake, an_id, own_configuration


@pytest.fixture
def lake(data_lake: Sandbox, tmp_path: Path) -> Iterator[HdaLake]:
    with own_configuration(data_lake, tmp_path) as lent:
        yield lent


def _starts(lake: HdaLake) -> int:
    log = state.read_lake(lake.sandbox.folder).log("hda")
    return log.read_bytes().count(b"Started server process")


def test_four_tickets_at_once_all_pass_and_say_for_whom_they_wait(lake: HdaLake) -> None:
    notes: dict[str, list[str]] = {}
    together = threading.Barrier(4)

    def plan(ticket: str) -> Plan:
        def tell(what: str, done: int, total: int, unit: str, note: str = "", /) -> None:
            notes.setdefault(ticket, []).append(note)

        return hda.plan(replace(lake.job(an_id(), ticket=ticket), tell=tell))

    def publish(plan: Plan) -> Outcome:
        together.wait()
        hda.apply(plan)
        return hda.check(plan)

    plans = [plan(f"Q-{number}") for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(publish, plans))

    assert [one.verdict for one in outcomes] == [Verdict.PASSED] * 4, outcomes
    waits = [note for ticket in notes for note in notes[ticket] if note]
    assert len(notes) >= 3
    assert all(note.startswith("waits for Q-") for note in waits), waits
    assert {plan.job.ticket.collection for plan in plans} <= yaml.safe_load(
        lake.collections.read_bytes()
    ).keys()


def test_an_edit_by_hand_between_two_turns_is_not_taken_for_a_workbooks(lake: HdaLake) -> None:
    quick = {"check": ["true"], "reload": []}
    second = hda.plan(lake.job(an_id(), ticket="Q-2", hda=quick))
    hda.apply(hda.plan(lake.job(an_id(), ticket="Q-1", hda=quick)))
    lake.collections.write_bytes(lake.collections.read_bytes() + b"# by hand\n")

    with pytest.raises(ConflictError, match="changed by somebody else"):
        hda.apply(second)


def test_what_another_ticket_published_since_the_plan_is_no_edit_by_hand(lake: HdaLake) -> None:
    quick = {"check": ["true"], "reload": []}
    second = hda.plan(lake.job(an_id(), ticket="Q-2", hda=quick))
    hda.apply(hda.plan(lake.job(an_id(), ticket="Q-1", hda=quick)))

    receipt = hda.apply(second)

    assert len(receipt.done["changed"]) == 3


def test_a_reload_that_somebody_else_did_since_is_not_done_again(lake: HdaLake) -> None:
    id_ = an_id()
    first, again = (hda.plan(lake.job(id_, ticket="Q-1")) for _ in range(2))
    hda.apply(first)
    begun = _starts(lake)
    again = replace(again, detail=hda.plan(replace(first.job, before={"hda": first.before})).detail)

    receipt = hda.apply(again)

    assert (receipt.done["reloaded"], _starts(lake)) == (False, begun)


def test_a_start_of_the_sandbox_leaves_a_server_alone_that_is_being_restarted(
    lake: HdaLake,
) -> None:
    port, begun = state.read_lake(lake.sandbox.folder).ports["hda"], _starts(lake)
    with ThreadPoolExecutor(1) as beside:
        restart = beside.submit(lake.reload)
        assert until(lambda: bool(sandbox_hda.probe(port)), 30, pause=0.01)

        dedl_sandbox.up(lake.sandbox.folder)
        restart.result()

    assert sandbox_hda.probe(port) == ""
    assert _starts(lake) == begun + 1


def test_whoever_asks_hda_while_it_is_restarted_waits_for_it(lake: HdaLake) -> None:
    port = state.read_lake(lake.sandbox.folder).ports["hda"]
    with ThreadPoolExecutor(1) as beside, asking(lake.hda(), None) as user:
        restart = beside.submit(lake.reload)
        assert until(lambda: bool(sandbox_hda.probe(port)), 30, pause=0.01)

        answer = user.get("/collections?limit=1")
        restart.result()

    assert answer.status_code == 200
