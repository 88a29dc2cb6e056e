"""HDA of the sandbox: stac-fastapi-eodag on its STAC API and S3, and the guard in front of it.

Its configuration lies in `<sandbox>/hda/`, is written once, and belongs to the hda step from then
on. Only what changes with the ports and passwords is written again before each start.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from dedl_workbook.services.hda import serving

from dedl_sandbox import environments, processes
from dedl_sandbox.hda_entries import collections_text, ids
from dedl_sandbox.state import SandboxState

PROVIDER = "dedl_usergenerated"
COLLECTIONS = "collections.yml"
PROVIDERS = "providers"
AUDIENCE = "hda-public"

_SEARCH = """  url: "{api}"
  search:
    type: StacSearch
    api_endpoint: "{api}/search"
    need_auth: false
    discover_queryables: {{fetch_url: null, collection_fetch_url: null}}
    pagination: {{max_limit: 500, next_page_token_key: token}}
    sort:
      sort_param_mapping:
        id: id
        datetime: properties.datetime
        start_datetime: properties.start_datetime
        end_datetime: properties.end_datetime
"""

_USER_GENERATED = """# What users made and the review board let in. The workbook adds the products.
{provider}:
  priority: 1
  roles: [host]
  description: DEDL user generated data (internal PgSTAC)
{search}  # One line a dataset, newest last.
  products:
    # Kept from the days of the trial.
    EO.DEDL.DAT.TRIAL: {{_collection: EO.DEDL.DAT.TRIAL}}
  download:
    type: AwsDownload
    s3_endpoint: "{s3}"
    ssl_verify: false
  download_auth:
    type: AwsAuth
    matching_url: "s3://"
    s3_endpoint: "{s3}"
"""

_OPERATIONAL = """# What the data lake holds besides.
dedl_operational:
  priority: 0
  roles: [host]
  description: DEDL operational data
{search}  products:
{products}  download:
    type: AwsDownload
    s3_endpoint: "{s3}"
    ssl_verify: false
