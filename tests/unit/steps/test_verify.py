"""What verify makes of downloads: files are counted by path, archives compared name by name."""

from __future__ import annotations

import hashlib
import io
import zipfile

import pytest
from dedl_workbook.steps.verify import eodag
from dedl_workbook.steps.verify import hda as verify_hda
from dedl_workbook.steps.verify.sample import ODD, Sample, chosen, note


def _known(data: bytes) -> tuple[int, str]:
    return len(data), hashlib.sha256(data).hexdigest()


DELIVERED = {"data/d/a.txt": _known(b"same"), "data/d/b.txt": _known(b"same")}


def _archive(**files: bytes) -> io.BytesIO:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"ITEM/{name.replace('_', '.')}", data)
    return held


def test_an_archive_with_each_file_by_its_name_is_whole_also_of_equal_ones() -> None:
    empty = DELIVERED | {"data/d/empty.txt": _known(b"")}

    assert verify_hda._differing(_archive(a_txt=b"same", b_txt=b"same"), DELIVERED) == ""
    assert verify_hda._differing(_archive(a_txt=b"same", b_txt=b"same"), empty) == ""


@pytest.mark.parametrize("offset", [6, 30 + len("ITEM/a.txt")])
def test_an_archive_that_is_encrypted_or_damaged_inside_is_a_fault_and_no_traceback(
    offset: int,
) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a", "b"):
            archive.writestr(f"ITEM/{name}.txt", b"same")
    data = bytearray(held.getvalue())
    # The flag of encryption, in both places; or the compressed bytes themselves.
    data[offset] ^= 1 if offset == 6 else 0xFF
    if offset == 6:
        data[data.index(b"PK\1\2") + 8] ^= 1

    fault = verify_hda._differing(io.BytesIO(bytes(data)), DELIVERED)

    assert fault.startswith("is no archive of its 2 files")


@pytest.mark.parametrize(
    ("archive", "wrong"),
    [
        (_archive(a_txt=b"same"), "lacks b.txt"),
        (_archive(a_txt=b"same", b_txt=b"same", c_txt=b"x"), "holds c.txt, which was not"),
        (_archive(a_txt=b"same", b_txt=b"other"), "holds other bytes as b.txt"),
        (io.BytesIO(b"{}"), "is no archive of its 2 files"),
    ],
)
def test_an_archive_that_differs_in_a_name_is_told(archive: io.BytesIO, wrong: str) -> None:
    assert wrong in verify_hda._differing(archive, DELIVERED)


@pytest.mark.parametrize(("files", "passed"), [(2, True), (1, False), (3, False)])
def test_equal_files_of_the_client_are_counted_each(files: int, passed: bool) -> None:
    found = {"items": [{"id": "I", "fault": "", "files": [list(_known(b"same"))] * files}]}

    assert eodag._downloads(found, {"I": DELIVERED}).passed is passed


def test_an_asset_of_each_odd_character_is_downloaded_among_many_plain_ones() -> None:
    sample = Sample(10, every=False)
    for number in range(3000):
        name = "odd%20#.txt" if number == 1500 else f"{number}.txt"
        assets = {name: {"href": f"https://hda/data/p/c/{number}/{name}", "type": "text/plain"}}
        item = {"id": str(number), "bbox": [0, 0, 1, 1], "assets": assets}
        note(sample, item | {"properties": {"datetime": "2024-01-01T00:00:00Z"}})

    assert {asset.item for asset in sample.odd.values()} == {"1500"}
    assert sample.odd.keys() == {" ", "#"}
    assert "1500" in {asset.item for asset in chosen(sample)}
    assert len(chosen(sample)) <= 10 + ODD
