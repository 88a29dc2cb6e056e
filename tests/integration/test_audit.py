"""The audit of what was published, on real servers: drift is planted on each side, and found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from dedl_sandbox import Sandbox
from dedl_workbook.base.errors import InputError
from dedl_workbook.case import audit
from dedl_workbook.case.case import Case
from dedl_workbook.cli import main
from dedl_workbook.dataset import s3
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket

from tests.integration.hda_lake import ROLE, HdaLake, an_id, own_configuration
from tests.integration.lake import a_collection, an_item, publish, write_dataset

ITEMS = 3
Drift = Callable[["Site"], Any]


@dataclass
class Site:
    """A workbook whose target is the sandbox itself, with its HDA, and what it published."""

    root: Path
    lake: HdaLake
    id: str = ""

    @property
    def target(self) -> Target:
        return Target.load("site", self.root)

    @property
    def prefix(self) -> str:
        return f"{self.id}/T-{self.id[-6:]}/"

    def publish(self, **more: Any) -> None:
        """Publish a dataset as a run does, as far as users can see it; again, if it was before."""
        self.id = self.id or an_id()
        items = [an_item(number, collection=self.id) for number in range(ITEMS)]
        dataset = write_dataset(self.root / self.id, items, a_collection(id=self.id))
        told = {"ticket": f"T-{self.id[-6:]}", "dataset": str(dataset), "collection": self.id}
        case = Case.of(Ticket.of(told | {"target": "site"} | more, "a test"), self.root)
        publish(case, "upload", "catalog", "hda")

    def audit(self, **how: Any) -> audit.Audit:
        return audit.audit(self.id, self.root, target="site", **how)

    def drifted(self, **how: Any) -> dict[str, str]:
        rows = self.audit(**how).rows
        return {f"{r.part}: {r.what}": r.found for r in rows if r.state != audit.SAME}

    def execute(self, statement: str) -> None:
        dsn = self.lake.sandbox.admin_dsn
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("set search_path = pgstac, public")
            connection.execute(statement.format(id=self.id))  # type: ignore[arg-type]

    def key(self, number: int) -> str:
        return self.prefix + str(an_item(number)["assets"]["data"]["href"])

    def state(self) -> dict[str, Any]:
        """Return all that an audit could change."""
        pool = self.target.s3
        listed = s3.client(pool).list_objects_v2(Bucket=pool.bucket, Prefix=self.id)
        with psycopg.connect(self.lake.sandbox.admin_dsn) as connection:
            rows = connection.execute(
                "select id, content::text from pgstac.items where collection = %s", [self.id]
            ).fetchall()
        # What steps keep for going on is no evidence; SQLite tidies its files up when it likes.
        files = [
            path
            for path in (self.root / "archive").rglob("*")
            if path.is_file() and "work" not in path.relative_to(self.root).parts
        ]
        # HDA itself keeps its own beside its configuration, whenever it starts.
        config = self.lake.config
        files += [*config.rglob("*.yml"), *(config / "collections").glob("*.json")]
        return {
            "objects": [(one["Key"], one["ETag"]) for one in listed["Contents"]],
            "items": sorted(rows),
            "files": {str(path): path.read_bytes() for path in sorted(files)},
        }


@contextmanager
def _site(data_lake: Sandbox, folder: Path) -> Iterator[Site]:
    with own_configuration(data_lake, folder) as lake:
        root = folder / "workbook"
        (root / "parameters" / "targets").mkdir(parents=True)
        # The trial has tests of its own.
        quick = {"no_trial": "only the audit is tested here"}
        told: dict[str, Any] = {"s3": {}, "catalog": {}, "stac_api": {}, "hda": quick}
        target = root / "parameters" / "targets" / "site.yaml"
        target.write_text(yaml.safe_dump(told | {"archive": "archive"}))
        lines = [
            f"{key.replace('SANDBOX', 'SITE')}='{value}'"
            for key, value in data_lake.connections.items()
            if "__IAM__" not in key and "__HELPDESK__" not in key
        ]
        (root / ".env").write_text("\n".join(lines) + "\n")
        yield Site(root, lake)


@pytest.fixture(scope="module")
def site(data_lake: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A published dataset; a test that spoils it puts it back."""
    with _site(data_lake, tmp_path_factory.mktemp("audit")) as made:
        made.publish()
        yield made


