"""A help desk behind a program of the site: the example of the docs, and programs that fail."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.services.helpdesk import Attachment, Message, UnansweredError, deliver
from dedl_workbook.services.helpdesk.command import Command, Settings
from pydantic import ValidationError

EXAMPLE = Path(__file__).parents[3] / "docs" / "how-to" / "help_desk_command.py"
LIMIT = 100_000


def desk(folder: Path, *program: str, **changes: Any) -> Command:
    command = program or (sys.executable, str(EXAMPLE), str(folder / "desk.sqlite"))
    return Command(Settings.model_validate({"command": command, "timeout": 20, **changes}))


def stored(folder: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "desk.sqlite") as database:
        sql = "select ticket, marker, text, internal from messages order by id"
        return database.execute(sql).fetchall()


def a_message(folder: Path, **changes: Any) -> Message:
    (folder / "report.json").write_bytes(bytes(range(256)))
    values = {
        "ticket": "DEDL-1",
        "purpose": "accepted",
        "subject": "It is published",
        "text": "Hello,\n\n  it is done: Łódź ☀\n",
        "marker": "m1",
        "attachments": (Attachment("report.json", folder / "report.json"),),
        **changes,
    }
    return Message(**values)


def script(folder: Path, body: str) -> str:
    """Return a program that does this around the example's answer."""
    file = folder / "program.py"
    file.write_text(
        f"#!{sys.executable}\n"
        "import json, os, signal, subprocess, sys, time\n"
        "text = sys.stdin.read()\n"
        "action = json.loads(text)['action']\n"
        f"example = [{sys.executable!r}, {str(EXAMPLE)!r}, {str(folder / 'desk.sqlite')!r}]\n"
        "answer = lambda: subprocess.check_output(example, input=text, text=True)\n"
        f"{body}\n"
    )
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


def test_a_message_arrives_with_its_attachments_and_can_be_read_back(tmp_path: Path) -> None:
    message = a_message(tmp_path)

    sent = deliver(desk(tmp_path), message, limit=LIMIT)

    assert not sent.already
    assert stored(tmp_path) == [("DEDL-1", "m1", message.text, 0)]
    posted = desk(tmp_path).read("DEDL-1", sent.reference)
    assert posted.text == message.text
    assert posted.attachments == {"report.json": message.attachments[0].sha256}
    assert desk(tmp_path).find("DEDL-1") == "desk:DEDL-1"
    assert desk(tmp_path).health() == "the example desk"


def test_a_message_that_is_sent_twice_arrives_once(tmp_path: Path) -> None:
    first = deliver(desk(tmp_path), a_message(tmp_path), limit=LIMIT)

    again = deliver(desk(tmp_path), a_message(tmp_path), limit=LIMIT)
    deliver(desk(tmp_path), a_message(tmp_path, marker="another"), limit=LIMIT)

    assert (again.reference, again.already) == (first.reference, True)
    assert [row[1] for row in stored(tmp_path)] == ["m1", "another"]


@pytest.mark.parametrize(
    "end",
    ["os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(3)", "print('{')", "time.sleep(60)"],
    ids=["killed", "fails", "garbage", "hangs"],
)
def test_an_answer_lost_after_the_message_was_stored_sends_no_second_one(
    tmp_path: Path, end: str
) -> None:
    body = f"said = answer()\nif action == 'reply':\n    {end}\n    sys.exit(0)\nprint(said)"
    lossy = desk(tmp_path, script(tmp_path, body), timeout=5)

    sent = deliver(lossy, a_message(tmp_path), limit=LIMIT)
    again = deliver(desk(tmp_path), a_message(tmp_path), limit=LIMIT)

    assert again.already
    assert again.reference == sent.reference
    assert len(stored(tmp_path)) == 1


