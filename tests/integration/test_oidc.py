"""The sandbox's OpenID Connect server: as Keycloak for those who know Keycloak."""

from __future__ import annotations

import json
import stat
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dedl_sandbox as sandbox
import httpx
import pytest
from dedl_sandbox import oidc, state
from dedl_workbook.base.errors import InputError, ServiceError

REDIRECT = "https://hda.data.destination-earth.eu/stac"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ALWAYS = {"default-roles-dedl", "offline_access", "uma_authorization"}


@pytest.fixture
def role() -> str:
    """A role that no other test knows."""
    return f"DEDL_{uuid.uuid4().hex[:8].upper()}"


@pytest.fixture
def client(data_lake: sandbox.Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=data_lake.endpoints["iam"], trust_env=False) as made:
        yield made


@pytest.fixture
def secrets(data_lake: sandbox.Sandbox) -> dict[str, str]:
    return state.read_lake(data_lake.folder).secrets


def ask(client: httpx.Client, realm: str = "dedl", **form: str) -> httpx.Response:
    return client.post(f"/realms/{realm}/protocol/openid-connect/token", data=form)


def by_password(
    client: httpx.Client, secrets: dict[str, str], realm: str = "dedl"
) -> dict[str, Any]:
    known = {"client_id": "hda-public" if realm == "dedl" else "dedl-hda"}
    known |= {"username": oidc.USER, "password": secrets["iam_user_password"]}
    answer = ask(client, realm, grant_type="password", **known)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def claims(token: str) -> dict[str, Any]:
    jwt = pytest.importorskip("jwt")
    return dict(jwt.decode(token, options={"verify_signature": False}))


def held(token: str) -> set[str]:
    return set(claims(token)["realm_access"]["roles"])


def as_team(client: httpx.Client, secrets: dict[str, str]) -> dict[str, str]:
    form = {"client_id": "iam-team", "client_secret": secrets["iam_team_secret"]}
    answer = ask(client, grant_type="client_credentials", **form)
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def test_a_token_says_what_keycloaks_say(client: httpx.Client, secrets: dict[str, str]) -> None:
    found = claims(by_password(client, secrets)["access_token"])

    assert found["iss"] == str(client.base_url.join("/realms/dedl"))
    assert (found["aud"], found["azp"], found["typ"]) == ("hda-public", "hda-public", "Bearer")
    assert found["preferred_username"] == oidc.USER
    assert found["exp"] - found["iat"] == 300
    assert set(found["realm_access"]["roles"]) >= ALWAYS


@pytest.mark.parametrize("prefix", ["", "/auth"])
def test_every_address_is_there_with_and_without_auth(client: httpx.Client, prefix: str) -> None:
    found = client.get(f"{prefix}/realms/dedl/.well-known/openid-configuration").json()
    keys = client.get(f"{prefix}/realms/dedl/protocol/openid-connect/certs").json()["keys"]

    assert found["issuer"].endswith("/realms/dedl")
    assert [(key["kty"], key["alg"], key["use"]) for key in keys] == [("RSA", "RS256", "sig")]
    assert set(keys[0]) == {"kty", "alg", "use", "kid", "n", "e"}


def test_the_two_realms_sign_with_keys_of_their_own(client: httpx.Client) -> None:
    path = "/realms/{}/protocol/openid-connect/certs"
    one, other = (client.get(path.format(r)).json()["keys"][0] for r in ("desp", "dedl"))

    assert one["n"] != other["n"]
    assert one["kid"] != other["kid"]


def test_a_granted_role_is_in_the_next_token_and_a_revoked_one_is_not(
    data_lake: sandbox.Sandbox, client: httpx.Client, secrets: dict[str, str], role: str
) -> None:
    before = by_password(client, secrets)

    sandbox.grant(data_lake.folder, oidc.USER, role)
    after = by_password(client, secrets)
    again = ask(
        client,
        grant_type="refresh_token",
        client_id="hda-public",
        refresh_token=before["refresh_token"],
    ).json()
    sandbox.revoke(data_lake.folder, oidc.USER, role)

    assert role not in held(before["access_token"])
    assert role in held(after["access_token"])
    assert role in held(again["access_token"])
    assert role not in held(by_password(client, secrets)["access_token"])


