"""The help desk: one adapter a product; another product is one more file here."""

from __future__ import annotations

from pathlib import Path

from dedl_workbook.parameters.target import Target
from dedl_workbook.services.helpdesk.desk import (
    Attachment,
    HelpDesk,
    Message,
    Posted,
    Sent,
    UnansweredError,
    deliver,
    mark,
    one_line,
    plain,
)

__all__ = [
    "Attachment",
    "HelpDesk",
    "Message",
    "Posted",
    "Sent",
    "UnansweredError",
    "deliver",
    "mark",
    "one_line",
    "open_desk",
    "plain",
]


def open_desk(target: Target, case: Path) -> HelpDesk:
    """Return the target's help desk; nothing is asked of it yet.

    Args:
        target: says which product, and where it is.
        case: the case's folder, in which an outbox, or what was mailed, lies.
    """
    settings = target.helpdesk
    if settings.kind == "roundup":
        from dedl_workbook.services.helpdesk.roundup import Roundup

        return Roundup(settings, target.name)
    if settings.kind == "smtp":
        from dedl_workbook.services.helpdesk.smtp import Smtp

        return Smtp(settings, target.name, case / "mail")
    from dedl_workbook.services.helpdesk.outbox import Outbox

    return Outbox(case / "outbox")
