"""One trust, and one way out: a target's authorities and a site's proxy reach every client."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from dedl_workbook.base import http, trust
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.dataset import s3
from dedl_workbook.parameters.target import Pool, Target
from dedl_workbook.services.hda import programs

NAME = "pool.dedl.test"
"""Nobody resolves it but the proxy."""


@dataclass
class Site:
    """A server behind a proxy, with a certificate of a private authority."""

    url: str
    bundle: Path
    connects: list[str] = field(default_factory=list)


class Answers(BaseHTTPRequestHandler):
    """Answers whatever is asked with an empty success."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"{}")

    do_HEAD = do_GET  # noqa: N815


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that refuses the certificate goes away: that is what is tested."""


def served(authority: trustme.CA, *names: str, **how: Any) -> Quiet:
    server = Quiet(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **how).configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Serve `NAME` by way of a proxy that counts, which the environment names."""
    for name in (*trust.AUTHORITIES, *trust.PROXIES):
        monkeypatch.delenv(name, raising=False)
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    server = served(authority, NAME, "127.0.0.1")
    place = Site(f"https://{NAME}", bundle)

    class Proxy(Answers):
        def do_CONNECT(self) -> None:
            place.connects.append(self.path)
            self.send_response(200)
            self.end_headers()
            with socket.create_connection(server.server_address[:2]) as other:
                ends = {self.connection: other, other: self.connection}
                workers = [
                    threading.Thread(target=pump, args=pair, daemon=True) for pair in ends.items()
                ]
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join()

    proxy = Quiet(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_port}")
    yield place
    trust.use(None)
    for one in (server, proxy):
        one.shutdown()
        one.server_close()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def pool(site: Site) -> Pool:
    keys = {"access_key": "k", "secret_key": "s", "bucket": "pool"}
    return Pool.model_validate({"endpoint": site.url, "ca_bundle": site.bundle, **keys})


def by_httpx(site: Site) -> None:
    with http.client(10) as client:
        assert client.get(site.url).status_code == 200


def by_boto3(site: Site) -> None:
    s3.client(pool(site)).head_object(Bucket="pool", Key="a")


def by_obstore(site: Site) -> None:
    import obstore
    from dedl_workbook.services.pool.writer import writer

    assert obstore.head(writer(pool(site), "pool"), "a")["size"] == 2


def by_git(site: Site) -> None:
    git = shutil.which("git")
    assert git is not None
    done = subprocess.run(
        [git, "ls-remote", f"{site.url}/x.git"],
        env={**programs_environment(), "GIT_TERMINAL_PROMPT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "certificate" not in done.stderr, done.stderr


def by_a_program(site: Site) -> None:
    """As eodag's client and the trial: another interpreter, with requests."""
    code = f"import requests; print(requests.get({site.url!r}, timeout=10).status_code)"
    done = programs.run([sys.executable, "-c", code], 60, "hda.client")
    assert done.stdout.strip() == "200", done.stderr[-300:]


def programs_environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **trust.variables()}


@pytest.mark.parametrize("ask", [by_httpx, by_boto3, by_obstore, by_git, by_a_program])
def test_each_client_trusts_the_authority_of_the_target_and_goes_by_the_proxy(
    site: Site, ask: Callable[[Site], None]
) -> None:
    trust.use(site.bundle)

    ask(site)

    assert site.connects
    assert set(site.connects) == {f"{NAME}:443"}


def test_a_name_of_no_proxy_is_asked_directly(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", NAME)
    trust.use(site.bundle)

    with pytest.raises(ServiceError), http.explained("it", site.url):
        by_httpx(site)

    assert site.connects == []
    assert os.environ["NO_PROXY"] == f"{NAME},127.0.0.1,localhost"


def test_a_certificate_of_an_unknown_authority_is_named_with_the_remedy(site: Site) -> None:
    with pytest.raises(ServiceError, match="isn't trusted: unable to get local issuer") as refused:
        with http.explained("the STAC API", site.url):
            by_httpx(site)

    assert refused.value.where == site.url
    assert "Set ca_bundle in the target" in refused.value.remedy


@pytest.mark.parametrize(
    ("names", "how", "reason", "remedy"),
    [
        (["other.dedl.test"], {}, "ostname mismatch|IP address mismatch", "as the certificate"),
        (
            ["127.0.0.1"],
            {"not_after": dt.datetime(2020, 1, 1)},
            "expired",
            "renew",
        ),
    ],
    ids=["another name", "expired"],
)
def test_another_fault_of_a_certificate_has_another_remedy(
    site: Site,
    tmp_path: Path,
    names: list[str],
    how: dict[str, Any],
    reason: str,
    remedy: str,
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    server = served(authority, *names, **how)
    trust.use(tmp_path / "other.pem")
    try:
        url = f"https://127.0.0.1:{server.server_port}"
        with pytest.raises(ServiceError, match=reason) as refused:
            with http.explained("HDA", url), http.client(10) as client:
                client.get(url)
    finally:
        server.shutdown()
        server.server_close()

    assert remedy in refused.value.remedy


def test_a_variable_that_a_person_set_stays(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSL_CAINFO", "/mine.pem")

    trust.use(site.bundle)
    assert os.environ["GIT_SSL_CAINFO"] == "/mine.pem"
    assert os.environ["SSL_CERT_FILE"] == str(site.bundle)

    trust.use(None)
    assert os.environ["GIT_SSL_CAINFO"] == "/mine.pem"
    assert "SSL_CERT_FILE" not in os.environ


def test_a_target_hands_its_authorities_to_each_section_that_names_none(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "parameters" / "targets"
    folder.mkdir(parents=True)
    for name in ("S3", "PROPOSALS"):
        for key in ("ACCESS_KEY", "SECRET_KEY"):
            monkeypatch.setenv(f"DEDL_SITE__{name}__{key}", "k")
    text = """
ca_bundle: ca.pem
s3: {endpoint: "https://s3.example", bucket: pool}
proposals: {endpoint: "https://s3.example", ca_bundle: /own.pem}
catalog: {host: h, database: d, user: u, sslmode: verify-ca}
stac_api: {url: "https://api.example"}
helpdesk: {kind: outbox}
archive: archive
"""
    (folder / "site.yaml").write_text(text)

    target = Target.load("site", tmp_path)

    assert target.s3.ca_bundle == target.catalog.ca_bundle == target.helpdesk.ca_bundle
    assert target.s3.ca_bundle == site.bundle
    assert target.proposals is not None
    assert target.proposals.ca_bundle == Path("/own.pem")
    assert os.environ["SSL_CERT_FILE"] == str(site.bundle)
    (folder / "site.yaml").write_text(text.replace("ca.pem", "none.pem"))
    with pytest.raises(InputError, match="holds no certificate") as refused:
        Target.load("site", tmp_path)
    assert "ca_bundle in the target" in refused.value.remedy
