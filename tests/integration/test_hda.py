"""The hda step against the sandbox's real HDA, which reads the very files that it edits."""

from __future__ import annotations

import errno
import getpass
import json
import os
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from dedl_sandbox import Sandbox
from dedl_sandbox.hda_entries import collections_text
from dedl_workbook.base.errors import ChangedError, ConflictError, InputError, ServiceError
from dedl_workbook.base.json import pretty
from dedl_workbook.publication.job import Outcome, Verdict
from dedl_workbook.services.hda import config as hda_config
from dedl_workbook.services.hda import files as hda_files
from dedl_workbook.steps import hda

from tests.integration.hda_lake import ROLE, HdaLake, an_id, own_configuration, resumed

OTHERS = "EO.DEMO.DAT.SST.L2"
KILL_THEN_RESTART = """
import pathlib, sys
from dedl_sandbox.client import Sandbox
sandbox, note = Sandbox(pathlib.Path(sys.argv[1]), None), pathlib.Path(sys.argv[2])
if note.exists():
    sandbox.restart("hda")
else:
    note.touch()
    sandbox.kill("hda")
"""


@pytest.fixture
def lake(data_lake: Sandbox, tmp_path: Path) -> Iterator[HdaLake]:
    with own_configuration(data_lake, tmp_path) as lent:
        yield lent


def _files(lake: HdaLake) -> dict[Path, bytes]:
    found = [*lake.config.rglob("*.yml"), *(lake.config / "collections").iterdir()]
    return {path: path.read_bytes() for path in found}


def _failed(outcome: Outcome) -> dict[str, str]:
    assert outcome.verdict is Verdict.FAILED, outcome.summary
    return {check.name: check.found for check in outcome.checks if not check.passed}


def test_hda_serves_a_collection_as_published_and_every_other_byte_stays(lake: HdaLake) -> None:
    many = collections_text(400).rstrip("\n").replace("\n", "\r\n").encode()
    lake.collections.write_bytes(many)
    lake.collections.chmod(0o640)
    provider, id_ = lake.provider.read_text(), an_id()
    job = lake.job(id_, title="Levels: of 'lakes' # é", keywords=["Land", "Ocean"])

    plan = hda.plan(job)
    untouched = lake.collections.read_bytes() == many
    receipt = hda.apply(plan)
    outcome = hda.check(plan)

    assert untouched
    assert [(a.verb, a.subject.split()[0]) for a in plan.actions] == [
        ("add", "entry"), ("add", "product"), ("add", "collection"), ("reload", "HDA"),
    ]  # fmt: skip
    assert f"+{id_}:" in plan.detail["difference"][0]
    assert outcome.verdict is Verdict.PASSED, outcome.summary
    assert len(receipt.done["changed"]) == 3
    found = lake.collections.read_bytes()
    assert found.startswith(many + b"\r\n" + id_.encode())
    assert stat.S_IMODE(lake.collections.stat().st_mode) == 0o640
    line = f"    {id_}: {{_collection: {id_}}}\n"
    assert lake.provider.read_text().replace(line, "") == provider
    served = lake.served(id_).json()
    assert served["title"] == "Levels: of 'lakes' # é"
    assert set(served["keywords"]) == {"Land", "Ocean", "User generated"}
    assert served["dedl:short_description"] == "Levels"


def test_running_again_does_nothing(lake: HdaLake) -> None:
    job = lake.job(an_id())
    first = hda.plan(job)
    hda.apply(first)
    assert hda.check(first).verdict is Verdict.PASSED, hda.check(first).summary
    stamps = {path: path.stat().st_mtime_ns for path in _files(lake)}

    again = hda.plan(job)

    assert again.actions == ()
    assert {path: path.stat().st_mtime_ns for path in _files(lake)} == stamps
    assert hda.check(again).verdict is Verdict.PASSED


def test_a_restricted_collection_has_its_scopes_and_is_closed_to_strangers(lake: HdaLake) -> None:
    id_ = an_id()
    plan = hda.plan(lake.job(id_, roles=[ROLE]))

    hda.apply(plan)
    outcome = hda.check(plan)

    assert outcome.verdict is Verdict.PASSED, outcome.summary
    assert yaml.safe_load(lake.collections.read_bytes())[id_]["scopes"] == [ROLE]
    assert lake.served(id_).status_code == 401
    assert "HDA: closed without a token" in [check.name for check in outcome.checks]


def test_check_fails_when_a_restricted_collection_is_open(lake: HdaLake) -> None:
    job = lake.job(an_id(), roles=[ROLE], hda={"url": lake.sandbox.endpoints["hda"]})
    plan = hda.plan(job)
    hda.apply(plan)

    assert _failed(hda.check(plan)) == {"HDA: closed without a token": "answers 200"}