def test_what_stands_as_it_was_published_is_the_same_and_nothing_is_changed(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(site.root))
    before = site.state()

    code = main.main(["audit", site.id, "--json"])

    told = json.loads(capsys.readouterr().out)
    assert (code, told["state"], told["ticket"]) == (0, "same", f"T-{site.id[-6:]}")
    assert {row["part"] for row in told["rows"]} == {
        "catalogue", "STAC API", "pool", "HDA", "scopes", "ledger",
    }  # fmt: skip
    assert [row for row in told["rows"] if row["state"] != "same"] == []
    after = site.state()
    assert [part for part in before if part != "files" and after[part] != before[part]] == []
    differing = before["files"].items() ^ after["files"].items()
    assert sorted({path for path, _ in differing}) == []


@contextmanager
def _object(site: Site, key: str, body: bytes | None) -> Iterator[None]:
    client, place = s3.client(site.target.s3), {"Bucket": site.target.s3.bucket, "Key": key}
    was = None
    if key == site.key(1):
        was = client.get_object(**place)["Body"].read()
    client.delete_object(**place) if body is None else client.put_object(**place, Body=body)
    try:
        yield
    finally:
        client.delete_object(**place) if was is None else client.put_object(**place, Body=was)


@contextmanager
def _edited(path: Path, old: str, new: str) -> Iterator[None]:
    was = path.read_text()
    assert old in was
    path.write_text(was.replace(old, new))
    try:
        yield
    finally:
        path.write_text(was)


@contextmanager
def _executed(site: Site, change: str, back: str) -> Iterator[None]:
    site.execute(change)
    try:
        yield
    finally:
        site.execute(back)


def _title(word: str) -> str:
    return (
        f"""update collections set content = jsonb_set(content, '{{{{title}}}}', '"{word}"')"""
        " where id = '{id}'"
    )


