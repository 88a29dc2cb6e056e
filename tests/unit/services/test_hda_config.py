"""HDA's configuration changed as text: what isn't meant stays, byte by byte."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

import pytest
import yaml
from dedl_sandbox.hda_entries import collections_text, ids
from dedl_workbook.base.errors import InputError
from dedl_workbook.services.hda import config as hda_config
from hypothesis import given, settings
from hypothesis import strategies as st

ID = "EO.TEST.DAT.LAKE"
ENTRY: dict[str, Any] = {
    "title": "Levels: of a lake # and more",
    "description": "Two lines:\nand 'quotes' \"of\" both kinds, é.\n\nEnd ",
    "instruments": None,
    "keywords": ["Land", "User generated", "no", "2024-01-01"],
    "extent": {
        "spatial": {"bbox": [[2.0, 49, 7, 52.5]]},
        "temporal": {"interval": [["2024-01-01T00:00:00Z", None]]},
    },
    "scopes": ["DEDL_UGD_LAKE"],
}
PROVIDERS = {
    "block": "p:\n  products:\n    A: {_collection: A}\n    B:\n      x: B\n  # e\n  x: 1\n",
    "last": "p:\n  x: 1\n  products:\n    A:\n      _collection: A",
    "flow": "p:\n  products: {A: {_collection: A}, B: {_collection: B}}  # two\n  x: 1\n",
    "flow on lines": "p:\n  products: {\n    A: {_collection: A},\n    B: {_collection: B},\n  }\n",
    "empty flow": "p:\n  products: {}\n  x: 1\n",
    "null": "p:\n  products:   # none yet\n  x: 1\n",
    "wide": "p:\n    products:\n        A: {_collection: A}   # the first\n\n    x: 1\n",
}


@lru_cache
def config(text: str) -> hda_config.Config:
    return hda_config.parse(text.encode(), "collections.yml")


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return what was before and after between the common start and end of two texts."""
    one, other = before.splitlines(keepends=True), after.splitlines(keepends=True)
    while one and other and one[0] == other[0]:
        del one[0], other[0]
    while one and other and one[-1] == other[-1]:
        del one[-1], other[-1]
    return one, other


