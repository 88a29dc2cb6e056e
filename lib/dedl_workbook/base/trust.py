"""Trust: whose certificates, and which proxies, all clients of this process use.

Libraries and programs look for both in the environment, each under names of its own.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from dedl_workbook.base.errors import InputError

AUTHORITIES = (
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("AWS_CA_BUNDLE", "GIT_SSL_CAINFO"),
)
"""Where httpx, requests, curl, boto3 and git look for a file of authorities."""
_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
PROXIES = (*_NAMES, *map(str.lower, _NAMES))
_LOOPBACK = ("127.0.0.1", "localhost")
# The variables that `use` has set: others are a person's.
_own: set[str] = set()


def use(bundle: Path | None) -> None:
    """Let all clients of this process, and the programs that it starts, trust a file's authorities.

    A variable that a person has set stays as it is. What runs on this machine itself, such as a
    trial, is never asked by way of a proxy.

    Args:
        bundle: in PEM; holds every authority that is needed, those of public services too. None:
            each library's own.

    Raises:
        InputError: it isn't there, or holds no certificate.
    """
    if bundle is not None:
        context(bundle)
    for name in AUTHORITIES:
        if name in _own:
            del os.environ[name]
            _own.discard(name)
        if bundle is not None and name not in os.environ:
            os.environ[name] = str(bundle)
            _own.add(name)
    if any(os.environ.get(name) for name in PROXIES if name.lower() != "no_proxy"):
        direct = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
        missing = [name for name in _LOOPBACK if name not in direct.split(",")]
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(filter(None, [direct, *missing]))


def context(bundle: Path | None, setting: str = "ca_bundle") -> ssl.SSLContext:
    """Return whom to trust: the authorities of a file in PEM, or by default the system's.

    Raises:
        InputError: the file isn't there, or isn't one; names the setting.
    """
    try:
        return ssl.create_default_context(cafile=str(bundle) if bundle else None)
    except OSError as error:
        raise InputError(
            f"holds no certificate that can be read: {error.strerror or error}",
            where=str(bundle),
            remedy=f"Set {setting} in the target to the authorities' file in PEM.",
        ) from error


def variables() -> dict[str, str]:
    """Return what of this the environment of a program must have."""
    return {name: os.environ[name] for name in (*AUTHORITIES, *PROXIES) if name in os.environ}


def problem(error: BaseException) -> str:
    """Return why a certificate was refused, or '' where that isn't what happened.

    Args:
        error: of any HTTP client, whose causes are looked into.
    """
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, ssl.SSLCertVerificationError):
            return chain.verify_message or str(chain)
        chain = chain.__cause__ or chain.__context__
    return ""


def remedy(reason: str) -> str:
    """Return what helps against a certificate that was refused for this reason."""
    if "expired" in reason or "not yet valid" in reason:
        return "Ask those who run it to renew the certificate, and compare this machine's clock."
    if "match" in reason or "ostname" in reason:
        return "Write the address in the target as the certificate names it."
    return (
        "Set ca_bundle in the target to a PEM file of all authorities that sign its services' "
        "certificates."
    )
