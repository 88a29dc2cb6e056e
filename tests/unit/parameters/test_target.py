"""Targets: values from the file, secrets from the environment, and what is refused."""

from pathlib import Path

import pytest
import yaml
from dedl_workbook.base.errors import InputError
from dedl_workbook.parameters.target import Target

PROJECT = Path(__file__).parents[3]
SECRETS = {
    "DEDL_SITE__S3__ACCESS_KEY": "canary-access",
    "DEDL_SITE__S3__SECRET_KEY": "canary-secret",
    "DEDL_SITE__CATALOG__PASSWORD": "canary-password",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "parameters" / "targets").mkdir(parents=True)
    write(tmp_path)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def write(root: Path, **changes: object) -> None:
    values = {
        "s3": {"endpoint": "https://pool.example.int", "bucket": "fresh-data-pool"},
        "catalog": {"host": "db.example.int", "database": "dedl", "user": "loader"},
        "stac_api": {"url": "https://stac.example.int"},
        "archive": "archive",
    }
    (root / "parameters" / "targets" / "site.yaml").write_text(yaml.safe_dump(values | changes))


def test_takes_its_secrets_from_the_environment_and_shows_none(root: Path) -> None:
    target = Target.load("site", root)

    assert target.secrets() == sorted(SECRETS.values())
    assert "canary" not in repr(target) + str(target) + target.model_dump_json()
    assert target.archive == root / "archive"


def test_lets_the_environment_overrule_dotenv_and_that_the_file(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".env").write_text(
        "DEDL_SITE__S3__BUCKET=of-dotenv\nDEDL_SITE__CATALOG__USER=of-dotenv\nOTHER=x\n"
    )
    monkeypatch.setenv("DEDL_SITE__S3__BUCKET", "of-environment")

    target = Target.load("site", root)

    assert (target.s3.bucket, target.catalog.user) == ("of-environment", "of-dotenv")
    assert target.s3.endpoint == "https://pool.example.int"


def test_names_the_variable_of_a_missing_secret(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEDL_SITE__S3__SECRET_KEY")

    with pytest.raises(InputError, match="set DEDL_SITE__S3__SECRET_KEY in the environment"):
        Target.load("site", root)


def test_refuses_a_secret_that_stands_in_the_file_without_repeating_it(root: Path) -> None:
    write(root, catalog={"host": "h", "database": "d", "user": "u", "password": "canary"})

    with pytest.raises(InputError, match=r"catalog\.password: a secret does not belong") as refused:
        Target.load("site", root)

    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bucket": 1}, "bucket: unknown key"),
        ({"s3": {"endpoint": "pool", "bucket": "bbb"}}, "s3.endpoint: must be an address that"),
        ({"s3": {"endpoint": "http://h", "bucket": "B_"}}, "s3.bucket: must be 3 to 63 small"),
        ({"rules": {"X1": "off"}}, "must be the id of a rule, such as C04; found 'X1'"),
        ({"s3": {"endpoint": "http://h", "bukket": "bbb"}}, "Did you mean 'bucket'?"),
        ({"catalog": {"host": "h", "port": 99999}}, "catalog.port: should be less than"),
        ({"archive": ...}, "archive: is missing"),
        ({"rules": {"C04": "fatal"}}, "rules.C04"),
        ({"name": "other"}, "name: must be 'site'"),
    ],
)
def test_refuses_what_is_wrong_and_names_the_key(
    root: Path, changes: dict[str, object], said: str
) -> None:
    write(root, **{key: value for key, value in changes.items() if value is not ...})
    if changes.get("archive") is ...:
        file = root / "parameters" / "targets" / "site.yaml"
        file.write_text(file.read_text().replace("archive: archive\n", ""))

    with pytest.raises(InputError) as refused:
        Target.load("site", root)

    assert said in str(refused.value)


def test_offers_the_nearest_name_for_a_target_that_is_not_there(root: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'site'?"):
        Target.load("sites", root)


def test_tells_how_to_start_the_sandbox_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "parameters" / "targets"
    folder.mkdir(parents=True)
    text = (PROJECT / "parameters" / "targets" / "sandbox.yaml").read_text()
    (folder / "sandbox.yaml").write_text(text)

    with pytest.raises(InputError, match="dedl-workbook sandbox up"):
        Target.load("sandbox", tmp_path)


def test_the_example_for_production_is_complete_but_for_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "parameters" / "targets"
    folder.mkdir(parents=True)
    text = (PROJECT / "parameters" / "targets" / "production.example.yaml").read_text()
    (folder / "production.yaml").write_text(text)
    for name in ("S3__ACCESS_KEY", "S3__SECRET_KEY", "CATALOG__PASSWORD", "IAM__LOGIN__PASSWORD"):
        monkeypatch.setenv(f"DEDL_PRODUCTION__{name}", "x" * 10)
        assert f"DEDL_PRODUCTION__{name}" in text
    for name in ("PROPOSALS__ACCESS_KEY", "PROPOSALS__SECRET_KEY"):
        monkeypatch.setenv(f"DEDL_PRODUCTION__{name}", "x" * 10)

    target = Target.load("production", tmp_path)

    assert not target.allow_any_approval