"""


def folder_of(folder: Path) -> Path:
    """Return where HDA's configuration lies in a sandbox's folder."""
    return folder / "hda"


def write_configuration(
    folder: Path, *, api: str, s3: str, region: str, access_key: str, secret_key: str
) -> None:
    """Write what isn't there of HDA's configuration, and set addresses and keys in what is.

    Args:
        folder: HDA's own.
        api: URL of the STAC API that it searches.
        s3: URL of the S3 server that it downloads from.
        region: of the S3 server.
        access_key: for it.
        secret_key: for it.
    """
    serving.write_settings(
        folder, region=region, access_key=access_key, secret_key=secret_key, provider=PROVIDER
    )
    (folder / PROVIDERS).mkdir(parents=True, exist_ok=True)
    (folder / COLLECTIONS.removesuffix(".yml")).mkdir(exist_ok=True)
    search = _SEARCH.format(api=api)
    known = [id_ for id_ in ids() if id_ != "EO.DEDL.DAT.TRIAL"]
    products = "".join(f"    {id_}:\n      _collection: {id_}\n" for id_ in known)
    texts = {
        COLLECTIONS: collections_text(),
        f"{PROVIDERS}/{PROVIDER}.yml": _USER_GENERATED.format(
            provider=PROVIDER, search=search, s3=s3
        ),
        f"{PROVIDERS}/dedl_operational.yml": _OPERATIONAL.format(
            search=search, s3=s3, products=products
        ),
        "ext_collections.json": "{}\n",
    }
    for name, text in texts.items():
        _keep_or_write(folder / name, text, api, s3)


def _keep_or_write(path: Path, text: str, api: str, s3: str) -> None:
    if not path.exists():
        path.write_text(text)
        return
    if path.parent.name != PROVIDERS:
        return
    before = path.read_bytes().decode()
    addresses = (
        (r'(api_endpoint: ")http://127\.0\.0\.1:\d+', api),
        (r'(?m)^(  url: ")http://127\.0\.0\.1:\d+', api),
        (r'(s3_endpoint: ")http://127\.0\.0\.1:\d+', s3),
    )
    after = before
    for pattern, address in addresses:
        after = re.sub(pattern, rf"\g<1>{address}", after)
    if after != before:
        path.write_bytes(after.encode())


def environment(folder: Path) -> dict[str, str]:
    """Return the environment variables of a server that reads this configuration."""
    return {
        "EODAG_CFG_DIR": str(folder),
        "EODAG_CFG_FILE": str(folder / "eodag.yml"),
        "EODAG_COLLECTIONS_CFG_FILE": str(folder / COLLECTIONS),
        "EODAG_PROVIDERS_CFG_DIR": str(folder / PROVIDERS),
        "EODAG_EXT_COLLECTIONS_CFG_URI": str(folder / "ext_collections.json"),
        "EODAG_STRICT_COLLECTIONS": "true",
        "EODAG_VALIDATE_COLLECTIONS": "true",
        "COUNT": "true",
        "AWS_CONFIG_FILE": str(folder / "aws_config"),
        "STAC_FASTAPI_TITLE": "HDA of the sandbox",
    }


def python() -> Path:
    """Return the interpreter that has eodag."""
    return environments.python_of("hda")


def argv(port: int, accounts: Path) -> list[str]:
    """Return the command that serves HDA on a port.

    Args:
        port: on the loopback address.
        accounts: a file of accounts that may connect besides our own: HDA knows no roles.
    """
    app = "stac_fastapi.eodag.app:app"
    return environments.gated("hda", app, port, f"--accounts={accounts}")


def guard_argv(
    port: int,
    *,
    hda: str,
    hidden: str,
    collections: Path,
    issuer: str,
    audience: str = AUDIENCE,
    scopes_key: str = "scopes",
) -> list[str]:
    """Return the command that serves the guard on a port.

    Args:
        port: where users find HDA.
        hda: URL of HDA itself.
        hidden: URL that must not stand in any answer: the STAC API's.
        collections: HDA's collections file, which names the scopes.
        issuer: URL of the realm whose tokens count.
        audience: for which they must be made.
        scopes_key: under which an entry names its scopes.
    """
    options = {
        "port": port,
        "hda": hda,
        "hide": hidden,
        "collections": collections,
        "scopes-key": scopes_key,
        "issuer": issuer,
        "audience": audience,
    }
    arguments = [f"--{key}={value}" for key, value in options.items()]
    return [str(python()), "-P", str(serving.GUARD), *arguments]


# --- As services of the sandbox


def address(lake: SandboxState, name: str) -> str:
    """Return the URL of one of the servers."""
    return f"http://{processes.LOOPBACK}:{lake.ports[name]}"


def prepare(region: str) -> Callable[[SandboxState, Callable[[str], None]], None]:
    """Return what writes the configuration before each start."""

    def write(lake: SandboxState, _: Callable[[str], None]) -> None:
        write_configuration(
            folder_of(lake.folder),
            api=address(lake, "stac_api"),
            s3=address(lake, "s3"),
            region=region,
            access_key=lake.secrets["s3_access_key"],
            secret_key=lake.secrets["s3_secret_key"],
        )

    return write


def guard_command(lake: SandboxState) -> list[str]:
    """Return the guard's command in a sandbox."""
    return guard_argv(
        lake.ports["guard"],
        hda=address(lake, "hda"),
        hidden=address(lake, "stac_api"),
        collections=folder_of(lake.folder) / COLLECTIONS,
        # Without an issuer no token is good, and what is locked stays so.
        issuer=f"{address(lake, 'iam')}/realms/dedl"
        if "iam" in lake.ports
        else "http://127.0.0.1:1",
    )


def connections(lake: SandboxState) -> dict[str, str]:
    """Return what the target `sandbox` needs to know of HDA."""
    prefix = "DEDL_SANDBOX__HDA__"
    reload = [sys.executable, "-P", "-m", "dedl_sandbox.hda_reload", str(lake.folder)]
    return {
        f"{prefix}URL": address(lake, "guard"),
        f"{prefix}INTERNAL_URL": address(lake, "hda"),
        f"{prefix}FOLDER": str(folder_of(lake.folder)),
        f"{prefix}PYTHON": str(python()),
        f"{prefix}CLIENT": str(python()),
        f"{prefix}RELOAD": json.dumps(reload),
    }


def probe(port: int, path: str = "/") -> str:
    """Return why a server isn't well, or the empty string."""
    connection = http.client.HTTPConnection(processes.LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        well = answer.status == 200 and isinstance(json.loads(body), dict)
    except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return "" if well else f"{path} answers {answer.status}"
