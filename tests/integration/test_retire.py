"""What a ticket wrote and nothing refers to any more: named, and deleted by a plan of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.base.errors import ConflictError, GateError, ServiceError
from dedl_workbook.case.audit import Audit, audit
from dedl_workbook.case.case import Case
from dedl_workbook.cli.codes import DONE, FAILED, NOT_APPROVED
from dedl_workbook.cli.main import main
from dedl_workbook.publication.job import Verdict
from dedl_workbook.publication.metadata import items
from dedl_workbook.publication.standing import State
from dedl_workbook.services.catalog import references
from dedl_workbook.services.pool import ownership
from dedl_workbook.steps import retire, withdraw

from tests.conftest import COLLECTION, Workbook

START = f"{COLLECTION}/DEDL-1/"


def mend(lake: Workbook) -> str:
    """Mend one data file of the dataset; return its path."""
    [file] = lake.dataset.glob("data/2026/07/01/*/metadata.json")
    file.write_bytes(file.read_bytes() + b"\n")
    return str(file.relative_to(lake.dataset))


def events(case: Case) -> list[dict[str, Any]]:
    return case.ledger()


def approve_last_plan(case: Case) -> None:
    planned = [line for line in events(case) if line["event"] == "planned"][-1]
    assert planned["steps"] == ["retire"]
    assert main(["approve", case.ticket.ticket, planned["digest"]]) == DONE


def audited(lake: Workbook) -> Audit:
    return audit(COLLECTION, lake.root, target="lake")


def rows(result: Audit, what: str) -> list[str]:
    return [row.found for row in result.rows if row.what == what]


def drifted(result: Audit) -> list[str]:
    return [f"{row.part}: {row.what}" for row in result.rows if row.state == "drifted"]


def test_a_ticket_whose_data_were_mended_is_replaced_by_itself_and_what_it_left_is_retired(
    lake: Workbook, capsys: pytest.CaptureFixture[str]
) -> None:
    lake.publish()
    first = lake.objects()
    path = mend(lake)
    with pytest.raises(ConflictError, match=r"published 3 items(?s:.)*changed since") as told:
        lake.publish()
    assert "dedl-workbook withdraw DEDL-1" in told.value.remedy
    assert "mode: replace" in told.value.remedy

    case = lake.publish(mode="replace")
    assert lake.objects() == first | {f"{START}2/{path}": len((lake.dataset / path).read_bytes())}
    result = audited(lake)
    assert not [what for what in drifted(result) if not what.startswith(("HDA", "scopes"))]
    [named] = rows(result, "no longer needed")
    assert f"{START}{path}; they can go: dedl-workbook retire DEDL-1" in named
    withdrawal = withdraw.plan(job_of(lake, mode="replace"))
    assert withdrawal.detail["no_longer_needed"] == [START + path]

    name = lake.write_ticket(mode="replace")
    assert main(["retire", name]) == NOT_APPROVED
    assert START + path in capsys.readouterr().out
    assert f"{START}{path}" in lake.objects()
    approve_last_plan(case)
    assert "next: dedl-workbook retire DEDL-1" in capsys.readouterr().out
    state = case.standing().state
    assert main(["retire", name]) == DONE, capsys.readouterr().out
    assert lake.objects().keys() == {START + one for one in all_paths(lake) - {path}} | {
        f"{START}2/{path}"
    }
    assert case.standing().state is state
    outcomes = [line for line in events(case) if line["event"] == "outcome"]
    assert (outcomes[-1]["step"], outcomes[-1]["verdict"]) == ("retire", "passed")
    assert rows(audited(lake), "no longer needed") == []
    assert not [what for what in drifted(audited(lake)) if not what.startswith(("HDA", "scopes"))]
    assert main(["retire", name]) == DONE


def all_paths(lake: Workbook) -> set[str]:
    files = (path for path in (lake.dataset / "data").rglob("*") if path.is_file())
    return {str(path.relative_to(lake.dataset)) for path in files}


def test_a_ticket_whose_data_were_mended_is_withdrawn_and_published_again(lake: Workbook) -> None:
    lake.publish()
    mend(lake)
    with pytest.raises(ConflictError):
        lake.publish()
    case = lake.case(approve="any")
    plan = withdraw.plan(case.job)
    withdraw.apply(plan)
    outcome = withdraw.check(plan)
    assert outcome.verdict is Verdict.PASSED, outcome.summary
    case.record_outcome(case.new_attempt("withdraw"), outcome, "")
    assert lake.objects() == {}
    lake.publish()
    assert lake.objects().keys() == {START + path for path in all_paths(lake)}


@pytest.fixture
def replaced(lake: Workbook) -> Workbook:
    """A ticket's publication that another ticket replaced, with one file mended."""
    lake.publish()
    mend(lake)
    lake.publish(ticket="DEDL-2", mode="replace")
    return lake