@pytest.mark.parametrize("eol", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n# the end", "\n...\n"])
def test_an_entry_is_added_at_the_end_and_every_other_byte_stays(eol: str, end: str) -> None:
    text = collections_text(400 if end else 40).rstrip("\n").replace("\n", eol) + end.replace(
        "\n", eol
    )
    if end == "\n...\n":
        with pytest.raises(InputError, match="can't be changed without touching other lines"):
            hda_config.with_entry(config(text), ID, ENTRY)
        return

    made = hda_config.with_entry(config(text), ID, ENTRY)

    assert made.text.startswith(text)
    assert made.text.count("\n") == made.text.count(eol)
    assert made.values[ID] == ENTRY
    assert len(made.values) == (401 if end else 41)
    ended = text if text.endswith(eol) else text + eol
    assert hda_config.without_entry(made, ID).text == ended


@pytest.mark.parametrize("number", [0, 3, 398, 399])
def test_an_entry_is_replaced_in_its_place(number: int) -> None:
    text = collections_text(400)
    id_ = ids(400)[number]
    old = hda_config.entry_text(config(text), id_)

    made = hda_config.with_entry(config(text), id_, ENTRY)

    before, after = changed_lines(text, made.text)
    assert old is not None
    assert "".join(before) in old
    assert list(made.values) == list(config(text).values)
    assert yaml.safe_load("".join(after))
    again = hda_config.with_entry_text(made, id_, old)
    assert again.text == text


def test_comments_around_a_removed_entry_stay() -> None:
    text = "# head\nA: 1 # a\n# of b\nB:\n  x: |\n    # no comment\n\n\n# of c\nC: 3\n"

    made = hda_config.without_entry(config(text), "B")

    assert made.text == "# head\nA: 1 # a\n# of b\n\n\n# of c\nC: 3\n"


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_a_product_is_added_and_taken_away_again(kind: str, eol: str) -> None:
    text = PROVIDERS[kind].replace("\n", eol)
    before = hda_config.products(config(text), "p")

    made = hda_config.with_product(config(text), "p", ID, {"_collection": ID})

    assert hda_config.products(made, "p") == before | {ID: {"_collection": ID}}
    one, other = changed_lines(text, made.text)
    assert len(one) <= 1
    assert len(other) <= 2
    assert [line for line in text.splitlines() if "#" in line] == [
        line.replace(f", {ID}: {{_collection: {ID}}}", "")
        for line in made.text.splitlines()
        if "#" in line
    ]
    gone = hda_config.without_product(made, "p", ID)
    assert hda_config.products(gone, "p") == before
    again = hda_config.with_product(made, "p", ID, {"_collection": "other"})
    assert hda_config.products(again, "p")[ID] == {"_collection": "other"}


@pytest.mark.parametrize("kind", PROVIDERS)
def test_a_product_of_one_of_eodag_3s_providers_is_added_and_taken_away_again(kind: str) -> None:
    body = PROVIDERS[kind].removeprefix("p:\n")
    margin = body[: len(body) - len(body.lstrip())]
    last = f"---\n!provider\n  name: q\n  products: {{{ID}: {{productType: mine}}}}\n"
    text = f"# head\n--- !provider\n{margin}name: p\n{body}\n{last}"
    whole = hda_config.parse_providers(text.encode(), "providers.yml")

    made = hda_config.with_product(whole, "p", ID, {"productType": ID})

    before = hda_config.products(whole, "p")
    assert hda_config.products(made, "p") == before | {ID: {"productType": ID}}
    assert hda_config.products(made, "q") == {ID: {"productType": "mine"}}
    assert made.text.startswith(f"# head\n--- !provider\n{margin}name: p\n")
    assert made.text.endswith(last)
    assert hda_config.without_product(made, "p", ID).text == text


def test_anchors_and_merge_keys_of_others_stay() -> None:
    text = "A: &a\n  x: 1\nB:\n  <<: *a\nC: *a\n"

    made = hda_config.with_entry(config(text), "B", {"y": 2})

    assert made.text == "A: &a\n  x: 1\nB:\n  y: 2\nC: *a\n"
    with pytest.raises(InputError, match="collections.yml"):
        hda_config.with_entry(config(text), "A", {"y": 2})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"A: [1", "is not YAML"),
        (b"A: 1\nA: 2\n", "'A' twice"),
        (b"- A\n", "holds no mapping"),
        (b"A: \xff\n", "is not UTF-8 at byte 3"),
        (b"A: 1\n---\nB: 2\n", "is not YAML"),
        (b"A: !provider\n  x: 1\n", "is not YAML"),
    ],
)
def test_says_what_is_wrong_with_a_file(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        hda_config.parse(data, "collections.yml")


@pytest.mark.parametrize("text", ["{A: 1}\n", "  A: 1\n", "A: *x\n"])
def test_refuses_what_it_cannot_change_as_text(text: str) -> None:
    with pytest.raises(InputError, match="collections.yml"):
        hda_config.with_entry(config(text), ID, ENTRY)


@pytest.mark.parametrize(
    ("text", "said"),
    [("q:\n  products: {}\n", "no provider 'p'"), ("p:\n  x: 1\n", "no 'products'")],
)
def test_says_when_the_provider_is_missing(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        hda_config.products(config(text), "p")


def test_an_empty_file_gets_its_first_entry() -> None:
    assert hda_config.with_entry(config(""), ID, {"x": 1}).text == f"{ID}:\n  x: 1\n"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner:
       st.lists(inner) | st.dictionaries(st.text(min_size=1), inner), max_leaves=8))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_entry_reads_back_as_it_was_meant(value: Any) -> None:
    text = collections_text(6).rstrip("\n")

    made = hda_config.with_entry(config(text), ID, {"value": value})

    assert made.values[ID] == {"value": value}
    assert made.text.startswith(text)


def test_edits_in_any_order_leave_only_what_was_meant() -> None:
    dice = random.Random(7)
    made = config(collections_text(30))
    wanted = dict(made.values)
    for _ in range(40):
        id_ = dice.choice([*ids(30), "X.1", "X.2", "X.3"])
        if dice.random() < 0.4:
            made = hda_config.without_entry(made, id_)
            wanted.pop(id_, None)
        else:
            entry = ENTRY | {"title": str(dice.random())}
            made = hda_config.with_entry(made, id_, entry)
            wanted[id_] = entry
    assert made.values == wanted
    banners = [line for line in collections_text(30).splitlines() if line.startswith("#")]
    assert [line for line in made.text.splitlines() if line.startswith("#")] == banners


def test_the_difference_shows_the_added_lines() -> None:
    before = config("A: 1\n")
    after = hda_config.with_entry(before, ID, {"x": 1})

    shown = hda_config.difference("collections.yml", before.text, after.text)

    assert f"+{ID}:\n+  x: 1" in shown
    assert "-A" not in shown
