"""Executors: the same work and the same report in this thread, threads, processes and Dask."""

from __future__ import annotations

import itertools
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path

import pytest
from dedl_workbook import __version__
from dedl_workbook.base import parallel
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.base.parallel import map_shards, open_executor
from dedl_workbook.dataset.dataset import Folder, open_dataset
from dedl_workbook.rules import across, run
from dedl_workbook.rules.rule import Given
from dedl_workbook.rules.validation import validate

from tests.unit.builders import any_collection, any_dataset, any_item, write
from tests.unit.rules.examples import report

NAMES = ("one", "threads", "processes", "dask")


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """What an operator would write."""
    if request.param == "dask":
        address: str = request.getfixturevalue("cluster")
        return address
    return str(request.param)


def fit() -> str:
    return ""


@pytest.fixture(scope="module")
def opened() -> Iterator[Callable[[str], Executor | None]]:
    """Opens each executor once, whatever the order of the tests: processes are slow to start."""
    with ExitStack() as stack:

        @cache
        def by_name(name: str) -> Executor | None:
            return stack.enter_context(open_executor(name, fit, many=True, remote=False))

        yield by_name


@pytest.fixture
def executor(name: str, opened: Callable[[str], Executor | None]) -> Executor | None:
    return opened(name)


def squares(shard: list[int]) -> list[int]:
    return [number * number for number in shard]


def unwilling(shard: list[int]) -> list[int]:
    if 7 in shard:
        raise ValueError("not seven")
    return shard


def test_every_shard_is_worked_on_once(executor: Executor | None) -> None:
    work = [[n, n + 1] for n in range(0, 60, 2)]

    found = list(map_shards(squares, work, executor))

    assert sorted(itertools.chain(*found)) == [n * n for n in range(60)]


def test_an_error_of_a_shard_is_raised_and_ends_the_handing_out(executor: Executor | None) -> None:
    handed = itertools.count()

    with pytest.raises(ValueError, match="not seven"):
        list(map_shards(unwilling, ([n] for n in handed), executor, ahead=4))

    assert next(handed) < 100


def test_an_endless_stream_is_taken_from_only_as_it_is_worked_off(
    executor: Executor | None,
) -> None:
    handed = itertools.count()

    results = map_shards(squares, ([n] for n in handed), executor, ahead=4)
    next(results)
    results.close()

    assert next(handed) <= 10


def many(tmp_path: Path, count: int = 60) -> Path:
    """A dataset with findings of every scope: in items, of files, and across them."""
    items = [any_item(f"item_{n:03}") for n in range(count)]
    for item in items[::3]:
        item["collection"] = "EO.XXX.DAT.COLD"
    root = any_dataset(tmp_path, *items, files={"data/2024/nobodys.png": b"x"})
    write(root, "metadata/items/item_001.json", any_item("item_002"))
    write(root, "metadata/items/item_004.json", b"[]")
    (root / "data/2024/11/16/item_005/item_005.png").unlink()
    return root


def test_every_executor_gives_the_same_report(tmp_path: Path, name: str) -> None:
    root = many(tmp_path)

    together = report(root, executor=name)

    assert together == report(root)
    assert {f.rule for f in together.findings} == {"L03", "I02", "I03", "A01", "A04", "A05"}
    assert together.items == 59


def test_an_executor_of_ones_own_can_be_used(tmp_path: Path, cluster: str) -> None:
    from distributed import Client

    root = many(tmp_path)

    with Client(cluster) as client:
        assert report(root, executor=client.get_executor(pure=False)) == report(root)


def test_what_ships_with_a_shard_is_small_whatever_the_collection(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, collection=any_collection(description="x" * 10**6))
    dataset = open_dataset(str(root))
    given = Given(dataset, any_collection(description="x" * 10**6))

    look = partial(run.check_shard, given.for_shards(), False)

    assert len(pickle.dumps(look)) < 2000
    (file,) = dataset.files("metadata/items/")
    assert pickle.loads(pickle.dumps(look))([file]).items == 1


@pytest.mark.parametrize(
    ("many_items", "remote", "expected"),
    [
        (False, False, "NoneType"),
        (True, False, "ProcessPoolExecutor"),
        (False, True, "ThreadPoolExecutor"),
        (True, True, "ThreadPoolExecutor"),
    ],
)
def test_auto_takes_threads_for_a_bucket_and_processes_for_a_large_folder(
    monkeypatch: pytest.MonkeyPatch, many_items: bool, remote: bool, expected: str
) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)

    with open_executor("auto", fit, many=many_items, remote=remote) as opened:
        assert type(opened).__name__ == expected


def test_a_name_that_is_none_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no executor 'dask'") as refused:
        validate(open_dataset(str(any_dataset(tmp_path))), executor="dask")

    assert "tcp://" in refused.value.remedy


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "CONNECT", 0.2)

    with pytest.raises(ServiceError, match="doesn't answer") as refused:
        with open_executor("tcp://127.0.0.1:9", fit, many=True, remote=False):
            pass

    assert refused.value.where == "tcp://127.0.0.1:9"


def test_without_dask_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)

    with pytest.raises(InputError, match="isn't installed") as refused:
        with open_executor("tcp://127.0.0.1:9", fit, many=True, remote=False):
            pass

    assert "dedl-workbook[dask]" in refused.value.remedy


def test_a_worker_that_is_not_fit_is_refused_and_named(cluster: str) -> None:
    with pytest.raises(InputError, match="has another version") as refused:
        with open_executor(cluster, lambda: "has another version", many=True, remote=False):
            pass

    assert refused.value.where.startswith("Dask worker tcp://127.0.0.1:")


def test_a_worker_must_have_the_same_workbook_and_see_the_same_dataset(tmp_path: Path) -> None:
    dataset = open_dataset(str(any_dataset(tmp_path)))
    given, collection = Given(dataset, any_collection()), dataset.stat("metadata/collection.json")

    assert run.hindrance(given, collection, __version__) == ""
    assert "has version" in run.hindrance(given, collection, "0.0.0")
    elsewhere = Given(Folder(tmp_path / "elsewhere"), any_collection())
    assert "doesn't see" in run.hindrance(elsewhere, collection, __version__)
    bare = Given(dataset, any_collection(), schemas=tmp_path / "none")
    assert "no store of STAC schemas" in run.hindrance(bare, collection, __version__)


def test_handing_out_ends_when_threads_are_stopped() -> None:
    stop = threading.Event()

    def patient(shard: list[int]) -> list[int]:
        if shard == [0]:
            raise ValueError("ends it")
        assert stop.wait(10)
        return shard

    with open_executor("threads", fit, many=True, remote=True) as opened:
        with pytest.raises(ValueError, match="ends it"):
            list(map_shards(patient, ([n] for n in range(9)), opened, ahead=4, stop=stop))


@pytest.mark.parametrize("parts", [1, 3, 64])
def test_the_report_does_not_depend_on_the_parts_that_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    root = many(tmp_path)
    write(root, "data/2024/11/16/item_007/ITEM_007.png", b"x")
    item = any_item("item_009")
    item["assets"]["twice"] = any_item("item_008")["assets"]["map"]
    write(root, "metadata/items/item_009.json", item)
    whole = report(root)

    monkeypatch.setattr(across, "PARTS", parts)
    monkeypatch.setattr(across, "BUFFERED", 100)
    monkeypatch.setattr(across, "BATCH", 7)

    assert report(root) == whole
    assert {"L08", "I03", "A01", "A04", "A05"} <= {f.rule for f in whole.findings}
