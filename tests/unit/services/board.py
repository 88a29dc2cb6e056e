"""A help desk that nobody has: what its one file holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dedl_workbook.base.errors import InputError
from dedl_workbook.parameters.helpdesk import HelpDesk
from dedl_workbook.services.helpdesk.desk import Desk, Message, Posted


class Settings(HelpDesk):
    """Where the board is."""

    kind: Literal["board"] = "board"
    board: Path

    def open(self, target: str, case: Path) -> Desk:
        """Return the board."""
        return Board(self.board)


@dataclass(frozen=True)
class Board:
    """A file with all messages."""

    file: Path
    place = "the board"
    comments = False
    delivers = True

    def _messages(self) -> dict[str, str]:
        return dict(json.loads(self.file.read_bytes())) if self.file.exists() else {}

    def health(self) -> str:
        """Return where it is."""
        return self.place

    def find(self, ticket: str) -> str:
        """Return where it is."""
        return self.place

    def sent(self, ticket: str, marker: str) -> str | None:
        """Return the marker, if the board has it."""
        return marker if marker in self._messages() else None

    def reply(self, message: Message) -> str:
        """Pin a message to the board."""
        self.file.write_text(json.dumps(self._messages() | {message.marker: message.text}))
        return message.marker

    def comment(self, message: Message) -> str:
        """Refuse."""
        raise InputError("everybody sees a board")

    def read(self, ticket: str, reference: str) -> Posted:
        """Read a message back."""
        return Posted(self._messages()[reference], {})
