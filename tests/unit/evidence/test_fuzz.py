"""The readers of bags, manifests and ledgers take any bytes: they are read right, or refused."""

import io
import shutil
import zipfile
from pathlib import Path

import pytest
from dedl_workbook import evidence
from dedl_workbook.base.errors import EvidenceError, InputError
from dedl_workbook.case import ledger
from dedl_workbook.evidence import bag as bags
from dedl_workbook.publication import anchor
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.unit.conftest import make_case, make_root

EVERY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SHA256 = "0" * 64


@st.composite
def changed(draw: st.DrawFn, raw: bytes) -> bytes:
    """Return bytes with a piece cut out, and another put in."""
    start = draw(st.integers(0, len(raw)))
    length = draw(st.integers(0, min(64, len(raw) - start)))
    return raw[:start] + draw(st.binary(max_size=64)) + raw[start + length :]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bag with a few attempts."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        case = make_case(make_root(tmp_path_factory.mktemp("fuzz") / "workbook", monkeypatch))
        for step in ("validate", "upload"):
            (case.new_attempt(step) / "log.txt").write_text(step)
        return evidence.pack(case).path


@EVERY
@given(raw=st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_manifest_or_refused(raw: bytes) -> None:
    try:
        entries = bags.manifest(raw, "m")
    except EvidenceError:
        return

    assert all(len(value) == len(SHA256) for value in entries.values())


@EVERY
@given(names=st.sets(st.text(st.characters(codec="utf-8"), min_size=1), max_size=5))
def test_a_manifest_names_what_was_written_into_it_and_nothing_outside(names: set[str]) -> None:
    # As all names of a payload do; it keeps what sha256sum takes for its own signs from the start.
    names = {f"data/{name}" for name in names}
    raw = bags.manifest_of((name, SHA256) for name in names)
    outside = [name for name in names if {"", ".", ".."} & set(name.replace("\\", "/").split("/"))]

    if outside:
        with pytest.raises(EvidenceError):
            bags.manifest(raw, "m")
    else:
        assert set(bags.manifest(raw, "m")) == names


@EVERY
@given(data=st.data())
def test_a_file_of_a_bag_that_was_changed_in_any_way_is_noticed(
    packed: Path, tmp_path: Path, data: st.DataObject
) -> None:
    files = sorted(file for file in packed.rglob("*") if file.is_file())
    file = data.draw(st.sampled_from(files))
    raw = file.read_bytes()
    other = data.draw(changed(raw))
    assume(other != raw)
    copy = tmp_path / "bag"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(packed, copy)
    (copy / file.relative_to(packed)).write_bytes(other)

    with pytest.raises((EvidenceError, InputError)):
        evidence.verify(copy)


@EVERY
@given(data=st.data())
def test_a_zip_whose_bytes_were_changed_is_refused_or_holds_the_very_bag(
    packed: Path, tmp_path: Path, data: st.DataObject
) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(file for file in packed.rglob("*") if file.is_file()):
            archive.write(file, f"bag/{file.relative_to(packed)}")
    copy = tmp_path / "bag.zip"
    copy.write_bytes(data.draw(changed(whole.getvalue())))

    try:
        found = evidence.verify(copy)
    except (EvidenceError, InputError):
        return

    assert found.digest == evidence.verify(packed).digest


@EVERY
@given(raw=st.binary(max_size=300))
def test_any_bytes_are_a_ledger_or_refused(raw: bytes) -> None:
    try:
        lines = ledger.parse(raw, "ledger")
    except EvidenceError:
        return

    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


@EVERY
@given(data=st.data())
def test_a_ledger_that_was_changed_is_refused_or_its_end_is_not_the_anchored_one(
    packed: Path, data: st.DataObject
) -> None:
    raw = (packed / bags.LEDGER).read_bytes()
    whole = ledger.parse(raw, "ledger")
    other = data.draw(changed(raw))

    try:
        lines = ledger.parse(other, "ledger")
    except EvidenceError:
        return

    # The chain holds all lines but the last one, which only an anchor does.
    assert lines[:-1] == whole[: len(lines) - 1]
    assert lines == whole or anchor.problem(other, anchor.of_ledger(raw))


@EVERY
@given(raw=st.binary(max_size=200), number=st.integers(1, 10**9))
def test_an_anchor_is_held_against_any_bytes(raw: bytes, number: int) -> None:
    name = f"{number}-{SHA256}"

    assert anchor.problem(raw, name)
    assert anchor.of_bag(raw, [name])
    assert anchor.of_ledger(raw) == "" or anchor.FORM.fullmatch(anchor.of_ledger(raw))


@pytest.mark.parametrize("name", ["9" * 5000 + f"-{SHA256}", f"٣-{SHA256}", f"0-{SHA256}", "1-"])
def test_what_is_no_anchor_is_refused(packed: Path, name: str) -> None:
    with pytest.raises(InputError, match="no anchor"):
        evidence.verify(packed, anchor=name)
