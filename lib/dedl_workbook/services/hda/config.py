"""Changes HDA's configuration files as text: every byte that isn't meant stays.

A YAML parser says on which lines something stands; the text is changed there; and what the new
text says is compared with what it should say, so an edit that would mean something else is refused.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from dedl_workbook.base.errors import InputError
from dedl_workbook.parameters.yaml_files import PlainLoader

# What YAML takes for the end of a line.
_LINE = re.compile(r"[^\r\n\x85\u2028\u2029]*(?:\r\n|[\r\n\x85\u2028\u2029]|$)")
# Of these, the ones that a text may hold and that only an escape keeps on its line.
_ESCAPED = re.compile(r"[\x85\u2028\u2029\ufeff]")
_WIDTH = 96
_BY_HAND = "Make this change by hand, then plan again."


class _TaggedLoader(PlainLoader):
    """Tags such as `!provider` and `!plugin` say how eodag uses a value, not what it holds."""


def _untagged(loader: Any, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


for _tag in ("!", "tag:yaml.org,2002:python/"):
    _TaggedLoader.add_multi_constructor(_tag, _untagged)


@dataclass(frozen=True)
class Config:
    """A configuration file: its text, and what it says."""

    text: str
    where: str
    """The file, for messages."""
    values: dict[str, Any]
    root: yaml.MappingNode | None = field(compare=False)
    """None: an empty file."""
    providers: bool = False
    """Whether each document of it is a provider, as eodag 3 has them; then its name is the key."""

    @property
    def eol(self) -> str:
        """How its lines end."""
        match = re.search(r"\r\n|\n|\r", self.text)
        return match[0] if match else "\n"

    def lines(self) -> list[str]:
        """Return its lines, with their ends."""
        return [line for line in _LINE.findall(self.text) if line]


def parse(data: bytes, where: str) -> Config:
    """Read a configuration file.

    Raises:
        InputError: not UTF-8, not YAML, a key twice, or not one mapping.
    """
    with _explained(where):
        text = data.decode()
        plain = text.removeprefix("\ufeff")
        # Twice, since making values of nodes changes them (merge keys).
        root = yaml.compose(plain, PlainLoader)
        values = yaml.load(plain, PlainLoader) if root else {}  # noqa: S506 (a safe loader)
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise InputError("holds no mapping", where=where, remedy="Fix the file, then plan again.")
    if root is not None:
        _refuse_twice(root, where)
    return Config(text, where, values, root)


def parse_providers(data: bytes, where: str) -> Config:
    """Read eodag 3's file of providers: a document each, known by its name.

    Raises:
        InputError: not UTF-8, not YAML, a name twice, or a document that is no provider.
    """
    with _explained(where):
        text = data.decode()
        plain = text.removeprefix("\ufeff")
        nodes = list(yaml.compose_all(plain, _TaggedLoader))
        documents = list(yaml.load_all(plain, _TaggedLoader))
    pairs = [(n, d) for n, d in zip(nodes, documents, strict=True) if d is not None]
    if not all(isinstance(d, dict) and isinstance(d.get("name"), str) for _, d in pairs):
        raise InputError(
            "has a document that is no provider with a name",
            where=where,
            remedy="Fix the file, then plan again; or set hda.dialect in the target.",
        )
    members = [(_member(node, "name"), node) for node, _ in pairs]
    root = yaml.MappingNode("", [(name[1], node) for name, node in members if name])
    _refuse_twice(root, where)
    return Config(text, where, {d["name"]: d for _, d in pairs}, root, providers=True)


@contextmanager
def _explained(where: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 at byte {error.start}", where=where) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}, line {mark.line + 1}" if mark else where
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(
            f"is not YAML: {problem}", where=place, remedy="Fix the file, then plan again."
        ) from error


def _refuse_twice(root: yaml.MappingNode, where: str) -> None:
    known: set[str] = set()
    for key, _ in root.value:
        if key.value in known:
            raise InputError(
                f"has {key.value!r} twice",
                where=f"{where}, line {key.start_mark.line + 1}",
                remedy="Take one of them out, then plan again.",
            )
        known.add(key.value)


# --- Entries of the collections file


def entry_text(config: Config, id_: str) -> str | None:
    """Return the lines of an entry as they stand, or None where there is none."""
    member = _member(config.root, id_)
    lines = config.lines()
    return None if member is None else "".join(lines[slice(*_extent(*member, lines))])


def with_entry(config: Config, id_: str, entry: dict[str, Any]) -> Config:
    """Return the file with this entry, in the place of the one it has, or else at its end."""
    readable = not _ESCAPED.search(json.dumps(entry, ensure_ascii=False))
    text = yaml.safe_dump(
        {id_: entry}, sort_keys=False, allow_unicode=readable, width=_WIDTH, line_break=config.eol
    )
    return with_entry_text(config, id_, text, entry)


def with_entry_text(
    config: Config, id_: str, text: str, entry: dict[str, Any] | None = None
) -> Config:
    """Return the file with these lines as the entry; `entry` is what they must say."""
    member = _member(config.root, id_)
    lines = config.lines()
    if member is None:
        changed = _ended(config) + text
    else:
        start, end = _extent(*member, lines)
        last = not lines[end - 1].endswith(("\r", "\n"))
        changed = "".join(lines[:start]) + text + "".join(lines[end:])
        changed = changed.removesuffix(config.eol) if last and end == len(lines) else changed

    def expected(values: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        return values | {id_: new.get(id_) if entry is None else entry}

    return _compared(config, changed, expected, id_)


def without_entry(config: Config, id_: str) -> Config:
    """Return the file without an entry."""
    member = _member(config.root, id_)
    if member is None:
        return config
    lines = config.lines()
    start, end = _extent(*member, lines)

    def expected(values: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if key != id_}

    return _compared(config, "".join(lines[:start] + lines[end:]), expected, id_)


def _ended(config: Config) -> str:
    ended = not config.text or config.text.endswith(("\n", "\r"))
    return config.text if ended else config.text + config.eol


# --- Products of the provider


def products(config: Config, provider: str) -> dict[str, Any]:
    """Return a provider's products.

    Raises:
        InputError: there is no such provider, or it has no place for products.
    """
    known = config.values.get(provider)
    if not isinstance(known, dict):
        raise InputError(
            f"has no provider {provider!r}",
            where=config.where,
            remedy="Set hda.provider and hda.provider_file in the target, or add the provider.",
        )
    value = known.get("products", "")
    if value is not None and not isinstance(value, dict):
        raise InputError(
            f"the provider {provider!r} has no 'products'",
            where=config.where,
            remedy="Add the line '  products:' to it.",
        )
    return value or {}


def with_product(config: Config, provider: str, id_: str, product: dict[str, Any]) -> Config:
    """Return the provider's file with this product, in the place of the one it has."""
    base = config
    if id_ in products(config, provider):
        config = without_product(config, provider, id_)
    key, node = _products(config, provider)
    lines = config.lines()
    flow = yaml.safe_dump(product, default_flow_style=True, width=10_000).strip()
    member = f"{id_}: {flow}"
    if isinstance(node, yaml.MappingNode) and node.flow_style:
        mark = node.value[-1][1].end_mark if node.value else node.end_mark
        row, column = mark.line, mark.column - (not node.value)
        comma = ", " if node.value else ""
        lines[row] = lines[row][:column] + comma + member + lines[row][column:]
    else:
        block = isinstance(node, yaml.MappingNode) and bool(node.value)
        column = node.value[0][0].start_mark.column if block else key.start_mark.column + 2
        row = _last_line(key, node, lines)
        if not lines[row].endswith(("\n", "\r")):
            lines[row] += config.eol
        lines.insert(row + 1, f"{' ' * column}{member}{config.eol}")

    def expected(values: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
        before = {key: value for key, value in products(base, provider).items() if key != id_}
        return values | {provider: values[provider] | {"products": before | {id_: product}}}

    return _compared(base, "".join(lines), expected, id_)


def without_product(config: Config, provider: str, id_: str) -> Config:
    """Return the provider's file without a product."""
    if id_ not in products(config, provider):
        return config
    _, node = _products(config, provider)
    member = _member(node, id_)
    lines = config.lines()
    if member is None:
        raise _by_hand(config, id_)
    if isinstance(node, yaml.MappingNode) and node.flow_style:
        changed = _without_flow(config, node, id_)
    else:
        start, end = _extent(*member, lines)
        changed = "".join(lines[:start] + lines[end:])

    def expected(values: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
        others = {key: value for key, value in products(config, provider).items() if key != id_}
        return values | {provider: values[provider] | {"products": others or None}}

    return _compared(config, changed, expected, id_)


def _products(config: Config, provider: str) -> tuple[yaml.Node, yaml.Node]:
    of = _member(config.root, provider)
    member = _member(of[1], "products") if of else None
    if member is None:
        raise _by_hand(config, provider)
    return member


def _without_flow(config: Config, node: yaml.MappingNode, id_: str) -> str:
    """Take a member out of a mapping in braces, with the comma that belongs to it."""
    lines = config.lines()
    index = next(n for n, (key, _) in enumerate(node.value) if key.value == id_)
    key, value = node.value[index]
    start, end = _offset(lines, key.start_mark), _offset(lines, value.end_mark)
    if index + 1 < len(node.value):
        end = _offset(lines, node.value[index + 1][0].start_mark)
    elif index:
        start = _offset(lines, node.value[index - 1][1].end_mark)
    return config.text[:start] + config.text[end:]


def _offset(lines: list[str], mark: Any) -> int:
    return sum(len(line) for line in lines[: mark.line]) + int(mark.column)


# --- Where things stand


def _member(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next(((key, value) for key, value in pairs if key.value == name), None)


def _extent(key: yaml.Node, value: yaml.Node, lines: list[str]) -> tuple[int, int]:
    return key.start_mark.line, _last_line(key, value, lines) + 1


def _last_line(key: yaml.Node, value: yaml.Node, lines: list[str]) -> int:
    """Return the line on which the last character of a member stands."""
    if value.start_mark.line < key.start_mark.line:
        # An alias: the parser shows where its anchor is.
        return int(key.end_mark.line)
    if isinstance(value, yaml.ScalarNode):
        if value.style in ("|", ">"):
            return max(int(key.end_mark.line), _before(value.end_mark, lines))
        return int(value.end_mark.line if value.value or value.style else key.end_mark.line)
    if not isinstance(value, yaml.CollectionNode) or value.flow_style or not value.value:
        return int(value.end_mark.line)
    last = value.value[-1]
    under, last = last if isinstance(value, yaml.MappingNode) else (last, last)
    return _last_line(under, last, lines)


def _before(mark: Any, lines: list[str]) -> int:
    row = int(mark.line) - int(mark.column == 0)
    while row and (row >= len(lines) or not lines[row].strip()):
        row -= 1
    return row


def _compared(
    before: Config,
    changed: str,
    expected: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]],
    id_: str,
) -> Config:
    """Return the changed file, if it says what it should, and nothing else is otherwise.

    Raises:
        InputError: the file is written in a way that can't be changed as text.
    """
    try:
        read = parse_providers if before.providers else parse
        config = read(changed.encode(), before.where)
        wanted = _plain(expected(before.values, config.values))
        same = repr(_plain(config.values)) == repr(wanted)
    except InputError:
        same = False
    if not same:
        raise _by_hand(before, id_)
    return config


def _plain(value: Any) -> Any:
    """Return a value in which no products are spelled in one way."""
    if isinstance(value, dict):
        return {
            key: None if key == "products" and not inner else _plain(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def _by_hand(config: Config, id_: str) -> InputError:
    return InputError(
        f"is written in a way in which {id_} can't be changed without touching other lines",
        where=config.where,
        remedy=_BY_HAND,
    )


def difference(name: str, before: str, after: str) -> str:
    """Return a unified diff of a file's text."""
    one, other = (text.splitlines(keepends=False) for text in (before, after))
    lines = difflib.unified_diff(one, other, f"{name} (now)", f"{name} (then)", lineterm="")
    return "\n".join(lines)