def test_keys_roles_and_grants_outlive_a_restart(
    data_lake: sandbox.Sandbox, client: httpx.Client, secrets: dict[str, str], role: str
) -> None:
    sandbox.grant(data_lake.folder, oidc.USER, role)
    certs = "/realms/dedl/protocol/openid-connect/certs"
    before = client.get(certs).json()

    data_lake.kill("iam")
    with pytest.raises(ServiceError, match="the sandbox's IAM doesn't answer"):
        sandbox.grant(data_lake.folder, oidc.USER, role)
    data_lake.restart("iam")

    assert client.get(certs).json() == before
    assert role in held(by_password(client, secrets)["access_token"])


def test_state_and_passwords_are_for_their_owner_only(data_lake: sandbox.Sandbox) -> None:
    files = [data_lake.folder / "iam" / "realms.json", data_lake.folder / state.SECRETS]

    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
    told = json.dumps(data_lake.connections)
    assert state.read_lake(data_lake.folder).secrets["iam_team_secret"] not in told


def test_grant_names_the_users_when_there_is_no_such_one(
    data_lake: sandbox.Sandbox, role: str
) -> None:
    with pytest.raises(InputError, match="no user 'nobody'") as refused:
        sandbox.grant(data_lake.folder, "nobody", role)

    assert oidc.USER in refused.value.remedy


def test_grant_says_that_there_is_no_sandbox_and_makes_none(tmp_path: Path, role: str) -> None:
    with pytest.raises(ServiceError, match="the sandbox isn't up"):
        sandbox.grant(tmp_path / ".sandbox", oidc.USER, role)

    assert [*tmp_path.iterdir()] == []


def test_a_service_account_gets_a_token_with_its_own_roles(
    data_lake: sandbox.Sandbox, client: httpx.Client, secrets: dict[str, str], role: str
) -> None:
    sandbox.grant(data_lake.folder, f"service-account-{oidc.SERVICE}", role)
    form = {"client_id": oidc.SERVICE, "client_secret": secrets["iam_service_secret"]}

    answer = ask(client, grant_type="client_credentials", **form).json()

    assert role in held(answer["access_token"])
    assert claims(answer["access_token"])["aud"] == "hda-public"
    assert "refresh_token" not in answer


