"""The operator's way through a ticket in JupyterLab, by clicking."""

import json
from pathlib import Path

import pytest
from dedl_workbook import evidence
from dedl_workbook.cli import main

from tests.browser.seat import MOST, Seat
from tests.conftest import COLLECTION, Lake


def ledger(lake: Lake, ticket: str = "DEDL-1") -> list[dict[str, object]]:
    file = lake.archive / ticket / "ledger.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def verdicts(lake: Lake) -> list[object]:
    return [line["verdict"] for line in ledger(lake) if line["event"] == "outcome"]


def outline(lake: Lake, ticket: str = "DEDL-1") -> list[tuple[object, object, object]]:
    """Return what a ledger says happened, less times, people and digests."""
    return [(x["event"], x.get("step"), x.get("verdict")) for x in ledger(lake, ticket)]


def fill_form(seat: Seat, ticket: str = "DEDL-1") -> None:
    seat.tab("New ticket")
    seat.fill("its id in the help desk", "DEDL 1")
    seat.said("must be letters, digits")
    seat.shoot("console-form-mistake")
    seat.page.get_by_placeholder("its id in the help desk").clear()
    seat.fill("its id in the help desk", ticket)
    seat.fill("a folder, or s3", f"delivered/{COLLECTION}")
    seat.fill("the agreed id", COLLECTION)
    seat.fill("where it is written down", "Review board, minutes 7")
    seat.page.locator("input[type=date]").fill("2026-11-02")


@pytest.mark.slow
def test_a_public_dataset_from_the_form_to_the_publication(seat: Seat, lake: Lake) -> None:
    fill_form(seat)
    seat.shoot("console-form")
    seat.press("Save the ticket")
    seat.press("Validate and plan")
    seat.said("Done: plan DEDL-1")
    seat.shoot("console-plan")
    seat.press("Approve this plan")
    seat.said("approved plan")
    seat.press("Run")
    seat.said("verify: passed")
    seat.shoot("console-published")

    assert lake.collections() == [COLLECTION]
    assert verdicts(lake)[-1] == "passed"
    assert {line["operator"] for line in ledger(lake)} == {"an.operator"}
    assert seat.clicks <= MOST


@pytest.mark.slow
def test_the_evidence_equals_that_of_the_headless_run(seat: Seat, lake: Lake) -> None:
    fill_form(seat)
    seat.press("Save the ticket")
    seat.press("Validate and plan")
    seat.said("Done: plan DEDL-1")
    seat.press("Approve this plan")
    seat.said("approved plan")
    seat.press("Run")
    seat.said("notify: passed")
    seat.press("Pack the evidence")
    seat.said("Done: evidence pack DEDL-1")
    seat.page.get_by_text("Open the packed evidence").click()
    seat.page.locator(".jp-HTMLViewer").wait_for()
    seat.shoot("evidence", console=False)
    by_clicking = outline(lake)
    kept = files(lake)

    lake.write_ticket(ticket="DEDL-2", collection=COLLECTION, mode="replace")
    assert main(["plan", "DEDL-2"]) == 0
    digest = str([x for x in ledger(lake, "DEDL-2") if x["event"] == "planned"][-1]["digest"])
    assert main(["approve", "DEDL-2", digest]) == 0
    assert main(["run", "DEDL-2"]) == 0
    assert main(["evidence", "pack", "DEDL-2"]) == 0

    assert by_clicking == outline(lake, "DEDL-2")
    assert kept == files(lake, "DEDL-2")
    evidence.verify(lake.archive / "DEDL-1" / "bag")


def files(lake: Lake, ticket: str = "DEDL-1") -> set[str]:
    folder = lake.archive / ticket / "attempts"
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


@pytest.mark.slow
def test_a_restricted_dataset_by_clicking(seat: Seat, lake: Lake) -> None:
    from dedl_workbook import sandbox
    from dedl_workbook.sandbox import oidc

    role = "DEDL_UGD_CLICKED"
    fill_form(seat)
    seat.click(seat.page.get_by_role("button", name="restricted"))
    seat.fill("that open it", role)
    seat.press("Save the ticket")
    seat.press("Validate and plan")
    seat.said("Done: plan DEDL-1")
    seat.press("Approve this plan")
    seat.said("approved plan")
    seat.press("Run")
    seat.said("it waits for somebody")
    seat.shoot("console-waiting")
    sandbox.grant(lake.sandbox.folder, oidc.USER, role)
    seat.press("Run")
    seat.said("verify: passed")

    assert verdicts(lake)[-1] == "passed"
    assert seat.clicks <= MOST


@pytest.mark.slow
def test_a_plan_is_refused_with_a_reason(seat: Seat, lake: Lake) -> None:
    fill_form(seat)
    seat.press("Save the ticket")
    seat.press("Validate and plan")
    seat.said("Done: plan DEDL-1")
    seat.fill("why", "the wrong collection")
    seat.press("Refuse this plan")
    seat.said("refused (the wrong collection)")
    seat.shoot("console-refused")

    assert ledger(lake)[-1]["reason"] == "the wrong collection"
    assert lake.collections() == []


@pytest.mark.slow
def test_a_failing_validation_shows_what_to_mend(seat: Seat, lake: Lake) -> None:
    next((lake.dataset / "metadata" / "items").iterdir()).write_text("{")
    fill_form(seat)
    seat.press("Save the ticket")
    seat.press("Validate and plan")
    seat.said("validate: failed")
    seat.shoot("console-failed")

    assert lake.collections() == []


@pytest.mark.slow
def test_a_publication_is_taken_back(seat: Seat, lake: Lake) -> None:
    lake.publish()
    lake.write_ticket()
    seat.press("DEDL-1")
    seat.fill("type DEDL-1 first", "DEDL-1")
    seat.press("Withdraw")
    seat.said("nothing was changed, since no plan is approved")
    seat.press("Approve this plan")
    seat.said("approved plan")
    seat.shoot("console-withdraw")
    seat.press("Withdraw")
    seat.said("withdraw: passed")

    assert lake.collections() == []
    assert seat.clicks <= MOST


@pytest.mark.slow
def test_the_next_notebook_opens_with_one_click(seat: Seat, lake: Lake) -> None:
    lake.write_ticket()
    seat.press("DEDL-1")
    seat.click(seat.page.get_by_text("Open 10-validate"))
    seat.page.get_by_role("tab", name="10-validate.ipynb").wait_for()
    seat.shoot("notebook-validate", console=False)

    assert Path(lake.root / "work").is_dir()


@pytest.mark.slow
def test_the_targets_tab_shows_every_service(seat: Seat) -> None:
    seat.tab("Targets")
    seat.see("PgSTAC")
    seat.shoot("console-targets")
