"""Notify: the user is told once what stands, with the evidence, in a real help desk."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import signal
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import dedl_sandbox as sandbox
import pytest
import yaml
from dedl_sandbox.helpdesk import OPERATOR
from dedl_workbook import evidence
from dedl_workbook.base.errors import EvidenceError, GateError, InputError, ServiceError
from dedl_workbook.case.case import Case
from dedl_workbook.dataset import s3
from dedl_workbook.parameters.target import Pool
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.steps import notify
from dedl_workbook.steps.notify import reply

from tests import buckets
from tests.integration.desk import Desk, Proxy, proxy, running
from tests.unit.builders import ID, any_dataset

CANARY = "canary-secret-of-the-target"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with running(tmp_path_factory.mktemp("desk")) as found:
        yield found


@pytest.fixture
def lossy(desk: Desk) -> Iterator[Proxy]:
    with proxy(desk) as made:
        yield made


@dataclass
class Site:
    """A workbook with one case, which any step may have been through."""

    root: Path
    desk: Desk
    ticket: str
    number: str
    monkeypatch: pytest.MonkeyPatch

    def case(self, **ticket: Any) -> Case:
        values = {
            "ticket": self.ticket,
            "dataset": f"delivered/{ID}",
            "collection": ID,
            "target": "site",
            "board_reference": "minutes 7",
            "board_date": "2026-11-02",
            **ticket,
        }
        return Case.of(Ticket.of(values, "the test"), self.root)

    def uses(self, **settings: Any) -> None:
        """Write the target, with this help desk."""
        values = {
            "s3": {"endpoint": "http://127.0.0.1:9", "bucket": "pool"},
            "catalog": {"host": "127.0.0.1", "port": 9, "database": "dedl", "user": "loader"},
            "stac_api": {"url": "https://stac.example"},
            "archive": "archive",
            "helpdesk": settings,
        }
        (self.root / "parameters" / "targets" / "site.yaml").write_text(yaml.safe_dump(values))

    def uses_roundup(self, url: str = "", **settings: Any) -> None:
        self.uses(kind="roundup", url=url or self.desk.url, user=OPERATOR, **settings)

    def went(self, step: str, verdict: str = "passed", **detail: Any) -> Path:
        """Let the case have been through a step."""
        case = self.case()
        folder = case.new_attempt(step)
        (folder / "notebook.html").write_text(f"<h1>{step}</h1><p>password: {CANARY}</p>")
        (folder / "notebook.html").write_text(
            case.redactor.text((folder / "notebook.html").read_text())
        )
        outcome = Outcome(step, Verdict(verdict), f"{step} is {verdict}", detail=detail)
        case.record_outcome(folder, outcome, "fingerprint")
        return folder

    def validated(self, *findings: dict[str, Any], warnings: int = 0) -> Path:
        verdict = "failed" if findings else "passed"
        report = {
            "verdict": verdict,
            "dataset": ID,
            "notes": [],
            "counts": {
                "error": len(findings),
                "warning": warnings,
                "info": 0,
                "items": 1204,
                "files": 2409,
                "data_files": 1204,
                "bytes": 34_567_890,
            },
            "findings": list(findings),
        }
        return self.went("validate", verdict, report=report)

    def published(self) -> None:
        """Let the case have been through every step before the last, and be packed."""
        self.validated()
        for step in ("upload", "catalog", "verify"):
            self.went(step)
        self.packed()

    def packed(self) -> evidence.Bag:
        return evidence.pack(self.case())

    def told(self) -> list[dict[str, Any]]:
        """Return what the user sees in the ticket."""
        return self.desk.messages(self.number)


@pytest.fixture
def site(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    root = tmp_path / "workbook"
    (root / "parameters" / "targets").mkdir(parents=True)
    any_dataset(root / "delivered")
    for name in ("S3__ACCESS_KEY", "S3__SECRET_KEY", "CATALOG__PASSWORD"):
        monkeypatch.setenv(f"DEDL_SITE__{name}", f"{CANARY}-{name}")
    monkeypatch.setenv("DEDL_SITE__S3__SECRET_KEY", CANARY)
    monkeypatch.setenv("DEDL_SITE__HELPDESK__PASSWORD", desk.passwords[OPERATOR])
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(root))
    title = f"DEDL-{uuid.uuid4().hex[:8]}"
    made = Site(root, desk, title, desk.file_ticket(title), monkeypatch)
    made.uses_roundup()
    return made


def finding(**changes: Any) -> dict[str, Any]:
    values = {
        "rule": "C04",
        "severity": "error",
        "file": "metadata/collection.json",
        "pointer": "/keywords/0",
        "message": "the keyword 'Lnd' is not known",
        "fix": "Did you mean 'Land'?",
    }
    return values | changes


def run(case: Case, kind: reply.Kind | None = None) -> Outcome:
    """Plan, apply what is to be done, check, as the notebook does it."""
    plan = notify.plan(case.job, kind)
    if plan.actions:
        notify.apply(plan)
    return notify.check(plan)


# What is planned


def test_the_plan_shows_the_very_letter_and_how_large_its_attachments_are(site: Site) -> None:
    site.published()

    plan = notify.plan(site.case().job)

    text = plan.detail["text"]
    assert f"https://stac.example/collections/{ID}" in text
    assert "Demo heat maps" in text
    assert "1,204 items, 1,204 data files, 34.6 MB" in text
    assert plan.detail["to"] == f"{site.desk.url}/issue{site.number}"
    assert [a["name"] for a in plan.detail["attachments"]] == [
        "10-validate.html",
        "60-verify.html",
        "validation-report.json",
    ]
    notify.apply(plan)
    kept = {f.name: f.stat().st_size for f in (site.case().folder / "sent").glob("*/*")}
    assert [a["bytes"] for a in plan.detail["attachments"]] == [
        kept[a["name"]] for a in plan.detail["attachments"]
    ]


def test_planning_sends_nothing(site: Site) -> None:
    site.published()

    plan = notify.plan(site.case().job)

    assert plan.actions[0].verb == "send"
    assert site.ticket in plan.actions[0].subject
    assert site.told() == []


def test_an_approval_before_the_first_step_holds_until_the_user_was_told(site: Site) -> None:
    site.validated()
    approved = notify.plan(site.case().job).digest

    for step in ("upload", "catalog", "verify"):
        site.went(step)
        assert notify.plan(site.case().job).digest == approved
    site.packed()
    plan = notify.plan(site.case().job)
    notify.apply(plan)

    assert plan.digest == approved
    assert notify.plan(site.case().job).digest == approved


def test_another_dataset_or_ticket_voids_the_approval(site: Site) -> None:
    site.published()
    digests = {notify.plan(site.case().job).digest}

    digests.add(notify.plan(site.case(access="restricted", roles=["ROLE_A"]).job).digest)
    (site.root / "delivered" / ID / "data" / "more.txt").write_text("more")
    digests.add(notify.plan(site.case().job).digest)

    assert len(digests) == 3


def test_a_dataset_that_was_not_validated_can_not_be_called_accepted(site: Site) -> None:
    with pytest.raises(InputError, match="no validation of this case has passed"):
        notify.plan(site.case().job)


def test_says_in_the_plan_that_there_is_no_such_ticket(site: Site) -> None:
    site.validated()
    site.ticket = "DEDL-none"
    site.validated()

    with pytest.raises(InputError, match="no tickets with the title 'DEDL-none'"):
        notify.plan(site.case().job)


# What is sent


def test_the_user_is_told_once_with_the_notebooks_and_the_report(site: Site) -> None:
    site.published()
    bag = site.packed()

    outcome = run(site.case())

    assert outcome.verdict is Verdict.PASSED, outcome.summary
    (told,) = site.told()
    assert told["files"] == ["10-validate.html", "60-verify.html", "validation-report.json"]
    assert bag.digest in told["content"]
    assert "public" in told["content"]
    assert str(site.root) not in told["content"]


def test_telling_again_does_nothing_and_passes(site: Site) -> None:
    site.published()
    run(site.case())

    plan = notify.plan(site.case().job)
    notify.apply(plan)

    assert plan.actions == ()
    assert notify.check(plan).verdict is Verdict.PASSED
    assert len(site.told()) == 1


def test_evidence_that_was_packed_again_since_changes_nothing_of_what_was_told(
    site: Site,
) -> None:
    site.published()
    run(site.case())
    site.went("notify")
    site.packed()

    assert run(site.case()).verdict is Verdict.PASSED
    assert len(site.told()) == 1


def test_the_digest_in_the_reply_is_that_of_the_kept_evidence(site: Site, tmp_path: Path) -> None:
    site.published()
    run(site.case())
    site.went("notify")
    site.packed()
    (told,) = site.told()
    digest = next(word for word in told["content"].split() if len(word) == 64)

    (pack,) = (site.case().folder / "sent").glob(f"*/evidence-{site.ticket}.zip")
    with zipfile.ZipFile(pack) as archive:
        archive.extractall(tmp_path / "unpacked")

    bag = tmp_path / "unpacked" / f"evidence-{site.ticket}"
    assert evidence.verify(bag, digest=digest).digest == digest


APPLY = """
import sys
from dedl_workbook.steps import notify
from dedl_workbook.case.case import Case
from dedl_workbook.parameters.target import Pool
from dedl_workbook.parameters.ticket import Ticket

