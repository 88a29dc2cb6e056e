"""YAML files that people write: reading them, and saying in their words what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from dedl_workbook.base.errors import InputError
from dedl_workbook.base.text import nearest

try:
    # libyaml, where PyYAML has it: some ten times as fast.
    from yaml import CSafeLoader as _SafeLoader
except ImportError:
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]


class PlainLoader(_SafeLoader):
    """Plain values as JSON has them: dates stay text, as papermill reads them."""


PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def workbook_root(start: Path | None = None) -> Path:
    """Return the folder that holds parameters/targets: $DEDL_WORKBOOK_ROOT, or one above `start`.

    Relative paths in tickets and targets start there.

    Raises:
        InputError: there is none.
    """
    if named := os.environ.get("DEDL_WORKBOOK_ROOT"):
        candidates = [Path(named)]
    else:
        here = (start or Path.cwd()).resolve()
        candidates = [here, *here.parents]
    for folder in candidates:
        # Path.is_dir fails at a folder that is closed to us.
        if os.path.isdir(folder / "parameters" / "targets"):  # noqa: PTH112
            return folder.resolve()
    raise InputError(
        "no workbook here: no folder parameters/targets in it or above it",
        where=str(candidates[0]),
        remedy="Go into the workbook's folder, or set DEDL_WORKBOOK_ROOT to it.",
    )


class _Loader(PlainLoader):
    """A key may stand only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a plain word, not a list or a map", key.start_mark
                )
            if key.value in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            keys.add(key.value)
        return super().construct_mapping(node, deep)


_NOT_YAML = (yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError, TypeError)
"""What PyYAML raises; the last three of them for a wrong value behind a tag, as in `!!int ""`."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping.

    Raises:
        InputError: missing, unreadable, empty, not YAML, or not a mapping.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise InputError(f"can't be read: {reason}", where=str(path)) from error
    try:
        # _Loader is a SafeLoader: it makes plain values only.
        value = yaml.load(text, _Loader)  # noqa: S506
    except _NOT_YAML as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"is not YAML: {problem}", where=f"{path}{place}") from error
    if not isinstance(value, dict):
        content = "is empty" if value is None else f"holds a {type(value).__name__}"
        raise InputError(f"{content}; it must hold lines of the form 'key: value'", where=str(path))
    return value


def is_file(path: Path) -> bool:
    """Return whether a path is a file.

    Raises:
        InputError: it can't be told: the name is too long, or a folder closed to us.
    """
    try:
        return path.is_file()
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=str(path)) from error


def explain(
    error: ValidationError,
    model: type[BaseModel],
    where: str,
    *,
    missing: Callable[[tuple[str | int, ...]], str] | None = None,
) -> InputError:
    """Turn pydantic's error into ours: every wrong key, what is wrong with it, the remedy.

    Args:
        error: what pydantic raised.
        model: the model that refused, for its keys.
        where: the file that the values came from.
        missing: says what to do about a missing value at a location; default: add the key.
    """
    lines = [
        f"{'.'.join(str(part) for part in location) or 'the whole'}: {text}"
        for location, text in problems(error, model, missing=missing)
    ]
    return InputError("\n  ".join(lines), where=where)


def problems(
    error: ValidationError,
    model: type[BaseModel],
    *,
    missing: Callable[[tuple[str | int, ...]], str] | None = None,
) -> list[tuple[tuple[str | int, ...], str]]:
    """Return what is wrong, in words, with the location of each; () is the whole."""
    lines: list[tuple[tuple[str | int, ...], str]] = []
    for problem in error.errors(include_url=False):
        location = tuple(problem["loc"])
        kind, message = problem["type"], problem["msg"]
        if kind == "extra_forbidden":
            known = _keys(model, location[:-1])
            text = f"unknown key. {nearest(str(location[-1]), known)}".rstrip()
            text += "" if "Did you mean" in text else f" Known: {', '.join(known)}."
        elif kind == "missing":
            text = missing(location) if missing else "is missing: add it."
        elif kind == "string_type":
            text = f"must be text, found {problem['input']!r}: put it in quotes."
        else:
            message = message.removeprefix("Value error, ")
            message = message.replace("Input should", "should")
            given = "" if kind == "value_error" else f", found {str(problem['input'])[:80]!r}"
            text = f"{message}{given}"
        lines.append((location, text))
    return lines


def _keys(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    fields = model.model_fields
    for part in location:
        if not isinstance(part, str) or part not in fields:
            continue
        annotation = fields[part].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        inner = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
        if inner is None:
            break
        fields = inner.model_fields
    return list(fields)