def test_a_message_that_was_not_stored_is_sent_by_the_next_try(tmp_path: Path) -> None:
    body = "if action == 'reply':\n    sys.exit('no route to the desk')\nprint(answer())"
    lossy = desk(tmp_path, script(tmp_path, body))

    with pytest.raises(UnansweredError, match="ended with 1: no route to the desk"):
        deliver(lossy, a_message(tmp_path), limit=LIMIT)
    assert stored(tmp_path) == []

    assert not deliver(desk(tmp_path), a_message(tmp_path), limit=LIMIT).already


SENDER = """
import sys
from pathlib import Path
from dedl_workbook.services.helpdesk import Message, deliver
from dedl_workbook.services.helpdesk.command import Command, Settings
desk = Command(Settings(command=(sys.argv[1],)))
deliver(desk, Message("DEDL-1", "accepted", "Done", "It is done.", "killed"), limit=10)
"""


def test_a_sender_killed_when_the_desk_had_stored_it_sends_no_second_one(tmp_path: Path) -> None:
    kill = "if action == 'reply':\n    os.kill(os.getppid(), signal.SIGKILL)"
    body = f"said = answer()\n{kill}\nprint(said)"
    command = [sys.executable, "-c", SENDER, script(tmp_path, body)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    message = a_message(tmp_path, marker="killed", attachments=())

    assert deliver(desk(tmp_path), message, limit=LIMIT).already
    assert len(stored(tmp_path)) == 1


def test_a_comment_is_internal_and_only_where_the_desk_has_them(tmp_path: Path) -> None:
    deliver(desk(tmp_path, comments=True), a_message(tmp_path), limit=LIMIT, internal=True)

    assert stored(tmp_path)[0][3] == 1
    with pytest.raises(InputError, match="no internal comments"):
        desk(tmp_path).comment(a_message(tmp_path))


def test_a_problem_of_the_program_is_told_with_its_remedy(tmp_path: Path) -> None:
    answer = {"problem": "there is no ticket\x1b[31m", "remedy": "Open one."}
    program = script(tmp_path, f"print(json.dumps({answer!r}))")

    with pytest.raises(InputError, match="there is no ticket") as refused:
        desk(tmp_path, program).find("DEDL-1")

    assert refused.value.remedy == "Open one."
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("[]", "no JSON object"),
        ("{}", "has no text 'reference'"),
        ('{"reference": 7}', "has no text 'reference'"),
        ("", "no output"),
    ],
)
def test_an_unusable_answer_is_refused(tmp_path: Path, output: str, reason: str) -> None:
    program = script(tmp_path, f"sys.stdout.write({output!r})")

    with pytest.raises(ServiceError, match=reason) as refused:
        desk(tmp_path, program).sent("DEDL-1", "m1")

    assert not isinstance(refused.value, UnansweredError)


def test_the_program_gets_the_password_alone_and_no_error_repeats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDL_SITE__S3__SECRET_KEY", "canary-s3")
    shown = "{k: v for k, v in os.environ.items() if 'DESK' in k or 'DEDL' in k or 'canary' in v}"
    program = script(tmp_path, f"sys.exit(json.dumps({shown}))")

    with pytest.raises(ServiceError) as refused:
        desk(tmp_path, program, user="me", password="canary-desk").health()

    assert '"HELPDESK_USER": "me"' in str(refused.value)
    assert '"HELPDESK_PASSWORD": "[redacted]"' in str(refused.value)
    assert "canary" not in str(refused.value)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be run") as refused:
        desk(tmp_path, "/nowhere/desk").health()

    assert refused.value.where == "/nowhere/desk"


def test_the_command_is_a_list_also_in_a_variable() -> None:
    settings = Settings.model_validate({"command": json.dumps(["desk", "a b"])})

    assert settings.command == ("desk", "a b")
    for wrong in ([], "desk", None):
        with pytest.raises(ValidationError):
            Settings.model_validate({"command": wrong})


def test_the_example_is_a_program_of_its_own() -> None:
    assert os.access(EXAMPLE, os.X_OK)
