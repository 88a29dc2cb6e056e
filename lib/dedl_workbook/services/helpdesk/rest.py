"""What desks with a REST interface have in common: their client, and its errors in our words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dedl_workbook.base import http
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.base.trust import problem, remedy
from dedl_workbook.parameters.helpdesk import Account
from dedl_workbook.parameters.target import prefix
from dedl_workbook.services.helpdesk.desk import Attachment, UnansweredError, one_line, trust

if TYPE_CHECKING:
    import httpx

AGAIN = "Run again later: nothing is sent twice."


@contextmanager
def client(settings: Account, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Client]:
    """Open an HTTP client that logs in with user and password.

    Raises:
        ServiceError: the desk can't be reached; UnansweredError where it may have stored something.
    """
    import httpx

    try:
        with http.client(
            settings.timeout,
            auth=(settings.user, settings.password.get_secret_value()),
            verify=trust(settings.ca_bundle) if settings.ca_bundle else True,
            headers=dict(headers),
        ) as opened:
            yield opened
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        if refusal := problem(error):
            raise ServiceError(
                f"the help desk shows a certificate that isn't trusted: {refusal}",
                where=url,
                remedy=remedy(refusal),
            ) from error
        raise ServiceError(
            f"the help desk can't be reached: {one_line(str(error)) or 'no answer'}",
            where=url,
            remedy=f"Check that it is up and at this address. {AGAIN}",
        ) from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        reason = one_line(str(error)) or type(error).__name__
        raise UnansweredError(
            f"the help desk gave no answer: {reason}", where=url, remedy=AGAIN
        ) from error


def require_success(answer: httpx.Response, settings: Account, url: str, target: str) -> None:
    """Raise the error of an answer that isn't a success.

    Args:
        answer: the desk's.
        settings: with the user who asked.
        url: the desk's address.
        target: its name, for what to do about its settings.
    """
    status = answer.status_code
    if answer.is_success:
        return
    if status in (401, 403):
        raise InputError(
            f"the help desk refuses the user {settings.user!r} ({status}{reason_of(answer)})",
            where=url,
            remedy=f"Set {prefix(target)}HELPDESK__USER and …PASSWORD to an account that "
            "may reply in tickets over REST.",
        )
    if status == 429:
        raise ServiceError(
            "the help desk takes no more requests for a while, such as after wrong passwords",
            where=url,
            remedy=f"Wait {one_line(answer.headers.get('Retry-After', 'some'))} seconds, "
            "then run again.",
        )
    # A gateway's word says nothing of what the server behind it did.
    kind = UnansweredError if status in (500, 502, 504) else ServiceError
    raise kind(f"the help desk answered {status}{reason_of(answer)}", where=url, remedy=AGAIN)


def too_large(answer: httpx.Response, attachment: Attachment, url: str) -> ServiceError:
    """Return the error of a desk that doesn't take an attachment."""
    return ServiceError(
        f"the help desk refuses the attachment {attachment.name} of {attachment.size} bytes "
        f"({answer.status_code}{reason_of(answer)})",
        where=url,
        remedy="Set helpdesk.attachment_limit in the target to what the desk takes: larger files "
        "stay in the archive, named in the reply. Then run again.",
    )


def no_ticket(count: int, ticket: str, place: str, remedy: str) -> InputError:
    """Return the error of a title that no ticket has, or more than one."""
    return InputError(
        f"{count or 'no'} tickets with the title {ticket!r}", where=place, remedy=remedy
    )


def reason_of(answer: httpx.Response) -> str:
    """Return the reason in an error's answer, as ': …', or nothing."""
    try:
        document: Any = answer.json()
        text = str(document.get("message") or document["error"]["msg"])
    except (ValueError, KeyError, TypeError, AttributeError):
        text = answer.text if "html" not in answer.headers.get("Content-Type", "") else ""
    return f": {one_line(text)}" if text.strip() else ""
