"""Evidence: whatever was changed in a bag is noticed, by the bag alone."""

import errno
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from dedl_workbook import evidence
from dedl_workbook.base.errors import EvidenceError, InputError

from tests.unit.conftest import CANARIES, make_case, remade, worked_case
from tests.unit.evidence.test_pages import fetched_by


@pytest.fixture
def bag(root: Path) -> evidence.Bag:
    return evidence.pack(worked_case(root))


def test_finds_its_own_bag_intact_far_from_the_workbook(bag: evidence.Bag, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(bag.path, elsewhere)

    found = evidence.verify(elsewhere, digest=bag.digest)

    assert (found.digest, found.files, found.size) == (bag.digest, bag.files, bag.size)


def test_other_tools_can_check_the_bag_too(bag: evidence.Bag) -> None:
    import bagit

    assert bagit.Bag(str(bag.path)).is_valid()
    done = subprocess.run(["sha256sum", "-c", "--quiet", "manifest-sha256.txt"], cwd=bag.path)
    assert done.returncode == 0


def every_file(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file())


def test_notices_one_changed_byte_in_any_file(bag: evidence.Bag) -> None:
    unnoticed = []
    for file in every_file(bag.path):
        right = file.read_bytes()
        file.write_bytes(bytes([right[0] ^ 1]) + right[1:])
        try:
            evidence.verify(bag.path, digest=bag.digest)
            unnoticed.append(file.name)
        except EvidenceError:
            pass
        file.write_bytes(right)

    assert unnoticed == []
    evidence.verify(bag.path, digest=bag.digest)


def test_notices_that_any_file_was_removed(bag: evidence.Bag) -> None:
    unnoticed = []
    for file in every_file(bag.path):
        right = file.read_bytes()
        file.unlink()
        try:
            evidence.verify(bag.path)
            unnoticed.append(file.name)
        except (EvidenceError, InputError):
            pass
        file.write_bytes(right)

    assert unnoticed == []


@pytest.mark.parametrize("place", ["added.txt", "data/added.txt", "data/attempts/added.txt"])
def test_notices_an_added_file(bag: evidence.Bag, place: str) -> None:
    (bag.path / place).write_text("x")

    with pytest.raises(EvidenceError, match=f"{place} was added"):
        evidence.verify(bag.path)


def test_notices_an_added_link(bag: evidence.Bag) -> None:
    (bag.path / "data" / "link").symlink_to("/etc/hostname")

    with pytest.raises(EvidenceError, match="data/link was added"):
        evidence.verify(bag.path)


def _add_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    ("add", "name"),
    [(os.mkfifo, "data/odd"), (_add_socket, "data/odd"), (os.mkdir, "data/odd/")],
    ids=["pipe", "socket", "empty folder"],
)
def test_notices_an_added_entry_that_is_no_file(
    bag: evidence.Bag, monkeypatch: pytest.MonkeyPatch, add: Callable[[Path], None], name: str
) -> None:
    # The path of a socket has to be short.
    monkeypatch.chdir(bag.path)
    add(Path("data/odd"))

    with pytest.raises(EvidenceError, match=f"{name} was added"):
        evidence.verify(bag.path)


def test_notices_a_pipe_in_the_place_of_a_file(bag: evidence.Bag) -> None:
    (bag.path / "data" / "ticket.json").unlink()
    os.mkfifo(bag.path / "data" / "ticket.json")

    with pytest.raises(EvidenceError, match=r"data/ticket\.json was changed"):
        evidence.verify(bag.path)


@pytest.mark.parametrize("name", ["manifest-sha256.txt", "tagmanifest-sha256.txt"])
def test_notices_a_manifest_that_is_no_text(bag: evidence.Bag, name: str) -> None:
    with (bag.path / name).open("ab") as file:
        file.write(b"\xff")

    with pytest.raises(EvidenceError, match=f"{name}: was changed: it is not UTF-8"):
        evidence.verify(bag.path)


@pytest.mark.parametrize(("lines", "said"), [(None, "is missing"), (b"", "has no lines")])
def test_a_bag_without_a_ledger_is_no_evidence(
    tmp_path: Path, lines: bytes | None, said: str
) -> None:
    import bagit

    folder = tmp_path / "bag"
    folder.mkdir()
    (folder / "index.html").write_text("all is well")
    if lines is not None:
        (folder / "ledger.jsonl").write_bytes(lines)
    bagit.make_bag(str(folder), checksums=["sha256"])
    remade(folder)

    with pytest.raises(EvidenceError, match=rf"data/ledger\.jsonl {said}"):
        evidence.verify(folder)


def test_says_which_file_can_not_be_read(
    bag: evidence.Bag, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *given: object, **named: object) -> object:
        if self.name == "ticket.json":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return right(self, *given, **named)  # type: ignore[arg-type]

    right = Path.open
    monkeypatch.setattr(Path, "open", refuse)

    with pytest.raises(InputError, match=r"data/ticket\.json: can't be read: Permission denied"):
        evidence.verify(bag.path)


