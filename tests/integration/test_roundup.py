"""Replies in a real Roundup: each arrives once, whole, whatever goes wrong on the way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from dedl_sandbox.helpdesk import OPERATOR
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.services import helpdesk
from dedl_workbook.services.helpdesk import Attachment, Message, UnansweredError, deliver
from dedl_workbook.services.helpdesk.roundup import Roundup
from pydantic import SecretStr

from tests.integration.desk import ANSWER, CLOSE, HANG, Desk, Proxy, proxy, running

LIMIT = 10_000_000


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with running(tmp_path_factory.mktemp("desk")) as found:
        yield found


@pytest.fixture
def lossy(desk: Desk) -> Iterator[Proxy]:
    with proxy(desk) as made:
        yield made


def roundup(desk: Desk, **changes: object) -> Roundup:
    return Roundup(desk.settings(**changes), "site")


def a_ticket(desk: Desk) -> tuple[str, str]:
    title = f"DEDL-{uuid.uuid4().hex[:8]}"
    return title, desk.file_ticket(title)


def a_message(folder: Path, ticket: str, **changes: object) -> Message:
    files = {"10-validate.html": b"<h1>all is well</h1>", "report.json": bytes(range(256)) * 40}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    text = "Hello,\n\n  it is done: Łódź ☀\n\nDEDL\n"
    values = {
        "ticket": ticket,
        "purpose": "accepted",
        "subject": "It is published",
        "text": text,
        "marker": helpdesk.mark(ticket, "accepted", text),
        "attachments": tuple(Attachment(name, folder / name) for name in files),
        **changes,
    }
    return Message(**values)  # type: ignore[arg-type]


def test_the_tickets_of_the_demo_are_open(desk: Desk) -> None:
    assert roundup(desk).find("DEMO-1").startswith(f"{desk.url}/issue")
    assert roundup(desk).find("DEMO-2") != roundup(desk).find("DEMO-1")


def test_a_reply_arrives_with_its_attachments_and_can_be_read_back(
    desk: Desk, tmp_path: Path
) -> None:
    ticket, number = a_ticket(desk)
    message = a_message(tmp_path, ticket)

    sent = deliver(roundup(desk), message, limit=LIMIT)

    (shown,) = desk.messages(number)
    assert not sent.already
    assert sent.reference == f"{desk.url}/issue{number}#msg{shown['id']}"
    assert shown["content"] == message.text.strip()
    assert shown["author"] == OPERATOR
    assert shown["files"] == ["10-validate.html", "report.json"]
    posted = roundup(desk).read(ticket, sent.reference)
    assert posted.text == message.text.strip()
    assert posted.attachments == {a.name: a.sha256 for a in message.attachments}


def test_a_reply_that_is_sent_twice_arrives_once(desk: Desk, tmp_path: Path) -> None:
    ticket, number = a_ticket(desk)
    message = a_message(tmp_path, ticket)
    first = deliver(roundup(desk), message, limit=LIMIT)

    again = deliver(roundup(desk), message, limit=LIMIT)

    assert (again.reference, again.already) == (first.reference, True)
    assert len(desk.messages(number)) == 1


def test_another_message_in_the_same_ticket_arrives_too(desk: Desk, tmp_path: Path) -> None:
    ticket, number = a_ticket(desk)
    deliver(roundup(desk), a_message(tmp_path, ticket), limit=LIMIT)

    deliver(roundup(desk), a_message(tmp_path, ticket, marker="another"), limit=LIMIT)

    assert len(desk.messages(number)) == 2


@pytest.mark.parametrize("fate", [HANG, CLOSE])
def test_an_answer_lost_after_the_reply_was_stored_sends_no_second_one(
    desk: Desk, lossy: Proxy, tmp_path: Path, fate: str
) -> None:
    ticket, number = a_ticket(desk)
    message = a_message(tmp_path, ticket)
    lossy.when = lambda method, path: fate if method == "PATCH" else ANSWER

    sent = deliver(roundup(desk, url=lossy.url, timeout=1.0), message, limit=LIMIT)
    again = deliver(roundup(desk), message, limit=LIMIT)

    assert [method for method, _ in lossy.requests].count("PATCH") == 1
    assert sent.reference == f"{lossy.url}/issue{number}#msg{desk.messages(number)[0]['id']}"
    assert again.already
    assert len(desk.messages(number)) == 1


@pytest.mark.parametrize("move", ["/rest/data/file", "/rest/data/msg"])
def test_a_reply_cut_off_before_it_is_shown_is_finished_by_the_next_try(
    desk: Desk, lossy: Proxy, tmp_path: Path, move: str
) -> None:
    ticket, number = a_ticket(desk)
    message = a_message(tmp_path, ticket)
    lossy.when = lambda method, path: CLOSE if (method, path) == ("POST", move) else ANSWER
    with pytest.raises(UnansweredError, match="gave no answer"):
        deliver(roundup(desk, url=lossy.url), message, limit=LIMIT)
    assert desk.messages(number) == []

    deliver(roundup(desk), message, limit=LIMIT)

    (shown,) = desk.messages(number)
    assert shown["files"] == ["10-validate.html", "report.json"]
    assert desk.stored(message.marker) == 1


SENDER = """
import sys
from pathlib import Path
from dedl_workbook.services.helpdesk import Attachment
from dedl_workbook.services.helpdesk import Message
from dedl_workbook.services.helpdesk import deliver
from dedl_workbook.services.helpdesk.roundup import Roundup, Settings

