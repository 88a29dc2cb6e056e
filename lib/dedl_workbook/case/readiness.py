"""What can be known of a plan within a second or two, before any notebook is started for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from dedl_workbook.base.errors import GateError, InputError, WorkbookError
from dedl_workbook.case.case import Case
from dedl_workbook.rules.validation import require_known_waivers
from dedl_workbook.services import health
from dedl_workbook.services.helpdesk import open_desk


def require_ready(case: Case) -> None:
    """Require what each plan of a ticket needs: its help desk's ticket, rules, services.

    Raises:
        InputError: with all that is missing.
    """
    looks: tuple[Callable[[Case], None], ...] = (_rules, _services, _desk)
    with ThreadPoolExecutor(len(looks)) as pool:
        problems = list(pool.map(lambda look: _problem(look, case), looks))
    if missing := list(dict.fromkeys(filter(None, problems))):
        raise InputError("\n".join(missing), where=f"ticket {case.ticket.ticket}")


def obstacle(case: Case) -> str:
    """Return why a plan of a publication could not be approved now; '' if nothing is in the way."""
    try:
        case.gate_board()
    except GateError as error:
        return f"{error.what}. {error.remedy}"
    return ""


def _problem(look: Callable[[Case], None], case: Case) -> str:
    try:
        look(case)
    except WorkbookError as error:
        return str(error)
    return ""


def _rules(case: Case) -> None:
    require_known_waivers(case.ticket)


def _services(case: Case) -> None:
    failing = _failing(case)
    # One that was only busy gets a second look.
    if failing and (failing := _failing(case)):
        lines = [f"{one.service} fails: {one.found} {one.remedy}".rstrip() for one in failing]
        raise InputError("\n".join(lines))


def _failing(case: Case) -> list[health.Health]:
    return [one for one in health.check(case.target.name, case.root) if one.state == "fails"]


def _desk(case: Case) -> None:
    open_desk(case.target, case.folder).find(case.ticket.ticket)
