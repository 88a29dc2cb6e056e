"""The schemas' store; and our verdict is that of the official schemas and of stac-validator."""

import copy
import hashlib
import json
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.base.errors import InputError
from dedl_workbook.rules.schemas import sources
from dedl_workbook.rules.schemas import store as schemas
from dedl_workbook.rules.schemas.store import Validity, Violation

from tests.unit.oracle import SHARED, needs_extensions, official

CORE = "https://schemas.stacspec.org/v1.0.0/item-spec/json-schema/item.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"

Json = dict[str, Any]
Break = Callable[[Json], Any]


@pytest.fixture(autouse=True)
def no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    class Blocked(socket.socket):
        def __init__(self, *_: Any, **__: Any) -> None:
            raise AssertionError("a socket was opened")

    def blocked(*_: Any, **__: Any) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "socket", Blocked)
    monkeypatch.setattr(socket, "getaddrinfo", blocked)


def any_item(version: str = "1.0.0") -> Json:
    ring = [[0, 40], [4, 40], [4, 44], [0, 44], [0, 40]]
    return {
        "type": "Feature",
        "stac_version": version,
        "stac_extensions": [],
        "id": "EO.X.DAT.Y_20260701",
        "collection": "EO.X.DAT.Y",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [0, 40, 4, 44],
        "properties": {
            "datetime": "2026-07-01T12:00:00Z",
            "start_datetime": "2026-07-01T00:00:00Z",
            "end_datetime": "2026-07-01T23:59:59Z",
            "gsd": 1000,
            "instruments": ["slstr"],
            "providers": [{"name": "Somebody", "roles": ["producer"]}],
        },
        "links": [{"rel": "collection", "href": "../collection.json"}],
        "assets": {
            "lst": {
                "href": "data/2026/07/01/lst.tif",
                "type": "image/tiff; application=geotiff",
                "roles": ["data"],
            }
        },
    }


def any_collection(version: str = "1.0.0") -> Json:
    return {
        "type": "Collection",
        "stac_version": version,
        "stac_extensions": [],
        "id": "EO.X.DAT.Y",
        "title": "Heat",
        "description": "Daily heat.",
        "keywords": ["temperature"],
        "license": "CC-BY-4.0",
        "providers": [{"name": "Somebody", "roles": ["producer", "licensor", "processor"]}],
        "extent": {
            "spatial": {"bbox": [[0, 40, 4, 44]]},
            "temporal": {"interval": [["2026-07-01T00:00:00Z", None]]},
        },
        "summaries": {
            "platform": ["a"],
            "gsd": {"minimum": 1, "maximum": 2},
            "x": {"type": "number"},
        },
        "links": [{"rel": "license", "href": "https://creativecommons.org/licenses/by/4.0/"}],
        "assets": {"thumbnail": {"href": "data/t.png", "roles": ["thumbnail"]}},
    }


def put(*path: Any, value: Any) -> Break:
    def change(document: Json) -> None:
        target: Any = document
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = value

    return change


def drop(*path: Any) -> Break:
    def change(document: Json) -> None:
        target: Any = document
        for part in path[:-1]:
            target = target[part]
        del target[path[-1]]

    return change


def several(*changes: Break) -> Break:
    def change(document: Json) -> None:
        for one in changes:
            one(document)

    return change


