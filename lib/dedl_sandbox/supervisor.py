"""The process that owns the servers: starts them, holds them, and takes them with it when it goes.

It says on stdout, one JSON object a line, what it is doing, and at last `ready` or `error`. It
stops everything when stdin ends or its starter does; `detach` on stdin makes it stay. Each server
is told by the kernel when the supervisor is killed, so nothing is left behind in any case. It
restarts nothing by itself: a server that died is something that its users have to see.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from dedl_workbook.base.errors import ServiceError

from dedl_sandbox import processes, services, state
from dedl_sandbox.services import SERVICES, Service

_ATTEMPTS = 4
_STOP_PATIENCE = 15.0
_LOCK_PATIENCE = 40.0

logger = logging.getLogger("supervisor")


def main() -> int:
    """Run a supervisor until it is told to stop; return 1 when the servers didn't come up."""
    parser = argparse.ArgumentParser(prog="dedl-workbook-supervisor")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--starter", type=int, required=True)
    parser.add_argument("--tied-to", type=int, help="a process whose end is ours, and our data's")
    options = parser.parse_args()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    os.chdir(options.folder)
    try:
        with state.locked(
            options.folder / state.SUPERVISOR_LOCK,
            patience=_LOCK_PATIENCE,
            waiting=lambda: _say(progress="waiting for the one before to stop"),
        ):
            supervisor = Supervisor(options.folder)
            code = asyncio.run(supervisor.run(options.starter, options.tied_to))
            if supervisor.is_abandoned():
                services.wipe(options.folder)
            return code
    except ServiceError as error:
        _say_error(error)
        return 1


def _say(**message: object) -> None:
    with suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def _say_error(error: ServiceError) -> None:
    logger.error("%s", error)
    _say(error={"what": error.what, "where": error.where, "remedy": error.remedy})


