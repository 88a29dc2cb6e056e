"""Tokens: what is refused, how one is got, and that none is ever shown; against a small realm."""

from __future__ import annotations

import base64
import hmac
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dedl_workbook.base.errors import InputError, ServiceError, WorkbookError
from dedl_workbook.parameters.target import Iam, Login, ServiceAccount, Target
from dedl_workbook.services.iam import TokenError, fresh_token, roles, verify
from pydantic import SecretStr, ValidationError

jwt = pytest.importorskip("jwt")
rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")

PASSWORD = "canary-password"
FORM = '<form action="{action}"><input name="username"></form>'
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
Answer = tuple[int, Any, dict[str, str]]


class Realm:
    """An IAM service whose answers a test decides."""

    def __init__(self, url: str) -> None:
        self.issuer = f"{url}/realms/dedl"
        self.keys = {"one": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
        self.asked: list[str] = []
        base = f"{self.issuer}/protocol/openid-connect"
        self.published: dict[str, Any] = {
            "issuer": self.issuer,
            "jwks_uri": f"{base}/certs",
            "authorization_endpoint": f"{base}/auth",
            "token_endpoint": f"{base}/token",
        }
        self.answers: dict[str, Callable[[], Answer]] = {
            "openid-configuration": lambda: (200, self.published, {}),
            "certs": lambda: (200, {"keys": [self.jwk(id_) for id_ in self.keys]}, {}),
            "auth": lambda: (200, FORM.format(action=f"{self.issuer}/login"), {}),
            "login": lambda: (302, "", {"Location": "https://client.example/?code=c0de"}),
            "token": lambda: (200, {"access_token": self.token()}, {}),
        }

    def jwk(self, id_: str) -> dict[str, Any]:
        algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
        public = json.loads(algorithm.to_jwk(self.keys[id_].public_key()))
        return {**public, "kid": id_, "use": "sig", "alg": "RS256"}

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        made = {"iss": self.issuer, "aud": "hda-public", "sub": "1", "iat": now, "exp": now + 300}
        made |= {"typ": "Bearer", "realm_access": {"roles": ["DEDL_X"]}} | changes
        return {key: value for key, value in made.items() if value is not None}

    def token(self, *, key: Any = None, kid: str = "one", **changes: Any) -> str:
        key = key or self.keys[kid]
        return jwt.encode(self.claims(**changes), key, algorithm="RS256", headers={"kid": kid})

    def settings(self, **changes: Any) -> Iam:
        login = Login(
            issuer=self.issuer,
            redirect_uri="https://client.example/",
            user="tester",
            password=SecretStr(PASSWORD),
        )
        return Iam(**{"issuer": self.issuer, "login": login, "timeout": 5, **changes})


@pytest.fixture
def realm() -> Iterator[Realm]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.partition("?")[0].rsplit("/", 1)[-1]
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made.asked.append(name)
            status, body, headers = made.answers[name]()
            raw = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(raw))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(raw)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Realm(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield made
        server.shutdown()


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hs256_with_the_public_key(realm: Realm) -> str:
    """Signed by hand, since libraries refuse to make what only an attacker would."""
    pem = (
        realm.keys["one"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    body = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(realm.claims())}"
    return f"{body}.{part(hmac.digest(pem, body.encode(), 'sha256'))}"


def altered(realm: Realm) -> str:
    head, _, signature = realm.token().split(".")
    return f"{head}.{part(realm.claims(realm_access={'roles': ['ADMIN']}))}.{signature}"


REFUSED: dict[str, tuple[Callable[[Realm], str], str]] = {
    "expired": (lambda r: r.token(exp=int(time.time()) - 60), "it has expired"),
    "not yet valid": (lambda r: r.token(nbf=int(time.time()) + 60), "not valid yet"),
    "issued in the future": (lambda r: r.token(iat=int(time.time()) + 60), "not valid yet"),
    "other issuer": (lambda r: r.token(iss=f"{r.issuer}x"), "another issuer"),
    "issuer prefix": (lambda r: r.token(iss=f"{r.issuer}/"), "another issuer"),
    "other audience": (lambda r: r.token(aud="account"), "not for the audience hda-public"),
    "no audience": (lambda r: r.token(aud=None), "lacks one of"),
    "no expiry": (lambda r: r.token(exp=None), "lacks one of"),
    "other key": (lambda r: r.token(key=OTHER_KEY), "its signature is wrong"),
    "unknown key": (lambda r: r.token(key=OTHER_KEY, kid="two"), "its signing key is none of"),
    "altered": (altered, "its signature is wrong"),
    "none": (
        lambda r: f"{part({'alg': 'none', 'kid': 'one'})}.{part(r.claims())}.",
        "signed with 'none'",
    ),
    "None": (
        lambda r: f"{part({'alg': 'None', 'kid': 'one'})}.{part(r.claims())}.",
        "signed with 'None'",
    ),
    "HS256": (hs256_with_the_public_key, "signed with 'HS256'"),
    "ID token": (lambda r: r.token(typ="ID"), "no access token"),
    "no JWT": (lambda r: "canary", "no signed JWT"),
    "two parts": (lambda r: r.token().rpartition(".")[0], "no signed JWT"),
    "empty": (lambda r: "", "no signed JWT"),
}


def test_accepts_a_good_token_and_returns_what_it_says(realm: Realm) -> None:
    claims = verify(SecretStr(realm.token()), realm.settings())

    assert roles(claims) == {"DEDL_X"}


def test_accepts_one_of_several_audiences(realm: Realm) -> None:
    assert verify(SecretStr(realm.token(aud=["account", "hda-public"])), realm.settings())


@pytest.mark.parametrize("kind", REFUSED)
def test_refuses_a_token_that_proves_nothing_in_one_line(realm: Realm, kind: str) -> None:
    make, said = REFUSED[kind]
    raw = make(realm)

    with pytest.raises(TokenError) as refused:
        verify(SecretStr(raw), realm.settings())

    assert said in refused.value.what
    assert "\n" not in refused.value.what
    assert refused.value.remedy
    shown = repr(refused.value) + str(refused.value)
    assert [text for text in raw.split(".") if text and text in shown] == []
    assert refused.value.__cause__ is None


def test_tolerates_clocks_that_differ_by_seconds(realm: Realm) -> None:
    now = int(time.time())

    assert verify(SecretStr(realm.token(iat=now + 3, exp=now - 3)), realm.settings())


def test_reads_the_keys_again_when_the_realm_has_a_new_one(realm: Realm) -> None:
    verify(SecretStr(realm.token()), realm.settings())
    realm.keys["two"] = OTHER_KEY

    assert verify(SecretStr(realm.token(kid="two")), realm.settings())


def test_reads_the_keys_once_for_many_tokens(realm: Realm) -> None:
    for _ in range(3):
        verify(SecretStr(realm.token()), realm.settings())

    assert realm.asked.count("certs") == 1


def test_takes_no_key_for_encryption_to_verify_a_signature(realm: Realm) -> None:
    key = realm.jwk("one") | {"use": "enc"}
    realm.answers["certs"] = lambda: (200, {"keys": [key]}, {})

    with pytest.raises(TokenError, match="its signing key is none of"):
        verify(SecretStr(realm.token()), realm.settings())


@pytest.mark.parametrize(
    "access", [None, {}, {"roles": None}, {"roles": [1, None]}, [], "roles", {"roles": {}}]
)
def test_finds_no_role_where_there_is_none(access: Any) -> None:
    assert roles({"realm_access": access}) == frozenset()


def test_the_roles_of_clients_that_the_target_names_count_too() -> None:
    claims = {
        "realm_access": {"roles": ["DEDL_X"]},
        "resource_access": {"hda": {"roles": ["DEDL_Y", 7]}, "other": {"roles": ["DEDL_Z"]}},
    }

    assert roles(claims) == {"DEDL_X"}
    assert roles(claims, ["hda", "absent"]) == {"DEDL_X", "DEDL_Y"}
    assert roles({"resource_access": []}, ["hda"]) == frozenset()
    assert roles({"resource_access": {"hda": "DEDL_Y"}}, ["hda"]) == frozenset()


def test_one_of_several_audiences_of_the_target_is_enough(realm: Realm) -> None:
    iam = realm.settings(audiences=("hda-private",))

    assert verify(SecretStr(realm.token(aud="hda-private")), iam)["aud"] == "hda-private"
    with pytest.raises(TokenError, match="not for the audience hda-public or hda-private"):
        verify(SecretStr(realm.token(aud="other")), iam)


def test_a_clock_that_is_ahead_is_told_with_by_how_much(realm: Realm) -> None:
    token = realm.token(iat=int(time.time()) + 125, exp=int(time.time()) + 900)

    with pytest.raises(TokenError, match=r"issuer's clock is 12[345] s ahead") as refused:
        verify(SecretStr(token), realm.settings())

    assert "clocks" in refused.value.remedy


def test_a_refresh_token_of_the_environment_gives_a_fresh_token(realm: Realm) -> None:
    iam = realm.settings(identity="refresh", refresh_token=SecretStr("canary-refresh"))

    assert verify(fresh_token(iam), iam)["sub"] == "1"

    realm.answers["token"] = lambda: (
        400,
        {"error": "invalid_grant", "error_description": "canary-refresh has expired"},
        {},
    )
    with pytest.raises(InputError, match="refuses the refresh token: invalid_grant") as refused:
        fresh_token(iam)
    assert "canary" not in str(refused.value)
    with pytest.raises(ValidationError, match="there is no refresh_token"):
        realm.settings(identity="refresh")


def test_a_realm_that_calls_itself_otherwise_is_not_the_one(realm: Realm) -> None:
    realm.published["issuer"] = "https://elsewhere.example/realms/dedl"

    with pytest.raises(ServiceError, match="calls itself 'https://elsewhere"):
        verify(SecretStr(realm.token()), realm.settings())


@pytest.mark.parametrize("where", ["openid-configuration", "certs"])
@pytest.mark.parametrize(
    "answer", [(503, "", {}), (200, "<html>", {}), (200, [], {}), (200, {"keys": []}, {})]
)
def test_says_so_when_the_keys_cannot_be_read(realm: Realm, where: str, answer: Answer) -> None:
    realm.answers[where] = lambda: answer

    with pytest.raises(ServiceError) as failed:
        verify(SecretStr(realm.token()), realm.settings())

    assert realm.issuer in failed.value.where
    assert "\n" not in failed.value.what


def test_a_login_gives_the_token_of_the_realm(realm: Realm) -> None:
    token = fresh_token(realm.settings())

    assert roles(verify(token, realm.settings())) == {"DEDL_X"}
    assert realm.asked.count("token") == 1


def test_the_wrong_password_is_named_and_not_repeated(realm: Realm) -> None:
    page = f'<form action="x"></form><span id="input-error">Invalid {PASSWORD}\n here.</span>'
    realm.answers["login"] = lambda: (200, page, {})

    with pytest.raises(InputError) as refused:
        fresh_token(realm.settings())

    assert refused.value.what == "tester can't log in: Invalid [redacted] here."


def test_an_account_with_a_second_factor_is_named(realm: Realm) -> None:
    realm.answers["login"] = lambda: (200, '<form action="x"><input name="otp"></form>', {})

    with pytest.raises(InputError, match="tester asks for a second factor"):
        fresh_token(realm.settings())


def test_the_password_goes_nowhere_else(realm: Realm) -> None:
    realm.answers["auth"] = lambda: (200, FORM.format(action="http://evil.example/login"), {})

    with pytest.raises(ServiceError, match="would send the password elsewhere, to 'evil.example'"):
        fresh_token(realm.settings())


@pytest.mark.parametrize("page", [(200, "<p>Down for maintenance</p>", {}), (400, FORM, {})])
def test_a_portal_without_a_form_is_named(realm: Realm, page: Answer) -> None:
    realm.answers["auth"] = lambda: page

    with pytest.raises(ServiceError, match="shows no login form"):
        fresh_token(realm.settings())


def test_a_login_that_leads_nowhere_is_an_error(realm: Realm) -> None:
    realm.answers["login"] = lambda: (302, "", {"Location": "https://client.example/?error=oops"})

    with pytest.raises(InputError, match="oops"):
        fresh_token(realm.settings())


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ((401, {"error": "invalid_client"}, {}), InputError, "invalid_client"),
        ((400, {"error": "invalid_token", "error_description": "x"}, {}), ServiceError, "x"),
        ((403, "no", {}), ServiceError, "403"),
        ((500, {}, {}), ServiceError, "answers 500"),
        ((200, {}, {}), ServiceError, "holds no access token"),
    ],
)
def test_a_refused_service_account_is_told_from_a_broken_server(
    realm: Realm, answer: Answer, error: type[WorkbookError], said: str
) -> None:
    account = ServiceAccount(client_id="a", client_secret=SecretStr("canary-secret"))
    realm.answers["token"] = lambda: answer

    with pytest.raises(error) as failed:
        fresh_token(realm.settings(identity="service_account", service_account=account))

    assert said in failed.value.what
    assert "canary" not in str(failed.value)


