"""SMTP: a desk that takes mails and files them by the ticket's id in their subject.

A mail server never says later what it took, so every mail is laid out in the outbox first, and a
note beside it says how far it came. A mail of which that can't be known is never sent again by
itself: a person looks, and says so.
"""

from __future__ import annotations

import json
import shutil
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.base.files import write_atomic
from dedl_workbook.base.json import pretty
from dedl_workbook.base.trust import problem, remedy
from dedl_workbook.parameters.helpdesk import Account
from dedl_workbook.parameters.target import prefix
from dedl_workbook.services.helpdesk.desk import (
    Attachment,
    Desk,
    Message,
    Posted,
    UnansweredError,
    one_line,
    trust,
)
from dedl_workbook.services.helpdesk.outbox import Outbox

SENDING = "sending.json"
"""Beside a message: the mail server may have it."""
SENT = "sent.json"
"""Beside a message: the mail server said that it has it."""


_Required = Annotated[str, Field(min_length=1)]


class Settings(Account):
    """The mail server, and who writes to whom."""

    kind: Literal["smtp"] = "smtp"
    host: _Required
    """The mail server."""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`none` sends mail in the clear, and never a password."""
    sender: _Required
    """Our address."""
    recipient: _Required
    """The desk's address, which files mails by the ticket's id in their subject."""

    @model_validator(mode="after")
    def _sends_no_password_in_the_clear(self) -> Settings:
        if self.security == "none" and self.password.get_secret_value():
            raise ValueError(
                "security is 'none', which would send the password in the clear: "
                "use starttls or tls, or no password"
            )
        return self

    def open(self, target: str, case: Path) -> Desk:
        """Return the desk behind the mail server."""
        return Smtp(self, target, case / "mail")


@dataclass(frozen=True)
class Smtp:
    """A help desk behind a mail server."""

    settings: Settings
    target: str
    """The target's name, for what to do about its settings."""
    folder: Path
    """In the case's folder; keeps every mail and what became of it."""

    @property
    def outbox(self) -> Outbox:
        """Where mails are laid out."""
        return Outbox(self.folder)

    @property
    def place(self) -> str:
        """The desk's address, and the server that takes mails for it."""
        return f"{self.settings.recipient} by way of {self._server}"

    @property
    def comments(self) -> bool:
        """A mail to the desk is seen by whoever sees the ticket."""
        return False

    @property
    def delivers(self) -> bool:
        """The desk files it."""
        return True

    @property
    def _server(self) -> str:
        return f"{self.settings.host}:{self.settings.port}"

    def health(self) -> str:
        """Log in, and say good-bye."""
        with self._talking() as server:
            server.noop()
        return self.place

    def find(self, ticket: str) -> str:
        """Return the desk's address: a mail server knows of no tickets."""
        return self.settings.recipient

    def sent(self, ticket: str, marker: str) -> str | None:
        """Return the folder of the mail with this marker, if the server took it.

        Raises:
            ServiceError: it may have taken it: a person has to look.
        """
        reference = self.outbox.sent(ticket, marker)
        if reference is None:
            return None
        if (Path(reference) / SENDING).exists():
            raise ServiceError(
                "a mail was cut off in a moment in which the server may have taken it, so it isn't "
                "sent again",
                where=reference,
                remedy=f"Look in the ticket {ticket}, or ask for the Message-ID "
                f"{self._message_id(ticket, marker)}. If it arrived, rename {SENDING} to {SENT}; "
                f"if not, remove {SENDING}. Then run again.",
            )
        return reference if (Path(reference) / SENT).exists() else None

    def reply(self, message: Message) -> str:
        """Send a mail to the desk."""
        if (reference := self.sent(message.ticket, message.marker)) is not None:
            return reference
        refused = self.outbox.sent(message.ticket, message.marker)
        if refused is not None:
            # Laid out by an earlier try that the server didn't take; it may have changed since.
            shutil.rmtree(refused)
        folder = Path(self.outbox.reply(message))
        mail = self._mail(message)
        raw = mail.as_bytes(policy=SMTP)
        with self._talking() as server:
            self._envelope(server, len(raw))
            note = {"message_id": mail["Message-ID"], "to": self.settings.recipient}
            # From here on, a crash leaves the note.
            write_atomic(folder / SENDING, pretty(note))
            try:
                code, answer = server.data(raw)
            except smtplib.SMTPDataError as error:
                code, answer = error.smtp_code, _bytes(error.smtp_error)
            except (OSError, smtplib.SMTPException) as error:
                raise UnansweredError(
                    f"the mail server gave no answer to the mail: {one_line(str(error))}",
                    where=self._server,
                ) from error
            if code != 250:
                (folder / SENDING).unlink()
                raise self._refused("the mail", code, answer)
            write_atomic(folder / SENDING, pretty(note | {"answer": _text(answer)}))
            (folder / SENDING).rename(folder / SENT)
        return str(folder)

    def comment(self, message: Message) -> str:
        """Refuse: there are no comments that the user doesn't see."""
        raise InputError("mail has no internal comments", where=self.place)

    def read(self, ticket: str, reference: str) -> Posted:
        """Read back what was sent; the mail server's word is all there is on its arrival."""
        note = Path(reference) / SENT
        if not note.is_file() or not json.loads(note.read_bytes()).get("message_id"):
            raise ServiceError("nothing says that this mail was sent", where=reference)
        return self.outbox.read(ticket, reference)

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = f"[{message.ticket}] {message.subject}"
        mail["From"] = self.settings.sender
        mail["To"] = self.settings.recipient
        mail["Date"] = formatdate()
        mail["Message-ID"] = self._message_id(message.ticket, message.marker)
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text, cte="quoted-printable")
        for attachment in message.attachments:
            _attach(mail, attachment)
        return mail

    def _message_id(self, ticket: str, marker: str) -> str:
        return f"<dedl-{ticket}-{marker}@{self.settings.sender.rpartition('@')[2]}>"

    def _envelope(self, server: smtplib.SMTP, size: int) -> None:
        options = [f"SIZE={size}"] if server.has_extn("size") else []
        code, answer = server.mail(self.settings.sender, options)
        if code != 250:
            raise self._refused(f"the mail of {size} bytes, or its sender", code, answer)
        code, answer = server.rcpt(self.settings.recipient)
        if code not in (250, 251):
            raise self._refused(f"the recipient {self.settings.recipient}", code, answer)

    def _refused(self, what: str, code: int, answer: bytes) -> ServiceError:
        remedy = "Nothing was sent. Fix that, then run again."
        if code in (523, 552):
            remedy = (
                "Nothing was sent. Set helpdesk.attachment_limit in the target to what the server "
                "takes: larger files stay in the archive, named in the reply. Then run again."
            )
        answered = f"the mail server refuses {what} ({code} {_text(answer)})"
        return ServiceError(answered, where=self._server, remedy=remedy)

    @contextmanager
    def _talking(self) -> Iterator[smtplib.SMTP]:
        settings = self.settings
        context = trust(settings.ca_bundle)
        try:
            server = self._connected(context)
            try:
                if settings.security == "starttls":
                    server.starttls(context=context)
                server.ehlo_or_helo_if_needed()
                if password := settings.password.get_secret_value():
                    server.login(settings.user, password)
                yield server
            finally:
                # What comes of the good-bye says nothing of the mail.
                with suppress(OSError, smtplib.SMTPException):
                    server.quit()
        except smtplib.SMTPAuthenticationError as error:
            raise InputError(
                f"the mail server refuses the user {settings.user!r} or its password "
                f"({error.smtp_code})",
                where=self._server,
                remedy=f"Set {prefix(self.target)}HELPDESK__USER and …PASSWORD. Nothing was sent.",
            ) from None
        except (OSError, smtplib.SMTPException) as error:
            if refusal := problem(error):
                raise ServiceError(
                    f"the mail server shows a certificate that isn't trusted: {refusal}",
                    where=self._server,
                    remedy=f"{remedy(refusal)} Nothing was sent.",
                ) from error
            raise ServiceError(
                f"the mail server can't be used: {one_line(str(error)) or type(error).__name__}",
                where=self._server,
                remedy="Check helpdesk.host, port and security in the target. Nothing was sent by "
                "this run; run again later.",
            ) from error

    def _connected(self, trust: ssl.SSLContext) -> smtplib.SMTP:
        host, port, timeout = self.settings.host, self.settings.port, self.settings.timeout
        if self.settings.security == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=timeout, context=trust)
        return smtplib.SMTP(host, port, timeout=timeout)


def _attach(mail: EmailMessage, attachment: Attachment) -> None:
    kind, _, subtype = attachment.media_type.partition("/")
    mail.add_attachment(
        attachment.path.read_bytes(), maintype=kind, subtype=subtype, filename=attachment.name
    )


def _bytes(answer: bytes | str) -> bytes:
    return answer.encode() if isinstance(answer, str) else answer


def _text(answer: bytes) -> str:
    return one_line(answer.decode("utf-8", "replace"))
