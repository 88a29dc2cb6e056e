"""Submitters' systems: what Windows and macOS lack is neither needed nor imported."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dedl_workbook.dataset import handles

from tests.unit.builders import any_asset, any_collection, any_dataset, any_item, write
from tests.unit.rules.examples import good, places

LIB = Path(__file__).parents[3] / "lib"
POSIX = {
    *("fcntl", "pwd", "grp", "resource", "termios", "tty", "pty", "posix", "readline", "syslog"),
    *("spwd", "crypt", "nis", "_posixshmem"),
}
ELSEWHERE = """
import os, signal, sys
for name in (
    "O_NOFOLLOW O_NONBLOCK O_CLOEXEC O_DIRECTORY O_NOCTTY O_SYNC pread pwrite preadv pwritev "
    "posix_fadvise sched_getaffinity getuid geteuid getgid getegid getgroups fork forkpty mkfifo "
    "sysconf statvfs fstatvfs openpty setsid killpg getpgid getpgrp fchmod fchown chown lchown "
    "nice chroot ttyname tcgetpgrp waitid wait3 wait4 ctermid getloadavg fchdir"
).split():
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM", "alarm", "setitimer"):
    if hasattr(signal, name):
        delattr(signal, name)
for name in "dir_fd", "fd", "follow_symlinks", "effective_ids":
    setattr(os, f"supports_{name}", set())
os.O_BINARY = 0
for name in %s:
    sys.modules[name] = None
from dedl_workbook.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def elsewhere(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command where all is missing that not every system has."""
    code = ELSEWHERE % sorted(POSIX - {"posix"})
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_a_dataset_is_validated_and_fixed_where_posix_is_missing(tmp_path: Path) -> None:
    asset = any_asset(href="data\\2024\\11\\16\\heat_20241116\\heat_20241116.png")
    root = any_dataset(
        tmp_path,
        any_item(assets={"map": asset}),
        collection=any_collection(keywords=["Tempratur"]),
    )
    write(root, "data/2024/11/16/heat_20241116/heat_20241116.png", b"\x89PNG\r\n\x1a\n cut off")

    outputs = ["--fix", "fixed", "--html", "report.html", "--json", "report.json"]
    done = elsewhere("validate", str(root), *outputs, folder=tmp_path)

    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 1
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert {f["rule"] for f in report["findings"]} >= {"A01", "A04", "C04"}
    fixed = json.loads((tmp_path / "fixed/metadata/items/heat_20241116.json").read_text())
    assert fixed["assets"]["map"]["href"] == "data/2024/11/16/heat_20241116/heat_20241116.png"
    assert "C04" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    "command", ["rules", "rules L08 --json", "schemas sync --from .", "--help"]
)
def test_the_other_commands_of_submitters_run_where_posix_is_missing(
    tmp_path: Path, command: str
) -> None:
    done = elsewhere(*command.split(), folder=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")


@good("L06")
def test_links_are_refused_by_path_where_there_are_no_handles_of_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handles, "_O", {**handles._O, "NOFOLLOW": 0})
    root = any_dataset(tmp_path)
    (tmp_path / "other.png").write_bytes(b"")
    (root / "data" / "link.png").symlink_to(tmp_path / "other.png")

    assert places(root, "L06") == ["error data/link.png#"]


def imports(path: Path, *, whole: bool) -> Iterator[str]:
    """Yield what a module imports; `whole`: in its functions too."""
    tree = ast.parse(path.read_text())
    todo: list[ast.AST] = [tree]
    while todo:
        for node in ast.iter_child_nodes(todo.pop()):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                continue
            elif whole or not isinstance(node, ast.FunctionDef | ast.Lambda):
                todo.append(node)


def file_of(module: str) -> Path | None:
    path = LIB / module.replace(".", "/")
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def test_nothing_that_not_every_system_has_is_imported_by_what_submitters_run() -> None:
    # Of the commands' own module all that its functions need; of what that needs, what loads.
    todo = [("dedl_workbook.cli.main", False), ("dedl_workbook.cli.dataset", True)]
    known, needed = set(), {}
    while todo:
        module, whole = todo.pop()
        path = file_of(module)
        if path is None or module in known:
            continue
        known.add(module)
        for name in imports(path, whole=whole or ".rules." in module or ".dataset." in module):
            needed.setdefault(name.partition(".")[0], module)
            todo.append((name, False))

    assert "dedl_workbook.rules.schemas.sources" in known
    assert {name: module for name, module in needed.items() if name in POSIX} == {}
