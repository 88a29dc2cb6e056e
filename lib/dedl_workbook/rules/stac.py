"""STAC validity, as the official JSON schemas have it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dedl_workbook.dataset.dataset import COLLECTION
from dedl_workbook.rules.delivered import Item
from dedl_workbook.rules.findings import Severity
from dedl_workbook.rules.problem import Problem
from dedl_workbook.rules.rule import Document, Given, rule
from dedl_workbook.rules.schemas import store as schemas

_SYNC = "Run `dedl-workbook schemas sync`, or `validate` with network: both fetch it."
_UNKNOWN = "See that the URL is right. If it is, stac-validator can judge it, with network."
_NAME = (
    "Write such as https://stac-extensions.github.io/eo/v1.1.0/schema.json, or take it out if the "
    "document has nothing of the extension."
)
_EXTENSIONS = "/stac_extensions"
_UTC = "Write it in UTC, as 2024-11-16T12:00:00Z."
_IN_UTC = r'does not match "(\+00:00|Z)$"'
"""How the schemas say that a time isn't in UTC."""
_REQUIRED = " is a required property"
_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a text in quotes",
}
_TYPED = re.compile(rf' is not of type "({"|".join(_TYPES)})"$')


@rule("C01", "collection")
def collection_is_valid(collection: Document, given: Given) -> Iterator[Problem]:
    """The collection is STAC-valid: core 1.0.0 or 1.1.0, and every extension that it names.

    Judged offline with the official schemas, as stac-validator applies them. A schema that isn't
    in the local store is "not checked", a warning. stac-validator, the procedure's tool, is asked
    besides; where it disagrees, that is a finding of this rule too.
    """
    if not _is_valid(collection, "Collection", given.schemas):
        own = given.own or Item.of(COLLECTION, dict(collection), b"", given.dataset)
        yield from _problems_of(own, "Collection", given)


@rule("I01", "item")
def item_is_valid(item: Item, given: Given) -> Iterator[Problem]:
    """The item is STAC-valid: core 1.0.0 or 1.1.0, and every extension that it names.

    Judged offline with the official schemas, as stac-validator applies them. A schema that isn't
    in the local store is "not checked", a warning. stac-validator, the procedure's tool, is asked
    for a sample besides; where it disagrees, that is a finding of this rule too.
    """
    if not _is_valid(item.document, "Feature", given.schemas):
        yield from _problems_of(item, "Feature", given)


def _is_valid(document: Document, kind: str, store: Path | None) -> bool:
    """Tell in a short way whether there is nothing to be said."""
    if document.get("type") != kind:
        return False
    named = document.get("stac_extensions") or ()
    try:
        # As text: a path is slow to compare.
        for validator in schemas.validators(
            kind, document["stac_version"], (*named,), str(store or "")
        ):
            if not validator.is_valid(document):
                return False
    except (LookupError, TypeError, ValueError):
        # No such schema, something unhashable, or nested too deep: the long way tells.
        return False
    return True


def _problems_of(item: Item, kind: str, given: Given) -> Iterator[Problem]:
    document = item.document
    written = document.get("type")
    if written != kind and isinstance(written, str):
        yield Problem(f"is a {written!r}, not a {kind!r}", f'Write "type": "{kind}".', "/type")
        return
    validity = schemas.check(document, given.schemas)
    if given.fetch:
        fetched = [url for url in validity.not_checked if schemas.fetch(url, given.schemas)]
        validity = schemas.check(document, given.schemas) if fetched else validity
    for violation in validity.violations:
        of_core = not violation.schema or "/schemas.stacspec.org/" in violation.schema
        where = "" if of_core else f" ({violation.schema})"
        if blame := schemas.unusable().get(violation.schema):
            text = f"the schema {violation.schema} itself is at fault: it {blame}"
            yield Problem(text, _other_version(violation.schema), _EXTENSIONS)
            continue
        yield Problem(f"{violation.message}{where}", _fix(violation, kind), violation.pointer)
    named = frozenset(schemas.extensions_of(document))
    known = schemas.lock()
    for url in validity.not_checked:
        if not url.lower().startswith(("http://", "https://")):
            yield Problem(f"{url[:200]!r} is no URL of an extension's schema", _NAME, _EXTENSIONS)
            continue
        item.unchecked.append(url)
        yield Problem(
            f"not checked against {url}: {schemas.absence(url, given.schemas)}",
            _SYNC if url in known else _UNKNOWN,
            _EXTENSIONS if url in named else "",
            severity=Severity.WARNING,
        )


def _other_version(url: str) -> str:
    """Return what to do where a schema itself is at fault."""
    if other := schemas.usable_instead(url):
        return f"Name {other} in its place."
    return "Name another version of the extension, or take out what it refuses."


def _fix(violation: schemas.Violation, kind: str) -> str:
    """Return what to do about a violation, and where it is written what is wanted."""
    if violation.message.endswith(_IN_UTC):
        return _UTC
    if not violation.schema:
        meant = "1.0.0" if violation.pointer == "/stac_version" else kind
        return f'Write "{violation.pointer[1:]}": "{meant}".'
    what = "Correct it"
    if violation.message.endswith(_REQUIRED):
        what = f'Add "{violation.message.removesuffix(_REQUIRED)}"'
    elif typed := _TYPED.search(violation.message):
        what = f"Write {_TYPES[typed[1]]} there,"
    if "/schemas.stacspec.org/" not in violation.schema:
        return f"{what} as that extension wants it."
    name = "item" if kind == "Feature" else "collection"
    return f"{what} as STAC wants it: https://github.com/radiantearth/stac-spec, {name}-spec."


def disagreement(ours: bool, theirs: bool, message: str) -> Problem | None:
    """Return what is to be said if stac-validator's verdict differs from ours."""
    if ours == theirs:
        return None
    verdict = "valid" if theirs else f"invalid: {message}"
    return Problem(
        f"stac-validator calls it {verdict}; the workbook does not agree",
        "Tell the maintainers of the workbook; look at the document yourself.",
    )