def job_of(lake: Workbook, **changes: Any) -> Any:
    return lake.case(**{"approve": "any", **changes}).job


def left(lake: Workbook) -> list[str]:
    """Return what the first ticket's plan names."""
    return list(retire.plan(job_of(lake)).detail.get("objects", []))


def test_what_a_replaced_ticket_left_goes_and_what_the_other_uses_stays(
    replaced: Workbook,
) -> None:
    plan = retire.plan(job_of(replaced))
    before = replaced.objects()
    [gone] = plan.detail["objects"]
    assert "DEDL-2" in plan.detail["afterwards"]
    assert retire.apply(plan).done["deleted"] == 1
    assert retire.check(plan).verdict is Verdict.PASSED
    assert before.keys() - replaced.objects().keys() == {gone}
    again = retire.plan(job_of(replaced))
    assert (again.actions, again.before) == ((), {"objects": None})


@pytest.mark.parametrize("form", ["s3://{bucket}/{key}", "https://host/{bucket}/{key}?x=1"])
def test_an_object_that_an_item_of_another_collection_names_stays(
    replaced: Workbook, form: str
) -> None:
    [key] = left(replaced)
    href = form.format(bucket=replaced.bucket, key=key)
    add_item(replaced, {"alternate": {"x": {"href": href}}, "href": "https://elsewhere/x"})
    assert left(replaced) == []


