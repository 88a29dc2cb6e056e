"""What Keycloak's admin API does for roles: the subset that an IAM team and its scripts use."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from starlette.requests import Request  # type: ignore[import-not-found,unused-ignore]
from starlette.responses import (  # type: ignore[import-not-found,unused-ignore]
    JSONResponse,
    Response,
)

from . import tokens
from .realms import AdminError, Realm, Realms, RefusedError


def bearer(request: Request) -> str:
    """Return the token that a request carries."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer":
        raise AdminError(401, "HTTP 401 Unauthorized")
    return str(token)


def _require_manager(request: Request, realm: Realm) -> None:
    try:
        claims = tokens.opened(realm, bearer(request))
    except RefusedError:
        raise AdminError(401, "HTTP 401 Unauthorized") from None
    held = claims.get("resource_access", {}).get("realm-management", {}).get("roles", [])
    if tokens.MANAGER not in held:
        raise AdminError(403, "HTTP 403 Forbidden")


async def _sent(request: Request, kind: type) -> Any:
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, kind):
        raise AdminError(400, "Cannot parse the JSON")
    return body


def _role(realm: Realm, name: str) -> dict[str, Any]:
    if name not in realm.roles:
        raise AdminError(404, "Could not find role")
    composite = {"composite": False, "clientRole": False, "containerId": realm.name}
    return {"id": realm.roles[name], "name": name, **composite}


def _user(realm: Realm, name: str) -> dict[str, Any]:
    return {"id": realm.id_of("user", name), "username": name, "enabled": True}


def _name_of(realm: Realm, id_: str) -> str:
    for name in realm.accounts():
        if realm.id_of("user", name) == id_:
            return name
    raise AdminError(404, "User not found")


async def roles(request: Request, realm: Realm, realms: Realms) -> Any:
    """List the realm's roles, or make one."""
    _require_manager(request, realm)
    if request.method == "GET":
        return JSONResponse([_role(realm, name) for name in sorted(realm.roles)])
    name = (await _sent(request, dict)).get("name")
    if not isinstance(name, str) or not name:
        raise AdminError(400, "role has no name")
    if name in realm.roles:
        raise AdminError(409, f"Role with name {name} already exists")
    realms.make_role(realm, name)
    return Response(status_code=201, headers={"Location": f"{request.url}/{quote(name, safe='')}"})


async def role(request: Request, realm: Realm, _: Realms) -> Any:
    """One role by its name."""
    _require_manager(request, realm)
    return JSONResponse(_role(realm, request.path_params["role"]))


async def role_users(request: Request, realm: Realm, _: Realms) -> Any:
    """The users who hold a role."""
    _require_manager(request, realm)
    wanted = _role(realm, request.path_params["role"])["name"]
    holders = [name for name in realm.accounts() if wanted in realm.granted.get(name, [])]
    return JSONResponse([_user(realm, name) for name in holders])


async def users(request: Request, realm: Realm, _: Realms) -> Any:
    """The users, by a part of their name, or exactly."""
    _require_manager(request, realm)
    asked = request.query_params
    wanted, exact = asked.get("username", "").lower(), asked.get("exact", "").lower() == "true"
    users = [
        _user(realm, name)
        for name in realm.accounts()
        if (name == wanted if exact else wanted in name)
    ]
    first = int(asked.get("first", 0))
    return JSONResponse(users[first : first + int(asked.get("max", 100))])


async def user(request: Request, realm: Realm, _: Realms) -> Any:
    """One user by id."""
    _require_manager(request, realm)
    return JSONResponse(_user(realm, _name_of(realm, request.path_params["id"])))


async def mappings(request: Request, realm: Realm, realms: Realms) -> Any:
    """The roles that a user was granted: list them, grant some, or take some away."""
    _require_manager(request, realm)
    name = _name_of(realm, request.path_params["id"])
    held = realm.granted.get(name, [])
    if request.method == "GET":
        return JSONResponse([_role(realm, one) for one in held])
    named = [_role(realm, one.get("name", ""))["name"] for one in await _sent(request, list)]
    if request.method == "POST":
        realm.granted[name] = list(dict.fromkeys([*held, *named]))
    else:
        realm.granted[name] = [one for one in held if one not in named]
    realms.keep()
    return Response(status_code=204)


async def clients(request: Request, realm: Realm, _: Realms) -> Any:
    """The clients, all or by their client id; never with their secrets."""
    _require_manager(request, realm)
    wanted = request.query_params.get("clientId")
    return JSONResponse(
        [
            {"id": realm.id_of("client", name), "clientId": name, "publicClient": "secret" not in c}
            for name, c in realm.clients.items()
            if wanted in (None, name)
        ]
    )


async def example(request: Request, realm: Realm, _: Realms) -> Any:
    """What a user's access token from a client would say, unsigned."""
    _require_manager(request, realm)
    ids = {realm.id_of("client", name): name for name in realm.clients}
    if (client := ids.get(request.path_params["id"])) is None:
        raise AdminError(404, "Could not find client")
    name = _name_of(realm, request.query_params.get("userId", ""))
    return JSONResponse(tokens.claims_of(realm, name, client))


_MAPPINGS = "/users/{id}/role-mappings/realm"
_EXAMPLE = "/clients/{id}/evaluate-scopes/generate-example-access-token"
ROUTES: dict[str, tuple[Any, ...]] = {
    "/roles": (roles, "GET", "POST"),
    "/roles/{role}": (role, "GET"),
    "/roles/{role}/users": (role_users, "GET"),
    "/users": (users, "GET"),
    "/users/{id}": (user, "GET"),
    _MAPPINGS: (mappings, "GET", "POST", "DELETE"),
    "/clients": (clients, "GET"),
    _EXAMPLE: (example, "GET"),
}
"""By the path below /admin/realms/REALM: the handler and its methods."""
