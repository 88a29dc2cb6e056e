"""The crate: what the specifications of RO-Crate 1.1 and Process Run Crate 0.5 demand of it."""

import datetime as dt
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from dedl_workbook import evidence
from dedl_workbook.publication.job import Action, Plan

from tests.unit.conftest import worked_case


@pytest.fixture
def payload(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A case with a failed and a passed attempt, an approved plan, and an attempt under way."""
    monkeypatch.setenv("DEDL_OPERATOR", "Alice Example")
    case = worked_case(root)
    plan = Plan("notify", case.job, {"tells": "refused"}, {}, (Action("send", "a reply"),))
    planned = case._keep_plan([plan])
    monkeypatch.setenv("DEDL_OPERATOR", "bob")
    case.approve(planned["digest"])
    case.new_attempt("notify")
    return evidence.pack(case).path / "data"


@pytest.fixture
def graph(payload: Path) -> dict[str, dict[str, Any]]:
    document = json.loads((payload / "ro-crate-metadata.json").read_bytes())
    entities = document["@graph"]
    assert len({entity["@id"] for entity in entities}) == len(entities)
    return {entity["@id"]: entity for entity in entities}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if set(value) == {"@id"}:
            yield value["@id"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def test_describes_itself_and_the_profile_it_follows(graph: dict[str, dict[str, Any]]) -> None:
    about, root = graph["ro-crate-metadata.json"], graph["./"]

    assert about["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert about["about"] == {"@id": "./"}
    assert root["@type"] == "Dataset"
    assert root["conformsTo"] == {"@id": "https://w3id.org/ro/wfrun/process/0.5"}
    assert graph[root["conformsTo"]["@id"]]["@type"] == "CreativeWork"
    assert dt.datetime.fromisoformat(root["datePublished"]).tzinfo
    assert [name for name in ("name", "description", "license") if not root[name]] == []


def test_lists_every_file_of_the_payload_and_no_other(
    payload: Path, graph: dict[str, dict[str, Any]]
) -> None:
    there = {str(f.relative_to(payload)): f.stat().st_size for f in payload.rglob("*.*")}
    there = {name: size for name, size in there.items() if (payload / name).is_file()}
    del there["ro-crate-metadata.json"]

    parts = {unquote(part["@id"]) for part in graph["./"]["hasPart"]}
    files = {unquote(e["@id"]): e for e in graph.values() if e["@type"] == "File"}
    assert parts == set(files) == set(there)
    assert {name: int(e["contentSize"]) for name, e in files.items()} == there


def test_everything_that_is_referred_to_is_described_and_all_else_is_referred_to(
    graph: dict[str, dict[str, Any]],
) -> None:
    named = {name for entity in graph.values() for name in references(list(entity.values()))}

    assert named - graph.keys() == {"https://w3id.org/ro/crate/1.1"}
    assert graph.keys() - named == {"ro-crate-metadata.json"}


def test_each_attempt_is_an_action_with_instrument_agent_inputs_and_results(
    graph: dict[str, dict[str, Any]],
) -> None:
    actions = {name: e for name, e in graph.items() if e["@type"] == "CreateAction"}

    assert list(actions) == ["#001-validate", "#002-validate", "#003-plan", "#004-notify"]
    for action in actions.values():
        software = graph[action["instrument"]["@id"]]
        assert software["@type"] == "SoftwareApplication"
        assert software["softwareVersion"]
        assert graph[action["agent"]["@id"]]["@type"] == "Person"
        assert dt.datetime.fromisoformat(action["startTime"]).tzinfo
        inputs = [graph[x["@id"]] for x in action["object"]]
        assert "ticket.json" in [entity["@id"] for entity in inputs]
        values = {e["name"]: e["value"] for e in inputs if e["@type"] == "PropertyValue"}
        assert values["collection"] == "EO.XXX.DAT.YYY"
    results = [x["@id"] for x in actions["#001-validate"]["result"]]
    assert "attempts/001-validate/outcome.json" in results
    assert {x["@id"] for x in graph["./"]["mentions"]} == {*actions, "#approval-7"}


def test_a_failed_attempt_is_a_failed_action_with_its_error(
    graph: dict[str, dict[str, Any]],
) -> None:
    status = "http://schema.org/{}ActionStatus".format
    failed, passed = graph["#001-validate"], graph["#002-validate"]

    assert (failed["actionStatus"], failed["error"]) == (status("Failed"), "36 items")
    assert passed["actionStatus"] == status("Completed")
    assert "error" not in passed
    assert dt.datetime.fromisoformat(passed["endTime"]).tzinfo
    assert "actionStatus" not in graph["#004-notify"]


def test_an_approval_is_an_action_too_and_the_plan_is_what_came_in(
    graph: dict[str, dict[str, Any]],
) -> None:
    approval = graph["#approval-7"]

    assert graph[approval["agent"]["@id"]]["name"] == "bob"
    assert approval["object"] == {"@id": "attempts/003-plan/plan.json"}
    assert approval["object"] in graph["#004-notify"]["object"]
    assert approval["object"] not in graph["#002-validate"]["object"]


def test_uses_no_word_that_the_context_does_not_define(
    payload: Path, graph: dict[str, dict[str, Any]]
) -> None:
    text = resources.files("rocrate").joinpath("data/ro-crate.jsonld").read_text()
    known = json.loads(text)["@context"]

    used = {key for entity in graph.values() for key in entity if not key.startswith("@")}
    types = {entity["@type"] for entity in graph.values()}
    assert (used | types) - known.keys() == set()


def test_another_reader_of_crates_reads_it(payload: Path) -> None:
    from rocrate.rocrate import ROCrate

    crate = ROCrate(str(payload))

    done = {action.id: action.get("actionStatus") for action in crate.get_by_type("CreateAction")}
    assert len(done) == 4
    assert crate.dereference("#001-validate")["instrument"]["name"].startswith("DEDL")
    assert crate.dereference("attempts/001-validate/outcome.json").type == "File"
