"""Commands on tickets' files: write a new one, list them, find what became of them.

Imports stand in the functions: a command loads what it needs, and no more.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from dedl_workbook.cli.codes import COULD_NOT_RUN, DONE
from dedl_workbook.cli.parser import TARGET, TICKET, group, takes_json

_NEEDED = {
    "ticket": "Ticket, its id in the help desk",
    "dataset": "Dataset, a folder or s3://bucket/prefix",
    "collection": "Collection, the agreed id",
    "target": "Target, where it goes",
}


@group(example="dedl-workbook ticket new")
def ticket() -> None:
    """Write, list and find tickets."""


@ticket.command(
    example="dedl-workbook ticket new\n"
    "dedl-workbook ticket new --ticket DEDL-7 --dataset delivered/EO.XXX.DAT.YYY \\\n"
    "  --collection EO.XXX.DAT.YYY --target production"
)
@click.option("--ticket", metavar="ID", help="Its id in the help desk.")
@click.option("--dataset", metavar="PLACE", help="A folder, or s3://bucket/prefix.")
@click.option("--collection", metavar="ID", help="The agreed id of the collection.")
@click.option("--target", type=TARGET, metavar="T", help="Where it goes.")
@click.option("--board-reference", metavar="TEXT", help="Where the board's decision is written.")
@click.option("--board-date", metavar="DAY", help="Its day, as 2026-11-20.")
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="Who may see it; repeatable.")
@click.option("--replace", is_flag=True, help="In place of what is published under this id.")
@takes_json
def new(as_json: bool, roles: tuple[str, ...], replace: bool, **values: str | None) -> int:
    """Write a checked file for a new ticket; what is needed and not given is asked for."""
    import yaml

    from dedl_workbook.base.errors import InputError
    from dedl_workbook.parameters.target import Target
    from dedl_workbook.parameters.ticket import Ticket
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    root = workbook_root()
    for key, question in _NEEDED.items():
        if not values[key] and sys.stdin is not None and sys.stdin.isatty() and not as_json:
            values[key] = click.prompt(question)
    document: dict[str, Any] = {key: value for key, value in values.items() if value}
    document |= {"access": "restricted", "roles": list(roles)} if roles else {}
    document |= {"mode": "replace"} if replace else {}
    written = Ticket.of(document, "the new ticket")
    Target.archive_of(written.target, root)
    file = root / "parameters" / "tickets" / f"{written.ticket}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as out:
            yaml.safe_dump(written.parameters(), out, sort_keys=False, allow_unicode=True)
    except FileExistsError:
        raise InputError(
            "there is a ticket of this name already",
            where=str(file),
            remedy="Edit that file, or take another name.",
        ) from None
    if as_json:
        terminal.show_json({"file": str(file), **written.parameters()})
    else:
        terminal.out.print(f"wrote {file}", markup=False)
        terminal.out.print(f"next: dedl-workbook plan {written.ticket}", markup=False)
    return DONE


@ticket.command("list", example="dedl-workbook ticket list 'DEDL-*'")
@click.argument(
    "names", nargs=-1, type=TICKET, metavar="[TICKET]...", help="Names, patterns; default: all."
)
@takes_json
def list_(names: tuple[str, ...], as_json: bool) -> int:
    """List what tickets ask for."""
    from dedl_workbook.base.errors import InputError
    from dedl_workbook.parameters.ticket import Ticket, ticket_names
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    root = workbook_root()
    loaded, broken = [], []
    everything = [f.stem for f in sorted((root / "parameters" / "tickets").glob("*.y*ml"))]
    for name in ticket_names(names, root) if names else everything:
        try:
            loaded.append(Ticket.load(name, root))
        except InputError as error:
            broken.append((name, error))
    if as_json:
        errors = [{"ticket": name, "error": str(problem)} for name, problem in broken]
        terminal.show_json([*(one.parameters() for one in loaded), *errors])
    else:
        columns = ("ticket", "collection", "target", "access", "mode", "board")
        rows = [
            (t.ticket, t.collection, t.target, t.access, t.mode, str(t.board_date or ""))
            for t in loaded
        ]
        terminal.show_narrow(columns, rows)
        for name, problem in broken:
            terminal.err.print(f"could not read {name}: {problem.what}", markup=False)
    return COULD_NOT_RUN if broken else DONE


@ticket.command(
    example="dedl-workbook ticket find --item DEMO_20260101\n"
    "dedl-workbook ticket find --state 'published*' --since 2026-11-01"
)
@click.option("--collection", default="", metavar="ID", help="Its id, or a pattern.")
@click.option("--state", default="", metavar="STATE", help="As `status` says it, or a pattern.")
@click.option("--operator", default="", metavar="NAME", help="Who was at it.")
@click.option("--since", default="", metavar="DAY", help="Something happened on it or later.")
@click.option("--until", default="", metavar="DAY", help="Something happened on it or earlier.")
@click.option("--role", default="", metavar="ROLE", help="That it asked for.")
@click.option("--key", default="", metavar="KEY", help="Of an object that it published.")
@click.option("--item", default="", metavar="ID", help="Of an item that it published.")
@click.option("--rebuild", is_flag=True, help="Make the index of the archives anew.")
@takes_json
def find(as_json: bool, rebuild: bool, **wanted: str) -> int:
    """Find cases in all archives, also those whose tickets' files are gone."""
    import datetime as dt

    from dedl_workbook.case import search
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    for name in ("since", "until"):
        try:
            wanted[name] = wanted[name] and dt.date.fromisoformat(wanted[name]).isoformat()
        except ValueError:
            raise click.UsageError(f"--{name} is no day of the form 2026-11-20") from None
    hits = search.find(workbook_root(), rebuild=rebuild, **wanted)
    if as_json:
        terminal.show_json([hit.as_json() for hit in hits])
    else:
        terminal.show_narrow(search.COLUMNS, [tuple(hit.as_json().values()) for hit in hits])
    return DONE
