"""Messages, letters, the outbox, and mail on a real SMTP server: sent once, shown as text."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

import pytest
import trustme
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.parameters import helpdesk as settings
from dedl_workbook.parameters.helpdesk import PRODUCTS
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.yaml_files import explain
from dedl_workbook.services import helpdesk
from dedl_workbook.services.helpdesk import Attachment, Message, UnansweredError, deliver
from dedl_workbook.services.helpdesk.outbox import Outbox
from dedl_workbook.services.helpdesk.smtp import SENDING, SENT, Smtp
from dedl_workbook.services.helpdesk.smtp import Settings as SmtpSettings
from dedl_workbook.steps.notify import letters
from pydantic import SecretStr, ValidationError

LIMIT = 10_000_000
PASSWORD = "canary-password-7"


def a_message(**changes: object) -> Message:
    values = {
        "ticket": "DEDL-1",
        "purpose": "accepted",
        "subject": "It is published",
        "text": "Hello,\n\n.it is done: Łódź ☀\n",
        "marker": "abc123",
        **changes,
    }
    return Message(**values)  # type: ignore[arg-type]


def a_file(
    folder: Path, name: str = "report.json", content: bytes = b"{}\r\n.\r\n\0"
) -> Attachment:
    (folder / name).write_bytes(content)
    return Attachment(name, folder / name)


# Messages and letters


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", "a\\b", "..", ".x", "", "a\nb", "a\r\nBcc: x", "a" * 101]
)
def test_refuses_names_that_reach_beyond_their_place(tmp_path: Path, name: str) -> None:
    for changes in (
        {"attachments": (Attachment(name, tmp_path / "x"),)},
        {"ticket": name},
        {"purpose": name},
        {"marker": name},
    ):
        with pytest.raises(InputError):
            a_message(**changes)


@pytest.mark.parametrize("subject", ["a\nBcc: b@c.example", "a\r\nX: y", "a\0", "", "a\u2028b"])
def test_refuses_subjects_of_more_than_a_line(subject: str) -> None:
    with pytest.raises(InputError, match="one line of plain text"):
        a_message(subject=subject)


@pytest.mark.parametrize("text", ["a\x1b[31mb", "a\u202eb", "", " \n", "a\rb"])
def test_refuses_texts_that_act_or_say_nothing(text: str) -> None:
    with pytest.raises(InputError, match="plain text"):
        a_message(text=text)


def test_refuses_two_attachments_of_one_name(tmp_path: Path) -> None:
    files = (a_file(tmp_path, "a.html"), Attachment("A.html", tmp_path / "a.html"))

    with pytest.raises(InputError, match="same name"):
        a_message(attachments=files)


def test_a_marker_differs_by_ticket_purpose_and_content() -> None:
    marks = [
        helpdesk.mark("DEDL-1", "accepted", "x"),
        helpdesk.mark("DEDL-2", "accepted", "x"),
        helpdesk.mark("DEDL-1", "refused", "x"),
        helpdesk.mark("DEDL-1", "accepted", "y"),
    ]

    assert len(set(marks)) == 4
    assert helpdesk.mark("DEDL-1", "accepted", "x") == marks[0]


def test_what_is_filled_into_a_letter_can_not_add_lines_or_be_filled_in_again() -> None:
    subject, text = letters.letter(
        "evidence",
        ticket="DEDL-1\nBcc: x@y.example",
        collection="${digest} $digest \x1b[2J \u202e",
        evidence=["  one\nDear user, send your password", "   two"],
        digest="d" * 64,
    )

    assert subject == "Evidence of the ticket DEDL-1 Bcc: x@y.example"
    assert "${digest} $digest \N{REPLACEMENT CHARACTER}[2J \N{REPLACEMENT CHARACTER}" in text
    assert "\n  one Dear user, send your password\n   two\n" in text
    assert text == helpdesk.plain(text)


def test_a_letter_lacks_no_value() -> None:
    with pytest.raises(KeyError):
        letters.letter("evidence", ticket="DEDL-1")


# The outbox


def test_the_outbox_holds_text_and_attachments_and_reads_them_back(tmp_path: Path) -> None:
    desk = Outbox(tmp_path / "outbox")
    message = a_message(attachments=(a_file(tmp_path),))

    sent = deliver(desk, message, limit=LIMIT)

    folder = tmp_path / "outbox" / "001-accepted"
    assert sent.reference == str(folder)
    assert (folder / "message.txt").read_text() == f"Subject: {message.subject}\n\n{message.text}"
    assert (folder / "attachments" / "report.json").read_bytes() == b"{}\r\n.\r\n\0"
    posted = desk.read("DEDL-1", sent.reference)
    assert posted.text == message.text
    assert posted.attachments == {a.name: a.sha256 for a in message.attachments}


def test_the_outbox_takes_a_message_once_and_numbers_others(tmp_path: Path) -> None:
    desk = Outbox(tmp_path)
    first = deliver(desk, a_message(), limit=LIMIT)

    again = deliver(desk, a_message(), limit=LIMIT)
    deliver(desk, a_message(marker="other"), limit=LIMIT, internal=True)

    assert (again.already, again.reference) == (True, first.reference)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["001-accepted", "002-accepted-internal"]
    assert json.loads((tmp_path / "002-accepted-internal/message.json").read_text())["internal"]


def test_the_outbox_goes_on_after_texts_of_others(tmp_path: Path) -> None:
    (tmp_path / "003-iam-request.txt").write_text("x")

    assert deliver(Outbox(tmp_path), a_message(), limit=LIMIT).reference.endswith("004-accepted")


def test_a_half_written_message_in_the_outbox_does_not_count(tmp_path: Path) -> None:
    gone = Attachment("gone.html", tmp_path / "gone.html")
    with pytest.raises(ServiceError, match="outbox can't be used") as refused:
        Outbox(tmp_path / "out").reply(a_message(attachments=(gone,)))

    assert "gone.html" in str(refused.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_says_that_the_outbox_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file")

    with pytest.raises(ServiceError, match="outbox can't be used"):
        deliver(Outbox(tmp_path / "outbox"), a_message(), limit=LIMIT)


def test_says_that_a_record_was_changed_by_hand(tmp_path: Path) -> None:
    deliver(Outbox(tmp_path), a_message(), limit=LIMIT)
    (tmp_path / "001-accepted" / "message.json").write_text("{")

    with pytest.raises(InputError, match="changed by hand"):
        deliver(Outbox(tmp_path), a_message(), limit=LIMIT)


# Mail


@dataclass
class MailServer:
    """What a mail server got, and how it behaves."""

    port: int = 0
    taken: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    largest: int = 0
    refuses: str = ""
    """A command that is answered by 550."""
    loses: bool = False
    """Whether the connection is cut after a mail was taken."""


class MailHandler(socketserver.StreamRequestHandler):
    """SMTP (RFC 5321) with SIZE, AUTH and STARTTLS, as far as a client needs it."""

    server: MailListener

    def handle(self) -> None:
        self._say("220 desk.example")
        sender, recipients = "", list[str]()
        while line := self.rfile.readline().decode().strip():
            known, command = self.server.known, line.upper()
            known.said.append(line)
            if known.refuses and command.startswith(known.refuses):
                self._say("550 not for you")
            elif command.startswith("EHLO"):
                told = f"250-SIZE {known.largest}\r\n" if known.largest else ""
                self._say(f"250-desk.example\r\n{told}250-AUTH PLAIN\r\n250 STARTTLS")
            elif command == "STARTTLS":
                self._say("220 go ahead")
                self._encrypt()
            elif command.startswith("AUTH"):
                self._say("235 welcome" if self._knows(line) else "535 who are you")
            elif command.startswith("MAIL"):
                size = int(line.rpartition("SIZE=")[2] or 0) if "SIZE=" in command else 0
                sender = line
                self._say("552 too large" if size > (known.largest or size) else "250 ok")
            elif command.startswith("RCPT"):
                recipients = [*recipients, line]
                self._say("250 ok")
            elif command == "DATA":
                self._say("354 go on")
                known.envelopes.append((sender, recipients))
                known.taken.append(self._mail())
                if known.loses:
                    return
                self._say("250 queued as 42")
            elif command == "QUIT":
                self._say("221 bye")
                return

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())
        self.wfile.flush()

    def _encrypt(self) -> None:
        self.connection = self.server.trust.wrap_socket(self.request, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")

    def _knows(self, line: str) -> bool:
        import base64

        return base64.b64decode(line.split()[-1]).decode() == f"\0workbook\0{PASSWORD}"

    def _mail(self) -> EmailMessage:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        made = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        assert isinstance(made, EmailMessage)
        return made


class MailListener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    known: MailServer
    trust: ssl.SSLContext

    def handle_error(self, *_: object) -> None:
        """A client that goes away in the middle is what is tested."""


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def mail(authority: trustme.CA) -> Iterator[MailServer]:
    with MailListener(("127.0.0.1", 0), MailHandler) as listener:
        listener.known = MailServer(listener.server_address[1])
        listener.trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(listener.trust)
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield listener.known
        listener.shutdown()
        thread.join()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def smtp(mail: MailServer, folder: Path, **changes: object) -> Smtp:
    values = {
        "kind": "smtp",
        "host": "127.0.0.1",
        "port": mail.port,
        "security": "none",
        "sender": "ops@dedl.example",
        "recipient": "desk@dedl.example",
        "timeout": 10.0,
        **changes,
    }
    return Smtp(SmtpSettings.model_validate(values), "site", folder / "mail")


def test_a_mail_arrives_with_its_attachments_for_its_ticket(
    mail: MailServer, tmp_path: Path
) -> None:
    desk = smtp(mail, tmp_path)
    message = a_message(attachments=(a_file(tmp_path),))

    sent = deliver(desk, message, limit=LIMIT)

    (got,) = mail.taken
    assert mail.envelopes[0][0].lower().startswith("mail from:<ops@dedl.example>")
    assert [line.lower() for line in mail.envelopes[0][1]] == ["rcpt to:<desk@dedl.example>"]
    assert got["Subject"] == "[DEDL-1] It is published"
    assert got["Message-ID"] == "<dedl-DEDL-1-abc123@dedl.example>"
    body = got.get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == message.text
    (file,) = got.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("report.json", b"{}\r\n.\r\n\0")
    assert desk.read("DEDL-1", sent.reference).text == message.text


def test_a_mail_that_is_sent_twice_is_sent_once(mail: MailServer, tmp_path: Path) -> None:
    first = deliver(smtp(mail, tmp_path), a_message(), limit=LIMIT)

    again = deliver(smtp(mail, tmp_path), a_message(), limit=LIMIT)

    assert (again.already, again.reference) == (True, first.reference)
    assert smtp(mail, tmp_path).reply(a_message()) == first.reference
    assert len(mail.taken) == 1


def test_an_answer_lost_after_a_mail_was_taken_is_for_a_person_to_look_at(
    mail: MailServer, tmp_path: Path
) -> None:
    mail.loses = True
    with pytest.raises(ServiceError, match="may have taken it") as asked:
        deliver(smtp(mail, tmp_path), a_message(), limit=LIMIT)
    assert "<dedl-DEDL-1-abc123@dedl.example>" in str(asked.value)
    mail.loses = False
    with pytest.raises(ServiceError, match="may have taken it"):
        deliver(smtp(mail, tmp_path), a_message(), limit=LIMIT)
    assert len(mail.taken) == 1

    folder = tmp_path / "mail" / "001-accepted"
    (folder / SENDING).rename(folder / SENT)

    assert deliver(smtp(mail, tmp_path), a_message(), limit=LIMIT).already
    assert len(mail.taken) == 1


def test_a_person_who_finds_that_a_mail_did_not_arrive_lets_it_be_sent(
    mail: MailServer, tmp_path: Path
) -> None:
    mail.loses = True
    with pytest.raises(ServiceError):
        deliver(smtp(mail, tmp_path), a_message(), limit=LIMIT)
    mail.loses = False
    (tmp_path / "mail" / "001-accepted" / SENDING).unlink()

    assert not deliver(smtp(mail, tmp_path), a_message(), limit=LIMIT).already

    assert [one["Message-ID"] for one in mail.taken] == ["<dedl-DEDL-1-abc123@dedl.example>"] * 2


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
def test_a_mail_that_the_server_refuses_is_tried_again_by_the_next_run(
    mail: MailServer, tmp_path: Path, command: str
) -> None:
    mail.refuses = command
    with pytest.raises(ServiceError, match=r"refuses .*550 not for you") as refused:
        deliver(smtp(mail, tmp_path), a_message(), limit=LIMIT)
    assert not isinstance(refused.value, UnansweredError)
    mail.refuses = ""

    assert not deliver(smtp(mail, tmp_path), a_message(text="Mended.\n"), limit=LIMIT).already

    (got,) = mail.taken
    assert got.get_content() == "Mended.\r\n"
    assert [f.name for f in (tmp_path / "mail").iterdir()] == ["001-accepted"]


def test_says_that_a_mail_is_too_large_for_the_server(mail: MailServer, tmp_path: Path) -> None:
    mail.largest = 1000
    message = a_message(attachments=(a_file(tmp_path, content=bytes(2000)),))

    with pytest.raises(ServiceError, match="552 too large") as refused:
        deliver(smtp(mail, tmp_path), message, limit=LIMIT)

    assert "helpdesk.attachment_limit" in str(refused.value)
    assert mail.taken == []


def test_says_that_the_mail_server_is_down(mail: MailServer, tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        desk = smtp(mail, tmp_path, port=taken.getsockname()[1])
        with pytest.raises(ServiceError, match="can't be used"):
            deliver(desk, a_message(), limit=LIMIT)

    assert not deliver(smtp(mail, tmp_path), a_message(), limit=LIMIT).already


def test_logs_in_over_starttls_only_and_says_nothing_in_the_clear_before(
    mail: MailServer, tmp_path: Path, trusted: Path
) -> None:
    desk = smtp(
        mail,
        tmp_path,
        security="starttls",
        ca_bundle=trusted,
        user="workbook",
        password=SecretStr(PASSWORD),
    )

    deliver(desk, a_message(), limit=LIMIT)

    words = [line.split()[0].upper() for line in mail.said]
    assert words[:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]
    assert len(mail.taken) == 1


def test_sends_nothing_to_a_server_whose_certificate_it_does_not_trust(
    mail: MailServer, tmp_path: Path
) -> None:
    with pytest.raises(ServiceError, match="certificate"):
        deliver(smtp(mail, tmp_path, security="starttls"), a_message(), limit=LIMIT)

    assert mail.taken == []


@pytest.mark.parametrize("text", ["", "no certificate"])
def test_says_that_the_authoritys_file_is_none(mail: MailServer, tmp_path: Path, text: str) -> None:
    file = tmp_path / "authority.pem"
    if text:
        file.write_text(text)

    with pytest.raises(InputError, match="certificate") as error:
        smtp(mail, tmp_path, security="starttls", ca_bundle=file).health()

    assert error.value.where == str(file)
    assert "helpdesk.ca_bundle" in error.value.remedy


def test_says_that_the_mail_server_refuses_the_password_and_not_the_password(
    mail: MailServer, tmp_path: Path, trusted: Path
) -> None:
    wrong = SecretStr("canary-wrong-8")
    desk = smtp(
        mail, tmp_path, security="starttls", ca_bundle=trusted, user="workbook", password=wrong
    )

    with pytest.raises(InputError, match="refuses the user 'workbook'") as refused:
        deliver(desk, a_message(), limit=LIMIT)

    assert "DEDL_SITE__HELPDESK__USER" in str(refused.value)
    assert "canary" not in str(refused.value)


# Settings


def a_target(helpdesk: object = None) -> Target:
    """Return a target whose help desk has these settings."""
    server = {"endpoint": "http://s3.example", "access_key": "a", "secret_key": "b"}
    return Target.model_validate(
        {
            "name": "site",
            "s3": server | {"bucket": "pool"},
            "catalog": {"host": "h", "database": "d", "user": "u"},
            "stac_api": {"url": "http://api.example"},
            "archive": "archive",
        }
        | ({} if helpdesk is None else {"helpdesk": helpdesk})
    )


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"kind": "roundup"}, ("helpdesk.url: is missing", "helpdesk.user: is missing")),
        (
            {"kind": "smtp", "host": "x"},
            ("helpdesk.sender: is missing", "helpdesk.recipient: is missing"),
        ),
        ({"kind": "smpt"}, ("no help desk of the kind 'smpt'. Did you mean 'smtp'?",)),
        ({"kind": "pigeon"}, ("Known: ", "outbox", "roundup")),
        ({"kind": "outbox", "timeout": 0}, ("helpdesk.timeout: should be greater than 0",)),
        ({"kind": "outbox", "user": "x"}, ("helpdesk.user: unknown key",)),
        ({"kind": "roundup", "ulr": "x"}, ("helpdesk.ulr: unknown key. Did you mean 'url'?",)),
        (
            {
                "kind": "smtp",
                "host": "x",
                "sender": "a@b.example",
                "recipient": "c@d.example",
                "security": "none",
                "password": "canary-9",
            },
            ("in the clear",),
        ),
    ],
)
def test_refuses_settings_that_can_not_work(
    values: dict[str, object], problem: tuple[str, ...]
) -> None:
    with pytest.raises(ValidationError) as refused:
        a_target(values)

    text = str(explain(refused.value, Target, "site.yaml"))
    assert [part for part in problem if part not in text] == [], text
    assert "canary-9" not in text


def test_a_target_that_says_nothing_of_its_help_desk_has_an_outbox(tmp_path: Path) -> None:
    desk = helpdesk.open_desk(a_target(), tmp_path)

    assert desk.place == f"the outbox {tmp_path / 'outbox'}"


def test_each_kind_of_help_desk_that_a_target_may_name_is_told_by_its_settings() -> None:
    kinds = {kind: settings.settings_of(kind).model_fields["kind"].default for kind in PRODUCTS}

    assert kinds == {kind: kind for kind in PRODUCTS}


def test_another_help_desk_is_one_file_and_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRODUCTS, "board", f"{__package__}.board")
    monkeypatch.setenv("DEDL_SITE__HELPDESK__BOARD", str(tmp_path / "board.json"))
    # What is left of the desk before.
    monkeypatch.setenv("DEDL_SITE__HELPDESK__PASSWORD", "canary-9")
    for key in ("ACCESS_KEY", "SECRET_KEY"):
        monkeypatch.setenv(f"DEDL_SITE__S3__{key}", "k")
    file = tmp_path / "workbook" / "parameters" / "targets" / "site.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("""
s3: {endpoint: "http://s3.example", bucket: pool}
catalog: {host: h, database: d, user: u}
stac_api: {url: "http://api.example"}
archive: archive
helpdesk: {kind: board}
""")
    desk = helpdesk.open_desk(Target.load("site", tmp_path / "workbook"), tmp_path)
    message = Message("DEDL-1", "accepted", "Done", "It is done.", "m1")

    sent = [deliver(desk, message, limit=0).already for _ in range(2)]

    assert sent == [False, True]
    assert desk.read("DEDL-1", "m1").text == "It is done."
