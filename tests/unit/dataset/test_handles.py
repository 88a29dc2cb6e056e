"""A submitter who changes the dataset while it is read has nothing else read in its place."""

from __future__ import annotations

import errno
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dedl_workbook.base.errors import InputError
from dedl_workbook.dataset import handles
from dedl_workbook.dataset.dataset import ChangedFileError, Folder, fingerprint

from tests.attacks import exchange

PATH = "data/2024/a.tif"
SECRET = b"another's"


@pytest.fixture(params=["handles", "paths"])
def root(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make a dataset of one file, and beside it another's folder with one of that name."""
    if request.param == "paths":
        monkeypatch.setattr(handles, "open_root", handles._Paths)
    (tmp_path / "delivered/data/2024").mkdir(parents=True)
    (tmp_path / "private").mkdir()
    (tmp_path / "delivered" / PATH).write_bytes(b"delivered")
    (tmp_path / "private/a.tif").write_bytes(SECRET)
    (tmp_path / "link").symlink_to(tmp_path / "private")
    return tmp_path / "delivered"


READERS: list[Callable[[Folder], object]] = [
    lambda dataset: dataset.read(PATH),
    lambda dataset: dataset.head(PATH, 100),
    lambda dataset: dataset.open(PATH),
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("place", ["data", "data/2024"])
def test_a_folder_that_was_exchanged_for_a_link_is_not_followed(
    root: Path, read: Callable[[Folder], object], place: str
) -> None:
    dataset = Folder(root)
    read(dataset)
    (root.parent / "whole/2024").mkdir(parents=True)
    (root.parent / "whole/2024/a.tif").write_bytes(SECRET)
    link = root.parent / "link" if place == "data/2024" else root.parent / "to-whole"
    if place == "data":
        link.symlink_to(root.parent / "whole")
    file = dataset.stat(PATH)
    assert file is not None

    exchange(root / place, link)

    # By its name it is another's file.
    assert (root / PATH).read_bytes() == SECRET
    with pytest.raises(OSError, match=r".") as refused:
        read(Folder(root))
    assert refused.value.errno in (errno.ELOOP, errno.ENOTDIR)
    with pytest.raises(OSError, match=r"."):
        Folder(root).read_state(file, 0, file.size)
    assert dataset.stat(PATH) is None


def test_a_folder_that_was_opened_before_it_was_exchanged_is_read_as_it_was(root: Path) -> None:
    dataset = Folder(root)
    dataset.read(PATH)

    exchange(root / "data/2024", root.parent / "link")

    try:
        assert dataset.read(PATH) == b"delivered"
    except OSError:
        assert isinstance(dataset._handles, handles._Paths)


def test_a_new_listing_sees_the_folders_that_are_there_now(root: Path) -> None:
    dataset = Folder(root)
    dataset.read(PATH)
    (root.parent / "new").mkdir()
    (root.parent / "new/a.tif").write_bytes(b"new")

    exchange(root / "data/2024", root.parent / "new")

    (file,) = dataset.files()
    assert dataset.read_state(file, 0, file.size) == b"new"


def test_a_link_in_the_place_of_a_folder_is_listed_as_a_link_and_not_entered(root: Path) -> None:
    exchange(root / "data/2024", root.parent / "link")

    assert [(file.path, file.kind) for file in Folder(root).files()] == [("data/2024", "symlink")]


def test_a_file_that_was_exchanged_for_a_link_is_refused(root: Path) -> None:
    (root.parent / "to-file").symlink_to(root.parent / "private/a.tif")

    exchange(root / PATH, root.parent / "to-file")

    for read in READERS:
        with pytest.raises(OSError, match=r"."):
            read(Folder(root))


@pytest.mark.parametrize(
    "path", ["../private/a.tif", "data/../../private/a.tif", "/etc/passwd", "data//..//../x"]
)
def test_no_path_leads_out_of_the_dataset(root: Path, path: str) -> None:
    if isinstance(Folder(root)._handles, handles._Paths):
        pytest.skip("paths that were made by us have no such parts")
    with pytest.raises(OSError, match=r"."):
        Folder(root).read(path)


@contextmanager
def racing(one: Path, other: Path) -> Iterator[None]:
    """Exchange two entries again and again, and leave them as they were."""
    stop = threading.Event()

    def race() -> None:
        while not stop.is_set():
            exchange(one, other)
            exchange(one, other)

    thread = threading.Thread(target=race)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("root", ["handles"], indirect=True)
def test_a_racing_submitter_never_has_anothers_file_read(root: Path) -> None:
    dataset, read, by_name = Folder(root), set(), set()
    tries = 0

    with racing(root / "data/2024", root.parent / "link"):
        # Until it was had by its name, as the attack is in vain where it can't succeed.
        while tries < 2000 or (SECRET not in by_name and tries < 200_000):
            tries += 1
            by_name.add((root / PATH).read_bytes())
            try:
                read.add(dataset.read(PATH))
            except OSError:
                read.add(b"")

    assert SECRET in by_name
    assert SECRET not in read


def test_other_bytes_with_the_time_set_back_are_another_state(root: Path) -> None:
    dataset = Folder(root)
    file, before = dataset.stat(PATH), fingerprint(dataset)
    assert file is not None
    status = (root / PATH).stat()

    (root / PATH).write_bytes(b"forged!!!")
    os.utime(root / PATH, ns=(status.st_atime_ns, status.st_mtime_ns))

    now = (root / PATH).stat()
    assert (now.st_size, now.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert fingerprint(dataset) != before
    with pytest.raises(ChangedFileError):
        dataset.read_state(file, 0, file.size)


def test_another_file_of_that_size_and_time_is_another_state(root: Path) -> None:
    dataset = Folder(root)
    file, before = dataset.stat(PATH), fingerprint(dataset)
    assert file is not None
    status = (root / PATH).stat()
    other = root.parent / "other"
    other.write_bytes(b"forged!!!")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))

    exchange(root / PATH, other)

    assert fingerprint(dataset) != before
    with pytest.raises(ChangedFileError):
        dataset.read_state(file, 0, file.size)


def test_a_folder_that_was_exchanged_and_put_back_is_another_state(root: Path) -> None:
    before = fingerprint(Folder(root))
    other = root.parent / "forged"
    other.mkdir()
    (other / "a.tif").write_bytes(b"forged!!!")

    exchange(root / "data/2024", other)
    assert Folder(root).read(PATH) == b"forged!!!"
    exchange(root / "data/2024", other)

    assert Folder(root).read(PATH) == b"delivered"
    assert fingerprint(Folder(root)) != before


def test_what_is_only_read_stays_the_same_state(root: Path) -> None:
    dataset = Folder(root)
    before = fingerprint(dataset)

    list(dataset.files())
    dataset.read(PATH)
    (root / PATH).read_bytes()

    assert fingerprint(dataset) == fingerprint(Folder(root)) == before


def test_a_file_that_changes_while_it_is_read_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Folder(root)
    file = dataset.stat(PATH)
    assert file is not None

    def slow(handle: int, length: int, start: int) -> bytes:
        with (root / PATH).open("r+b") as other:
            other.write(b"F")
        return os.pread(handle, length, start)

    monkeypatch.setattr("dedl_workbook.dataset.dataset._pread", slow)

    with pytest.raises(ChangedFileError):
        dataset.read_state(file, 0, file.size)


def test_a_dataset_goes_to_another_process_and_is_opened_there(root: Path) -> None:
    dataset = Folder(root)
    state = fingerprint(dataset)

    other = pickle.loads(pickle.dumps(dataset))

    assert other == dataset
    assert fingerprint(other) == state


def test_a_root_that_was_exchanged_is_gone(root: Path) -> None:
    dataset = Folder(root)
    list(dataset.files())
    (root.parent / "forged").mkdir()

    exchange(root, root.parent / "forged")

    with pytest.raises(InputError, match="folder is gone"):
        list(dataset.files())


@pytest.mark.parametrize("name", ["a\0b", "", ".", ".."])
def test_what_can_be_no_files_name_is_no_file(root: Path, name: str) -> None:
    with pytest.raises(OSError, match=r"."):
        Folder(root).read(f"data/{name}")


def handles_held() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_handles_do_not_pile_up(root: Path) -> None:
    dataset = Folder(root)
    list(dataset.files())
    before = handles_held()

    for _ in range(50):
        list(dataset.files())
        dataset.read(PATH)
        dataset.stat(PATH)
        fingerprint(Folder(root))
        with pytest.raises(OSError, match=r"."):
            dataset.read("data/2024/none/none")

    assert handles_held() <= before + 1