BROKEN_ITEMS: dict[str, tuple[Break, str]] = {
    "no id": (drop("id"), ""),
    "empty id": (put("id", value=""), "/id"),
    "number as id": (put("id", value=7), "/id"),
    "no geometry": (drop("geometry"), ""),
    "no bbox": (drop("bbox"), ""),
    "bbox of five": (put("bbox", value=[0, 1, 2, 3, 4]), "/bbox"),
    "bbox of texts": (put("bbox", value=["0", "40", "4", "44"]), "/bbox/0"),
    "bbox without geometry": (put("geometry", value=None), "/bbox"),
    "unknown geometry": (put("geometry", "type", value="Polgon"), "/geometry/type"),
    "ring of three": (
        put("geometry", "coordinates", value=[[[0, 0], [1, 1], [0, 0]]]),
        "/geometry/coordinates/0",
    ),
    "no properties": (drop("properties"), ""),
    "no datetime": (
        several(drop("properties", "datetime"), drop("properties", "start_datetime")),
        "/properties",
    ),
    "null datetime without range": (
        put("properties", value={"datetime": None}),
        "/properties",
    ),
    "start without end": (drop("properties", "end_datetime"), "/properties"),
    "local time": (
        put("properties", "datetime", value="2026-07-01T12:00:00+02:00"),
        "/properties/datetime",
    ),
    "gsd of nought": (put("properties", "gsd", value=0), "/properties/gsd"),
    "instruments as text": (
        put("properties", "instruments", value="slstr"),
        "/properties/instruments",
    ),
    "unknown provider role": (
        put("properties", "providers", 0, "roles", value=["boss"]),
        "/properties/providers/0/roles/0",
    ),
    "no links": (drop("links"), ""),
    "link without rel": (drop("links", 0, "rel"), "/links/0"),
    "collection without its link": (put("links", value=[]), "/collection"),
    "no assets": (drop("assets"), ""),
    "asset without href": (drop("assets", "lst", "href"), "/assets/lst"),
    "empty href": (put("assets", "lst", "href", value=""), "/assets/lst/href"),
    "roles as text": (put("assets", "lst", "roles", value="data"), "/assets/lst/roles"),
    "assets as list": (put("assets", value=[]), "/assets"),
    "extensions twice": (put("stac_extensions", value=[FILE, FILE]), "/stac_extensions"),
}
BROKEN_COLLECTIONS: dict[str, tuple[Break, str]] = {
    "no description": (drop("description"), ""),
    "empty description": (put("description", value=""), "/description"),
    "no license": (drop("license"), ""),
    "license as sentence": (put("license", value="free for all"), "/license"),
    "no extent": (drop("extent"), ""),
    "no interval": (put("extent", "temporal", "interval", value=[]), "/extent/temporal/interval"),
    "open interval of three": (
        put("extent", "temporal", "interval", 0, value=[None, None, None]),
        "/extent/temporal/interval/0",
    ),
    "bbox of three": (
        put("extent", "spatial", "bbox", 0, value=[0, 1, 2]),
        "/extent/spatial/bbox/0",
    ),
    "flat bbox": (put("extent", "spatial", "bbox", value=[0, 40, 4, 44]), "/extent/spatial/bbox/0"),
    "keywords as text": (put("keywords", value="heat"), "/keywords"),
    "provider without name": (drop("providers", 0, "name"), "/providers/0"),
    "unknown role": (put("providers", 0, "roles", value=["owner"]), "/providers/0/roles/0"),
    "no links": (drop("links"), ""),
    "link without href": (drop("links", 0, "href"), "/links/0"),
    "empty summary": (put("summaries", "platform", value=[]), "/summaries/platform"),
    "summary that is no schema": (put("summaries", "x", value={"type": 5}), "/summaries/x/type"),
    "number as title": (put("title", value=5), "/title"),
}
ODD_BUT_RIGHT_ITEMS: dict[str, Break] = {
    "as it is": lambda document: None,
    "antimeridian": put("bbox", value=[170, -10, -170, 10]),
    "point": put("geometry", value={"type": "Point", "coordinates": [1, 2]}),
    "box with heights": put("bbox", value=[0, 40, 0, 4, 44, 100]),
    "no place": several(put("geometry", value=None), drop("bbox")),
    "range alone": put("properties", "datetime", value=None),
    "no extensions": drop("stac_extensions"),
    "month 13": put("properties", "datetime", value="2026-13-01T00:00:00Z"),
    "space and percent": put("assets", "lst", "href", value="data/my 100% [é].png"),
    "no collection": several(drop("collection"), put("links", value=[])),
    "no assets": put("assets", value={}),
    "own field": put("properties", "dedl:x", value={"a": [1]}),
}


