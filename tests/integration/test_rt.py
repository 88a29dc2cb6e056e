"""Request Tracker 5, as Debian packages it: replies and comments arrive whole, and once only."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.base.retry import until
from dedl_workbook.services.helpdesk import Attachment, Message, UnansweredError, deliver
from dedl_workbook.services.helpdesk.rt import RequestTracker, Settings

from tests.integration.desk import ANSWER, CLOSE, HANG, Proxy, proxy
from tests.integration.desk import Desk as Address

SERVER = Path("/usr/share/request-tracker5/libexec/rt-server")
LIMIT = 1_000_000
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not SERVER.exists(), reason="Debian's request-tracker5 and rt5-standalone aren't installed"
    ),
]
CONFIG = """
Set($rtname, 'desk.test'); Set($Organization, 'desk.test');
Set($WebDomain, '127.0.0.1'); Set($WebPort, {port}); Set($WebPath, '');
Set($DatabaseType, 'SQLite'); Set($DatabaseName, '{folder}/rt.sqlite');
Set($LogToSyslog, undef); Set($LogToSTDERR, 'warning'); Set($MailCommand, 'testfile');
Set($WebSessionClass, 'Apache::Session::File');
Set($MasonSessionDir, '{folder}/sessions'); Set($MasonDataDir, '{folder}/mason');
1;
"""
ACCOUNTS = """
use strict; use warnings; use lib '/usr/share/request-tracker5/lib';
use RT; RT::LoadConfig(); RT::Init();
my @reads = qw(SeeQueue ShowTicket);
my %rights = (
    workbook => [@reads, qw(ShowTicketComments ReplyToTicket CommentOnTicket ModifyTicket)],
    submitter => [@reads, qw(CreateTicket)],
);
for my $name (keys %rights) {
    my $user = RT::User->new(RT->SystemUser);
    my ($ok, $reason) = $user->Create(Name => $name, Password => $ENV{DESK_PASSWORD},
        EmailAddress => "$name\\@desk.invalid", Privileged => 1);
    die $reason unless $ok;
    $user->PrincipalObj->GrantRight(Right => $_, Object => RT->System) for @{$rights{$name}};
}
"""


@dataclass(frozen=True)
class Tracker:
    """A running Request Tracker; all accounts have one password."""

    url: str
    password: str

    def client(self, user: str = "submitter") -> httpx.Client:
        return httpx.Client(base_url=f"{self.url}/REST/2.0", auth=(user, self.password), timeout=60)

    def file_ticket(self, title: str) -> str:
        with self.client() as client:
            ticket = {"Queue": "General", "Subject": title, "Content": "Please promote it."}
            answer = client.post("/ticket", json={**ticket, "ContentType": "text/plain"})
            assert answer.status_code == 201, answer.text
            return str(answer.json()["id"])

    def transactions(self, number: str, user: str = "submitter") -> list[str]:
        """Return the kinds of the messages that a user sees in a ticket."""
        with self.client(user) as client:
            rows = client.get(f"/ticket/{number}/history?fields=Type&per_page=100").json()["items"]
        return [row["Type"] for row in rows if row["Type"] in ("Correspond", "Comment")]


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    folder = tmp_path_factory.mktemp("rt")
    for name in ("sessions", "mason", "none"):
        (folder / name).mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "config.pm").write_text(CONFIG.format(port=port, folder=folder))
    tracker = Tracker(f"http://127.0.0.1:{port}", secrets.token_urlsafe(12))
    environment = os.environ | {
        "RT_SITE_CONFIG": str(folder / "config.pm"),
        "RT_SITE_CONFIG_DIR": str(folder / "none"),
        "DESK_PASSWORD": tracker.password,
    }
    setup = ["rt-setup-database-5", "--action", "init", "--skip-create", "--dba", "root"]
    (folder / "accounts.pl").write_text(ACCOUNTS)
    for command in (setup, ["perl", str(folder / "accounts.pl")]):
        subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True)
    serve = [str(SERVER), "--port", str(port), "--host", "127.0.0.1", "--server", "Starlet"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            serve, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )

    def answers() -> bool:
        try:
            with tracker.client() as client:
                return client.get("/rt").status_code == 200
        except httpx.HTTPError:
            return False

    try:
        assert until(answers, 120), (folder / "log").read_text()
        yield tracker
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture
def lossy(tracker: Tracker) -> Iterator[Proxy]:
    with proxy(Address(tracker.url, {})) as between:
        yield between


def desk(tracker: Tracker, **changes: Any) -> RequestTracker:
    values = {"url": tracker.url, "user": "workbook", "password": tracker.password}
    return RequestTracker(Settings.model_validate({**values, "timeout": 60, **changes}), "site")


def a_ticket(tracker: Tracker) -> tuple[str, str]:
    title = f"DEDL-{uuid.uuid4().hex[:8]}"
    return title, tracker.file_ticket(title)


def a_message(folder: Path, ticket: str, **changes: Any) -> Message:
    files = {"10-validate.html": "<h1>Łódź</h1>".encode(), "report.json": bytes(range(256)) * 40}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    values = {
        "ticket": ticket,
        "purpose": "accepted",
        "subject": "It is published",
        "text": "Hello,\n\n  it is done: Łódź ☀\n\nDEDL\n",
        "marker": uuid.uuid4().hex,
        "attachments": tuple(Attachment(name, folder / name) for name in files),
        **changes,
    }
    return Message(**values)


def test_a_reply_arrives_with_its_attachments_and_can_be_read_back(
    tracker: Tracker, tmp_path: Path
) -> None:
    ticket, number = a_ticket(tracker)
    message = a_message(tmp_path, ticket)

    sent = deliver(desk(tracker), message, limit=LIMIT)

    assert not sent.already
    assert sent.reference.startswith(f"{tracker.url}/Ticket/Display.html?id={number}#txn-")
    assert tracker.transactions(number) == ["Correspond"]
    posted = desk(tracker).read(ticket, sent.reference)
    assert posted.text.strip() == message.text.strip()
    assert posted.attachments == {one.name: one.sha256 for one in message.attachments}


def test_a_reply_that_is_sent_twice_arrives_once_and_another_one_too(
    tracker: Tracker, tmp_path: Path
) -> None:
    ticket, number = a_ticket(tracker)
    message = a_message(tmp_path, ticket)
    first = deliver(desk(tracker), message, limit=LIMIT)

    again = deliver(desk(tracker), message, limit=LIMIT)
    deliver(desk(tracker), a_message(tmp_path, ticket), limit=LIMIT)

    assert (again.reference, again.already) == (first.reference, True)
    assert len(tracker.transactions(number)) == 2


def test_a_comment_is_for_those_alone_who_may_see_it(tracker: Tracker, tmp_path: Path) -> None:
    ticket, number = a_ticket(tracker)

    deliver(desk(tracker), a_message(tmp_path, ticket), limit=LIMIT, internal=True)

    assert tracker.transactions(number, "workbook") == ["Comment"]
    assert tracker.transactions(number) == []


@pytest.mark.parametrize("fate", [HANG, CLOSE])
def test_an_answer_lost_after_the_reply_was_stored_sends_no_second_one(
    tracker: Tracker, lossy: Proxy, tmp_path: Path, fate: str
) -> None:
    ticket, number = a_ticket(tracker)
    message = a_message(tmp_path, ticket)
    lossy.when = lambda method, path: fate if path.endswith("/correspond") else ANSWER

    try:
        deliver(desk(tracker, url=lossy.url, timeout=15), message, limit=LIMIT)
    except UnansweredError:
        # It was asked before the desk had stored it.
        assert fate == HANG
    again = deliver(desk(tracker), message, limit=LIMIT)

    assert again.already
    assert tracker.transactions(number) == ["Correspond"]


SENDER = """
import sys
from dedl_workbook.services.helpdesk import Message, deliver
from dedl_workbook.services.helpdesk.rt import RequestTracker, Settings
url, password, ticket = sys.argv[1:]
desk = RequestTracker(Settings(url=url, user="workbook", password=password), "site")
deliver(desk, Message(ticket, "accepted", "Done", "It is done.", "killed"), limit=10)
"""


def test_a_sender_killed_when_the_desk_had_stored_it_sends_no_second_one(
    tracker: Tracker, lossy: Proxy
) -> None:
    ticket, number = a_ticket(tracker)
    victims: list[subprocess.Popen[bytes]] = []

    def kill(method: str, path: str) -> None:
        if path.endswith("/correspond"):
            os.kill(victims[0].pid, signal.SIGKILL)

    lossy.after = kill
    arguments = [lossy.url, tracker.password, ticket]
    victims.append(subprocess.Popen([sys.executable, "-c", SENDER, *arguments]))
    assert victims[0].wait(120) == -signal.SIGKILL
    assert len(tracker.transactions(number)) == 1

    message = Message(ticket, "accepted", "Done", "It is done.", "killed")
    assert deliver(desk(tracker), message, limit=LIMIT).already


def test_says_that_there_is_no_such_ticket_or_more_than_one(tracker: Tracker) -> None:
    ticket, number = a_ticket(tracker)
    assert desk(tracker).find(ticket) == f"{tracker.url}/Ticket/Display.html?id={number}"
    assert desk(tracker, queue="General").find(ticket)
    tracker.file_ticket(ticket)

    with pytest.raises(InputError, match="no tickets with the title 'DEDL-none'"):
        desk(tracker).find("DEDL-none")
    with pytest.raises(InputError, match=f"2 tickets with the title '{ticket}'"):
        desk(tracker).find(ticket)
    with pytest.raises(InputError, match="no tickets"):
        desk(tracker, queue="It's another").find(ticket)


def test_says_which_settings_hold_a_wrong_password_and_never_the_password(
    tracker: Tracker,
) -> None:
    assert "version 5." in desk(tracker).health()
    with pytest.raises(InputError, match="refuses the user 'workbook'") as refused:
        desk(tracker, password="canary-wrong-1").health()

    assert "DEDL_SITE__HELPDESK__USER" in str(refused.value)
    assert "canary" not in str(refused.value)


def test_hostile_text_is_shown_as_text(tracker: Tracker, tmp_path: Path) -> None:
    ticket, number = a_ticket(tracker)
    text = "<script>alert(1)</script> <img src=x onerror=alert(1)>"
    message = a_message(tmp_path, ticket, text=text, attachments=())

    sent = deliver(desk(tracker), message, limit=LIMIT)

    assert desk(tracker).read(ticket, sent.reference).text.strip() == text
    assert tracker.transactions(number) == ["Correspond"]


def test_something_else_that_answers_and_another_desks_message_are_refused(
    tracker: Tracker,
) -> None:
    with pytest.raises(ServiceError) as refused:
        desk(tracker, url=f"{tracker.url}/nothing").health()
    assert tracker.url in str(refused.value)

    with pytest.raises(InputError, match="no message of this help desk"):
        desk(tracker).read("DEDL-1", "http://127.0.0.1:9/Ticket/Display.html?id=1#txn-1")
