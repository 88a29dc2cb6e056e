"""Confinement: a child process for files that nobody has judged yet.

The kernel holds it, not the libraries that read the file: no network, no other file, no other
program, so much memory and so much time.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

MEMORY = 2**30
"""Bytes of address space that a child has."""
SECONDS = 20
"""That a child has, of the processor's time and by the clock."""
_ANSWER = 32 * 2**20
"""Bytes of a child's answer, at most: it can't write a larger file."""
_PASSED = ("LD_LIBRARY_PATH", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""What a child's libraries may need of the environment; secrets, and all the rest, stay here."""

# Names and numbers are those of Linux.
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_FORBIDDEN = (
    # name, number on x86_64, number on aarch64
    *(("socket", 41, 198), ("connect", 42, 203), ("bind", 49, 200), ("listen", 50, 201)),
    *(("sendto", 44, 206), ("sendmsg", 46, 211), ("sendmmsg", 307, 269), ("ptrace", 101, 117)),
    *(("execve", 59, 221), ("execveat", 322, 281), ("kill", 62, 129), ("tkill", 200, 130)),
    *(("tgkill", 234, 131), ("rt_sigqueueinfo", 129, 138), ("rt_tgsigqueueinfo", 297, 240)),
    *(("mount", 165, 40), ("chroot", 161, 51), ("pivot_root", 155, 41), ("unshare", 272, 97)),
    *(("setns", 308, 268), ("bpf", 321, 280), ("open_by_handle_at", 304, 265)),
    *(("process_vm_readv", 310, 270), ("process_vm_writev", 311, 271)),
    *(("pidfd_send_signal", 424, 424), ("io_uring_setup", 425, 425), ("open_tree", 428, 428)),
    *(("move_mount", 429, 429), ("pidfd_getfd", 438, 438)),
)
"""Calls of the kernel that a child can't make."""
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Which number of the table is a machine's, and what the kernel calls it."""


class DiedError(OSError):
    """A child was stopped or crashed; says which in words."""


def run(
    program: Path,
    request: Mapping[str, Any],
    *,
    handles: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> Any:
    """Run a Python program in a process of its own and return its answer.

    Args:
        program: it reads the request from its first argument, calls `confine` before it touches
            what is hostile, and prints its answer; both are JSON.
        request: for the program.
        handles: open files that it gets, by the same numbers.
        environment: variables for its libraries.

    Raises:
        DiedError: it needed too long or too much, or crashed, or answered nothing.
    """
    variables = {name: os.environ[name] for name in _PASSED if name in os.environ}
    # One thread: of several, one alone would be confined.
    variables |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
    with tempfile.TemporaryFile() as answer:
        process = subprocess.Popen(
            [sys.executable, "-I", str(program), json.dumps(request)],
            cwd="/",
            env={**variables, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            pass_fds=tuple(handles),
            start_new_session=True,
        )
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            code = -signal.SIGXCPU
        finally:
            # Also what it may have started.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code:
            raise DiedError(_death(code))
        answer.seek(0)
        try:
            return json.load(answer)
        except (ValueError, RecursionError) as error:
            raise DiedError("what opened it gave no answer") from error


def _death(code: int) -> str:
    if code == -signal.SIGXCPU:
        return f"it took more than {SECONDS} seconds, and was stopped"
    if code < 0:
        return f"what opened it crashed ({signal.Signals(-code).name})"
    return f"what opened it ended with exit code {code}"


def confine(handles: Sequence[int], folders: Iterable[Path]) -> list[str]:
    """Confine this process, which has one thread, for the rest of its life.

    Args:
        handles: open files that it may open again.
        folders: what it may read besides, such as the tables of its libraries.

    Returns:
        What could not be taken from it, on a kernel that can't: "files" or "network".
    """
    for limit, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_FSIZE, _ANSWER),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    if sys.platform != "linux":
        return ["files", "network"]
    kernel = ctypes.CDLL(None, use_errno=True)
    kernel.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    # As root without a namespace of users, in which root would have no rights over its own files.
    alone = not kernel.unshare(_NEW_NETWORK) or not kernel.unshare(_NEW_USER | _NEW_NETWORK)
    files = _restrict_files(kernel, handles, folders)
    calls = _restrict_calls(kernel)
    return [*([] if files else ["files"]), *([] if alone or calls else ["network"])]


def _restrict_files(kernel: ctypes.CDLL, handles: Sequence[int], folders: Iterable[Path]) -> bool:
    """Forbid by Landlock (Linux 5.13) to open anything else, and to write anything."""
    version = kernel.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    kinds = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    # Files, connections by TCP, signals to others and their sockets, as far as it knows them.
    scope = struct.pack("QQQ", (1 << kinds) - 1, 3, 3)[: 8 if version < 4 else 16]
    scope = scope if version < 6 else struct.pack("QQQ", (1 << kinds) - 1, 3, 3)
    rules = kernel.syscall(_CREATE_RULESET, scope, ctypes.c_size_t(len(scope)), 0)
    if rules < 0:
        return False
    for handle in handles:
        _allow(kernel, rules, handle, _READ_FILE)
    for folder in folders:
        with suppress(OSError):
            opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            _allow(kernel, rules, opened, _READ_FILE | _READ_FOLDER)
            os.close(opened)
    confined = kernel.syscall(_RESTRICT_SELF, rules, 0) == 0
    os.close(rules)
    return bool(confined)


def _allow(kernel: ctypes.CDLL, rules: int, handle: int, rights: int) -> None:
    # A handle that lies in no folder, such as a pipe's, is refused, and needs no leave.
    kernel.syscall(_ADD_RULE, rules, 1, struct.pack("=Qi", rights, handle), 0)


def _restrict_calls(kernel: ctypes.CDLL) -> bool:
    """Forbid the calls of `_FORBIDDEN` by a filter of system calls (seccomp)."""
    if platform.machine() not in _MACHINES:
        return False
    column, machine = _MACHINES[platform.machine()]
    numbers = [call[column] for _, *call in _FORBIDDEN]
    load, equal, from_, end = 0x20, 0x15, 0x35, 0x06
    allow, deny, kill = 0x7FFF0000, 0x00050000 | 13, 0x80000000
    steps = [(load, 0, 0, 4), (equal, 1, 0, machine), (end, 0, 0, kill), (load, 0, 0, 0)]
    # Numbers from here on are another way to the same calls.
    steps.append((from_, len(numbers) + 1, 0, 0x40000000))
    steps += [(equal, len(numbers) - n, 0, number) for n, number in enumerate(numbers)]
    steps += [(end, 0, 0, allow), (end, 0, 0, deny)]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    held = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(held))
    return bool(kernel.prctl(_SECCOMP, _FILTER, program, 0, 0) == 0)
