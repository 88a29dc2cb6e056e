"""Outbox: a folder of messages that a person sends on; for a desk that we can't talk to.

<case>/outbox/001-accepted/
  message.txt     subject and text, to be pasted into the ticket
  message.json    the ticket, the marker, whether the user may see it
  attachments/    the files that go with it
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.base.files import next_number, write_atomic
from dedl_workbook.base.json import pretty
from dedl_workbook.parameters.helpdesk import HelpDesk
from dedl_workbook.services.helpdesk.desk import Message, Posted

if TYPE_CHECKING:
    from dedl_workbook.services.helpdesk.desk import Desk

RECORD = "message.json"
TEXT = "message.txt"


class Settings(HelpDesk):
    """A folder of texts and attachments that a person sends on: nothing needs to be said."""

    kind: Literal["outbox"] = "outbox"

    def open(self, target: str, case: Path) -> Desk:
        """Return the outbox of a case."""
        return Outbox(case / "outbox")


@dataclass(frozen=True)
class Outbox:
    """The outbox of one case."""

    folder: Path

    @property
    def place(self) -> str:
        """The folder."""
        return f"the outbox {self.folder}"

    @property
    def comments(self) -> bool:
        """What the user must not see is laid out apart, and says so."""
        return True

    @property
    def delivers(self) -> bool:
        """A person does."""
        return False

    def health(self) -> str:
        """Return what it is: nobody is there to be asked."""
        return "an outbox in each case's folder; a person sends it on"

    def find(self, ticket: str) -> str:
        """Return the folder: whether there is such a ticket only a person can see."""
        return str(self.folder)

    def sent(self, ticket: str, marker: str) -> str | None:
        """Return the folder of the message with this marker, or None."""
        with _writing(self.folder):
            for record in sorted(self.folder.glob(f"[0-9]*/{RECORD}")):
                document = _read(record)
                if document.get("ticket") == ticket and document.get("marker") == marker:
                    return str(record.parent)
        return None

    def reply(self, message: Message) -> str:
        """Lay out a reply, whole or not at all, and return its folder."""
        return self._lay_out(message, internal=False)

    def comment(self, message: Message) -> str:
        """Lay out an internal comment, whole or not at all, and return its folder."""
        return self._lay_out(message, internal=True)

    def read(self, ticket: str, reference: str) -> Posted:
        """Read a message back from its folder."""
        folder = Path(reference)
        with _writing(folder):
            _, _, text = (folder / TEXT).read_text("utf-8").partition("\n\n")
            files = sorted((folder / "attachments").glob("*"))
            return Posted(text, {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files})

    def _lay_out(self, message: Message, *, internal: bool) -> str:
        with _writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".draft-") as scratch:
                draft = Path(scratch) / "message"
                _write(message, draft, internal=internal)
                return str(self._number(draft, message, internal=internal))

    def _number(self, draft: Path, message: Message, *, internal: bool) -> Path:
        """Give a finished draft the next number. The case's lock keeps others out."""
        name = f"{message.purpose}-internal" if internal else message.purpose
        place = self.folder / f"{next_number(self.folder)}-{name}"
        draft.rename(place)
        _sync(self.folder)
        return place


def _write(message: Message, draft: Path, *, internal: bool) -> None:
    (draft / "attachments").mkdir(parents=True)
    for attachment in message.attachments:
        copy = draft / "attachments" / attachment.name
        shutil.copyfile(attachment.path, copy)
        _sync(copy)
    write_atomic(draft / TEXT, f"Subject: {message.subject}\n\n{message.text}")
    record = {
        "ticket": message.ticket,
        "purpose": message.purpose,
        "internal": internal,
        "marker": message.marker,
        "attachments": [
            {"name": a.name, "bytes": a.size, "sha256": a.sha256} for a in message.attachments
        ],
    }
    write_atomic(draft / RECORD, pretty(record))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(record: Path) -> dict[str, Any]:
    try:
        document = json.loads(record.read_bytes())
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InputError(
            "is no record of a message: it was changed by hand",
            where=str(record),
            remedy="Restore it, or see whether that message was sent and remove its folder.",
        )
    return document


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ServiceError(
            f"the outbox can't be used: {error.strerror or error}",
            where=str(error.filename or folder),
            remedy="Fix that, then run again: nothing is sent twice.",
        ) from error
