"""The access step on the real OpenID Connect server: asked once, waited for, seen in a token."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dedl_sandbox as sandbox
import pytest
import yaml
from dedl_sandbox import oidc
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.case.case import Case
from dedl_workbook.notebooks.attempt import Attempt
from dedl_workbook.parameters.helpdesk import HelpDesk, settings_of
from dedl_workbook.parameters.target import Iam
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Job, Outcome, Verdict
from dedl_workbook.services.helpdesk import open_desk
from dedl_workbook.services.iam import fresh_token, request
from dedl_workbook.steps import access
from dedl_workbook.steps.order import ACCESS
from pydantic import SecretStr

jwt = pytest.importorskip("jwt")
rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")


@dataclass(frozen=True)
class Desk:
    """A workbook's folder whose target has the sandbox's IAM service, and a role of its own."""

    root: Path
    sandbox: sandbox.Sandbox
    role: str

    def case(self, **changes: Any) -> Case:
        values = {
            "ticket": "DEDL-1",
            "dataset": "delivered",
            "collection": "EO.XXX.DAT.YYY",
            "target": "site",
            "board_reference": "minutes 7",
            "board_date": "2026-11-02",
            "access": "restricted",
            "roles": [self.role],
        }
        return Case.of(Ticket.of(values | changes, "the test"), self.root)

    def job(self, iam: dict[str, Any] | None = None, **changes: Any) -> Job:
        job = self.case(**changes).job
        settings = job.target.iam
        assert settings
        target = job.target.model_copy(update={"iam": settings.model_copy(update=iam or {})})
        return replace(job, target=target)

    def helpdesk(self, kind: str, **changes: Any) -> HelpDesk:
        """Return the settings of a help desk of the sandbox."""
        prefix = "DEDL_SANDBOX__HELPDESK__"
        values = {
            key.removeprefix(prefix).lower(): value
            for key, value in self.sandbox.connections.items()
            if key.startswith(prefix) and kind != "outbox"
        }
        return settings_of(kind).model_validate(values | {"kind": kind} | changes)

    def grant(self, *roles: str) -> None:
        for role in roles or (self.role,):
            sandbox.grant(self.sandbox.folder, oidc.USER, role)

    def revoke(self) -> None:
        sandbox.revoke(self.sandbox.folder, oidc.USER, self.role)

    def requests(self) -> list[Path]:
        return sorted((self.root / "archive" / "DEDL-1" / "outbox").glob("*"))

    def signed(self, *, key: Any = None, **changes: Any) -> str:
        """Return a token signed with the realm's own key, unless another is given."""
        state = json.loads((self.sandbox.folder / "iam" / "realms.json").read_bytes())
        jwk = state["dedl"]["key"]
        now = int(time.time())
        claims = {
            "iss": f"{self.sandbox.endpoints['iam']}/realms/dedl",
            "aud": "hda-public",
            "sub": "1",
            "iat": now,
            "exp": now + 300,
            "realm_access": {"roles": [self.role]},
        }
        key = key or jwt.algorithms.RSAAlgorithm.from_jwk(jwk)
        return str(jwt.encode(claims | changes, key, "RS256", headers={"kid": jwk["kid"]}))

    def given(self, token: str) -> Job:
        """Return a job whose token comes from the environment."""
        return self.job({"identity": "environment", "token": SecretStr(token)})


@pytest.fixture
def desk(data_lake: sandbox.Sandbox, tmp_path: Path) -> Desk:
    root = tmp_path / "workbook"
    (root / "parameters" / "targets").mkdir(parents=True)
    (root / "delivered" / "data").mkdir(parents=True)
    (root / "delivered" / "data" / "a.tif").write_bytes(b"data")
    values = {"s3": {}, "catalog": {}, "stac_api": {}, "iam": {}, "archive": "archive"}
    values["allow_any_approval"] = True
    (root / "parameters" / "targets" / "site.yaml").write_text(yaml.safe_dump(values))
    lines = [
        f"{key.replace('SANDBOX', 'SITE')}='{value}'\n"
        for key, value in data_lake.connections.items()
    ]
    (root / ".env").write_text("".join(lines))
    return Desk(root, data_lake, f"DEDL_{uuid.uuid4().hex[:8].upper()}")


def judge(job: Job) -> Outcome:
    return access.check(access.plan(job))


def test_has_nothing_to_do_for_a_public_ticket_in_one_line(desk: Desk) -> None:
    job = desk.job(access="public", roles=[])

    plan = access.plan(job)
    outcome = access.check(plan)

    assert plan.actions == ()
    assert (outcome.verdict, outcome.summary) == (Verdict.PASSED, access.PUBLIC)
    assert desk.requests() == []