def test_a_portals_token_is_exchanged_for_a_lakes(
    data_lake: sandbox.Sandbox, client: httpx.Client, secrets: dict[str, str], role: str
) -> None:
    sandbox.grant(data_lake.folder, oidc.USER, role)
    subject = by_password(client, secrets, "desp")["access_token"]
    form = {"grant_type": EXCHANGE, "client_id": "hda-public", "audience": "hda-public"}
    form |= {"subject_token": subject, "subject_issuer": "desp-oidc"}

    good = ask(client, **form)
    bad = [
        ask(client, **form | {"subject_token": subject[:-4] + "AAAA"}),
        ask(client, **form | {"subject_token": good.json()["access_token"]}),
        ask(client, **form | {"subject_issuer": "google"}),
        ask(client, **form | {"audience": "unknown"}),
    ]

    assert role in held(good.json()["access_token"])
    assert role not in held(subject)
    assert [answer.status_code for answer in bad] == [400] * 4
    assert not [answer for answer in bad if "access_token" in answer.json()]


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "password", "username": "tester", "password": "x"}, 401, "invalid_grant"),
        ({"grant_type": "password", "username": "nobody", "password": ""}, 401, "invalid_grant"),
        ({"grant_type": "password", "client_id": "unknown"}, 401, "invalid_client"),
        ({"grant_type": "password", "client_id": "iam-team"}, 401, "invalid_client"),
        (
            {"grant_type": "client_credentials", "client_id": "iam-team", "client_secret": "x"},
            401,
            "invalid_client",
        ),
        ({"grant_type": "client_credentials"}, 401, "unauthorized_client"),
        ({"grant_type": "authorization_code", "code": "x"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400, "invalid_grant"),
        ({"grant_type": "magic"}, 400, "unsupported_grant_type"),
    ],
)
def test_refuses_as_keycloak_does(
    client: httpx.Client, form: dict[str, str], status: int, error: str
) -> None:
    answer = ask(client, **{"client_id": "hda-public"} | form)

    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_a_code_is_good_once_and_for_its_client_only(
    client: httpx.Client, secrets: dict[str, str]
) -> None:
    def log_in() -> str:
        asked = {"client_id": "dedl-hda", "redirect_uri": REDIRECT, "response_type": "code"}
        client.get("/realms/desp/protocol/openid-connect/auth", params=asked)
        filled = {"username": oidc.USER, "password": secrets["iam_user_password"]}
        path = "/realms/desp/login-actions/authenticate"
        answer = client.post(path, params=asked, data=filled)
        assert answer.status_code == 302
        return str(httpx.URL(answer.headers["location"]).params["code"])

    form = {"grant_type": "authorization_code", "client_id": "dedl-hda", "redirect_uri": REDIRECT}
    code = log_in()

    assert ask(client, "desp", **form, code=code).status_code == 200
    assert ask(client, "desp", **form, code=code).status_code == 400
    other = ask(client, "desp", **form | {"client_id": "admin-cli"}, code=log_in())
    assert other.status_code == 400
    elsewhere = ask(client, "desp", **form | {"redirect_uri": "https://x.example"}, code=log_in())
    assert elsewhere.status_code == 400


def test_the_login_redirects_nobody_to_strangers(client: httpx.Client) -> None:
    asked = {"client_id": "dedl-hda", "redirect_uri": "https://evil.example"}
    page = client.get("/realms/desp/protocol/openid-connect/auth", params=asked)

    assert page.status_code == 400
    assert "location" not in page.headers


def test_the_admin_api_is_for_the_iam_team_only(
    client: httpx.Client, secrets: dict[str, str], role: str
) -> None:
    user = {"Authorization": f"Bearer {by_password(client, secrets)['access_token']}"}
    paths = ("/roles", "/users", "/clients", "/users/x/role-mappings/realm", "/roles/x/users")

    statuses = [
        [client.get(f"/admin/realms/dedl{path}", headers=h).status_code for path in paths]
        for h in ({}, {"Authorization": "Bearer x"}, user)
    ]

    assert statuses == [[401] * 5, [401] * 5, [403] * 5]
    made = client.post("/admin/realms/dedl/roles", headers=user, json={"name": role})
    assert made.status_code == 403
    found = client.get("/admin/realms/dedl/roles", headers=as_team(client, secrets)).json()
    assert role not in {one["name"] for one in found}


def test_an_example_token_shows_what_a_user_would_hold(
    data_lake: sandbox.Sandbox, client: httpx.Client, secrets: dict[str, str], role: str
) -> None:
    sandbox.grant(data_lake.folder, oidc.OUTSIDER, role)
    team, admin = as_team(client, secrets), "/admin/realms/dedl"
    [lake_client] = client.get(
        f"{admin}/clients", params={"clientId": "hda-public"}, headers=team
    ).json()
    [user] = client.get(f"{admin}/users", params={"username": "outs"}, headers=team).json()

    path = f"{admin}/clients/{lake_client['id']}/evaluate-scopes/generate-example-access-token"
    shown = client.get(path, params={"userId": user["id"]}, headers=team).json()
    members = client.get(f"{admin}/roles/{role}/users", headers=team).json()
    sandbox.revoke(data_lake.folder, oidc.OUTSIDER, role)

    assert role in shown["realm_access"]["roles"]
    assert [member["username"] for member in members] == [oidc.OUTSIDER]
    assert "secret" not in json.dumps(lake_client)


