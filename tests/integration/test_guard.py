"""The guard in front of the sandbox's real HDA: what leaks on the bare server, and to whom."""

from __future__ import annotations

import base64
import http.server
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
import yaml
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from dedl_sandbox import Sandbox, processes, services, state
from dedl_sandbox import hda as sandbox_hda
from dedl_workbook.dataset import s3
from dedl_workbook.parameters.target import Pool

from tests.integration.hda_lake import ROLE, HdaLake
from tests.integration.lake import a_collection, an_item

LOCKED, ALIAS, OPEN = "EO.TEST.DAT.LOCKED", "locked-lake", "EO.TEST.DAT.OPEN"
BACKEND = "dedl_usergenerated"
ITEM = "LAKE_000001"


# --- An issuer of the test's own


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass
class Issuer:
    """Signs tokens as the IAM service does, and serves its keys."""

    url: str = ""
    keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)

    def jwks(self) -> bytes:
        def number(value: int) -> str:
            return _b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))

        public = {kid: key.public_key().public_numbers() for kid, key in self.keys.items()}
        made = [
            {"kid": kid, "kty": "RSA", "alg": "RS256", "n": number(it.n), "e": number(it.e)}
            for kid, it in public.items()
        ]
        return json.dumps({"keys": made}).encode()

    def token(
        self,
        *roles: str,
        key: rsa.RSAPrivateKey | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return a token with these roles; further arguments replace its claims."""
        told = {
            "iss": self.url,
            "aud": "hda-public",
            "exp": int(time.time()) + 300,
            "azp": "tests",
            "preferred_username": "tester",
            "realm_access": {"roles": list(roles)},
        } | claims
        head = {"alg": "RS256", "kid": "one", "typ": "JWT"} | (header or {})
        kept = {name: value for name, value in told.items() if value is not None}
        signed = ".".join(_b64(json.dumps(part).encode()) for part in (head, kept))
        return f"{signed}.{_b64(self._signature(head, signed.encode(), key))}"

    def _signature(
        self, head: dict[str, Any], signed: bytes, key: rsa.RSAPrivateKey | None
    ) -> bytes:
        if head["alg"] == "none":
            return b""
        if head["alg"] == "HS256":
            # The old trick: the public key as a shared secret.
            public = self.keys["one"].public_key()
            kind = serialization.PublicFormat.SubjectPublicKeyInfo
            code = hmac.HMAC(public.public_bytes(serialization.Encoding.PEM, kind), hashes.SHA256())
            code.update(signed)
            return code.finalize()
        return (key or self.keys["one"]).sign(signed, padding.PKCS1v15(), hashes.SHA256())


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    made.keys["one"] = rsa.generate_private_key(65537, 2048)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(made.jwks())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}/realms/dedl"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


# --- Two collections in HDA, one of them locked


@contextmanager
def _running(argv: list[str], port: int, folder: Path, env: dict[str, str]) -> Iterator[None]:
    process = processes.spawn(
        processes.step_down(argv, None, "KILL"),
        environment=processes.lean_environment(HOME=str(folder)) | env,
        folder=folder,
        log=folder / f"{port}.log",
    )
    try:
        for _ in processes.wait_until(time.monotonic() + 60):
            assert process.poll() is None, (folder / f"{port}.log").read_text()
            if not sandbox_hda.probe(port):
                break
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Place:
    """HDA of this module's own, and the guard in front of it."""

    bare: str
    guarded: str
    folder: Path
    hidden: tuple[str, ...]

    @property
    def collections(self) -> Path:
        return self.folder / "collections.yml"


def _publish(lake: HdaLake, folder: Path, id_: str, text: bytes, alias: str | None) -> None:
    """Put a collection with two items into catalogue, store and HDA's configuration."""
    job = lake.job(id_)
    client, bucket = s3.client(Pool(**job.target.s3.model_dump())), job.target.s3.bucket
    items = [an_item(number, collection=id_) for number in (1, 2)]
    for item in items:
        key = f"{id_}/{item['id']}.txt"
        client.put_object(Bucket=bucket, Key=key, Body=text)
        item["assets"] = {"data": {"href": f"s3://{bucket}/{key}", "type": "text/plain"}}
    collection = a_collection(id=id_)
    with psycopg.connect(lake.sandbox.admin_dsn, autocommit=True) as connection:
        connection.execute("set search_path = pgstac, public")
        connection.execute("select upsert_collection(%s)", [json.dumps(collection)])
        for item in items:
            connection.execute("select upsert_item(%s)", [json.dumps(item)])
    kept = ("title", "description", "license", "extent", "keywords")
    entry = {key: collection[key] for key in kept}
    if alias:
        entry |= {"alias": alias, "scopes": [ROLE]}
    file = folder / "collections.yml"
    file.write_text(file.read_text() + yaml.safe_dump({id_: entry}))
    provider = folder / "providers" / f"{BACKEND}.yml"
    line = f"  products:\n    {id_}: {{_collection: {id_}}}\n"
    provider.write_text(provider.read_text().replace("  products:\n", line))


@pytest.fixture(scope="module", params=[None, ALIAS], ids=["by id", "by alias"])
def place(
    request: pytest.FixtureRequest,
    data_lake: Sandbox,
    issuer: Issuer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("hda")
    known = state.read_lake(data_lake.folder)
    sandbox_hda.write_configuration(
        folder,
        api=data_lake.endpoints["stac_api"],
        s3=data_lake.endpoints["s3"],
        region=services.REGION,
        access_key=known.secrets["s3_access_key"],
        secret_key=known.secrets["s3_secret_key"],
    )
    lake = HdaLake(data_lake, folder)
    _publish(lake, folder, OPEN, b"for all", None)
    _publish(lake, folder, LOCKED, b"for some", request.param or LOCKED)
    ports = [processes.choose_port(None, known.ports.values()) for _ in range(2)]
    hda, guard = (f"http://127.0.0.1:{port}" for port in ports)
    argv = sandbox_hda.guard_argv(
        ports[1],
        hda=hda,
        hidden=data_lake.endpoints["stac_api"],
        collections=folder / "collections.yml",
        issuer=issuer.url,
    )
    environment = sandbox_hda.environment(folder)
    with (
        _running(sandbox_hda.argv(ports[0], folder / "accounts"), ports[0], folder, environment),
        _running(argv, ports[1], folder, {}),
    ):
        yield Place(hda, guard, folder, (hda, data_lake.endpoints["stac_api"]))


# --- Every way to read


Way = Callable[[httpx.Client, str], httpx.Response]


def _get(path: str, **query: Any) -> Way:
    def ask(client: httpx.Client, id_: str) -> httpx.Response:
        told = {key: str(value).replace("@", id_) for key, value in query.items()}
        return client.get(path.format(id=id_), params=told)

    return ask


def _post(path: str = "/search", **body: Any) -> Way:
    def ask(client: httpx.Client, id_: str) -> httpx.Response:
        told = json.dumps(body).replace("@", id_)
        return client.post(path, content=told, headers={"content-type": "application/json"})

    return ask


def _raw(content: Callable[[str], bytes]) -> Way:
    return lambda client, id_: client.post(
        "/search", content=content(id_), headers={"content-type": "application/json"}
    )


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


EQUAL = {"op": "=", "args": [{"property": "collection"}, "@"]}
WAYS: dict[str, Way] = {
    "list": _get("/collections"),
    "list, all": _get("/collections", limit=200),
    "list, a page": _get("/collections", limit=1, offset=1),
    "list, free text": _get("/collections", q="Levels"),
    "list, by backend": _get(
        "/collections", limit=99, query=json.dumps({"federation:backends": {"eq": BACKEND}})
    ),
    "collection": _get("/collections/{id}"),
    "collection, escaped": lambda client, id_: client.get(
        "/collections/" + "".join(f"%{ord(letter):02X}" for letter in id_)
    ),
    "collection, escaped twice": lambda client, id_: client.get(
        "/collections/" + quote("".join(f"%{ord(letter):02X}" for letter in id_))
    ),
    "items": _get("/collections/{id}/items"),
    "items, a page": _get("/collections/{id}/items", limit=1),
    "item": _get(f"/collections/{{id}}/items/{ITEM}"),
    "search": _get("/search", collections="@"),
    "search, two": _get("/search", collections=f"{OPEN},@"),
    "search, two, other order": _get("/search", collections=f"@,{OPEN}"),
    "search by ids": _get("/search", ids=ITEM),
    "search by ids in it": _get("/search", ids=ITEM, collections="@"),
    "search, no collection": _get("/search"),
    "search, bbox": _get("/search", bbox="-180,-90,180,90"),
    "search, query": _get("/search", query=json.dumps({"collection": {"eq": "@"}})),
    "search, query in": _get("/search", query=json.dumps({"collection": {"in": ["@"]}})),
    "search, query escaped": lambda client, id_: client.get(
        "/search", params={"query": quote(json.dumps({"collection": {"eq": id_}}))}
    ),
    "search, query in \\u": lambda client, id_: client.get(
        "/search", params={"query": '{"collection": {"eq": "' + _escaped(id_) + '"}}'}
    ),
    "search, CQL2 text": _get("/search", filter="collection='@'"),
    "search, CQL2 text, like": lambda client, id_: client.get(
        "/search", params={"filter": f"collection LIKE '{id_[:-1]}%'"}
    ),
    "POST": _post(collections=["@"]),
    "POST, two": _post(collections=[OPEN, "@"]),
    "POST by ids": _post(ids=[ITEM]),
    "POST by ids in it": _post(ids=[ITEM], collections=["@"]),
    "POST, no collection": _post(limit=5),
    "POST, query": _post(query={"collection": {"eq": "@"}}),
    "POST, query in": _post(query={"collection": {"in": ["@", OPEN]}}),
    "POST, CQL2 json": _post(filter=EQUAL, **{"filter-lang": "cql2-json"}),
    "POST, CQL2 json in": _post(
        filter={"op": "in", "args": [{"property": "collection"}, ["@"]]},
        **{"filter-lang": "cql2-json"},
    ),
    "POST, CQL2 text": _post(filter="collection='@'", **{"filter-lang": "cql2-text"}),
    "POST, open with a filter": _post(collections=[OPEN], filter=EQUAL),
    "POST in \\u": _raw(lambda id_: f'{{"collections": ["{_escaped(id_)}"]}}'.encode()),
    "POST in UTF-16": _raw(lambda id_: json.dumps({"collections": [id_]}).encode("utf-16")),
    "POST, key twice": _raw(
        lambda id_: f'{{"collections": ["{id_}"], "collections": ["{_escaped(id_)}"]}}'.encode()
    ),
    "data": _get(f"/data/{BACKEND}/{{id}}/{ITEM}/txt"),
    "downloadLink": _get(f"/data/{BACKEND}/{{id}}/{ITEM}/downloadLink"),
    "data of another": _get(f"/data/dedl_operational/{{id}}/{ITEM}/txt"),
    "data, slashes": _get(f"//data/{BACKEND}/{{id}}/{ITEM}/txt"),
    "data, dots": _get(f"/data/{BACKEND}/{OPEN}/../{{id}}/{ITEM}/txt"),
    "order": lambda client, id_: client.post(f"/collections/{id_}/order", json={}),
}


def _told(place: Place, answer: httpx.Response) -> list[str]:
    """Return what an answer tells of the locked collection."""
    text = answer.text + answer.headers.get("location", "")
    names = [name for name in (LOCKED, ALIAS, f"{LOCKED}/") if name in text]
    return names + (["its bytes"] if b"for some" in answer.content else [])


def _client(root: str, token: str | None = None) -> httpx.Client:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=root, headers=headers, timeout=30, limits=limits)


def _names(place: Place) -> tuple[str, ...]:
    return (LOCKED, ALIAS) if ALIAS + "\n" in place.collections.read_text() else (LOCKED,)


@pytest.mark.parametrize("who", ["anonymous", "without role"])
def test_nobody_reads_a_locked_collection_in_any_way(
    place: Place, issuer: Issuer, who: str
) -> None:
    token = issuer.token("ANOTHER") if who == "without role" else None
    leaks = {}
    with _client(place.guarded, token) as client:
        for name in _names(place):
            for way, ask in WAYS.items():
                answer = ask(client, name)
                if told := _told(place, answer):
                    leaks[f"{way}, {name}"] = (answer.status_code, told)
                if answer.status_code >= 500:
                    leaks[f"{way}, {name}"] = (answer.status_code, [answer.text[:200]])

    assert leaks == {}


def test_the_ways_do_lead_to_it_on_the_bare_server(place: Place) -> None:
    """Else the test above proves nothing."""
    name = _names(place)[-1]
    with _client(place.bare) as client:
        leading = {way for way, ask in WAYS.items() if _told(place, ask(client, name))}

    assert leading >= {
        "list, all", "collection", "items", "items, a page", "item", "search",
        "search by ids in it",
        "search, query", "search, CQL2 text", "POST", "POST by ids in it", "POST, query",
        "POST, CQL2 json", "POST in \\u", "POST in UTF-16", "data", "downloadLink",
    }  # fmt: skip


@pytest.mark.parametrize(
    "way", ["list, all", "collection", "items", "item", "search", "POST", "POST, CQL2 json"]
)
def test_who_has_the_role_reads_it(place: Place, issuer: Issuer, way: str) -> None:
    name = _names(place)[-1]
    with _client(place.guarded, issuer.token("ANOTHER", ROLE)) as client:
        answer = WAYS[way](client, name)

    assert answer.status_code == 200
    assert name in answer.text


def test_who_has_the_role_downloads_it_and_gets_no_internal_address(
    place: Place, issuer: Issuer
) -> None:
    name = _names(place)[-1]
    with _client(place.guarded, issuer.token(ROLE)) as client:
        told = client.get(f"/collections/{name}/items").text
        redirect = client.get(f"/data/{BACKEND}/{name}/{ITEM}/txt")
        whole = client.get(f"/data/{BACKEND}/{name}/{ITEM}/downloadLink")

    assert redirect.status_code == 302
    assert httpx.get(redirect.headers["location"]).content == b"for some"
    assert whole.content == b"for some"
    assert [address for address in place.hidden if address in told] == []


@pytest.mark.parametrize("who", ["anonymous", "without role", "with role"])
def test_everybody_reads_the_open_collection(place: Place, issuer: Issuer, who: str) -> None:
    roles = {"anonymous": None, "without role": ["ANOTHER"], "with role": [ROLE]}[who]
    with _client(place.guarded, None if roles is None else issuer.token(*roles)) as client:
        wanted = {way: WAYS[way](client, OPEN) for way in (
            "list, all", "collection", "items", "item", "search", "POST", "search, CQL2 text",
        )}  # fmt: skip
        data = client.get(f"/data/{BACKEND}/{OPEN}/{ITEM}/txt")

    assert {way: a.status_code for way, a in wanted.items()} == dict.fromkeys(wanted, 200)
    assert [way for way, answer in wanted.items() if OPEN not in answer.text] == []
    assert [way for way, a in wanted.items() if any(x in a.text for x in place.hidden)] == []
    assert data.status_code == 302


def test_queryables_are_open(place: Place) -> None:
    name = _names(place)[-1]
    with _client(place.guarded) as client:
        answers = [
            client.get("/queryables"),
            client.get("/queryables", params={"collections": name}),
            client.get(f"/collections/{name}/queryables"),
        ]
        refused = client.post("/queryables", json={"collections": [name]})

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert refused.status_code in (401, 405)


def test_a_count_does_not_tell_of_what_is_left_out(place: Place) -> None:
    with _client(place.guarded) as client:
        told = client.get("/collections", params={"limit": 200}).json()

    assert "numberMatched" not in told
    assert told["numberReturned"] == len(told["collections"])


BAD: dict[str, Callable[[Issuer], str]] = {
    "expired": lambda issuer: issuer.token(ROLE, exp=int(time.time()) - 1),
    "without an end": lambda issuer: issuer.token(ROLE, exp=None),
    "another issuer": lambda issuer: issuer.token(ROLE, iss="http://127.0.0.1:1/realms/dedl"),
    "no issuer": lambda issuer: issuer.token(ROLE, iss=None),
    "another audience": lambda issuer: issuer.token(ROLE, aud="account"),
    "no audience": lambda issuer: issuer.token(ROLE, aud=None),
    "another key": lambda issuer: issuer.token(ROLE, key=rsa.generate_private_key(65537, 2048)),
    "unknown key": lambda issuer: issuer.token(ROLE, header={"kid": "nobody's"}),
    "algorithm none": lambda issuer: issuer.token(ROLE, header={"alg": "none"}),
    "the public key as a secret": lambda issuer: issuer.token(ROLE, header={"alg": "HS256"}),
    "no token": lambda _: "nonsense",
    "role elsewhere": lambda issuer: issuer.token(roles=[ROLE], resource_access={"roles": [ROLE]}),
    "roles as text": lambda issuer: issuer.token(realm_access={"roles": f"{ROLE} more"}),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_token_opens_nothing(place: Place, issuer: Issuer, kind: str) -> None:
    token = BAD[kind](issuer)
    with _client(place.guarded, token) as client:
        answer = client.get(f"/collections/{_names(place)[-1]}/items")

    assert answer.status_code == (403 if kind.startswith("role") else 401)
    assert token not in answer.text
    assert LOCKED not in answer.text


def test_a_new_key_of_the_issuer_counts(place: Place, issuer: Issuer) -> None:
    kid = f"new at {time.monotonic()}"
    issuer.keys[kid] = rsa.generate_private_key(65537, 2048)
    token = issuer.token(ROLE, key=issuer.keys[kid], header={"kid": kid})

    def is_let_in() -> bool:
        with _client(place.guarded, token) as client:
            return client.get(f"/collections/{_names(place)[-1]}").status_code == 200

    assert any(is_let_in() for _ in processes.wait_until(time.monotonic() + 10))


def test_locks_follow_the_file_and_what_vanished_stays_locked(place: Place) -> None:
    text, name = place.collections.read_text(), _names(place)[-1]
    with _client(place.guarded) as client:
        try:
            place.collections.write_text(text + f"\n{OPEN}.X: {{scopes: [{ROLE}]}}\n")
            new = client.get(f"/collections/{OPEN}.X").status_code
            place.collections.write_text("A: {title: a}\n")
            gone = client.get(f"/collections/{name}").status_code
            place.collections.write_text("A: [\n")
            broken = client.get(f"/collections/{OPEN}").status_code
        finally:
            place.collections.write_text(text)
        again = client.get(f"/collections/{name}").status_code

    assert (new, gone, broken, again) == (401, 401, 503, 401)