DRIFTS: dict[str, tuple[Drift, set[str]]] = {
    "an object is gone": (
        lambda site: _object(site, site.key(1), None),
        {"pool: every file of the upload", "pool: every file that items name"},
    ),
    "an object has other bytes": (
        lambda site: _object(site, site.key(1), b"x" * len(b"bytes of " + site.key(1).encode())),
        {"pool: size and ETag"},
    ),
    "an object too many": (
        lambda site: _object(site, site.prefix + "data/more.txt", b"more"),
        {"pool: nothing else under the ticket's prefix"},
    ),
    "the title in the catalogue": (
        lambda site: _executed(site, _title("Other"), _title("Levels of a lake")),
        {"catalogue: collection", "HDA: served collection"},
    ),
    "an item in the catalogue": (
        lambda site: _executed(
            site,
            "update items set content = content || '{{\"more\": 1}}' where collection = '{id}'"
            " and id like '%1'",
            "update items set content = content - 'more' where collection = '{id}'",
        ),
        {"catalogue: as published"},
    ),
    "the entry in HDA's configuration": (
        lambda site: _edited(site.lake.collections, "Made for a test", "Changed by hand"),
        {"HDA: configuration: entry"},
    ),
    "the document in HDA's configuration": (
        lambda site: _edited(site.lake.document(site.id), "Levels of a lake", "Other"),
        {"HDA: configuration: document"},
    ),
    "the product in HDA's configuration": (
        lambda site: _edited(
            site.lake.provider, f"    {site.id}: {{_collection: {site.id}}}\n", ""
        ),
        {"HDA: configuration: product"},
    ),
    "scopes that nobody agreed": (
        lambda site: _edited(
            site.lake.collections, f"\n{site.id}:\n", f"\n{site.id}:\n  scopes: [{ROLE}]\n"
        ),
        {"HDA: configuration: entry", "scopes: roles in the entry"},
    ),
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_drift_on_each_side_is_found_there(site: Site, drift: str) -> None:
    plant, expected = DRIFTS[drift]
    with plant(site):
        found = site.drifted()

    assert set(found) == expected
    assert site.drifted() == {}


def test_what_drifted_is_named(site: Site) -> None:
    with _object(site, site.key(1), None):
        assert site.key(1) in site.drifted()["pool: every file of the upload"]
    with DRIFTS["an item in the catalogue"][0](site):
        assert "LAKE_000001.json: altered" in site.drifted()["catalogue: as published"]


def test_bytes_that_rot_are_found_when_every_byte_is_read(site: Site) -> None:
    """The upload's memory says what ETag an object had; here it says what the rotten one has."""
    import sqlite3

    memory = site.root / "archive" / f"T-{site.id[-6:]}" / "work" / "upload.sqlite"
    path = str(an_item(1)["assets"]["data"]["href"])
    with _object(site, site.key(1), b"rotten"):
        etag = (
            s3.client(site.target.s3)
            .head_object(Bucket=site.target.s3.bucket, Key=site.key(1))["ETag"]
            .strip('"')
        )
        with sqlite3.connect(memory) as database:
            was = database.execute("select * from files where path = ?", [path]).fetchone()
            database.execute("update files set etag = ?, size = 6 where path = ?", [etag, path])
        try:
            found = site.drifted(every_byte=True)
        finally:
            with sqlite3.connect(memory) as database:
                database.execute("insert or replace into files values (?, ?, ?, ?, ?)", was)

    assert set(found) == {"pool: content"}
    assert site.key(1) in found["pool: content"]


def test_without_the_delivered_dataset_the_digests_of_the_case_still_tell(site: Site) -> None:
    dataset = site.root / site.id
    dataset.rename(dataset.with_name("gone"))
    try:
        assert site.drifted() == {}
        with DRIFTS["an item in the catalogue"][0](site):
            assert set(site.drifted()) == {"catalogue: items"}
    finally:
        dataset.with_name("gone").rename(dataset)


def test_what_was_published_by_hand_is_held_against_itself(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEDL_WORKBOOK_ROOT", str(site.root))
    archive = site.root / "archive"
    archive.rename(site.root / "elsewhere")
    try:
        assert main.main(["audit", site.id]) == 0
        assert "HDA\tconfiguration: entry\tsame\tthere" in capsys.readouterr().out
        with _object(site, site.key(1), None):
            assert main.main(["audit", site.id]) == 1
            missing = site.drifted()
        with DRIFTS["the title in the catalogue"][0](site):
            title = site.drifted()
        with _edited(site.lake.collections, f"\n{site.id}:\n", f"\n{site.id}.X:\n"):
            entry = site.drifted()
    finally:
        (site.root / "elsewhere").rename(archive)

    assert "data/2024/01/02" in missing["pool: every file that items name"]
    assert "LAKE_000001" in missing["pool: every file that items name"]
    assert set(title) == {"HDA: served collection"}
    assert set(entry) == {"HDA: configuration: entry"}


def test_a_restricted_collection_that_lies_open_is_drift(site: Site) -> None:
    made = Site(site.root, site.lake)
    made.publish(access="restricted", roles=[ROLE])
    assert made.drifted() == {}
    with _edited(made.lake.collections, f"  scopes:\n  - {ROLE}\n", ""):
        found = made.drifted()

    assert "agreed: DEDL_UGD_LAKE" in found["scopes: roles in the entry"]


def test_an_object_of_an_earlier_publication_that_is_used_still_is_compared(site: Site) -> None:
    made = Site(site.root, site.lake)
    made.publish()
    made.publish(ticket=f"T-{made.id[-6:]}-2", mode="replace")
    assert made.audit().ticket.endswith("-2")
    assert made.drifted() == {}

    with _object(made, made.key(1), b"x" * 40):
        found = made.drifted()

    assert made.key(1) in found["pool: files of earlier publications"]


def test_a_part_that_cannot_be_looked_at_is_unknown_and_no_success(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDL_SITE__STAC_API__URL", "http://127.0.0.1:9")

    found = site.audit()

    assert [r.part for r in found.rows if r.state == audit.UNKNOWN] == ["STAC API"]
    assert found.state == audit.UNKNOWN


def test_what_is_nowhere_is_refused(site: Site) -> None:
    with pytest.raises(InputError, match="nothing of EO.NOWHERE.DAT is there"):
        audit.audit("EO.NOWHERE.DAT", site.root)


def test_of_several_targets_the_one_is_asked_for(site: Site) -> None:
    other = site.root / "parameters" / "targets" / "other.yaml"
    other.write_text("archive: other\n")
    try:
        assert audit.audit(site.id, site.root).target == "site"
        with pytest.raises(InputError, match="which target is meant"):
            audit.audit("EO.NOWHERE.DAT", site.root)
    finally:
        other.unlink()
