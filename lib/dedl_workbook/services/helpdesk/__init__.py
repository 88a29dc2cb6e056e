"""The help desk: one file a product, with its settings and its adapter.

Another product is a file here, and its line in `PRODUCTS` of `parameters.helpdesk`.
"""

from __future__ import annotations

from pathlib import Path

from dedl_workbook.parameters.target import Target
from dedl_workbook.services.helpdesk.desk import (
    Attachment,
    Desk,
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
    "Desk",
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


def open_desk(target: Target, case: Path) -> Desk:
    """Return the target's help desk; nothing is asked of it yet.

    Args:
        target: says which product, and where it is.
        case: the case's folder, in which an outbox, or what was mailed, lies.
    """
    desk: Desk = target.helpdesk.open(target.name, case)
    return desk