def test_without_a_look_into_the_catalogue_needed_objects_would_go(
    replaced: Workbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: what keeps them is what the documents name."""
    [key] = left(replaced)
    add_item(replaced, {"href": f"s3://{replaced.bucket}/{key}"})
    monkeypatch.setattr(references, "named_keys", lambda *_: iter(()))
    assert left(replaced) == [key]


def add_item(lake: Workbook, asset: dict[str, Any]) -> None:
    """Put an item of another collection into the catalogue, as somebody could by hand."""
    [(_, item), *_] = items(job_of(lake))
    item |= {"id": "OTHER", "collection": "EO.OTHER", "assets": {"x": asset}}
    lake.own.execute(
        "select create_collection(%s::jsonb)",
        json.dumps({"id": "EO.OTHER", "type": "Collection", "stac_version": "1.0.0"}),
    )
    lake.own.execute("select create_item(%s::jsonb)", json.dumps(item))


def test_what_was_named_since_the_plan_stops_the_deletion(replaced: Workbook) -> None:
    plan = retire.plan(job_of(replaced))
    [key] = plan.detail["objects"]
    add_item(replaced, {"href": f"s3://{replaced.bucket}/{key}"})
    assert retire.apply(plan).done["deleted"] == 0
    assert key in replaced.objects()


def test_a_deletion_that_was_cut_off_is_finished_with_the_same_approval(
    lake: Workbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.publish()
    for file in lake.dataset.glob("data/2026/07/01/*/*"):
        file.write_bytes(file.read_bytes() + b"\n")
    lake.publish(mode="replace")
    case = lake.case(mode="replace")
    digest = case.plan_retirement()["digest"]
    case.approve(digest)
    plan = retire.plan(lake.case(mode="replace").job)
    before, delete = lake.objects(), ownership._delete

    def cut(pool: Any, paths: list[str]) -> int:
        delete(pool, paths[:2])
        raise ServiceError("the store is gone")

    with monkeypatch.context() as changed:
        changed.setattr(ownership, "_delete", cut)
        with pytest.raises(ServiceError, match="gone"):
            retire.apply(plan)
    assert len(before) - len(lake.objects()) == 2
    again = lake.case(mode="replace")
    resumed = retire.plan(again.job)
    assert resumed.digest == plan.digest
    again.gate_approval(resumed)
    retire.apply(resumed)
    done = retire.plan(lake.case(mode="replace").job)
    assert (done.actions, done.digest) == ((), plan.digest)
    assert retire.check(done).verdict is Verdict.PASSED


def test_a_foreign_object_and_the_evidence_under_the_prefix_stay(replaced: Workbook) -> None:
    for path in ("data/by-hand", "evidence-x.zip"):
        replaced.own.client.put_object(
            Bucket=replaced.bucket, Key=START + path, Body=b"not the ticket's"
        )
    plan = retire.plan(job_of(replaced))
    assert len(plan.detail["objects"]) == 1
    retire.apply(plan)
    assert {f"{START}data/by-hand", f"{START}evidence-x.zip"} <= replaced.objects().keys()


@pytest.mark.parametrize("last", ["validate", "upload"])
def test_nothing_is_retired_while_what_was_uploaded_waits_for_the_catalogue(
    lake: Workbook, last: str
) -> None:
    lake.publish(last)
    with pytest.raises(GateError, match="may still be needed"):
        retire.plan(job_of(lake))


def test_without_the_other_tickets_case_nobody_knows_what_it_uses(replaced: Workbook) -> None:
    path: Path = replaced.archive / "DEDL-2"
    path.rename(replaced.archive / "moved")
    with pytest.raises(ConflictError, match="DEDL-2 uses objects(?s:.)*Bring the case"):
        retire.plan(job_of(replaced))


def test_an_approval_to_retire_leaves_the_case_plan_approved(lake: Workbook) -> None:
    lake.publish()
    case = lake.case()
    plan = case.plan()
    case.approve(plan["digest"])
    mend(lake)
    retirement = case.plan_retirement()["digest"]
    case.approve(retirement)
    approved = case.approved_plan()
    assert approved is not None
    assert approved["digest"] == plan["digest"]
    beside = case.approved_plan("retire")
    assert beside is not None
    assert beside["digest"] == retirement


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("choice", ["replace", "withdraw"])
def test_a_ticket_that_failed_its_verification_and_was_mended_is_finished_either_way(
    lake: Workbook, capsys: pytest.CaptureFixture[str], choice: str
) -> None:
    lake.publish("hda")
    [_, key] = [key for key in lake.objects() if key.endswith(".tif")][:2]
    lake.own.client.delete_object(Bucket=lake.bucket, Key=key)
    name = lake.write_ticket(approve="any")
    assert main(["run", name, "--step", "verify"]) == FAILED

    mend(lake)
    capsys.readouterr()
    assert main(["run", name]) != DONE
    said = capsys.readouterr()
    assert "this ticket published 3 items" in said.out + said.err

    if choice == "replace":
        name = lake.write_ticket(approve="any", mode="replace")
    else:
        assert main(["withdraw", name]) == DONE
    assert main(["run", name]) == DONE, capsys.readouterr().out
    now = lake.case(approve="any", mode="replace" if choice == "replace" else "new").standing()
    assert (now.state, now.missing) == (State.PUBLISHED, ())
    assert not [what for what in drifted(audited(lake)) if not what.startswith(("HDA", "scopes"))]
