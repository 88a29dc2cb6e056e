"""Datasets: what can be opened, and how a person is told that something can't."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from botocore.exceptions import NoCredentialsError, PartialCredentialsError
from dedl_workbook.base.errors import InputError
from dedl_workbook.dataset import s3, walk
from dedl_workbook.dataset.dataset import File, Names, open_dataset

from tests.unit.builders import any_dataset


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("", "no dataset was named"),
        (" ", "no dataset was named"),
        ("https://x/y", "can't be read from such an address"),
        ("S3://bucket/prefix", "can't be read from such an address"),
    ],
)
def test_refuses_what_is_neither_a_folder_nor_a_bucket_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str, said: str
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InputError, match=said) as refused:
        open_dataset(location)

    assert "s3://bucket/prefix with s3:// in small letters" in refused.value.remedy


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("nowhere", "there is no such folder"),
        ("~there-is-no-such-user/x", "can't be read"),
        ("x" * 300, "File name too long"),
        ("file", "is a file"),
        ("empty", "is an empty folder"),
    ],
)
def test_says_why_a_folder_is_no_dataset(tmp_path: Path, location: str, said: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()

    with pytest.raises(InputError, match=said):
        open_dataset(location, root=tmp_path)


@pytest.mark.parametrize(
    "error",
    [NoCredentialsError(), PartialCredentialsError(provider="env", cred_var="aws_secret")],
)
def test_says_what_to_set_where_there_are_no_credentials(error: Exception) -> None:
    remedy = s3.explained(error, "s3://bucket can't be listed").remedy

    assert "AWS_ACCESS_KEY_ID" in remedy
    assert "target" in remedy


def test_a_folder_of_more_names_than_are_held_in_memory_is_listed_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["b", "a.txt", "a/x", "é", "\udcff", "line\nend", "Z", "zz/1", "zz/0"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    whole = [file.path for file in open_dataset(str(tmp_path)).files()]

    monkeypatch.setattr(walk, "RUN", 2)

    assert [file.path for file in open_dataset(str(tmp_path)).files()] == whole
    assert whole == sorted(names, key=os.fsencode)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left"), FileNotFoundError("No usable folder")]
)
def test_a_large_folder_is_neither_closed_nor_gone_where_there_is_no_room_to_sort_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def full(**_: str) -> None:
        raise error

    for name in "abc":
        (tmp_path / name).write_text("x")
    monkeypatch.setattr(walk, "RUN", 2)
    # A disk that is full can't be had without mounting one.
    monkeypatch.setattr(tempfile, "TemporaryFile", full)

    with pytest.raises(type(error)):
        list(open_dataset(str(tmp_path)).files())


def test_entries_are_the_files_of_which_only_the_odd_ones_were_looked_at(tmp_path: Path) -> None:
    for name in ("data/a/x", "data/b", "data/c/y", "data/d", "metadata/items/i.json", "z"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "data/a/link").symlink_to("x")
    (tmp_path / "data/a/folder").symlink_to("..")
    (tmp_path / "data/empty").mkdir()
    os.mkfifo(tmp_path / "data/pipe")
    dataset = open_dataset(str(tmp_path))

    entries = list(dataset.entries())

    files = {file.path: file for file in dataset.files()}
    assert [e for e in entries if isinstance(e, File)] == [
        file for file in files.values() if file.kind != "file"
    ]
    together = [e for e in entries if isinstance(e, Names)]
    assert [(names.folder, names.names) for names in together] == [
        ("data/a/", ["x"]),
        ("data/", ["b"]),
        ("data/c/", ["y"]),
        ("data/", ["d"]),
        ("metadata/items/", ["i.json"]),
        ("", ["z"]),
    ]


def test_a_dataset_that_vanishes_is_an_error_and_no_empty_one(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    dataset = open_dataset(str(root))
    listing = dataset.files()
    next(listing)
    shutil.rmtree(root)

    for left in (listing, dataset.files(), dataset.entries(), dataset.files("metadata/items/")):
        with pytest.raises(InputError, match="the dataset's folder is gone"):
            list(left)
