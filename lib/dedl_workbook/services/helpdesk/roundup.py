"""Roundup, over its REST interface (docs: rest.txt of Roundup 2.x).

A message is posted in three moves: its files, the message with the marker as its message-id, and
the link of both into the ticket. Only the last shows it to the user. A move that was cut off is
found by the marker, and gone on with.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field

from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.parameters.fields import Url
from dedl_workbook.parameters.helpdesk import Account
from dedl_workbook.services.helpdesk import rest
from dedl_workbook.services.helpdesk.desk import (
    Attachment,
    Desk,
    Message,
    Posted,
)

if TYPE_CHECKING:
    import httpx

_TRIES = 5
_REFERENCE = re.compile(r".*/issue(\d+)#msg(\d+)")


class Settings(Account):
    """Where the tracker is, and as whom we reply there."""

    kind: Literal["roundup"] = "roundup"
    url: Url
    user: Annotated[str, Field(min_length=1)]

    def open(self, target: str, case: Path) -> Desk:
        """Return the tracker."""
        return Roundup(self, target)


@dataclass(frozen=True)
class Roundup:
    """A Roundup tracker, whose issues are titled with their ticket's id."""

    settings: Settings
    target: str
    """The target's name, for what to do about its settings."""

    @property
    def url(self) -> str:
        """The tracker's address, without a slash at its end."""
        return str(self.settings.url).rstrip("/")

    @property
    def place(self) -> str:
        """The tracker."""
        return f"Roundup at {self.url}"

    @property
    def comments(self) -> bool:
        """In Roundup, whoever sees a ticket sees all of it."""
        return False

    @property
    def delivers(self) -> bool:
        """The user has it at once."""
        return True

    def health(self) -> str:
        """Ask for one issue."""
        with self._client() as client:
            self._get(client, "issue", {"@page_size": "1", "@fields": "title"})
        return self.place

    def find(self, ticket: str) -> str:
        """Return the address of the ticket's issue."""
        with self._client() as client:
            return f"{self.url}/issue{self._issue(client, ticket)}"

    def sent(self, ticket: str, marker: str) -> str | None:
        """Return the address of the message with this marker, if the ticket shows it."""
        with self._client() as client:
            issue = self._issue(client, ticket)
            message = self._message(client, ticket, marker)
            shown, _ = self._shown(client, issue)
            return self._address(issue, message) if message in shown else None

    def reply(self, message: Message) -> str:
        """Post a message with its attachments into the ticket, or finish what was cut off."""
        with self._client() as client:
            issue = self._issue(client, message.ticket)
            number = self._message(client, message.ticket, message.marker)
            if number is None:
                files = [self._upload(client, one) for one in message.attachments]
                number = self._post(client, message, files)
            self._link(client, issue, number)
            return self._address(issue, number)

    def comment(self, message: Message) -> str:
        """Refuse: there are no comments that the user doesn't see."""
        raise InputError("Roundup has no internal comments", where=self.url)

    def read(self, ticket: str, reference: str) -> Posted:
        """Read a message and its files back, as the ticket shows them."""
        with self._client() as client:
            issue, message = self._parts(reference)
            if message not in self._shown(client, issue)[0]:
                raise ServiceError("the ticket doesn't show the message", where=reference)
            data = self._get(client, f"msg/{message}", {"@verbose": "3"})["attributes"]
            digests = {}
            for file in data["files"]:
                answer = client.get(
                    f"{self.url}/rest/data/file/{file['id']}/binary_content",
                    headers={"Accept": "application/octet-stream, */*"},
                )
                self._require_success(answer)
                name = self._get(client, f"file/{file['id']}")["attributes"]["name"]
                digests[str(name)] = hashlib.sha256(answer.content).hexdigest()
            return Posted(str(data["content"]).replace("\r\n", "\n"), digests)

    def _issue(self, client: httpx.Client, ticket: str) -> str:
        rows = self._get(client, "issue", {"title:": ticket, "@fields": "title"})["collection"]
        ids = [str(row["id"]) for row in rows if row["title"] == ticket]
        if len(ids) != 1:
            remedy = "The title of the ticket's issue must be the ticket's id, and of no other."
            if not ids:
                remedy += f" In the sandbox, this files it: dedl-workbook sandbox file {ticket}"
            raise rest.no_ticket(len(ids), ticket, self.place, remedy)
        return ids[0]

    def _message(self, client: httpx.Client, ticket: str, marker: str) -> str | None:
        wanted = _message_id(ticket, marker)
        rows = self._get(client, "msg", {"messageid:": wanted, "@fields": "messageid"})
        ids = [int(row["id"]) for row in rows["collection"] if row["messageid"] == wanted]
        return str(min(ids)) if ids else None

    def _upload(self, client: httpx.Client, attachment: Attachment) -> str:
        with attachment.path.open("rb") as content:
            answer = client.post(
                f"{self.url}/rest/data/file",
                data={"name": attachment.name, "type": attachment.media_type},
                files={"content": (attachment.name, content, "application/octet-stream")},
            )
        if answer.status_code in (400, 413, 415, 422):
            raise rest.too_large(answer, attachment, self.url)
        return self._id_of(answer)

    def _post(self, client: httpx.Client, message: Message, files: list[str]) -> str:
        values = {
            "author": self.settings.user,
            "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d.%H:%M:%S"),
            "content": message.text,
            "summary": message.subject,
            "messageid": _message_id(message.ticket, message.marker),
            "type": "text/plain",
            "files": files,
        }
        return self._id_of(client.post(f"{self.url}/rest/data/msg", json=values))

    def _link(self, client: httpx.Client, issue: str, message: str) -> None:
        data = self._get(client, f"msg/{message}", {"@verbose": "2"})["attributes"]
        change = {"@op": "add", "messages": [message], "files": [f["id"] for f in data["files"]]}
        for _ in range(_TRIES):
            shown, tag = self._shown(client, issue)
            if message in shown:
                return
            answer = client.patch(
                f"{self.url}/rest/data/issue/{issue}", json=change, headers={"If-Match": tag}
            )
            # 412: somebody else changed the ticket meanwhile.
            if answer.status_code != 412:
                self._require_success(answer)
        if message not in self._shown(client, issue)[0]:
            raise ServiceError(
                "the ticket is being changed all the time", where=self.url, remedy=rest.AGAIN
            )

    def _shown(self, client: httpx.Client, issue: str) -> tuple[list[str], str]:
        """Return the messages that a ticket shows, and the tag of that state."""
        data = self._get(client, f"issue/{issue}")
        return [str(one["id"]) for one in data["attributes"]["messages"]], str(data["@etag"])

    def _get(
        self, client: httpx.Client, path: str, query: dict[str, str] | None = None
    ) -> dict[str, Any]:
        answer = client.get(f"{self.url}/rest/data/{quote(path)}", params=query)
        self._require_success(answer)
        document: dict[str, Any] = _body(answer)
        return document

    def _id_of(self, answer: httpx.Response) -> str:
        self._require_success(answer)
        return str(_body(answer)["id"])

    def _address(self, issue: str, message: str | None) -> str:
        return f"{self.url}/issue{issue}#msg{message}"

    def _parts(self, reference: str) -> tuple[str, str]:
        match = _REFERENCE.fullmatch(reference)
        if not match or not reference.startswith(self.url):
            raise InputError("is no message of this help desk", where=reference)
        return match[1], match[2]

    def _require_success(self, answer: httpx.Response) -> None:
        rest.require_success(answer, self.settings, self.url, self.target)

    def _client(self) -> AbstractContextManager[httpx.Client]:
        origin = urlsplit(self.url)
        headers = {
            "Accept": "application/json",
            # Roundup takes no change without these, against forged requests.
            "X-Requested-With": "dedl-workbook",
            "Origin": f"{origin.scheme}://{origin.netloc}",
            "Referer": f"{self.url}/",
        }
        return rest.client(self.settings, self.url, headers)


def _message_id(ticket: str, marker: str) -> str:
    return f"<dedl-{ticket}-{marker}@dedl-workbook.invalid>"


def _body(answer: httpx.Response) -> Any:
    try:
        return answer.json()["data"]
    except (ValueError, KeyError, TypeError):
        raise ServiceError(
            "the answer is not that of Roundup's REST interface",
            where=str(answer.url.copy_with(userinfo=b"")),
            remedy="Check helpdesk.url in the target.",
        ) from None
