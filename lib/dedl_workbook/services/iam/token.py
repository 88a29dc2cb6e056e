"""Token: a fresh access token of the data lake's realm, as DestinE's own clients get one.

The login is what destinelab does: the portal's form, then the code for a token, then that token
for the data lake's (RFC 8693). destinelab itself has the real portal's addresses built in, so it
could not be tested or pointed at another realm, asks on the terminal for a second factor, and
brings lxml and python-keycloak for these few lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urljoin, urlsplit

from pydantic import SecretStr

from dedl_workbook.base.errors import InputError, ServiceError, WorkbookError
from dedl_workbook.parameters.target import Iam, Login
from dedl_workbook.services.iam import http

if TYPE_CHECKING:
    import httpx

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 (a name)
_SECRETS = ("client_secret", "subject_token", "refresh_token", "code")
# What OAuth 2.0 answers when it is we who are wrong, and not the server.
_OURS = ("invalid_client", "invalid_grant", "unauthorized_client", "access_denied")


def fresh_token(iam: Iam, login: Login | None = None) -> SecretStr:
    """Return an access token that was issued just now; from the environment: the one given there.

    Args:
        iam: the target's settings, which say whose token and how.
        login: log this user in instead.

    Raises:
        InputError: who we say to be is refused, or there is no token in the environment.
        ServiceError: the IAM service can't be reached, or answers what can't be understood.
    """
    if login is not None:
        return _of_login(iam, login)
    if iam.identity == "login" and iam.login:
        return _of_login(iam, iam.login)
    if iam.identity == "service_account" and iam.service_account:
        account = iam.service_account
        form = {"grant_type": "client_credentials", "client_id": account.client_id}
        form |= {"client_secret": account.client_secret.get_secret_value(), "scope": "openid"}
        with http.calling(iam.issuer, iam.timeout) as client:
            return _token(client, iam.issuer, form)
    if iam.identity == "refresh" and iam.refresh_token:
        form = {"grant_type": "refresh_token", "client_id": iam.client_id}
        form |= {"refresh_token": iam.refresh_token.get_secret_value().strip()}
        with http.calling(iam.issuer, iam.timeout) as client:
            return _token(client, iam.issuer, form)
    if iam.token is None or not iam.token.get_secret_value():
        raise InputError(
            "there is no access token",
            where="iam.token of the target",
            remedy="Set DEDL_<TARGET>__IAM__TOKEN in the environment to a fresh one.",
        )
    return SecretStr(iam.token.get_secret_value().strip())


def _of_login(iam: Iam, login: Login) -> SecretStr:
    """Log in with the portal's form; exchange the token unless it is one of the lake already."""
    with http.calling(login.issuer, iam.timeout) as client:
        form = {
            "grant_type": "authorization_code",
            "code": _code(client, login).get_secret_value(),
            "client_id": login.client_id,
            "redirect_uri": login.redirect_uri,
        }
        subject = _token(client, login.issuer, form)
    if login.issuer == iam.issuer:
        return subject
    form = {
        "grant_type": _EXCHANGE,
        "subject_token": subject.get_secret_value(),
        "subject_token_type": _ACCESS_TOKEN,
        "subject_issuer": login.broker,
        "client_id": iam.client_id,
        "audience": iam.audience,
    }
    with http.calling(iam.issuer, iam.timeout) as client:
        return _token(client, iam.issuer, form)


