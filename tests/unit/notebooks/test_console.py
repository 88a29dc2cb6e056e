"""The console without servers: the form's messages, the list, what stands beside buttons."""

import datetime as dt
import json
from pathlib import Path

import pytest
import yaml
from dedl_workbook.notebooks.console import Console, case_html, widgets
from dedl_workbook.notebooks.console.process import Done, Work
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.standing import standing

from tests.unit.conftest import make_case, worked_case


@pytest.fixture
def console(root: Path) -> Console:
    return Console(root)


def write(root: Path, **changes: object) -> None:
    case = make_case(root, **changes)
    file = root / "parameters" / "tickets" / f"{case.ticket.ticket}.yaml"
    file.write_text(json.dumps(case.ticket.parameters()))


def fill(console: Console, **values: object) -> None:
    good = {"ticket": "DEDL-7", "dataset": "delivered", "collection": "EO.XXX.DAT.YYY"}
    for key, value in (good | values).items():
        console.form.fields[key].value = value


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("ticket", "DEDL 7", "must be letters, digits"),
        ("collection", "EO XXX", "must be letters, digits, dots"),
        ("dataset", "deliverd", "there is no folder deliverd"),
        ("board_date", dt.date(2999, 1, 1), "lies in the future"),
    ],
)
def test_says_at_the_field_what_is_wrong_and_saves_nothing(
    root: Path, console: Console, key: str, value: object, said: str
) -> None:
    fill(console, **{key: value})

    assert said in console.form.messages[key].value
    assert console.form.save.button.disabled
    console.form.save.button.click()
    assert list((root / "parameters" / "tickets").iterdir()) == []


def test_a_mistake_that_is_mended_is_forgotten(root: Path, console: Console) -> None:
    fill(console, ticket="DEDL 7")
    fill(console)

    assert console.form.messages["ticket"].value.count("must be") == 0
    console.form.save.button.click()

    ticket = Ticket.load("DEDL-7", root)
    assert (ticket.dataset, ticket.access, ticket.target) == ("delivered", "public", "site")
    assert console.chosen == "DEDL-7"


def test_a_restricted_ticket_needs_roles(root: Path, console: Console) -> None:
    fill(console, access="restricted")
    assert console.form.save.button.disabled

    fill(console, access="restricted", roles="ROLE_A, not a role")
    assert "must be letters" in console.form.messages["roles"].value

    fill(console, access="restricted", roles="ROLE_A, ROLE_B")
    console.form.save.button.click()
    assert Ticket.load("DEDL-7", root).roles == ["ROLE_A", "ROLE_B"]


def test_never_writes_over_a_ticket(root: Path, console: Console) -> None:
    write(root, ticket="DEDL-7")
    before = (root / "parameters" / "tickets" / "DEDL-7.yaml").read_text()

    fill(console)
    console.form._save()

    assert "already" in console.form.messages["ticket"].value
    assert (root / "parameters" / "tickets" / "DEDL-7.yaml").read_text() == before


def test_lists_tickets_with_where_they_stand_and_narrows_them_down(
    root: Path, console: Console
) -> None:
    write(root)
    write(root, ticket="DEDL-2", collection="EO.OTHER.DAT.ONE")
    worked_case(root)
    console.refresh()
    assert [row.children[0].description for row in console.rows.children[:-1]] == [
        "DEDL-1",
        "DEDL-2",
    ]

    console.filter.value = "other"

    assert [row.children[0].description for row in console.rows.children[:-1]] == ["DEDL-2"]
    assert "1 of 2 tickets" in console.rows.children[-1].value


def test_a_ticket_that_cannot_be_read_is_shown_with_its_error(root: Path, console: Console) -> None:
    write(root)
    worked_case(root)
    console.refresh()
    console.choose("DEDL-1")
    panel = console.panel
    (root / "parameters" / "tickets" / "BAD.yaml").write_text(yaml.safe_dump({"tikcet": "BAD"}))

    console.refresh()
    console.choose("BAD")

    assert "Did you mean" in panel.note.value
    assert "mend its file" in console.rows.children[0].children[1].value
    fields = (panel._refusal, panel._withdrawal)
    parts = [*(act.box for act in panel.acts.values()), *fields]
    assert [part for part in parts if part.layout.display != "none"] == []
    assert [t.value for t in (panel._notebook, panel._plan, panel._steps, panel._papers)] == [
        ""
    ] * 4