def verdicts(document: Json, store: Path) -> tuple[bool, bool, bool]:
    before = copy.deepcopy(document)
    ours = schemas.check(document, store)
    assert ours.not_checked == ()
    theirs, _ = schemas.second_opinion(document, store)
    assert document == before
    url = schemas.core_url(document)
    assert isinstance(url, str)
    return not ours.violations, official(document, url, store), theirs


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
@pytest.mark.parametrize("name", BROKEN_ITEMS)
def test_broken_item_is_caught_where_it_is_broken(core: Path, name: str, version: str) -> None:
    change, pointer = BROKEN_ITEMS[name]
    item = any_item(version)
    change(item)

    violations = schemas.check(item, core).violations

    assert pointer in [violation.pointer for violation in violations]
    assert [violation for violation in violations if len(violation.message) > 300] == []
    assert {violation.schema for violation in violations} == {CORE.replace("1.0.0", version)}


@pytest.mark.parametrize("name", BROKEN_COLLECTIONS)
def test_broken_collection_is_caught_where_it_is_broken(core: Path, name: str) -> None:
    change, pointer = BROKEN_COLLECTIONS[name]
    collection = any_collection()
    change(collection)

    assert pointer in [
        violation.pointer for violation in schemas.check(collection, core).violations
    ]


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
@pytest.mark.parametrize("name", [name for name in BROKEN_ITEMS if name != "extensions twice"])
def test_all_opinions_on_a_broken_item_agree(core: Path, name: str, version: str) -> None:
    item = any_item(version)
    BROKEN_ITEMS[name][0](item)

    assert verdicts(item, core) == (False, False, False)


@pytest.mark.parametrize("name", BROKEN_COLLECTIONS)
@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_all_opinions_on_a_broken_collection_agree(core: Path, name: str, version: str) -> None:
    collection = any_collection(version)
    BROKEN_COLLECTIONS[name][0](collection)

    assert verdicts(collection, core) == (False, False, False)


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
@pytest.mark.parametrize("name", ODD_BUT_RIGHT_ITEMS)
def test_all_opinions_on_an_odd_but_right_item_agree(core: Path, name: str, version: str) -> None:
    item = any_item(version)
    ODD_BUT_RIGHT_ITEMS[name](item)

    assert verdicts(item, core) == (True, True, True)


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_all_opinions_on_a_right_collection_and_catalog_agree(core: Path, version: str) -> None:
    catalog = {
        **{"type": "Catalog", "stac_version": version, "id": "a", "description": "b"},
        "links": [],
    }

    assert verdicts(any_collection(version), core) == (True, True, True)
    assert verdicts(catalog, core) == (True, True, True)


@needs_extensions
@pytest.mark.parametrize("name", ["right", "checksum", "negative size", "projection", "undeclared"])
def test_all_opinions_on_extensions_agree(store: Path, name: str) -> None:
    item = any_item()
    asset = item["assets"]["lst"]
    item["stac_extensions"] = [FILE]
    asset["file:size"] = 5
    {
        "right": lambda: None,
        "checksum": lambda: asset.update({"file:checksum": "no hex"}),
        "negative size": lambda: asset.update({"file:size": "5"}),
        "projection": lambda: (
            item["stac_extensions"].append(PROJECTION),
            item["properties"].update({"proj:code": 5}),
        ),
        "undeclared": lambda: item["properties"].update({"proj:code": 5}),
    }[name]()

    right = name in {"right", "undeclared"}
    assert verdicts(item, store) == (right, right, right)


