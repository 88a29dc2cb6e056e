"""A ledger's end is named in the pool: what was removed or written anew is noticed, by all."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from dedl_sandbox import Sandbox
from dedl_workbook import evidence
from dedl_workbook.base.errors import EvidenceError, InputError, ServiceError
from dedl_workbook.case import anchors, ledger
from dedl_workbook.case import audit as audits
from dedl_workbook.case.case import Case
from dedl_workbook.cli import main
from dedl_workbook.dataset import s3
from dedl_workbook.evidence import audit as bags
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.services.pool import anchors as objects
from dedl_workbook.steps.withdraw import pool as withdraw_pool

from tests.integration.lake import an_item
from tests.integration.test_audit import Site, _site


@pytest.fixture(scope="module")
def site(data_lake: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A published and packed dataset; a test that spoils it puts it back."""
    with _site(data_lake, tmp_path_factory.mktemp("anchors")) as made:
        made.publish()
        evidence.pack(case_of(made))
        yield made


@pytest.fixture
def spoiled(site: Site) -> Iterator[Path]:
    """The ledger of the case, which is put back, with what the test makes besides."""
    file = case_of(site).ledger_file
    saved = file.read_bytes()
    yield file
    file.write_bytes(saved)


def case_of(site: Site) -> Case:
    values = {"ticket": site.prefix.split("/")[1], "dataset": str(site.root / site.id)}
    ticket = Ticket.of(values | {"collection": site.id, "target": "site"}, "a test")
    return Case.of(ticket, site.root)


def named(site: Site) -> tuple[str, str, str]:
    return case_of(site).ticket.ticket, site.id, "site"


def in_pool(site: Site) -> list[str]:
    return objects.read(site.target.s3, site.prefix)


def without_the_last_line(raw: bytes) -> bytes:
    return b"".join(raw.splitlines(keepends=True)[:-1])


def with_another_operator(raw: bytes) -> bytes:
    """Return a ledger whose whole chain was computed anew after one line was changed."""
    file = Path("/dev/null")
    lines = ledger.parse(raw, file)
    lines[0]["operator"] = "somebody else"
    for before, line in zip([None, *lines], lines, strict=False):
        line["previous"] = ledger._digest(ledger.canonical(before)) if before else ledger.START
    made = b"".join(ledger.canonical(line) + b"\n" for line in lines)
    assert ledger.parse(made, file) == lines
    return made


FORGERIES = pytest.mark.parametrize("forged", [without_the_last_line, with_another_operator])
Forged = Callable[[bytes], bytes]


def test_the_end_of_the_packed_ledger_and_the_line_that_tells_of_the_pack_are_named(
    site: Site,
) -> None:
    lines = case_of(site).ledger()
    packed = [int(line["seq"]) for line in lines if line["event"] == "packed"]

    numbers = {int(name.partition("-")[0]) for name in in_pool(site)}

    assert {packed[0] - 1, packed[0]} <= numbers
    assert site.drifted() == {}


@FORGERIES
def test_an_audit_notices_it(site: Site, spoiled: Path, forged: Forged) -> None:
    spoiled.write_bytes(forged(spoiled.read_bytes()))

    assert list(site.drifted()) == ["ledger: as the pool names it"]


@FORGERIES
def test_packing_notices_it(site: Site, spoiled: Path, forged: Forged) -> None:
    spoiled.write_bytes(forged(spoiled.read_bytes()))

    with pytest.raises(EvidenceError, match="which its anchor names|not what the anchor names"):
        evidence.pack(case_of(site))


@FORGERIES
def test_a_look_at_all_tickets_notices_it(site: Site, spoiled: Path, forged: Forged) -> None:
    assert anchors.problems([named(site)], site.root) == {}

    spoiled.write_bytes(forged(spoiled.read_bytes()))

    assert list(anchors.problems([named(site)], site.root)) == [case_of(site).ticket.ticket]


def test_status_names_a_ledger_that_is_not_the_one_that_was_anchored(
    site: Site,
    spoiled: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(site.root))
    folder = site.root / "parameters" / "tickets"
    folder.mkdir(exist_ok=True)
    ticket = case_of(site).ticket
    (folder / f"{ticket.ticket}.yaml").write_text(yaml.safe_dump(ticket.parameters()))
    assert main.main(["status"]) == 0

    spoiled.write_bytes(without_the_last_line(spoiled.read_bytes()))

    assert main.main(["status"]) == 1
    assert "which its anchor names" in " ".join(capsys.readouterr().err.split())
    assert main.main(["status", ticket.ticket, "--json"]) == 1
    assert "which its anchor names" in json.loads(capsys.readouterr().out)[0]["ledger"]


@FORGERIES
def test_verifying_a_pack_against_the_pool_notices_it(
    site: Site,
    spoiled: Path,
    forged: Forged,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(site.root))
    bag = str(case_of(site).folder / "bag")
    assert main.main(["evidence", "verify", bag, "--anchor", "pool"]) == 0
    # The forger hides the anchors from the packing, and so gets a pack that is whole in itself.
    monkeypatch.setattr(objects, "read", lambda *_: [])
    monkeypatch.setattr(objects, "write", lambda *_: None)
    spoiled.write_bytes(forged(forged(spoiled.read_bytes())))
    shutil.copytree(case_of(site).folder / "bag", tmp_path / "true")
    evidence.pack(case_of(site))
    shutil.move(case_of(site).folder / "bag", tmp_path / "forged")
    shutil.copytree(tmp_path / "true", case_of(site).folder / "bag")
    assert main.main(["evidence", "verify", str(tmp_path / "forged")]) == 0
    monkeypatch.undo()
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(site.root))

    code = main.main(["evidence", "verify", str(tmp_path / "forged"), "--anchor", "pool"])

    assert code == 1
    assert "not the one that the pool names" in capsys.readouterr().err


