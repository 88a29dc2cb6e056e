"""The metadata as published: what we add, what we rewrite, and that it can all be taken back."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.base import json_patch
from dedl_workbook.base.errors import InputError
from dedl_workbook.base.json import canonical
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication import metadata
from dedl_workbook.publication.job import Job
from dedl_workbook.publication.metadata import (
    HOST,
    collection,
    href_path,
    publish_collection,
    publish_item,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.publication.inverse import patched, undo

ID = "EO.XXX.DAT.DEMO"
POOL = f"s3://pool/{ID}/DEDL-1/"
TICKET = Ticket.of(
    {"ticket": "DEDL-1", "dataset": "delivery", "collection": ID, "target": "lake"}, "test"
)
KEYS: dict[str, Any] = {"endpoint": "http://localhost:1", "access_key": "a", "secret_key": "s"}
TARGET = Target(
    name="lake",
    s3={**KEYS, "bucket": "pool"},
    catalog={"host": "h", "database": "d", "user": "u", "password": "p"},
    stac_api={"url": "http://localhost:2"},
    archive="/nowhere",
)


def any_collection(**changes: Any) -> dict[str, Any]:
    document = {
        "type": "Collection",
        "id": ID,
        "keywords": ["Land cover"],
        "providers": [{"name": "ACME", "roles": ["producer", "processor", "licensor"]}],
        "assets": {"thumbnail": {"href": "data/thumb.png"}},
    }
    return {**document, **changes}


def any_item(*hrefs: str, **changes: Any) -> dict[str, Any]:
    assets = {f"a{n}": {"href": href, "type": "image/png"} for n, href in enumerate(hrefs)}
    return {"type": "Feature", "id": "I1", "properties": {"n": 1.0}, "assets": assets, **changes}


def a_job(root: Path, documents: dict[str, Any], files: tuple[str, ...] = ()) -> Job:
    for name, document in documents.items():
        path = root / "delivery" / "metadata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))
    for name in files:
        (root / "delivery" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "delivery" / name).write_bytes(b"x")
    return Job(TICKET, TARGET, root / "work", root)


def published_hrefs(item: dict[str, Any]) -> list[str]:
    return [asset["href"] for asset in item["assets"].values()]


def test_the_keyword_and_the_host_are_added_where_they_are_missing():
    published = publish_collection(any_collection(), TICKET, TARGET)
    assert published["keywords"] == ["Land cover", "User generated"]
    assert published["providers"][-1] == {"name": "DEDL", "roles": ["host"]}
    assert published["assets"]["thumbnail"]["href"] == POOL + "data/thumb.png"


@pytest.mark.parametrize("keyword", ["User generated", "user-generated", "USER_GENERATED"])
def test_a_keyword_with_the_same_slug_is_not_added_again(keyword: str):
    published = publish_collection(any_collection(keywords=[keyword]), TICKET, TARGET)
    assert published["keywords"] == [keyword]


@pytest.mark.parametrize("name", ["DEDL", "DestinE Data Lake (dedl)"])
def test_a_host_that_is_dedl_is_not_added_again(name: str):
    providers = [{"name": name, "roles": ["host"]}]
    published = publish_collection(any_collection(providers=providers), TICKET, TARGET)
    assert published["providers"] == providers


@pytest.mark.parametrize(
    "provider",
    [
        {"name": "DEDL"},
        {"name": "DEDL", "roles": None},
        {"name": "DEDL", "roles": ["processor"]},
        {"name": "ACME", "roles": ["host"]},
        "DEDL",
    ],
)
def test_what_only_looks_like_our_host_does_not_count(provider: object):
    document = any_collection(providers=[provider])
    published = publish_collection(document, TICKET, TARGET)
    assert published["providers"] == [provider, HOST]


def test_missing_lists_are_made_and_other_things_in_their_place_are_refused():
    document = any_collection()
    del document["keywords"]
    assert publish_collection(document, TICKET, TARGET)["keywords"] == ["User generated"]
    with pytest.raises(InputError, match="providers: is no list"):
        publish_collection(any_collection(providers={}), TICKET, TARGET)


def test_the_agreed_id_is_published_and_the_delivered_document_stays_as_it_is():
    delivered = any_collection(id="OTHER")
    before = copy.deepcopy(delivered)
    assert publish_collection(delivered, TICKET, TARGET)["id"] == ID
    assert delivered == before
    assert HOST == {"name": "DEDL", "roles": ["host"]}


@pytest.mark.parametrize(
    ("href", "path"),
    [
        ("data/2024/a.tif", "data/2024/a.tif"),
        ("./data/a.tif", "data/a.tif"),
        ("data/my file#1.png", "data/my file#1.png"),
        ("data/100%.png", "data/100%.png"),
        ("https://host/data/a.tif", None),
        ("s3://bucket/data/a.tif", None),
        ("/data/a.tif", None),
        ("../data/a.tif", None),
        ("data/../a.tif", None),
        ("data/./a.tif", None),
        ("data//a.tif", None),
        ("data/", None),
        ("metadata/a.json", None),
        ("datax/a.tif", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_an_href_names_a_file_inside_data_or_none(href: object, path: str | None):
    assert href_path(href) == path


@pytest.mark.parametrize(
    ("href", "files", "path"),
    [
        ("data/a%20b.png", {"data/a%20b.png", "data/a b.png"}, "data/a%20b.png"),
        ("data/a%20b.png", {"data/a b.png"}, "data/a b.png"),
        ("data/a%20b.png", set(), "data/a%20b.png"),
        ("data/%2e%2e/x", {"data/../x"}, "data/%2e%2e/x"),
        ("%64ata/x", {"data/x"}, "data/x"),
        ("data/%c3%a9.png", {"data/é.png"}, "data/é.png"),
    ],
)
def test_a_literal_name_goes_before_the_percent_decoded_one(
    href: str, files: set[str], path: str | None
):
    assert href_path(href, files.__contains__) == path


def test_items_get_published_addresses_and_nothing_else_is_touched(tmp_path: Path):
    item = any_item("data/a.tif", "data/a%20b.png", links=[{"href": "data/"}])
    job = a_job(tmp_path, {"items/I1.json": item}, ("data/a.tif", "data/a b.png"))
    [(path, published)] = metadata.items(job)
    assert path == "metadata/items/I1.json"
    assert published_hrefs(published) == [POOL + "data/a.tif", POOL + "data/a b.png"]
    elsewhere = any_item("https://host/c.tif")
    assert metadata.publish_item(elsewhere, TICKET, TARGET) == elsewhere
    assert metadata.href(job, "data/a.tif") == POOL + "data/a.tif"
    assert {**published, "assets": item["assets"]} == item


def test_only_json_files_directly_in_the_items_folder_are_items(tmp_path: Path):
    names = ["items/b.json", "items/a.json", "items/note.txt", "items/deep/c.json", "x.json"]
    job = a_job(tmp_path, dict.fromkeys(names, any_item()))
    (tmp_path / "delivery/metadata/items/link.json").symlink_to("a.json")
    assert [path for path, _ in metadata.items(job)] == [
        "metadata/items/a.json",
        "metadata/items/b.json",
    ]


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1, "a": 2}'])
def test_a_document_that_is_no_json_object_is_refused_by_name(tmp_path: Path, text: str):
    job = a_job(tmp_path, {"items/I1.json": text, "collection.json": text})
    with pytest.raises(InputError, match=r"metadata/items/I1\.json"):
        list(metadata.items(job))
    with pytest.raises(InputError, match=r"metadata/collection\.json"):
        collection(job)


def test_a_missing_collection_is_named(tmp_path: Path):
    job = a_job(tmp_path, {"items/I1.json": any_item()})
    with pytest.raises(InputError, match=r"metadata/collection\.json: is missing"):
        collection(job)


def test_the_patch_says_what_was_done_and_nothing_more():
    before = any_collection()
    after = publish_collection(before, TICKET, TARGET)
    thumb = "/assets/thumbnail/href"
    assert json_patch.patch(before, after) == [
        {"op": "add", "path": "/keywords/1", "value": "User generated"},
        {"op": "add", "path": "/providers/1", "value": {"name": "DEDL", "roles": ["host"]}},
        {"op": "test", "path": thumb, "value": "data/thumb.png"},
        {"op": "replace", "path": thumb, "value": POOL + "data/thumb.png"},
    ]


def test_a_patch_refuses_another_document():
    patch = json_patch.patch({"a": 1, "b": 2}, {"a": 2})
    for other in ({"a": 3, "b": 2}, {"b": 2}, {"a": 1}, {"a": True, "b": 2}, []):
        with pytest.raises(ValueError, match=r"not what the patch|has no"):
            patched(other, patch)


names = st.text(alphabet="ab/~%. é", max_size=4)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | names
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4)
)
hrefs = st.builds("{}{}".format, st.sampled_from(["data/", "./data/", "https://h/", ""]), names)
assets = st.dictionaries(
    names, st.fixed_dictionaries({"href": hrefs | values}, optional={"type": values})
)
items = st.fixed_dictionaries({"id": names}, optional={"assets": assets | values, "extra": values})


@given(items)
def test_undoing_the_patch_gives_back_any_delivered_item(item: dict[str, Any]):
    published = publish_item(item, TICKET, TARGET)
    patch = json_patch.patch(item, published)
    assert canonical(patched(item, patch)) == canonical(published)
    assert canonical(undo(published, patch)) == canonical(item)


@given(items, st.lists(names), st.lists(values))
def test_undoing_the_patch_gives_back_any_delivered_collection(
    rest: dict[str, Any], keywords: list[str], providers: list[Any]
):
    document = {**rest, "keywords": keywords, "providers": providers}
    published = publish_collection(document, TICKET, TARGET)
    patch = json_patch.patch(document, published)
    assert canonical(patched(document, patch)) == canonical(published)
    assert canonical(undo(published, patch)) == canonical(document)


@given(values, values)
def test_any_patch_can_be_applied_and_undone(before: Any, after: Any):
    patch = json_patch.patch(before, after)
    assert canonical(patched(before, patch)) == canonical(after)
    assert canonical(undo(after, patch)) == canonical(before)