def test_every_button_says_what_it_will_do(root: Path, console: Console) -> None:
    write(root)
    worked_case(root)
    console.refresh()
    console.choose("DEDL-1")

    acts = [*console.panel.acts.values(), console.form.save, console.targets._again]
    assert [act.button.description for act in acts if len(act.button.tooltip) < 20] == []


def test_the_record_holds_every_choice_and_no_markup_of_others(
    root: Path, console: Console
) -> None:
    write(root)
    console.refresh()
    console.choose("DEDL-1")

    view = console._as_view()

    assert "chose DEDL-1" in repr(view)
    assert "DEDL-1  EO.XXX.DAT.YYY  site" in repr(view)


def test_what_people_wrote_is_never_markup(root: Path, console: Console) -> None:
    bad = "<img src=x onerror=alert(1)>"
    fill(console, ticket=bad, dataset=bad)

    for message in console.form.messages.values():
        assert "<img" not in message.value
    assert "<img" not in console.form.save.says.value
    assert "<img" not in widgets.note("bad", bad)


def test_links_what_jupyterlab_can_open_and_names_the_rest(root: Path, tmp_path: Path) -> None:
    assert "docmanager:open" in widgets.link(root / "archive" / "a.html", root, "a")
    assert "docmanager:open" not in widgets.link(tmp_path / "elsewhere.html", root, "a")


def test_the_next_notebook_is_that_of_the_first_step_that_has_not_passed(root: Path) -> None:
    case = worked_case(root)

    step = case_html.next_step(standing(case.ledger()))

    assert step is not None
    assert step.name == "access"


def test_in_a_withdrawal_the_next_notebook_is_that_of_the_withdrawal(root: Path) -> None:
    case = worked_case(root)
    lines = [*case.ledger(), {"event": "planned", "steps": ["withdraw", "notify"], "changes": 3}]
    lines.append({"event": "approved"})

    step = case_html.next_step(standing(lines))

    assert step is not None
    assert step.name == "withdraw"


def test_what_a_command_says_holds_no_colours_though_the_kernel_asks_for_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    done: list[Done] = []
    work = Work(root)

    work.start(["plan", "nothing"], done.append)
    work.wait(60)

    assert done[0].code == 2
    assert "error: " in done[0].said
    assert "\x1b" not in done[0].said


def test_a_strangers_folder_among_the_attempts_hides_none_of_them(tmp_path: Path) -> None:
    for name in ("001-validate", "1a-odd", "²-odd", "010-verify", "002-plan"):
        (tmp_path / "case" / "attempts" / name).mkdir(parents=True)

    markup = case_html.evidence(tmp_path / "case", tmp_path)

    assert "3 attempts" in markup
    assert markup.index("010-verify") < markup.index("002-plan") < markup.index("001-validate")


@pytest.mark.parametrize(("target", "shown"), [("site", False), ("sandbox", True)])
def test_only_the_sandbox_has_its_tickets_filed_from_here(
    root: Path, console: Console, monkeypatch: pytest.MonkeyPatch, target: str, shown: bool
) -> None:
    targets = root / "parameters" / "targets"
    (targets / "sandbox.yaml").write_bytes((targets / "site.yaml").read_bytes())
    for name in ("S3__ACCESS_KEY", "S3__SECRET_KEY", "CATALOG__PASSWORD"):
        monkeypatch.setenv(f"DEDL_SANDBOX__{name}", "canary-of-the-sandbox")
    write(root, target=target)
    console.refresh()

    console.choose("DEDL-1")

    assert (console.panel.acts["file"].box.layout.display != "none") is shown
