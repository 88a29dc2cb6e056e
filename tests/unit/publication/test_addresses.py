"""Where published documents may lead: to their own objects, and to web pages at most."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from dedl_workbook.base.errors import InputError
from dedl_workbook.publication import addresses, metadata
from dedl_workbook.publication.addresses import Allowed, scheme_of
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.publication.test_metadata import POOL, TARGET, a_job, any_collection, any_item

BUCKET = TARGET.s3.bucket
PREFIX = POOL.removeprefix(f"s3://{BUCKET}/")
OWN = f"{POOL}data/a.tif"
LISTS = TARGET.model_copy(update={"remote_assets": "list"})
FOREIGN = [
    f"s3://{BUCKET}/EO.OTHER.DAT.SECRET/DEDL-9/data/a.tif",
    f"S3://{BUCKET}/{PREFIX}data/a.tif",
    f"s3://{BUCKET.upper()}/{PREFIX}data/a.tif",
    f"s3://{BUCKET}/{PREFIX}data/../../OTHER/a.tif",
    f"s3://{BUCKET}/{PREFIX}data//a.tif",
    f"s3://{BUCKET}@x/{PREFIX}data/a.tif",
    "s3://another-bucket/a.tif",
    "gs://bucket/a.tif",
    "abfs://container@account/a.tif",
    "ftp://x.example/a.tif",
    "file:///etc/passwd",
    "javascript:alert(1)",
    " \ts3://another-bucket/a.tif",
    "s\n3://another-bucket/a.tif",
    "//x.example/a.tif",
    "\\\\x.example\\a.tif",
    "data/a.tif",
    "../a.tif",
]
LIKE_THE_STORE = [
    f"https://{BUCKET}.anything/{PREFIX}data/a.tif",
    f"https://{BUCKET}/a.tif",
    f"HTTPS://USER:PASSWORD@{BUCKET.upper()}.Anything:8443/a.tif",
    f"https://%{ord(BUCKET[0]):02x}{BUCKET[1:]}.anything/a.tif",
    f"https://{BUCKET}.anything./a.tif",
    f"https://s3.anything/{BUCKET}/a.tif",
    f"https://s3.anything/%{ord(BUCKET[0]):02x}{BUCKET[1:]}/a.tif",
    f"{TARGET.s3.endpoint}/another-bucket/a.tif",
    "https://[broken/a.tif",
]


def _problems(document: dict[str, Any], *, lists: bool = False) -> list[str]:
    target = LISTS if lists else TARGET
    return list(Allowed(target, PREFIX).problems(document))


def _item(*hrefs: str, **changes: Any) -> dict[str, Any]:
    assets = {str(number): {"href": href} for number, href in enumerate(hrefs)}
    return {"type": "Feature", "geometry": None, "assets": assets, "links": []} | changes


def test_keys_of_the_ticket_and_reused_ones_are_its_own() -> None:
    earlier = "EO.X/DEDL-0/data/b.tif"
    allowed = Allowed(TARGET, PREFIX, {"data/b.tif": earlier}.get)

    assert list(allowed.problems(_item(OWN, f"s3://{BUCKET}/{earlier}"))) == []
    assert len(list(allowed.problems(_item(f"s3://{BUCKET}/EO.X/DEDL-0/data/c.tif")))) == 1


@pytest.mark.parametrize(
    ("path", "own"),
    [("2/data/b.tif", True), ("17/data/b.tif", True), ("x/data/b.tif", False), ("2/b.tif", False)],
)
def test_later_editions_of_the_ticket_are_its_own(path: str, own: bool) -> None:
    problems = list(Allowed(TARGET, PREFIX).problems(_item(f"s3://{BUCKET}/{PREFIX}{path}")))

    assert (not problems) is own


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("href", [*FOREIGN, *LIKE_THE_STORE])
def test_assets_that_lead_elsewhere_are_refused_whatever_the_target_allows(
    href: str, lists: bool
) -> None:
    assert len(_problems(_item(href), lists=lists)) == 1


@pytest.mark.parametrize("href", ["https://x.example/a.tif", "http://x.example:8080/data?a=b"])
def test_items_on_other_servers_alone_are_for_the_target_to_allow(href: str) -> None:
    assert _problems(_item(href), lists=True) == []
    assert len(_problems(_item(href))) == 1
    [mixed] = _problems(_item(href, OWN), lists=True)
    assert "HDA serves none" in mixed


@pytest.mark.parametrize("href", [one for one in FOREIGN if scheme_of(one)])
def test_what_is_only_shown_leads_to_web_pages_at_most(href: str) -> None:
    alternate = {"href": OWN, "alternate": {"s3": {"href": href}}}
    nested = {"href": OWN, "alternate": {"a": {"href": OWN, "alternate": {"b": {"href": href}}}}}
    for document in (
        _item(OWN, links=[{"rel": "via", "href": href}]),
        _item(assets={"a": alternate}),
        _item(assets={"a": nested}),
        {"type": "Collection", "assets": {"a": {"href": href}}},
    ):
        assert len(_problems(document)) == 1, document


def test_web_pages_and_relative_links_are_shown_as_they_are() -> None:
    links = [{"rel": "xyz", "href": "https://x.example/{z}/{x}/{y}.png"}, {"href": "./a.json"}]
    page = {"href": "https://x.example/a.png"}

    assert _problems(_item(OWN, links=links)) == []
    assert _problems({"type": "Collection", "assets": {"thumbnail": page}, "links": links}) == []


def test_nothing_that_leads_elsewhere_is_published_whatever_was_waived(tmp_path: Path) -> None:
    bad = f"s3://{BUCKET}/EO.OTHER.DAT.SECRET/DEDL-9/data/a.tif"
    documents = {
        "items/I1.json": any_item(bad),
        "collection.json": any_collection(assets={"a": {"href": bad}}),
    }
    job = a_job(tmp_path, documents)

    with pytest.raises(InputError, match="did not publish") as item:
        list(metadata.items(job))
    with pytest.raises(InputError, match="did not publish") as collection:
        metadata.collection(job)

    assert item.value.where == "metadata/items/I1.json"
    assert collection.value.where == "metadata/collection.json"


HREFS = st.one_of(
    st.sampled_from([*FOREIGN, *LIKE_THE_STORE, "data/a.tif", "data/b c.tif", "./data/a.tif"]),
    st.text(string.printable, max_size=30),
    st.builds(
        lambda scheme, host, path: f"{scheme}://{host}/{path}",
        st.sampled_from(["s3", "https", "HTTP", "gs", "S3", "abfs"]),
        st.sampled_from([BUCKET, f"{BUCKET}.x", "x.example", f"u:p@{BUCKET}.x:80", quote(BUCKET)]),
        st.sampled_from([f"{PREFIX}data/a.tif", "EO.OTHER/T-9/data/a.tif", f"{PREFIX}data/../x"]),
    ),
)


@given(hrefs=st.lists(HREFS, min_size=1, max_size=3), alternate=HREFS, link=HREFS)
def test_no_published_document_leads_outside_its_own_keys(
    tmp_path_factory: pytest.TempPathFactory, hrefs: list[str], alternate: str, link: str
) -> None:
    item = any_item(*hrefs, links=[{"rel": "via", "href": link}])
    first = next(iter(item["assets"].values()))
    first["alternate"] = {"other": {"href": alternate}}
    root = tmp_path_factory.mktemp("delivered")
    job = a_job(root, {"items/I1.json": json.dumps(item)}, ("data/a.tif", "data/b c.tif"))

    try:
        [(_, published)] = metadata.items(job)
    except InputError:
        return

    for asset in published["assets"].values():
        assert asset["href"].startswith(POOL)
        assert job.dataset.stat(asset["href"].removeprefix(POOL)) is not None
    for one in addresses.addresses(published):
        own = one.href.startswith(f"{POOL}data/")
        assert own or scheme_of(one.href) in ("", "http", "https")
