"""The rehearsal: the very ticket in the sandbox; the real target hears nothing of it."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import dedl_sandbox as sandbox
import pytest
import yaml
from dedl_sandbox import hda as sandbox_hda
from dedl_workbook import evidence
from dedl_workbook.case.case import Case
from dedl_workbook.cli import sandbox as commands
from dedl_workbook.cli.main import main
from dedl_workbook.dataset import s3
from dedl_workbook.publication.job import Verdict

from tests.conftest import COLLECTION, Workbook


class Tripwire:
    """A server that answers nobody, and remembers that somebody came."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.touched = 0
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def _listen(self) -> None:
        while True:
            try:
                self._socket.accept()[0].close()
            except OSError:
                return
            self.touched += 1

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def tripwire() -> Iterator[Tripwire]:
    made = Tripwire()
    yield made
    made.close()


@pytest.fixture
def real(lake: Workbook, tripwire: Tripwire, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A target all of whose services are the tripwire; returns its HDA configuration."""
    folder = lake.root / "hda"
    url = f"http://127.0.0.1:{tripwire.port}"
    sandbox_hda.write_configuration(
        folder, api=url, s3=url, region="eu-1", access_key="real", secret_key="real-secret-key"
    )
    values = {
        "s3": {"endpoint": url, "bucket": "pool"},
        "catalog": {
            "host": "127.0.0.1",
            "port": tripwire.port,
            "database": "dedl",
            "user": "loader",
        },
        "stac_api": {"url": url},
        "hda": {"url": url, "folder": "hda"},
        "helpdesk": {"kind": "roundup", "url": url, "user": "us"},
        "iam": {"issuer": url, "identity": "environment"},
        "archive": "archive/real",
    }
    (lake.root / "parameters" / "targets" / "real.yaml").write_text(yaml.safe_dump(values))
    secrets = ("S3__ACCESS_KEY", "S3__SECRET_KEY", "CATALOG__PASSWORD", "HELPDESK__PASSWORD")
    for name in secrets:
        monkeypatch.setenv(f"DEDL_REAL__{name}", "canary-of-the-real-target")
    monkeypatch.setattr(commands, "sandbox_folder", lambda: lake.sandbox.folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def rehearsed(lake: Workbook) -> Path:
    return lake.archive / "real" / "DEDL-1" / "rehearsal" / "001"


def seen(lake: Workbook, name: str) -> dict[str, object]:
    answer: dict[str, object] = json.loads((rehearsed(lake) / "hda" / f"{name}.json").read_text())
    return answer


@pytest.mark.slow
def test_publishes_into_the_sandbox_and_never_touches_the_target(
    lake: Workbook, real: Path, tripwire: Tripwire, capsys: pytest.CaptureFixture[str]
) -> None:
    lake.write_ticket(target="real", board_reference="", board_date="")
    before = contents(real)

    code = main(["run", "DEDL-1", "--rehearse", "--json"])

    told = json.loads(capsys.readouterr().out)[0]
    assert code == 0, told
    assert [o["verdict"] for o in told["outcomes"]] == [str(Verdict.PASSED)] * 7
    assert tripwire.touched == 0
    assert contents(real) == before
    page = (rehearsed(lake) / "index.html").read_text()
    assert "real was not touched" in page
    assert page.index("What the user would be told") < page.index("The steps")
    pages = rehearsed(lake).rglob("*.html")
    assert [page.name for page in pages if "dedl-rehearsal-" in page.read_text()] == []
    collection = seen(lake, "collection")
    assert (collection["status"], collection["body"]["id"]) == (200, COLLECTION)  # type: ignore[index]
    assert len(seen(lake, "items")["body"]["features"]) == 3  # type: ignore[index]
    assert "canary" not in "".join(p.read_text() for p in rehearsed(lake).rglob("*.json"))
    case = Case.of(lake.ticket(target="real"), lake.root)
    assert case.ledger()[-1]["event"] == "rehearsed"
    evidence.pack(case)
    assert (case.folder / "bag" / "data" / "rehearsal" / "001" / "index.html").is_file()
    assert case.approved_plan() is None, "a rehearsal approves nothing"


def test_the_tripwire_notices_a_touch(lake: Workbook, real: Path, tripwire: Tripwire) -> None:
    lake.write_ticket(target="real")

    assert main(["target", "check", "real"]) == 1

    assert tripwire.touched > 0


@pytest.mark.slow
def test_a_restricted_dataset_is_closed_to_whoever_has_no_token(
    lake: Workbook, real: Path, tripwire: Tripwire
) -> None:
    lake.write_ticket(target="real", access="restricted", roles=["DEDL_UGD_REHEARSED"])

    assert main(["run", "DEDL-1", "--rehearse"]) == 0

    assert seen(lake, "collection")["status"] in (401, 403)
    assert tripwire.touched == 0


@pytest.mark.slow
def test_what_would_fail_fails_in_the_rehearsal(lake: Workbook, real: Path) -> None:
    entry = f"\n{COLLECTION}:\n  title: Somebody else's\n"
    with (real / "collections.yml").open("a") as file:
        file.write(entry)
    lake.write_ticket(target="real")

    assert main(["run", "DEDL-1", "--rehearse"]) == 1

    assert "failed" in (rehearsed(lake) / "index.html").read_text()


@pytest.mark.slow
def test_a_dataset_in_a_bucket_that_replaces_a_published_one_is_rehearsed(
    lake: Workbook, real: Path, tripwire: Tripwire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDA's files list the collection already; the proposals are elsewhere than the pool."""
    store = lake.target.s3
    file = lake.root / "parameters" / "targets" / "real.yaml"
    values = yaml.safe_load(file.read_text()) | {"proposals": {"endpoint": store.endpoint}}
    file.write_text(yaml.safe_dump(values))
    for name in ("access_key", "secret_key"):
        variable = f"DEDL_REAL__PROPOSALS__{name.upper()}"
        monkeypatch.setenv(variable, getattr(store, name).get_secret_value())
    lake.write_ticket(target="real", dataset=delivered(lake), mode="replace")
    list_in_hda(real)
    before = contents(real)

    assert main(["run", "DEDL-1", "--rehearse"]) == 0

    assert seen(lake, "collection")["status"] == 200
    body = seen(lake, "collection")["body"]
    assert body["title"] != "As published before"  # type: ignore[index]
    assert len(seen(lake, "items")["body"]["features"]) == 3  # type: ignore[index]
    secret = store.secret_key.get_secret_value()
    assert secret not in "".join(p.read_text() for p in rehearsed(lake).rglob("*.json"))
    assert contents(real) == before
    assert tripwire.touched == 0


def delivered(lake: Workbook) -> str:
    """Put the dataset into a bucket of proposals, and return its address."""
    client = s3.client(lake.target.s3)
    for file in filter(Path.is_file, lake.dataset.rglob("*")):
        key = f"proposals/{COLLECTION}/{file.relative_to(lake.dataset).as_posix()}"
        client.upload_file(str(file), lake.bucket, key)
    return f"s3://{lake.bucket}/proposals/{COLLECTION}"


def list_in_hda(real: Path) -> None:
    """Let HDA's files list the collection, as an earlier publication left them."""
    with (real / "collections.yml").open("a") as file:
        file.write(f"\n{COLLECTION}:\n  title: As published before\n  description: Before\n")
    provider = real / "providers" / "dedl_usergenerated.yml"
    before, products, after = provider.read_text().partition("  products:\n")
    assert products
    product = f"    {COLLECTION}:\n      _collection: {COLLECTION}\n"
    provider.write_text(before + products + product + after)


def test_the_dialect_of_eodag_3_is_refused_with_what_to_do_instead(
    lake: Workbook, real: Path, tripwire: Tripwire, capsys: pytest.CaptureFixture[str]
) -> None:
    file = lake.root / "parameters" / "targets" / "real.yaml"
    values = yaml.safe_load(file.read_text())
    values["hda"]["dialect"] = "eodag3"
    file.write_text(yaml.safe_dump(values))
    lake.write_ticket(target="real")

    assert main(["run", "DEDL-1", "--rehearse"]) == 2

    said = " ".join(capsys.readouterr().err.split())
    assert "of the dialect eodag3 can't be rehearsed" in said
    assert "Plan and approve without a rehearsal" in said
    assert tripwire.touched == 0


def test_what_cannot_be_rehearsed_says_why(
    lake: Workbook, real: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (real / "collections.yml").unlink()
    lake.write_ticket(target="real")

    assert main(["run", "DEDL-1", "--rehearse"]) == 2

    assert "can't be copied" in capsys.readouterr().err


def test_leaves_nothing_behind_in_the_sandbox(
    lake: Workbook, real: Path, data_lake: sandbox.Sandbox
) -> None:
    import psycopg

    (real / "collections.yml").unlink()
    lake.write_ticket(target="real")
    main(["run", "DEDL-1", "--rehearse"])

    with psycopg.connect(data_lake.admin_dsn) as connection:
        rows = connection.execute("select datname from pg_database").fetchall()
    assert [name for (name,) in rows if name.startswith("rehearsal")] == []
