"""The help desk: one adapter a product.

Another product is a file here with its adapter, and its line in `PRODUCTS`; its settings are those
of `parameters.sections.HelpDesk`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dedl_workbook.parameters.target import HelpDesk as Settings
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
    "PRODUCTS",
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


def _outbox(settings: Settings, target: str, case: Path) -> HelpDesk:
    from dedl_workbook.services.helpdesk.outbox import Outbox

    return Outbox(case / "outbox")


def _roundup(settings: Settings, target: str, case: Path) -> HelpDesk:
    from dedl_workbook.services.helpdesk.roundup import Roundup

    return Roundup(settings, target)


def _smtp(settings: Settings, target: str, case: Path) -> HelpDesk:
    from dedl_workbook.services.helpdesk.smtp import Smtp

    return Smtp(settings, target, case / "mail")


PRODUCTS: dict[str, Callable[[Settings, str, Path], HelpDesk]] = {
    "outbox": _outbox,
    "roundup": _roundup,
    "smtp": _smtp,
}
"""What opens each kind of help desk, given its settings, the target's name and the case's folder.
An adapter is imported when it is used."""


def open_desk(target: Target, case: Path) -> HelpDesk:
    """Return the target's help desk; nothing is asked of it yet.

    Args:
        target: says which product, and where it is.
        case: the case's folder, in which an outbox, or what was mailed, lies.
    """
    return PRODUCTS[target.helpdesk.kind](target.helpdesk, target.name, case)
