"""Layout: L01 to L09."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from dedl_workbook.dataset.dataset import Bucket
from dedl_workbook.rules.layout import NOT_TAKEN

from tests.unit.builders import any_asset, any_collection, any_dataset, any_item, png, write
from tests.unit.rules.examples import any_ticket, bad, found, good, places, report

ITEM = "metadata/items/heat_20241116.json"
PICTURE = "data/2024/11/16/heat_20241116/heat_20241116.png"


@good("L01", "L02", "L03", "L04", "L05", "L06", "L07", "L08", "L09")
def test_a_dataset_as_the_procedure_wants_it_has_no_findings(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)

    result = report(root)

    assert result.findings == ()
    assert (result.items, result.files, result.size) == (1, 3, len(png()))


@bad("L01")
def test_a_folder_that_is_not_called_like_the_collection_is_an_error(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, name="delivery")

    assert places(root, "L01") == ["error #"]


@bad("L01")
def test_a_folder_that_is_not_called_like_the_agreed_collection_is_an_error(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)

    assert places(root, "L01", ticket=any_ticket(collection="EO.XXX.DAT.COLD")) == ["error #"]


@pytest.mark.parametrize("bucket", ["usergenerated-proposal-eo.xxx.dat.heat", "eo.xxx.dat.heat"])
@good("L01")
def test_a_bucket_may_be_called_like_the_collection_in_lower_case(bucket: str) -> None:
    from dedl_workbook.rules.rule import Given
    from dedl_workbook.rules.rulebook import RULES

    given = Given(Bucket(None, bucket, ""), any_collection())

    assert list(RULES["L01"].parts["dataset"](given)) == []
    assert list(RULES["C03"].parts["collection"](given.collection, given)) == []


@bad("L01")
def test_a_bucket_that_is_called_otherwise_is_an_error() -> None:
    from dedl_workbook.rules.rule import Given
    from dedl_workbook.rules.rulebook import RULES

    given = Given(Bucket(None, "usergenerated-proposal-eo.xxx.dat.cold", ""), any_collection())

    assert len(list(RULES["L01"].parts["dataset"](given))) == 1


UNREADABLE = {
    "missing": None,
    "empty": b"",
    "blank": b" \n",
    "binary": bytes(range(256)),
    "utf-16": '{"type": "Collection"}'.encode("utf-16"),
    "byte-order mark": b'\xef\xbb\xbf{"id": "x"}',
    "latin-1": '{"title": "Löß"}'.encode("latin-1"),
    "cut off": b'{"id": "x", ',
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "a key twice": b'{"id": "a", "id": "b"}',
    "a key twice, escaped": b'{"a": {"i\\u0064": 1, "id": 2}}',
    "a key twice and an escaped colon": b'{"x": "\\u003a", "id": "a", "id": "b"}',
    "NaN": b'{"gsd": NaN}',
    "Infinity": b'{"gsd": -Infinity}',
    "a comment": b"{} // done",
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
@bad("L02")
def test_an_unreadable_collection_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    root = any_dataset(tmp_path)
    (root / "metadata/collection.json").unlink()
    if content is not None:
        write(root, "metadata/collection.json", content)

    assert places(root, "L02") == ["error metadata/collection.json#"]


@bad("L02")
def test_a_collection_that_is_a_link_is_an_error(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    (root / "metadata/collection.json").rename(tmp_path / "elsewhere.json")
    (root / "metadata/collection.json").symlink_to(tmp_path / "elsewhere.json")

    assert places(root, "L02") == ["error metadata/collection.json#"]
    assert places(root, "L06") == ["error metadata/collection.json#"]


@pytest.mark.parametrize(
    "content", [v for v in UNREADABLE.values() if v is not None], ids=list(UNREADABLE)[1:]
)
@bad("L03")
def test_an_unreadable_item_is_an_error(tmp_path: Path, content: bytes) -> None:
    root = any_dataset(tmp_path, files={"metadata/items/broken.json": content})

    assert places(root, "L03") == ["error metadata/items/broken.json#"]


@bad("L03")
def test_a_dataset_without_items_is_an_error(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    shutil.rmtree(root / "metadata/items")

    assert places(root, "L03") == ["error metadata/items/#"]


@bad("L03")
def test_an_item_in_a_folder_of_its_own_is_an_error(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, files={"metadata/items/2024/a.json": b"{}"})

    assert places(root, "L03") == ["error metadata/items/2024/a.json#"]


@pytest.mark.parametrize("name", ["a.geojson", "a.JSON", "README", "a.json~"])
@bad("L03")
def test_a_file_with_another_ending_among_the_items_is_a_warning(tmp_path: Path, name: str) -> None:
    root = any_dataset(tmp_path, files={f"metadata/items/{name}": b"{}"})

    assert places(root, "L03") == [f"warning metadata/items/{name}#"]


@bad("L03")
def test_a_pipe_among_the_items_is_an_error_and_is_not_opened(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    os.mkfifo(root / "metadata/items/pipe.json")

    assert places(root, "L03") == ["error metadata/items/pipe.json#"]


@bad("L04")
def test_a_dataset_without_data_is_an_error(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    shutil.rmtree(root / "data")
    (root / "data").mkdir()

    assert places(root, "L04") == ["error data/#"]


@pytest.mark.parametrize("folder", ["2024", "2024/11", "2024/11/16", "2024/11/16/any/deeper"])
@good("L05")
def test_folders_by_year_month_or_day_are_fine(tmp_path: Path, folder: str) -> None:
    item = any_item(assets={"map": any_asset(href=f"data/{folder}/x.png")})
    root = any_dataset(tmp_path, item)

    assert found(root, "L05") == []


@good("L05")
def test_any_day_of_an_item_that_lasts_is_fine(tmp_path: Path) -> None:
    times = {"start_datetime": "2024-10-31T00:00:00Z", "end_datetime": "2024-12-01T00:00:00Z"}
    root = any_dataset(tmp_path, any_item(properties=times))

    assert found(root, "L05") == []


@pytest.mark.parametrize("folder", ["maps", "2024x", "24/11/16", "2024/13/16", "20241116"])
@bad("L05")
def test_data_outside_of_folders_by_date_is_a_warning(tmp_path: Path, folder: str) -> None:
    item = any_item(assets={"a/b": any_asset(href=f"data/{folder}/x.png")})
    root = any_dataset(tmp_path, item)

    if folder == "2024/13/16":
        # The year is right, and what lies below it is free.
        assert found(root, "L05") == []
    else:
        assert places(root, "L05") == [f"warning {ITEM}#/assets/a~1b/href"]


@pytest.mark.parametrize("folder", ["2023", "2024/10", "2024/11/17"])
@bad("L05")
def test_data_in_the_folder_of_another_day_than_its_items_is_a_warning(
    tmp_path: Path, folder: str
) -> None:
    item = any_item(assets={"map": any_asset(href=f"data/{folder}/x.png")})
    root = any_dataset(tmp_path, item)

    assert places(root, "L05") == [f"warning {ITEM}#/assets/map/href"]


@bad("L06")
def test_links_pipes_and_sockets_are_errors_and_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = any_dataset(tmp_path)
    (root / "data/loop").symlink_to("..")
    (root / "data/out").symlink_to("/etc/hostname")
    os.mkfifo(root / "data/pipe")
    with socket.socket(socket.AF_UNIX) as server:
        # The path of a socket may be at most 108 bytes long.
        monkeypatch.chdir(root / "data")
        server.bind("socket")

    result = places(root, "L06")

    names = ("loop", "out", "pipe", "socket")
    assert result == [f"error data/{name}#" for name in names]


@bad("L06")
def test_a_folder_without_permission_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As root every folder can be read.
    root = any_dataset(tmp_path)
    scandir = os.scandir

    def refusing(path: str | int) -> object:
        # A folder below the dataset is opened by its handle.
        name = Path(f"/proc/self/fd/{path}").readlink() if isinstance(path, int) else Path(path)
        if name.match("data/2024"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)

    assert places(root, "L06") == ["error data/2024#"]
    assert places(root, "A01") == [f"error {ITEM}#/assets/map/href"]


@bad("L07")
def test_other_entries_of_the_root_are_noted_once_each(tmp_path: Path) -> None:
    files = {"README.md": b"x", "scripts/a.py": b"x", "scripts/b.py": b"x"}
    root = any_dataset(tmp_path, files=files)

    assert places(root, "L07") == ["info README.md#", "info scripts#"]


@bad("L08")
def test_names_with_control_characters_are_errors(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, files={f"data/a{char}b.png": b"x" for char in "\n\t\x9b"})

    assert places(root, "L08") == [f"error data/a{char}b.png#" for char in "\t\n\x9b"]


@bad("L08")
def test_a_backslash_in_a_data_files_name_is_an_error(tmp_path: Path) -> None:
    item = any_item(assets={"map": any_asset(href="data/2024/11/16/a\\b.png")})
    root = any_dataset(tmp_path, item, files={"data/a\\c\n.png": b"x", "read\\me.txt": b"x"})

    assert places(root, "L08") == [
        "error data/2024/11/16/a\\b.png#",
        "error data/a\\c\n.png#",
        "error data/a\\c\n.png#",
    ]


@bad("L08")
def test_names_that_are_no_utf_8_are_errors(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    (root / os.fsdecode(b"data/\xff\xfe.png")).write_bytes(b"x")

    assert places(root, "L08") == ["error data/\udcff\udcfe.png#"]


@bad("L08")
def test_names_that_are_too_long_for_a_key_are_errors(tmp_path: Path) -> None:
    folder = "/".join(["x" * 200] * 5)
    root = any_dataset(tmp_path, files={f"data/{folder}/x.png": b"x"})

    assert places(root, "L08") == [f"error data/{folder}/x.png#"]


@bad("L08")
def test_names_that_differ_only_in_case_or_unicode_form_are_warnings(tmp_path: Path) -> None:
    files = {"data/A.png": b"x", "data/a.png": b"x", "data/e\u0301": b"x", "data/\u00e9": b"x"}
    root = any_dataset(tmp_path, files=files)

    assert places(root, "L08") == ["warning data/a.png#", "warning data/\u00e9#"]


@pytest.mark.parametrize("name", ["a b.png", "100%.png", "a[1].png", "Zürich.png", "'\".png"])
@good("L08", "A01")
def test_odd_but_usable_names_are_fine(tmp_path: Path, name: str) -> None:
    item = any_item(assets={"map": any_asset(href=f"data/2024/11/16/{name}")})
    root = any_dataset(tmp_path, item)

    assert report(root).findings == ()


@good("L08")
@bad("L08")
def test_the_only_file_of_an_item_is_named_in_latin_letters(tmp_path: Path) -> None:
    folder = "data/2024/11/16"
    alone = any_item("alone", assets={"map": any_asset(href=f"{folder}/1/日本.png")})
    beside = {"map": any_asset(href=f"{folder}/2/日本.png"), "more": any_asset("beside")}
    in_folder = any_item("folder", assets={"map": any_asset(href=f"{folder}/日本/x.png")})
    root = any_dataset(tmp_path, alone, any_item("beside", assets=beside), in_folder)

    (finding,) = found(root, "L08")

    assert (finding.file, finding.pointer) == ("metadata/items/alone.json", "/assets/map/href")
    assert "U+65E5" in finding.message


@pytest.mark.parametrize(("character", "name"), NOT_TAKEN.items())
@bad("L08")
def test_a_character_that_does_not_come_back_is_an_error(
    tmp_path: Path, character: str, name: str
) -> None:
    root = any_dataset(tmp_path, files={f"data/a{character}b.png": b"x"})

    (finding,) = found(root, "L08")

    assert (finding.file, finding.message) == (f"data/a{character}b.png", f"has {name} in its name")


@bad("L09")
def test_an_empty_data_file_is_an_error(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, files={PICTURE: b""})

    assert places(root, "L09") == [f"error {PICTURE}#"]


@good("L03")
def test_folders_nested_deeper_than_python_can_call_are_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = any_dataset(tmp_path)
    monkeypatch.chdir(root / "data")
    for _ in range(1200):
        Path("d").mkdir()
        os.chdir("d")
    os.chdir("/")

    result = report(root)

    # pytest's own tidying up would be too deep.
    subprocess.run(["rm", "-rf", str(root)], check=True)
    assert result.passed


@bad("L02")
def test_the_folder_above_a_dataset_is_told_to_be_that(tmp_path: Path) -> None:
    root = any_dataset(tmp_path / "above")

    findings = found(tmp_path / "above", "L02")

    assert f"the dataset is the folder '{root.name}' inside" in [f.message for f in findings]
    assert f"Validate {tmp_path / 'above'}/{root.name}." in [f.fix for f in findings]


@bad("L06")
@pytest.mark.parametrize("path", [PICTURE, ITEM, "metadata/collection.json"])
def test_a_file_with_a_second_name_outside_is_a_warning(tmp_path: Path, path: str) -> None:
    root = any_dataset(tmp_path)
    os.link(root / path, tmp_path / "another name")

    assert places(root, "L06") == [f"warning {path}#"]


@bad("L06")
def test_a_hard_link_is_seen_though_no_item_names_the_file(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, files={"data/2024/11/16/x.bin": b"x"})
    os.link(root / "data/2024/11/16/x.bin", tmp_path / "another name")

    assert places(root, "L06") == ["warning data/2024/11/16/x.bin#"]
