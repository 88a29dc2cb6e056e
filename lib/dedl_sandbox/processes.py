"""Processes and ports: who is who, who listens where, and how a server is started and ended."""

from __future__ import annotations

import os
import pwd
import random
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Below the range from which the kernel gives ports to clients, so that a port that was free
# yesterday isn't the near end of somebody's connection today.
_PORTS = range(20_000, 32_000)


@dataclass(frozen=True)
class Identity:
    """One process for good: its number, and when it started, since numbers are used again."""

    pid: int
    started: str


def identify(pid: int) -> Identity | None:
    """Return who has this number now, or None when nobody (or only a zombie) has it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    return Identity(pid, f"{boot}:{fields[19]}")


def is_alive(process: Identity) -> bool:
    """Return whether this very process still runs."""
    return identify(process.pid) == process


def end(process: Identity, how: signal.Signals, *, patience: float) -> bool:
    """Send a signal to this very process; return whether it was gone after `patience` seconds."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        # The handle pins the process, so whoever passes this check is who gets the signal.
        if not is_alive(process):
            return True
        signal.pidfd_send_signal(handle, how)
        return _ended(handle, patience)
    except ProcessLookupError:
        return True
    finally:
        os.close(handle)


def _ended(handle: int, patience: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(patience * 1000))


def end_surely(process: Identity, how: signal.Signals, *, patience: float) -> None:
    """End a process the gentle way, and after `patience` seconds the hard way."""
    if not end(process, how, patience=patience):
        end(process, signal.SIGKILL, patience=patience)


def working_in(folder: Path) -> Iterator[Identity]:
    """Yield the processes whose working folder is exactly `folder`."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            there = (entry / "cwd").readlink() == folder
        except OSError:
            continue
        if there and (process := identify(int(entry.name))):
            yield process


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose_port(preferred: int | None, taken: Collection[int]) -> int:
    """Return the preferred port if it is free, else any free one that isn't `taken`."""
    if preferred is not None and preferred not in taken and is_free(preferred):
        return preferred
    while True:
        port = random.choice(_PORTS)  # noqa: S311 (no secret)
        if port not in taken and is_free(port):
            return port


def listens(pid: int, port: int) -> bool:
    """Return whether it is this process that listens on the port, and not a stranger."""
    address = f"0100007F:{port:04X}"
    sockets = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == address and fields[3] == "0A":
            sockets.add(f"socket:[{fields[9]}]")
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
        return any(_target(link) in sockets for link in links)
    except (FileNotFoundError, ProcessLookupError):
        return False


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def lean_environment(**extra: str) -> dict[str, str]:
    """Return an environment without the user's settings, which must not leak into a server."""
    harmless = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "TZ")
    environment = {name: os.environ[name] for name in harmless if name in os.environ}
    return environment | {"LANG": "C.UTF-8"} | extra


def step_down(argv: Sequence[str], user: str | None, death_signal: str) -> list[str]:
    """Return the command that runs `argv` as `user`, and ends it when its starter dies.

    The kernel forgets the death signal when the user changes, so one call does both.
    """
    command = [shutil.which("setpriv") or "/usr/bin/setpriv", "--pdeathsig", death_signal]
    if user is not None:
        entry = pwd.getpwnam(user)
        command += [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups"]
    return [*command, "--", *argv]


def spawn(
    argv: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path
) -> subprocess.Popen[bytes]:
    """Start a server in its own process group, its output appended to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
            # Sockets and files of a server are nobody else's.
            umask=0o077,
        )


def tail(log: Path, lines: int = 12) -> str:
    """Return the last lines of a log, indented."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (empty)"


def wait_until(deadline: float, pause: float = 0.03) -> Iterator[None]:
    """Yield again and again until the monotonic `deadline` is over."""
    while time.monotonic() < deadline:
        yield
        time.sleep(pause)