@needs_extensions
def test_extension_that_items_and_collections_share_is_told_of_the_items_part(store: Path) -> None:
    item = any_item()
    item["stac_extensions"] = [FILE]
    item["assets"]["lst"]["file:size"] = "5"

    (violation,) = schemas.check(item, store).violations

    assert violation == Violation(FILE, "/assets/lst/file:size", '"5" is not of type "integer"')


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (put("geometry", "type", value="Polgon"), '"Polgon" is none of "Point", "LineString"'),
        (put("geometry", value={"type": "point", "coordinates": [0, 0]}), '"point" is none of'),
        (drop("bbox"), "bbox is a required property"),
        (put("links", value=[]), '"EO.X.DAT.Y" is not allowed here: a link with rel collection'),
        (put("properties", "gsd", value="x" * 500), '"' + "x" * 78 + "… is not of type"),
        (put("properties", value={"datetime": None}), "start_datetime is a required property"),
        (put("assets", value=[1, 2]), "a list of 2 is not of type"),
    ],
)
def test_messages_are_short_and_name_what_was_meant(core: Path, change: Break, told: str) -> None:
    item = any_item()
    change(item)

    messages = [violation.message for violation in schemas.check(item, core).violations]

    assert [message for message in messages if message.startswith(told)]
    assert [message for message in messages if "\x00" in message] == []
    assert len(messages) == len(set(messages))


def test_one_slip_that_several_parts_of_a_schema_see_is_told_once(core: Path) -> None:
    item = any_item()
    BROKEN_ITEMS["ring of three"][0](item)

    (violation,) = schemas.check(item, core).violations

    assert violation.pointer == "/geometry/coordinates/0"


def test_pointers_escape_what_json_pointers_must(core: Path) -> None:
    item = any_item()
    item["assets"] = {"a/b~c": {}}

    assert "/assets/a~1b~0c" in [
        violation.pointer for violation in schemas.check(item, core).violations
    ]


def test_no_more_problems_than_a_person_reads(core: Path) -> None:
    item = any_item()
    item["links"] = [{}] * 1000

    assert len(schemas.check(item, core).violations) == schemas.MOST_VIOLATIONS


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ([], ""),
        (None, ""),
        ({}, "/type"),
        ({"type": "FeatureCollection"}, "/type"),
        ({"type": ["Feature"]}, "/type"),
        ({"type": "Feature"}, "/stac_version"),
        ({"type": "Feature", "stac_version": 1.0}, "/stac_version"),
        ({"type": "Feature", "stac_version": "../../x"}, "/stac_version"),
        ({"type": "Feature", "stac_version": "1.0.0\n"}, "/stac_version"),
    ],
)
def test_what_is_no_stac_document_is_refused_without_a_schema(
    tmp_path: Path, document: Any, pointer: str
) -> None:
    validity = schemas.check(document, tmp_path)

    assert [violation.pointer for violation in validity.violations] == [pointer]
    assert validity.not_checked == ()
    if isinstance(document, dict):
        assert schemas.second_opinion(document, tmp_path)[0] is False


@pytest.mark.parametrize("place", [("properties", "x"), ("geometry", "coordinates"), ("links",)])
def test_deep_nesting_ends_in_a_verdict(core: Path, place: tuple[str, ...]) -> None:
    nest: list[Any] = []
    for _ in range(200_000):
        nest = [nest]
    item = any_item()
    put(*place, value=nest)(item)

    assert bool(schemas.check(item, core).violations) == (place[-1] != "x")


def test_schema_that_is_not_there_leaves_the_document_not_checked(core: Path) -> None:
    unknown = ["https://example.org/x/v1.0.0/schema.json", "eo", "../../../etc/passwd", ""]
    item = any_item()
    item["stac_extensions"] = [*unknown, 5]

    validity = schemas.check(item, core)

    assert validity.not_checked == tuple(unknown)
    assert [violation.pointer for violation in validity.violations] == ["/stac_extensions/4"]


