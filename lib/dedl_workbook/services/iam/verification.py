"""Verification: whether a token was issued by the realm, for us, and still holds.

PyJWT does the checking, with the keys that the realm publishes (JWKS). The algorithm comes from
the target's list and never from the token, so `none` or a public key used as an HMAC secret get
nowhere. DestinE's own clients check no audience; we do.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from dedl_workbook.base.errors import ServiceError, WorkbookError
from dedl_workbook.parameters.target import Iam
from dedl_workbook.services.iam import http

if TYPE_CHECKING:
    from jwt import PyJWK

LEEWAY_SECONDS = 10
"""How far two clocks may be apart."""
KEYS_SECONDS = 300
"""How long published keys are used before they are read again."""
_REQUIRED = ("iss", "aud", "sub", "exp", "iat")
# When they were read, and the signing keys by their ids; by issuer.
_known: dict[str, tuple[float, dict[str, PyJWK]]] = {}


class TokenError(WorkbookError):
    """A token that proves nothing."""


def verify(token: SecretStr, iam: Iam) -> dict[str, Any]:
    """Return the claims of an access token that holds.

    Raises:
        TokenError: malformed, signed by another or with another algorithm than the target's, of
            another issuer, for another audience, expired, not yet valid, or no access token.
        ServiceError: the realm's keys can't be read.
    """
    import jwt

    raw = token.get_secret_value()
    key = _key(raw, iam)
    try:
        claims: dict[str, Any] = jwt.decode(
            raw,
            key,
            algorithms=list(iam.algorithms),
            audience=[iam.audience, *iam.audiences],
            issuer=iam.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": list(_REQUIRED)},
        )
    except jwt.PyJWTError as error:
        raise _refusal(error, iam, raw) from None
    if claims.get("typ", "Bearer") != "Bearer":
        raise refused("it is no access token", "Give an access token, not an ID or refresh token.")
    return claims


def roles(claims: Mapping[str, Any], clients: Collection[str] = ()) -> frozenset[str]:
    """Return the roles that a token holds: the realm's, and those of some of its clients.

    Args:
        claims: as Keycloak writes them, in `realm_access.roles` and `resource_access`.
        clients: whose roles count.
    """
    access = claims.get("resource_access")
    by_client = access if isinstance(access, Mapping) else {}
    parts = [claims.get("realm_access"), *(by_client.get(client) for client in clients)]
    lists = [part.get("roles") for part in parts if isinstance(part, Mapping)]
    names = [name for names in lists if isinstance(names, list) for name in names]
    return frozenset(name for name in names if isinstance(name, str))


def refused(reason: str, remedy: str) -> TokenError:
    """Return the error for a token that proves nothing, in one line and without the token."""
    return TokenError(f"the access token can't be verified: {reason}", remedy=remedy)


def _key(raw: str, iam: Iam) -> PyJWK:
    import jwt

    try:
        header = jwt.get_unverified_header(raw)
    except jwt.PyJWTError:
        raise refused("it is no signed JWT", "Give the access token alone, and whole.") from None
    algorithm, id_ = str(header.get("alg"))[:20], header.get("kid")
    if algorithm not in iam.algorithms:
        allowed = ", ".join(iam.algorithms)
        raise refused(
            f"it is signed with {algorithm!r}; allowed: {allowed}", "Get a token from the realm."
        )
    for again in (False, True):
        key = _keys(iam, again=again).get(str(id_))
        if key is not None:
            return key
    raise refused(
        f"its signing key is none of {iam.issuer}",
        "Get a token from that realm, or correct iam.issuer in the target.",
    )


def _keys(iam: Iam, *, again: bool) -> dict[str, PyJWK]:
    """Return the realm's signing keys by id, read anew when they are old or when `again` is set."""
    from jwt import PyJWKSet, PyJWTError

    issuer = iam.issuer
    read, keys = _known.get(issuer, (0.0, {}))
    if not again and keys and time.monotonic() - read < KEYS_SECONDS:
        return keys
    with http.calling(issuer, iam.timeout) as client:
        address = http.endpoint(client, issuer, "jwks_uri")
        published = http.object_of(client.get(address), issuer)
    try:
        published_keys = PyJWKSet.from_dict(published).keys
    except PyJWTError:
        what = "the IAM service publishes no key that can verify a signature"
        raise ServiceError(what, where=address, remedy=http.REMEDY) from None
    keys = {str(key.key_id): key for key in published_keys if key.public_key_use in (None, "sig")}
    _known[issuer] = time.monotonic(), keys
    return keys


def _ahead(raw: str) -> str:
    """Return how far the issuer's clock is ahead of ours, in words; or nothing."""
    import jwt

    try:
        claims = jwt.decode(raw, options={"verify_signature": False})
        seconds = max(float(claims.get(key, 0)) for key in ("iat", "nbf")) - time.time()
    except (jwt.PyJWTError, TypeError, ValueError):
        return ""
    return f": the issuer's clock is {seconds:.0f} s ahead of this machine's" if seconds > 0 else ""


def _refusal(error: Exception, iam: Iam, raw: str) -> TokenError:
    """Say in our words what is wrong; PyJWT's may repeat parts of the token."""
    import jwt

    renew = "Get a fresh one."
    reasons: tuple[tuple[type[Exception], str, str], ...] = (
        (jwt.ExpiredSignatureError, "it has expired", renew),
        (
            jwt.ImmatureSignatureError,
            f"it is not valid yet{_ahead(raw)}",
            "Compare the clocks of both machines.",
        ),
        (
            jwt.InvalidIssuerError,
            f"another issuer than {iam.issuer} issued it",
            "Get a token from that realm, or correct iam.issuer in the target.",
        ),
        (
            jwt.InvalidAudienceError,
            f"it is not for the audience {' or '.join([iam.audience, *iam.audiences])}",
            "Get it for that audience, or correct iam.audience in the target.",
        ),
        (jwt.MissingRequiredClaimError, f"it lacks one of {', '.join(_REQUIRED)}", renew),
        (jwt.InvalidSignatureError, "its signature is wrong", "Get one from the realm itself."),
    )
    for kind, reason, remedy in reasons:
        if isinstance(error, kind):
            return refused(reason, remedy)
    return refused("it is damaged", renew)
