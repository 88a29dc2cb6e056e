"""Tokens: what they say, how they are signed and opened again, and the ways to get one."""

from __future__ import annotations

import hmac
import secrets
import time
import uuid
from collections.abc import Mapping
from typing import Any

from joserfc import jwt  # type: ignore[import-not-found,unused-ignore]
from joserfc.errors import JoseError  # type: ignore[import-not-found,unused-ignore]

from .realms import Realm, Realms, RefusedError, service_account

ACCESS_SECONDS, REFRESH_SECONDS, CODE_SECONDS = 300, 1800, 60
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 (a name)
MANAGER = "realm-admin"


def claims_of(realm: Realm, user: str, client: str) -> dict[str, Any]:
    """Return what an access token says: roles as they are granted now."""
    now, settings = int(time.time()), realm.clients[client]
    roles = [f"default-roles-{realm.name}", "offline_access", "uma_authorization"]
    claims = {
        "exp": now + ACCESS_SECONDS,
        "iat": now,
        "jti": str(uuid.uuid4()),
        "iss": realm.issuer,
        "aud": settings.get("audience", realm.audience),
        "sub": realm.id_of("user", user),
        "typ": "Bearer",
        "azp": client,
        "acr": "1",
        "realm_access": {"roles": [*roles, *realm.granted.get(user, [])]},
        "scope": "openid email profile",
        "email_verified": True,
        "preferred_username": user,
    }
    if settings.get("manages"):
        claims["resource_access"] = {"realm-management": {"roles": [MANAGER]}}
    return claims


def signed(realm: Realm, claims: Mapping[str, Any]) -> str:
    """Return the token that holds these claims."""
    header = {"alg": "RS256", "kid": realm.key.kid}
    return str(jwt.encode(header, dict(claims), realm.key, algorithms=["RS256"]))


def opened(realm: Realm, token: str, kind: str = "Bearer") -> dict[str, Any]:
    """Return the claims of a token that this realm signed and that still holds."""
    try:
        claims: dict[str, Any] = jwt.decode(token, realm.key, algorithms=["RS256"]).claims
    except (JoseError, ValueError):
        raise RefusedError(401, "invalid_token", "Token verification failed") from None
    if claims["iss"] != realm.issuer or claims["typ"] != kind or claims["exp"] <= time.time():
        raise RefusedError(401, "invalid_token", "Token is not active")
    return claims


def issued(realm: Realm, user: str, client: str, *, refresh: bool = True) -> dict[str, Any]:
    """Return the answer that carries tokens for a user."""
    claims = claims_of(realm, user, client)
    answer = {
        "access_token": signed(realm, claims),
        "expires_in": ACCESS_SECONDS,
        "refresh_expires_in": REFRESH_SECONDS if refresh else 0,
        "token_type": "Bearer",
        "not-before-policy": 0,
        "scope": claims["scope"],
    }
    if refresh:
        end = int(time.time()) + REFRESH_SECONDS
        known = {key: claims[key] for key in ("iat", "iss", "sub", "azp", "preferred_username")}
        again = known | {"jti": str(uuid.uuid4()), "typ": "Refresh", "exp": end}
        answer["refresh_token"] = signed(realm, again | {"aud": realm.issuer})
        identity = known | {"exp": claims["exp"], "typ": "ID", "aud": client}
        answer["id_token"] = signed(realm, identity)
    return answer


def same(one: str | None, other: str) -> bool:
    """Return whether a secret is the known one, in a time that tells nothing."""
    return one is not None and hmac.compare_digest(one.encode(), other.encode())


def granted(realm: Realm, realms: Realms, client: str, form: Mapping[str, str]) -> dict[str, Any]:
    """Answer a request to the token endpoint, for a client that is known already.

    Raises:
        RefusedError: as OAuth 2.0 and Keycloak word it.
    """
    grant = form.get("grant_type")
    if grant == "client_credentials":
        if "secret" not in realm.clients[client]:
            raise RefusedError(401, "unauthorized_client", "Public client not allowed")
        return issued(realm, service_account(client), client, refresh=False)
    if grant == "password":
        return issued(realm, user_of_password(realm, form), client)
    if grant == "authorization_code":
        return issued(realm, _user_of_code(realm, form, client), client)
    if grant == "refresh_token":
        return issued(realm, _user_of_refresh(realm, form, client), client)
    if grant == EXCHANGE:
        return issued(realm, _user_of_exchange(realm, form, realms), client)
    raise RefusedError(400, "unsupported_grant_type", "Unsupported grant_type")


def user_of_password(realm: Realm, form: Mapping[str, str]) -> str:
    """Return the user who typed the right password."""
    name = form.get("username", "").lower()
    if not same(realm.users.get(name), form.get("password", "")):
        raise RefusedError(401, "invalid_grant", "Invalid user credentials")
    return name


def new_code(realm: Realm, user: str, client: str, redirect: str) -> str:
    """Return an authorization code, good for once."""
    code = secrets.token_urlsafe(32)
    realm.codes[code] = (time.time() + CODE_SECONDS, user, client, redirect)
    return code


def _user_of_code(realm: Realm, form: Mapping[str, str], client: str) -> str:
    until, user, *bound = realm.codes.pop(form.get("code", ""), (0.0, "", "", ""))
    if until < time.time() or bound != [client, form.get("redirect_uri", "")]:
        raise RefusedError(400, "invalid_grant", "Code not valid")
    return user


def _user_of_refresh(realm: Realm, form: Mapping[str, str], client: str) -> str:
    try:
        claims = opened(realm, form.get("refresh_token", ""), "Refresh")
    except RefusedError:
        raise RefusedError(400, "invalid_grant", "Invalid refresh token") from None
    if claims["azp"] != client:
        raise RefusedError(400, "invalid_grant", "Token client and authorized client don't match")
    return str(claims["preferred_username"])


def _user_of_exchange(realm: Realm, form: Mapping[str, str], realms: Realms) -> str:
    """RFC 8693, as Keycloak does it for the token of an issuer that it brokers."""
    broker = realm.brokers.get(form.get("subject_issuer", ""))
    if broker is None:
        raise RefusedError(400, "invalid_issuer", "Invalid issuer parameter")
    if form.get("subject_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise RefusedError(400, "invalid_request", "Invalid token type, must be access token")
    if form.get("audience", realm.audience) not in realm.clients:
        raise RefusedError(400, "invalid_client", "Audience not found")
    try:
        user = str(opened(realms[broker], form.get("subject_token", ""))["preferred_username"])
    except RefusedError:
        raise RefusedError(400, "invalid_token", "Invalid token") from None
    if user not in realm.users:
        raise RefusedError(400, "invalid_token", "User not found")
    return user
