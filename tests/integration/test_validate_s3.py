"""Datasets in a bucket, on a real S3 server: what is read of them, and what can go wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.base.errors import ServiceError
from dedl_workbook.cli import main
from dedl_workbook.dataset.dataset import Bucket, File, open_dataset
from dedl_workbook.parameters.target import S3
from dedl_workbook.rules.findings import Report
from dedl_workbook.rules.validation import validate

from tests.integration.shore import Shore, a_shore, listening
from tests.unit.builders import ID, any_asset, any_dataset, any_item, png, tiff
from tests.unit.rules.test_validation import any_target

ITEM = "metadata/items/heat_0.json"
PICTURE = "data/2024/11/16/heat_0/heat_0.png"
PREFIX = f"delivered/{ID}/"


@pytest.fixture
def shore(data_lake: Sandbox, tmp_path: Path) -> Shore:
    return a_shore(data_lake, tmp_path, "http")


def settings(shore: Shore) -> S3:
    values = shore.settings()
    del values["bucket"]
    return S3(**values)


def deliver(shore: Shore, root: Path) -> str:
    for path in root.rglob("*"):
        if path.is_file():
            shore.put(PREFIX + path.relative_to(root).as_posix(), path.read_bytes())
    return f"s3://{shore.bucket}/{PREFIX}"


def looked_at(shore: Shore, location: str, **options: Any) -> Report:
    dataset = open_dataset(location, settings=settings(shore))
    return validate(dataset, **{"second_opinion": "none", "executor": "auto", **options})


def test_a_dataset_gets_the_same_findings_in_a_bucket_as_in_a_folder(
    shore: Shore, tmp_path: Path
) -> None:
    item = any_item("heat_0", collection="EO.XXX.DAT.COLD")
    files = {"data/2024/b ü+%41.png": png(), "data/2024/A.png": b"", "data/2024/a.png": png()[:50]}
    root = any_dataset(tmp_path / "local", item, any_item("heat_1"), files=files)
    (root / "data/2024/11/16/heat_1/heat_1.png").write_bytes(b"no picture")

    there = looked_at(shore, deliver(shore, root))

    here = validate(open_dataset(str(root)), second_opinion="none")
    assert there.findings == here.findings
    assert {f.rule for f in here.findings} == {"I02", "A03", "A04", "L08", "L09"}
    assert (there.items, there.files, there.size) == (here.items, here.files, here.size)


class Traffic:
    """What was asked of a bucket's server, and how many bytes of objects it sent."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.received: Counter[str] = Counter()
        self.handlers = {
            "before-parameter-build.s3": self._asked,
            "after-call.s3.GetObject": self._sent,
        }

    def _asked(self, params: dict[str, Any], model: Any, context: Any, **_: Any) -> None:
        context["dedl_key"] = params.get("Key", "").removeprefix(PREFIX)
        self.calls[model.name, context["dedl_key"]] += 1

    def _sent(self, parsed: dict[str, Any], context: Any, **_: Any) -> None:
        self.received[context["dedl_key"]] += parsed["ContentLength"]


def test_no_more_is_read_of_objects_than_rules_need(shore: Shore, tmp_path: Path) -> None:
    below = "data/2024/11/16/heat_0"
    assets = {
        "map": any_asset(href=f"{below}/map.tif", type="image/tiff"),
        "picture": any_asset(href=f"{below}/picture.png"),
        "table": any_asset(href=f"{below}/table.csv", type="text/csv"),
        "tiny": any_asset(href=f"{below}/tiny.png"),
    }
    content = png()
    files = {
        f"{below}/map.tif": tiff() + bytes(3_000_000),
        f"{below}/picture.png": content[:33] + bytes(2_000_000) + content[-12:],
        f"{below}/table.csv": b"a,b\n" * 500_000,
        f"{below}/tiny.png": content,
    }
    root = any_dataset(tmp_path / "local", any_item("heat_0", assets=assets), files=files)
    dataset = open_dataset(deliver(shore, root), settings=settings(shore))
    assert isinstance(dataset, Bucket)
    traffic = Traffic()

    with listening(dataset.client, traffic.handlers):
        report = validate(dataset, second_opinion="none", executor="auto")

    assert report.findings == ()
    assert report.size == sum(map(len, files.values()))
    assert traffic.received == {
        "metadata/collection.json": (root / "metadata/collection.json").stat().st_size,
        ITEM: (root / ITEM).stat().st_size,
        f"{below}/map.tif": 4096,
        f"{below}/picture.png": 4096 + 12,
        f"{below}/table.csv": 4096,
        f"{below}/tiny.png": len(content),
    }
    asked = {name for name, key in traffic.calls if key.startswith("data/")}
    assert asked == {"GetObject"}
    assert traffic.calls["ListObjectsV2", ""] == 1


class Changing(Bucket):
    """A bucket in which something happens between listing and reading."""

    happens: Any

    def entries(self) -> Iterator[File]:
        yield from super().entries()
        type(self).happens(self)


def changing(shore: Shore, happens: Any) -> Report:
    kind = type("Then", (Changing,), {"happens": happens})
    return validate(kind(settings(shore), shore.bucket, PREFIX), second_opinion="none")


