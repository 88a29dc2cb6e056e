"""Commands on datasets: validate, and the rules and schemas that they are validated by.

Imports stand in the functions: a command loads what it needs, and no more.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dedl_workbook.cli.codes import DONE, FAILED
from dedl_workbook.cli.parser import (
    EXISTING,
    NEW_FOLDER,
    OUTPUT,
    RULE,
    Output,
    command,
    exclusive,
    group,
    takes_json,
)

if TYPE_CHECKING:
    from dedl_workbook.rules.validation import SecondOpinion


@command(
    example="dedl-workbook validate EO.XXX.DAT.YYY --json findings.json\n"
    "dedl-workbook validate EO.XXX.DAT.YYY --html report.html\n"
    "dedl-workbook validate EO.XXX.DAT.YYY --fix fixed",
)
@click.argument("dataset", help="A folder, or s3://bucket/prefix.")
@click.option(
    "--json",
    "json_to",
    type=OUTPUT,
    help="Write the findings there; - prints them instead of the report.",
)
@click.option("--csv", "csv_to", type=OUTPUT, help="Write them as a table; - prints it instead.")
@click.option(
    "--html", "html_to", type=OUTPUT, help="Write the report there as a page that can be sent."
)
@click.option("--fix", "fix_to", type=NEW_FOLDER, metavar="DIR", help="Write fixed metadata there.")
@click.option(
    "--executor",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="auto, one, threads, processes, or a Dask scheduler's address.",
)
@click.option(
    "--second-opinion",
    type=click.Choice(("none", "sample", "all")),
    default="sample",
    show_default=True,
    help="The items that stac-validator is asked about.",
)
@click.option("--offline", is_flag=True, help="Fetch no schema of an extension.")
def validate(
    dataset: str,
    json_to: Output | None,
    csv_to: Output | None,
    html_to: Output | None,
    fix_to: Path | None,
    executor: str,
    second_opinion: SecondOpinion,
    offline: bool,
) -> int:
    """Check a delivered dataset; no ticket needed."""
    from dedl_workbook.base.errors import InputError
    from dedl_workbook.base.json import pretty
    from dedl_workbook.base.progress import sparse
    from dedl_workbook.base.text import harmless, printable
    from dedl_workbook.dataset.dataset import open_dataset
    from dedl_workbook.rules import fix, validation
    from dedl_workbook.views import pages, terminal

    delivered = open_dataset(dataset)
    outputs = [output for output in (json_to, csv_to, html_to) if output]
    for output in outputs:
        output.require_file()
    if len([output for output in outputs if output.path is None]) > 1:
        raise InputError(
            "only one of --json, --csv and --html can be printed", remedy="Name a file."
        )
    if fix_to:
        fix.require_fresh(delivered, fix_to)

    with terminal.Progress() as progress:
        report = validation.validate(
            delivered,
            executor=executor,
            tell=sparse(progress),
            second_opinion=second_opinion,
            fetch=not offline,
        )
    # Files first: whoever reads what is printed may go away.
    if json_to:
        text = pretty(report.as_json())
        _write(json_to, text, harmless(text))
    if csv_to:
        text = report.as_csv()
        _write(csv_to, text, printable(text.replace("\r\n", "\n"), lines=True))
    if html_to:
        page = pages.of_report(report)
        _write(html_to, page, page)
    for_people = all(output.path for output in outputs)
    if for_people:
        terminal.show_report(report)
    if fix_to:
        with terminal.Progress() as progress:
            fixed = fix.fix(
                delivered,
                fix_to,
                executor=executor,
                tell=sparse(progress),
                second_opinion=second_opinion,
                fetch=not offline,
            )
        left = fixed.remaining
        (terminal.out if for_people else terminal.err).print(
            f"{fixed.changed} of {fixed.documents} documents are fixed in {fix_to}, with the "
            + (
                "patches; with them it passes:"
                if left.passed
                else "patches; a person has to fix what remains:"
            ),
            markup=False,
        )
        if for_people:
            terminal.show_report(left, "fixed, ")
    return DONE if report.passed else FAILED


def _write(output: Output, text: str, on_terminal: str) -> None:
    from dedl_workbook.base.files import write_out

    if output.path is None:
        sys.stdout.write(on_terminal)
    else:
        write_out(output.path, text)


@command(example="dedl-workbook rules C04")
@click.argument("names", nargs=-1, type=RULE, metavar="[RULE]...", help="Default: all.")
@takes_json
def rules(names: tuple[str, ...], as_json: bool) -> int:
    """List the rules of validation."""
    from dedl_workbook.base.errors import InputError
    from dedl_workbook.base.text import nearest
    from dedl_workbook.rules.rulebook import RULES
    from dedl_workbook.views import terminal

    for name in names:
        if name not in RULES:
            near = nearest(name.upper(), RULES)
            raise InputError(f"there is no rule {name!r}", remedy=near or "See them all: rules")
    chosen = [RULES[name] for name in names or RULES]
    rows = [(rule.id, str(rule.severity), rule.doc) for rule in chosen]
    if as_json:
        keys = ("rule", "severity", "text")
        terminal.show_json([dict(zip(keys, row, strict=True)) for row in rows])
    else:
        terminal.show_table(("rule", "severity", "what must hold"), rows)
    return DONE


@group(example="dedl-workbook schemas sync --from-packages")
def schemas() -> None:
    """Keep the local store of STAC's JSON schemas."""


@schemas.command(example="dedl-workbook schemas sync --from-packages")
@click.option("--from", "folder", type=EXISTING, metavar="FOLDER", help="From a folder.")
@click.option("--from-packages", is_flag=True, help="The core schemas only, from packages.")
@click.option("--accept", is_flag=True, help="Use what has changed since it was locked, too.")
@takes_json
def sync(folder: Path | None, from_packages: bool, accept: bool, as_json: bool) -> int:
    """Fill the store: from the network, from packages, or from a folder."""
    from dedl_workbook.rules.schemas import store
    from dedl_workbook.views import terminal

    exclusive(**{"from": folder, "from_packages": from_packages})
    report = store.sync(
        source=folder or ("packages" if from_packages else "network"), accept=accept
    )
    code = FAILED if report.problems else DONE
    if as_json:
        terminal.show_json(
            {
                "store": str(store.default_store()),
                "written": len(report.written),
                "accepted": list(report.accepted),
                "kept": len(report.kept),
                "absent": len(report.absent),
                "problems": list(report.problems),
            }
        )
        return code
    terminal.out.print(
        f"{len(report.written)} schemas written, {len(report.kept)} were there, "
        f"{len(report.absent)} absent, in {store.default_store()}"
    )
    for url in report.accepted:
        terminal.out.print(f"accepted as it is now: {url}", markup=False)
    for problem in report.problems:
        terminal.err.print(problem, markup=False)
    if report.problems and not (folder or from_packages):
        terminal.err.print(
            "without these hosts: `dedl-workbook schemas sync --from-packages` brings STAC's own "
            "schemas by pip, `--from FOLDER` whatever was fetched elsewhere",
            markup=False,
        )
    return code
