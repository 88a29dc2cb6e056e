"""Collection: metadata/collection.json says what HDA's catalogue and its users need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from dedl_workbook.base.json import pointer
from dedl_workbook.publication.addresses import scheme_of
from dedl_workbook.publication.metadata import KEYWORD, has_keyword, slug
from dedl_workbook.rules import keywords
from dedl_workbook.rules.delivered import Item
from dedl_workbook.rules.findings import Severity
from dedl_workbook.rules.placeholders import (
    guessed,
    may_hold_placeholder,
    placeholder,
    placeholders,
)
from dedl_workbook.rules.problem import Problem
from dedl_workbook.rules.rule import Document, Given, part_of, rule

MANDATORY = (
    *("id", "title", "description", "dedl:short_description", "license", "extent", "links"),
    *("keywords", "providers"),
)
ROLES = ("processor", "producer", "licensor")


@rule("C02", "collection")
def mandatory_fields_are_filled(collection: Document, given: Given) -> Iterator[Problem]:
    """Id, title, description, dedl:short_description, license, extent, links, keywords, providers.

    None may be missing, null or empty; links may be empty where the license needs none (C08). The
    list is that of the procedure and of DEDL's public submitter code.
    """
    for field in MANDATORY:
        value = collection.get(field)
        if field == "links" and value == [] and is_spdx(collection.get("license")):
            continue
        if field not in collection:
            yield Problem(f"{field} is missing", f"Add {field} to the collection.")
        elif (
            value is None or value in ("", [], {}) or (isinstance(value, str) and not value.strip())
        ):
            yield Problem(f"{field} is empty", f"Fill in {field}.", pointer(field))


_USUAL_ID = re.compile(r"[A-Z0-9]+(?:\.[A-Z0-9_-]+)+")


@rule("C03", "collection")
def id_is_the_agreed_one(collection: Document, given: Given) -> Iterator[Problem]:
    """The id is the one agreed in the ticket; without a ticket, the folder's name.

    A form unlike HDA's ids (capitals, digits, `-` and `_` in parts joined by dots, such as
    EO.ESA.DAT.SENTINEL-1.L1_GRD) is a warning.
    """
    written = collection.get("id")
    if not isinstance(written, str) or not written:
        return
    if given.agreed and written != given.agreed:
        yield Problem(
            f"the id is '{written}', but '{given.agreed}' was agreed in the ticket",
            f"Write {given.agreed}, here and in every item.",
            "/id",
        )
    if not given.agreed and not given.is_named(written):
        yield Problem(
            f"the id is '{written}', but the dataset is called '{given.named}'",
            "Write the agreed id, here, in every item and as the folder's name.",
            "/id",
        )
    if not _USUAL_ID.fullmatch(written):
        yield Problem(
            f"the id '{written}' has an unusual form",
            "Use capitals, digits, - and _ in parts joined by dots, such as EO.XXX.DAT.NAME.",
            "/id",
            severity=Severity.WARNING,
        )


MOST_COMPARED = 100
"""Unknown keywords that like ones are looked for: each costs some milliseconds."""


@rule("C04", "collection", Severity.WARNING)
def keywords_are_known(collection: Document, given: Given) -> Iterator[Problem]:
    """Keywords are those of datasets that HDA serves already, compared by slug.

    Users find datasets by keyword, so the procedure aligns them: case, blanks, `-` and `_` don't
    count. Compared with HDA's collections where a target answers, else with a dated snapshot.
    """
    words = given.vocabulary
    if words is None:
        words = keywords.vocabulary(None, given.id).words
    known = keywords.by_slug(words)
    if not known:
        return
    unknown = 0
    for place, word in enumerate(_list(collection, "keywords")):
        if not isinstance(word, str) or slug(word) in known or slug(word) == slug(KEYWORD):
            continue
        unknown += 1
        like = ", ".join(keywords.nearest(word, known)) if unknown <= MOST_COMPARED else ""
        yield Problem(
            f"the keyword '{word[:200]}' is not known to HDA",
            f"Perhaps one of: {like}." if like else "Use a known one, or agree the new one.",
            pointer("keywords", place),
        )


@rule("C05", "collection", Severity.INFO)
def keyword_of_user_data_is_there(collection: Document, given: Given) -> Iterator[Problem]:
    """The keyword "User generated" is there, or is added by us at publication.

    The procedure has operators add it.
    """
    if not has_keyword(dict(collection)):
        yield Problem(
            f"the keyword {KEYWORD!r} is missing: we add it at publication",
            "Nothing to do.",
            "/keywords" if "keywords" in collection else "",
        )


@rule("C06", "collection")
def providers_have_all_roles(collection: Document, given: Given) -> Iterator[Problem]:
    """Among the providers are the roles processor, producer and licensor.

    One provider may have several. The procedure asks for them.
    """
    roles = {role for provider in _objects(collection, "providers") for role in _roles(provider)}
    for role in ROLES:
        if role not in roles and collection.get("providers"):
            yield Problem(
                f"no provider has the role {role}",
                f"Add {role} to the roles of the provider that is it, or add that provider.",
                "/providers",
            )


@rule("C07", "collection", Severity.INFO)
def host_is_dedl(collection: Document, given: Given) -> Iterator[Problem]:
    """The host among the providers is DEDL, or is added by us at publication.

    The procedure has operators add it. Another host is an error: the data will lie with DEDL.
    """
    ours = False
    for place, provider in enumerate(_list(collection, "providers")):
        if not isinstance(provider, dict) or "host" not in _roles(provider):
            continue
        name = str(provider.get("name", ""))
        if "dedl" in name.lower():
            ours = True
        else:
            yield Problem(
                f"'{name}' is named as host, but DEDL will be",
                "Take the role host from it.",
                pointer("providers", place, "roles"),
                severity=Severity.ERROR,
            )
    if not ours:
        yield Problem(
            "the host DEDL is missing: we add it at publication",
            "Nothing to do.",
            "/providers" if "providers" in collection else "",
        )


@rule("C08", "collection")
def license_is_usable(collection: Document, given: Given) -> Iterator[Problem]:
    """The license is an SPDX identifier, or a link with rel license leads to its text.

    A link to a file beside the metadata is a warning, since none of those is published, and an
    error where it is the only one and the identifier isn't of SPDX. Source: the STAC Collection
    specification. Users must be able to learn what they may do.
    """
    written = collection.get("license")
    if not isinstance(written, str) or not written.strip():
        return
    links = [
        (n, link["href"])
        for n, link in enumerate(_list(collection, "links"))
        if isinstance(link, dict) and link.get("rel") == "license"
        if isinstance(link.get("href"), str) and link["href"].strip()
    ]
    needed = not is_spdx(written) and not any(scheme_of(href) for _, href in links)
    for n, href in links:
        if not scheme_of(href) and not placeholder(href):
            yield Problem(
                f"the license link '{href[:200]}' leads to a file that is not published",
                "Write the address of a web page with the license's text.",
                pointer("links", n, "href"),
                severity=None if needed else Severity.WARNING,
            )
    if not is_spdx(written) and not links:
        yield Problem(
            f"the license '{written}' is no SPDX identifier, and no link with rel license is there",
            "Write an SPDX identifier such as CC-BY-4.0, or add a link with rel license.",
            "/license",
        )


@lru_cache(maxsize=64)
def _spdx(text: str) -> bool:
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return "LicenseRef-" not in canonicalize_license_expression(text)
    except (InvalidLicenseExpression, MemoryError, RecursionError):
        # It is compiled, and Python's parser gives up on a hundred nested brackets and more.
        return False


def is_spdx(value: object) -> bool:
    """Tell whether a value is an SPDX license expression."""
    return isinstance(value, str) and bool(value.strip()) and _spdx(value)


_REPLACE = "Replace it by what it stands for, or take the entry out."


@rule("C09", "collection")
def no_placeholder_is_left(collection: Document, given: Given) -> Iterator[Problem]:
    """No placeholder of the submitters' template is left in texts and URLs.

    Such as DATASET_TITLE, LICENCE_URL_LINK or "Text describing the dataset. ...", in collection
    and items. The id may look like one. In the collection, other texts of nothing but such words
    in capitals, as in LICENSE_URL, are a warning: they may be meant.
    """
    for where, name in placeholders(collection):
        yield Problem(f"is still the placeholder {name}", _REPLACE, where)
    for where, name in guessed(collection):
        text = f"looks like a placeholder: {name}"
        yield Problem(text, _REPLACE, where, severity=Severity.WARNING)


@part_of("C09", "item")
def no_placeholder_is_left_in_items(item: Item, given: Given) -> Iterator[Problem]:
    """Look only where one of the template's names is in the bytes."""
    if may_hold_placeholder(item.short):
        for where, name in placeholders(item.document):
            yield Problem(f"is still the placeholder {name}", _REPLACE, where)


