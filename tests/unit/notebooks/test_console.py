"""The console without servers: the form's messages, the list, what stands beside buttons."""

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dedl_workbook.case import status
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


def listed(console: Console) -> dict[str, dict[str, str]]:
    """Return the rows of the table by ticket, in their order."""
    columns = console.table.columns
    rows = console.table.rows
    return {row["id"]: dict(zip(columns, row["cells"], strict=True)) for row in rows}


def test_lists_tickets_with_where_they_stand_those_that_need_somebody_first(
    root: Path, console: Console
) -> None:
    write(root)
    write(root, ticket="DEDL-2", collection="EO.OTHER.DAT.ONE")
    worked_case(root)
    (root / "parameters" / "tickets" / "DEDL-3.yaml").write_text("ticket: [")

    console.refresh()

    rows = listed(console)
    assert next(iter(rows)) == "DEDL-3"
    assert sorted(rows) == ["DEDL-1", "DEDL-2", "DEDL-3"]
    assert [row.ticket for row in status.rows(root)] == list(rows)
    assert rows["DEDL-2"]["state"] == "new"


def test_only_what_has_changed_is_read_again(
    root: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 6):
        write(root, ticket=f"DEDL-{number}")
    console.refresh()
    console.refresh()
    asked: list[object] = []
    real = status.rows
    monkeypatch.setattr(status, "rows", lambda *given: asked.append(given[1:]) or real(*given))

    console.refresh()
    write(root, ticket="DEDL-3", collection="EO.OTHER.DAT.ONE")
    console.refresh()
    (root / "parameters" / "tickets" / "DEDL-4.yaml").unlink()
    console.refresh()

    assert asked == [(["DEDL-3"],), ([],)]
    assert listed(console)["DEDL-3"]["collection"] == "EO.OTHER.DAT.ONE"
    assert "DEDL-4" not in listed(console)


def test_a_ticket_that_comes_while_others_are_read_is_not_overlooked(
    root: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root)
    real = status.rows

    def slow(*given: Any) -> Any:
        rows = real(*given)
        write(root, ticket="DEDL-2")
        return rows

    monkeypatch.setattr(status, "rows", slow)
    console.refresh()
    monkeypatch.setattr(status, "rows", real)
    assert list(listed(console)) == ["DEDL-1"]

    assert console._read_stamps() != console._stamps
    console.refresh()

    assert list(listed(console)) == ["DEDL-1", "DEDL-2"]


def test_a_thousand_tickets_are_listed(root: Path) -> None:
    for number in range(1000):
        write(root, ticket=f"DEDL-{number}")

    assert len(Console(root).table.rows) == 1000


def test_who_is_at_a_ticket_since_when_and_how_far_is_shown(root: Path, console: Console) -> None:
    write(root)
    case = worked_case(root)
    (case.folder / "work").mkdir(exist_ok=True)
    (case.folder / "work" / "progress").write_text(json.dumps("upload: 3 of 5 files"))
    code = (
        "import sys; from pathlib import Path; from dedl_workbook.case import lock\n"
        "with lock.hold(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    environment = os.environ | {"DEDL_OPERATOR": "a.colleague"}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(case.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        console.refresh()
        console.choose("DEDL-1")

        shown = console.panel._elsewhere.value
        assert "a.colleague" in shown
        assert f"process {other.pid}" in shown
        assert "upload: 3 of 5 files" in shown
        assert "a.colleague" in listed(console)["DEDL-1"]["by"]
        assert all(act.button.disabled for act in console.panel.acts.values())
        other.communicate()
    console.refresh()

    assert console.panel._elsewhere.value == ""
    assert not console.panel.acts["plan"].button.disabled


def test_a_button_of_a_ticket_that_was_left_does_nothing(
    root: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root)
    write(root, ticket="DEDL-2")
    console.refresh()
    console.choose("DEDL-1")
    first = console.panel
    button = first.acts["plan"].button

    console.choose("DEDL-2")

    assert button.comm is None
    assert console.panel.acts["plan"].button is not button
    assert first.ticket == "DEDL-1"


def test_another_plan_has_buttons_of_its_own(root: Path, console: Console) -> None:
    write(root)
    case = worked_case(root)
    console.refresh()
    console.choose("DEDL-1")
    before = console.panel.acts["approve"].button
    console.refresh()
    assert console.panel.acts["approve"].button is before

    console.panel._digest = "another"
    console.panel.show(console.rows["DEDL-1"])

    assert console.panel.acts["approve"].button is not before
    assert case.ticket.ticket == "DEDL-1"


def test_the_form_has_waivers_and_downloads(root: Path, console: Console) -> None:
    fill(console, waivers="C05; the board knows; Ada\n\nnonsense")
    assert "waivers" in console.form.save.says.value or console.form.save.button.disabled
    assert console.form.messages["waivers"].value.count("Fix this") == 1
    fill(console, downloads=0)
    assert console.form.messages["downloads"].value.count("Fix this") == 1

    fill(console, waivers="C05; the board knows; Ada", downloads=7)
    console.form.save.button.click()

    ticket = Ticket.load("DEDL-7", root)
    assert (ticket.downloads, ticket.waivers[0].agreed_by) == (7, "Ada")


def test_a_folder_is_picked(root: Path, console: Console) -> None:
    (root / "delivered" / "one" / "metadata").mkdir(parents=True)
    (root / "delivered" / "one" / "metadata" / "collection.json").write_text("{}")
    folders = console.form.folders
    folders.list.value = "delivered"
    folders.acts["into"].button.click()
    assert ("one (a dataset)", "one") in folders.list.options
    folders.list.value = "one"
    folders.acts["use"].button.click()
    assert console.form.fields["dataset"].value == "delivered/one"

    folders.acts["out"].button.click()
    folders.acts["out"].button.click()
    folders.list.value = None
    folders.acts["use"].button.click()
    assert console.form.fields["dataset"].value == str(root.parent)


def test_a_kernel_that_dies_while_a_ticket_is_written_leaves_none_of_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = root / "parameters" / "tickets"
    code = (
        "import os, sys; from pathlib import Path; from dedl_workbook.base import files\n"
        "os.fsync = lambda handle: os._exit(9)\n"
        "files.write_new(Path(sys.argv[1]), 'ticket: DEDL-7')"
    )

    ended = subprocess.run([sys.executable, "-c", code, str(folder / "DEDL-7.yaml")], check=False)

    assert ended.returncode == 9
    assert not (folder / "DEDL-7.yaml").exists()
    assert Console(root).table.rows == []


def test_a_ticket_that_cannot_be_read_is_shown_with_its_error(root: Path, console: Console) -> None:
    write(root)
    worked_case(root)
    console.refresh()
    console.choose("DEDL-1")
    (root / "parameters" / "tickets" / "BAD.yaml").write_text(yaml.safe_dump({"tikcet": "BAD"}))

    console.refresh()
    console.choose("BAD")
    panel = console.panel

    assert "Did you mean" in panel.note.value
    assert listed(console)["BAD"]["next"] == "fix its file"
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
    assert "error: " in done[0].error
    assert "\x1b" not in done[0].error


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