def test_takes_the_token_of_the_environment(realm: Realm) -> None:
    iam = realm.settings(identity="environment", token=SecretStr(" eyJ \n"))

    assert fresh_token(iam).get_secret_value() == "eyJ"
    with pytest.raises(InputError, match="there is no access token"):
        fresh_token(realm.settings(identity="environment"))


def test_a_server_that_is_down_is_one_line(realm: Realm) -> None:
    iam = realm.settings(issuer="http://127.0.0.1:9/realms/dedl")

    with pytest.raises(ServiceError) as failed:
        verify(SecretStr(realm.token()), iam)

    assert failed.value.where == iam.issuer
    assert "no answer" in failed.value.what
    assert "\n" not in failed.value.what
    assert failed.value.__cause__ is None


def test_a_server_that_says_nothing_is_given_up(realm: Realm) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        issuer = f"http://127.0.0.1:{silent.getsockname()[1]}/realms/dedl"

        with pytest.raises(ServiceError, match=r"it took longer than 0\.2 s"):
            verify(SecretStr(realm.token()), realm.settings(issuer=issuer, timeout=0.2))


def test_settings_show_no_secret(realm: Realm) -> None:
    iam = realm.settings(token=SecretStr("canary-token"))

    assert "canary" not in repr(iam) + str(iam) + iam.model_dump_json()


