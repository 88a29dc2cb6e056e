"""The operator's way through a ticket in JupyterLab, by clicking."""

import json
import re
from pathlib import Path

import dedl_sandbox as sandbox
import httpx
import pytest
from dedl_sandbox import oidc
from dedl_workbook import evidence
from dedl_workbook.case import lock
from dedl_workbook.cli.main import main
from dedl_workbook.dataset import s3
from dedl_workbook.steps.order import STEPS

from tests.browser.seat import MOST, Seat
from tests.conftest import COLLECTION, Workbook


def ledger(lake: Workbook, ticket: str = "DEDL-1") -> list[dict[str, object]]:
    file = lake.archive / ticket / "ledger.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def last_verdicts(lake: Workbook) -> dict[object, object]:
    return {x["step"]: x["verdict"] for x in ledger(lake) if x["event"] == "outcome"}


def mistype(seat: Seat) -> None:
    """Make a mistake in the form of a new ticket, and see it named."""
    seat.tab("New ticket")
    seat.fill("its id in the help desk", "DEDL 1")
    seat.said("must be letters, digits")


def fill_form(seat: Seat, collection: str = COLLECTION) -> None:
    """Mend the mistake, and fill in the rest."""
    seat.page.get_by_placeholder("its id in the help desk").clear()
    seat.fill("its id in the help desk", "DEDL-1")
    seat.fill("a folder, or s3", f"delivered/{collection}")
    seat.fill("the agreed id", collection)
    seat.fill("where it is written down", "Review board, minutes 7")
    seat.page.locator("input[type=date]").fill("2026-11-02")
    seat.unsaid("must be letters, digits")


def plan(seat: Seat) -> None:
    """Save the form's ticket, and have it planned."""
    seat.press("Save the ticket")
    seat.press("Validate and plan")


def approve(seat: Seat) -> None:
    """Approve the plan, once it is there."""
    seat.said("Done: plan DEDL-1")
    seat.press("Approve this plan")
    seat.said("approved plan")


@pytest.mark.slow
def test_a_public_dataset_from_the_form_to_the_publication(
    whole: str, seat: Seat, lake: Workbook
) -> None:
    seat.see("There are no tickets yet")
    seat.shoot("console-empty")
    mistype(seat)
    seat.shoot("console-form-mistake")
    fill_form(seat, whole)
    seat.shoot("console-form")
    plan(seat)
    seat.said("Done: plan DEDL-1")
    seat.shoot("console-plan")
    approve(seat)
    seat.press("Run")
    seat.said("notify: passed")
    seat.shoot("console-published")

    assert last_verdicts(lake) == dict.fromkeys(STEPS, "passed")
    assert served(lake, whole) == 200
    assert {line["operator"] for line in ledger(lake)} == {"an.operator"}
    assert seat.clicks == 7 <= MOST, "docs/one-ticket.md says how many"


def served(lake: Workbook, collection: str) -> int:
    """Ask HDA for a collection as anybody does, and return the status."""
    guard = lake.sandbox.endpoints["guard"]
    return httpx.get(f"{guard}/collections/{collection}", timeout=60).status_code