def test_python_keycloak_works_unchanged(
    client: httpx.Client, secrets: dict[str, str], role: str
) -> None:
    keycloak = pytest.importorskip("keycloak")
    server = f"{str(client.base_url).rstrip('/')}/auth/"
    known = {"server_url": server, "realm_name": "dedl"}
    openid = keycloak.KeycloakOpenID(client_id="hda-public", **known)
    admin = keycloak.KeycloakAdmin(
        client_id="iam-team", client_secret_key=secrets["iam_team_secret"], **known
    )

    user = admin.get_user_id(oidc.USER)
    assert admin.create_realm_role({"name": role}) == role
    admin.assign_realm_roles(user, [admin.get_realm_role(role)])
    token = openid.token(oidc.USER, secrets["iam_user_password"])
    assert [one["username"] for one in admin.get_realm_role_members(role)] == [oidc.USER]
    assert openid.userinfo(token["access_token"])["preferred_username"] == oidc.USER
    assert role in openid.decode_token(token["access_token"])["realm_access"]["roles"]

    admin.delete_realm_roles_of_user(user, [admin.get_realm_role(role)])
    token = openid.refresh_token(token["refresh_token"])
    assert role not in openid.decode_token(token["access_token"])["realm_access"]["roles"]
    with pytest.raises(keycloak.KeycloakAuthenticationError):
        openid.token(oidc.USER, "wrong")


def test_destinelab_works_unchanged(
    data_lake: sandbox.Sandbox, secrets: dict[str, str], role: str
) -> None:
    destinelab = pytest.importorskip("destinelab")
    requests = pytest.importorskip("requests")
    sandbox.grant(data_lake.folder, oidc.USER, role)
    base = data_lake.endpoints["iam"]

    class ToSandbox(requests.adapters.HTTPAdapter):  # type: ignore[misc]
        """Takes what is addressed to the real portal to the sandbox."""

        def send(self, request: Any, **settings: Any) -> Any:
            parts = urlsplit(request.url)
            request.url = f"{base}{parts.path}" + (f"?{parts.query}" if parts.query else "")
            return super().send(request, **settings)

    def session() -> Any:
        made = requests.Session()
        made.mount("https://", ToSandbox())
        return made

    handler = destinelab.AuthHandler(
        oidc.USER,
        secrets["iam_user_password"],
        desp_auth_class=partial(destinelab.DESPAuth, session_factory=session),
        dedl_auth_class=partial(destinelab.DEDLAuth, request_post=session().post),
    )
    account = destinelab.DEDLServiceAccountAuth(
        oidc.SERVICE, secrets["iam_service_secret"], request_post=session().post
    )

    assert role in handler.get_roles(handler.get_token())
    assert claims(account.get_token())["azp"] == oidc.SERVICE
    wrong = destinelab.DESPAuth(oidc.USER, "wrong", session_factory=session)
    with pytest.raises(Exception, match=r"Invalid username or password\."):
        wrong.get_desp_token()


def test_destinepyauth_works_unchanged(
    data_lake: sandbox.Sandbox, secrets: dict[str, str], role: str
) -> None:
    authentication = pytest.importorskip("destinepyauth.authentication")
    configs = pytest.importorskip("destinepyauth.configs")
    sandbox.grant(data_lake.folder, oidc.USER, role)
    base = data_lake.endpoints["iam"]
    config = configs.BaseConfig(
        user=oidc.USER,
        password=secrets["iam_user_password"],
        iam_url=base,
        iam_client="dedl-hda",
        iam_redirect_uri=REDIRECT,
        exchange_config=configs.BaseExchangeConfig(
            token_url=f"{base}/auth/realms/dedl/protocol/openid-connect/token",
            audience="hda-public",
            subject_issuer="desp-oidc",
            client_id="hda-public",
        ),
    )

    found = authentication.AuthenticationService(config).login()

    # It has verified the signature itself; else this were None.
    assert role in found.decoded["realm_access"]["roles"]