@pytest.mark.parametrize(
    ("vanishing", "rule", "file"),
    [(ITEM, "L03", ITEM), (PICTURE, "A01", ITEM)],
)
def test_an_object_that_vanishes_between_listing_and_reading_is_a_finding(
    shore: Shore, tmp_path: Path, vanishing: str, rule: str, file: str
) -> None:
    deliver(shore, any_dataset(tmp_path / "local", any_item("heat_0"), any_item("heat_1")))

    report = changing(
        shore, lambda b: b.client.delete_object(Bucket=b.bucket, Key=PREFIX + vanishing)
    )

    errors = [f for f in report.findings if f.severity == "error"]
    assert [(f.rule, f.file) for f in errors] == [(rule, file)]
    assert ("no such object any more" in errors[0].message) == (rule == "L03")
    assert ("vanished" in errors[0].message) == (rule == "A01")


def test_an_object_that_grows_between_listing_and_reading_is_a_finding(
    shore: Shore, tmp_path: Path
) -> None:
    deliver(shore, any_dataset(tmp_path / "local", any_item("heat_0")))
    grown = json.dumps(any_item("heat_0", properties={"x:more": "grown"})).encode()

    report = changing(
        shore, lambda b: b.client.put_object(Bucket=b.bucket, Key=PREFIX + ITEM, Body=grown)
    )

    (finding,) = [f for f in report.findings if f.severity == "error"]
    assert (finding.rule, finding.message) == (
        "L03",
        "can't be read: it was changed while it was read",
    )


def test_a_server_that_goes_away_stops_the_validation_instead_of_failing_each_item(
    shore: Shore, tmp_path: Path
) -> None:
    deliver(shore, any_dataset(tmp_path / "local", any_item("heat_0")))

    def leave(bucket: Bucket) -> None:
        object.__setattr__(
            bucket,
            "settings",
            settings(shore).model_copy(update={"endpoint": "http://127.0.0.1:9"}),
        )
        vars(bucket).pop("client")

    with pytest.raises(ServiceError, match="can't be read"):
        changing(shore, leave)


@pytest.fixture
def surroundings(shore: Shore, monkeypatch: pytest.MonkeyPatch) -> Shore:
    """The shore, found from the environment alone, as a submitter has it."""
    values = settings(shore)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", values.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", values.access_key.get_secret_value())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", values.secret_key.get_secret_value())
    monkeypatch.setenv("AWS_DEFAULT_REGION", values.region)
    return shore


def test_a_bucket_is_validated_with_what_the_environment_says(
    surroundings: Shore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    location = deliver(surroundings, any_dataset(tmp_path / "local", any_item("heat_0")))

    assert main.main(["validate", location, "--second-opinion", "none"]) == 0
    report = capsys.readouterr().out
    assert report.startswith("passed: 0 errors")
    assert "looked at: 1 item, 3 files, 69 B" in report


def test_the_metadata_of_a_bucket_is_mended_into_a_folder(
    surroundings: Shore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = any_dataset(tmp_path / "local", any_item("heat_0", collection="EO.XXX.DAT.COLD"))
    location, before = deliver(surroundings, root), surroundings.objects()
    mended = tmp_path / "mended"

    assert main.main(["validate", location, "--second-opinion", "none", "--fix", str(mended)]) == 1

    assert json.loads((mended / ITEM).read_bytes())["collection"] == ID
    assert (mended / "patches/items/heat_0.json").is_file()
    assert not (mended / "data").exists()
    assert surroundings.objects() == before
    assert "Traceback" not in capsys.readouterr().err


def policy(shore: Shore, action: str, resource: str) -> None:
    """Refuse an action to everybody."""
    statement = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": resource}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    shore.client.put_bucket_policy(Bucket=shore.bucket, Policy=json.dumps(document))


def test_a_bucket_that_denies_listing_is_one_line_and_exit_code_2(
    surroundings: Shore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    location = deliver(surroundings, any_dataset(tmp_path / "local"))
    policy(surroundings, "s3:ListBucket", f"arn:aws:s3:::{surroundings.bucket}")

    assert main.main(["validate", location]) == 2

    said = capsys.readouterr().err
    assert "can't be listed: AccessDenied" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("location", "said"),
    [("s3://there-is-no-such-bucket/x", "NoSuchBucket"), ("s3://{bucket}/x", "nothing lies there")],
)
def test_a_bucket_or_prefix_that_is_not_there_is_one_line_and_exit_code_2(
    surroundings: Shore, capsys: pytest.CaptureFixture[str], location: str, said: str
) -> None:
    assert main.main(["validate", location.format(bucket=surroundings.bucket)]) == 2

    assert said in capsys.readouterr().err


def test_wrong_keys_are_one_line_and_exit_code_2(
    surroundings: Shore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")

    assert main.main(["validate", f"s3://{surroundings.bucket}"]) == 2

    assert "The secret key is wrong" in capsys.readouterr().err


def test_an_object_that_may_not_be_read_is_a_finding(surroundings: Shore, tmp_path: Path) -> None:
    location = deliver(surroundings, any_dataset(tmp_path / "local", any_item("heat_0")))
    policy(surroundings, "s3:GetObject", f"arn:aws:s3:::{surroundings.bucket}/{PREFIX}{ITEM}")

    report = looked_at(surroundings, location)

    errors = [f for f in report.findings if f.severity == "error"]
    assert [(f.rule, f.file) for f in errors] == [("L03", ITEM)]
    assert "AccessDenied" in errors[0].message


def test_the_keywords_of_the_sample_are_known_to_the_hda_of_the_sandbox(
    data_lake: Sandbox, small_sample: Path
) -> None:
    url = data_lake.connections["DEDL_SANDBOX__HDA__URL"]

    report = validate(
        open_dataset(str(small_sample)),
        target=any_target(hda={"url": url, "folder": "hda"}),
        second_opinion="none",
    )

    assert f"that {url} serves" in " ".join(report.notes)
    assert [f for f in report.findings if f.rule == "C04"] == []
