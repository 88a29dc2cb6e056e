"""Writes the pages that the code knows best: rules, commands, keys, the layout, and licences.

`python docs/generated.py` writes `docs/layout.md` and `docs/licences.md`, which are kept in git for
those who read there.
"""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
from dedl_workbook.cli import main
from dedl_workbook.parameters import sections, target, ticket
from dedl_workbook.rules.rulebook import RULES

_ROOT = Path(__file__).parents[1]
_GROUPS = {
    "L": "Layout",
    "C": "Collection",
    "I": "Items",
    "A": "Assets",
}


def write_all(folder: Path) -> None:
    """Write every page into the folder; a page that is the same is left alone."""
    folder.mkdir(exist_ok=True)
    pages = {
        "rulebook": _rulebook(),
        "command-line": _command_line(),
        "ticket-keys": _keys("The keys of a ticket", ticket, "Ticket"),
        "target-keys": _target_keys(),
    }
    for name, text in pages.items():
        file = folder / f"{name}.md"
        if not file.is_file() or file.read_text() != text:
            file.write_text(text)


def layout() -> str:
    """Return the page of the packages, floor by floor, as the linter has the floors."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    floors = next(c["layers"] for c in contracts if c["type"] == "layers")
    lines = [
        "# Where things are",
        "",
        "Each package is a room and stands on a floor; imports run downwards only. This page is",
        "made of docstrings (`python docs/generated.py`), and a test holds it against the linter's",
        "floors.",
        "",
        "Beside the library: `notebooks/` (one a step), `parameters/` (tickets, targets, keywords)",
        "and `tests/` (`unit/` in the library's folders, `integration/` on the embedded data lake,",
        "`notebooks/`, `browser/`), `benchmarks/`, `docs/`, `scripts/`, `requirements/` (locks).",
        "",
        "## lib/dedl_workbook",
    ]
    for floor in floors:
        for name in floor.split(" | "):
            lines += ["", *_room(_ROOT / "lib" / "dedl_workbook" / name, "###")]
    lines += ["", *_room(_ROOT / "lib" / "dedl_sandbox", "##")]
    return "\n".join(lines) + "\n"


def licences(page: str) -> str:
    """Return the page of the licences of all that the lock names, as the packages state them.

    What is not installed here, or is another version for another Python, is as the page has it.
    """
    known = dict(re.findall(r"^\| (\S+) \| (.+) \|$", page, flags=re.MULTILINE))
    lock = (_ROOT / "requirements" / "workbook.txt").read_text()
    versions = Counter(re.findall(r"^([a-z0-9][a-z0-9.-]*)==", lock, flags=re.MULTILINE))
    lines = [
        "# Licences",
        "",
        "What `requirements/workbook.txt` names, and the licence that each package states. The",
        "workbook itself is under MIT. Whoever gives away an image with all of it in it should",
        "know: pypgstac brings plpygis, which is under GPL-3.0-only.",
        "",
        "| package | licence |",
        "|---|---|",
    ]
    for name, count in sorted(versions.items()):
        stated = _licence(name) if count == 1 or name not in known else ""
        lines.append(f"| {name} | {stated or known.get(name, 'not known')} |")
    return "\n".join(lines) + "\n"


def _licence(name: str) -> str:
    """Return what an installed package states, in one line; nothing where it is not installed."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    classifiers = [line.split(" :: ") for line in metadata.get_all("Classifier") or []]
    classes = [parts[-1] for parts in classifiers if parts[0] == "License"]
    whole = metadata.get("License-Expression") or "; ".join(classes) or metadata.get("License")
    return (whole or "").partition("\n")[0].strip()


def _room(folder: Path, heading: str) -> Iterator[str]:
    """Yield what stands of a package: its docstring, and its modules, packages in it included."""
    yield f"{heading} {folder.name if heading == '###' else f'lib/{folder.name}'}"
    yield from ["", _first_line(folder / "__init__.py"), "", "| | |", "|---|---|"]
    for file in sorted(folder.rglob("*.py"), key=lambda file: file.with_suffix("").parts):
        name = file.relative_to(folder).with_suffix("").as_posix()
        if file.stem == "__init__" and file.parent != folder:
            yield f"| **{name.removesuffix('__init__')}** | {_first_line(file)} |"
        elif not file.stem.startswith("_"):
            yield f"| `{name}` | {_first_line(file)} |"


def _first_line(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    return " ".join(text.partition("\n\n")[0].split())


def _rulebook() -> str:
    lines = [
        "# The rulebook",
        "",
        f"What `dedl-workbook validate` looks at: {len(RULES)} rules. A finding of severity "
        "*error* stops the promotion; a *warning* and an *info* don't. A target can set other "
        "severities and switch a rule off, a ticket can waive one; the report names each.",
    ]
    for letter, title in _GROUPS.items():
        lines += ["", f"## {title}"]
        for rule in RULES.values():
            if rule.id.startswith(letter):
                first, _, rest = rule.doc.partition("\n")
                lines += ["", f"### {rule.id}", "", f"*{rule.severity}* — {first}"]
                lines += [rest] if rest.strip() else []
    return "\n".join(lines) + "\n"


def _command_line() -> str:
    lines = ["# The command line", ""]
    for context in _contexts(click.Context(main.cli, info_name=main.PROGRAM)):
        text = context.get_help().rstrip()
        lines += [f"## {context.command_path}", "", "```text", text, "```", ""]
    return "\n".join(lines)


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """Return a command and all below it, each in its context."""
    context.terminal_width = 96
    yield context
    if isinstance(context.command, click.Group):
        for name, command in context.command.commands.items():
            yield from _contexts(click.Context(command, parent=context, info_name=name))


def _target_keys() -> str:
    lines = [_keys("The keys of a target", target, "Target")]
    for name, model in inspect.getmembers(sections, inspect.isclass):
        if model.__module__ == sections.__name__ and not name.startswith("_"):
            lines.append(_table(sections, name))
    return "\n".join(lines)


def _keys(title: str, module: ModuleType, name: str) -> str:
    return f"# {title}\n\n{_table(module, name)}"


def _table(module: ModuleType, name: str) -> str:
    """Return a model's keys, with the docstrings that stand below them, as a table."""
    tree = ast.parse(inspect.getsource(module))
    model = next(x for x in tree.body if isinstance(x, ast.ClassDef) and x.name == name)
    lines = [f"## {name}", "", ast.get_docstring(model) or "", ""]
    lines += ["| key | type | default | what it is |", "|---|---|---|---|"]
    for field, after in zip(model.body, [*model.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if field.target.id == "model_config":
            continue
        default = ast.unparse(field.value) if field.value else ""
        cells = [f"`{field.target.id}`", f"`{ast.unparse(field.annotation)}`"]
        cells += [f"`{default}`" if default else "*must be given*", _docstring(after)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _docstring(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return " ".join(str(node.value.value).split())
    return ""


if __name__ == "__main__":
    (_ROOT / "docs" / "layout.md").write_text(layout())
    page = _ROOT / "docs" / "licences.md"
    page.write_text(licences(page.read_text()))