def _code(client: httpx.Client, login: Login) -> SecretStr:
    """Fill in the login form, and return the authorization code that it leads to."""
    asked = {"client_id": login.client_id, "redirect_uri": login.redirect_uri}
    asked |= {"response_type": "code", "scope": "openid"}
    address = http.endpoint(client, login.issuer, "authorization_endpoint")
    page = client.get(address, params=asked, follow_redirects=True)
    form = _Page.read(page).action
    if page.status_code != 200 or not form:
        raise ServiceError(
            f"the portal shows no login form (it answers {page.status_code})",
            where=login.issuer,
            remedy="Check iam.login.client_id and redirect_uri, and that the portal is up.",
        )
    action = urljoin(str(page.url), form)
    if _origin(action) != _origin(login.issuer):
        raise ServiceError(
            f"the login form would send the password elsewhere, to {urlsplit(action).netloc!r}",
            where=login.issuer,
            remedy="Do not log in; ask the IAM service whether this is theirs.",
        )
    filled = {"username": login.user, "password": login.password.get_secret_value()}
    answer = client.post(action, data=filled)
    query = parse_qs(urlsplit(answer.headers.get("location", "")).query)
    if answer.status_code in (302, 303) and "code" in query:
        return SecretStr(query["code"][0])
    raise _not_logged_in(answer, query, login)


def _not_logged_in(
    answer: httpx.Response, query: Mapping[str, list[str]], login: Login
) -> WorkbookError:
    page = _Page.read(answer)
    if page.asks_for_code:
        return InputError(
            f"the account {login.user} asks for a second factor",
            where=login.issuer,
            remedy="Use an account without, or identity: service_account or environment.",
        )
    reason = page.error or "; ".join(query.get("error", []))
    if reason:
        return InputError(
            f"{login.user} can't log in: {_shown(reason, login.password)}",
            where=login.issuer,
            remedy="Check the user and the password of the target's iam.login.",
        )
    return ServiceError(
        f"the portal answers {answer.status_code} to the login",
        where=login.issuer,
        remedy="Try again later, or log in with a browser to see what it wants.",
    )


def _token(client: httpx.Client, issuer: str, form: Mapping[str, str]) -> SecretStr:
    answer = client.post(http.endpoint(client, issuer, "token_endpoint"), data=dict(form))
    if 400 <= answer.status_code < 500:
        raise _refusal(answer, issuer, form)
    token = http.object_of(answer, issuer).get("access_token")
    if not isinstance(token, str) or not token:
        raise ServiceError("the IAM service's answer holds no access token", where=issuer)
    return SecretStr(token)


def _refusal(answer: httpx.Response, issuer: str, form: Mapping[str, str]) -> WorkbookError:
    try:
        body = answer.json()
    except ValueError:
        body = None
    document: dict[str, Any] = body if isinstance(body, dict) else {}
    secrets = [SecretStr(form[k]) for k in _SECRETS if k in form]
    reason = ", ".join(
        str(document[key]) for key in ("error", "error_description") if document.get(key)
    )
    error = InputError if document.get("error") in _OURS else ServiceError
    grant = form["grant_type"].rsplit(":", 1)[-1].replace("_", " ")
    return error(
        f"the IAM service refuses the {grant}: "
        f"{_shown(reason or str(answer.status_code), *secrets)}",
        where=issuer,
        remedy="Check the target's iam settings, and that the account is known there.",
    )


def _shown(text: str, *secrets: SecretStr) -> str:
    """Return what a server said in one short line, without our own secrets in it."""
    for secret in secrets:
        text = text.replace(secret.get_secret_value(), "[redacted]")
    return " ".join(text.split())[:200]


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


class _Page(HTMLParser):
    """What a login page holds: where its form goes, its error, and whether it asks for a code."""

    def __init__(self) -> None:
        super().__init__()
        self.action, self.error, self.asks_for_code = "", "", False
        self._in_error = False

    @classmethod
    def read(cls, answer: httpx.Response) -> _Page:
        """Read a page."""
        page = cls()
        page.feed(answer.text)
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the first form's address, and note what is asked."""
        given = dict(attrs)
        if tag == "form" and not self.action:
            self.action = given.get("action") or ""
        if tag == "input" and "otp" in (given.get("name") or "").lower():
            self.asks_for_code = True
        self._in_error = (given.get("id") or "").startswith("input-error")

    def handle_endtag(self, tag: str) -> None:
        """End the error's text."""
        self._in_error = False

    def handle_data(self, data: str) -> None:
        """Take the error's text."""
        if self._in_error:
            self.error += data
