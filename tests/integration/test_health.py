"""Health: the real services of the sandbox answer; one that is wrong fails alone."""

import os
from pathlib import Path

import dedl_sandbox as sandbox
import pytest
from dedl_sandbox import state
from dedl_workbook.services import health

ENDS = ("S3 pool", "database", "STAC API", "HDA", "HDA's files", "IAM", "help desk", "archive")


@pytest.fixture
def root(data_lake: sandbox.Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workbook's folder with the target of the sandbox, as the workbook has it."""
    (tmp_path / "parameters" / "targets").mkdir(parents=True)
    text = "name: sandbox\ns3: {}\ncatalog: {}\nstac_api: {}\niam: {}\nhda: {}\n"
    text += "helpdesk: {kind: roundup}\narchive: archive\n"
    text += f"settings_file: {data_lake.folder / state.CONNECTION}\n"
    (tmp_path / "parameters" / "targets" / "sandbox.yaml").write_text(text)
    for name, value in data_lake.connections.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def states(root: Path) -> dict[str, health.Health]:
    return {one.service: one for one in health.check("sandbox", root)}


def test_every_service_of_the_sandbox_answers(root: Path) -> None:
    found = states(root)

    assert {name: found[name].found for name in ENDS if found[name].state != "answers"} == {}
    assert "PgSTAC 0." in found["database"].found
    assert found["S3 proposals"].state == "not configured"


@pytest.mark.parametrize(
    ("variable", "value", "service", "said", "remedy"),
    [
        ("S3__BUCKET", "no-such-bucket", "S3 pool", "NoSuchBucket", "no such bucket"),
        ("S3__SECRET_KEY", "wrong", "S3 pool", "SignatureDoesNotMatch", "secret key is wrong"),
        ("CATALOG__PASSWORD", "wrong", "database", "password", "Check user and password"),
        ("CATALOG__DATABASE", "postgres", "database", "no PgSTAC", "pypgstac migrate"),
        ("STAC_API__URL", "{iam}", "STAC API", "the STAC API", "at the address"),
        ("HDA__FOLDER", "/nonexistent", "HDA's files", "is missing", "Check hda"),
        ("IAM__LOGIN__PASSWORD", "wrong", "IAM", "can't log in", "iam.login"),
        ("HELPDESK__PASSWORD", "wrong", "help desk", "refuses the user", "HELPDESK__USER"),
    ],
)
def test_what_is_wrong_fails_alone_with_its_remedy(
    root: Path,
    data_lake: sandbox.Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    service: str,
    said: str,
    remedy: str,
) -> None:
    value = value.format(iam=data_lake.endpoints["iam"])
    monkeypatch.setenv(f"DEDL_SANDBOX__{variable}", value)

    found = states(root)

    assert [name for name in ENDS if found[name].state == "fails"] == [service]
    assert said in found[service].found
    assert remedy in found[service].remedy
    secrets = [v for k, v in os.environ.items() if "PASSWORD" in k and k.startswith("DEDL_SANDBOX")]
    assert not any(len(secret) > 8 and secret in repr(found) for secret in secrets)


def test_an_answer_that_nobody_foresaw_is_one_service_that_fails(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(_: object) -> str:
        raise RecursionError("with a secret in it")

    monkeypatch.setattr(health, "_iam", odd)

    found = states(root)

    assert [name for name in ENDS if found[name].state == "fails"] == ["IAM"]
    assert found["IAM"].found == "answers in a way that nobody foresaw (RecursionError)"


@pytest.mark.parametrize("text", ["s3: [\n", "name: sandbox\n"], ids=["broken", "incomplete"])
def test_settings_that_are_wrong_are_one_row_with_a_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / "parameters" / "targets").mkdir(parents=True)
    (tmp_path / "parameters" / "targets" / "lake.yaml").write_text(text)

    (found,) = health.check("lake", tmp_path)

    assert (found.service, found.state) == ("settings", "fails")
    assert "lake.yaml" in found.found
    assert "production.example.yaml explains" in found.remedy
