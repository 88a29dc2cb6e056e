"""A case without any server: what can be tested of ledgers, gates and evidence alone."""

import hashlib
from pathlib import Path

import nbformat
import pytest
import yaml
from dedl_workbook.base import signature
from dedl_workbook.case.case import Case
from dedl_workbook.evidence import bag as bags
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.rules.schemas import store as schemas

from tests.unit.oracle import SHARED

CANARIES = ("canary-access-1", "canary-secret-2", "canary-password-3")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workbook's folder with one target, whose secrets are canaries, and one dataset."""
    return make_root(tmp_path / "workbook", monkeypatch)


def make_root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (folder / "parameters" / "targets").mkdir(parents=True)
    (folder / "parameters" / "tickets").mkdir()
    (folder / "delivered" / "data").mkdir(parents=True)
    (folder / "delivered" / "data" / "a.tif").write_bytes(b"data")
    values = {
        "s3": {"endpoint": "http://127.0.0.1:9", "bucket": "pool"},
        "catalog": {"host": "127.0.0.1", "port": 9, "database": "dedl", "user": "loader"},
        "stac_api": {"url": "http://127.0.0.1:9"},
        "archive": "archive",
    }
    (folder / "parameters" / "targets" / "site.yaml").write_text(yaml.safe_dump(values))
    names = ("S3__ACCESS_KEY", "S3__SECRET_KEY", "CATALOG__PASSWORD")
    for name, value in zip(names, CANARIES, strict=True):
        monkeypatch.setenv(f"DEDL_SITE__{name}", value)
    return folder


def make_case(root: Path, **changes: object) -> Case:
    values = {
        "ticket": "DEDL-1",
        "dataset": "delivered",
        "collection": "EO.XXX.DAT.YYY",
        "target": "site",
        "board_reference": "minutes 7",
        "board_date": "2026-11-02",
        **changes,
    }
    return Case.of(Ticket.of(values, "the test"), root)


def worked_case(root: Path) -> Case:
    """A case in which validating failed once and then passed."""
    case = make_case(root)
    for verdict in (Verdict.FAILED, Verdict.PASSED):
        folder = case.new_attempt("validate")
        nbformat.write(nbformat.v4.new_notebook(), folder / "notebook.ipynb")
        case.record_outcome(folder, Outcome("validate", verdict, "36 items"), "fingerprint")
    return case


@pytest.fixture(scope="session")
def core() -> Path:
    """The environment's store, with the schemas of the core."""
    report = schemas.sync(source="packages")
    absent = [url for url in report.absent if "schemas.stacspec.org" in url]
    assert absent == [], report.problems
    return schemas.default_store()


@pytest.fixture(scope="session")
def store(core: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of our own with the core, and with the extensions where their files are here."""
    folder = tmp_path_factory.mktemp("store")
    schemas.sync(folder, source=core)
    if (SHARED / "stac-schemas").is_dir():
        schemas.sync(folder, source=SHARED / "stac-schemas")
    return folder


def remade(bag: Path, key: Path | None = None) -> None:
    """Make the manifests of a bag anew, as somebody does who covers up a change."""
    digests = {
        file.relative_to(bag).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in bag.rglob("*")
        if file.is_file()
    }
    payload = bags.manifest_of((n, d) for n, d in digests.items() if n.startswith("data/"))
    (bag / bags.MANIFEST).write_bytes(payload)
    info = (bag / "bag-info.txt").read_text().splitlines()
    info = [line for line in info if not line.startswith((bags.SIGNED_WITH, "Payload-Oxum"))]
    sizes = [(bag / name).stat().st_size for name in digests if name.startswith("data/")]
    info += [f"Payload-Oxum: {sum(sizes)}.{len(sizes)}"]
    info += [f"{bags.SIGNED_WITH}: {signature.fingerprint(key)}"] if key else []
    (bag / "bag-info.txt").write_text("\n".join(info) + "\n")
    tags = {n: hashlib.sha256((bag / n).read_bytes()).hexdigest() for n in bags.TAG_FILES}
    listed = bags.manifest_of(tags.items())
    (bag / bags.TAG_MANIFEST).write_bytes(listed)
    if key:
        (bag / bags.SIGNATURE).write_bytes(signature.sign(listed, key))
