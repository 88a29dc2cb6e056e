"""Whatever is delivered, there is a report, and no rule gives up."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.base.errors import InputError
from dedl_workbook.dataset.dataset import open_dataset
from dedl_workbook.rules.fix import fix
from dedl_workbook.rules.rule import Given
from dedl_workbook.rules.rulebook import RULES
from dedl_workbook.rules.validation import validate
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.unit.builders import any_asset, any_collection, any_dataset, any_item, png, tiff, write
from tests.unit.rules.examples import bad, report
from tests.unit.rules.test_validation import JSON, paths_of

ITEMS = 50
"""Items of one dataset."""
EDGES: list[Any] = [
    *("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00Z"),
    *("0001-01-01T00:00:00+14:00", "0000-01-01T00:00:00Z", "2016-12-31T23:59:60Z"),
    *("2024-02-30T00:00:00Z", "2024-11-16 12:00:00z", "2024-11-16", "now", ".."),
    *(1e308, -1e308, 5e-324, 2**64, -(2**63), 10**308, 0, -0.0, 180.0000001, 360, 90.125),
    *("../../data/x.tif", "data\\x.tif", "data/e\u0301.tif", "data/%2e%2e/x", "data/", "/data/x"),
    *("data/#", "s3://", "http://[", "https://x:99999/", "file:///data/x", "data/x.tif?y=1"),
    *([180, -90, -180, 90], [0, 0, 0, 0], [-180, -90, 0, 180, 90, 0], [1e308, 0, -1e308, 0]),
    *([], {}, [[]], [[[]]], [[[[]]]], [None, None], [None], "", " ", "\u202e", "\ufeff", "a\nb"),
    {"type": "Polygon", "coordinates": [[[170, 0], [-170, 0], [-170, 9], [170, 9], [170, 0]]]},
    {"type": "Polygon", "coordinates": [[[1e308, 0], [-1e308, 0], [0, 1e308], [1e308, 0]]]},
    {"type": "GeometryCollection", "geometries": [{"type": "GeometryCollection"}]},
    *({"type": "Point", "coordinates": [10**308, 1]}, {"type": "MultiPoint", "coordinates": []}),
    *("image/tiff", "image/tiff; profile=cloud-optimized", "application/x-netcdf", "text/csv"),
    *("https://stac-extensions.github.io/eo/v1.1.0/schema.json", "http://", "https://[/"),
    *("1220" + "0" * 64, "00", "d5" * 9, "LicenseRef-x", "((((MIT", "proprietary", "other"),
]
FIND = (Phase.explicit, Phase.reuse, Phase.generate)
"""Shrinking so large an example takes minutes, and the failure names the document anyway."""
VALUES = st.sampled_from(EDGES) | JSON


@st.composite
def broken(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """A document of which some places were replaced, doubled, renamed or taken out."""
    result = copy.deepcopy(document)
    places = paths_of(result)
    for *above, last in draw(st.lists(st.sampled_from(places), min_size=1, max_size=4)):
        target: Any = result
        try:
            for key in above:
                target = target[key]
            value = target[last]
        except (KeyError, IndexError, TypeError):
            continue
        if isinstance(target, str):
            continue
        way = draw(st.integers(0, 5))
        if way == 0:
            del target[last]
        elif way == 1 and isinstance(target, dict):
            target[draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=5))] = value
        elif way == 2 and isinstance(target, list):
            target.append(value)
        else:
            target[last] = draw(VALUES)
    return result


def whole_item(number: int) -> dict[str, Any]:
    times = {"start_datetime": "2024-11-16T00:00:00Z", "end_datetime": "2024-11-16T23:00:00Z"}
    item_id = f"heat_{number}"
    assets = {
        "map": any_asset(item_id, type="image/tiff", file__size=9, created="2024-11-16T00:00:00Z"),
        "b": any_asset(item_id, href="data/2024/11/16/b.tif", file__checksum="1220" + "0" * 64),
    }
    return any_item(item_id, properties={**times, "eo:cloud_cover": 3}, assets=assets)


DOCUMENTS = st.tuples(
    broken(any_collection(assets={"thumbnail": any_asset()})),
    st.lists(broken(whole_item(0)), min_size=ITEMS, max_size=ITEMS),
)


def judge(collection: dict[str, Any], items: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = any_dataset(Path(folder), collection=collection)
        for number, item in enumerate(items):
            write(root, f"metadata/items/heat_{number}.json", item)
        write(root, "data/2024/11/16/heat_0/heat_0.png", png())
        write(root, "data/2024/11/16/b.tif", tiff())
        dataset = open_dataset(str(root))
        whole = validate(dataset, second_opinion="none")
        outcomes = [whole]
        if len(json.dumps(items)) % 4 == 0:
            fixed = fix(dataset, Path(folder) / "fixed", second_opinion="none")
            outcomes.append(fixed.remaining)

    for outcome in outcomes:
        assert [f for f in outcome.findings if "could not be judged" in f.message] == []
        assert [note for note in outcome.notes if "left as it is" in note] == []
        json.dumps(outcome.as_json())
        assert outcome.as_csv()


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), phases=FIND)
@given(DOCUMENTS)
def test_no_document_takes_the_report_with_it(
    documents: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    judge(*documents)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), phases=FIND)
@given(DOCUMENTS)
def test_no_document_of_twenty_thousand_takes_the_report_with_it(
    documents: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    judge(*documents)


@pytest.mark.parametrize("scope", ["collection", "item", "file", "across"])
@bad("I05")
def test_a_rule_that_raises_is_a_finding_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Any
) -> None:
    def raises(*_: object) -> Iterator[Any]:
        raise ZeroDivisionError("by 0")
        yield

    item = any_item(properties={"datetime": "2024-13-01T00:00:00Z"})
    root = any_dataset(tmp_path, item)
    monkeypatch.setitem(RULES["L08"].parts, scope, raises)

    findings = report(root).findings

    (finding, *_) = [f for f in findings if f.rule == "L08"]
    assert finding.severity == "error"
    assert finding.message.startswith("could not be judged: ZeroDivisionError at test_fuzz.py:")
    assert [f.message for f in findings if f.rule == "I05"]


@pytest.mark.parametrize("scope", ["collection", "item"])
def test_an_error_that_a_person_has_to_know_of_still_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Any
) -> None:
    def raises(subject: object, given: Given) -> Iterator[Any]:
        raise InputError("the store is damaged")
        yield

    monkeypatch.setitem(RULES["L08"].parts, scope, raises)

    with pytest.raises(InputError, match="damaged"):
        report(any_dataset(tmp_path))