@pytest.mark.parametrize(
    "changes",
    [{"algorithms": ["HS256"]}, {"algorithms": ["none"]}, {"login": None}, {"audiense": "x"}],
)
def test_refuses_settings_that_cannot_work(realm: Realm, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        realm.settings(**changes)


def test_a_target_names_the_variable_of_a_missing_password_and_refuses_one_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "parameters" / "targets"
    folder.mkdir(parents=True)
    login = {"user": "tester"}
    values = {
        "s3": {"endpoint": "https://pool.example.int", "bucket": "pool"},
        "catalog": {"host": "h", "database": "d", "user": "u"},
        "stac_api": {"url": "https://stac.example.int"},
        "iam": {"issuer": "https://iam.example.int/realms/dedl", "login": login},
        "archive": "archive",
    }
    for name in ("S3__ACCESS_KEY", "S3__SECRET_KEY", "CATALOG__PASSWORD"):
        monkeypatch.setenv(f"DEDL_SITE__{name}", "canary-of-others")
    (folder / "site.yaml").write_text(yaml.safe_dump(values))

    with pytest.raises(InputError, match="set DEDL_SITE__IAM__LOGIN__PASSWORD in the environment"):
        Target.load("site", tmp_path)

    monkeypatch.setenv("DEDL_SITE__IAM__LOGIN__PASSWORD", PASSWORD)
    assert PASSWORD in Target.load("site", tmp_path).secrets()

    login["password"] = "canary-in-the-file"
    (folder / "site.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=r"iam\.login\.password: a secret does not") as refused:
        Target.load("site", tmp_path)
    assert "canary" not in str(refused.value)