def test_scopes_have_the_key_that_the_target_says(lake: HdaLake) -> None:
    plan = hda.plan(lake.job(an_id(), roles=[ROLE], hda={"scopes_key": "dedl:roles"}))

    assert f"+  dedl:roles:\n+  - {ROLE}" in plan.detail["difference"][0]


def test_an_unapplied_plan_does_not_pass(lake: HdaLake) -> None:
    failed = _failed(hda.check(hda.plan(lake.job(an_id()))))

    assert [name for name in failed if name.startswith("configuration")] == [
        "configuration: entry", "configuration: product", "configuration: document",
    ]  # fmt: skip
    assert "HDA: collection" in failed


@pytest.mark.parametrize("which", ["collections", "provider", "document"])
def test_an_edit_by_hand_since_the_plan_stays_and_nothing_is_written(
    lake: HdaLake, which: str
) -> None:
    id_, quick = an_id(), {"check": ["true"], "reload": []}
    hda.apply(hda.plan(lake.job(id_, hda=quick)))
    plan = hda.plan(lake.job(id_, mode="replace", title="Another", hda=quick))
    edited = lake.document(id_) if which == "document" else getattr(lake, which)
    edited.write_bytes(edited.read_bytes() + b"# by hand\n")
    before = _files(lake)

    with pytest.raises(ConflictError, match="changed by somebody else") as error:
        hda.apply(plan)

    assert error.value.where == str(edited)
    assert error.value.remedy.startswith("That change stays. Plan again")
    assert _files(lake) == before


