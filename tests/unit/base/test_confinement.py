"""A confined process reads its file, and nothing else; each wall is missing in a control."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.base import confinement

CONFINE = """
import json, os, socket, subprocess, sys
from pathlib import Path
from dedl_workbook.base.confinement import confine
asked = json.loads(sys.argv[1])
gaps = confine([asked["handle"]], []) if asked["confined"] else []
def answer():
"""


def program(tmp_path: Path, body: str) -> Path:
    file = tmp_path / "program.py"
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    ending = "try:\n    print(json.dumps([gaps, answer()]))\n"
    ending += (
        "except (OSError, MemoryError) as error:\n    print(json.dumps([gaps, repr(error)]))\n"
    )
    file.write_text(CONFINE + lines + ending)
    return file


def ask(tmp_path: Path, body: str, *, confined: bool, needs: str = "") -> Any:
    """Return what a program answers, confined over its own file or not."""
    (tmp_path / "mine").write_text("mine")
    with (tmp_path / "mine").open() as file:
        request = {"handle": file.fileno(), "confined": confined}
        gaps, answer = confinement.run(program(tmp_path, body), request, handles=[file.fileno()])
    if needs in gaps:
        pytest.skip(f"this machine can't take {needs} from a process")
    return answer


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A port, and who connected to it."""
    callers: list[str] = []

    def serve() -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            callers.append(str(address))
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", callers
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("confined", [True, False])
def test_reads_its_own_file_by_its_handle(tmp_path: Path, confined: bool) -> None:
    body = "return Path(f\"/dev/fd/{asked['handle']}\").read_text()"

    assert ask(tmp_path, body, confined=confined) == "mine"


def test_reads_no_other_file_and_lists_no_folder(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("of somebody else")
    read, listing = (
        f"return Path({str(other)!r}).read_text()",
        f"return os.listdir({str(tmp_path)!r})",
    )

    assert "of somebody else" in ask(tmp_path, read, confined=False)
    assert "other" in ask(tmp_path, listing, confined=False)
    assert "PermissionError" in ask(tmp_path, read, confined=True, needs="files")
    assert "PermissionError" in ask(tmp_path, listing, confined=True, needs="files")


def test_writes_no_file(tmp_path: Path) -> None:
    body = f'Path({str(tmp_path / "new")!r}).write_text("x")'

    assert "PermissionError" in ask(tmp_path, body, confined=True, needs="files")
    assert not (tmp_path / "new").exists()
    assert ask(tmp_path, body, confined=False) is None
    assert (tmp_path / "new").exists()


def test_reaches_no_server(tmp_path: Path, server: tuple[str, list[str]]) -> None:
    address, callers = server
    host, _, port = address.partition(":")
    body = f"return socket.create_connection(({host!r}, {port})).getpeername()"

    assert "Error" in ask(tmp_path, body, confined=True, needs="network")
    assert callers == []
    assert ask(tmp_path, body, confined=False) == [host, int(port)]
    assert len(callers) == 1


@pytest.mark.parametrize(
    "body", ['return subprocess.run(["true"]).returncode', "return os.kill(os.getppid(), 0)"]
)
def test_starts_no_program_and_signals_to_nobody(tmp_path: Path, body: str) -> None:
    assert "PermissionError" in ask(tmp_path, body, confined=True, needs="network")
    assert ask(tmp_path, body, confined=False) in (0, None)


def test_has_a_gibibyte_of_memory(tmp_path: Path) -> None:
    body = "return len(bytearray(2**30 + 2**28))"

    assert "MemoryError" in ask(tmp_path, body, confined=True)
    assert ask(tmp_path, body, confined=False) > 2**30


def test_knows_nothing_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEDL_LAKE__S3__SECRET_KEY", "none-of-yours")

    assert "none-of-yours" not in str(ask(tmp_path, "return dict(os.environ)", confined=True))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("while True: pass", "it took more than 1 seconds"),
        ("import time; time.sleep(60)", "it took more than 1 seconds"),
        ("os.abort()", "what opened it crashed"),
        ("os._exit(3)", "what opened it ended with exit code 3"),
        ("os._exit(0)", "gave no answer"),
        ("return 'x' * 2**26", "ended with exit code"),
    ],
)
def test_a_process_that_dies_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    if "more than 1" in words:
        monkeypatch.setattr(confinement, "SECONDS", 1)

    with pytest.raises(confinement.DiedError, match=words):
        ask(tmp_path, body, confined=True)
