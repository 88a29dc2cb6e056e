"""Notices to those who look after tickets: by a program, a webhook or a mail."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from dedl_workbook.base import http
from dedl_workbook.base.errors import ServiceError, WorkbookError
from dedl_workbook.base.text import printable
from dedl_workbook.parameters.sections import Mail, Notices
from dedl_workbook.services.helpdesk.desk import trust

Notice = Mapping[str, Any]
"""JSON; its `text` is one line for people."""


def send(notice: Notice, settings: Notices, root: Path) -> list[str]:
    """Send a notice by each way that the target names, and return what went wrong, a line each.

    Args:
        notice: free of secrets.
        settings: the target's.
        root: the folder that a program runs in.
    """
    ways: list[tuple[str, Callable[[], None]]] = []
    if settings.command:
        ways.append(("command", lambda: _run(notice, settings, root)))
    if settings.webhook is not None:
        ways.append(("webhook", lambda: _post(notice, settings)))
    if (mail := settings.mail) is not None:
        ways.append(("mail", lambda: _mail(notice, mail, settings.timeout)))
    problems = []
    for name, way in ways:
        try:
            way()
        except (WorkbookError, OSError, ValueError, smtplib.SMTPException) as error:
            reason = str(error) or type(error).__name__
            problems.append(printable(f"notices.{name}: {' '.join(reason.split())}")[:300])
    return problems


def _run(notice: Notice, settings: Notices, root: Path) -> None:
    names = ("PATH", "HOME", "TMPDIR", "LANG")
    with subprocess.Popen(
        settings.command,
        cwd=root,
        env={name: os.environ[name] for name in names if name in os.environ},
        stdin=subprocess.PIPE,
        # Whatever it prints: it is nobody's, and may be without end.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            process.communicate(json.dumps(notice).encode(), settings.timeout)
        except subprocess.TimeoutExpired:
            raise ServiceError(f"it did not end in {settings.timeout:g} s") from None
        finally:
            # With all that it started.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise ServiceError(f"it ended with {process.returncode}")


def _post(notice: Notice, settings: Notices) -> None:
    assert settings.webhook is not None  # noqa: S101 - the caller asked
    text = _unmarked(str(notice["text"]))
    block = {"type": "TextBlock", "text": text, "wrap": True}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "body": [block],
    }
    kind = "application/vnd.microsoft.card.adaptive"
    message = {"type": "message", "attachments": [{"contentType": kind, "content": card}]}
    body = {"text": text} if settings.webhook_form == "text" else message
    address = settings.webhook.get_secret_value()
    with (
        http.explained("the webhook", "its address", "Check it."),
        http.client(settings.timeout) as client,
        client.stream("POST", address, json=body) as answer,
    ):
        # What it answers besides says nothing: each product has words of its own.
        if answer.is_redirect:
            raise ServiceError(f"it answers {answer.status_code}, another address")
        answer.raise_for_status()


def _unmarked(text: str) -> str:
    """Return a line in which a chat sees no markup, and nobody is called by `@`."""
    for character, instead in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("@", "@\u200b")):
        text = text.replace(character, instead)
    return text


def _mail(notice: Notice, settings: Mail, timeout: float) -> None:
    mail = EmailMessage()
    mail["Subject"] = f"[{notice['ticket']}] {notice['kind']}"
    mail["From"], mail["To"] = settings.sender, settings.recipient
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{notice['text']}\n")
    context = trust(settings.ca_bundle)
    if settings.security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            settings.host, settings.port, timeout=timeout, context=context
        )
    else:
        server = smtplib.SMTP(settings.host, settings.port, timeout=timeout)
    with server:
        if settings.security == "starttls":
            server.starttls(context=context)
        if password := settings.password.get_secret_value():
            server.login(settings.user, password)
        server.send_message(mail)
