"""IAM of the sandbox: an OpenID Connect server as DestinE's, its accounts, and granting roles."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from dedl_workbook.base.errors import InputError, ServiceError

from dedl_sandbox import environments, processes, state
from dedl_sandbox.state import SandboxState

USER = "tester"
"""The user as whom the workbook looks at what it published."""
OUTSIDER = "outsider"
"""A user who is granted nothing."""
SERVICE = "dedl-workbook"
_TEAM = "iam-team"
_AUDIENCE = "hda-public"
# As destinelab and destinepyauth have them built in.
_LOGIN_CLIENT = "dedl-hda"
_REDIRECT = "https://hda.data.destination-earth.eu/stac"
_BROKER = "desp-oidc"


def url(lake: SandboxState) -> str:
    """Return where the server is."""
    return f"http://{processes.LOOPBACK}:{lake.ports['iam']}"


def folder(lake: SandboxState) -> Path:
    """Return where its state is: keys, roles, and who was granted which."""
    return lake.folder / "iam"


def argv(lake: SandboxState) -> list[str]:
    """Return the command that starts it."""
    app, folder = "oidc_server.app:create_app", Path(__file__).parent
    return environments.gated("iam", app, lake.ports["iam"], "--factory", f"--app-dir={folder}")


def environment(lake: SandboxState) -> dict[str, str]:
    """Return its settings: who there is, in both realms."""
    known = lake.secrets
    users = {USER: known["iam_user_password"], OUTSIDER: known["iam_outsider_password"]}
    login = {"redirect": _REDIRECT}
    desp = {
        "audience": "account",
        "users": users,
        "clients": {_LOGIN_CLIENT: login, "admin-cli": {}},
        "brokers": {},
    }
    team = {"secret": known["iam_team_secret"], "manages": True, "audience": "realm-management"}
    dedl = {
        "audience": _AUDIENCE,
        "users": users,
        "clients": {
            _AUDIENCE: {},
            "admin-cli": {},
            SERVICE: {"secret": known["iam_service_secret"]},
            _TEAM: team,
        },
        "brokers": {_BROKER: "desp"},
    }
    settings = {
        "url": url(lake),
        "state": str(folder(lake) / "realms.json"),
        "realms": {"desp": desp, "dedl": dedl},
        "roles": ["DPAD_Direct_Access"],
    }
    return {"OIDC_SETTINGS": json.dumps(settings)}


def connections(lake: SandboxState) -> dict[str, str]:
    """Return what the workbook needs to get and to verify tokens."""
    prefix = "DEDL_SANDBOX__IAM__"
    return {
        f"{prefix}ISSUER": f"{url(lake)}/realms/dedl",
        f"{prefix}AUDIENCE": _AUDIENCE,
        f"{prefix}LOGIN__ISSUER": f"{url(lake)}/realms/desp",
        f"{prefix}LOGIN__USER": USER,
        f"{prefix}LOGIN__PASSWORD": lake.secrets["iam_user_password"],
        f"{prefix}OUTSIDER__ISSUER": f"{url(lake)}/realms/desp",
        f"{prefix}OUTSIDER__USER": OUTSIDER,
        f"{prefix}OUTSIDER__PASSWORD": lake.secrets["iam_outsider_password"],
        f"{prefix}SERVICE_ACCOUNT__CLIENT_ID": SERVICE,
        f"{prefix}SERVICE_ACCOUNT__CLIENT_SECRET": lake.secrets["iam_service_secret"],
    }


def probe(lake: SandboxState) -> str:
    """Return why it isn't well, or the empty string."""
    try:
        for realm in ("desp", "dedl"):
            status, _ = _call(lake, "GET", f"/realms/{realm}/protocol/openid-connect/certs")
            if status != 200:
                return f"the keys of the realm {realm} answer {status}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return str(error)
    return ""


def grant(folder: Path, user: str, role: str) -> None:
    """Grant a user a role, as the IAM team would; the role is made if there is none.

    It stands in tokens that are issued from now on.

    Raises:
        InputError: there is no such user.
        ServiceError: the server is down.
    """
    _change(folder, "POST", user, role)


def revoke(folder: Path, user: str, role: str) -> None:
    """Take a role away from a user; tokens from before keep it until they expire.

    Raises:
        InputError: there is no such user.
        ServiceError: the server is down.
    """
    _change(folder, "DELETE", user, role)


def _change(folder: Path, method: str, user: str, role: str) -> None:
    remedy = "Type: dedl-workbook sandbox up"
    if not (folder / state.PORTS).exists():
        raise ServiceError("the sandbox isn't up", where=str(folder), remedy=remedy)
    lake = state.read_lake(folder.resolve())
    try:
        token = _team_token(lake)
        known = {"username": user.lower(), "exact": "true"}
        users = _admin(lake, token, "GET", f"/users?{urlencode(known)}")
        if not users:
            raise InputError(
                f"the sandbox has no user {user!r}",
                remedy=f"Users: {USER}, {OUTSIDER}, service-account-{SERVICE}.",
            )
        _admin(lake, token, "POST", "/roles", {"name": role}, but=409)
        mapping = _admin(lake, token, "GET", f"/roles/{quote(role, safe='')}")
        path = f"/users/{users[0]['id']}/role-mappings/realm"
        _admin(lake, token, method, path, [mapping])
    except (KeyError, OSError, http.client.HTTPException, ValueError) as error:
        what = f"the sandbox's IAM doesn't answer: {error}"
        raise ServiceError(what, where=str(lake.log("iam")), remedy=remedy) from error


def _team_token(lake: SandboxState) -> str:
    secret = lake.secrets["iam_team_secret"]
    form = {"grant_type": "client_credentials", "client_id": _TEAM, "client_secret": secret}
    path = "/realms/dedl/protocol/openid-connect/token"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    status, body = _call(lake, "POST", path, urlencode(form), kind)
    if status != 200:
        raise ValueError(f"the IAM team's login answers {status}")
    return str(body["access_token"])


def _admin(
    lake: SandboxState, token: str, method: str, path: str, body: object = None, *, but: int = 0
) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    sent = None if body is None else json.dumps(body)
    status, answer = _call(lake, method, f"/admin/realms/dedl{path}", sent, headers)
    if status >= 300 and status != but:
        raise ValueError(f"{method} {path} answers {status}")
    return answer


def _call(
    lake: SandboxState,
    method: str,
    path: str,
    body: str | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any]:
    # http.client and not a bigger one: it knows no proxies, and reads no settings of the user.
    connection = http.client.HTTPConnection(processes.LOOPBACK, lake.ports["iam"], timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None
    finally:
        connection.close()