def test_version_that_is_not_there_is_not_checked(core: Path) -> None:
    item = any_item("1.0.0-rc.4")

    validity = schemas.check(item, core)

    assert validity == Validity((), (CORE.replace("1.0.0", "1.0.0-rc.4"),))
    with pytest.raises(InputError, match="isn't in the store"):
        schemas.second_opinion(item, core)


def test_schema_that_refers_to_one_that_is_not_there_is_not_checked(
    core: Path, tmp_path: Path
) -> None:
    shutil.copytree(core, tmp_path, dirs_exist_ok=True)
    (tmp_path / "geojson.org" / "schema" / "Geometry.json").unlink()

    assert schemas.validator(CORE, tmp_path) is None
    assert schemas.check(any_item(), tmp_path) == Validity((), (CORE,))


def test_blocked_sockets_would_have_been_noticed() -> None:
    from stac_validator.validate import StacValidate

    without_map = StacValidate()

    assert not without_map.validate_dict(any_item())
    assert "was opened" in str(without_map.message) or "was looked up" in str(without_map.message)


def test_a_bbox_that_is_no_list_of_boxes_is_told_once_a_number(core: Path) -> None:
    collection = any_collection()
    collection["extent"]["spatial"]["bbox"] = [-10, 35, 5, 45]

    violations = schemas.check(collection, core).violations

    assert [violation.message for violation in violations] == [
        f'{number} is not of type "array"' for number in (-10, 35, 5, 45)
    ]


def test_an_id_that_is_no_text_is_told_to_be_one(core: Path) -> None:
    violations = schemas.check({**any_item(), "id": ["x"]}, core).violations

    assert [violation.message for violation in violations] == [
        'a list of 1 is not of type "string"'
    ]


def test_second_opinion_names_what_it_left_out(core: Path) -> None:
    item = any_item()
    item["stac_extensions"] = ["https://example.org/x/v1.0.0/schema.json"]

    assert schemas.second_opinion(item, core) == (
        True,
        "without https://example.org/x/v1.0.0/schema.json",
    )
    assert item["stac_extensions"] == ["https://example.org/x/v1.0.0/schema.json"]
    drop("id")(item)
    valid, message = schemas.second_opinion(item, core)
    assert not valid
    assert "'id' is a required property" in message


@pytest.mark.parametrize("url", [CORE, CORE.replace("item.json", "basics.json")])
def test_damaged_store_is_an_error_and_not_a_verdict(core: Path, tmp_path: Path, url: str) -> None:
    shutil.copytree(core, tmp_path, dirs_exist_ok=True)
    path = tmp_path / schemas.path_of(url)
    path.write_text("{}")

    with pytest.raises(InputError) as caught:
        schemas.check(any_item(), tmp_path)

    assert schemas.lock()[url] in str(caught.value)
    assert hashlib.sha256(b"{}").hexdigest() in str(caught.value)
    with pytest.raises(InputError):
        schemas.schema_map(tmp_path)


def test_sync_mends_a_damaged_store_and_the_process_sees_it(core: Path, tmp_path: Path) -> None:
    assert schemas.check(any_item(), tmp_path).not_checked == (CORE,)
    (tmp_path / schemas.path_of(CORE)).parent.mkdir(parents=True)
    (tmp_path / schemas.path_of(CORE)).write_text("{}")

    report = schemas.sync(tmp_path, source=core)

    assert CORE in report.written
    assert schemas.check(any_item(), tmp_path) == Validity()


def test_sync_again_writes_nothing(core: Path, tmp_path: Path) -> None:
    first = schemas.sync(tmp_path, source=core)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}

    again = schemas.sync(tmp_path, source=core)

    assert again.written == ()
    assert set(again.kept) == set(first.written)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert set(again.kept) | set(again.absent) == set(schemas.lock())


