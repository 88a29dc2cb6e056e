"""Serves a configuration that isn't live yet, on loopback, by HDA's own software."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from dedl_workbook.base import trust
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.base.files import write_atomic
from dedl_workbook.base.retry import until
from dedl_workbook.parameters.target import S3, Hda, Iam, Target
from dedl_workbook.services.hda import dialect, files, programs, served, trial
from dedl_workbook.services.hda.files import Files

GUARD = Path(__file__).with_name("guard.py")
"""The program that keeps what is restricted from those without its roles, as HDA's own does."""
_SERVER = Path(__file__).with_name("server.py")
_REMEDY = (
    "Nothing was changed. Look at hda.python in the target; or say in hda.no_trial why a trial "
    "is not possible here."
)
# Without a region and path-style addresses eodag's boto3, which is made without a configuration,
# signs for AWS; newer checksums are off as everywhere in the workbook.
_AWS_CONFIG = """[default]
region = {region}
request_checksum_calculation = when_required
response_checksum_validation = when_required
s3 =
    signature_version = s3v4
    addressing_style = path
"""


def write_settings(
    folder: Path, *, region: str, access_key: str, secret_key: str, provider: str
) -> None:
    """Write what a server needs besides its configuration: keys, and how to sign with them."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key}
    named = {"priority": 1, "download_auth": {"credentials": keys}}
    write_atomic(folder / "eodag.yml", json.dumps({provider: named}, indent=1), mode=0o600)
    write_atomic(folder / "aws_config", _AWS_CONFIG.format(region=region), mode=0o600)


def why_not(hda: Hda) -> str:
    """Return why a configuration of this target can't be tried before it goes live, or ''."""
    if hda.no_trial:
        return hda.no_trial
    if hda.dialect != "eodag4":
        return "the server of eodag 3 can't be started beside the live one"
    return "" if hda.python else "the target names no interpreter with HDA's software (hda.python)"


@contextmanager
def serving(target: Target, hda: Hda, new: Files, *, guarded: bool) -> Iterator[Hda]:
    """Serve a configuration, with the target's real STAC API and pool; yield where.

    It is read from a copy, and with the workbook's own keys to the pool.

    Args:
        target: whose catalogue and pool are served.
        hda: its part on HDA.
        new: the files as they are to be.
        guarded: whether a guard stands in front, which knows the entries' roles.

    Raises:
        InputError: the interpreter has no server of HDA's.
        ServiceError: it doesn't come up.
    """
    with tempfile.TemporaryDirectory(prefix="hda-trial-") as name, ExitStack() as running:
        folder = Path(name)
        environment = _prepare(target.s3, hda, new, folder)
        url = running.enter_context(_started(hda, folder, environment, {}))
        front = url
        if guarded and target.iam is not None:
            guard = _guard(target.iam, hda, url, target.stac_api.url, folder)
            front = running.enter_context(_started(hda, folder, {}, {"guard": guard}))
        # A guard of the target's that keeps anonymous users from public data isn't ours to try.
        yield hda.model_copy(
            update={"url": front, "internal_url": url, "anonymous_downloads": True}
        )


def _prepare(s3: S3, hda: Hda, new: Files, folder: Path) -> dict[str, str]:
    """Write the copy that is served; return the variables that lead to it."""
    trial.draft(hda, new, folder)
    if new.name is not None:
        # The document isn't live yet: the entry's path leads to the one in the copy.
        live = files.served_documents(hda) / Path(new.name).name
        path = folder / hda.collections_file
        path.write_bytes(path.read_bytes().replace(bytes(live), bytes(folder / new.name)))
    write_settings(
        folder,
        region=s3.region,
        access_key=s3.access_key.get_secret_value(),
        secret_key=s3.secret_key.get_secret_value(),
        provider=hda.provider,
    )
    pool_trust = {"AWS_CA_BUNDLE": str(s3.ca_bundle)} if s3.ca_bundle else {}
    return {
        "EODAG_CFG_DIR": str(folder),
        "EODAG_CFG_FILE": str(folder / "eodag.yml"),
        "AWS_CONFIG_FILE": str(folder / "aws_config"),
        "HOME": str(folder),
        "COUNT": "true",
        **pool_trust,
        **dialect.of(hda).environment(hda, folder),
    }


def _guard(iam: Iam, hda: Hda, url: str, hidden: str, folder: Path) -> dict[str, Any]:
    return {
        "hda": url,
        "hide": [hidden],
        "collections": str(folder / hda.collections_file),
        "scopes_key": hda.scopes_key,
        "issuer": iam.issuer,
        "audience": iam.audience,
    }


@contextmanager
def _started(
    hda: Hda, folder: Path, environment: Mapping[str, str], request: Mapping[str, Any]
) -> Iterator[str]:
    """Start a server and yield its address, once it answers."""
    command = [str(hda.python), "-P", str(_SERVER), json.dumps(request)]
    inherited = {key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ}
    inherited |= trust.variables()
    log = folder / f"{'guard' if request else 'hda'}.log"
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                env=inherited | {"LANG": "C.UTF-8", "HOME": str(folder)} | dict(environment),
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )
        except OSError as error:
            raise ServiceError(
                f"HDA's software can't be started: {error.strerror}",
                where=str(hda.python),
                remedy=_REMEDY,
            ) from error
    with process:
        try:
            yield _address(hda, process, process.stdout, log)
        finally:
            process.kill()


def _address(hda: Hda, process: subprocess.Popen[str], output: IO[str] | None, log: Path) -> str:
    port = output.readline().strip() if output else ""
    url = f"http://127.0.0.1:{port}"
    if port:
        with served.reading() as client:
            answers = until(
                lambda: process.poll() is not None or served.get(client, f"{url}/")[0] == 200,
                hda.served_timeout,
            )
        if answers and process.poll() is None:
            return url
    elif process.wait() == programs.NO_EODAG:
        raise InputError("has no server of HDA's", where=str(hda.python), remedy=_REMEDY)
    lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    raise ServiceError(
        f"HDA does not come up with the changed configuration: {lines[-1][:300]}",
        where=str(hda.python),
        remedy=_REMEDY,
    )