def test_a_public_ticket_needs_no_iam_service(desk: Desk) -> None:
    job = desk.job(access="public", roles=[])
    job = replace(job, target=job.target.model_copy(update={"iam": None}))

    assert judge(job).verdict is Verdict.PASSED


def test_a_restricted_ticket_needs_an_iam_service(desk: Desk) -> None:
    job = desk.job()
    job = replace(job, target=job.target.model_copy(update={"iam": None}))

    with pytest.raises(InputError, match="the target knows no IAM service"):
        access.plan(job)


def test_plans_one_request_and_changes_nothing(desk: Desk) -> None:
    plan = access.plan(desk.job(roles=[desk.role, "DEDL_SECOND"]))

    [action] = plan.actions
    assert (action.verb, action.count) == ("request", 2)
    assert desk.role in action.subject
    assert desk.role in plan.detail["text"]
    assert desk.requests() == []


def test_waits_until_the_role_is_granted_and_then_passes(desk: Desk) -> None:
    job = desk.job()
    plan = access.plan(job)
    receipt = access.apply(plan)

    waiting = access.check(plan)
    desk.grant()
    passed = access.check(plan)

    assert waiting.verdict is Verdict.WAITING
    assert desk.role in waiting.summary
    assert waiting.waiting_for == f"the IAM service: role {desk.role}"
    assert waiting.since == receipt.done["at"]
    assert passed.verdict is Verdict.PASSED
    assert [check.passed for check in passed.checks] == [True, True]


def test_waits_for_each_role_that_is_missing(desk: Desk) -> None:
    other = f"{desk.role}_B"
    desk.grant()

    outcome = judge(desk.job(roles=[desk.role, other]))
    desk.grant(other)

    assert outcome.verdict is Verdict.WAITING
    assert outcome.waiting_for == f"the IAM service: role {other}"
    assert judge(desk.job(roles=[desk.role, other])).verdict is Verdict.PASSED


def test_a_role_that_only_begins_or_ends_alike_does_not_count(desk: Desk) -> None:
    desk.grant(f"{desk.role}_B", f"A_{desk.role}", desk.role.lower())

    assert judge(desk.job()).verdict is Verdict.WAITING


def test_a_revoked_role_no_longer_counts(desk: Desk) -> None:
    desk.grant()
    assert judge(desk.job()).verdict is Verdict.PASSED
    desk.revoke()

    assert judge(desk.job()).verdict is Verdict.WAITING


def test_the_request_says_what_for_whom_why_and_by_when(desk: Desk) -> None:
    job = desk.job({"contact": "operations@example.int", "answer_days": 3})

    access.apply(access.plan(job))

    [file] = desk.requests()
    assert file.name == "001-iam-request.txt"
    text = file.read_text()
    sent = json.loads((job.folder / request.RECORD).read_bytes())
    for said in (
        *(f"- {desk.role}", "DEDL-1", "EO.XXX.DAT.YYY", oidc.USER, "minutes 7, 2026-11-02"),
        *("operations@example.int", f"Date: {sent['at'][:10]}", f"Reference: {sent['reference']}"),
    ):
        assert said in text
    assert "$" not in text


def test_what_a_ticket_says_stays_in_its_line_of_the_request(desk: Desk) -> None:
    job = desk.job(board_reference="minutes 7\nReference: forged\n$ticket")

    access.apply(access.plan(job))

    [file] = desk.requests()
    lines = [line for line in file.read_text().splitlines() if line.startswith("Reference: ")]
    assert lines == [f"Reference: {request.reference(job, _iam(job))}"]
    assert "minutes 7 Reference: forged $ticket, 2026-11-02." in file.read_text()


def test_the_request_is_sent_once_however_often_it_is_applied(desk: Desk) -> None:
    plan = access.plan(desk.job())

    first, second = access.apply(plan), access.apply(plan)
    later = access.plan(desk.job())

    assert first.done == second.done
    assert later.actions == ()
    assert later.digest == plan.digest
    assert len(desk.requests()) == 1


def test_the_request_is_not_written_again_when_it_was_taken_out_of_the_outbox(desk: Desk) -> None:
    plan = access.plan(desk.job())
    access.apply(plan)
    [file] = desk.requests()
    file.unlink()

    access.apply(plan)

    assert desk.requests() == []
    assert access.plan(desk.job()).actions == ()


