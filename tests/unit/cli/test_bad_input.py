"""Bad input: a finding or one clear error, never a traceback or a wrong pass."""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.cli.codes import COULD_NOT_RUN, DONE, FAILED
from dedl_workbook.cli.main import main
from dedl_workbook.dataset.dataset import File, Folder
from dedl_workbook.rules.delivered import Item, Unreadable, read_item
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.builders import (
    GONE,
    ID,
    any_asset,
    any_collection,
    any_dataset,
    any_item,
    box,
    png,
    write,
)
from tests.unit.rules.examples import report

ITEM = "metadata/items/heat_20241116.json"
COLLECTION = "metadata/collection.json"
BAD_ITEM = "metadata/items/bad.json"
PICTURE = "data/2024/11/16/heat_20241116/heat_20241116.png"
TABLE, STRAY = "data/2024/11/16/heat_20241116/table.csv", "data/2024/stray.csv"
Break = Callable[[Path], object]


def wrote(path: str, content: bytes) -> Break:
    return lambda root: write(root, path, content)


def with_href(href: str) -> Break:
    return lambda root: write(root, ITEM, any_item(assets={"map": any_asset(href=href)}))


def sparse(path: str, size: int) -> Break:
    """A file of NUL bytes that takes no room on disk."""

    def do(root: Path) -> None:
        with (root / path).open("wb") as file:
            file.truncate(size)

    return do


def pipe(path: str) -> Break:
    def do(root: Path) -> None:
        (root / path).unlink(missing_ok=True)
        os.mkfifo(root / path)

    return do


def bound(root: Path) -> None:
    """Leave a socket among the items; a socket's path may be 108 bytes long at most."""
    here = Path.cwd()
    os.chdir(root / "metadata/items")
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket.json")
    finally:
        os.chdir(here)


def link(path: str, to: str) -> Break:
    def do(root: Path) -> None:
        found = root / path
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        found.unlink(missing_ok=True)
        found.symlink_to(to)

    return do


def escape(root: Path) -> None:
    """Give a file a name that a terminal would obey."""
    (root / "data/\x1b[2J\x1b]0;owned\x07.png").write_bytes(png())


def named(name: bytes) -> Break:
    return lambda root: (root / "data" / os.fsdecode(name)).write_bytes(png())


def others(root: Path) -> None:
    """Let a second item name the first one's file."""
    write(root, "metadata/items/twin.json", any_item("twin", assets={"map": any_asset()}))


DEEP = b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
FINDINGS: dict[str, tuple[Break, str]] = {
    "an item of 300 MB": (sparse(BAD_ITEM, 300 * 10**6), "I07"),
    "a collection of 300 MB": (sparse(COLLECTION, 300 * 10**6), "L02"),
    "an item nested 200,000 deep": (wrote(BAD_ITEM, DEEP), "I07"),
    "a collection nested 200,000 deep": (wrote(COLLECTION, DEEP), "L02"),
    "NaN": (wrote(BAD_ITEM, b'{"id": NaN}'), "L03"),
    "a number of 400 digits": (wrote(BAD_ITEM, b'{"id": ' + b"7" * 400 + b"}"), "I07"),
    "a key twice": (wrote(BAD_ITEM, b'{"id": "a", "id": "b"}'), "L03"),
    "UTF-16": (wrote(BAD_ITEM, json.dumps(any_item()).encode("utf-16")), "L03"),
    "a byte-order mark": (wrote(BAD_ITEM, b"\xef\xbb\xbf{}"), "L03"),
    "a list as item": (wrote(BAD_ITEM, b"[{}]"), "L03"),
    "an empty item": (wrote(BAD_ITEM, b""), "L03"),
    "a binary item": (wrote(BAD_ITEM, bytes(range(256)) * 100), "L03"),
    "a newline in a data file's name": (named(b"a\nb.png"), "L08"),
    "a newline in an item's name": (wrote("metadata/items/a\nb.json", b"{}"), "L08"),
    "undecodable bytes in a name": (named(b"\xff\xfe.png"), "L08"),
    "orders to a terminal in a name": (escape, "L08"),
    "a path of 2,000 characters": (
        wrote("data/" + "/".join(["x" * 199] * 10) + "/a.png", png()),
        "L08",
    ),
    "an href of 2,000 characters": (with_href("data/" + "x" * 2000), "A01"),
    "a link to a file": (link("data/a.png", "/etc/hostname"), "L06"),
    "a link to itself": (link("data/a.png", "a.png"), "L06"),
    "a link to the folder above": (link("data/up", ".."), "L06"),
    "metadata that is a link": (link("metadata", "data"), "L02"),
    "data that is a link": (link("data", "/usr/share"), "L06"),
    "a pipe as collection": (pipe(COLLECTION), "L02"),
    "a pipe as item": (pipe(BAD_ITEM), "L06"),
    "a pipe as data": (pipe(PICTURE), "A01"),
    "a socket as item": (bound, "L06"),
    "an absolute href": (with_href(f"/srv/{PICTURE}"), "A01"),
    "a file: href": (with_href(f"file:///srv/{PICTURE}"), "A01"),
    "an href that leaves by ..": (with_href("data/../../secret.png"), "A01"),
    "an href that leaves by encoded ..": (with_href("data/%2e%2e/%2e%2e/secret.png"), "A01"),
    "an href of another item": (others, "A05"),
    "an href in another case": (with_href(PICTURE.replace(".png", ".PNG")), "A01"),
}
ONLY_WARNINGS = {"A05"}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield any_dataset(tmp_path)
    # Names that pytest's own tidying up can't take.
    subprocess.run(["rm", "-rf", str(tmp_path)], check=True)


