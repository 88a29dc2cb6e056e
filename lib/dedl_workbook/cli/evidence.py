"""Commands on what was published: pack, verify and compare evidence, audit a collection.

Imports stand in the functions: a command loads what it needs, and no more.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dedl_workbook.cli.codes import COULD_NOT_RUN, DONE, FAILED
from dedl_workbook.cli.parser import EXISTING, TARGET, TICKET, command, group, takes_json

if TYPE_CHECKING:
    from dedl_workbook.case.audit import Audit
    from dedl_workbook.evidence import Bag


POOL = "pool"
"""In place of an anchor: those that the pool has."""


@command(example="dedl-workbook audit EO.DEDL.DAT.DEMO_HEAT")
@click.argument("collection", default="", help="Its id, also if it was published by hand.")
@click.option(
    "--bag",
    type=EXISTING,
    metavar="BAG",
    help="Compare with what a pack of evidence says was published, and with nothing else.",
)
@click.option("--target", default="", type=TARGET, metavar="T", help="Where; default: as archived.")
@click.option("--every-byte", is_flag=True, help="Read all objects, not a sample.")
@takes_json
def audit(collection: str, bag: Path | None, target: str, every_byte: bool, as_json: bool) -> int:
    """Compare a published collection with what is known of it; nothing is changed."""
    from dedl_workbook.base.progress import sparse
    from dedl_workbook.case import audit
    from dedl_workbook.evidence import audit as bags
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    if bool(collection) == bool(bag):
        raise click.UsageError("Name a collection, or a pack with --bag.")
    with terminal.Progress() as progress:
        compare = partial(bags.audit, bag) if bag else partial(audit.audit, collection)
        report = compare(
            workbook_root(), target=target, every_byte=every_byte, tell=sparse(progress)
        )
    if not bag:
        _tell_of_drift(report)
    if as_json:
        terminal.show_json(report.as_json())
    else:
        rows = [(row.part, row.what, row.state, row.found) for row in report.rows]
        of = f"as {report.ticket} published it" if report.ticket else "published by hand"
        of += f", by {bag}" if bag else ""
        terminal.show_table(audit.COLUMNS, rows, f"{report.collection} on {report.target}, {of}")
    return {audit.SAME: DONE, audit.DRIFTED: FAILED}.get(report.state, COULD_NOT_RUN)


def _tell_of_drift(report: Audit) -> None:
    from dedl_workbook.base.errors import ConflictError
    from dedl_workbook.case import audit, notices
    from dedl_workbook.parameters.target import Target
    from dedl_workbook.parameters.yaml_files import workbook_root

    drifted = [f"{row.part}: {row.what}" for row in report.rows if row.state == audit.DRIFTED]
    if drifted and report.ticket:
        root = workbook_root()
        # Whoever is at the case now is no reason to fail; the next audit tells.
        with suppress(ConflictError):
            notices.of_drift(Target.load(report.target, root), report.ticket, root, drifted)


@group(example="dedl-workbook evidence pack DEDL-1")
def evidence() -> None:
    """Pack a ticket's evidence; verify and compare packs."""


@evidence.command(example="dedl-workbook evidence pack DEDL-1")
@click.argument("ticket", type=TICKET)
@takes_json
def pack(ticket: str, as_json: bool) -> int:
    """Pack a ticket's evidence."""
    from dedl_workbook import evidence
    from dedl_workbook.case import lock
    from dedl_workbook.case.case import Case
    from dedl_workbook.parameters.ticket import Ticket

    case = Case.of(Ticket.load(ticket))
    with lock.hold(case.folder):
        bag = evidence.pack(case)
    _show_bag("packed", bag, as_json)
    return DONE


@evidence.command(
    example="dedl-workbook evidence verify DEMO-1\n"
    "dedl-workbook evidence verify archive/sandbox/DEMO-1/bag"
)
@click.argument("path", type=TICKET, help="A ticket, or the bag's folder or zip.")
@click.option(
    "--signers",
    type=EXISTING,
    metavar="FILE",
    help="Require a signature by one of these (lines NAME KEY-TYPE KEY, see man ssh-keygen).",
)
@click.option(
    "--approvers",
    type=EXISTING,
    metavar="FILE",
    help="Require each approval to be signed by one of these, allowed at its time.",
)
@click.option("--digest", default="", help="What the pack's digest should be.")
@click.option(
    "--anchor",
    default="",
    help="The line that its ledger must have, as the reply says; 'pool': as the pool says.",
)
@click.option(
    "--target", default="", type=TARGET, metavar="T", help="Whose pool; default: its own."
)
@takes_json
def verify(
    path: str,
    signers: Path | None,
    approvers: Path | None,
    digest: str,
    anchor: str,
    target: str,
    as_json: bool,
) -> int:
    """Check a pack of evidence: every file, every byte."""
    from dedl_workbook import evidence

    named = "" if anchor == POOL else anchor
    folder = _bag_of(path)
    bag = evidence.verify(folder, digest=digest, signers=signers, approvers=approvers, anchor=named)
    if anchor == POOL:
        from dedl_workbook.evidence import audit
        from dedl_workbook.parameters.yaml_files import workbook_root

        audit.require_anchored(folder, workbook_root(), target)
    _show_bag(bag.state, bag, as_json)
    return DONE


def _bag_of(name: str) -> Path:
    """Return the bag that is meant: by its path, or by its ticket."""
    from dedl_workbook.base.errors import InputError
    from dedl_workbook.parameters.target import Target
    from dedl_workbook.parameters.ticket import Ticket, ticket_file
    from dedl_workbook.parameters.yaml_files import workbook_root

    if "/" in name or Path(name).exists() or name.endswith(".zip"):
        return Path(name)
    try:
        root = workbook_root()
        file = ticket_file(name, root)
    except InputError as error:
        raise InputError(
            "is neither a folder nor a zip, nor a ticket", where=name, remedy=error.remedy
        ) from None
    ticket = Ticket.load(str(file))
    return Target.archive_of(ticket.target, root) / ticket.ticket / "bag"


@evidence.command(
    example="dedl-workbook evidence diff DEDL-1 DEDL-9\n"
    "dedl-workbook evidence diff archive/sandbox/DEDL-1/bag DEDL-1.zip"
)
@click.argument("first", type=TICKET, metavar="A", help="A ticket, or a bag's folder or zip.")
@click.argument("second", type=TICKET, metavar="B", help="Another of the same collection.")
@takes_json
def diff(first: str, second: str, as_json: bool) -> int:
    """Show what differs between two packs of one collection."""
    from dedl_workbook.evidence.diff import as_json as rows_as_json
    from dedl_workbook.evidence.diff import diff, summary
    from dedl_workbook.views import terminal

    rows = diff(_bag_of(first), _bag_of(second))
    if as_json:
        terminal.show_json(rows_as_json(rows))
        return DONE
    terminal.out.print(summary(rows))
    if rows:
        names = ("in", "what", first, second)
        terminal.show_table(names, [(r.area, r.what, r.first, r.second) for r in rows])
    return DONE


def _show_bag(state: str, bag: Bag, as_json: bool) -> None:
    from dedl_workbook.views import terminal

    if as_json:
        summary = {"state": state, "path": str(bag.path), "files": bag.files, "bytes": bag.size}
        terminal.show_json(summary | {"digest": bag.digest})
    else:
        terminal.show_bag(state, bag.path, bag.files, bag.size, bag.digest)
