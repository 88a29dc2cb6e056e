"""Our verdicts on real-looking documents are those of the official schemas.

Whole ones, ones broken in one place by a small function, and ones mutilated at random; and what we
publish of a valid document is valid, and can be taken back to what was delivered.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.base import json_patch
from dedl_workbook.base.json import canonical
from dedl_workbook.dataset.dataset import Folder
from dedl_workbook.publication.metadata import publish_collection, publish_item
from dedl_workbook.rules.delivered import Item, parse
from dedl_workbook.rules.findings import Severity
from dedl_workbook.rules.rule import Given
from dedl_workbook.rules.schemas import store as schemas
from dedl_workbook.rules.stac import collection_is_valid, item_is_valid
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.unit import corpus_extensions
from tests.unit.corpus import CORPUS, Json, corpus
from tests.unit.corpus_breaks import BREAKS, broken
from tests.unit.oracle import needs_extensions, official
from tests.unit.publication.inverse import undo
from tests.unit.publication.test_metadata import TARGET, TICKET
from tests.unit.rules.test_validation import mutilated

VERSIONS = ("1.0.0", "1.1.0")
PLAIN = [name for name, document in CORPUS.items() if not document["stac_extensions"]]
OF_CORE = [
    name for name, (_, function) in BREAKS.items() if function.__module__.endswith("corpus_breaks")
]
OF_EXTENSIONS = [
    name
    for name, (_, function) in BREAKS.items()
    if function.__module__ == corpus_extensions.__name__
]


def ours(document: Json, kind: str, store: Path) -> bool:
    """Tell whether the rulebook calls a document STAC-valid, as it is read from a file."""
    dataset = Folder(Path("/nowhere"))
    facts = Given(dataset, None, schemas=store)
    data = json.dumps(document).encode()
    if kind == "Collection":
        found = list(collection_is_valid(parse(data), facts))
    else:
        item = Item.of("metadata/items/a.json", parse(data), data, dataset)
        found = list(item_is_valid(item, facts))
    assert [f for f in found if not (f.message and f.fix)] == []
    return all(f.severity is Severity.WARNING for f in found)


def core_of(kind: str, version: str) -> str:
    what = "item" if kind == "Feature" else "collection"
    return f"https://schemas.stacspec.org/v{version}/{what}-spec/json-schema/{what}.json"


def verdicts(document: Json, name: str, version: str, store: Path) -> tuple[bool, bool, bool]:
    """Return three verdicts: ours, that of the official schemas, stac-validator's."""
    kind = CORPUS[name]["type"]
    theirs, _ = schemas.second_opinion(document, store)
    return (
        ours(document, kind, store),
        official(document, core_of(kind, version), store),
        theirs,
    )


def without_extensions(document: Json) -> Json:
    return {**document, "stac_extensions": []}


def test_the_corpus_is_large_and_breaks_each_document() -> None:
    assert len(OF_CORE) >= 60
    assert len(OF_EXTENSIONS) >= 20
    assert {document for document, _ in BREAKS.values()} == set(CORPUS)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CORPUS)
def test_a_right_document_passes(core: Path, name: str, version: str) -> None:
    document = without_extensions(corpus(name, version))

    assert verdicts(document, name, version, core) == (True, True, True)


@needs_extensions
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CORPUS)
def test_a_right_document_with_extensions_passes(store: Path, name: str, version: str) -> None:
    document = corpus(name, version)

    assert schemas.check(document, store).not_checked == ()
    assert verdicts(document, name, version, store) == (True, True, True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OF_CORE)
def test_a_break_of_the_core_is_refused_by_all(core: Path, name: str, version: str) -> None:
    document = broken(name, version)
    if name != "extensions_are_text":
        document = without_extensions(document)

    assert verdicts(document, BREAKS[name][0], version, core) == (False, False, False)


@needs_extensions
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OF_EXTENSIONS)
def test_a_break_of_an_extension_is_refused_by_all(store: Path, name: str, version: str) -> None:
    document = broken(name, version)

    assert verdicts(document, BREAKS[name][0], version, store) == (False, False, False)


@st.composite
def mutilated_corpus(draw: st.DrawFn) -> tuple[Json, str, str]:
    """A document of the corpus of which one to three places are not as they were."""
    name, version = draw(st.sampled_from(list(CORPUS))), draw(st.sampled_from(VERSIONS))
    document = without_extensions(corpus(name, version))
    return draw(mutilated(document)), CORPUS[name]["type"], version


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(drawn=mutilated_corpus())
def test_whatever_is_broken_the_official_schemas_agree(
    core: Path, drawn: tuple[Json, str, str]
) -> None:
    document, kind, version = drawn
    # An extension that doesn't exist is "not checked", and so is a version.
    assume(not document.get("stac_extensions"))
    assume(document.get("stac_version") == version)

    assert ours(document, kind, core) == official(document, core_of(kind, version), core)


def published(document: Json, kind: str) -> Json:
    publish = publish_item if kind == "Feature" else publish_collection
    return publish(document, TICKET, TARGET)


def demand_taken_back(document: Json, kind: str, version: str, store: Path) -> None:
    """What we publish is valid, and our patch undone gives the delivered document."""
    before = canonical(document)
    after = published(document, kind)
    patch = json_patch.patch(document, after)

    assert canonical(document) == before
    assert after != document
    assert official(after, core_of(kind, version), store)
    assert canonical(undo(after, patch)) == before


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CORPUS)
def test_a_published_document_is_valid_and_can_be_taken_back(
    core: Path, name: str, version: str
) -> None:
    document = without_extensions(corpus(name, version))

    demand_taken_back(document, CORPUS[name]["type"], version, core)


@needs_extensions
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CORPUS)
def test_a_published_document_with_extensions_is_valid_and_can_be_taken_back(
    store: Path, name: str, version: str
) -> None:
    demand_taken_back(corpus(name, version), CORPUS[name]["type"], version, store)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[
        *(HealthCheck.too_slow, HealthCheck.filter_too_much),
        HealthCheck.function_scoped_fixture,
    ],
)
@given(drawn=mutilated_corpus())
def test_whatever_is_valid_stays_valid_when_published(
    core: Path, drawn: tuple[Json, str, str]
) -> None:
    document, kind, version = drawn
    assume(document.get("stac_extensions") == [])
    assume(official(document, core_of(kind, version), core))

    before = canonical(document)
    after = published(document, kind)

    assert official(after, core_of(kind, version), core)
    patch: list[Any] = json_patch.patch(document, after)
    assert canonical(undo(after, patch)) == before
