"""Cases: attempts are never overwritten, gates hold, an approval is of that very plan."""

import datetime as dt
import fcntl
import json
import os
import re
from pathlib import Path

import pytest
from dedl_workbook.base.errors import EvidenceError, GateError, InputError, NotApprovedError
from dedl_workbook.case import case as cases
from dedl_workbook.case import provenance, supersession
from dedl_workbook.case.case import Case, terms
from dedl_workbook.evidence import index
from dedl_workbook.parameters.ticket import DEFAULTS, DEFAULTS_VERSION, Ticket
from dedl_workbook.publication.before import state_before
from dedl_workbook.publication.job import Action, Job, Outcome, Plan, Verdict
from dedl_workbook.publication.standing import standing
from dedl_workbook.steps import access, catalog, hda, notify, upload, withdraw
from dedl_workbook.steps.order import STEPS

from tests.unit.conftest import CANARIES, make_case


class FakeModule:
    """A step whose desired state and state before the test chooses; planning needs no server."""

    goal: dict[str, object] = {"objects": 3}
    found: dict[str, object] = {"objects": 0}

    def __init__(self, name: str) -> None:
        self.name = name

    def plan(self, job: Job) -> Plan:
        before = state_before(job.before.get(self.name), self.found, self.goal)
        actions = () if self.found == self.goal else (Action("upload", "files", 3),)
        return Plan(self.name, job, self.goal, before, actions)


@pytest.fixture(autouse=True)
def steps_without_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeModule, "goal", {"objects": 3})
    monkeypatch.setattr(FakeModule, "found", {"objects": 0})
    for module in (access, upload, catalog, hda, withdraw):
        monkeypatch.setattr(module, "plan", FakeModule(module.STEP).plan)
    monkeypatch.setattr(notify, "plan", lambda job, _: FakeModule("notify").plan(job))


def planned(case: Case) -> str:
    return str(case.plan()["digest"])


def _terms(case: Case) -> str:
    return terms(case.ticket, case.target)


def upload_of(case: Case) -> Plan:
    return FakeModule("upload").plan(case.job)


def test_numbers_attempts_and_overwrites_none(root: Path) -> None:
    case = make_case(root)

    names = [case.new_attempt("upload").name for _ in range(3)]

    assert names == ["001-upload", "002-upload", "003-upload"]
    assert [line["attempt"] for line in case.ledger() if line["event"] == "started"] == names


def test_a_folder_whose_attempt_was_never_recorded_is_no_attempt(root: Path) -> None:
    case = make_case(root)
    (case.folder / "attempts" / "001-upload").mkdir(parents=True)

    assert case.new_attempt("upload").name == "001-upload"

    assert [line["attempt"] for line in case.ledger()] == ["001-upload"]


def test_records_who_where_when_and_with_which_software(root: Path) -> None:
    case = make_case(root)
    case.new_attempt("upload")

    line = case.ledger()[0]

    missing = [key for key in ("at", "operator", "host", "ticket", "software") if not line[key]]
    assert missing == []
    assert line["software"]["packages"]["boto3"]


def test_writes_no_secret_of_the_target(root: Path) -> None:
    case = make_case(root)
    case.record("outcome", step="x", summary=f"password {CANARIES[2]} was refused")
    case.write(case.folder / "plan.json", {"detail": [CANARIES[0], {CANARIES[1]: 1}]})

    text = case.ledger_file.read_text() + (case.folder / "plan.json").read_text()

    assert [secret for secret in CANARIES if secret in text] == []


def test_a_plan_without_approval_may_not_be_applied(root: Path) -> None:
    case = make_case(root)
    planned(case)

    with pytest.raises(NotApprovedError, match="no plan is approved"):
        case.gate_approval(upload_of(case))


def test_an_approved_plan_may_be_applied_also_when_it_was_planned_again(root: Path) -> None:
    case = make_case(root)
    case.approve(planned(case)[:12])
    again = planned(make_case(root))

    make_case(root).gate_approval(upload_of(case))

    approved = [line["digest"] for line in case.ledger() if line["event"] == "approved"]
    assert approved == [again]


