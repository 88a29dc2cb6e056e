"""Audit: whether what was published still stands, months later; also what was published by hand.

What the archive knows of the last ticket that published the collection is compared with catalogue,
pool and HDA; without a ticket, these are compared with each other. Nothing is changed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import InputError, WorkbookError
from dedl_workbook.base.progress import Tell, silent
from dedl_workbook.case import anchors
from dedl_workbook.case.audit import catalog, hda, pool, records
from dedl_workbook.case.audit.assets import Assets
from dedl_workbook.parameters.target import Target
from dedl_workbook.publication.job import Check, Job
from dedl_workbook.services.health import names
from dedl_workbook.services.pool.anchors import PATIENCE

COLUMNS = ("part", "what", "state", "found")
SAME, DRIFTED, UNKNOWN = "same", "drifted", "unknown"


@dataclass(frozen=True)
class Row:
    """One thing that was compared."""

    part: str
    """catalogue, STAC API, pool, HDA, scopes or ledger."""
    what: str
    state: str
    """same, drifted, or unknown: it could not be compared."""
    found: str


@dataclass(frozen=True)
class Audit:
    """What was compared of a collection, and with what."""

    collection: str
    target: str
    ticket: str
    """Whose publication it was compared with; '': no ticket's, so the parts with each other."""
    rows: tuple[Row, ...]

    @property
    def state(self) -> str:
        """Drifted if anything has, else unknown if anything is, else same."""
        states = {row.state for row in self.rows}
        return next((state for state in (DRIFTED, UNKNOWN) if state in states), SAME)

    def as_json(self) -> dict[str, Any]:
        """Return it in its JSON form."""
        head = {"collection": self.collection, "target": self.target, "ticket": self.ticket}
        return head | {"state": self.state, "rows": [asdict(row) for row in self.rows]}


def audit(
    collection: str,
    root: Path,
    *,
    target: str = "",
    every_byte: bool = False,
    tell: Tell = silent,
) -> Audit:
    """Compare a published collection with what is known of it.

    Args:
        collection: its id.
        root: the workbook's.
        target: where it was published; default: where the archives say, or the only target.
        every_byte: whether to read every object in full, and not a sample.
        tell: is told of progress.

    Raises:
        InputError: no such target, or nothing of the collection is there.
    """
    where = _target(collection, root, target)
    known = records.last(where, collection, root)
    with tempfile.TemporaryDirectory(prefix="audit-") as name:
        job = Job(records.ticket(known, where, collection), where, Path(name), root, {}, tell)
        with Assets.open(Path(name)) as assets:
            looks: list[tuple[str, Callable[[], Iterable[Check]]]] = [
                ("catalogue", lambda: catalog.look(job, known, assets)),
                ("STAC API", lambda: catalog.served(job)),
                ("pool", lambda: pool.look(job, known, assets, every_byte=every_byte)),
                ("pool", lambda: pool.unneeded(records.jobs(where, collection, root))),
                ("HDA", lambda: hda.look(job, known)),
                ("scopes", lambda: hda.scopes(job, known)),
                ("ledger", lambda: _ledger(known)),
            ]
            rows = tuple(row for part, look in looks for row in rows_of(part, look))
    if known is None and _nothing(rows):
        raise InputError(
            f"nothing of {collection} is there, and no ticket published it",
            where=f"target {where.name}",
            remedy="Check the collection's id, and --target.",
        )
    return Audit(collection, where.name, known.ticket.ticket if known else "", rows)


def _nothing(rows: Iterable[Row]) -> bool:
    states = {(row.part, row.what): row.state for row in rows}
    entry = states.get(("HDA", "configuration: entry"), DRIFTED)
    return states.get(("catalogue", "collection")) == DRIFTED == entry


def _ledger(known: records.Record | None) -> Iterable[Check]:
    """Compare the case's ledger with the lines of it that the pool names."""
    if known is not None:
        file, job = known.folder / "ledger.jsonl", known.job
        wrong = anchors.problem(file.read_bytes(), job.target, job.prefix, PATIENCE)
        yield Check("as the pool names it", not wrong, wrong or "every line that it names is there")


def rows_of(part: str, look: Callable[[], Iterable[Check]]) -> list[Row]:
    """Return a row a check; a part that can't be looked at is one that is unknown."""
    try:
        checks = list(look())
    except WorkbookError as error:
        return [Row(part, "all of it", UNKNOWN, str(error))]
    return [Row(part, c.name, SAME if c.passed else DRIFTED, c.found) for c in checks]


def _target(collection: str, root: Path, name: str) -> Target:
    if name:
        return Target.load(name, root)
    every = names(root)
    known = [one for one in every if records.mentions(root, one, collection)]
    if len(known or every) == 1:
        return Target.load((known or every)[0], root)
    where = f"on {', '.join(known)}" if known else f"one of {', '.join(every) or 'none'}"
    raise InputError(
        f"which target is meant? {collection} was published {where}"
        if known
        else f"which target is meant? No ticket published {collection}; it may be {where}",
        remedy=f"Add --target {(known or every or ['NAME'])[0]}.",
    )