@pytest.mark.parametrize("name", FINDINGS)
def test_is_a_finding_at_the_command_line(
    root: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    do, rule = FINDINGS[name]
    do(root)
    said = root.parent / "report.json"

    code = main(["validate", str(root), "--json", str(said), "--second-opinion", "none"])

    found = {finding["rule"] for finding in json.loads(said.read_text("utf-8"))["findings"]}
    assert rule in found
    assert code == (DONE if rule in ONLY_WARNINGS else FAILED)
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", shown.out + shown.err)
    assert [line for line in shown.out.splitlines() if len(line) > 8000] == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"a": 1,\n"b"}', "is no JSON: .* at line 2, column 4"),
        (b"{}{}", "is no JSON: Extra data at line 1, column 3"),
        (b"PK\3\4", "is no JSON: "),
        ("{}".encode("utf-16-le"), "is UTF-16 or UTF-32; JSON files are UTF-8"),
        ("{}".encode("utf-32"), "is UTF-16 or UTF-32; JSON files are UTF-8"),
        ("{}".encode("utf-32-be"), "is UTF-16 or UTF-32; JSON files are UTF-8"),
        ('{"a": "é"}'.encode("latin-1"), "is not UTF-8 at byte 7"),
        (b"{}", 'type is missing: it is one of "Feature", "Collection", "Catalog"$'),
    ],
)
def test_a_submitter_is_told_what_is_wrong_with_a_file(
    root: Path, content: bytes, said: str
) -> None:
    write(root, BAD_ITEM, content)
    write(root, COLLECTION, content)

    told = report(root).findings

    for file in (BAD_ITEM, COLLECTION):
        assert [f for f in told if f.file == file and f.fix and re.match(said, f.message)]


def test_what_is_too_large_is_judged_in_bounded_memory(root: Path) -> None:
    for name in ("an item of 300 MB", "a collection of 300 MB", "an item nested 200,000 deep"):
        FINDINGS[name][0](root)
    sparse("data/2024/11/16/huge.png", 2 * 10**9)(root)
    code = (
        "import re, sys; from pathlib import Path; from dedl_workbook.cli.main import main;"
        "print(main(['validate', sys.argv[1], '--second-opinion', 'none']));"
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', Path('/proc/self/status').read_text())[1])"
    )

    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True)

    *_, exit_code, kilobytes = done.stdout.splitlines()
    assert int(exit_code) == FAILED
    assert int(kilobytes) < 250_000


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("", "no dataset was named"),
        ("nowhere", "there is no such folder"),
        ("nowhere\nat all", "there is no such folder"),
        ("x" * 2000, "can't be read: File name too long"),
        ("a\0b", "there is no such folder"),
        ("s3://", "names no bucket"),
        ("https://example.org/data", "can't be read from such an address"),
        ("~nobody-of-that-name/x", "can't be read"),
        (f"{ID}/{COLLECTION}", "is a file"),
        (f"{ID}/pipe", "is a file"),
        ("empty", "is an empty folder"),
        ("loop", "there is no such folder"),
    ],
)
def test_a_place_that_is_no_dataset_is_one_error(
    root: Path,
    location: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(root.parent)
    (root.parent / "empty").mkdir()
    (root.parent / "loop").symlink_to("loop")
    pipe("pipe")(root)

    code = main(["validate", location])

    shown = capsys.readouterr()
    assert code == COULD_NOT_RUN
    assert said in shown.err
    assert "Traceback" not in shown.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    "closed", ["data/2024", "metadata/items", "metadata", PICTURE, TABLE, STRAY, ITEM]
)
def test_what_may_not_be_read_is_one_finding(closed: str) -> None:
    """As somebody who really may not: for root, every folder is open."""
    # pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        table = any_asset(href=TABLE, type="text/csv", **{"file:size": 3})
        item = any_item(assets={"map": any_asset(), "table": table})
        root = any_dataset(Path(folder), item, files={TABLE: b"a,b", STRAY: b"stray"})
        assert report(root).passed
        (root / closed).chmod(0)
        os.seteuid(65534)
        try:
            result = report(root)
        finally:
            os.seteuid(0)

    assert not result.passed
    errors = [f for f in result.findings if f.severity == "error"]
    assert [f for f in errors if closed in f.file or "ermission denied" in f.message]
    if closed in (PICTURE, TABLE, STRAY):
        assert len(errors) == 1


