"""How the command line is put together: its parser, and the forms that commands have."""

from __future__ import annotations

import argparse
import difflib
import sys
import textwrap
from collections.abc import Callable
from typing import Any, NoReturn

from dedl_workbook.cli.batch import COULD_NOT_RUN


class Parser(argparse.ArgumentParser):
    """Takes whole options alone, and says of what it doesn't know what is nearest."""

    def __init__(self, **how: Any) -> None:
        """Take options by their whole names: `--wi` wipes nothing."""
        super().__init__(
            allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **how
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse what a command doesn't know in its own words, not in those of all commands."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Name the nearest command or option for one that isn't known, and end with exit code 2."""
        unknown = message.partition("unrecognized arguments: ")[2].split("=")[0].split(" ")[0]
        wrong = unknown or message.partition("invalid choice: '")[2].partition("'")[0]
        known = [c for a in self._actions for c in (*(a.choices or ()), *a.option_strings)]
        near = difflib.get_close_matches(wrong, known, n=1)
        hint = f"\nDid you mean {near[0]!r}?" if near else ""
        self.print_usage(sys.stderr)
        self.exit(COULD_NOT_RUN, f"{self.prog}: {message}{hint}\n")


def command(
    group: Any, name: str, run: Callable[[Any], int], what: str, example: str
) -> argparse.ArgumentParser:
    """Add a command to a group: what runs it, what it does, and an example or more."""
    parser = _added(group, name, what, example)
    parser.set_defaults(run=run)
    return parser


def on_ticket(
    group: Any,
    name: str,
    run: Callable[[Any], int],
    what: str,
    example: str,
    *,
    digest: bool = False,
) -> argparse.ArgumentParser:
    """Add a command on one ticket, and on one plan of it if `digest`."""
    parser = command(group, name, run, what, example)
    parser.add_argument("ticket", metavar="TICKET")
    if digest:
        help_ = "all of it, or its first 12 characters"
        parser.add_argument("digest", metavar="DIGEST", help=help_)
    takes_json(parser)
    return parser


def group_of(group: Any, name: str, what: str, example: str) -> Any:
    """Add a group of commands to a group; return it."""
    parser = _added(group, name, what, example)
    return parser.add_subparsers(dest="action", required=True, metavar="ACTION")


def takes_json(parser: argparse.ArgumentParser) -> None:
    """Add the option that all commands have which report."""
    parser.add_argument("--json", action="store_true", help="print it as JSON, for programs")


def _added(group: Any, name: str, what: str, example: str) -> argparse.ArgumentParser:
    head = "examples" if "\n" in example else "example"
    parser: argparse.ArgumentParser = group.add_parser(
        name,
        help=what,
        description=what[0].upper() + what[1:] + ".",
        epilog=f"{head}:\n{textwrap.indent(example, '  ')}",
    )
    return parser
