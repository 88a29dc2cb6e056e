"""Runs rules: over the dataset, its collection, a shard of items, the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dedl_workbook import schemas
from dedl_workbook.dataset import File
from dedl_workbook.findings import Finding, Gatherer, Severity
from dedl_workbook.rules import RULES
from dedl_workbook.rules.delivered import Item, Unreadable, read_item
from dedl_workbook.rules.manifest import Rows, href_line, line
from dedl_workbook.rules.rulebook import Document, Found, Given, Scope
from dedl_workbook.rules.stac import disagreement


def judge(scope: Scope, file: str, given: Given, *subject: object) -> Iterator[Finding]:
    """Yield what all rules of a scope find.

    Args:
        scope: dataset, collection or across.
        file: the file that findings are of, if they don't say otherwise.
        given: what rules are given.
        subject: what they look at: nothing, the collection, the manifest.
    """
    for rule in RULES.values():
        if scope in rule.parts and rule.id not in given.off:
            for found in rule.parts[scope](*subject, given):
                yield _finding(rule.id, rule.severity, file, found)


def _finding(rule: str, severity: Severity, file: str, found: Found) -> Finding:
    return Finding(
        rule,
        found.severity or severity,
        found.file or file,
        found.pointer,
        found.message,
        found.fix,
    )


@dataclass
class Seen:
    """What a shard of items showed: small, whatever the shard's size."""

    files: int
    items: int
    findings: list[Finding]
    rows: Rows


def look_at(given: Given, ask: bool, shard: list[File]) -> Seen:
    """Hold a shard of item files against the rules of items.

    Args:
        given: what rules are given; without secrets of the target.
        ask: whether stac-validator is asked about each item.
        shard: the item files.
    """
    rules = [
        (rule.id, rule.severity, rule.parts["item"])
        for rule in RULES.values()
        if "item" in rule.parts and rule.id not in given.off
    ]
    gathered = Gatherer()
    items: list[str] = []
    hrefs: list[str] = []
    problems: list[str] = []
    for file in shard:
        item = read_item(given.dataset, file)
        if isinstance(item, Unreadable):
            problems.append(line(item.rule, file.path, item.text))
            continue
        for rule, severity, function in rules:
            for found in function(item, given):
                gathered.add(_finding(rule, severity, file.path, found))
        if ask and (finding := second_opinion("I01", file.path, item.document)):
            gathered.add(finding)
        if (found_id := item.document.get("id")) != item.stem:
            items.append(line(file.path, str(found_id)))
        hrefs += _href_lines(item)
    rows = {"item": items, "href": hrefs, "problem": problems}
    packed = {table: "".join(lines).encode() for table, lines in rows.items()}
    return Seen(len(shard), len(shard) - len(problems), gathered.findings(), packed)


def _href_lines(item: Item) -> Iterator[str]:
    for key, value, _, path in item.assets:
        if path is not None:
            size = value.get("file:size", -1)
            yield href_line(path, item.path, key, size if type(size) is int else -1)


def second_opinion(rule: str, path: str, document: Document) -> Finding | None:
    """Ask stac-validator about a document; return a finding if it doesn't agree with us.

    Raises:
        InputError: the core schema isn't in the store.
    """
    theirs, said = schemas.second_opinion(dict(document))
    found = disagreement(not schemas.check(document).problems, theirs, said)
    return _finding(rule, Severity.ERROR, path, found) if found else None
