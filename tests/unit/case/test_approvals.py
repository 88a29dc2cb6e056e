"""Approvals by another person, where the target wants that; who it was is always recorded."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from dedl_workbook import evidence
from dedl_workbook.base import signature
from dedl_workbook.base.errors import EvidenceError, GateError, InputError, NotApprovedError
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


# Signed


@dataclass(frozen=True)
class Signers:
    """A workbook whose target wants signatures, and the keys of those who may give them."""

    root: Path
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "allowed_signers"

    def key(self, name: str, *, allowed: str = "") -> Path:
        """Return a key of that name; `allowed`: the options of its line among the signers."""
        key = self.folder / name
        if not key.exists():
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)]
            subprocess.run(command, check=True)
            with self.file.open("a") as file:
                file.write(f"{name}@dedl {allowed} {key.with_suffix('.pub').read_text()}")
        return key

    def stranger(self) -> Path:
        key = self.folder / "stranger"
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
        subprocess.run(command, check=True)
        return key


@pytest.fixture
def signers(root: Path, tmp_path: Path) -> Signers:
    own = Signers(root, tmp_path / "keys")
    own.folder.mkdir()
    own.key("ann")
    own.key("bob")
    file = root / "parameters" / "targets" / "site.yaml"
    settings = {
        "signed": True,
        "allowed_signers": str(own.file),
        "revoked_keys": str(own.folder / "revoked"),
    }
    (own.folder / "revoked").touch()
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"approvals": settings}))
    return own


def allows(root: Path) -> bool:
    """Whether the plan would be carried out."""
    try:
        make_case(root).gate_approval(upload(make_case(root)))
    except NotApprovedError:
        return False
    return True


def test_an_approval_signed_by_one_of_two_who_may_counts(signers: Signers) -> None:
    for name in ("ann", "bob"):
        line = make_case(signers.root).approve(plan(signers.root), signers.key(name))

        assert line["signer"] == f"{name}@dedl"
        assert allows(signers.root)


def test_an_approval_that_is_not_signed_or_by_a_strange_key_is_refused(signers: Signers) -> None:
    digest = plan(signers.root)

    with pytest.raises(InputError, match="wants approvals signed"):
        make_case(signers.root).approve(digest)
    with pytest.raises(GateError, match="this signature doesn't count"):
        make_case(signers.root).approve(digest, signers.stranger())

    assert not allows(signers.root)
    assert [x["event"] for x in make_case(signers.root).ledger()] == ["started", "planned"]


@pytest.mark.parametrize("how", ["revoked", "removed", "expired"])
def test_a_key_that_counts_no_more_voids_what_was_not_done_yet(signers: Signers, how: str) -> None:
    make_case(signers.root).approve(plan(signers.root), signers.key("ann"))
    assert allows(signers.root)

    public = signers.key("ann").with_suffix(".pub").read_text()
    if how == "revoked":
        (signers.folder / "revoked").write_text(public)
    elif how == "removed":
        signers.file.write_text(signers.file.read_text().replace(public.strip(), ""))
    else:
        signers.file.write_text(f'ann@dedl valid-before="20200101" {public}')

    assert not allows(signers.root)


def test_a_signature_of_an_old_plan_or_of_another_place_is_not_one_of_this(
    signers: Signers,
) -> None:
    case = make_case(signers.root)
    digest = plan(signers.root)
    signed = case.approve(digest, signers.key("ann"))
    stolen = {key: signed[key] for key in ("signature", "key", "signer")}
    case.refuse(digest, "not after all")
    assert not allows(signers.root)

    # Whoever can write into the ledger replays it: the chain is whole.
    case.record("approved", digest=digest, **stolen)
    assert not allows(signers.root)
    other = case._keep_plan([Plan("upload", case.job, {"n": 2}, {}, (Action("upload", "f"),))])
    case.record("approved", digest=other["digest"], **stolen)
    assert not allows(signers.root)


def test_an_approval_in_the_tickets_file_has_no_signature(signers: Signers) -> None:
    digest = plan(signers.root)
    case = make_case(signers.root, approve=digest)
    case.record_approval_of_ticket()

    with pytest.raises(NotApprovedError, match="not signed"):
        case.gate_approval(upload(case))
    with pytest.raises(InputError, match="'any' is not allowed"):
        make_case(signers.root, approve="any")


def test_the_evidence_shows_years_later_who_signed_and_that_nobody_else_did(
    signers: Signers,
) -> None:
    case = make_case(signers.root)
    case.approve(plan(signers.root), signers.key("ann"))
    bag = evidence.pack(case)

    assert evidence.verify(bag.path, approvers=signers.file).state
    public = signers.key("ann").with_suffix(".pub").read_text()
    signers.file.write_text(f'ann@dedl valid-before="20990101" {public}')
    assert evidence.verify(bag.path, approvers=signers.file).state
    signers.file.write_text(f"bob@dedl {signers.key('bob').with_suffix('.pub').read_text()}")
    with pytest.raises(EvidenceError, match="the approval is signed with the key"):
        evidence.verify(bag.path, approvers=signers.file)


def test_a_bag_whose_approval_was_signed_for_something_else_is_not_what_was_packed(
    signers: Signers,
) -> None:
    case = make_case(signers.root)
    digest = plan(signers.root)
    key = signers.key("ann")
    forged = signature.sign(digest.encode(), key, approvals.NAMESPACE).decode()
    case.record(
        "approved", digest=digest, signature=forged, key=signature.fingerprint(key), signer="ann"
    )

    with pytest.raises(EvidenceError, match="the approval is badly signed"):
        evidence.verify(evidence.pack(case).path)


def test_without_a_demand_for_it_an_approval_may_be_signed_and_an_unsigned_one_is_told(
    root: Path, tmp_path: Path
) -> None:
    keys = Signers(root, tmp_path)
    digest = plan(root)
    case = make_case(root)
    case.approve(digest)
    bag = evidence.pack(case)

    assert evidence.verify(bag.path).state
    keys.key("ann")
    with pytest.raises(EvidenceError, match="the approval is not signed"):
        evidence.verify(bag.path, approvers=keys.file)
    case.approve(digest, keys.key("ann"))
    assert "signature" in case.ledger()[-1]