def test_finds_a_bag_of_an_attempt_that_has_left_nothing_yet_intact(root: Path) -> None:
    case = worked_case(root)
    name = case.new_attempt("notify").name

    bag = evidence.pack(case)

    assert evidence.verify(bag.path) == bag
    assert name in (bag.path / "data" / "index.html").read_text()


def test_notices_a_renamed_file(bag: evidence.Bag) -> None:
    (bag.path / "data" / "ticket.json").rename(bag.path / "data" / "tickets.json")

    with pytest.raises(EvidenceError, match="ticket.json is missing") as refused:
        evidence.verify(bag.path)

    assert "tickets.json was added" in str(refused.value)


def test_a_bag_that_was_made_again_has_another_digest(bag: evidence.Bag) -> None:
    (bag.path / "data" / "ticket.json").write_text("{}")
    remade(bag.path)

    evidence.verify(bag.path)
    with pytest.raises(EvidenceError, match="the bag's digest is"):
        evidence.verify(bag.path, digest=bag.digest)


def test_says_what_a_bag_tells_of_itself_and_does_not_hold(bag: evidence.Bag) -> None:
    told = bag.path / "data" / "told.txt"
    told.write_text("more")
    with pytest.raises(EvidenceError, match=r"names a payload of \d+\.\d+ .* files"):
        evidence.verify(bag.path)
    told.unlink()

    (bag.path / "bagit.txt").write_text("BagIt-Version: 9.9\nTag-File-Character-Encoding: UTF-8\n")
    remade(bag.path)
    with pytest.raises(EvidenceError, match=r"bagit.txt names BagIt 9.9, not 0.97 or 1.0$"):
        evidence.verify(bag.path)


def test_notices_a_ledger_line_that_went_before_packing_again(bag: evidence.Bag) -> None:
    ledger = bag.path / "data" / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:1] + lines[2:]))
    remade(bag.path)

    with pytest.raises(EvidenceError, match="chain is broken"):
        evidence.verify(bag.path)


@pytest.mark.parametrize("secret", CANARIES)
def test_refuses_to_pack_a_secret_and_packs_nothing(root: Path, secret: str) -> None:
    case = worked_case(root)
    (case.folder / "attempts" / "001-validate" / "log.txt").write_text(f"with {secret}!")

    with pytest.raises(EvidenceError, match=r"001-validate/log\.txt holds a secret") as refused:
        evidence.pack(case)

    assert secret not in str(refused.value)
    assert not (case.folder / "bag").exists()
    assert [p.name for p in case.folder.iterdir() if p.name.startswith(".bag")] == []


def test_packs_again_and_records_each_digest(root: Path) -> None:
    case = worked_case(root)
    first = evidence.pack(case)
    second = evidence.pack(case)

    packed = [line["digest"] for line in case.ledger() if line["event"] == "packed"]
    assert packed == [first.digest, second.digest]
    assert evidence.verify(case.folder / "bag").digest == second.digest


def test_the_page_to_read_first_tells_failures_too_and_asks_nothing_of_a_network(
    bag: evidence.Bag,
) -> None:
    page = (bag.path / "data" / "index.html").read_text()

    assert "001-validate" in page
    assert "failed" in page
    assert fetched_by(page) == []


def test_the_page_to_read_first_says_which_notebook_is_damaged(root: Path) -> None:
    case = worked_case(root)
    (case.folder / "attempts" / "001-validate" / "notebook.ipynb").write_text('{"cells": [')

    page = (evidence.pack(case).path / "data" / "index.html").read_text()

    assert page.count("Its notebook is damaged") == 1
    assert page.index('id="001-validate"') < page.index("Its notebook is damaged")
    assert page.index("Its notebook is damaged") < page.index('id="002-validate"')


def test_shows_hostile_text_as_text(root: Path) -> None:
    case = make_case(root, board_reference="<script>alert(1)</script>")
    case.new_attempt("validate")

    page = (evidence.pack(case).path / "data" / "index.html").read_text()

    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_has_nothing_to_pack_in_a_case_that_never_began(root: Path) -> None:
    with pytest.raises(InputError, match="nothing to pack"):
        evidence.pack(make_case(root))


def test_says_that_a_folder_is_no_bag(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no bag"):
        evidence.verify(tmp_path)


def test_the_digest_is_that_of_the_tag_manifest(bag: evidence.Bag) -> None:
    raw = (bag.path / "tagmanifest-sha256.txt").read_bytes()

    assert bag.digest == hashlib.sha256(raw).hexdigest()


def test_the_check_needs_nothing_but_what_a_submitter_installs(
    bag: evidence.Bag, tmp_path: Path
) -> None:
    """Far from the workbook's folder, without its settings, and without what operators have."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    names = {re.split(r"[<>=\[]", one)[0] for one in extras["operator"] + extras["dev"]}
    modules = {name.replace("-", "_") for name in names} | {"jwt", "nbformat", "IPython"}
    code = (
        "import sys\n"
        f"for name in {sorted(modules)!r}: sys.modules[name] = None\n"
        "from dedl_workbook.cli.main import main\n"
        f"sys.exit(main(['evidence', 'verify', {str(bag.path)!r}, '--digest', {bag.digest!r}]))"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert "intact, as given" in done.stdout
