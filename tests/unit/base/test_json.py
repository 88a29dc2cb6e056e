"""JSON: strict reading, canonical writing, whole files."""

from pathlib import Path

import pytest
from dedl_workbook.base.files import next_number, write_atomic
from dedl_workbook.base.json import canonical, digest, parse, pretty
from dedl_workbook.base.text import printable
from hypothesis import given
from hypothesis import strategies as st

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_reads_back_what_it_wrote(value: object) -> None:
    assert parse(canonical(value)) == value


def test_gives_equal_digests_for_equal_values_in_any_order() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a": 1, "a": 2}', "the key 'a' twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b"\xef\xbb\xbf{}", "byte-order mark"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"[" * 200_000, "nested too deep"),
        (b"{", "Expecting property name"),
        (b"", "Expecting value"),
    ],
)
def test_refuses_what_is_not_strict_json_and_says_why(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(data)


def test_leaves_the_old_file_when_writing_fails(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    write_atomic(file, "old")

    with pytest.raises(TypeError):
        write_atomic(file, 1)  # type: ignore[arg-type]

    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_shows_what_no_terminal_should_obey_and_no_stream_could_write() -> None:
    text = "a\x1b[2J\n\udcff\x7f\u2028é"

    assert printable(text) == r"a\x1b[2J\n\udcff\x7f\u2028é"
    assert printable(text, lines=True) == "a\\x1b[2J\n\\udcff\\x7f\\u2028é"


def test_writes_json_that_can_be_read_even_of_undecodable_names(tmp_path: Path) -> None:
    value = {"file": "data/\udcff.png"}

    write_atomic(tmp_path / "a.json", pretty(value))

    assert parse((tmp_path / "a.json").read_bytes()) == value


@pytest.mark.parametrize(
    ("there", "after"),
    [
        ([], "001"),
        (["001-validate", "002-plan", "notes", "9x-other"], "003"),
        (["998-plan", "999-run", "1000-access"], "1001"),
        (["007"], "008"),
    ],
)
def test_the_next_number_comes_after_all_that_are_there(
    tmp_path: Path, there: list[str], after: str
) -> None:
    for name in there:
        (tmp_path / name).mkdir()

    assert next_number(tmp_path) == after
