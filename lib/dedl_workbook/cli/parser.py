"""What commands are put together from: help with examples, names that complete, files to write."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from dedl_workbook.base.errors import InputError, WorkbookError

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _quiet(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        from dedl_workbook.views import terminal

        terminal.Progress.quiet = True
        context.call_on_close(lambda: setattr(terminal.Progress, "quiet", False))


def _verbose(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        import logging

        handler, logger = logging.StreamHandler(), logging.getLogger("dedl_workbook")
        handler.setFormatter(logging.Formatter("  %(name)s: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        context.call_on_close(lambda: logger.removeHandler(handler))


class Command(click.Command):
    """A command whose help ends with examples.

    Args:
        example: one line an example.
    """

    def __init__(self, *args: Any, example: str, **more: Any) -> None:
        super().__init__(*args, **{"context_settings": SETTINGS, **more})
        self.example = example
        self.params += [
            click.Option(
                ["-q", "--quiet"],
                is_flag=True,
                expose_value=False,
                callback=_quiet,
                help="Show no progress.",
            ),
            click.Option(
                ["-v", "--verbose"],
                is_flag=True,
                expose_value=False,
                callback=_verbose,
                help="Show the log, too.",
            ),
        ]

    def get_short_help_str(self, limit: int = 0) -> str:
        """Return the first line of the help, whole: lists of commands wrap it."""
        return (self.help or "").partition("\n")[0]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they are, without wrapping them."""
        head = "examples" if "\n" in self.example else "example"
        epilog = f"{self.epilog}\n\n" if self.epilog else ""
        formatter.write(f"\n{epilog}{head}:\n{textwrap.indent(self.example, '  ')}\n")


class Group(Command, click.Group):
    """A group of commands, listed in their order."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of definition."""
        return list(self.commands)


def command(example: str) -> Callable[[Callable[..., int]], Command]:
    """Make a command of a function: its name, its docstring as help, and examples."""
    return click.command(cls=Command, example=example)


def group(example: str, epilog: str = "") -> Callable[[Callable[..., None]], Group]:
    """Make a group of commands of a function."""
    return click.group(cls=Group, example=example, epilog=epilog)


takes_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def exclusive(**options: object) -> None:
    """Refuse options that contradict each other: of these, one may be given."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if len(given) > 1:
        raise click.UsageError(f"{given[1]} is not allowed with {given[0]}")


class _Name(click.ParamType[str]):
    """A name, which the shell completes from those that there are."""

    def __init__(self, name: str, known: Callable[[], Iterable[str]]) -> None:
        self.name = name
        self._known = known

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        if "/" in incomplete:
            return [CompletionItem(incomplete, type="file")]
        # A completion that can't be had is none: the shell shows no errors.
        with suppress(WorkbookError, OSError):
            return [CompletionItem(name) for name in self._known() if name.startswith(incomplete)]
        return []


def _tickets() -> Iterable[str]:
    from dedl_workbook.parameters.ticket import ticket_names
    from dedl_workbook.parameters.yaml_files import workbook_root

    return ticket_names(["*"], workbook_root())


def _targets() -> Iterable[str]:
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.services import health

    return health.names(workbook_root())


def _rules() -> Iterable[str]:
    from dedl_workbook.rules.rulebook import RULES

    return RULES


def _steps() -> Iterable[str]:
    from dedl_workbook.steps.order import STEPS

    return STEPS


TICKET = _Name("ticket", _tickets)
TARGET = _Name("target", _targets)
RULE = _Name("rule", _rules)
STEP = _Name("step", _steps)
EXISTING = click.Path(path_type=Path)


@dataclass(frozen=True)
class Output:
    """Where a report goes: to a file, or onto standard output (`-`)."""

    path: Path | None
    """None: onto standard output."""

    def require_file(self) -> None:
        """Refuse a folder, before what may take hours.

        Raises:
            InputError: the path is a folder.
        """
        if self.path is not None and self.path.is_dir():
            raise InputError("is a folder", where=str(self.path), remedy="Name a file.")


class _OutputType(click.ParamType[Output]):
    name = "file"

    def convert(self, value: Any, param: Any, ctx: Any) -> Output:
        return Output(None if value == "-" else Path(value))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


class _NewFolder(click.Path):
    """A folder to write into; `-`, which elsewhere prints, is none."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == "-":
            self.fail("a folder can't be printed; name one", param, ctx)
        return super().convert(value, param, ctx)


OUTPUT = _OutputType()
NEW_FOLDER = _NewFolder(file_okay=False, path_type=Path)
