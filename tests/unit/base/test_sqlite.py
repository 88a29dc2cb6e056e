"""Databases that are kept, and those that go away."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from dedl_workbook.base.sqlite import connect, scratch


def test_what_is_read_is_never_made_nor_written(tmp_path: Path) -> None:
    path = tmp_path / "odd name?#%.sqlite"

    with pytest.raises(sqlite3.OperationalError):
        connect(path)
    assert not path.exists()

    with closing(connect(path, write=True)) as database:
        database.execute("create table numbers (number)")
    with (
        closing(connect(path)) as database,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        database.execute("insert into numbers values (1)")


def test_of_a_scratch_nothing_stays(tmp_path: Path) -> None:
    with scratch("create table numbers (number);", tmp_path) as database:
        database.execute("insert into numbers values (1)")
        assert list(tmp_path.rglob("*.sqlite"))

    assert list(tmp_path.iterdir()) == []


def test_a_scratch_that_fails_leaves_nothing_either(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch("", tmp_path):
        raise ZeroDivisionError

    assert list(tmp_path.iterdir()) == []