@pytest.mark.slow
def test_the_evidence_equals_that_of_the_headless_run(
    seat: Seat, lake: Workbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistype(seat)
    fill_form(seat)
    plan(seat)
    approve(seat)
    seat.press("Run")
    seat.said("notify: passed")
    seat.press("Pack the evidence")
    seat.said("Done: evidence pack DEDL-1")
    assert seat.clicks <= MOST
    seat.page.get_by_text("Open the packed evidence").click()
    page = seat.page.frame_locator(".jp-HTMLViewer iframe")
    page.get_by_role("heading", name="Plan and approval").wait_for()
    seat.shoot("evidence", console=False)
    by_clicking = lake.root / "by-clicking"
    (lake.archive / "DEDL-1").rename(by_clicking)
    forget(lake)

    monkeypatch.setenv("DEDL_OPERATOR", "an.operator")
    assert main(["plan", "DEDL-1"]) == 0
    digest = str([x for x in ledger(lake) if x["event"] == "planned"][-1]["digest"])
    assert main(["approve", "DEDL-1", digest]) == 0
    assert main(["run", "DEDL-1"]) == 0
    assert main(["evidence", "pack", "DEDL-1"]) == 0

    headless = lake.archive / "DEDL-1"
    assert files(by_clicking) == files(headless)
    differing = [
        name
        for name in sorted(files(headless))
        if name.endswith((".json", ".jsonl", ".ipynb"))
        and told(by_clicking / name) != told(headless / name)
    ]
    assert differing == []
    for folder in (by_clicking, headless):
        evidence.verify(folder / "bag")


def forget(lake: Workbook) -> None:
    """Take the publication out of the lake, as if it had never been."""
    import psycopg

    client = s3.client(lake.target.s3)
    for key in lake.objects():
        client.delete_object(Bucket=lake.bucket, Key=key)
    with psycopg.connect(lake.admin_dsn) as connection:
        connection.execute("select pgstac.delete_collection(%s)", [COLLECTION])


def files(folder: Path) -> set[str]:
    parts = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return {str(path) for path in parts if path.parts[0] != "work"}


def told(file: Path) -> list[str]:
    """Return what a file of the evidence says, less times, sizes, counts and digests.

    Of a notebook the cells and what came of them, less its progress. Threads finish in any order,
    so of a JSON file the lines are compared in order of the alphabet.
    """
    text = file.read_text()
    if file.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        shown = [
            [o for o in cell.get("outputs", []) if "text/markdown" not in o.get("data", {})]
            for cell in cells
        ]
        text = json.dumps([[cell["source"] for cell in cells], shown])
    text = re.sub(r"\d[\d.,:]*", "0", re.sub(r"\b[0-9a-f]{12,}\b", "H", text))
    lines = [line.strip(" ,") for line in text.splitlines()]
    return sorted(lines) if file.suffix == ".json" else lines


@pytest.mark.slow
def test_a_restricted_dataset_by_clicking(
    dark: None, whole: str, seat: Seat, lake: Workbook
) -> None:
    role = "DEDL_UGD_CLICKED"
    mistype(seat)
    fill_form(seat, whole)
    seat.click(seat.page.get_by_role("button", name="restricted"))
    seat.fill("that open it", role)
    plan(seat)
    approve(seat)
    seat.press("Run")
    seat.said("it waits for somebody")
    seat.shoot("console-waiting")
    assert served(lake, whole) != 200
    sandbox.grant(lake.sandbox.folder, oidc.USER, role)
    seat.press("Run")
    seat.said("notify: passed")

    assert last_verdicts(lake) == dict.fromkeys(STEPS, "passed")
    assert served(lake, whole) in (401, 403)
    assert seat.clicks <= MOST


@pytest.mark.slow
def test_a_plan_is_refused_with_a_reason(seat: Seat, lake: Workbook) -> None:
    mistype(seat)
    fill_form(seat)
    plan(seat)
    seat.said("Done: plan DEDL-1")
    seat.fill("why", "the wrong collection")
    seat.press("Refuse this plan")
    seat.said(": the wrong collection")
    seat.shoot("console-refused")

    assert ledger(lake)[-1]["reason"] == "the wrong collection"
    assert lake.collections() == []


@pytest.mark.slow
def test_a_failing_validation_shows_what_to_mend(seat: Seat, lake: Workbook) -> None:
    next((lake.dataset / "metadata" / "items").iterdir()).write_text("{")
    mistype(seat)
    fill_form(seat)
    plan(seat)
    seat.said("validate: failed")
    seat.shoot("console-failed")

    assert lake.collections() == []


@pytest.mark.slow
def test_a_publication_is_taken_back(seat: Seat, lake: Workbook) -> None:
    lake.publish()
    lake.write_ticket()
    seat.choose("DEDL-1")
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
def test_the_next_notebook_opens_with_one_click_and_runs(seat: Seat, lake: Workbook) -> None:
    lake.write_ticket()
    seat.choose("DEDL-1")
    seat.click(seat.page.get_by_text("Open 10-validate"))
    seat.page.get_by_role("tab", name="10-validate.ipynb").wait_for()
    seat.run_to_the_end()
    seat.shoot("notebook-validate", console=False)

    assert last_verdicts(lake) == {"validate": "passed"}


@pytest.mark.slow
def test_the_targets_tab_shows_every_service(seat: Seat) -> None:
    seat.tab("Targets")
    seat.see("PgSTAC")
    seat.shoot("console-targets")


@pytest.fixture
def bad_day(lake: Workbook) -> None:
    """Give the workbook a broken ticket, and targets that are down, incomplete and broken."""
    tickets, targets = (lake.root / "parameters" / name for name in ("tickets", "targets"))
    lake.write_ticket()
    lake.write_ticket(ticket="DEDL-2", target="incomplete")
    (tickets / "DEDL-3.yaml").write_text("ticket: [DEDL-3\n")
    down = "http://127.0.0.1:9"
    values: dict[str, object] = {
        "s3": {"endpoint": down, "bucket": "pool"},
        "catalog": {"host": "127.0.0.1", "port": 9, "database": "dedl", "user": "loader"},
        "stac_api": {"url": down},
        "hda": {"url": down, "folder": "hda"},
        "iam": {"issuer": down, "identity": "environment"},
    }
    for name in ("down", "incomplete"):
        (targets / f"{name}.yaml").write_text(json.dumps(values | {"archive": f"archive/{name}"}))
    (targets / "broken.yaml").write_text("s3: [\n")
    secrets = ("S3__ACCESS_KEY", "S3__SECRET_KEY", "CATALOG__PASSWORD", "IAM__TOKEN")
    with (lake.root / ".env").open("a") as out:
        out.writelines(f"DEDL_DOWN__{name}='none-of-yours'\n" for name in secrets)


@pytest.mark.slow
def test_on_a_bad_day_each_trouble_is_named_with_its_remedy(
    bad_day: None, seat: Seat, lake: Workbook
) -> None:
    seat.choose("DEDL-3")
    seat.said("DEDL-3.yaml")
    seat.shoot("bad-ticket")
    seat.choose("DEDL-2")
    seat.said("DEDL_INCOMPLETE__")
    seat.shoot("bad-target")
    with lock.hold(lake.archive / "DEDL-1"):
        seat.choose("DEDL-1")
        seat.press("Validate and plan")
        seat.said("could not be run")
        seat.said("error: DEDL-1: the case is in use by")
        seat.shoot("locked")
    seat.tab("Targets")
    seat.see("DEDL_INCOMPLETE__S3__ACCESS_KEY")
    seat.shoot("targets-down")

    assert not (lake.archive / "DEDL-1" / "attempts").exists()


def active(seat: Seat) -> str:
    """Return what the keyboard is at, in words."""
    words: str = seat.page.evaluate(
        "() => { const at = document.activeElement;"
        " return at.dataset.ticket || at.getAttribute('placeholder') || at.textContent; }"
    )
    return words


def tab_to(seat: Seat, text: str) -> None:
    for _ in range(40):
        seat.page.keyboard.press("Tab")
        if text in active(seat):
            return
    raise AssertionError(f"{text} is not reached; the keyboard is at {active(seat)!r}")


@pytest.mark.slow
def test_the_keyboard_alone_chooses_a_ticket_and_plans_it(seat: Seat, lake: Workbook) -> None:
    for number in (1, 2, 3):
        lake.write_ticket(ticket=f"DEDL-{number}")
    seat.row("DEDL-3").wait_for()
    seat.page.locator(".dedl-tickets input").focus()
    clicks = seat.clicks
    keyboard = seat.page.keyboard

    keyboard.type("DEDL")
    tab_to(seat, "DEDL-1")
    keyboard.press("ArrowDown")
    keyboard.press("End")
    keyboard.press("Home")
    keyboard.press("ArrowDown")
    assert active(seat) == "DEDL-2"
    keyboard.press("Enter")
    seat.see("DEDL-2: ")
    assert active(seat) == "DEDL-2"
    tab_to(seat, "Validate and plan")
    assert active(seat) == "Validate and plan"
    keyboard.press("Enter")
    seat.said("Done: plan DEDL-2")

    assert seat.clicks == clicks
    assert [line["event"] for line in ledger(lake, "DEDL-2")][-1] == "planned"


@pytest.mark.slow
def test_a_thousand_tickets_are_filtered_sorted_and_folded(seat: Seat, lake: Workbook) -> None:
    for number in range(1000):
        lake.write_ticket(ticket=f"DEDL-{number}", collection=f"EO.DEDL.DAT.T_{number % 7}")
    lake.write_ticket(ticket="OTHER-1", collection="EO.OTHER.DAT.ONE", target="nowhere")
    seat.see("1001 of 1001 tickets")
    rows = seat.page.locator(".dedl-tickets tbody tr")
    assert rows.first.get_attribute("data-ticket") == "OTHER-1", "it needs somebody first"

    search = seat.page.locator(".dedl-tickets input")
    search.fill("T_3 DEDL-99")
    assert rows.all_inner_texts() != []
    seat.see(f"{rows.count()} of 1001 tickets")
    assert all("DEDL-99" in text and "T_3" in text for text in rows.all_inner_texts())
    search.fill("")
    seat.page.get_by_role("button", name="unreadable 1").click()
    assert rows.count() == 1
    seat.page.get_by_role("button", name="unreadable 1").click()
    heading = seat.page.locator(".dedl-tickets thead button", has_text="ticket")
    heading.click()
    heading.click()
    assert rows.first.get_attribute("data-ticket") == "OTHER-1"
    assert rows.nth(1).get_attribute("data-ticket") == "DEDL-999", "numbers count as numbers"
    seat.choose("DEDL-999")
    seat.see("DEDL-999: ")

    panel = seat.page.locator(".dedl-panel .widget-button:visible").first
    panel.wait_for()
    box = panel.bounding_box()
    assert box["y"] + box["height"] <= seat.page.viewport_size["height"]


@pytest.mark.slow
def test_done_tickets_are_folded(seat: Seat, lake: Workbook) -> None:
    lake.publish()
    lake.write_ticket(ticket="DEDL-2")
    seat.row("DEDL-2").wait_for()
    fold = seat.page.get_by_role("button", name="Show 1 that need nobody")
    fold.wait_for()
    assert seat.row("DEDL-1").count() == 0
    seat.shoot("console-list")

    fold.press("Enter")

    seat.row("DEDL-1").wait_for()


@pytest.mark.slow
def test_a_run_that_somebody_else_started_is_shown_as_it_goes(seat: Seat, lake: Workbook) -> None:
    lake.write_ticket()
    case = lake.case()
    (case.folder / "work").mkdir(parents=True)
    progress = case.folder / "work" / "progress"
    seat.choose("DEDL-1")
    with lock.hold(case.folder):
        case.new_attempt("upload")
        progress.write_text(json.dumps("upload: 3 of 5 files"))
        seat.see("upload: 3 of 5 files")
        seat.see("is at it, upload, since")
        assert "running" in seat.row("DEDL-1").inner_text()
        seat.shoot("console-foreign-run")
        progress.write_text(json.dumps("upload: 4 of 5 files"))
        seat.see("upload: 4 of 5 files")
        buttons = seat.page.locator(".dedl-panel button.widget-button:visible:not([disabled])")
        assert buttons.count() == 0
    seat.page.get_by_text("upload: 4 of 5 files").wait_for(state="detached")


@pytest.mark.slow
def test_a_reopened_notebook_says_what_to_do_and_how_old_it_is(seat: Seat, lake: Workbook) -> None:
    lake.write_ticket()
    seat.row("DEDL-1").wait_for()
    seat.save()
    address = seat.page.url

    seat.page.reload()
    seat.see("Run this cell (Shift+Enter)")
    seat.see(re.compile(r"as of 20\d\d-"))
    seat.shoot("console-reopened", console=False)
    second = seat.page.context.new_page()
    second.goto(address)
    second.get_by_text("Run this cell (Shift+Enter)").first.wait_for()
    second.close()
    seat.run_console()
    seat.row("DEDL-1").wait_for()

    assert (lake.root / "work" / "notebooks" / "00-console.ipynb").is_file()


@pytest.mark.slow
def test_two_consoles_show_what_either_of_them_does(seat: Seat, lake: Workbook) -> None:
    lake.write_ticket()
    seat.choose("DEDL-1")
    page = seat.page.context.new_page()
    page.set_default_timeout(120_000)
    page.goto(seat.page.url.replace("/lab/", "/lab/workspaces/second/"))
    other = Seat(page, lake.root, None)
    other.run_console()
    other.choose("DEDL-1")

    other.press("Validate and plan")
    other.said("Done: plan DEDL-1")
    seat.press("Approve this plan")
    seat.said("approved plan")
    other.see("approved")
    other.press("Run")

    other.said("notify: passed")
    assert [line["event"] for line in ledger(lake)].count("approved") == 1