_CONVERT = "Convert it to one of these, for instance with pystac, which writes the version too."


@rule("C10", "collection")
def stac_version_is_served(collection: Document, given: Given) -> Iterator[Problem]:
    """The STAC version is one that the target serves: 1.0.0 or 1.1.0.

    HDA serves 1.0.0, and reads 1.1.0.
    """
    version = collection.get("stac_version")
    if isinstance(version, str) and version not in given.served:
        served = " and ".join(given.served)
        yield Problem(f"STAC {version} is not served; {served} are", _CONVERT, "/stac_version")


@part_of("C10", "item")
def stac_version_of_item_is_served(item: Item, given: Given) -> Iterator[Problem]:
    """Hold an item to the same versions."""
    version = item.document.get("stac_version")
    if version not in given.served and isinstance(version, str):
        served = " and ".join(given.served)
        yield Problem(f"STAC {version} is not served; {served} are", _CONVERT, "/stac_version")


@rule("C13", "collection")
def id_is_free(collection: Document, given: Given) -> Iterator[Problem]:
    """The id isn't published already by another ticket, unless the ticket's mode is replace.

    Looked up in the target's STAC API; without a target it can't be, and is left out.
    """
    published = given.published
    if published is None:
        return
    if published.problem:
        yield Problem(
            f"the target can't be asked for published collections: {published.problem}",
            "Validate again when it answers.",
            "/id",
            severity=Severity.WARNING,
        )
    elif published.there and published.by != given.ticket and not given.replaces:
        by = f" by the ticket '{published.by}'" if published.by else ""
        yield Problem(
            f"a collection '{given.id}' is published already{by}",
            "Agree another id, or say `mode: replace` in the ticket.",
            "/id",
        )


def _list(collection: Document, field: str) -> list[Any]:
    value = collection.get(field)
    return value if isinstance(value, list) else []


def _objects(collection: Document, field: str) -> list[dict[str, Any]]:
    return [entry for entry in _list(collection, field) if isinstance(entry, dict)]


def _roles(provider: dict[str, Any]) -> list[str]:
    return [role for role in _list(provider, "roles") if isinstance(role, str)]