@pytest.mark.parametrize("left", ["an intent", "nothing"])
def test_the_request_is_not_sent_again_after_a_crash_before_it_was_recorded(
    desk: Desk, left: str
) -> None:
    job = desk.job()
    plan = access.plan(job)
    first = access.apply(plan)
    record = job.folder / request.RECORD
    if left == "nothing":
        record.unlink()
    else:
        record.write_text(json.dumps(json.loads(record.read_bytes()) | {"where": ""}))

    again = access.apply(access.plan(job))

    assert again.done["where"] == first.done["where"]
    assert len(desk.requests()) == 1


def test_the_request_is_sent_after_a_crash_before_it_was_sent(desk: Desk) -> None:
    job = desk.job()
    outbox = job.target.archive / "DEDL-1" / "outbox"
    outbox.write_text("in the way")

    with pytest.raises(ServiceError, match="can't be written"):
        access.apply(access.plan(job))
    begun = json.loads((job.folder / request.RECORD).read_bytes())
    outbox.unlink()
    receipt = access.apply(access.plan(job))

    assert begun["where"] == ""
    assert receipt.done["at"] == begun["at"]
    assert len(desk.requests()) == 1


@pytest.mark.parametrize("kind", ["roundup", "outbox"])
def test_the_request_goes_through_the_help_desk_once(desk: Desk, kind: str) -> None:
    job = desk.job({"request_via": "helpdesk"}, ticket="DEMO-2")
    job = replace(job, target=job.target.model_copy(update={"helpdesk": desk.helpdesk(kind)}))
    case = job.target.archive / "DEMO-2"

    first = access.apply(access.plan(job))
    (job.folder / request.RECORD).unlink()
    again = access.apply(access.plan(job))

    assert again.done["where"] == first.done["where"]
    posted = open_desk(job.target, case).read("DEMO-2", first.done["where"])
    assert f"- {desk.role}" in posted.text
    assert len([*(case / "outbox").glob("*")]) == (kind == "outbox")
    waiting = access.check(access.plan(job))
    assert waiting.verdict is Verdict.WAITING
    assert ("a person has to send on" in waiting.summary) == (kind == "outbox")


def test_says_that_the_help_desk_is_down_and_sends_later(desk: Desk) -> None:
    job = desk.job({"request_via": "helpdesk"}, ticket="DEMO-2")
    down = desk.helpdesk("roundup", url="http://127.0.0.1:9")
    deaf = replace(job, target=job.target.model_copy(update={"helpdesk": down}))
    plan = access.plan(deaf)

    with pytest.raises(ServiceError):
        access.apply(plan)

    assert access.plan(job).actions == plan.actions
    assert access.apply(access.plan(job)).done["requested"] == [desk.role]


def test_another_role_is_another_request_and_overwrites_nothing(desk: Desk) -> None:
    access.apply(access.plan(desk.job()))
    access.apply(access.plan(desk.job(roles=[desk.role, "DEDL_SECOND"])))

    first, second = desk.requests()
    assert "DEDL_SECOND" not in first.read_text()
    assert "DEDL_SECOND" in second.read_text()


def test_nothing_is_asked_for_when_a_token_holds_the_roles_already(desk: Desk) -> None:
    before = access.plan(desk.job())
    desk.grant()
    after = access.plan(desk.job())

    assert after.actions == ()
    # So the approval of a plan is not void because the role was granted meanwhile.
    assert after.digest == before.digest


def test_a_token_from_before_the_role_does_not_count(desk: Desk) -> None:
    iam = desk.job().target.iam
    assert iam
    before = fresh_token(iam)
    desk.grant()

    assert judge(desk.given(before.get_secret_value())).verdict is Verdict.WAITING
    assert judge(desk.job()).verdict is Verdict.PASSED


def test_a_given_token_that_is_older_than_the_request_does_not_count(desk: Desk) -> None:
    job = desk.given(desk.signed(iat=int(time.time()) - 120))
    request.send(job, _iam(job), request.Outbox(desk.root / "outbox"), "2026-11-02T00:00:00.000Z")
    old = desk.given(desk.signed(iat=1_700_000_000))

    assert judge(job).verdict is Verdict.PASSED
    outcome = access.check(access.plan(old))
    assert outcome.verdict is Verdict.WAITING
    assert outcome.waiting_for == "the operator: a fresh token"
    assert "set DEDL_SITE__IAM__TOKEN to a fresh one" in outcome.summary


def test_a_service_account_shows_its_own_roles(desk: Desk) -> None:
    job = desk.job({"identity": "service_account"})
    desk.grant()

    assert judge(job).verdict is Verdict.WAITING
    sandbox.grant(desk.sandbox.folder, f"service-account-{oidc.SERVICE}", desk.role)
    assert judge(job).verdict is Verdict.PASSED


def _iam(job: Job) -> Iam:
    assert job.target.iam
    return job.target.iam