ODD: dict[str, dict[str, Any]] = {
    "over the antimeridian": {
        "geometry": {
            "type": "MultiPolygon",
            "coordinates": [
                box(170, -5, 180, 5)["coordinates"],
                box(-180, -5, -170, 5)["coordinates"],
            ],
        },
        "bbox": [170, -5, -170, 5],
    },
    "a point": {"geometry": {"type": "Point", "coordinates": [7, 50]}, "bbox": [7, 50, 7, 50]},
    "a range without datetime": {
        "properties": {
            "datetime": None,
            "start_datetime": "2024-11-16T00:00:00Z",
            "end_datetime": "2024-11-16T23:59:59Z",
        }
    },
    "STAC 1.1.0": {"stac_version": "1.1.0"},
    "no stac_extensions": {"stac_extensions": GONE},
    "odd characters": {"assets": {"map": any_asset(href="data/2024/a b/100% [ü] ñ.png")}},
    "a folder by year": {"assets": {"map": any_asset(href="data/2024/a.png")}},
}


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_but_right_passes_at_the_command_line(
    tmp_path: Path, name: str, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    extent = {
        "spatial": {"bbox": [[-180, -90, 180, 90]]},
        "temporal": {"interval": [[None, None]]},
    }
    collection = any_collection(stac_version=version, extent=extent, stac_extensions=GONE)
    root = any_dataset(tmp_path, any_item(**ODD[name]), collection=collection)

    code = main(["validate", str(root)])

    assert code == DONE, capsys.readouterr().out


class _OneFile(Folder):
    """A dataset of one item, whose bytes are given."""

    def __init__(self, data: bytes) -> None:
        super().__init__(Path("/nowhere"))
        object.__setattr__(self, "data", data)

    def read(self, path: str, start: int = 0, length: int | None = None) -> bytes:
        data: bytes = self.data  # type: ignore[attr-defined]
        return data[start : None if length is None else start + length]

    def stat(self, path: str) -> File | None:
        return None


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The bytes of an item with some of them changed, left out, or put in."""
    data = bytearray(json.dumps(any_item()).encode(draw(st.sampled_from(["utf-8", "utf-16"]))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        data[at : at + draw(st.integers(0, 20))] = draw(st.binary(max_size=5))
    return bytes(data)


@settings(max_examples=200, deadline=None)
@given(damaged() | st.binary(max_size=200))
def test_whatever_bytes_an_item_has_it_is_read_as_json_is_or_refused(data: bytes) -> None:
    """Python's own parser is the judge; we refuse more than it, but never read otherwise."""
    found = read_item(_OneFile(data), File(ITEM, len(data), ""))

    if isinstance(found, Unreadable):
        assert found.rule in ("L03", "I07")
        assert found.text
    else:
        assert isinstance(found, Item)
        assert found.document == json.loads(data)


def shred(root: Path, luck: random.Random) -> None:
    """Do something bad to some file or folder of a dataset."""
    path = luck.choice(sorted(root.rglob("*")))
    kind = luck.randrange(7)
    if kind == 0 and path.is_file():
        data = bytearray(path.read_bytes() or b"x")
        data[luck.randrange(len(data))] ^= 1 << luck.randrange(8)
        path.write_bytes(data)
    elif kind == 1 and path.is_file():
        path.write_bytes(path.read_bytes()[: luck.randrange(1 + path.stat().st_size)])
    elif kind == 2:
        path.rename(path.with_name(luck.choice(["x", "a b", "é", "\n", "X.json", "y.png"])))
    elif kind == 3:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif kind == 4:
        (path.parent / f"link{luck.random()}").symlink_to(path.name)
    elif kind == 5:
        os.mkfifo(path.parent / f"pipe{luck.random()}.json")
    else:
        (path.parent / f"new{luck.random()}.json").write_bytes(luck.randbytes(luck.randrange(50)))


@pytest.mark.parametrize(
    "seeds",
    [range(25), pytest.param(range(25, 1000), marks=pytest.mark.slow)],
    ids=["some", "many"],
)
def test_a_dataset_that_was_shredded_is_judged_all_the_same(tmp_path: Path, seeds: range) -> None:
    for seed in seeds:
        luck = random.Random(seed)
        root = any_dataset(tmp_path / str(seed), any_item(), any_item("second"))
        for _ in range(luck.randrange(1, 4)):
            if [*root.rglob("*")]:
                shred(root, luck)

        result = report(root)

        if result.passed:
            for item in (root / "metadata/items").glob("*.json"):
                document = json.loads(item.read_bytes())
                assert (root / document["assets"]["map"]["href"]).is_file()
        shutil.rmtree(root)