class Supervisor:
    """The servers of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake = state.read_lake(folder)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.well = {service.name: asyncio.Event() for service in SERVICES}
        self.turns = {service.name: asyncio.Lock() for service in SERVICES}
        self.stopped = asyncio.Event()
        self.owner: int | None = None
        self.lock = (folder / state.SUPERVISOR_LOCK).stat().st_ino
        me = processes.identify(os.getpid())
        assert me is not None  # noqa: S101 (a process that runs has a number)
        self.state = state.State(me)

    async def run(self, starter: int, owner: int | None) -> int:
        """Start all, stay until told to stop, stop all."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32))
        await asyncio.to_thread(self._take_over)
        self._rotate_logs()
        self._write_state()
        self._watch(starter)
        self._watch_owner(owner)
        try:
            return await self._serve()
        finally:
            await self._stop_all()

    async def _serve(self) -> int:
        start = asyncio.ensure_future(self._start_all())
        stop = asyncio.ensure_future(self.stopped.wait())
        await asyncio.wait([start, stop], return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            logger.info("told to stop before all was up")
            return 1
        try:
            start.result()
        except ServiceError as error:
            _say_error(error)
            return 1
        control = await asyncio.start_unix_server(self._obey, state.CONTROL)
        self.state.phase = "ready"
        self._write_state()
        _say(ready=True)
        async with control:
            while not self.stopped.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.stopped.wait(), timeout=2)
                if not self._has_its_folder():
                    logger.error("the folder was deleted")
                    self.stopped.set()
        return 0

    def _take_over(self) -> None:
        """End what a killed supervisor left, which is only what its own notes prove to be its."""
        (self.folder / state.CONTROL).unlink(missing_ok=True)
        (self.folder / state.CONNECTION).unlink(missing_ok=True)
        before = state.read_state(self.folder)
        if before is None:
            return
        _say(progress="taking over from a sandbox that was cut off")
        for service in SERVICES:
            process = before.services.get(service.name)
            if process is not None and processes.is_alive(process):
                logger.warning("ending %s (%s), left behind", service.name, process.pid)
                processes.end_surely(process, service.stop, patience=_STOP_PATIENCE)

    def _rotate_logs(self) -> None:
        for service in SERVICES:
            log = self.lake.log(service.name)
            if log.exists():
                log.replace(log.with_suffix(".log.before"))

    def _watch(self, starter: int) -> None:
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(one, self.stopped.set)
        loop.add_reader(sys.stdin.fileno(), self._read_stdin)
        # The pipe can outlive a killed starter in a child that it forked, so watch itself too.
        try:
            self.starter = os.pidfd_open(starter)
        except ProcessLookupError:
            self.stopped.set()
            return
        loop.add_reader(self.starter, self.stopped.set)
        if os.getppid() != starter:
            self.stopped.set()

    def _watch_owner(self, owner: int | None) -> None:
        if owner is not None:
            try:
                self.owner = os.pidfd_open(owner)
            except ProcessLookupError:
                self.stopped.set()
                return
            asyncio.get_running_loop().add_reader(self.owner, self.stopped.set)

    def is_abandoned(self) -> bool:
        """Return whether the process that we are tied to has ended, so that nobody cleans up."""
        return self.owner is not None and bool(select.select([self.owner], [], [], 0)[0])

    def _read_stdin(self) -> None:
        message = os.read(sys.stdin.fileno(), 100)
        loop = asyncio.get_running_loop()
        loop.remove_reader(sys.stdin.fileno())
        if message.startswith(b"detach"):
            loop.remove_reader(self.starter)
        else:
            self.stopped.set()

    def _has_its_folder(self) -> bool:
        """Return whether the folder is still ours: it can be deleted, and made anew by another."""
        try:
            return (self.folder / state.SUPERVISOR_LOCK).stat().st_ino == self.lock
        except FileNotFoundError:
            return False

    async def _start_all(self) -> None:
        tasks = [asyncio.ensure_future(self._start(service)) for service in SERVICES]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        self._publish()

    def _publish(self) -> None:
        """Tell the users where everything is."""
        connections: dict[str, str] = {}
        for service in SERVICES:
            connections |= service.connections(self.lake)
            self.state.endpoints[service.name] = service.url(self.lake)
        self.state.endpoints["s3_https"] = (
            f"https://{processes.LOOPBACK}:{self.lake.ports['s3_https']}"
        )
        self.state.endpoints["ca"] = str(services.ca_of(self.folder))
        state.write_ports(self.lake)
        state.write_connections(self.folder, connections)

    async def _start(self, service: Service) -> None:
        for need in service.needs:
            await self.well[need].wait()
        for attempt in range(1, _ATTEMPTS + 1):
            services.choose_ports(service, self.lake)
            await asyncio.to_thread(service.prepare, self.lake, self._progress)
            # Here, in the main thread: a server dies with the very thread that started it.
            process = services.start(service, self.lake)
            self._hold(service, process)
            try:
                await asyncio.to_thread(services.await_health, service, self.lake, process)
                break
            except services.ExitedError:
                if attempt == _ATTEMPTS or not services.lost_a_port(service, self.lake):
                    raise
                logger.warning("%s lost a port to another program: choosing again", service.name)
        await asyncio.to_thread(service.furnish, self.lake, self._progress)
        self.well[service.name].set()
        self._progress(f"{service.title} is up")

    def _progress(self, text: str) -> None:
        if self.state.phase == "starting":
            _say(progress=text)
        logger.info("%s", text)

    def _hold(self, service: Service, process: subprocess.Popen[bytes]) -> None:
        self.running[service.name] = process
        identity = processes.identify(process.pid)
        if identity is not None:
            self.state.services[service.name] = identity
        self._write_state()
        # An unexpected end is logged; who asks for the status sees it.
        handle = os.pidfd_open(process.pid)
        asyncio.get_running_loop().add_reader(handle, self._ended, service, process, handle)

    def _ended(self, service: Service, process: subprocess.Popen[bytes], handle: int) -> None:
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)
        code = process.wait()
        self.well[service.name].clear()
        logger.info("%s (%s) ended with %s", service.name, process.pid, code)

    def _write_state(self) -> None:
        self.state.ports = self.lake.ports
        state.write_state(self.folder, self.state)

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer: dict[str, object] = {}
        try:
            request = json.loads(await reader.readline())
            service = next(one for one in SERVICES if one.name == request["restart"])
            # One restart of a server at a time; who came for one that was down finds it up then.
            async with self.turns[service.name]:
                if not (request.get("if_down") and await self._is_well(service)):
                    await self._stop(service)
                    await self._start(service)
                    self._publish()
                    self._write_state()
        except ServiceError as error:
            answer = {"what": error.what, "where": error.where, "remedy": error.remedy}
        except (ValueError, KeyError, StopIteration):
            answer = {
                "what": "the sandbox was started by another version of the workbook",
                "where": "",
                "remedy": "Start it anew: dedl-workbook sandbox down, then up.",
            }
        with suppress(ConnectionError):
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _is_well(self, service: Service) -> bool:
        process = self.running.get(service.name)
        alive = process is not None and process.poll() is None
        return alive and not await asyncio.to_thread(service.probe, self.lake)

    async def _stop(self, service: Service) -> None:
        process = self.running.pop(service.name, None)
        if process is None:
            return
        if process.poll() is None:
            # A server whose data was deleted has nothing to write, and waits long for it.
            process.send_signal(service.stop if self._has_its_folder() else signal.SIGKILL)
        try:
            await asyncio.to_thread(process.wait, _STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            logger.warning("%s doesn't stop: killing it", service.name)
            process.kill()
            await asyncio.to_thread(process.wait)
        service.tidy(self.lake)

    async def _stop_all(self) -> None:
        """Stop those first that use others."""
        self.state.phase = "stopping"
        if self._has_its_folder():
            self._write_state()
            (self.folder / state.CONNECTION).unlink(missing_ok=True)
        gone = {service.name: asyncio.Event() for service in SERVICES}

        async def stop(service: Service) -> None:
            for other in SERVICES:
                if service.name in other.needs:
                    await gone[other.name].wait()
            await self._stop(service)
            gone[service.name].set()

        await asyncio.gather(*(stop(service) for service in SERVICES))
        if self._has_its_folder():
            for name in (state.CONTROL, state.STATE):
                (self.folder / name).unlink(missing_ok=True)
        logger.info("all is stopped")


if __name__ == "__main__":
    sys.exit(main())