def test_sync_counts_all_schemas(core: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    schemas.sync(tmp_path, source=core, progress=lambda done, total: seen.append((done, total)))

    assert seen == [(number, len(schemas.lock())) for number in range(1, len(schemas.lock()) + 1)]


def test_file_with_another_digest_is_refused_with_both_digests(core: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(core, source)
    (source / schemas.path_of(CORE)).write_text("{}")

    report = schemas.sync(target, source=source)

    (told,) = report.problems
    assert CORE in told
    assert schemas.lock()[CORE] in told
    assert hashlib.sha256(b"{}").hexdigest() in told
    assert CORE in report.absent
    assert not (target / schemas.path_of(CORE)).exists()
    assert len(report.written) == len(list(core.rglob("*.json"))) - 1


def changed_source(store: Path, folder: Path, url: str, data: bytes) -> Path:
    """A source in which one schema has other bytes than the lock names."""
    shutil.copytree(store, folder)
    path = folder / schemas.path_of(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return folder


NEW = b'{"type": "object", "required": ["new:field"]}'


def test_what_has_changed_since_it_was_locked_is_used_once_it_was_accepted(
    core: Path, tmp_path: Path
) -> None:
    source = changed_source(core, tmp_path / "source", FILE, NEW)
    target = tmp_path / "target"
    item = {**any_item(), "stac_extensions": [FILE]}

    refused = schemas.sync(target, source=source)
    unchecked = schemas.check(item, target)
    report = schemas.sync(target, source=source, accept=True)
    (violation,) = schemas.check(item, target).violations
    again = schemas.sync(target, source=core)

    assert refused.problems[0].startswith(f"{FILE} has changed since it was locked")
    assert unchecked.not_checked == (FILE,)
    assert (report.accepted, report.written) == ((FILE,), (FILE,))
    assert violation.message == "new:field is a required property"
    assert FILE in again.kept
    (note,) = schemas.notes(target)
    assert note.startswith(f"{FILE} is used as it was accepted here, not as it was locked")
    assert hashlib.sha256(NEW).hexdigest() in note


def test_an_accepted_schema_that_changes_once_more_is_not_used(core: Path, tmp_path: Path) -> None:
    source = changed_source(core, tmp_path / "source", FILE, NEW)
    schemas.sync(tmp_path / "target", source=source, accept=True)
    (tmp_path / "target" / schemas.path_of(FILE)).write_bytes(b"{}")
    schemas.forget()

    assert schemas.validator(FILE, tmp_path / "target") is None
    assert "has changed since it was locked" in schemas.absence(FILE, tmp_path / "target")


def test_what_is_no_schema_is_not_accepted(core: Path, tmp_path: Path) -> None:
    source = changed_source(core, tmp_path / "source", FILE, b"<html>moved</html>")

    report = schemas.sync(tmp_path / "target", source=source, accept=True)

    assert report.accepted == ()
    assert report.problems == (f"{FILE}: refused, it is no JSON schema",)


def test_an_unreadable_record_of_what_was_accepted_says_the_way_out(
    core: Path, tmp_path: Path
) -> None:
    schemas.sync(tmp_path / "target", source=core)
    (tmp_path / "target" / schemas.ACCEPTED).write_text("[")
    schemas.forget()

    with pytest.raises(InputError, match="sync --accept"):
        schemas.check(any_item(), tmp_path / "target")


def test_file_that_is_not_locked_is_refused_with_its_digest(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "mine.json").write_text("{}")

    report = schemas.sync(target, source=source)

    (told,) = report.problems
    assert "mine.json" in told
    assert hashlib.sha256(b"{}").hexdigest() in told
    assert not target.exists()


def test_folder_to_sync_from_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder to read schemas from"):
        schemas.sync(tmp_path, source=tmp_path / "nowhere")


def test_store_that_cannot_be_written_is_refused_with_the_way_out(
    core: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match="DEDL_WORKBOOK_SCHEMAS"):
        schemas.sync(tmp_path / "file" / "store", source=core)


def test_network_gives_what_it_can_and_names_what_it_cannot(
    core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answer:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def __enter__(self) -> "Answer":
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self, size: int) -> bytes:
            return self.data[:size]

    asked = []

    def answer(request: urllib.request.Request, timeout: float) -> Answer:
        assert timeout <= 60
        asked.append(request.full_url)
        if "v1.1.0/item" in request.full_url:
            raise urllib.error.HTTPError(request.full_url, 404, "Not Found", Message(), None)
        if "geojson.org" in request.full_url:
            raise urllib.error.URLError("no route to host")
        path = core / schemas.path_of(request.full_url)
        return Answer(path.read_bytes() if path.exists() else b"<html>")

    monkeypatch.setattr(urllib.request, "urlopen", answer)

    report = schemas.sync(tmp_path, source="network")

    assert CORE in report.written
    # A host that doesn't answer is asked once; a schema that it hasn't got says nothing of others.
    assert "geojson.org: can't be reached: no route to host" in report.problems
    assert len([url for url in asked if "geojson.org" in url]) == 1
    locked = [url for url in schemas.lock() if "geojson.org" in url]
    assert [url for url in report.absent if "geojson.org" in url] == locked
    assert len([url for url in asked if "v1.1.0/item" in url]) > 1
    assert [told for told in report.problems if "v1.1.0/item" in told and "404" in told]
    assert [told for told in report.problems if "<html>" in told] == []


def test_packages_fail_with_a_reason_and_still_give_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sources,
        "_installers",
        lambda: [[sys.executable, "-c", "raise SystemExit('no registry here')"]],
    )

    report = schemas.sync(tmp_path, source="packages")

    assert report.problems == ("pystac==1.11.0: can't be fetched: no registry here",)
    assert CORE.replace("1.0.0", "1.1.0") in report.written
    assert CORE in report.absent


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_schemas_of_stac_1_0_come_from_the_registry_with_either_tool(
    tmp_path: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [
        command for command in sources._installers() if ("-m" in command) == (tool == "pip")
    ]
    if not commands or not shutil.which(commands[0][0]):
        pytest.skip(f"{tool} isn't installed")
    monkeypatch.setattr(sources, "_installers", lambda: commands)

    report = schemas.sync(tmp_path, source="packages")

    assert report.problems == ()
    assert CORE in report.written


def test_store_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEDL_WORKBOOK_SCHEMAS", str(tmp_path))
    assert schemas.default_store() == tmp_path

    monkeypatch.delenv("DEDL_WORKBOOK_SCHEMAS")
    assert schemas.default_store() == Path(sys.prefix) / "share" / "dedl-workbook" / "schemas"


def test_lock_holds_the_whole_core_and_stays_inside_the_store() -> None:
    for version in ("1.0.0", "1.1.0"):
        for kind in ("item", "collection", "catalog"):
            assert CORE.replace("1.0.0", version).replace("item", kind) in schemas.lock()
    odd = [
        url
        for url, digest in schemas.lock().items()
        if not url.startswith("https://") or ".." in url or len(digest) != 64
    ]
    assert odd == []


@needs_extensions
def test_lock_agrees_with_the_published_schemas(tmp_path: Path) -> None:
    report = schemas.sync(tmp_path, source=SHARED / "stac-schemas")

    # What can't be compiled is not locked; what refuses its own documents is, and is blamed.
    unusable = set(json.loads((SHARED / "stac-schemas.unusable.json").read_bytes()))
    refused = {problem.partition(": refused")[0] for problem in report.problems}
    assert refused == unusable - set(schemas.unusable())
    files = len(list((SHARED / "stac-schemas").rglob("*.json")))
    assert len(report.written) == files - len(refused)


@needs_extensions
def test_published_example_is_valid(store: Path) -> None:
    root = SHARED / "EO.XXX.YYY.ZZZ" / "metadata"
    paths = [root / "collection.json", *root.glob("items/*.json")]

    assert [schemas.check(json.loads(path.read_text()), store) for path in paths] == [
        Validity()
    ] * len(paths)


def test_our_sample_is_valid(core: Path, tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    from dedl_sandbox.sample.dataset import make_sample

    root = make_sample(tmp_path, scenes=1)
    paths = [root / "metadata" / "collection.json", *root.glob("metadata/items/*.json")]

    assert [verdicts(json.loads(path.read_text()), core) for path in paths] == [(True,) * 3] * 2


def test_importing_the_module_loads_no_validator() -> None:
    code = (
        "import sys, dedl_workbook.rules.schemas.store;"
        "assert not {'jsonschema_rs', 'jsonschema', 'stac_validator', 'pystac'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


@needs_extensions
def test_every_locked_schema_compiles_with_all_that_it_refers_to(tmp_path: Path) -> None:
    schemas.sync(tmp_path, source=SHARED / "stac-schemas")

    compiled = {url: schemas.validator(url, tmp_path) for url in schemas.lock()}

    in_reach = [url for url in compiled if (tmp_path / schemas.path_of(url)).exists()]
    assert len(in_reach) > 150
    assert [url for url in in_reach if compiled[url] is None] == []


@needs_extensions
def test_whatever_a_locked_schema_refers_to_is_locked_too() -> None:
    folder = SHARED / "stac-schemas"
    refers = {
        (url, other)
        for url in schemas.lock()
        for other in schemas._references(url, (folder / schemas.path_of(url)).read_bytes())
    }

    assert len(refers) > 50
    assert {(url, other) for url, other in refers if other not in schemas.lock()} == set()


def test_what_a_schema_refers_to_beside_itself_is_known_by_its_whole_address() -> None:
    url = "https://stac-extensions.github.io/render/v1.0.0/schema.json"
    text = b'{"$ref": "#/a", "allOf": [{"$ref": "schema-vrt.json#/b"}, {"$ref": "http://x.org/y"}]}'

    assert sorted(schemas._references(url, text)) == [
        "http://x.org/y",
        "https://stac-extensions.github.io/render/v1.0.0/schema-vrt.json",
    ]


@pytest.mark.parametrize("form", ["{}#", "http://{}", "http://{}#"])
def test_a_schema_is_the_same_with_a_hash_at_its_end_or_without_tls(core: Path, form: str) -> None:
    url = form.format(CORE.removeprefix("https://") if "http:" in form else CORE)

    assert schemas.validator(url, core) is schemas.validator(CORE, core)


def test_a_schema_that_cannot_be_compiled_is_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, data = "https://example.com/v1.0.0/schema.json", b'{"properties": {"a": "text"}}'
    file = tmp_path / schemas.path_of(url)
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    locked = {url: hashlib.sha256(data).hexdigest()}
    monkeypatch.setattr(schemas, "lock", lambda: locked)
    schemas.forget()

    assert schemas.validator(url, tmp_path) is None


@needs_extensions
def test_of_alternatives_the_one_of_the_documents_type_is_told(store: Path) -> None:
    cube = {"dimensions": ["x"], "type": "data", "unit": None}
    item = any_item()
    item["stac_extensions"] = ["https://stac-extensions.github.io/datacube/v2.0.0/schema.json"]
    axis = {"type": "spatial", "axis": "x", "extent": [0, 1]}
    item["properties"].update({"cube:dimensions": {"x": axis}, "cube:variables": {"t": cube}})

    (violation,) = schemas.check(item, store).violations

    assert violation.pointer == "/properties/cube:variables/t/unit"
    assert violation.message == 'null is not of type "string"'


@pytest.mark.parametrize("url", schemas.unusable())
def test_the_version_to_use_instead_of_a_faulty_one_is_a_locked_one(url: str) -> None:
    other = schemas.usable_instead(url)

    if "virtual-assets" in url:
        # There is but one.
        assert other == ""
    else:
        assert other in schemas.lock()
        assert other not in schemas.unusable()
        assert other.split("/")[3] == url.split("/")[3]
