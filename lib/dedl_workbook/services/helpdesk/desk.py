"""What every help desk can do, and what is sent to one: a message that is sent once only."""

from __future__ import annotations

import hashlib
import re
import ssl
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.base.json import digest
from dedl_workbook.base.trust import context

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
"""What a ticket, a purpose, a marker and an attachment may be called."""
_LONGEST = 300


def trust(bundle: Path | None) -> ssl.SSLContext:
    """Return whom to trust at a desk: the authorities of a file in PEM, or the system's."""
    return context(bundle, "helpdesk.ca_bundle")


class UnansweredError(ServiceError):
    """The desk gave no answer to what it was sent: it may have taken it."""


@dataclass(frozen=True)
class Attachment:
    """A file that goes with a message."""

    name: str
    path: Path
    media_type: str = "application/octet-stream"

    @cached_property
    def size(self) -> int:
        """Bytes."""
        return self.path.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """Lower-case hex."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Message:
    """A plain text for a ticket. Its marker tells whether the desk has it already.

    Raises:
        InputError: a name or subject that could reach beyond its place, or control characters.
    """

    ticket: str
    purpose: str
    """One word: accepted, refused, withdrawn, ..."""
    subject: str
    text: str
    marker: str
    """The same for the same message, however often it is tried; see `mark`."""
    attachments: tuple[Attachment, ...] = ()

    def __post_init__(self) -> None:
        names = [self.ticket, self.purpose, self.marker, *(a.name for a in self.attachments)]
        for name in names:
            if not NAME.fullmatch(name):
                raise InputError(f"{name!r} can't be sent to a help desk: no usable name")
        if len({a.name.lower() for a in self.attachments}) != len(self.attachments):
            raise InputError("two attachments have the same name")
        if self.subject != one_line(self.subject) or not self.subject:
            raise InputError(f"the subject {self.subject!r} must be one line of plain text")
        if self.text != plain(self.text) or not self.text.strip():
            raise InputError("the text of a message must be plain text, and not empty")


@dataclass(frozen=True)
class Posted:
    """A message as the desk has it."""

    text: str
    attachments: dict[str, str]
    """SHA-256 by name."""


class Desk(Protocol):
    """A help desk's product. All of its methods can raise ServiceError, by its subclass
    UnansweredError when something may have been stored."""

    @property
    def place(self) -> str:
        """Where messages go, for people to read."""

    @property
    def comments(self) -> bool:
        """Whether there are comments that the user doesn't see."""

    @property
    def delivers(self) -> bool:
        """Whether the user has a message once it is sent; otherwise a person passes it on."""

    def health(self) -> str:
        """Ask whether the desk is there and knows us; return what answers. Nothing is changed."""

    def find(self, ticket: str) -> str:
        """Return where the ticket is.

        Raises:
            InputError: there is no such ticket, or more than one.
        """

    def sent(self, ticket: str, marker: str) -> str | None:
        """Return the reference of the message with this marker, or None: it isn't there."""

    def reply(self, message: Message) -> str:
        """Post a message that the user sees, and return its reference."""

    def comment(self, message: Message) -> str:
        """Post a message that the user doesn't see, and return its reference."""

    def read(self, ticket: str, reference: str) -> Posted:
        """Read a message back."""


@dataclass(frozen=True)
class Sent:
    """A message that the desk has."""

    reference: str
    already: bool
    """Whether it had it before."""


def deliver(desk: Desk, message: Message, *, limit: int, internal: bool = False) -> Sent:
    """Send a message, unless the desk has it already. After a time-out, ask before giving up.

    Args:
        desk: where to.
        message: what.
        limit: bytes that one attachment may have.
        internal: as a comment that the user doesn't see.

    Raises:
        InputError: no such ticket, or an attachment is too large.
        ServiceError: it could not be sent; running again sends nothing twice.
    """
    for attachment in message.attachments:
        if attachment.size > limit:
            raise InputError(
                f"the attachment {attachment.name} has {attachment.size} bytes; at most {limit} "
                "may be sent",
                where=str(attachment.path),
                remedy="Raise helpdesk.attachment_limit in the target, if the desk takes more.",
            )
    reference = desk.sent(message.ticket, message.marker)
    if reference is not None:
        return Sent(reference, already=True)
    try:
        return Sent((desk.comment if internal else desk.reply)(message), already=False)
    except UnansweredError:
        reference = desk.sent(message.ticket, message.marker)
        if reference is None:
            raise
        return Sent(reference, already=False)


def mark(ticket: str, purpose: str, content: object) -> str:
    """Return the marker of a message: its ticket, its purpose, and what makes it itself."""
    return digest([ticket, purpose, content])[:40]


def plain(text: str) -> str:
    """Return a text without what would act instead of being read: control and direction marks."""
    return "".join(one if one == "\n" else _shown(one) for one in text)


def one_line(text: str) -> str:
    """Return a value as one line of plain text, cut when it is very long."""
    line = plain(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _shown(character: str) -> str:
    # Controls, direction marks and other invisible ones, surrogates, line and paragraph separators.
    return "\N{REPLACEMENT CHARACTER}" if _acts(character) else character


def _acts(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
