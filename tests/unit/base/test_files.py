"""Files that are whole or not there, and numbers of folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from dedl_workbook.base.files import draft, next_number, whole, write_atomic


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_takes_its_place_when_all_of_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "list.txt"
    write_atomic(path, "old")

    with whole(path) as file:
        file.write(b"one")
        file.flush()
        assert path.read_text() == "old"
        file.write(b"two")

    assert path.read_text() == "onetwo"
    assert names(path.parent) == ["list.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_of_a_file_that_was_cut_off_nothing_stays(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "list.txt"
    write_atomic(path, "old")

    with pytest.raises(error), whole(path) as file:  # noqa: PT012
        file.write(b"half")
        raise error

    assert path.read_text() == "old"
    assert names(tmp_path) == ["list.txt"]


def test_a_file_has_the_mode_that_was_asked_for_and_no_wider_one_before(tmp_path: Path) -> None:
    with draft(tmp_path / "key", mode=0o600) as part:
        part.write_text("secret")
        assert part.stat().st_mode & 0o077 == 0

    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    write_atomic(tmp_path / "open", "x")
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o644


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other")
    (tmp_path / "link").symlink_to("other")

    write_atomic(tmp_path / "link", "new")

    assert (tmp_path / "other").read_text() == "other"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    ("there", "number"),
    [
        ([], "001"),
        (["001-upload", "002"], "003"),
        (["0999-x", "7"], "1000"),
        ([".draft-5", "x-9", "12a", "2-3"], "003"),
    ],
)
def test_the_next_number_comes_after_those_that_are_there(
    tmp_path: Path, there: list[str], number: str
) -> None:
    for name in there:
        (tmp_path / name).mkdir()

    assert next_number(tmp_path) == number