case = Case.of(Ticket.of(__import__("json").loads(sys.argv[1]), "the test"))
notify.apply(notify.plan(case.job))
"""


@pytest.mark.parametrize("move", ["POST /rest/data/msg", "PATCH /rest/data/issue/"])
def test_a_kill_between_sending_and_recording_sends_the_same_reply_once(
    site: Site, lossy: Proxy, move: str
) -> None:
    site.published()
    site.uses_roundup(lossy.url)
    victims: list[subprocess.Popen[bytes]] = []

    def kill(method: str, path: str) -> None:
        if f"{method} {path}".startswith(move):
            os.kill(victims[0].pid, signal.SIGKILL)

    lossy.after = kill
    ticket = json.dumps(site.case().ticket.parameters())
    victims.append(subprocess.Popen([sys.executable, "-c", APPLY, ticket]))
    assert victims[0].wait(60) == -signal.SIGKILL
    site.went("notify", "failed")
    site.packed()
    site.uses_roundup()

    outcome = run(site.case())

    assert outcome.verdict is Verdict.PASSED, outcome.summary
    (told,) = site.told()
    assert len(told["files"]) == 3
    assert outcome.detail["evidence"] in told["content"]


def test_a_record_that_was_lost_sends_no_second_reply(site: Site) -> None:
    site.published()
    run(site.case())
    for file in (site.case().folder / "work").rglob("*"):
        if file.is_file():
            file.unlink()

    assert run(site.case()).verdict is Verdict.PASSED
    assert len(site.told()) == 1


def test_a_desk_that_is_down_fails_and_a_later_run_tells(site: Site) -> None:
    site.published()
    plan = notify.plan(site.case().job)
    site.uses_roundup("http://127.0.0.1:9")
    down = changed(plan, job=site.case().job)
    with pytest.raises(ServiceError, match="can't be reached"):
        notify.apply(down)
    assert site.told() == []

    site.uses_roundup()

    assert run(site.case()).verdict is Verdict.PASSED
    assert len(site.told()) == 1


def test_an_attachment_above_the_limit_is_named_with_its_digest_instead(site: Site) -> None:
    site.published()
    site.uses_roundup(attachment_limit=150)

    assert run(site.case()).verdict is Verdict.PASSED

    (told,) = site.told()
    assert told["files"] == ["10-validate.html", "60-verify.html"]
    (kept,) = (site.case().folder / "sent").glob("*/validation-report.json")
    assert hashlib.sha256(kept.read_bytes()).hexdigest() in told["content"]


def test_an_attachment_that_the_desk_refuses_is_left_out_once_the_limit_says_so(
    site: Site,
) -> None:
    site.validated()
    site.went("catalog")
    verified = site.went("verify")
    (verified / "notebook.html").write_text("x" * 21_000_000)
    site.packed()
    site.uses_roundup(attachment_limit=30_000_000)
    with pytest.raises(ServiceError, match=r"refuses the attachment 60-verify.html"):
        run(site.case())
    assert site.told() == []

    site.uses_roundup(attachment_limit=10_000_000)

    assert run(site.case()).verdict is Verdict.PASSED
    (told,) = site.told()
    assert told["files"] == ["10-validate.html", "validation-report.json"]
    assert "60-verify.html (21.0 MB) is too large" in told["content"]


def test_no_secret_goes_to_the_user(site: Site) -> None:
    site.published()
    (attempt,) = (site.case().folder / "attempts").glob("*-verify")
    page = attempt / "notebook.html"
    page.write_text(f"<p>{CANARY} and {site.desk.passwords[OPERATOR]}</p>")

    run(site.case())

    sent = [f.read_bytes() for f in (site.case().folder / "sent").rglob("*") if f.is_file()]
    assert not [data for data in sent if CANARY.encode() in data]
    assert not [data for data in sent if site.desk.passwords[OPERATOR].encode() in data]
    assert any(b"[redacted]" in data for data in sent)


@pytest.mark.parametrize("missing", ["bag", "verify in the bag", "verify", "notebook"])
def test_the_user_is_not_told_before_all_is_there(site: Site, missing: str) -> None:
    site.validated()
    site.went("catalog")
    if missing == "verify in the bag":
        site.packed()
    if missing != "verify":
        attempt = site.went("verify")
        if missing == "notebook":
            (attempt / "notebook.html").unlink()
    if missing in ("verify", "notebook"):
        site.packed()

    with pytest.raises(GateError, match="can't be told yet"):
        notify.apply(notify.plan(site.case().job))

    assert site.told() == []


def test_a_failed_verification_is_not_called_accepted(site: Site) -> None:
    site.published()
    site.went("verify", "failed")
    site.packed()

    with pytest.raises(GateError, match="can't be told yet"):
        notify.apply(notify.plan(site.case().job))


# What is read back


def test_fails_when_the_desk_does_not_have_the_reply(site: Site) -> None:
    site.published()
    plan = notify.plan(site.case().job)
    notify.apply(plan)
    (told,) = site.told()
    with site.desk.client() as client:
        tag = client.get(f"/rest/data/issue/{site.number}").json()["data"]["@etag"]
        done = client.patch(
            f"/rest/data/issue/{site.number}",
            json={"@op": "remove", "messages": [told["id"]]},
            headers={"If-Match": tag},
        )
        assert done.status_code == 200, done.text
    assert site.told() == []

    outcome = notify.check(plan)

    assert outcome.verdict is Verdict.FAILED
    assert "the reply is there" in outcome.summary


def test_fails_when_the_desk_has_another_text(site: Site) -> None:
    site.published()
    plan = notify.plan(site.case().job)
    notify.apply(plan)
    (told,) = site.told()
    with site.desk.client(OPERATOR) as client:
        path = f"/rest/data/msg/{told['id']}"
        tag = client.get(path).json()["data"]["@etag"]
        done = client.put(path, json={"content": "Another"}, headers={"If-Match": tag})
        assert done.status_code == 200, done.text

    outcome = notify.check(plan)

    assert outcome.verdict is Verdict.FAILED
    assert "text of the reply" in outcome.summary


def test_fails_when_nothing_was_ever_sent(site: Site) -> None:
    site.published()

    assert notify.check(notify.plan(site.case().job)).verdict is Verdict.FAILED


def test_notices_that_what_was_kept_was_changed(site: Site) -> None:
    site.published()
    plan = notify.plan(site.case().job)
    notify.apply(plan)
    (page,) = (site.case().folder / "sent").glob("*/60-verify.html")
    page.write_text("another")

    with pytest.raises(EvidenceError, match=r"60-verify.html"):
        notify.check(plan)


# Refused, withdrawn, published again


def test_a_refusal_lists_what_to_mend_grouped_and_as_plain_text(site: Site) -> None:
    site.validated(
        finding(),
        finding(rule="I03", message="<b>twice</b>\n\nDear user, **pay**", fix="", count=41),
        finding(severity="warning", message="a warning"),
        finding(rule="L09", message="waived one", waived="agreed"),
    )
    site.packed()

    outcome = run(site.case())

    assert outcome.verdict is Verdict.PASSED, outcome.summary
    (told,) = site.told()
    text = told["content"]
    assert "can't be published yet" in text
    assert "its validation found 4 errors. Please" in text
    assert "  1. C04: the keyword 'Lnd' is not known" in text
    assert "To fix it: Did you mean 'Land'?" in text
    assert "  2. I03, 41 times: <b>twice</b> Dear user, **pay**\n" in text
    assert "waived one" not in text
    assert "a warning" not in text
    assert told["files"] == [
        "10-validate.html", "validation-report.html", "validation-report.json"
    ]  # fmt: skip
    (page,) = (site.case().folder / "sent").glob("*/validation-report.html")
    assert "the keyword 'Lnd' is not known" in html.unescape(page.read_text())


def test_the_same_refusal_is_told_once_and_another_one_again(site: Site) -> None:
    site.validated(finding())
    site.packed()
    run(site.case())
    site.validated(finding())
    site.packed()
    run(site.case())
    assert len(site.told()) == 1

    site.validated(finding(rule="C06", message="no licensor"))
    site.packed()
    run(site.case())

    assert len(site.told()) == 2


def test_each_publication_and_each_withdrawal_is_told_once(site: Site) -> None:
    for round_ in (1, 2):
        site.published()
        run(site.case())
        run(site.case(), "withdrawn")
        site.went("withdraw")
        site.packed()
        run(site.case(), "withdrawn")

        assert len(site.told()) == 2 * round_

    subjects = [told["content"].split("\n\n")[1][:30] for told in site.told()]
    assert subjects[0] == subjects[2]
    assert subjects[1] == subjects[3]
    assert "withdrawn" in site.told()[1]["content"]


def test_a_withdrawal_is_told_also_when_the_dataset_is_gone(site: Site) -> None:
    site.published()
    (site.root / "delivered" / ID).rename(site.root / "elsewhere")

    assert run(site.case(), "withdrawn").verdict is Verdict.PASSED
    assert len(site.told()) == 1


def test_a_restricted_dataset_names_its_roles(site: Site) -> None:
    site.published()

    run(site.case(access="restricted", roles=["ROLE_B", "ROLE_A"]))

    assert "restricted to those who hold ROLE_A and ROLE_B" in site.told()[0]["content"]


# The outbox


def test_the_outbox_gets_the_reply_and_the_evidence_apart(site: Site) -> None:
    site.uses(kind="outbox")
    site.published()
    bag = site.packed()

    outcome = run(site.case())
    again = notify.plan(site.case().job)

    assert outcome.verdict is Verdict.PASSED, outcome.summary
    assert "for a person to send" in outcome.summary
    assert again.actions == ()
    box = site.case().folder / "outbox"
    assert sorted(f.name for f in box.iterdir()) == ["001-evidence-internal", "002-accepted"]
    assert bag.digest in (box / "002-accepted" / "message.txt").read_text()
    assert (box / "001-evidence-internal" / "attachments" / f"evidence-{site.ticket}.zip").is_file()
    assert not (box / "002-accepted" / "attachments" / f"evidence-{site.ticket}.zip").exists()


def test_evidence_above_the_limit_stays_in_the_archive(site: Site) -> None:
    site.uses(kind="outbox", attachment_limit=100)
    site.published()

    assert run(site.case()).verdict is Verdict.PASSED

    comment = site.case().folder / "outbox" / "001-evidence-internal"
    (pack,) = (site.case().folder / "sent").glob(f"*/evidence-{site.ticket}.zip")
    assert str(pack) in (comment / "message.txt").read_text()
    assert list((comment / "attachments").iterdir()) == []


# Evidence that is too large for the help desk


@pytest.fixture
def archive(site: Site, data_lake: sandbox.Sandbox) -> Pool:
    """A bucket of its own for packs, which the site uses."""
    found = data_lake.connections
    settings = {
        key.rpartition("__")[2]: value for key, value in found.items() if "__S3__" in key
    } | {"BUCKET": f"packs-{uuid.uuid4().hex[:8]}"}
    site.monkeypatch.setenv("DEDL_SITE__EVIDENCE__BUCKET", settings["BUCKET"])
    for name, value in settings.items():
        if name != "BUCKET":
            site.monkeypatch.setenv(f"DEDL_SITE__EVIDENCE__S3__{name}", value)
    pool = Pool(**{name.lower(): value for name, value in settings.items()})
    buckets.made(s3.client(pool), pool.bucket)
    return pool


def test_large_evidence_goes_to_the_archives_bucket_and_the_reply_tells_digest_and_place(
    site: Site, archive: Pool, tmp_path: Path
) -> None:
    site.uses_roundup(attachment_limit=150)
    site.published()

    outcome = run(site.case())

    assert outcome.verdict is Verdict.PASSED, outcome.summary
    (told,) = site.told()
    place = re.search(r"s3://([^/]+)/(\S+\.zip)", told["content"])
    assert place is not None
    assert place[1] == archive.bucket
    copy = tmp_path / "from the bucket.zip"
    s3.client(archive).download_file(archive.bucket, place[2], str(copy))
    packed = next(x for x in site.case().ledger() if x["event"] == "packed")
    assert packed["digest"] in told["content"]
    assert evidence.verify(copy, digest=packed["digest"]).files == packed["files"]
    assert hashlib.sha256(copy.read_bytes()).hexdigest() in place[2]


def test_a_pack_is_brought_to_the_bucket_once(site: Site, archive: Pool) -> None:
    site.uses_roundup(attachment_limit=150)
    site.published()
    run(site.case())
    client = s3.client(archive)
    (first,) = client.list_objects_v2(Bucket=archive.bucket)["Contents"]

    assert run(site.case()).verdict is Verdict.PASSED

    (second,) = client.list_objects_v2(Bucket=archive.bucket)["Contents"]
    assert second["LastModified"] == first["LastModified"]


def test_a_pack_that_the_bucket_lost_or_damaged_is_noticed(site: Site, archive: Pool) -> None:
    site.uses_roundup(attachment_limit=150)
    site.published()
    assert run(site.case()).verdict is Verdict.PASSED
    client = s3.client(archive)
    (there,) = client.list_objects_v2(Bucket=archive.bucket)["Contents"]

    client.put_object(Bucket=archive.bucket, Key=there["Key"], Body=b"x" * there["Size"])

    outcome = notify.check(notify.plan(site.case().job))
    assert outcome.verdict is Verdict.FAILED
    assert "evidence in the archive's bucket" in outcome.summary


def test_a_bucket_that_is_not_there_is_named_and_nothing_is_sent(site: Site, archive: Pool) -> None:
    site.uses_roundup(attachment_limit=150)
    site.published()
    site.monkeypatch.setenv("DEDL_SITE__EVIDENCE__BUCKET", "no-such-bucket-here")

    with pytest.raises(ServiceError, match="no-such-bucket-here"):
        run(site.case())

    assert site.told() == []


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "[x](javascript:alert(1))", "=1+1"])
def test_a_strangers_text_is_text_in_the_help_desk_too(site: Site, text: str) -> None:
    site.validated(finding(message=text, file=f"metadata/{text}.json", fix=text))
    site.packed()

    assert run(site.case()).verdict is Verdict.PASSED

    (told,) = site.told()
    assert told["content"].count(text) == 3
    with site.desk.client() as client:
        page = client.get(f"/issue{site.number}").text
        assert "<script>alert(1)" not in page
        assert 'href="javascript:' not in page


def test_attachments_have_the_pseudonyms_of_the_evidence(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDL_OPERATOR", "Alice Example")
    monkeypatch.setenv("DEDL_SITE__EVIDENCE__PEOPLE", "pseudonym")
    monkeypatch.setenv("DEDL_SITE__EVIDENCE__PSEUDONYM_KEY", "a key of sixteen and more")
    site.uses(kind="outbox")
    folder = site.validated()
    (folder / "notebook.html").write_text("<p>run by Alice Example</p>")
    for step in ("upload", "catalog", "verify"):
        site.went(step)
    site.packed()

    notify.apply(notify.plan(site.case().job))

    sent = list((site.case().folder / "sent").rglob("*"))
    assert any(file.name == "10-validate.html" for file in sent)
    assert not [file for file in sent if file.is_file() and b"Alice" in file.read_bytes()]
