"""Datasets in buckets that refuse, at the command line: a finding or one error, no traceback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.cli.codes import COULD_NOT_RUN, DONE, FAILED
from dedl_workbook.cli.main import main

from tests.integration.faulty import Fate, Faulty, faulty
from tests.integration.shore import Shore, a_shore
from tests.unit.builders import ID, any_dataset, any_item

ITEM = "metadata/items/heat_20241116.json"
COLLECTION = "metadata/collection.json"
PICTURE = "data/2024/11/16/heat_20241116/heat_20241116.png"


def also(*values: Any) -> Any:
    """Return a case of a test that belongs to the slow ones."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture
def shore(
    data_lake: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Shore, Faulty]]:
    """A right dataset in a bucket of its own, behind a proxy; boto3 is told of both."""
    made = a_shore(data_lake, tmp_path, "http")
    root = any_dataset(tmp_path, any_item(), any_item("heat_second"))
    for path in root.rglob("*"):
        if path.is_file():
            made.put(f"{ID}/{path.relative_to(root)}", path.read_bytes())
    settings = made.settings()
    # boto3 reads the environment once.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with faulty(settings["endpoint"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", settings["access_key"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", settings["secret_key"])
        monkeypatch.setenv("AWS_DEFAULT_REGION", settings["region"])
        yield made, proxy


def validate(shore: Shore, *more: str) -> int:
    return main(["validate", f"s3://{shore.bucket}/{ID}", "--second-opinion", "none", *more])


def test_a_right_dataset_in_a_bucket_passes(shore: tuple[Shore, Faulty]) -> None:
    assert validate(shore[0]) == DONE


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "nobody", "InvalidAccessKeyId"),
    ],
)
def test_a_key_that_the_store_refuses_is_one_error(
    shore: tuple[Shore, Faulty],
    name: str,
    value: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)

    assert validate(shore[0]) == COULD_NOT_RUN

    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


def test_a_bucket_that_is_not_there_is_one_error(
    shore: tuple[Shore, Faulty], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", f"s3://{shore[0].bucket}-not/{ID}"]) == COULD_NOT_RUN

    shown = capsys.readouterr().err
    assert "NoSuchBucket" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_bucket_that_denies_listing_is_one_error(
    shore: tuple[Shore, Faulty], allowed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """At once, or after some listings that it allowed."""
    made, proxy = shore
    seen: list[str] = []

    def when(method: str, path: str) -> Fate:
        if "list-type=2" not in path:
            return None
        seen.append(path)
        return (403, "AccessDenied") if len(seen) > allowed else None

    proxy.when = when

    code = validate(made)

    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert code == COULD_NOT_RUN
    assert "AccessDenied" in shown


@pytest.mark.parametrize(
    ("path", "fate"),
    [
        (PICTURE, (403, "AccessDenied")),
        (PICTURE, (404, "NoSuchKey")),
        (ITEM, (403, "AccessDenied")),
        also(ITEM, (404, "NoSuchKey")),
        also(COLLECTION, (403, "AccessDenied")),
        also(COLLECTION, (404, "NoSuchKey")),
    ],
)
def test_an_object_that_is_denied_or_vanishes_is_never_passed(
    shore: tuple[Shore, Faulty],
    path: str,
    fate: Fate,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is a finding, or, where nothing can be judged without it, one error."""
    made, proxy = shore
    proxy.when = lambda method, asked: fate if path in asked and method in ("GET", "HEAD") else None
    said = tmp_path / "report.json"

    code = validate(made, "--json", str(said))

    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    if code == FAILED:
        found = json.loads(said.read_text())["findings"]
        assert [f for f in found if f["severity"] == "error"]
    else:
        assert code == COULD_NOT_RUN
        assert shown.err.splitlines()[-2:][0].startswith("error: ")
