"""Collection: C01 to C13."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dedl_workbook.publication.metadata import slug
from dedl_workbook.rules import keywords
from dedl_workbook.rules.findings import Severity
from dedl_workbook.rules.placeholders import KNOWN, TEXTS, placeholder
from dedl_workbook.rules.rule import Given, Published
from dedl_workbook.rules.rulebook import RULES
from dedl_workbook.rules.stac import disagreement

from tests.unit.builders import GONE, ID, any_asset, any_collection, any_dataset, any_item, box
from tests.unit.rules.examples import any_ticket, bad, found, good, places, report

FILE = "metadata/collection.json"
PROJECT = Path(__file__).parents[3]


def of(tmp_path: Path, rule: str, **changes: Any) -> list[str]:
    """Return where a rule finds something in a dataset whose collection was changed."""
    return places(any_dataset(tmp_path, collection=any_collection(**changes)), rule)


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
@good(*(f"C{n:02}" for n in range(1, 13)))
def test_a_good_collection_has_no_findings(tmp_path: Path, version: str) -> None:
    root = any_dataset(
        tmp_path, any_item(stac_version=version), collection=any_collection(stac_version=version)
    )

    assert report(root).findings == ()


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"license": GONE}, ""),
        ({"type": "Feature"}, "/type"),
        ({"type": GONE}, "/type"),
        ({"stac_version": "one"}, "/stac_version"),
        ({"title": 7}, "/title"),
        ({"links": [{"rel": "license"}]}, "/links/0"),
        ({"extent": {"spatial": {"bbox": [[2, 49, 7, 52]]}}}, "/extent"),
        ({"stac_extensions": "none"}, "/stac_extensions"),
    ],
)
@bad("C01")
def test_a_collection_that_is_no_valid_stac_is_an_error(
    tmp_path: Path, changes: dict[str, Any], pointer: str
) -> None:
    assert of(tmp_path, "C01", **changes) == [f"error {FILE}#{pointer}"]


@bad("C01")
def test_a_schema_that_is_not_in_the_store_is_not_checked_which_is_a_warning(
    tmp_path: Path,
) -> None:
    extension = "https://example.org/none/v1.0.0/schema.json"

    assert of(tmp_path, "C01", stac_extensions=[extension]) == [f"warning {FILE}#/stac_extensions"]


@good("C01")
def test_agreeing_opinions_are_no_finding() -> None:
    assert disagreement(True, True, "") is None
    assert disagreement(False, False, "no") is None


@bad("C01", "I01")
def test_opinions_that_differ_are_a_finding() -> None:
    assert "invalid: no bbox" in str(disagreement(True, False, "no bbox"))
    assert "calls it valid" in str(disagreement(False, True, ""))


FIELDS = [
    *("id", "title", "description", "dedl:short_description", "license", "extent", "links"),
    *("keywords", "providers"),
]


@pytest.mark.parametrize("field", FIELDS)
@bad("C02")
def test_a_mandatory_field_that_is_missing_is_an_error(tmp_path: Path, field: str) -> None:
    assert of(tmp_path, "C02", **{field: GONE}) == [f"error {FILE}#"]


@pytest.mark.parametrize("value", [None, "", "  ", [], {}])
@pytest.mark.parametrize("field", ["title", "dedl:short_description", "keywords", "providers"])
@bad("C02")
def test_a_mandatory_field_that_is_empty_is_an_error(
    tmp_path: Path, field: str, value: object
) -> None:
    assert of(tmp_path, "C02", **{field: value}) == [f"error {FILE}#/{field}"]


@good("C02")
def test_links_may_be_empty_with_an_spdx_license(tmp_path: Path) -> None:
    assert of(tmp_path, "C02", links=[]) == []


@bad("C02")
def test_links_may_not_be_empty_with_a_license_that_needs_one(tmp_path: Path) -> None:
    assert of(tmp_path, "C02", links=[], license="proprietary") == [f"error {FILE}#/links"]


@good("C02")
def test_no_stac_extensions_are_fine(tmp_path: Path) -> None:
    assert of(tmp_path, "C02", stac_extensions=GONE) == []


@bad("C03")
def test_an_id_that_is_not_the_agreed_one_is_an_error(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)

    assert places(root, "C03", ticket=any_ticket(collection="EO.XXX.DAT.COLD")) == [
        f"error {FILE}#/id"
    ]


@good("C03")
def test_the_ticket_decides_not_the_folder(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, name="delivery")

    assert places(root, "C03", ticket=any_ticket()) == []


@bad("C03")
def test_without_a_ticket_an_id_that_is_not_the_folders_name_is_an_error(tmp_path: Path) -> None:
    assert of(tmp_path, "C03", id="EO.XXX.DAT.COLD") == [f"error {FILE}#/id"]


@pytest.mark.parametrize("name", ["heat", "EO.xxx.DAT", "EO..DAT", "EO XXX.DAT", "EO.DAT."])
@bad("C03")
def test_an_id_of_unusual_form_is_a_warning(tmp_path: Path, name: str) -> None:
    root = any_dataset(
        tmp_path, any_item(collection=name), collection=any_collection(id=name), name=name
    )

    assert places(root, "C03") == [f"warning {FILE}#/id"]


@pytest.mark.parametrize(
    "name", ["EO.ESA.DAT.SENTINEL-1.L1_GRD", "EO.XXX.YYY.ZZZ", "EO.EUM.DAT.0081"]
)
@good("C03")
def test_ids_like_those_of_hda_are_fine(tmp_path: Path, name: str) -> None:
    root = any_dataset(
        tmp_path, any_item(collection=name), collection=any_collection(id=name), name=name
    )

    assert places(root, "C03") == []


@bad("C04")
def test_an_unknown_keyword_is_a_warning_that_offers_the_nearest(tmp_path: Path) -> None:
    words = ["Climate", "Tempratur", "Land"]
    root = any_dataset(tmp_path, collection=any_collection(keywords=words))

    (finding,) = found(root, "C04")

    assert (finding.severity, finding.pointer) == ("warning", "/keywords/1")
    assert "temperature" in finding.fix.lower()


@pytest.mark.parametrize(
    "word", ["climate-change", "CLIMATE CHANGE", "Climate_Change", "user generated"]
)
@good("C04")
def test_keywords_are_compared_by_slug(tmp_path: Path, word: str) -> None:
    assert of(tmp_path, "C04", keywords=[word]) == []


@good("C04")
def test_the_snapshot_of_keywords_names_its_date_and_source_and_has_no_twins() -> None:
    written = yaml.safe_load((PROJECT / "parameters/keywords.yaml").read_text("utf-8"))

    assert re.fullmatch(r"\d{4}-\d\d-\d\d", written["date"])
    assert "EODAG" in written["source"]
    slugs = [slug(word) for word in written["keywords"]]
    assert len(slugs) == len(set(slugs)) > 1000
    assert slugs == sorted(slugs)


@bad("C05")
def test_a_missing_keyword_of_user_data_is_noted_as_what_we_add(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, collection=any_collection(keywords=["Land"]))

    (finding,) = found(root, "C05")

    assert (finding.severity, finding.pointer) == ("info", "/keywords")
    assert "we add it" in finding.message


@pytest.mark.parametrize("role", ["processor", "producer", "licensor"])
@bad("C06")
def test_a_role_that_no_provider_has_is_an_error(tmp_path: Path, role: str) -> None:
    roles = [one for one in ("processor", "producer", "licensor") if one != role]
    root = any_dataset(
        tmp_path, collection=any_collection(providers=[{"name": "A", "roles": roles}])
    )

    (finding,) = found(root, "C06")

    assert (finding.severity, finding.pointer) == ("error", "/providers")
    assert role in finding.message


@bad("C07")
def test_a_missing_host_is_noted_as_what_we_add(tmp_path: Path) -> None:
    roles = ["processor", "producer", "licensor"]
    root = any_dataset(
        tmp_path, collection=any_collection(providers=[{"name": "A", "roles": roles}])
    )

    assert places(root, "C07") == [f"info {FILE}#/providers"]


@bad("C07")
def test_another_host_is_an_error(tmp_path: Path) -> None:
    providers = [*any_collection()["providers"], {"name": "Cloud Ltd", "roles": ["host"]}]

    assert of(tmp_path, "C07", providers=providers) == [f"error {FILE}#/providers/3/roles"]


@pytest.mark.parametrize("name", ["DestinE Data Lake (DEDL)", "dedl"])
@good("C07")
def test_the_host_may_be_called_as_in_public_examples(tmp_path: Path, name: str) -> None:
    providers = [*any_collection()["providers"][:2], {"name": name, "roles": ["host"]}]

    assert of(tmp_path, "C07", providers=providers) == []


@pytest.mark.parametrize("text", ["CC-BY-4.0", "MIT", "cc0-1.0", "MIT OR Apache-2.0"])
@good("C08")
def test_an_spdx_license_needs_no_link(tmp_path: Path, text: str) -> None:
    assert of(tmp_path, "C08", license=text, links=[]) == []


NESTED = "MIT AND (" * 300 + "MIT" + ")" * 300


@pytest.mark.parametrize(
    "text", ["proprietary", "various", "other", "CC BY 4.0", "LicenseRef-x", NESTED, "(" * 5000]
)
@bad("C08")
def test_another_license_without_a_link_is_an_error(tmp_path: Path, text: str) -> None:
    assert of(tmp_path, "C08", license=text, links=[]) == [f"error {FILE}#/license"]


@good("C08")
def test_another_license_with_a_link_is_fine(tmp_path: Path) -> None:
    assert of(tmp_path, "C08", license="proprietary") == []


@pytest.mark.parametrize("name", [*KNOWN, *TEXTS, "YOUR_DATASET_NAME", "see DOI_URL there"])
@bad("C09")
def test_a_placeholder_of_the_template_is_an_error(tmp_path: Path, name: str) -> None:
    assert of(tmp_path, "C09", title=name) == [f"error {FILE}#/title"]


@bad("C09")
def test_a_placeholder_in_the_title_of_an_items_link_is_an_error(tmp_path: Path) -> None:
    link = {"rel": "collection", "href": "https://x.example", "title": "DATASET_TITLE"}
    root = any_dataset(tmp_path, any_item(links=[link]))

    assert places(root, "C09") == ["error metadata/items/heat_20241116.json#/links/0/title"]


@pytest.mark.parametrize(
    "text",
    [
        *("CORINE_LAND_COVER", "A title", "SENTINEL_2", "my DATASET_TITLES", "TITLE", "X_Y"),
        "IMAGE_COLLECTION",
    ],
)
@good("C09")
def test_real_texts_are_no_placeholders(text: str) -> None:
    assert placeholder(text) == ""


@bad("C09")
def test_a_text_of_template_words_that_may_be_meant_is_a_warning(tmp_path: Path) -> None:
    found = of(tmp_path, "C09", summaries={"x:kind": ["IMAGE_COLLECTION", "CORINE_LAND_COVER"]})

    assert found == [f"warning {FILE}#/summaries/x:kind/0"]


@good("C09")
def test_an_id_may_look_like_a_placeholder(tmp_path: Path) -> None:
    name = "EO.XXX.YYY.ZZZ"
    root = any_dataset(
        tmp_path,
        any_item("DATASET_TITLE", collection=name),
        collection=any_collection(id=name),
        name=name,
    )

    assert places(root, "C09") == []


@bad("C10")
def test_a_version_that_the_target_does_not_serve_is_an_error(tmp_path: Path) -> None:
    root = any_dataset(
        tmp_path,
        any_item(stac_version="0.9.0"),
        collection=any_collection(stac_version="1.0.0-rc.1"),
    )

    assert places(root, "C10") == [
        f"error {FILE}#/stac_version",
        "error metadata/items/heat_20241116.json#/stac_version",
    ]


@pytest.mark.parametrize(
    "href",
    [
        *("http://", "https:///path", "has a space", "https://x.example/100%", "", "https://[x"),
        *("a\tb", "javascript:alert(1)", "JavaScript:alert(1)"),
    ],
)
@bad("C11")
def test_a_malformed_href_of_a_link_is_an_error(tmp_path: Path, href: str) -> None:
    link = {"rel": "about", "href": href}
    root = any_dataset(
        tmp_path,
        any_item(links=[link, *any_item()["links"]]),
        collection=any_collection(links=[link]),
    )

    assert places(root, "C11") == [
        f"error {FILE}#/links/0/href",
        "error metadata/items/heat_20241116.json#/links/0/href",
    ]


def elsewhere(tmp_path: Path, href: str) -> Path:
    """A dataset of which an item has an asset with that href besides its own."""
    assets = {"map": any_asset(), "more": any_asset(href=href)}
    return any_dataset(tmp_path, any_item(assets=assets))


@pytest.mark.parametrize("href", ["http://", "https:///path", "HTTPS://x.example/a b", "s3://"])
@bad("C11")
def test_a_malformed_href_of_an_asset_elsewhere_is_an_error(tmp_path: Path, href: str) -> None:
    places_found = places(elsewhere(tmp_path, href), "C11")

    assert places_found == ["error metadata/items/heat_20241116.json#/assets/more/href"]


@pytest.mark.parametrize("href", ["s3://bucket/a key {1}%", "https://x.example/a%20b?c=d"])
@good("C11")
def test_a_well_formed_href_of_an_asset_elsewhere_is_fine(tmp_path: Path, href: str) -> None:
    assert places(elsewhere(tmp_path, href), "C11") == []


@pytest.mark.parametrize(
    "href",
    [
        *(
            "https://x.example",
            "https://x.example:8443/a?b=c#d",
            "./license.txt",
            "mailto:a@b.example",
        ),
        *("https://x.example/a%20b", "https://xn--mnchen-3ya.example/", "s3://bucket/key"),
        *("https://münchen.example/straße", "https://doi.org/10.1/2(3)4"),
    ],
)
@good("C11")
def test_well_formed_hrefs_are_fine(tmp_path: Path, href: str) -> None:
    assert of(tmp_path, "C11", links=[{"rel": "license", "href": href}]) == []


def extent(bbox: list[float], *interval: str | None) -> dict[str, Any]:
    return {"spatial": {"bbox": [bbox]}, "temporal": {"interval": [list(interval)]}}


OPEN = (None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"extent": extent([2, 49, 7, 52], *OPEN)},
        {"extent": extent([-180, -90, 180, 90], "2024-11-16T12:00:00Z", "2024-11-16T12:00:00Z")},
        {"extent": extent([2, 49, -100, 7, 52, 9000], "2024-11-16T00:00:00+02:00", None)},
        {"extent": extent([170, 40, 20, 60], *OPEN)},
        {"extent": extent([2.505, 49.5, 6.5, 51.5], *OPEN)},
    ],
)
@good("C12")
def test_an_extent_that_holds_every_item_is_fine(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert of(tmp_path, "C12", **changes) == []


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"extent": extent([3, 49, 7, 52], *OPEN)}, "/bbox"),
        ({"extent": extent([2, 49, 7, 51], *OPEN)}, "/bbox"),
        ({"extent": extent([170, 40, -170, 60], *OPEN)}, "/bbox"),
        ({"extent": extent([2, 49, 7, 52], "2024-11-16T12:00:10Z", None)}, "/properties"),
        ({"extent": extent([2, 49, 7, 52], None, "2024-11-16T11:00:00Z")}, "/properties"),
    ],
)
@bad("C12")
def test_an_item_outside_of_the_extent_is_an_error(
    tmp_path: Path, changes: dict[str, Any], pointer: str
) -> None:
    assert of(tmp_path, "C12", **changes) == [f"error metadata/items/heat_20241116.json#{pointer}"]


@good("C12")
def test_an_item_over_the_antimeridian_may_lie_in_an_extent_over_it(tmp_path: Path) -> None:
    item = any_item(
        geometry={
            "type": "MultiPolygon",
            "coordinates": [
                box(175, -5, 180, 5)["coordinates"],
                box(-180, -5, -175, 5)["coordinates"],
            ],
        },
        bbox=[175, -5, -175, 5],
    )
    root = any_dataset(
        tmp_path, item, collection=any_collection(extent=extent([170, -10, -170, 10], *OPEN))
    )

    assert report(root).findings == ()


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"),
    ],
)
@good("C12")
def test_an_extent_may_reach_to_the_ends_of_the_calendar(
    tmp_path: Path, start: str, end: str
) -> None:
    always = extent([2, 49, 7, 52], start, end)
    items = [any_item("a", properties={"datetime": at}) for at in (start, end)]
    for item in items:
        root = any_dataset(tmp_path, item, collection=any_collection(extent=always))

        assert places(root, "C12") == []


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
@bad("C12")
def test_an_item_at_the_end_of_the_calendar_lies_outside_of_a_year(tmp_path: Path, at: str) -> None:
    year = extent([2, 49, 7, 52], "2024-01-01T00:00:00Z", "2024-12-31T00:00:00Z")
    item = any_item(properties={"datetime": at})
    root = any_dataset(tmp_path, item, collection=any_collection(extent=year))

    assert places(root, "C12") == ["error metadata/items/heat_20241116.json#/properties"]


@pytest.mark.parametrize("written", ["2024-11-01 00:00:00Z", "2016-12-31T23:59:60Z"])
@bad("C12")
def test_a_time_of_the_extent_that_programs_may_refuse_is_a_warning(
    tmp_path: Path, written: str
) -> None:
    root = any_dataset(
        tmp_path, collection=any_collection(extent=extent([2, 49, 7, 52], written, None))
    )

    assert places(root, "C12") == [f"warning {FILE}#/extent/temporal/interval/0/0"]


@good("C12")
def test_rounding_may_carry_an_extent_over_the_edge(tmp_path: Path) -> None:
    world = extent([-180.0000001, -90, 180.0000001, 90], *OPEN)

    assert of(tmp_path, "C12", extent=world) == []


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        (extent([2, 49, 7, 52], "2024-11-01", None), "temporal/interval/0/0"),
        (extent([2, 49, 7, 52], "2024-13-01T00:00:00Z", None), "temporal/interval/0/0"),
        (
            extent([2, 49, 7, 52], "2024-12-01T00:00:00Z", "2024-11-01T00:00:00Z"),
            "temporal/interval/0",
        ),
        (extent([2, 49, 7, 91], *OPEN), "spatial/bbox/0"),
        (extent([2, 52, 7, 49], *OPEN), "spatial/bbox/0"),
    ],
)
@bad("C12")
def test_a_malformed_extent_is_an_error(
    tmp_path: Path, changes: dict[str, Any], pointer: str
) -> None:
    root = any_dataset(tmp_path, collection=any_collection(extent=changes))

    assert f"error {FILE}#/extent/{pointer}" in places(root, "C12")


def judged(published: Published | None, **ticket: Any) -> list[str]:
    given = Given(
        dataset=None,  # type: ignore[arg-type]
        collection=any_collection(),
        agreed=ID,
        ticket="DEDL-1",
        published=published,
        **ticket,
    )
    findings = RULES["C13"].parts["collection"](given.collection, given)
    return [f"{one.severity or 'error'} {one.message}" for one in findings]


@pytest.mark.parametrize(
    ("published", "replaces"),
    [
        (None, False),
        (Published(there=False), False),
        (Published(there=True, by="DEDL-1"), False),
        (Published(there=True, by="DEDL-0"), True),
    ],
)
@good("C13")
def test_an_id_that_is_free_ours_or_to_be_replaced_is_fine(
    published: Published | None, replaces: bool
) -> None:
    assert judged(published, replaces=replaces) == []


@bad("C13")
def test_an_id_that_another_ticket_published_is_an_error() -> None:
    (told,) = judged(Published(there=True, by="DEDL-0"))

    assert told == f"error a collection '{ID}' is published already by the ticket 'DEDL-0'"


@bad("C13")
def test_a_target_that_does_not_answer_is_a_warning() -> None:
    (told,) = judged(Published(there=False, problem="connection refused"))

    assert told.startswith("warning")
    assert "connection refused" in told


@good("C04")
def test_the_keywords_of_this_checkout_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert keywords.snapshot_file() == PROJECT / "parameters/keywords.yaml"


TEMPLATE: dict[str, Any] = {
    "id": "EO.XXX.YYY.ZZZ",
    "title": "DATASET_TITLE",
    "description": f"{TEXTS[0]} in the Overview section of hda catalogue and can be a paragraph.",
    "dedl:short_description": f"{TEXTS[1]} with title when discovering Collections.",
    "license": "proprietary",
    "links": [
        {"rel": "license", "href": "LICENCE_URL_LINK", "title": "LICENCE_NAME"},
        {"rel": "cite-as", "href": "DOI_URL", "title": "DOI_DATASET_TITLE"},
        {"rel": "describedby", "href": "OTHER_DATASET_URL", "title": "DATASET_TITLE"},
    ],
    "keywords": ["Land Cover Change", "Copernicus"],
    "providers": [
        {
            "name": "PROVIDER_NAME",
            "roles": ["producer", "processor", "licensor"],
            "url": "PROVIDER_URL",
        }
    ],
    "assets": {"thumbnail": {"href": "URL_TO_DATASET_IMAGE", "type": "image/png"}},
}


@bad("C09")
def test_the_unfilled_template_is_refused_for_its_placeholders_alone(tmp_path: Path) -> None:
    root = any_dataset(
        tmp_path,
        any_item(collection=TEMPLATE["id"]),
        collection=any_collection(**TEMPLATE),
        name=TEMPLATE["id"],
    )

    result = report(root)

    assert {(f.rule, str(f.severity)) for f in result.findings} == {
        *{("C09", "error"), ("C05", "info"), ("C07", "info")}
    }
    assert result.count(Severity.ERROR) == 12


@bad("C04")
def test_a_flood_of_unknown_keywords_is_reported_with_the_first_ones_likes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("dedl_workbook.rules.keywords.nearest", lambda w, _: asked.append(w) or [])
    words = [f"unheard of {n}" for n in range(300)]

    result = report(any_dataset(tmp_path, collection=any_collection(keywords=words)))

    assert sum(f.count for f in result.findings if f.rule == "C04") == 300
    assert asked == words[:100]


def license_link(href: str) -> dict[str, str]:
    return {"rel": "license", "href": href}


@bad("C08")
@pytest.mark.parametrize(
    ("license_id", "links", "severity"),
    [
        ("CC-BY-4.0", ["./LICENSE.txt"], "warning"),
        ("other", ["./LICENSE.txt"], "error"),
        ("other", ["LICENSE.txt", "https://heat.example/license"], "warning"),
    ],
)
def test_a_license_link_to_a_file_that_is_not_published_is_reported(
    tmp_path: Path, license_id: str, links: list[str], severity: str
) -> None:
    document = any_collection(license=license_id, links=[license_link(href) for href in links])
    root = any_dataset(tmp_path, collection=document)

    assert places(root, "C08") == [f"{severity} metadata/collection.json#/links/0/href"]


TILES = "https://tiles.heat.example/{z}/{x}/{y}.png"


@good("C11")
@pytest.mark.parametrize("link", [{"rel": "xyz"}, {"rel": "items", "templated": True}])
def test_a_templated_link_has_the_form_of_a_url(tmp_path: Path, link: dict[str, Any]) -> None:
    links = [license_link("https://heat.example/license"), {**link, "href": TILES}]
    item = any_item(links=[*any_item()["links"], {**link, "href": TILES}])
    root = any_dataset(tmp_path, item, collection=any_collection(links=links))

    assert places(root, "C11") == []


@bad("C11")
@pytest.mark.parametrize(
    "link",
    [
        {"rel": "about", "href": TILES},
        {"rel": "xyz", "href": "https://x.example/{z"},
        {"rel": "xyz", "href": "https://x.example/{z}/a b"},
    ],
)
def test_braces_that_are_no_template_are_an_error(tmp_path: Path, link: dict[str, Any]) -> None:
    root = any_dataset(tmp_path, any_item(links=[*any_item()["links"], link]))

    assert places(root, "C11") == ["error metadata/items/heat_20241116.json#/links/1/href"]


@bad("C12")
def test_the_extent_that_holds_all_items_is_proposed(tmp_path: Path) -> None:
    extent = {
        "spatial": {"bbox": [[3, 40, 6, 51]]},
        "temporal": {"interval": [["2024-11-16T13:00:00Z", "2025-01-01T00:00:00Z"]]},
    }
    items = [
        any_item("heat_a"),
        any_item("heat_b", bbox=[3, 30, 4, 50], geometry=box(3, 30, 4, 50)),
        any_item("heat_c", properties={"datetime": "2026-01-01T00:00:00Z"}),
    ]
    root = any_dataset(tmp_path, *items, collection=any_collection(extent=extent))

    assert {finding.fix for finding in found(root, "C12")} == {
        "Widen extent.spatial.bbox of the collection to [2.5, 30, 6.5, 51.5]; --fix writes it.",
        "Widen extent.temporal.interval of the collection to "
        '["2024-11-16T12:00:00Z", "2026-01-01T00:00:00Z"]; --fix writes it.',
    }
