"""The application: what clients and people ask a realm, at Keycloak's URLs."""

from __future__ import annotations

import base64
import binascii
import html
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from starlette.applications import (  # type: ignore[import-not-found,unused-ignore]
    Starlette,
)
from starlette.requests import Request  # type: ignore[import-not-found,unused-ignore]
from starlette.responses import (  # type: ignore[import-not-found,unused-ignore]
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
)
from starlette.routing import Mount, Route  # type: ignore[import-not-found,unused-ignore]

from . import admin, tokens
from .realms import AdminError, Realm, Realms, RefusedError

COOKIE = "AUTH_SESSION_ID"


def create_app() -> Any:
    """Return the application, with every URL once at the root and once under /auth."""
    realms = Realms(json.loads(os.environ["OIDC_SETTINGS"]))

    def at(path: str, handler: Callable[..., Awaitable[Any]], *methods: str) -> Any:
        async def endpoint(request: Request) -> Any:
            realm = realms.get(request.path_params["realm"])
            if realm is None:
                return JSONResponse({"error": "Realm does not exist"}, 404)
            try:
                return await handler(request, realm, realms)
            except RefusedError as refused:
                body = {"error": refused.error, "error_description": refused.description}
                return JSONResponse(body, refused.status)
            except AdminError as failed:
                return JSONResponse({"error": failed.what}, failed.status)

        return Route(path, endpoint, methods=list(methods) or ["GET"])

    oidc = "/realms/{realm}/protocol/openid-connect"
    routes = [
        at("/realms/{realm}", about),
        at("/realms/{realm}/.well-known/openid-configuration", discovery),
        at("/realms/{realm}/login-actions/authenticate", log_in, "POST"),
        at(f"{oidc}/certs", certs),
        at(f"{oidc}/auth", login_page),
        at(f"{oidc}/token", token, "POST"),
        at(f"{oidc}/userinfo", userinfo, "GET", "POST"),
        *(at(f"/admin/realms/{{realm}}{path}", *of) for path, of in admin.ROUTES.items()),
    ]
    return Starlette(routes=[Mount("/auth", routes=routes), *routes])


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace")))


# What clients ask


async def token(request: Request, realm: Realm, realms: Realms) -> Any:
    """The token endpoint."""
    form = await _form(request)
    client = _client(realm, request, form)
    answer = tokens.granted(realm, realms, client, form)
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def _client(realm: Realm, request: Request, form: Mapping[str, str]) -> str:
    name, secret = form.get("client_id", ""), form.get("client_secret", "")
    kind, _, coded = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(coded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name = ""
        name, secret = unquote(name), unquote(secret)
    known = realm.clients.get(name)
    if known is None or not tokens.same(known.get("secret", secret), secret):
        raise RefusedError(401, "invalid_client", "Invalid client or Invalid client credentials")
    return name


async def about(_: Request, realm: Realm, __: Realms) -> Any:
    """What Keycloak says of a realm to everybody."""
    pem = realm.key.as_pem(private=False).decode().splitlines()
    service = f"{realm.issuer}/protocol/openid-connect"
    return JSONResponse(
        {"realm": realm.name, "public_key": "".join(pem[1:-1]), "token-service": service}
    )


async def discovery(_: Request, realm: Realm, __: Realms) -> Any:
    """OpenID Connect Discovery 1.0."""
    base = f"{realm.issuer}/protocol/openid-connect"
    grants = ["authorization_code", "client_credentials", "password", "refresh_token"]
    return JSONResponse(
        {
            "issuer": realm.issuer,
            "authorization_endpoint": f"{base}/auth",
            "token_endpoint": f"{base}/token",
            "userinfo_endpoint": f"{base}/userinfo",
            "jwks_uri": f"{base}/certs",
            "grant_types_supported": [*grants, tokens.EXCHANGE],
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }
    )


async def certs(_: Request, realm: Realm, __: Realms) -> Any:
    """The public key, as a JSON Web Key Set."""
    key = realm.key.as_dict(private=False) | {"alg": "RS256", "use": "sig"}
    return JSONResponse({"keys": [key]})


async def userinfo(request: Request, realm: Realm, _: Realms) -> Any:
    """Who the bearer of a token is."""
    claims = tokens.opened(realm, admin.bearer(request))
    return JSONResponse({key: claims[key] for key in ("sub", "preferred_username")})


# What a person sees


async def login_page(request: Request, realm: Realm, _: Realms) -> Any:
    """The form to log in with, in the authorization-code flow."""
    asked = {key: request.query_params.get(key, "") for key in ("client_id", "redirect_uri")}
    if not _redirects(realm, asked):
        return HTMLResponse("<p>Invalid parameter: redirect_uri</p>", 400)
    if request.query_params.get("response_type") != "code":
        error = urlencode({"error": "unsupported_response_type"})
        return RedirectResponse(f"{asked['redirect_uri']}?{error}", 302)
    page = _login_form(realm, asked | {"state": request.query_params.get("state", "")})
    page.set_cookie(COOKIE, secrets.token_urlsafe(16), httponly=True)
    return page


def _redirects(realm: Realm, asked: Mapping[str, str]) -> bool:
    redirect = realm.clients.get(asked.get("client_id", ""), {}).get("redirect")
    return redirect is not None and asked.get("redirect_uri") == redirect


def _login_form(realm: Realm, asked: Mapping[str, str], problem: str = "") -> Any:
    action = f"{realm.issuer}/login-actions/authenticate?{urlencode(asked)}"
    reason = f'<span id="input-error">{html.escape(problem)}</span>' if problem else ""
    return HTMLResponse(
        f"<!doctype html><title>Sign in to {realm.name}</title>"
        f'<form id="kc-form-login" action="{html.escape(action)}" method="post">'
        f'<input name="username"><input name="password" type="password">{reason}'
        '<input name="login" type="submit" value="Sign In"></form>'
    )


async def log_in(request: Request, realm: Realm, _: Realms) -> Any:
    """Take what was typed into the form, and send the browser back with a code."""
    if COOKIE not in request.cookies:
        return HTMLResponse("<p>Cookie not found.</p>", 400)
    asked = dict(request.query_params)
    if not _redirects(realm, asked):
        return HTMLResponse("<p>Invalid parameter: redirect_uri</p>", 400)
    try:
        user = tokens.user_of_password(realm, await _form(request))
    except RefusedError:
        return _login_form(realm, asked, "Invalid username or password.")
    code = tokens.new_code(realm, user, asked["client_id"], asked["redirect_uri"])
    back = {"state": asked.get("state", ""), "iss": realm.issuer, "code": code}
    return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", 302)
