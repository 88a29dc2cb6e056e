"""PostgreSQL with PostGIS: looked up, and run as a cluster of our own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dedl_workbook.base.errors import ServiceError

from dedl_sandbox import processes
from dedl_sandbox.state import SandboxState

ADMIN = "postgres"
_SYSTEM = Path("/usr/lib/postgresql")
# PostgreSQL refuses to run as root, and its user must be able to enter each folder above the
# cluster, which it can't in a clone under a root-only home.
_ROOT_HOME = Path("/var/lib/dedl-workbook")
_OWNER = "sandbox-folder"
"""In a cluster's home for root: which sandbox it belongs to."""
# A sandbox may lose its last seconds when the machine dies, but not when a process does: hence no
# fsync, for speed, and yet synchronous_commit, so that what was committed has left the process.
_SETTINGS = {
    "listen_addresses": processes.LOOPBACK,
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "jit": "off",
}


@dataclass(frozen=True)
class Installation:
    """A PostgreSQL that has PostGIS."""

    programs: Path


def user() -> str | None:
    """Return whom the server runs as: nobody else than us, unless we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ServiceError("there is no user to run PostgreSQL as", remedy="Type: adduser postgres")


def find(environment: Mapping[str, str] | None = None, system: Path = _SYSTEM) -> Installation:
    """Return the first usable PostgreSQL: of the conda environment, the PATH, the system.

    Raises:
        ServiceError: there is none, or none with PostGIS; the remedy is what to type.
    """
    environment = os.environ if environment is None else environment
    installed = [
        place for place in _candidates(environment, system) if (place / "postgres").exists()
    ]
    complete = [place for place in installed if _has_postgis(place)]
    for place in complete:
        if _can_run(place):
            return Installation(place)
    if complete:
        what = f"PostgreSQL in {complete[0]} can't be run by the user {user()}"
    elif installed:
        what = f"PostgreSQL in {installed[0]} has no PostGIS"
    else:
        what = "PostgreSQL isn't installed"
    raise ServiceError(what, remedy=f"Type: {_remedy(environment)}")


def _remedy(environment: Mapping[str, str]) -> str:
    if environment.get("CONDA_PREFIX"):
        return "conda install -c conda-forge postgresql postgis"
    return "sudo apt-get install postgresql-15-postgis-3"


def _candidates(environment: Mapping[str, str], system: Path) -> Iterator[Path]:
    if prefix := environment.get("CONDA_PREFIX"):
        yield Path(prefix) / "bin"
    if tool := shutil.which("pg_config", path=environment.get("PATH", "")):
        yield Path(_ask(tool, "--bindir"))
    yield from sorted(system.glob("*/bin"), key=lambda it: _number(it.parent.name), reverse=True)


def _number(name: str) -> float:
    return float(name) if re.fullmatch(r"\d+(\.\d+)?", name) else 0.0


def _ask(tool: str | Path, option: str) -> str:
    return subprocess.run(
        [str(tool), option], capture_output=True, text=True, check=False
    ).stdout.strip()


def _has_postgis(programs: Path) -> bool:
    places = [programs.parent / "share", programs.parent / "share" / "postgresql"]
    if (programs / "pg_config").exists():
        places.insert(0, Path(_ask(programs / "pg_config", "--sharedir")))
    return any((place / "extension" / "postgis.control").exists() for place in places)


def _can_run(programs: Path) -> bool:
    argv = [str(programs / "postgres"), "--version"]
    command = processes.step_down(argv, user(), "KILL")
    return subprocess.run(command, capture_output=True, check=False, cwd="/").returncode == 0


def cluster_home(folder: Path) -> Path:
    """Return the folder that holds the cluster, which for root is outside of `folder`."""
    if os.geteuid() != 0:
        return folder
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9._-]", "_", folder.parent.name) or "root"
    return _ROOT_HOME / f"{name}-{digest}"


def cluster(lake: SandboxState) -> Path:
    """Return the data directory of the cluster."""
    return cluster_home(lake.folder) / "postgres"


def argv(lake: SandboxState) -> list[str]:
    """Return the command line of the server."""
    command = [str(find().programs / "postgres"), "-D", str(cluster(lake))]
    command += ["-p", str(lake.ports["postgres"])]
    for name, value in _SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    return command


def prepare(lake: SandboxState, progress: Callable[[str], None]) -> None:
    """Make the cluster if there is none, and see off what is left of a killed server.

    Raises:
        ServiceError: no PostgreSQL with PostGIS, a cluster of another major version, or initdb
            failed.
    """
    installation = find()
    place = cluster(lake)
    _clear_orphan(lake, place)
    # Children of a killed server hold its shared memory for a moment, and a new one refuses.
    deadline = time.monotonic() + 5
    for _ in processes.wait_until(deadline):
        if not any(processes.working_in(place)):
            break
    for process in processes.working_in(place):
        processes.end(process, signal.SIGKILL, patience=5)
    if not place.exists():
        progress("making a new PostgreSQL cluster")
        _initdb(installation, lake, place)
    _check_version(installation, place)
    link = lake.folder / "postgres"
    if link != place and not link.is_symlink():
        link.symlink_to(place)


def _clear_orphan(lake: SandboxState, place: Path) -> None:
    """Remove a cluster whose sandbox folder was deleted: nobody knows its passwords any more."""
    link = lake.folder / "postgres"
    if link == place or link.is_symlink() or not place.exists():
        return
    for process in processes.working_in(place):
        processes.end_surely(process, signal.SIGINT, patience=5)
    shutil.rmtree(place)


def _drop_abandoned(homes: Path) -> None:
    """Remove clusters that root made for sandboxes whose folder was deleted since."""
    for home in homes.iterdir():
        with contextlib.suppress(OSError):
            if not Path((home / _OWNER).read_text()).exists():
                for process in processes.working_in(home / "postgres"):
                    processes.end_surely(process, signal.SIGINT, patience=5)
                shutil.rmtree(home, ignore_errors=True)


def _check_version(installation: Installation, place: Path) -> None:
    cluster_version = (place / "PG_VERSION").read_text().strip()
    words = _ask(installation.programs / "postgres", "--version").split()
    version = next((word for word in words if re.match(r"\d", word)), "")
    if version.split(".")[0] != cluster_version.split(".")[0]:
        raise ServiceError(
            f"the sandbox was made by PostgreSQL {cluster_version}, and now there is {version}",
            where=str(place),
            remedy="To start afresh, type: dedl-workbook sandbox down --wipe",
        )


def _initdb(installation: Installation, lake: SandboxState, place: Path) -> None:
    home, owner = place.parent, user()
    home.mkdir(parents=True, exist_ok=True)
    if owner is not None:
        shutil.chown(home, owner)
        home.chmod(0o700)
        _drop_abandoned(home.parent)
        (home / _OWNER).write_text(str(lake.folder))
    # Under another name until it is whole, so that half a cluster is never taken for one.
    draft = home / "postgres.draft"
    shutil.rmtree(draft, ignore_errors=True)
    with tempfile.NamedTemporaryFile("w", dir=home) as password:
        password.write(lake.secrets["postgres_password"])
        password.flush()
        if owner is not None:
            shutil.chown(password.name, owner)
        command = [str(installation.programs / "initdb"), "-D", str(draft), "-U", ADMIN]
        command += ["--auth=scram-sha-256", f"--pwfile={password.name}", "--encoding=UTF8"]
        command += ["--locale=C.UTF-8", "--no-sync"]
        done = subprocess.run(
            processes.step_down(command, owner, "KILL"),
            env=processes.lean_environment(HOME=str(home)),
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
    lake.log("postgres-initdb").write_text(done.stdout + done.stderr)
    if done.returncode:
        raise ServiceError(
            f"initdb failed: {done.stderr.strip()[-1000:]}", where=str(lake.log("postgres-initdb"))
        )
    draft.rename(place)


def dsn(lake: SandboxState, database: str) -> str:
    """Return how the administrator connects."""
    from psycopg.conninfo import make_conninfo

    return make_conninfo(
        host=processes.LOOPBACK,
        port=lake.ports["postgres"],
        user=ADMIN,
        password=lake.secrets["postgres_password"],
        dbname=database,
        sslmode="disable",
        connect_timeout=5,
    )


def probe(lake: SandboxState) -> str:
    """Return why the server doesn't answer, or the empty string."""
    import psycopg

    try:
        with psycopg.connect(dsn(lake, "postgres")) as connection:
            connection.execute("select 1")
    except psycopg.Error as error:
        return str(error).strip()
    return ""


def wipe(folder: Path) -> None:
    """Remove the cluster of a sandbox that is down."""
    home = cluster_home(folder)
    for process in processes.working_in(home / "postgres"):
        processes.end_surely(process, signal.SIGKILL, patience=5)
    for name in ("postgres", "postgres.draft"):
        shutil.rmtree(home / name, ignore_errors=True)
    (folder / "postgres").unlink(missing_ok=True)
    if home != folder:
        (home / _OWNER).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            home.rmdir()