def test_an_edit_at_the_last_moment_stays_and_what_was_written_is_put_back(
    lake: HdaLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = hda.plan(lake.job(an_id()))
    before = _files(lake)
    whole = hda.hda_trial.load

    def load(*arguments: Any) -> None:
        whole(*arguments)
        lake.collections.write_bytes(before[lake.collections] + b"# by hand\n")

    monkeypatch.setattr(hda.hda_trial, "load", load)
    with pytest.raises(ConflictError, match=r"collections\.yml"):
        hda.apply(plan)

    assert _files(lake) == before | {lake.collections: before[lake.collections] + b"# by hand\n"}


@pytest.mark.parametrize("name", ["json", "dedl_usergenerated.yml", "collections.yml"])
def test_a_disk_that_is_full_at_any_file_leaves_all_as_it_was(
    lake: HdaLake, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    plan = hda.plan(lake.job(an_id(), hda={"check": ["true"], "reload": []}))
    before, whole = _files(lake), hda_files._write

    def write(handle: int, real: Path, data: bytes) -> None:
        if real.name.endswith(name):
            os.close(handle)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(handle, real, data)

    monkeypatch.setattr(hda_files, "_write", write)
    with pytest.raises(InputError, match="can't be written: No space left") as error:
        hda.apply(plan)

    assert "Make room" in error.value.remedy
    assert _files(lake) == before


def test_two_workbooks_do_not_write_at_the_same_time(
    lake: HdaLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = hda.plan(lake.job(an_id()))
    before = _files(lake)
    monkeypatch.setattr(hda.hda_files, "TURN", 0.3)
    with (
        hda.hda_files.locked(lake.hda(), "T-1", lambda _: None),
        pytest.raises(ConflictError, match=r"T-1 \(.*, process \d+\) is changing"),
    ):
        hda.apply(plan)
    assert _files(lake) == before


def test_two_workbooks_take_turns_and_the_second_says_for_whom_it_waits(lake: HdaLake) -> None:
    """The first changes the files meanwhile: that is no edit by hand."""
    quick = {"check": ["true"], "reload": []}
    first, second = an_id(), an_id()
    told: list[str] = []
    waits = threading.Event()

    def tell(what: str, done: int, total: int, unit: str, note: str = "", /) -> None:
        if note:
            told.append(note)
            waits.set()

    plan = hda.plan(replace(lake.job(second, hda=quick), tell=tell))
    other = hda.plan(lake.job(first, hda=quick))
    with ThreadPoolExecutor() as threads:
        with hda.hda_files.locked(lake.hda(), "T-1", lambda _: None) as left:
            running = threads.submit(hda.apply, plan)
            assert waits.wait(20)
            hda._change(other, lake.hda(**quick), hda._meant(other.job, lake.hda()), left)
        running.result(60)

    assert told[0].startswith(f"waits for T-1 ({getpass.getuser()} on")
    entries = yaml.safe_load(lake.collections.read_bytes())
    assert {first, second} <= entries.keys()


def test_the_lock_is_one_that_nfs_has(lake: HdaLake) -> None:
    """There `flock` is a lock on bytes, which needs a descriptor that is open for writing."""
    with hda.hda_files.locked(lake.hda(), "T-1", lambda _: None):
        file = lake.config / hda.hda_files.LOCK
        held = [path for path in Path("/proc/self/fd").iterdir() if path.resolve() == file]
        flags = [(Path("/proc/self/fdinfo") / path.name).read_text() for path in held]

    assert held
    assert all(int(text.split("flags:")[1].split()[0], 8) & os.O_ACCMODE for text in flags)


def test_an_entry_of_others_is_refused_in_mode_new(lake: HdaLake) -> None:
    with pytest.raises(ConflictError, match="isn't of this ticket"):
        hda.plan(lake.job(OTHERS))


def test_an_entry_of_others_is_replaced_in_mode_replace_and_kept(lake: HdaLake) -> None:
    config = hda_config.parse(lake.collections.read_bytes(), "collections.yml")
    old, ids = hda_config.entry_text(config, OTHERS), list(config.values)
    job = lake.job(OTHERS, mode="replace")

    plan = hda.plan(job)
    hda.apply(plan)

    assert hda.check(plan).verdict is Verdict.PASSED
    saved = json.loads((job.folder / "before" / "hda.json").read_bytes())
    assert saved["entry"] == old
    assert saved["product"] is None
    assert saved["document"] is None
    after = hda_config.parse(lake.collections.read_bytes(), "collections.yml")
    assert list(after.values) == ids
    restored = hda_config.with_entry_text(after, OTHERS, saved["entry"])
    assert restored.text == config.text


def test_a_run_that_was_cut_off_before_the_reload_is_finished(
    lake: HdaLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = lake.job(an_id())
    first = hda.plan(job)

    def cut_off(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(hda, "reload_or_put_back", cut_off)
        with pytest.raises(KeyboardInterrupt):
            hda.apply(first)
    again = hda.plan(resumed(job, first.before))

    assert [action.verb for action in again.actions] == ["reload"]
    assert again.digest == first.digest
    hda.apply(again)
    assert hda.check(again).verdict is Verdict.PASSED
    assert json.loads((job.folder / "before" / "hda.json").read_bytes())["entry"] is None


def test_waits_for_those_who_roll_the_configuration_out(lake: HdaLake) -> None:
    plan = hda.plan(lake.job(an_id(), hda={"reload": []}))
    hda.apply(plan)

    waiting = hda.check(plan)
    lake.reload()
    passed = hda.check(plan)

    assert waiting.verdict is Verdict.WAITING
    assert waiting.waiting_for == "the roll-out of HDA's configuration"
    written = json.loads((plan.job.folder / "hda-written.json").read_bytes())
    assert waiting.since == written["since"]
    assert passed.verdict is Verdict.PASSED, passed.summary


def test_check_names_what_hda_serves_otherwise(lake: HdaLake) -> None:
    id_ = an_id()
    plan = hda.plan(lake.job(id_))
    hda.apply(plan)
    file = lake.document(id_)
    file.write_text(pretty(json.loads(file.read_bytes()) | {"title": "Other"}))
    lake.reload()

    assert _failed(hda.check(plan)) == {
        "configuration: document": "otherwise than planned",
        "HDA: title": "Other, meant Levels of a lake",
    }


def test_what_eodag_makes_null_is_refused_before_anything_is_changed(lake: HdaLake) -> None:
    before = _files(lake)
    providers = [{"name": "A lake", "roles": ["producer"], "url": "no address"}]
    job = lake.job(an_id(), providers=providers, extent={"spatial": {"bbox": [[1, 2]]}})

    with pytest.raises(InputError) as error:
        hda.apply(hda.plan(job))

    assert "Nothing was changed" in str(error.value)
    assert _files(lake) == before


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"python": "/nowhere/python"}, ServiceError, "hda.python can't be run"),
        ({"python": sys.executable}, InputError, "has no eodag"),
        ({"check": ["false"]}, InputError, "the check ended with 1"),
        (
            {"check": ["sh", "-c", "exec sleep 600"], "reload_timeout": 0.2},
            ServiceError,
            "did not end in 0.2 s",
        ),
    ],
)
def test_nothing_is_written_that_could_not_be_loaded(
    lake: HdaLake, settings: dict[str, Any], error: type[Exception], said: str
) -> None:
    plan = hda.plan(lake.job(an_id(), hda=settings))
    before = _files(lake)

    with pytest.raises(error, match=said):
        hda.apply(plan)

    assert _files(lake) == before


def test_a_check_of_the_sites_own_sees_the_changed_files(lake: HdaLake, tmp_path: Path) -> None:
    id_, seen = an_id(), tmp_path / "seen"
    script = "import shutil, sys; shutil.copytree(sys.argv[2], sys.argv[1])"
    command = [sys.executable, "-c", script, str(seen)]

    hda.apply(hda.plan(lake.job(id_, hda={"check": command})))

    document = f"collections/{lake.document(id_).name}"
    for name in ("collections.yml", "providers/dedl_usergenerated.yml", document):
        assert (seen / name).read_bytes() == (lake.config / name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"reload": ["false"]}, "hda.reload ended with 1"),
        ({"reload": ["sleep", "600"], "reload_timeout": 20}, "did not end in 20 s"),
        ({"reload": ["/nowhere/reload"]}, "hda.reload can't be run"),
    ],
)
def test_a_reload_that_fails_puts_the_files_back(
    lake: HdaLake, settings: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "reload_timeout" in settings:
        settings = settings | {"reload_timeout": 0.3}
        monkeypatch.setattr(hda.hda_trial, "load", lambda *_: None)
        said = "did not end in 0.3 s"
    plan = hda.plan(lake.job(an_id(), hda=settings))
    before = _files(lake)

    with pytest.raises(ServiceError, match=said) as error:
        hda.apply(plan)

    assert "the files were put back" in str(error.value)
    assert _files(lake) == before


def test_when_hda_does_not_come_back_it_runs_as_before_in_the_end(
    lake: HdaLake, tmp_path: Path
) -> None:
    script = tmp_path / "reload.py"
    script.write_text(KILL_THEN_RESTART)
    command = [sys.executable, str(script), str(lake.sandbox.folder), str(tmp_path / "note")]
    id_ = an_id()
    plan = hda.plan(lake.job(id_, hda={"reload": command, "served_timeout": 10}))
    before = _files(lake)

    with pytest.raises(ServiceError, match="did not come back in 10 s") as error:
        hda.apply(plan)

    assert "put back, and HDA runs as before" in str(error.value)
    assert _files(lake) == before
    assert lake.served(OTHERS).status_code == 200
    assert lake.served(id_).status_code == 404


def test_a_dataset_that_changed_since_the_plan_is_refused(lake: HdaLake) -> None:
    id_ = an_id()
    plan = hda.plan(lake.job(id_))
    lake.job(id_, title="Another")

    with pytest.raises(ChangedError):
        hda.apply(plan)


def _take_away(path: Path) -> None:
    path.unlink()


def _break(path: Path) -> None:
    path.write_text("A: [1\n")


def _no_provider(path: Path) -> None:
    path.write_text("another: {products: {}}\n")


@pytest.mark.parametrize(
    ("which", "change", "said"),
    [
        ("collections", _take_away, "can't be read: No such file"),
        ("collections", _break, "is not YAML"),
        ("provider", _take_away, "can't be read: No such file"),
        ("provider", _break, "is not YAML"),
        ("provider", _no_provider, "has no provider 'dedl_usergenerated'"),
    ],
)
def test_says_what_is_wrong_with_the_configuration(
    lake: HdaLake, which: str, change: Callable[[Path], None], said: str
) -> None:
    path: Path = getattr(lake, which)
    change(path)

    with pytest.raises(InputError, match=said) as error:
        hda.plan(lake.job(an_id()))

    assert error.value.where.startswith(str(path))
    assert error.value.remedy


def test_a_folder_that_is_not_there_is_named(lake: HdaLake) -> None:
    with pytest.raises(InputError, match="/nowhere/collections.yml: .*No such file"):
        hda.plan(lake.job(an_id(), hda={"folder": "/nowhere"}))


@contextmanager
def _as_nobody(folder: Path) -> Iterator[None]:
    """Let root step down, whom no permission stops."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(mode)


def test_a_folder_that_is_not_writable_is_named_before_anything_is_done(lake: HdaLake) -> None:
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    try:
        shutil.copytree(lake.config, place / "hda", ignore=shutil.ignore_patterns("eodag.yml"))
        there = HdaLake(lake.sandbox, place)
        job = there.job(an_id(), hda={"folder": place / "hda"})

        with _as_nobody(place / "hda"), pytest.raises(InputError, match="read-only") as error:
            hda.plan(job)

        assert str(place / "hda") in str(error.value)
    finally:
        shutil.rmtree(place)


def test_a_target_without_hda_has_nothing_to_do(lake: HdaLake) -> None:
    job = lake.job(an_id())
    without = type(job)(
        job.ticket, job.target.model_copy(update={"hda": None}), job.folder, job.root
    )

    plan = hda.plan(without)

    assert plan.actions == ()
    assert hda.check(plan).verdict is Verdict.PASSED


def test_no_answer_tells_the_internal_addresses(lake: HdaLake) -> None:
    id_ = an_id()
    hda.apply(hda.plan(lake.job(id_)))
    root = lake.sandbox.endpoints["guard"]

    told = [
        httpx.get(f"{root}{path}", timeout=20).text
        for path in ("/", "/collections?limit=50", f"/collections/{id_}")
    ]

    hidden = [lake.sandbox.endpoints[name] for name in ("hda", "stac_api")]
    assert [text for text in told if any(address in text for address in hidden)] == []
