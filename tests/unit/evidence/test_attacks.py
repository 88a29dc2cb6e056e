"""Attacks on a bag: whoever changes it, and makes its manifests anew or not, is noticed."""

import hashlib
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from dedl_workbook import evidence
from dedl_workbook.base.errors import EvidenceError, InputError, WorkbookError
from dedl_workbook.base.json import canonical
from dedl_workbook.publication import anchor

from tests.unit.conftest import make_root, remade, worked_case

_CAUGHT = (EvidenceError, InputError)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag that no test writes to."""
    with pytest.MonkeyPatch.context() as patch:
        root = make_root(tmp_path_factory.mktemp("attacks") / "workbook", patch)
        return evidence.pack(worked_case(root)).path


@pytest.fixture
def bag(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "bag"))


def caught(path: Path) -> bool:
    try:
        evidence.verify(path)
    except _CAUGHT:
        return True
    return False


def test_notices_any_byte_that_was_flipped_cut_off_or_put_in(bag: Path) -> None:
    chance = random.Random(7)
    unnoticed = []
    for file in sorted(f for f in bag.rglob("*") if f.is_file()):
        right = file.read_bytes()
        places = {0, len(right) // 2, len(right) - 1, *chance.choices(range(len(right)), k=4)}
        for place in places:
            flipped = bytes([right[place] ^ (1 << chance.randrange(8))])
            for wrong in (
                right[:place] + flipped + right[place + 1 :],
                right[:place] + right[place + 1 :],
                right[:place] + b"\n" + right[place:],
            ):
                file.write_bytes(wrong)
                if wrong != right and not caught(bag):
                    unnoticed.append((file.name, place))
        file.write_bytes(right)

    assert unnoticed == []


@pytest.mark.parametrize(
    "name", ["tagmanifest-sha256.txt", "manifest-sha256.txt", "bag-info.txt", "bagit.txt"]
)
def test_notices_a_tag_file_that_is_gone(bag: Path, name: str) -> None:
    (bag / name).unlink()

    with pytest.raises(_CAUGHT, match="is missing|has no bagit"):
        evidence.verify(bag)


def drop(lines: list[bytes]) -> list[bytes]:
    return lines[:1] + lines[2:]


def swap(lines: list[bytes]) -> list[bytes]:
    return [lines[1], lines[0], *lines[2:]]


def edit(lines: list[bytes]) -> list[bytes]:
    line = json.loads(lines[1])
    return [lines[0], canonical({**line, "verdict": "passed"}), *lines[2:]]


def double(lines: list[bytes]) -> list[bytes]:
    return [*lines, lines[-1]]


@pytest.mark.parametrize("change", [drop, swap, edit, double])
def test_notices_what_was_done_to_the_ledger_even_when_the_manifests_were_made_anew(
    bag: Path, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    ledger = bag / "data" / "ledger.jsonl"
    ledger.write_bytes(b"\n".join(change(ledger.read_bytes().splitlines())) + b"\n")
    remade(bag)

    with pytest.raises(EvidenceError, match="chain is broken"):
        evidence.verify(bag)


def test_notices_an_attempt_that_the_ledger_tells_of_and_that_is_gone_or_says_otherwise(
    bag: Path,
) -> None:
    outcome = bag / "data" / "attempts" / "001-validate" / "outcome.json"
    outcome.write_text(outcome.read_text().replace("failed", "passed"))
    remade(bag)
    with pytest.raises(EvidenceError, match="is not what the ledger tells of"):
        evidence.verify(bag)

    shutil.rmtree(outcome.parent)
    remade(bag)
    with pytest.raises(EvidenceError, match="is missing, which the ledger tells of"):
        evidence.verify(bag)


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "data/../../outside",
        "/etc/passwd",
        "data//x",
        "data/./x",
        "C:/windows",
        "data\\..\\..\\x",
        "data/%0A../../x\n",
    ],
)
def test_refuses_a_manifest_that_names_what_is_outside(bag: Path, name: str) -> None:
    with (bag / "manifest-sha256.txt").open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")

    with pytest.raises(EvidenceError, match=r"outside of the bag|no line of a manifest"):
        evidence.verify(bag)


@pytest.mark.parametrize("twin", ["data/Ticket.json", "data/TICKET.JSON", "DATA/ticket.json"])
def test_refuses_names_that_are_one_file_on_another_machine(bag: Path, twin: str) -> None:
    (bag / twin).parent.mkdir(exist_ok=True)
    (bag / twin).write_text("{}")
    with (bag / "manifest-sha256.txt").open("a") as file:
        file.write(f"{hashlib.sha256(b'{}').hexdigest()}  {twin}\n")

    with pytest.raises(EvidenceError, match="differ in case"):
        evidence.verify(bag)


def test_refuses_a_file_that_is_listed_twice(bag: Path) -> None:
    file = bag / "manifest-sha256.txt"
    file.write_text(file.read_text() + file.read_text().splitlines()[0] + "\n")

    with pytest.raises(EvidenceError, match="names a file twice"):
        evidence.verify(bag)


def test_follows_no_link_whether_it_stands_for_a_file_or_for_a_folder(
    bag: Path, tmp_path: Path
) -> None:
    file = bag / "data" / "ticket.json"
    file.rename(tmp_path / "elsewhere.json")
    file.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(EvidenceError, match=r"data/ticket\.json was changed"):
        evidence.verify(bag)

    file.unlink()
    (tmp_path / "elsewhere.json").rename(file)
    (bag / "data" / "attempts").rename(tmp_path / "attempts")
    (bag / "data" / "attempts").symlink_to(tmp_path / "attempts")
    with pytest.raises(EvidenceError, match="data/attempts was added"):
        evidence.verify(bag)


def test_a_name_that_a_stranger_chose_does_nothing_to_the_terminal(bag: Path) -> None:
    (bag / "data" / "x\x1b[2J\n\u202eok.txt").write_text("x")

    with pytest.raises(EvidenceError) as refused:
        evidence.verify(bag)

    assert r"x\x1b[2J\n\u202eok.txt was added" in str(refused.value)


def test_refuses_to_pack_a_link_or_a_pipe(root: Path) -> None:
    case = worked_case(root)
    (case.folder / "attempts" / "001-validate" / "passwd").symlink_to("/etc/passwd")

    with pytest.raises(EvidenceError, match="passwd: is no regular file"):
        evidence.pack(case)

    assert not (case.folder / "bag").exists()


@pytest.mark.parametrize("name", ["manifest-sha256.txt", "tagmanifest-sha256.txt", "bag-info.txt"])
def test_holds_no_file_that_is_far_too_large(
    bag: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dedl_workbook.evidence.bag._MOST", 1 << 20)
    os.truncate(bag / name, (1 << 20) + 1)

    with pytest.raises(EvidenceError, match=f"{name} is larger than 1 MiB"):
        evidence.verify(bag)


@pytest.mark.parametrize("name", ["ledger.jsonl", "attempts/001-validate/outcome.json"])
def test_is_not_led_astray_by_json_without_a_bottom(bag: Path, name: str) -> None:
    (bag / "data" / name).write_text("[" * 200_000 + "\n")
    remade(bag)

    with pytest.raises(EvidenceError, match="the evidence is not what was packed"):
        evidence.verify(bag)


# In a zip


@pytest.fixture
def packed_zip(bag: Path) -> Path:
    return Path(shutil.make_archive(str(bag.parent / "pack"), "zip", bag.parent, bag.name))


def test_notices_any_changed_byte_of_what_a_zip_holds(packed_zip: Path) -> None:
    right = packed_zip.read_bytes()
    digest = evidence.verify(packed_zip).digest
    chance = random.Random(11)
    for place in chance.choices(range(len(right)), k=150):
        packed_zip.write_bytes(right[:place] + bytes([right[place] ^ 1]) + right[place + 1 :])
        # What isn't noticed is no content: a time stamp, an attribute.
        try:
            assert evidence.verify(packed_zip).digest == digest
        except WorkbookError:
            pass
        except Exception as error:
            raise AssertionError(f"byte {place}") from error


def add(path: Path, *entries: tuple[str | zipfile.ZipInfo, str]) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        for entry, text in entries:
            archive.writestr(entry, text)


def test_notices_what_was_added_to_a_zip(packed_zip: Path) -> None:
    add(packed_zip, ("bag/data/added.txt", "x"))

    with pytest.raises(EvidenceError, match=r"data/added\.txt was added"):
        evidence.verify(packed_zip)


def test_a_folder_in_a_zip_was_added_where_it_holds_nothing(packed_zip: Path) -> None:
    with zipfile.ZipFile(packed_zip) as archive:
        files = [(i, archive.read(i).decode()) for i in archive.infolist() if not i.is_dir()]
    packed_zip.unlink()
    add(packed_zip, *files, ("bag/data/attempts/", ""))
    assert evidence.verify(packed_zip)

    add(packed_zip, ("bag/data/empty/", ""))
    with pytest.raises(EvidenceError, match="data/empty/ was added"):
        evidence.verify(packed_zip)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "other/bagit.txt", "loose"])
def test_refuses_a_zip_with_more_than_one_folder(packed_zip: Path, name: str) -> None:
    add(packed_zip, (name, "x"))

    with pytest.raises(EvidenceError, match="more than one folder"):
        evidence.verify(packed_zip)


def test_takes_no_link_in_a_zip_for_a_file_and_no_name_twice(packed_zip: Path) -> None:
    with zipfile.ZipFile(packed_zip) as archive:
        entries = [(info, archive.read(info).decode()) for info in archive.infolist()]
    for info, _ in entries:
        if info.filename == "bag/data/ticket.json":
            info.external_attr = 0o120777 << 16
    packed_zip.unlink()
    add(packed_zip, *entries)
    with pytest.raises(EvidenceError, match=r"data/ticket\.json was changed"):
        evidence.verify(packed_zip)

    with pytest.warns(UserWarning, match="Duplicate name"):
        add(packed_zip, ("bag/data/ticket.json", "{}"))
    with pytest.raises(EvidenceError, match="a name twice"):
        evidence.verify(packed_zip)


def test_says_that_a_file_is_neither_folder_nor_zip(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("no zip")

    with pytest.raises(InputError, match="neither a folder nor a zip"):
        evidence.verify(tmp_path / "x.zip")
    with pytest.raises(InputError, match="neither a folder nor a zip"):
        evidence.verify(tmp_path / "nothing")


def _chained(lines: list[dict[str, object]]) -> bytes:
    """Return a ledger whose chain was computed anew."""
    raw, previous = b"", "0" * 64
    for number, line in enumerate(lines, start=1):
        text = canonical({**line, "seq": number, "previous": previous})
        previous = hashlib.sha256(text).hexdigest()
        raw += text + b"\n"
    return raw


@pytest.mark.parametrize("attack", ["last line removed", "a line changed, the chain made anew"])
def test_an_anchor_tells_a_ledger_from_one_that_was_made_anew(root: Path, attack: str) -> None:
    bag = evidence.pack(worked_case(root))
    file = bag.path / "data" / "ledger.jsonl"
    right = anchor.of_ledger(file.read_bytes())
    assert evidence.verify(bag.path, anchor=right) == bag
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]

    if attack == "last line removed":
        lines = lines[:-1]
    else:
        lines[0]["operator"] = "somebody else"
    file.write_bytes(_chained(lines))
    remade(bag.path)

    evidence.verify(bag.path)
    with pytest.raises(
        EvidenceError, match=r"ledger ends before line|is not what the anchor names"
    ):
        evidence.verify(bag.path, anchor=right)


def test_a_ledger_that_went_on_still_has_the_line_of_its_anchor(root: Path) -> None:
    case = worked_case(root)
    first = evidence.pack(case)
    right = anchor.of_ledger((first.path / "data" / "ledger.jsonl").read_bytes())

    later = evidence.pack(case)

    assert evidence.verify(later.path, anchor=right) == later


def test_what_is_no_anchor_is_said_to_be_none(root: Path) -> None:
    bag = evidence.pack(worked_case(root))

    with pytest.raises(InputError, match="12-ab is no anchor"):
        evidence.verify(bag.path, anchor="12-ab")
