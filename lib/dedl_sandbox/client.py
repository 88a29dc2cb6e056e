"""What others do with the sandbox: bring it up, ask how it is, take it down."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dedl_workbook.base.errors import ServiceError

from dedl_sandbox import databases, postgres, processes, services, state
from dedl_sandbox.environments import ensure_environments
from dedl_sandbox.services import SERVICES

TIED_TO = "DEDL_SANDBOX_TIED_TO"
"""Names a process, such as that of the tests: when it ends, each sandbox that was started on its
behalf ends with it, and goes from the disk."""
_STOP_PATIENCE = 40.0
_UP_PATIENCE = 600.0
# Detached supervisors that this process started: they outlive it, and are reaped if they don't.
_detached: list[subprocess.Popen[bytes]] = []

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ServiceStatus:
    """How one server is."""

    name: str
    url: str
    pid: int | None
    healthy: bool
    log: Path
    reason: str = ""


@dataclass(frozen=True)
class Status:
    """How a sandbox is: `phase` is down, starting, ready or stopping."""

    phase: str
    services: tuple[ServiceStatus, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether all is up and well."""
        return self.phase == "ready" and all(service.healthy for service in self.services)


class Sandbox:
    """A sandbox that is up.

    As a context manager it is stopped at the end when it is attached to this process; one that was
    up before stays up.
    """

    def __init__(self, folder: Path, supervisor: subprocess.Popen[bytes] | None) -> None:
        self.folder = folder
        self._supervisor = supervisor

    @property
    def _lake(self) -> state.SandboxState:
        return state.read_lake(self.folder)

    @property
    def attached(self) -> bool:
        """Whether it ends with this process."""
        return self._supervisor is not None

    @property
    def connections(self) -> dict[str, str]:
        """Return the environment variables that the workbook's target `sandbox` reads."""
        lake = self._lake
        return {k: v for service in SERVICES for k, v in service.connections(lake).items()}

    @property
    def endpoints(self) -> dict[str, str]:
        """Return the URL of each server, and besides `s3_https` and `ca`, its authority's file."""
        return dict(_current(self.folder).endpoints)

    @property
    def admin_dsn(self) -> str:
        """Return how the superuser connects to the database of the catalogue."""
        return postgres.dsn(self._lake, databases.DATABASE)

    def create_database(self, name: str) -> None:
        """Make an empty PgSTAC database in which the workbook's and the API's users can work."""
        databases.create_database(self._lake, name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        databases.drop_database(self._lake, name)

    @contextmanager
    def stac_api(self, database: str) -> Iterator[str]:
        """Run another STAC API, on this database, and yield its URL.

        The server dies with the thread that calls this.
        """
        with self.beside(services.stac_api(database, f"stac_api_{database}"), self._lake) as url:
            yield url

    @contextmanager
    def beside(self, service: services.Service, lake: state.SandboxState) -> Iterator[str]:
        """Run another server beside the sandbox's own, and yield its URL.

        The server dies with the thread that calls this. Run again with the same `lake`, it has
        the same port.
        """
        process = _start_here(service, lake)
        try:
            yield service.url(lake)
        finally:
            process.send_signal(service.stop)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill(self, service: str) -> None:
        """Kill a server the hard way, as a crash would; nobody starts it again."""
        processes.end(_current(self.folder).services[service], signal.SIGKILL, patience=10)

    def restart(self, service: str, *, if_down: bool = False) -> None:
        """Stop a server, if it runs, and start it on the same data.

        Args:
            service: its name.
            if_down: leave it alone if it is well, once no other restart of it is going on.

        Raises:
            ServiceError: it doesn't come up, or the supervisor is gone.
        """
        answer = _ask(self.folder, {"restart": service, "if_down": if_down})
        if answer:
            raise ServiceError(answer["what"], where=answer["where"], remedy=answer["remedy"])

    def stop(self) -> None:
        """Stop all servers; the data stays."""
        if self._supervisor is None:
            down(self.folder)
        else:
            _end(self._supervisor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.attached:
            self.stop()


def up(folder: Path, *, attached: bool = False, progress: Progress = lambda _: None) -> Sandbox:
    """Bring the sandbox up, or repair what is down in it, and return it.

    Args:
        folder: where its state is and stays.
        attached: end it with this process, however that ends; otherwise `down` does. One that is
            up already stays as it is.
        progress: is told what is being done.

    Raises:
        ServiceError: something is missing, or a server doesn't come up; nothing is left running.
    """
    folder = state.make_folder(folder)
    ensure_environments(progress)
    with state.locked(
        folder / state.UP_LOCK,
        patience=_UP_PATIENCE,
        waiting=lambda: progress("waiting for another start of this sandbox"),
    ):
        before = status(folder)
        if before.phase == "ready":
            sandbox = Sandbox(folder, None)
            for service in before.services:
                if not service.healthy:
                    progress(f"{service.name} is down: {service.reason}; starting it again")
                    sandbox.restart(service.name, if_down=True)
            return sandbox
        return _launch(folder, attached, progress)


def _launch(folder: Path, attached: bool, progress: Progress) -> Sandbox:
    # Settings for S3 and PostgreSQL in the user's environment are for other servers than ours.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PG"))}
    command = [sys.executable, "-P", "-m", "dedl_sandbox.supervisor", str(folder)]
    if owner := os.environ.get(TIED_TO):
        command.append(f"--tied-to={owner}")
    with (folder / "logs" / "supervisor.log").open("wb") as log:
        supervisor = subprocess.Popen(
            [*command, "--starter", str(os.getpid())],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            # Ctrl-C is for us, and the end of the pipe tells it; it needs time to stop cleanly.
            start_new_session=True,
        )
    try:
        _await_ready(folder, supervisor, progress)
        if not attached:
            assert supervisor.stdin is not None  # noqa: S101 (it is a pipe)
            supervisor.stdin.write(b"detach\n")
            supervisor.stdin.close()
            _detached.append(supervisor)
            return Sandbox(folder, None)
    except BaseException:
        _end(supervisor)
        raise
    return Sandbox(folder, supervisor)


def _await_ready(folder: Path, supervisor: subprocess.Popen[bytes], progress: Progress) -> None:
    assert supervisor.stdout is not None  # noqa: S101 (it is a pipe)
    with supervisor.stdout as lines:
        for line in lines:
            message = json.loads(line)
            if "ready" in message:
                return
            if error := message.get("error"):
                raise ServiceError(error["what"], where=error["where"], remedy=error["remedy"])
            progress(message["progress"])
    log = folder / "logs" / "supervisor.log"
    raise ServiceError(
        f"the sandbox did not come up; the log of its supervisor ends:\n{processes.tail(log)}",
        where=str(log),
    )


def _end(supervisor: subprocess.Popen[bytes]) -> None:
    """Let a supervisor end by closing its stdin, which it watches."""
    if supervisor.stdin is not None:
        with suppress(BrokenPipeError):
            supervisor.stdin.close()
    try:
        supervisor.wait(_STOP_PATIENCE)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()


def down(folder: Path, *, wipe: bool = False) -> None:
    """Stop the sandbox; with `wipe` remove its data as well. One that is down is fine.

    Raises:
        ServiceError: the supervisor can't be found, or doesn't end.
    """
    if not folder.exists():
        return
    folder = folder.resolve()
    _stop_supervisor(folder)
    if left := state.read_state(folder):
        _end_leftovers(left)
        (folder / state.STATE).unlink(missing_ok=True)
    (folder / state.CONNECTION).unlink(missing_ok=True)
    if wipe:
        services.wipe(folder)


def _stop_supervisor(folder: Path) -> None:
    lock = folder / state.SUPERVISOR_LOCK
    for _ in processes.wait_until(time.monotonic() + _STOP_PATIENCE):
        if not state.is_locked(lock):
            return
        current = state.read_state(folder)
        if current is not None and processes.is_alive(current.supervisor):
            processes.end_surely(current.supervisor, signal.SIGTERM, patience=_STOP_PATIENCE)
    raise ServiceError(
        "something holds the sandbox's lock and doesn't say who it is",
        where=str(lock),
        remedy=f"Find it with: fuser {lock}",
    )


def _end_leftovers(left: state.State) -> None:
    for service in SERVICES:
        if process := left.services.get(service.name):
            processes.end_surely(process, service.stop, patience=_STOP_PATIENCE)


def status(folder: Path) -> Status:
    """Ask each server how it is."""
    folder = folder.resolve()
    current = state.read_state(folder)
    if current is None or not processes.is_alive(current.supervisor):
        return Status("down")
    lake = state.SandboxState(folder, current.ports, state.read_lake(folder).secrets)
    with ThreadPoolExecutor(len(SERVICES)) as pool:
        services_now = pool.map(lambda service: _status_of(service, lake, current), SERVICES)
        return Status(current.phase, tuple(services_now))


def _status_of(
    service: services.Service, lake: state.SandboxState, current: state.State
) -> ServiceStatus:
    process = current.services.get(service.name)
    alive = process is not None and processes.is_alive(process)
    reason = service.probe(lake) if alive else "it isn't running"
    return ServiceStatus(
        name=service.name,
        url=current.endpoints.get(service.name, ""),
        pid=process.pid if process is not None and alive else None,
        healthy=not reason,
        log=lake.log(service.name),
        reason=reason,
    )


def _current(folder: Path) -> state.State:
    current = state.read_state(folder)
    if current is None or not processes.is_alive(current.supervisor):
        raise ServiceError(
            "the sandbox isn't up", where=str(folder), remedy="Type: dedl-workbook sandbox up"
        )
    return current


def _ask(folder: Path, command: Mapping[str, object]) -> dict[str, str]:
    _current(folder)
    # Through the handle of the folder, since a socket's path may have no more than 107 bytes.
    handle = os.open(folder, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"/proc/self/fd/{handle}/{state.CONTROL}")
            connection.sendall(json.dumps(command).encode() + b"\n")
            answer: dict[str, str] = json.loads(connection.makefile().readline())
    except (OSError, ValueError) as error:
        raise ServiceError(
            f"the sandbox's supervisor doesn't answer: {error}",
            where=str(folder / "logs" / "supervisor.log"),
        ) from error
    finally:
        os.close(handle)
    return answer


def _start_here(service: services.Service, lake: state.SandboxState) -> subprocess.Popen[bytes]:
    for _ in range(3):
        services.choose_ports(service, lake)
        process = services.start(service, lake)
        try:
            services.await_health(service, lake, process)
        except services.ExitedError:
            if not services.lost_a_port(service, lake):
                raise
        except BaseException:
            process.kill()
            process.wait()
            raise
        else:
            return process
    raise ServiceError(f"{service.title} found no free port")