url, user, password, ticket, marker, file = sys.argv[1:]
settings = Settings(url=url, user=user, password=password)
message = Message(ticket, "accepted", "Done", "It is done.", marker,
                  (Attachment("a.html", Path(file)),))
deliver(Roundup(settings, "site"), message, limit=10**6)
"""


@pytest.mark.parametrize(
    "last",
    [("POST", "/rest/data/file"), ("POST", "/rest/data/msg"), ("PATCH", "/rest/data/issue/")],
    ids=["file", "message", "link"],
)
def test_a_sender_killed_when_the_desk_had_stored_it_sends_no_second_one(
    desk: Desk, lossy: Proxy, tmp_path: Path, last: tuple[str, str]
) -> None:
    ticket, number = a_ticket(desk)
    (tmp_path / "a.html").write_text("<p>")
    password = desk.passwords[OPERATOR]
    arguments = [lossy.url, OPERATOR, password, ticket, "killed", str(tmp_path / "a.html")]
    victims: list[subprocess.Popen[bytes]] = []

    def kill(method: str, path: str) -> None:
        if method == last[0] and path.startswith(last[1]):
            os.kill(victims[0].pid, signal.SIGKILL)

    lossy.after = kill
    victims.append(subprocess.Popen([sys.executable, "-c", SENDER, *arguments]))
    assert victims[0].wait(60) == -signal.SIGKILL
    assert len(desk.messages(number)) == (1 if last[0] == "PATCH" else 0)

    arguments[0] = desk.url
    subprocess.run([sys.executable, "-c", SENDER, *arguments], check=True)

    (shown,) = desk.messages(number)
    assert shown["files"] == ["a.html"]


def test_a_ticket_that_somebody_changes_meanwhile_keeps_both_changes(
    desk: Desk, lossy: Proxy, tmp_path: Path
) -> None:
    ticket, number = a_ticket(desk)
    changed: list[int] = []

    def change(method: str, path: str) -> str:
        if method == "PATCH" and not changed:
            with desk.client() as client:
                tag = client.get(f"/rest/data/issue/{number}").json()["data"]["@etag"]
                done = client.patch(
                    f"/rest/data/issue/{number}",
                    json={"priority": "urgent"},
                    headers={"If-Match": tag},
                )
                changed.append(done.status_code)
        return ANSWER

    lossy.when = change
    deliver(roundup(desk, url=lossy.url), a_message(tmp_path, ticket), limit=LIMIT)

    assert changed == [200]
    assert [method for method, _ in lossy.requests].count("PATCH") == 2
    assert desk.ticket(number)["priority"] is not None
    assert len(desk.messages(number)) == 1


def test_hostile_text_is_shown_as_text_and_hostile_files_are_not_run(
    desk: Desk, tmp_path: Path
) -> None:
    ticket, number = a_ticket(desk)
    text = '<script>alert(1)</script> **bold** [x](javascript:alert(1)) <img src="x">'

    deliver(roundup(desk), a_message(tmp_path, ticket, text=text), limit=LIMIT)

    with desk.client() as client:
        page = client.get(f"/issue{number}").text
        (shown,) = desk.messages(number)
        file = client.get(f"/file{shown['file_ids'][0]}/10-validate.html")
    assert shown["content"] == text
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert '<img src="x">' not in page
    assert "text/html" not in file.headers["Content-Type"]


def test_says_that_the_desk_is_down(desk: Desk, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ServiceError, match="can't be reached") as refused:
            deliver(roundup(desk, url=nobody), a_message(tmp_path, "DEMO-1"), limit=LIMIT)

    assert not isinstance(refused.value, UnansweredError)
    assert "nothing is sent twice" in str(refused.value)


def test_says_which_settings_hold_a_wrong_password_and_never_the_password(desk: Desk) -> None:
    with pytest.raises(InputError, match="refuses the user 'workbook'") as refused:
        roundup(desk, password=SecretStr("canary-wrong-1")).find("DEMO-1")

    assert "DEDL_SITE__HELPDESK__USER" in str(refused.value)
    assert "canary" not in str(refused.value)


def test_says_to_wait_after_too_many_wrong_passwords(desk: Desk) -> None:
    wrong = roundup(desk, user="nobody", password=SecretStr("wrong"))
    said = []
    for _ in range(6):
        with pytest.raises((InputError, ServiceError)) as refused:
            wrong.find("DEMO-1")
        said.append(str(refused.value))

    assert "Wait " in said[-1]


def test_says_that_there_is_no_such_ticket_or_more_than_one(desk: Desk) -> None:
    ticket, _ = a_ticket(desk)
    desk.file_ticket(ticket)

    with pytest.raises(InputError, match="no tickets with the title 'DEDL-none'"):
        roundup(desk).find("DEDL-none")
    with pytest.raises(InputError, match=f"2 tickets with the title '{ticket}'"):
        roundup(desk).find(ticket)


def test_a_ticket_whose_title_only_begins_alike_is_another(desk: Desk) -> None:
    ticket, _ = a_ticket(desk)

    with pytest.raises(InputError, match="no tickets"):
        roundup(desk).find(ticket[:-1])


def test_an_attachment_that_the_desk_refuses_leaves_the_ticket_as_it_was(
    desk: Desk, tmp_path: Path
) -> None:
    ticket, number = a_ticket(desk)
    (tmp_path / "large.zip").write_bytes(bytes(21_000_000))
    message = a_message(
        tmp_path, ticket, attachments=(Attachment("large.zip", tmp_path / "large.zip"),)
    )

    with pytest.raises(ServiceError, match="refuses the attachment large.zip") as refused:
        deliver(roundup(desk), message, limit=10**9)

    assert "413" in str(refused.value)
    assert "helpdesk.attachment_limit" in str(refused.value)
    assert desk.messages(number) == []


def test_an_attachment_above_our_limit_is_not_even_tried(desk: Desk, tmp_path: Path) -> None:
    ticket, number = a_ticket(desk)

    with pytest.raises(InputError, match="has 10240 bytes; at most 10000 may be sent"):
        deliver(roundup(desk), a_message(tmp_path, ticket), limit=10_000)

    assert desk.messages(number) == []


def test_says_that_something_else_answers(desk: Desk) -> None:
    with pytest.raises(ServiceError) as refused:
        roundup(desk, url=f"{desk.url}/nothing").find("DEMO-1")

    assert "DEDL" not in str(refused.value)
    assert desk.url in str(refused.value)


def test_does_not_read_a_message_of_another_desk(desk: Desk) -> None:
    with pytest.raises(InputError, match="no message of this help desk"):
        roundup(desk).read("DEMO-1", "http://127.0.0.1:9/issue1#msg1")


def test_the_user_is_shown_the_reply_on_the_web(desk: Desk, tmp_path: Path) -> None:
    ticket, number = a_ticket(desk)
    deliver(roundup(desk), a_message(tmp_path, ticket), limit=LIMIT)

    page = httpx.get(f"{desk.url}/issue{number}", auth=("admin", desk.passwords["admin"])).text

    assert "it is done: Łódź ☀" in page
    assert "10-validate.html" in page