def test_a_pool_that_does_not_answer_keeps_nothing_from_being_packed(
    site: Site, spoiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> list[str]:
        raise ServiceError("the pool gives no answer")

    monkeypatch.setattr(objects, "read", down)
    monkeypatch.setattr(objects, "write", down)

    evidence.pack(case_of(site))

    assert case_of(site).ledger()[-1]["not_compared"] == "the pool gives no answer"
    assert anchors.problems([named(site)], site.root) == {
        "site": "its tickets' ledgers were not compared with the pool: the pool gives no answer"
    }


def test_an_anchor_is_never_overwritten(site: Site) -> None:
    name, client = in_pool(site)[0], s3.client(site.target.s3)
    key = f"{site.prefix}anchor/{name}"
    before = client.head_object(Bucket=site.target.s3.bucket, Key=key)["LastModified"]

    objects.write(site.target.s3, site.prefix, [name])

    assert client.head_object(Bucket=site.target.s3.bucket, Key=key)["LastModified"] == before


def test_a_withdrawal_neither_counts_anchors_nor_deletes_them(site: Site) -> None:
    state = withdraw_pool.look(case_of(site).job)

    assert (state.foreign, state.count) == ((), 3)


# A pack alone, years later


@pytest.fixture
def auditor(site: Site, tmp_path: Path) -> tuple[Path, Path]:
    """A pack, and a workbook that knows the target's addresses: no archive, dataset, password."""
    bag = tmp_path / "bag"
    shutil.copytree(case_of(site).folder / "bag", bag)
    root = tmp_path / "workbook"
    (root / "parameters" / "targets").mkdir(parents=True)
    target = site.target
    assert target.hda is not None
    addresses = {
        "s3": {"endpoint": target.s3.endpoint, "bucket": target.s3.bucket},
        "catalog": {"host": "127.0.0.1", "port": 9, "database": "dedl", "user": "nobody"},
        "stac_api": {"url": target.stac_api.url},
        "hda": {"url": target.hda.url, "folder": "nowhere"},
        "archive": "nowhere",
    }
    (root / "parameters" / "targets" / "site.yaml").write_text(yaml.safe_dump(addresses))
    return bag, root


def states(report: audits.Audit) -> dict[str, str]:
    return {f"{row.part}: {row.what}": row.state for row in report.rows}


def test_addresses_alone_show_that_what_a_pack_tells_of_still_stands(
    auditor: tuple[Path, Path],
) -> None:
    bag, root = auditor

    report = bags.audit(bag, root)

    assert states(report) == {
        "catalogue: all of it": "unknown",
        "STAC API: collection": "same",
        "STAC API: ids of the items": "same",
        "pool: all of it": "unknown",
        "HDA: access without a token": "same",
        "HDA: collection": "same",
        "HDA: items": "same",
        "HDA: downloads": "same",
        "ledger: all of it": "unknown",
    }


def test_with_passwords_every_digest_of_the_pack_is_compared(
    site: Site, auditor: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(site.root))

    report = bags.audit(auditor[0], site.root, every_byte=True)

    assert set(states(report).values()) == {"same"}
    assert {"pool: content", "catalogue: items", "ledger: its end is named in the pool"} <= set(
        states(report)
    )
    assert main.main(["audit", "--bag", str(auditor[0])]) == 0


def test_drift_on_each_side_is_found_from_the_pack(site: Site, auditor: tuple[Path, Path]) -> None:
    client, bucket = s3.client(site.target.s3), site.target.s3.bucket
    other, gone = site.key(0), site.key(1)
    saved = {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in (other, gone)}
    client.put_object(Bucket=bucket, Key=other, Body=b"x" * len(saved[other]))
    client.delete_object(Bucket=bucket, Key=gone)
    item = an_item(2)["id"]
    site.execute(f"update items set id = 'renamed' where collection = '{{id}}' and id = '{item}'")
    try:
        report = bags.audit(auditor[0], site.root)
        outside = bags.audit(*auditor)
    finally:
        site.execute(f"update items set id = '{item}' where id = 'renamed'")
        for key, body in saved.items():
            client.put_object(Bucket=bucket, Key=key, Body=body)

    drifted = {name for name, state in states(report).items() if state == "drifted"}
    assert {
        "catalogue: items",
        "STAC API: ids of the items",
        "pool: every file of the bag",
        "pool: content",
        "HDA: downloads",
    } <= drifted
    assert states(outside)["HDA: downloads"] == "drifted"
    assert outside.state == "drifted"


def test_a_pack_that_tells_of_no_publication_is_not_audited(
    site: Site, auditor: tuple[Path, Path], tmp_path: Path
) -> None:
    values = {"ticket": "T-NEW", "dataset": str(site.root / site.id), "collection": site.id}
    case = Case.of(Ticket.of(values | {"target": "site"}, "a test"), site.root)
    case.new_attempt("validate")
    bag = evidence.pack(case).path

    with pytest.raises(InputError, match="tells of no publication"):
        bags.audit(bag, site.root)


def test_a_collection_and_a_pack_are_not_audited_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["audit"]) == 2
    assert main.main(["audit", "EO.A", "--bag", "b"]) == 2
    assert "Name a collection, or a pack" in json.dumps(capsys.readouterr().err)
