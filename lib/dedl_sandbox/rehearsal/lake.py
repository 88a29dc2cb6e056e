"""The data lake of one rehearsal: the sandbox's servers, with a database, a bucket and HDA of its
own, which runs on a copy of a target's configuration with the sandbox's addresses."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import InputError
from dedl_workbook.dataset import s3
from dedl_workbook.parameters.target import Hda, Pool
from dedl_workbook.services.hda import serving

from dedl_sandbox import hda as sandbox_hda
from dedl_sandbox import state
from dedl_sandbox.client import Sandbox
from dedl_sandbox.services import REGION, Service

_URL = re.compile(r"""(https?|s3)://[^\s"'#}\],]+""")
_SHAPE = (
    *("collections_file", "providers_folder", "provider_file", "provider", "documents_folder"),
    *("scopes_key", "scopes_shape", "anonymous_downloads", "lists_restricted"),
)


@dataclass(frozen=True)
class RehearsalLake:
    """The settings of a target named `rehearsal`."""

    variables: dict[str, str]
    """Its environment."""
    hda: dict[str, Any] | None
    """Its part on HDA."""
    reload_hda: Callable[[], None]
    """Let HDA read its files again, as those who roll it out would."""


@contextmanager
def rehearsal_lake(sandbox: Sandbox, folder: Path, hda: Hda | None) -> Iterator[RehearsalLake]:
    """Open a data lake for one rehearsal; it is gone at the end.

    Args:
        sandbox: whose servers.
        folder: for the copy of HDA's configuration.
        hda: the real target's part, whose files are copied; nothing else of it is used.

    Raises:
        InputError: the configuration can't be copied, or is of a software that isn't here.
        ServiceError: a server doesn't come up.
    """
    name = f"rehearsal-{uuid.uuid4().hex[:12]}"
    database = name.replace("-", "_")
    variables = {
        key.replace("SANDBOX", "REHEARSAL"): value
        for key, value in sandbox.connections.items()
        if "__HDA__" not in key and "__HELPDESK__" not in key
    }
    with ExitStack() as running:
        sandbox.create_database(database)
        running.callback(sandbox.drop_database, database)
        api = running.enter_context(sandbox.stac_api(database))
        variables |= {
            "DEDL_REHEARSAL__S3__BUCKET": name,
            "DEDL_REHEARSAL__CATALOG__DATABASE": database,
            "DEDL_REHEARSAL__STAC_API__URL": api,
        }
        _make_bucket(running, variables, name)
        if hda is None:
            yield RehearsalLake(variables, None, lambda: None)
        else:
            yield _serve(running, sandbox, folder, hda, api, variables)


def _make_bucket(running: ExitStack, variables: dict[str, str], name: str) -> None:
    settings = {
        key: variables[f"DEDL_REHEARSAL__S3__{key.upper()}"]
        for key in ("endpoint", "access_key", "secret_key")
    }
    client = s3.client(Pool.model_validate(settings | {"bucket": name}))
    client.create_bucket(Bucket=name)

    def remove() -> None:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
            for entry in page.get("Contents", []):
                client.delete_object(Bucket=name, Key=entry["Key"])
        client.delete_bucket(Bucket=name)

    running.callback(remove)


def _serve(
    running: ExitStack,
    sandbox: Sandbox,
    folder: Path,
    hda: Hda,
    api: str,
    variables: dict[str, str],
) -> RehearsalLake:
    """Start HDA and its guard on a copy of the configuration."""
    s3_url = variables["DEDL_REHEARSAL__S3__ENDPOINT"]
    copy_configuration(hda, folder, api=api, s3=s3_url)
    serving.write_settings(
        folder,
        region=REGION,
        access_key=variables["DEDL_REHEARSAL__S3__ACCESS_KEY"],
        secret_key=variables["DEDL_REHEARSAL__S3__SECRET_KEY"],
        provider=hda.provider,
    )
    lake = state.read_lake(sandbox.folder)
    environment = sandbox_hda.environment(folder) | {
        "EODAG_COLLECTIONS_CFG_FILE": str(folder / hda.collections_file),
        "EODAG_PROVIDERS_CFG_DIR": str(folder / hda.providers_folder),
    }
    server = Service(
        name="rehearsal_hda",
        title="HDA of the rehearsal",
        ports=("rehearsal_hda",),
        argv=lambda lake: sandbox_hda.argv(lake.ports["rehearsal_hda"], lake.accounts),
        environment=lambda _: environment,
        folder=lambda _: folder,
        probe=lambda lake: sandbox_hda.probe(lake.ports["rehearsal_hda"]),
        url=lambda lake: sandbox_hda.address(lake, "rehearsal_hda"),
    )
    own = running.enter_context(ExitStack())
    url = own.enter_context(sandbox.beside(server, lake))

    def reload() -> None:
        own.close()
        own.enter_context(sandbox.beside(server, lake))

    guard = running.enter_context(sandbox.beside(_guard(folder, hda, url, api), lake))
    part = {key: getattr(hda, key) for key in _SHAPE} | {
        "url": guard,
        "internal_url": url,
        "folder": str(folder),
        "python": str(sandbox_hda.python()),
        "served_timeout": 1,
    }
    return RehearsalLake(variables, part, reload)


def _guard(folder: Path, hda: Hda, url: str, api: str) -> Service:
    def argv(lake: state.SandboxState) -> list[str]:
        return sandbox_hda.guard_argv(
            lake.ports["rehearsal_guard"],
            hda=url,
            hidden=api,
            collections=folder / hda.collections_file,
            issuer=f"{sandbox_hda.address(lake, 'iam')}/realms/dedl",
            scopes_key=hda.scopes_key,
        )

    return Service(
        name="rehearsal_guard",
        title="The guard of the rehearsal",
        ports=("rehearsal_guard",),
        argv=argv,
        probe=lambda lake: sandbox_hda.probe(lake.ports["rehearsal_guard"]),
        url=lambda lake: sandbox_hda.address(lake, "rehearsal_guard"),
    )


def copy_configuration(hda: Hda, folder: Path, *, api: str, s3: str) -> None:
    """Copy what the step changes, and set the sandbox's addresses in place of all others.

    Other providers stay behind: they would be asked for what they hold.

    Raises:
        InputError: a file is missing or can't be read, or the dialect is not the sandbox's.
    """
    if hda.dialect != "eodag4":
        raise InputError(
            f"HDA's configuration of the dialect {hda.dialect} can't be rehearsed",
            where=str(hda.folder),
            remedy="The sandbox's HDA reads that of eodag4. Plan and approve without a rehearsal.",
        )
    for place in (hda.providers_folder, hda.documents_folder):
        (folder / place).mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(hda.folder / hda.collections_file, folder / hda.collections_file)
        document = hda.folder / hda.documents_folder
        for file in document.glob("*.json") if document.is_dir() else ():
            shutil.copyfile(file, folder / hda.documents_folder / file.name)
        text = (hda.folder / hda.provider_file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"HDA's configuration can't be copied: {getattr(error, 'strerror', error)}",
            where=str(getattr(error, "filename", "") or hda.folder),
            remedy="Check hda in the target.",
        ) from error
    lines = [_readdressed(line, api, s3) for line in text.splitlines(keepends=True)]
    (folder / hda.provider_file).write_text("".join(lines), encoding="utf-8")
    (folder / "ext_collections.json").write_text("{}\n")


def _readdressed(line: str, api: str, s3: str) -> str:
    key = line.partition(":")[0].strip()
    if key == "matching_url":
        return line
    address = {"s3_endpoint": s3, "api_endpoint": f"{api}/search"}.get(key, api)
    return _URL.sub(address, line)
