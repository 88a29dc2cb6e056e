"""Request Tracker 5, over its REST interface 2.

A message is one request: text, files and marker arrive together or not at all. The marker stands
at the end of the message's subject, by which it is looked up in its ticket.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.parameters.fields import Url
from dedl_workbook.parameters.helpdesk import Account
from dedl_workbook.services.helpdesk import rest
from dedl_workbook.services.helpdesk.desk import Desk, Message, Posted

if TYPE_CHECKING:
    import httpx

_PAGE = 100


class Settings(Account):
    """Where Request Tracker is, and as whom we reply there."""

    kind: Literal["rt"] = "rt"
    url: Url
    """Of its pages, without REST/2.0."""
    user: Annotated[str, Field(min_length=1)]
    queue: str = ""
    """The queue of the tickets; empty: any that the user sees."""

    def open(self, target: str, case: Path) -> Desk:
        """Return the tracker."""
        return RequestTracker(self, target)


@dataclass(frozen=True)
class RequestTracker:
    """A Request Tracker, whose tickets have their id in our sense as subject."""

    settings: Settings
    target: str
    """The target's name, for what to do about its settings."""

    @property
    def url(self) -> str:
        """Its address, without a slash at its end."""
        return self.settings.url.rstrip("/")

    @property
    def place(self) -> str:
        """The tracker."""
        return f"Request Tracker at {self.url}"

    @property
    def comments(self) -> bool:
        """There are, for those with the right to see them."""
        return True

    @property
    def delivers(self) -> bool:
        """It mails them to the requestor."""
        return True

    def health(self) -> str:
        """Ask for its version."""
        with self._client() as client:
            version = self._get(client, "rt").get("Version", "")
        return f"{self.place}, version {str(version)[:40]}"

    def find(self, ticket: str) -> str:
        """Return the address of the ticket."""
        with self._client() as client:
            return f"{self.url}/Ticket/Display.html?id={self._number(client, ticket)}"

    def sent(self, ticket: str, marker: str) -> str | None:
        """Return the address of the message with this marker, or None: it isn't there."""
        with self._client() as client:
            return self._sent(client, self._number(client, ticket), marker)

    def reply(self, message: Message) -> str:
        """Correspond: the requestor sees it, and gets it as a mail."""
        return self._post("correspond", message)

    def comment(self, message: Message) -> str:
        """Comment: for those with the right to see it."""
        return self._post("comment", message)

    def read(self, ticket: str, reference: str) -> Posted:
        """Read a message and its files back."""
        transaction = reference.rpartition("#txn-")[2]
        if not reference.startswith(self.url) or not transaction.isdigit():
            raise InputError("is no message of this help desk", where=reference)
        with self._client() as client:
            text, digests = "", {}
            for entry in self._list(client, f"transaction/{transaction}/attachments"):
                part = self._get(client, f"attachment/{entry['id']}")
                content = _decoded(part.get("Content"), reference)
                if part.get("Filename"):
                    digests[str(part["Filename"])] = hashlib.sha256(content).hexdigest()
                elif part.get("ContentType") == "text/plain":
                    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
        if not text:
            raise ServiceError("the message isn't there any more", where=reference)
        return Posted(text, digests)

    def _post(self, action: str, message: Message) -> str:
        values = {
            "Subject": f"{message.subject} {_label(message.marker)}",
            "Content": message.text,
            "ContentType": "text/plain",
        }
        with self._client() as client, ExitStack() as opened:
            number = self._number(client, message.ticket)
            parts: list[tuple[str, Any]] = [("JSON", (None, json.dumps(values)))]
            for one in message.attachments:
                # As bytes: what is sent as text may be stored in another encoding.
                file = opened.enter_context(one.path.open("rb"))
                parts.append(("Attachments", (one.name, file, "application/octet-stream")))
            answer = client.post(f"{self._api}/ticket/{number}/{action}", files=parts)
            if answer.status_code in (413, 415, 422) and message.attachments:
                largest = max(message.attachments, key=lambda one: one.size)
                raise rest.too_large(answer, largest, self.url)
            self._require_success(answer)
            reference = self._sent(client, number, message.marker)
        if reference is None:
            raise ServiceError(
                "the ticket doesn't show the message", where=self.url, remedy=rest.AGAIN
            )
        return reference

    def _sent(self, client: httpx.Client, number: str, marker: str) -> str | None:
        fields = {"fields": "Subject,TransactionId"}
        for entry in self._list(client, f"ticket/{number}/attachments", fields):
            if str(entry.get("Subject")).endswith(_label(marker)):
                transaction = entry.get("TransactionId")
                if isinstance(transaction, dict):
                    transaction = transaction.get("id")
                return f"{self.url}/Ticket/Display.html?id={number}#txn-{transaction}"
        return None

    def _number(self, client: httpx.Client, ticket: str) -> str:
        # A ticket's name has no character that a query would read.
        query = f"Subject = '{ticket}'"
        if self.settings.queue:
            queue = self.settings.queue.replace("\\", "\\\\").replace("'", "\\'")
            query += f" AND Queue = '{queue}'"
        rows = self._list(client, "tickets", {"query": query, "fields": "Subject"})
        numbers = [str(row["id"]) for row in rows if row.get("Subject") == ticket]
        if len(numbers) != 1:
            remedy = "The subject of the ticket must be the ticket's id, and of no other; and the "
            remedy += "user must have the right to see it."
            raise rest.no_ticket(len(numbers), ticket, self.place, remedy)
        return numbers[0]

    def _list(
        self, client: httpx.Client, path: str, query: dict[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            values = {**(query or {}), "per_page": str(_PAGE), "page": str(page)}
            items = self._get(client, path, values).get("items")
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise self._garbage(path)
            yield from items
            if len(items) < _PAGE:
                return
            page += 1

    def _get(
        self, client: httpx.Client, path: str, query: dict[str, str] | None = None
    ) -> dict[str, Any]:
        answer = client.get(f"{self._api}/{path}", params=query)
        self._require_success(answer)
        try:
            document = answer.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise self._garbage(path)
        return document

    def _garbage(self, path: str) -> ServiceError:
        return ServiceError(
            f"the answer to {path} is not that of Request Tracker's REST interface",
            where=self.url,
            remedy="Check helpdesk.url in the target.",
        )

    def _require_success(self, answer: httpx.Response) -> None:
        rest.require_success(answer, self.settings, self.url, self.target)

    @property
    def _api(self) -> str:
        return f"{self.url}/REST/2.0"

    def _client(self) -> AbstractContextManager[httpx.Client]:
        return rest.client(self.settings, self.url, {"Accept": "application/json"})


def _label(marker: str) -> str:
    return f"[dedl {marker}]"


def _decoded(content: Any, reference: str) -> bytes:
    try:
        return base64.b64decode(str(content or ""))
    except binascii.Error:
        raise ServiceError("an attachment can't be read back", where=reference) from None