def _unsigned(desk: Desk) -> str:
    import base64

    head, body, _ = desk.signed().split(".")
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    none = json.dumps(header | {"alg": "none"}).encode()
    return f"{base64.urlsafe_b64encode(none).rstrip(b'=').decode()}.{body}."


def _portals(desk: Desk) -> str:
    iam = _iam(desk.job())
    assert iam.login
    portal = iam.model_copy(update={"issuer": iam.login.issuer, "audience": "account"})
    return fresh_token(portal).get_secret_value()


STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
REFUSED: dict[str, tuple[Callable[[Desk], str], str]] = {
    "expired": (lambda d: d.signed(exp=int(time.time()) - 60), "it has expired"),
    "not valid yet": (lambda d: d.signed(nbf=int(time.time()) + 60), "not valid yet"),
    "other issuer": (lambda d: d.signed(iss="https://elsewhere.example"), "another issuer"),
    "the portal's": (_portals, "its signing key is none of"),
    "other audience": (lambda d: d.signed(aud="other"), "not for the audience hda-public"),
    "other key": (lambda d: d.signed(key=STRANGER), "its signature is wrong"),
    "unsigned": (_unsigned, "signed with 'none'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_fails_on_a_token_that_cannot_be_verified(desk: Desk, kind: str) -> None:
    """Each would hold the role, and each of them but for one thing is as it should be."""
    make, said = REFUSED[kind]
    desk.grant()
    assert judge(desk.given(desk.signed())).verdict is Verdict.PASSED
    raw = make(desk)

    outcome = judge(desk.given(raw))

    assert outcome.verdict is Verdict.FAILED
    assert said in outcome.summary
    assert "\n" not in outcome.summary
    assert raw.split(".")[1] not in json.dumps(outcome.as_json())


def test_an_id_token_is_no_access_token(desk: Desk) -> None:
    assert "no access token" in judge(desk.given(desk.signed(typ="ID"))).summary


def test_says_in_one_line_that_the_iam_service_is_down(desk: Desk) -> None:
    desk.sandbox.kill("iam")
    try:
        plan = access.plan(desk.job())
        with pytest.raises(ServiceError) as failed:
            access.check(plan)
    finally:
        desk.sandbox.restart("iam")

    assert "the IAM service gives no answer" in failed.value.what
    assert "\n" not in failed.value.what
    assert "the IAM service gives no answer" in plan.detail["token"]
    assert len(plan.actions) == 1


def test_gives_up_on_an_iam_service_that_says_nothing(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        issuer = f"http://127.0.0.1:{silent.getsockname()[1]}/realms/dedl"
        given = {"identity": "environment", "token": SecretStr(desk.signed())}
        job = desk.job({**given, "issuer": issuer, "timeout": 0.2})

        with pytest.raises(ServiceError, match=r"it took longer than 0\.2 s"):
            judge(job)


def test_names_the_variable_of_a_token_that_is_not_there(desk: Desk) -> None:
    job = desk.job({"identity": "environment"})

    with pytest.raises(InputError, match="DEDL_<TARGET>__IAM__TOKEN"):
        judge(job)


def test_a_wrong_password_is_no_waiting(desk: Desk) -> None:
    login = _iam(desk.job()).login
    assert login
    wrong = login.model_copy(update={"password": SecretStr("canary-password")})

    with pytest.raises(InputError, match="tester can't log in: Invalid username") as refused:
        judge(desk.job({"login": wrong}))

    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("identity", ["login", "service_account", "environment"])
def test_no_token_or_password_reaches_the_case_the_output_or_a_log(
    desk: Desk, identity: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = desk.signed(realm_access={"roles": []})
    monkeypatch.setenv("DEDL_SITE__IAM__IDENTITY", identity)
    monkeypatch.setenv("DEDL_SITE__IAM__TOKEN", given)
    case = desk.case()
    step, kept = ACCESS, ExitStack()

    access.apply(access.plan(case.job))
    attempt = Attempt(case, step, case.new_attempt("access"), kept)
    plan = attempt.plan()
    attempt.apply(plan)
    outcome = attempt.check(plan)
    print(plan, outcome, case.job, case.target)
    attempt.conclude(outcome)

    assert outcome.verdict is Verdict.WAITING
    texts = [path.read_text() for path in case.folder.rglob("*") if path.is_file()]
    texts += [path.read_text() for path in (desk.sandbox.folder / "logs").glob("iam.log*")]
    texts += list(capsys.readouterr())
    everything = "\n".join(texts)
    assert desk.role in everything
    assert "eyJ" not in everything
    assert [secret for secret in case.target.secrets() if secret in everything] == []