def test_resuming_after_a_crash_keeps_the_approval(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(root)
    case.approve(planned(case))
    monkeypatch.setattr(FakeModule, "found", {"objects": 3})
    resumed = make_case(root)

    resumed.gate_approval(upload_of(resumed))


@pytest.mark.parametrize("what", ["dataset", "ticket", "target", "rules", "goal", "state before"])
def test_an_approval_is_void_once_something_changed(
    root: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    case = make_case(root)
    case.approve(planned(case))
    changes: dict[str, object] = {}
    if what == "dataset":
        (root / "delivered" / "data" / "a.tif").write_bytes(b"other")
    elif what == "ticket":
        changes = {"access": "restricted", "roles": ["DEDL_UGD"]}
    elif what == "target":
        monkeypatch.setenv("DEDL_SITE__S3__BUCKET", "another-pool")
    elif what == "rules":
        monkeypatch.setenv("DEDL_SITE__RULES", '{"A01": "off"}')
    elif what == "goal":
        monkeypatch.setattr(FakeModule, "goal", {"objects": 4})
    else:
        monkeypatch.setattr(FakeModule, "found", {"objects": 1})
    later = make_case(root, **changes)

    with pytest.raises(NotApprovedError, match="changed since the approval"):
        later.gate_approval(upload_of(later))


def test_an_approval_of_an_earlier_plan_does_not_hold_for_a_later_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(root)
    old = planned(case)
    monkeypatch.setattr(FakeModule, "goal", {"objects": 4})
    case.approve(old)
    later = make_case(root)

    with pytest.raises(NotApprovedError, match="what upload would do"):
        later.gate_approval(upload_of(later))


def test_a_plan_that_was_refused_says_so_until_it_is_approved(root: Path) -> None:
    case = make_case(root)
    by = case.refuse(planned(case), "the wrong title")["operator"]

    assert case.plan()["refused"] == f"{by} refused this very plan: the wrong title"

    case.approve(planned(case))
    assert case.plan()["refused"] == ""


def test_the_page_of_a_pack_lists_every_plan_that_was_approved(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(root)
    first = planned(case)
    case.approve(first)
    monkeypatch.setattr(FakeModule, "goal", {"objects": 4})
    later = make_case(root)
    second = planned(later)
    later.approve(second)

    shown = index.page(later, later.ledger(), set())

    assert f"What was approved: {second}" in shown
    assert f"Plan {first[:12]}, approved before" in shown
    assert f"What was approved: {first}" in shown


def test_a_plan_can_be_read_as_a_page_before_it_is_approved(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"<script>alert(1)</script> {CANARIES[0]}"
    monkeypatch.setattr(FakeModule, "goal", {"title": text})

    digest = planned(make_case(root))

    page = (root / "archive" / "DEDL-1" / "attempts" / "001-plan" / "plan.html").read_text()
    assert digest in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert CANARIES[0] not in page


def test_the_ticket_itself_can_carry_the_approval(root: Path) -> None:
    digest = planned(make_case(root))
    case = make_case(root, approve=digest)

    case.gate_approval(upload_of(case))
    case.record_approval_of_ticket()
    case.record_approval_of_ticket()

    approved = [line for line in case.ledger() if line["event"] == "approved"]
    assert [line["digest"] for line in approved] == [digest]


def test_a_digest_in_the_ticket_that_is_no_plan_of_the_case_is_refused(root: Path) -> None:
    planned(make_case(root))
    case = make_case(root, approve="0" * 64)

    with pytest.raises(NotApprovedError, match="none of this case's plans"):
        case.gate_approval(upload_of_plain(case))


def upload_of_plain(case: Case) -> Plan:
    job = Job(case.ticket, case.target, case.folder, case.root)
    return FakeModule("upload").plan(job)


@pytest.mark.parametrize("given", ["", "0" * 64, "abc"])
def test_only_a_plan_of_this_case_can_be_approved(root: Path, given: str) -> None:
    case = make_case(root)
    planned(case)

    with pytest.raises(InputError, match="no plan of this case"):
        case.approve(given)


def test_approving_before_planning_says_to_plan(root: Path) -> None:
    with pytest.raises(InputError, match="dedl-workbook plan DEDL-1"):
        make_case(root).approve("0" * 64)


def test_any_approval_is_refused_where_the_target_does_not_allow_it(root: Path) -> None:
    with pytest.raises(InputError, match="'any' is not allowed on the target site"):
        make_case(root, approve="any")


@pytest.mark.parametrize(
    ("reference", "date", "said"),
    [
        ("", "2026-11-02", "decision is missing"),
        ("minutes 7", "", "decision is missing"),
        ("minutes 7", str(dt.date.today() + dt.timedelta(days=2)), "dated in the future"),
    ],
)
def test_nothing_is_approved_without_the_boards_decision(
    root: Path, reference: str, date: str, said: str
) -> None:
    case = make_case(root, board_reference=reference, board_date=date)
    digest = planned(case)

    with pytest.raises(GateError, match=said):
        case.approve(digest)


def test_a_step_starts_only_when_those_it_needs_passed_for_this_dataset(root: Path) -> None:
    case = make_case(root)
    step = STEPS["upload"]
    with pytest.raises(GateError, match="validate has not passed"):
        case.gate_needs(step)
    outcome = Outcome("validate", Verdict.PASSED, "")
    case.record_outcome(case.new_attempt("validate"), outcome, case.job.fingerprint)

    case.gate_needs(step)

    (root / "delivered" / "data" / "a.tif").write_bytes(b"other")
    with pytest.raises(GateError, match="for the dataset as it is"):
        make_case(root).gate_needs(step)


def test_a_validation_with_a_rule_off_does_not_count_once_it_is_on_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDL_SITE__RULES", '{"A01": "off"}')
    lenient, passed = make_case(root), Outcome("validate", Verdict.PASSED, "")
    lenient.record_outcome(lenient.new_attempt("validate"), passed, lenient.job.fingerprint)
    lenient.gate_needs(STEPS["upload"])

    monkeypatch.delenv("DEDL_SITE__RULES")

    with pytest.raises(GateError, match="validate has not passed"):
        make_case(root).gate_needs(STEPS["upload"])


def test_a_later_failure_takes_a_passed_outcome_back(root: Path) -> None:
    case = make_case(root)
    for verdict in (Verdict.PASSED, Verdict.FAILED):
        outcome = Outcome("validate", verdict, "")
        case.record_outcome(case.new_attempt("validate"), outcome, case.job.fingerprint)

    with pytest.raises(GateError):
        case.gate_needs(STEPS["upload"])


def test_the_case_plan_is_kept_with_all_that_it_covers(root: Path) -> None:
    plan = make_case(root).plan()

    kept = json.loads((root / "archive/DEDL-1/attempts/001-plan/plan.json").read_text())

    assert kept | {"page": plan["page"]} == plan
    assert sorted(kept["steps"]) == sorted(s.name for s in STEPS.values() if s.changes)


def test_an_approval_can_not_be_moved_to_another_plan_by_editing_its_file(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(root)
    case.approve(planned(case))
    monkeypatch.setattr(FakeModule, "goal", {"objects": 4})
    planned(make_case(root))
    attempts = root / "archive" / "DEDL-1" / "attempts"
    (attempts / "001-plan" / "plan.json").write_bytes(
        (attempts / "002-plan" / "plan.json").read_bytes()
    )
    later = make_case(root)

    with pytest.raises(EvidenceError, match="is not the plan"):
        later.gate_approval(upload_of_plain(later))


@pytest.mark.parametrize("part", ["goal", "before", "dataset", "target", "ticket"])
def test_no_part_of_an_approved_plan_can_be_edited(root: Path, part: str) -> None:
    case = make_case(root)
    case.approve(planned(case))
    file = root / "archive" / "DEDL-1" / "attempts" / "001-plan" / "plan.json"
    plan = json.loads(file.read_text())
    if part in ("goal", "before"):
        plan["steps"]["upload"][part] = {"objects": 5}
    else:
        plan[part] = "0" * 64
    file.write_text(json.dumps(plan))

    with pytest.raises(EvidenceError, match="is not the plan"):
        make_case(root).approved_plan()


def test_a_damaged_plan_is_named_and_a_new_one_can_be_made(root: Path) -> None:
    case = make_case(root)
    case.approve(planned(case))
    (root / "archive" / "DEDL-1" / "attempts" / "001-plan" / "plan.json").write_text("{")
    later = make_case(root)

    with pytest.raises(EvidenceError, match=r"001-plan/plan\.json"):
        later.approved_plan()
    later.approve(planned(later))

    later.gate_approval(upload_of(later))


def test_an_attempt_whose_process_died_is_recorded_as_cut_off(root: Path) -> None:
    case = make_case(root)
    case.new_attempt("upload")
    case.new_attempt("upload")
    case.new_attempt("upload")

    ended = [line for line in case.ledger() if line["event"] == "outcome"]

    assert [(line["attempt"], line["verdict"]) for line in ended] == [
        ("001-upload", "failed"),
        ("002-upload", "failed"),
    ]
    assert "Cut off" in ended[0]["summary"]


def test_where_nothing_was_ever_published_no_withdrawal_is_told(root: Path) -> None:
    case = make_case(root)
    nothing = Plan("withdraw", case.job, {}, {}, ())
    something = Plan("withdraw", case.job, {}, {}, (Action("delete", "objects", 1, 4),))

    with pytest.raises(GateError, match="nothing to withdraw"):
        case.gate_published(nothing)
    case.gate_published(something)
    case.new_attempt("upload")
    case.gate_published(nothing)


def test_a_withdrawal_takes_back_what_passed_before_it_but_not_the_validation(root: Path) -> None:
    case = make_case(root)
    for step in ("validate", "upload", "withdraw"):
        outcome = Outcome(step, Verdict.PASSED, "")
        case.record_outcome(case.new_attempt(step), outcome, case.job.fingerprint)

    found = {step: case.passed(step, case.job.fingerprint) for step in ("validate", "upload")}

    assert found == {"validate": True, "upload": False}
    assert case.standing().unpublished == "withdrawn"


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        ("validate passed", ""),
        ("validate failed", "refused"),
        ("validate failed, validate passed", ""),
        ("upload passed, withdraw failed", ""),
        ("upload passed, withdraw passed", "withdrawn"),
        ("withdraw passed, validate failed", "refused"),
        ("withdraw passed, validate failed, validate passed", "withdrawn"),
        ("withdraw passed, validate passed, upload failed", ""),
    ],
)
def test_what_the_user_is_told_follows_from_what_stands(outcomes: str, told: str) -> None:
    pairs = [tuple(pair.split()) for pair in outcomes.split(", ")]

    events = [{"event": "outcome", "step": step, "verdict": verdict} for step, verdict in pairs]
    assert standing(events).unpublished == told


def test_any_approval_is_no_digest_to_a_later_run_without_it(root: Path) -> None:
    case = make_case(root)
    planned(case)
    case.record("approved", digest="any")

    assert make_case(root).approved_plan() is None


def test_a_key_that_a_later_workbook_adds_voids_no_approval_and_no_passed_step(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _terms(make_case(root))
    parameters = make_case(root).ticket.parameters()

    monkeypatch.setattr(Ticket, "parameters", lambda self: parameters | {"new_key": "usual"})
    monkeypatch.setattr(cases, "DEFAULTS", {**DEFAULTS, "new_key": "usual"})

    assert _terms(make_case(root)) == before


def test_a_key_that_does_not_stand_at_its_default_is_part_of_the_terms(root: Path) -> None:
    assert _terms(make_case(root, mode="replace")) != _terms(make_case(root))


@pytest.mark.parametrize(
    ("older", "reason"),
    [
        ("0:abc", "a default of the ticket's keys changed"),
        ("abc", "the way in which the workbook digests a ticket (this once) changed"),
    ],
)
def test_an_approval_under_older_terms_is_void_and_says_why(
    root: Path, monkeypatch: pytest.MonkeyPatch, older: str, reason: str
) -> None:
    with monkeypatch.context() as then:
        then.setattr(cases, "terms", lambda *_: older)
        case = make_case(root)
        case.approve(planned(case))

    with pytest.raises(NotApprovedError, match=re.escape(reason)):
        make_case(root).gate_approval(upload_of(make_case(root)))


def test_whoever_changes_a_default_raises_the_version_of_the_defaults() -> None:
    known = {
        "board_reference": "",
        "board_date": "",
        "access": "public",
        "roles": [],
        "mode": "new",
        "waivers": [],
        "downloads": 50,
        "approve": "",
    }

    assert ({key: DEFAULTS[key] for key in known}, DEFAULTS_VERSION) == (known, 2)


def test_an_operator_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEDL_OPERATOR", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)

    assert provenance.who()["operator"] == "uid 4000000"


def publishes(case: Case, *steps: str) -> None:
    for step in steps:
        outcome = Outcome(step, Verdict.PASSED, "")
        case.record_outcome(case.new_attempt(step), outcome, "dataset")


def test_a_publication_that_is_replaced_says_by_whom_and_stands_again_after_its_withdrawal(
    root: Path,
) -> None:
    one, two = make_case(root), make_case(root, ticket="DEDL-2", mode="replace")
    publishes(one, "upload", "catalog", "hda", "verify")

    publishes(two, "upload")
    assert one.standing().live
    publishes(two, "catalog", "hda", "verify")
    assert one.standing().words == "superseded by DEDL-2"
    assert not one.standing().live
    assert two.standing().state == "published"

    publishes(two, "withdraw")
    assert [line["event"] for line in one.ledger()][-2:] == ["superseded", "restored"]
    assert one.standing().state == "published"


def test_a_publication_of_another_collection_is_not_superseded(root: Path) -> None:
    one = make_case(root, collection="EO.XXX.DAT.OTHER")
    publishes(one, "upload", "catalog", "hda", "verify")

    publishes(make_case(root, ticket="DEDL-2", mode="replace"), "upload", "catalog", "hda")

    assert one.standing().state == "published"


def test_a_case_in_use_is_told_at_the_next_step_that_it_was_replaced(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supersession, "PATIENCE", 0.0)
    one, two = make_case(root), make_case(root, ticket="DEDL-2", mode="replace")
    publishes(one, "upload", "catalog", "hda", "verify")
    one_lock = (one.folder / ".lock").open("a+")
    fcntl.flock(one_lock, fcntl.LOCK_EX)

    publishes(two, "upload", "catalog")
    assert one.standing().live
    assert "DEDL-1 was not told of DEDL-2 yet" in caplog.text
    one_lock.close()
    publishes(two, "hda")

    assert one.standing().superseded_by == "DEDL-2"
