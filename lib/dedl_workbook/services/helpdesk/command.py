"""Command: a desk that a program of the site talks to; it gets one JSON and answers one.

The program is started for each action. On its standard input stands one object with `action`, what
belongs to that action, and `version`; on its standard output it answers one object:

    {"action": "health"}                        {"place": "where messages go, for people"}
    {"action": "find", "ticket"}                {"reference": "where the ticket is"}
    {"action": "sent", "ticket", "marker"}      {"reference": "of the message"}, or null: not there
    {"action": "reply", "ticket", "marker",     {"reference": "of the message"}
     "subject", "text", "attachments": [{"name", "path", "media_type", "size", "sha256"}]}
    {"action": "comment", ...}                  as reply; the user doesn't see it
    {"action": "read", "ticket", "reference"}   {"text", "attachments": {name: SHA-256}}

Instead it may answer {"problem": "what is wrong", "remedy": "..."}: then nothing was stored. What
ends otherwise may have stored the message, and is asked by its marker.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from dedl_workbook.base import trust
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.parameters.helpdesk import Account
from dedl_workbook.services.helpdesk.desk import (
    Desk,
    Message,
    Posted,
    UnansweredError,
    one_line,
)

VERSION = 1
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "TZ")
_REMEDY = "See what helpdesk.command of the target does. Run again: nothing is sent twice."


class Settings(Account):
    """The program, and what the desk behind it can do.

    User and password are in its environment, as HELPDESK_USER and HELPDESK_PASSWORD.
    """

    kind: Literal["command"] = "command"
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its arguments; run without a shell."""
    comments: bool = False
    """Whether the desk has comments that the user doesn't see."""
    delivers: bool = True
    """Whether the user has a message once it is sent; otherwise a person passes it on."""

    @field_validator("command", mode="before")
    @classmethod
    def _from_a_variable(cls, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) and value.startswith("[") else value

    def open(self, target: str, case: Path) -> Desk:
        """Return the desk behind the program."""
        return Command(self)


@dataclass(frozen=True)
class Command:
    """A desk behind a program."""

    settings: Settings

    @property
    def place(self) -> str:
        """The program."""
        return f"the help desk behind {self.settings.command[0]}"

    @property
    def comments(self) -> bool:
        """As the target says."""
        return self.settings.comments

    @property
    def delivers(self) -> bool:
        """As the target says."""
        return self.settings.delivers

    def health(self) -> str:
        """Ask the program where messages go."""
        return self._text("place", {"action": "health"})

    def find(self, ticket: str) -> str:
        """Return where the ticket is."""
        return self._text("reference", {"action": "find", "ticket": ticket})

    def sent(self, ticket: str, marker: str) -> str | None:
        """Return the reference of the message with this marker, or None: it isn't there."""
        question = {"action": "sent", "ticket": ticket, "marker": marker}
        answer = self._ask(question)
        if answer.get("reference", "") is None:
            return None
        return self._text("reference", question, answer)

    def reply(self, message: Message) -> str:
        """Post a message that the user sees."""
        return self._post("reply", message)

    def comment(self, message: Message) -> str:
        """Post a message that the user doesn't see."""
        if not self.comments:
            raise InputError("this help desk has no internal comments", where=self.place)
        return self._post("comment", message)

    def read(self, ticket: str, reference: str) -> Posted:
        """Read a message back."""
        question = {"action": "read", "ticket": ticket, "reference": reference}
        answer = self._ask(question)
        attachments = answer.get("attachments", {})
        if not isinstance(attachments, dict):
            raise self._garbage(question, "its attachments are no object")
        digests = {str(name): str(digest).lower() for name, digest in attachments.items()}
        return Posted(self._text("text", question, answer), digests)

    def _post(self, action: str, message: Message) -> str:
        attachments = [
            {
                "name": one.name,
                "path": str(one.path.absolute()),
                "media_type": one.media_type,
                "size": one.size,
                "sha256": one.sha256,
            }
            for one in message.attachments
        ]
        question = {
            "action": action,
            "ticket": message.ticket,
            "marker": message.marker,
            "subject": message.subject,
            "text": message.text,
            "attachments": attachments,
        }
        return self._text("reference", question)

    def _text(
        self, key: str, question: dict[str, Any], answer: dict[str, Any] | None = None
    ) -> str:
        value = (self._ask(question) if answer is None else answer).get(key)
        if not isinstance(value, str) or not value:
            raise self._garbage(question, f"it has no text {key!r}")
        return value if key == "text" else one_line(value)

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        settings, action = self.settings, question["action"]
        environment = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        environment |= trust.variables()
        environment["HELPDESK_USER"] = settings.user
        environment["HELPDESK_PASSWORD"] = settings.password.get_secret_value()
        if settings.ca_bundle:
            environment["SSL_CERT_FILE"] = str(settings.ca_bundle)
        text = json.dumps({"version": VERSION} | question)
        try:
            done = subprocess.run(
                settings.command,
                input=text.encode(),
                env=environment,
                capture_output=True,
                timeout=settings.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._unanswered(
                question, f"it took longer than {settings.timeout:g} s for {action}"
            ) from None
        except OSError as error:
            raise InputError(
                f"can't be run: {error.strerror}",
                where=settings.command[0],
                remedy="Correct helpdesk.command in the target.",
            ) from error
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            answer = None
        if done.returncode == 0 and isinstance(answer, dict):
            if "problem" in answer:
                raise InputError(
                    f"the help desk: {one_line(str(answer['problem']))}",
                    where=self.place,
                    remedy=one_line(str(answer.get("remedy") or _REMEDY)),
                )
            return answer
        output = (done.stderr.strip() or done.stdout.strip() or b"no output").splitlines()[-1]
        last = one_line(output.decode("utf-8", "replace"))
        # What a program prints when it fails may hold what it was given.
        if password := settings.password.get_secret_value():
            last = last.replace(password, "[redacted]")
        ended = (
            f"it ended with {done.returncode}" if done.returncode else "it answered no JSON object"
        )
        raise self._unanswered(question, f"{ended}: {last}")

    def _garbage(self, question: dict[str, Any], reason: str) -> ServiceError:
        return self._unanswered(
            question, f"its answer to {question['action']} is unusable: {reason}"
        )

    def _unanswered(self, question: dict[str, Any], reason: str) -> ServiceError:
        stores = question["action"] in ("reply", "comment")
        kind = UnansweredError if stores else ServiceError
        return kind(f"the help desk's program failed: {reason}", where=self.place, remedy=_REMEDY)
