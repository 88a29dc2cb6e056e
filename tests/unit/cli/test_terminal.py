"""The terminal: JSON for programs, help with examples, names that were mistyped, refusals."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from dedl_workbook.base.errors import ConflictError
from dedl_workbook.cli.codes import COULD_NOT_RUN, DONE, FAILED
from dedl_workbook.cli.main import cli, main
from dedl_workbook.publication.job import Action, Plan
from dedl_workbook.rules.findings import Finding, Report, Severity
from dedl_workbook.views import terminal
from rich.console import Console

from tests.unit.builders import any_dataset
from tests.unit.conftest import make_case


def commands(command: click.Command, path: str = "") -> dict[str, click.Command]:
    """Return every command by its words."""
    if not isinstance(command, click.Group):
        return {path.strip(): command}
    by_words: dict[str, click.Command] = {}
    for name, below in command.commands.items():
        by_words |= commands(below, f"{path} {name}")
    return by_words


def help_of(name: str) -> str:
    return COMMANDS[name].get_help(click.Context(COMMANDS[name]))


COMMANDS = commands(cli)
REPORT = {
    "plan",
    "run",
    "approve",
    "refuse",
    "status",
    "withdraw",
    "retire",
    "rules",
    "schemas sync",
}
REPORT |= {"evidence pack", "evidence verify", "target check", "sandbox up", "sandbox status"}
REPORT |= {"validate"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_commands_help_has_an_example_of_it(name: str) -> None:
    assert re.search(rf"^examples?:\n  .*dedl-workbook {name}\b", help_of(name), flags=re.M)


@pytest.mark.parametrize("name", sorted(REPORT))
def test_every_command_that_reports_can_do_so_in_json(name: str) -> None:
    assert "--json" in help_of(name)


@pytest.fixture
def ticket(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    case = make_case(root)
    (root / "parameters" / "tickets" / "DEDL-1.yaml").write_text(
        json.dumps(case.ticket.parameters())
    )
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(root))
    return root


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_what_a_person_names_is_written_to_and_stays_what_it_is(
    tmp_path: Path, option: str
) -> None:
    root = any_dataset(tmp_path)
    link, file, pipe = tmp_path / "link", tmp_path / "file", tmp_path / "pipe"
    file.touch()
    link.symlink_to(file)
    os.mkfifo(pipe)
    reader = subprocess.Popen(["/bin/cat", pipe], stdout=subprocess.PIPE, text=True)

    codes = [main(["validate", str(root), option, str(path)]) for path in (link, pipe)]

    read, _ = reader.communicate(timeout=60)
    assert codes == [DONE, DONE]
    assert link.is_symlink()
    assert pipe.is_fifo()
    assert file.read_text()
    assert len(read) == len(file.read_text())


def test_a_folder_is_no_file_to_write_to_and_is_refused_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = any_dataset(tmp_path)

    codes = [main(["validate", str(root), "--json", name]) for name in (str(tmp_path), "")]

    said = capsys.readouterr()
    assert codes == [COULD_NOT_RUN, COULD_NOT_RUN]
    assert said.err.count("is a folder") == 2
    assert "validate:" not in said.err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the command runs."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_table_for_programs_is_printed_instead_of_the_report(
    tmp_path: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = any_dataset(tmp_path)

    assert main(["validate", str(root), "--csv", "-"]) == DONE
    printed = capsys.readouterr().out
    both = main(["validate", str(root), "--csv", "-", "--json", "-"])

    assert printed.startswith("severity,rule,")
    assert "0 errors" not in printed
    assert both == COULD_NOT_RUN
    assert list(here.iterdir()) == []


def test_what_is_printed_leaves_no_file_of_that_name_beside_what_is_written(
    tmp_path: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = any_dataset(tmp_path)

    for printed, written in (("--csv", "--json"), ("--json", "--csv")):
        assert main(["validate", str(root), printed, "-", written, "r", "--fix", "f"]) == DONE
        assert {path.name for path in here.iterdir()} == {"r", "f"}
        shutil.rmtree(here / "f")


@pytest.mark.parametrize("command", [["validate", "DATASET", "--fix", "-"], ["sample", "-"]])
def test_a_folder_can_not_be_printed(
    tmp_path: Path, here: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    root = any_dataset(tmp_path)

    code = main([str(root) if word == "DATASET" else word for word in command])

    assert code == COULD_NOT_RUN
    assert "a folder can't be printed" in capsys.readouterr().err
    assert list(here.iterdir()) == []


def completions(words: str, shell: str = "bash") -> list[str]:
    """Return what the shell offers for the last word, by the program as it is installed."""
    environment = {
        "_DEDL_WORKBOOK_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "dedl_workbook.cli"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("dedl-workbook app", ["approve"]),
        ("dedl-workbook run --reh", ["--rehearse"]),
        ("dedl-workbook run DE", ["DEDL-1"]),
        ("dedl-workbook evidence pack D", ["DEDL-1"]),
        ("dedl-workbook target check s", ["site"]),
        ("dedl-workbook rules C0", [f"C0{number}" for number in range(1, 10)]),
        ("dedl-workbook run DEDL-1 --step up", ["upload"]),
    ],
)
def test_a_shell_completes_names(ticket: Path, words: str, offered: list[str]) -> None:
    assert completions(words) == offered


def test_without_a_workbook_nothing_is_completed_and_no_error_shown(here: Path) -> None:
    assert completions("dedl-workbook run DE") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_what_makes_it_complete(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == DONE

    script = capsys.readouterr().out
    assert f"_DEDL_WORKBOOK_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_json_holds_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"a": "\x9b2J \u202e \\x9b é\n"}

    terminal.show_json(value)

    text = capsys.readouterr().out
    assert json.loads(text) == value
    assert "é" in text
    assert not {"\x9b", "\u202e"} & set(text)


def test_places_of_findings_are_folded_and_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, soft_wrap=True)
    monkeypatch.setattr(terminal, "out", console)
    where = "metadata/items/EO.DEDL.DAT.DEMO_HEAT_20260701_tile7.json#/assets/map/href"

    file, _, pointer = where.partition("#")
    finding = Finding("A01", Severity.ERROR, file, pointer, "there is no file", "Deliver it.")
    terminal.show_report(Report("delivered", (finding,)))

    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    assert where in "".join(line.strip() for line in lines)


@pytest.mark.parametrize("second", [["--from", "hda"], ["--rehearse"]])
def test_options_that_contradict_each_other_are_refused(
    second: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "DEDL-1", "--step", "upload", *second]) == COULD_NOT_RUN

    assert f"{second[0]} is not allowed with --step" in capsys.readouterr().err


def test_a_plan_of_a_dataset_that_is_not_there_starts_no_sandbox(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {**make_case(root).ticket.parameters(), "target": "sandbox", "dataset": "nowhere"}
    (root / "parameters" / "tickets" / "DEDL-1.yaml").write_text(json.dumps(values))
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(root))

    assert main(["plan", "DEDL-1"]) == COULD_NOT_RUN
    assert "there is no such folder" in capsys.readouterr().err
    assert not (root / ".sandbox").exists()


def planned(root: Path) -> dict[str, Any]:
    case = make_case(root)
    plan = Plan("upload", case.job, {"files": 1}, {"files": 0}, (Action("upload", "files", 1, 4),))
    return case._keep_plan([plan])


def test_a_plan_names_the_objects_that_go_and_the_hosts_that_items_lead_to(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goal = {"items": 2, "elsewhere": {"data.example.org": 1_002}}
    detail = {"objects": [f"EO.X/T-1/data/{n:02}" for n in range(25)], "afterwards": "no way back"}
    actions = (Action("delete", "objects", 25),)
    plan = make_case(root)._keep_plan(
        [Plan("retire", make_case(root).job, goal, {}, actions, detail)]
    )

    terminal.show_plan("T-1", plan)

    text = capsys.readouterr().out
    assert "1,002 assets, on data.example.org" in text
    assert "EO.X/T-1/data/19\n  and 5 more" in text
    assert "afterwards: no way back" in text


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_status_tells_programs_where_a_ticket_stands_and_what_comes_next(
    ticket: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--json"]) == DONE
    assert told(capsys)[0]["next"] == "plan"

    planned(ticket)

    assert main(["status", "--json"]) == DONE
    standing = told(capsys)[0]
    assert (standing["state"], standing["next"]) == ("planned", "approve")


def test_a_refusal_stands_in_the_ledger_with_its_reason_and_voids_an_approval(
    ticket: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = planned(ticket)["digest"]
    assert main(["approve", "DEDL-1", digest, "--json"]) == DONE
    case = make_case(ticket)
    assert case.approved_plan() is not None
    capsys.readouterr()

    assert main(["refuse", "DEDL-1", digest[:12], "--reason", "wrong id", "--json"]) == DONE

    line = told(capsys)
    assert (line["event"], line["digest"], line["reason"]) == ("refused", digest, "wrong id")
    assert case.approved_plan() is None
    assert main(["status", "--json"]) == DONE
    assert told(capsys)[0]["state"] == "plan refused"


def test_a_refused_plan_can_be_approved_again(ticket: Path) -> None:
    digest = planned(ticket)["digest"]
    main(["refuse", "DEDL-1", digest, "--reason", "not yet"])

    assert main(["approve", "DEDL-1", digest]) == DONE

    assert make_case(ticket).approved_plan() is not None


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_refusal_needs_a_reason(
    ticket: Path, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = planned(ticket)["digest"]

    assert main(["refuse", "DEDL-1", digest, "--reason", reason]) == COULD_NOT_RUN

    assert "a refusal needs a reason" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["status", "DEDL-2"], "DEDL-1"),
        (["target", "check", "sit"], "site"),
        (["run", "DEDL-1", "--step", "uplod"], "upload"),
        (["rules", "C4"], "C04"),
        (["refus", "DEDL-1"], "refuse"),
    ],
)
def test_offers_the_nearest_name(
    ticket: Path, arguments: list[str], near: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main(arguments)

    said = capfd.readouterr()
    assert code == COULD_NOT_RUN
    assert re.search(f"Did you mean .*'{near}'", said.err + said.out)


def test_a_service_that_does_not_answer_is_named_with_its_remedy(
    ticket: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["target", "check", "site", "--json"]) == FAILED

    found = {one["service"]: one for one in told(capsys)["site"]}
    states = {name: one["state"] for name, one in found.items()}
    assert [name for name, state in states.items() if state == "fails"] == [
        "S3 pool",
        "database",
        "STAC API",
    ]
    assert [states[name] for name in ("HDA", "IAM", "S3 proposals")] == ["not configured"] * 3
    assert all(one["remedy"] for one in found.values() if one["state"] == "fails")


def test_a_target_that_lacks_a_secret_says_which_variable_to_set(
    ticket: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEDL_SITE__S3__SECRET_KEY")

    assert main(["target", "check"]) == FAILED

    assert "DEDL_SITE__S3__SECRET_KEY" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("variables", "table", "coloured"),
    [
        ({}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    ticket: Path, variables: dict[str, str], table: bool, coloured: bool
) -> None:
    planned(ticket)
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "dedl_workbook.cli",
            "refuse",
            "DEDL-1",
            "0" * 12,
            "--reason",
            "x",
        ],
        env=clean | variables,
        capture_output=True,
        text=True,
    )
    listed = subprocess.run(
        [sys.executable, "-m", "dedl_workbook.cli", "status", "--wide"],
        env=clean | variables,
        capture_output=True,
        text=True,
    )

    assert bool(re.search(r"\x1b\[(1;)?3\d", done.stderr)) is coloured
    assert ("│" in listed.stdout) is table
    assert table or "DEDL-1\tEO.XXX.DAT.YYY\tsite" in listed.stdout


def test_an_error_of_one_ticket_of_many_is_a_line_of_sentences(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = ConflictError("the case is in use", where="DEDL-1", remedy="Wait until that ends.")

    terminal.show_error(error, "DEDL-1")

    said = capsys.readouterr().err
    assert said == "could not run DEDL-1: the case is in use. Wait until that ends.\n"
