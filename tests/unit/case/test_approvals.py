"""Approvals by another person, where the target wants that; who it was is always recorded."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from dedl_workbook.base.errors import GateError, InputError, NotApprovedError
from dedl_workbook.case import approvals
from dedl_workbook.case.case import Case
from dedl_workbook.evidence import index
from dedl_workbook.publication.job import Action, Plan

from tests.unit.conftest import make_case

Become = Callable[[str], None]


@pytest.fixture
def strict(root: Path) -> Path:
    """A workbook's folder whose target wants another person to approve."""
    file = root / "parameters" / "targets" / "site.yaml"
    values = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(values | {"approvals": {"by_another": True}}))
    return root


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> Become:
    def become(name: str) -> None:
        monkeypatch.setenv("JUPYTERHUB_USER", name)

    return become


def upload(case: Case) -> Plan:
    return Plan("upload", case.job, {"n": 1}, {}, (Action("upload", "files"),))


def plan(root: Path) -> str:
    case = make_case(root)
    return str(case._keep_plan([upload(case)])["digest"])


def test_nobody_approves_a_plan_of_his_own(strict: Path, as_user: Become) -> None:
    as_user("ann")
    digest = plan(strict)

    with pytest.raises(GateError, match="ann made this plan"):
        make_case(strict).approve(digest)

    as_user("bob")
    assert make_case(strict).approve(digest)["hub"] == "bob"


def test_another_name_for_the_same_account_is_no_other_person(
    strict: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = plan(strict)
    monkeypatch.setenv("DEDL_OPERATOR", "somebody else")

    with pytest.raises(GateError, match="made this plan"):
        make_case(strict).approve(digest)


def test_nobody_runs_what_he_approved(strict: Path, as_user: Become) -> None:
    as_user("ann")
    digest = plan(strict)
    as_user("bob")
    make_case(strict).approve(digest)
    case = make_case(strict)

    with pytest.raises(NotApprovedError, match="bob approved this plan"):
        case.gate_approval(upload(case))

    as_user("ann")
    case.gate_approval(upload(case))


def test_no_ticket_approves_anything_where_another_person_has_to(strict: Path) -> None:
    file = strict / "parameters" / "targets" / "site.yaml"
    file.write_text(file.read_text() + "allow_any_approval: true\n")

    with pytest.raises(InputError, match="'any' is not allowed"):
        make_case(strict, approve="any")


def test_a_plan_of_the_past_is_approved_by_nobody_anew(strict: Path, as_user: Become) -> None:
    as_user("ann")
    plan(strict)
    as_user("bob")

    with pytest.raises(InputError, match="no plan of this case"):
        make_case(strict).approve("f" * 64)


def test_a_wrong_digest_is_not_answered_with_the_right_one(root: Path) -> None:
    digest = plan(root)

    with pytest.raises(InputError) as refusal:
        make_case(root).approve("0" * 64)

    assert digest[:12] not in str(refusal.value)
    assert "dedl-workbook plan DEDL-1" in str(refusal.value)


def test_that_one_person_did_it_all_stands_in_the_evidence(root: Path, as_user: Become) -> None:
    as_user("ann")
    case = make_case(root)
    case.approve(plan(root))
    case.new_attempt("upload")

    page = index.page(case, case.ledger(), set())

    assert approvals.ONE_PERSON in page
    as_user("bob")
    case.new_attempt("catalog")
    assert approvals.one_person(case.ledger()) == ""


def test_the_account_and_the_claimed_name_are_both_recorded(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDL_OPERATOR", "Ann Example")
    monkeypatch.setenv("JUPYTERHUB_USER", "ann")
    case = make_case(root)
    case.new_attempt("validate")

    line = case.ledger()[-1]

    assert (line["operator"], line["hub"]) == ("Ann Example", "ann")
    assert line["login"]
    assert isinstance(line["uid"], int)
