"""The ledger: what was tampered with is noticed, what a crash cut off is not lost."""

import json
from pathlib import Path

import pytest
from dedl_workbook.base.errors import EvidenceError
from dedl_workbook.case import ledger


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.jsonl"
    for number in range(4):
        ledger.append(path, {"event": "started", "number": number, "text": "zwölf\nLines"})
    return path


def test_gives_back_what_was_appended_in_order(file: Path) -> None:
    lines = ledger.read(file)

    assert [(line["seq"], line["number"]) for line in lines] == [(1, 0), (2, 1), (3, 2), (4, 3)]


def test_has_no_lines_where_there_is_no_file(tmp_path: Path) -> None:
    assert ledger.read(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("line", [0, 1, 2])
@pytest.mark.parametrize("harm", ["removed", "edited", "swapped", "not JSON"])
def test_notices_a_line_that_was_tampered_with(file: Path, line: int, harm: str) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    if harm == "removed":
        del lines[line]
    elif harm == "edited":
        lines[line] = lines[line].replace(b"started", b"planned")
    elif harm == "swapped":
        lines[line], lines[line + 1] = lines[line + 1], lines[line]
    else:
        lines[line] = b"{\n"
    file.write_bytes(b"".join(lines))

    with pytest.raises(EvidenceError, match="chain is broken"):
        ledger.read(file)
    before = file.read_bytes()
    with pytest.raises(EvidenceError):
        ledger.append(file, {"event": "x"})
    assert file.read_bytes() == before


def test_stays_readable_after_a_crash_in_the_middle_of_a_line_and_keeps_the_rest(
    file: Path,
) -> None:
    with file.open("ab") as open_file:
        open_file.write(b'{"seq":5,"event":"outc')

    assert len(ledger.read(file)) == 4
    line = ledger.append(file, {"event": "started"})

    assert line["seq"] == 5
    assert line["torn"] == '{"seq":5,"event":"outc'
    assert [entry["seq"] for entry in ledger.read(file)] == [1, 2, 3, 4, 5]


def test_survives_a_crash_in_the_very_first_line(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    file.write_bytes(b'{"seq":1')

    ledger.append(file, {"event": "started"})

    assert [line["seq"] for line in ledger.read(file)] == [1]
    assert json.loads(file.read_bytes())["torn"] == '{"seq":1'
