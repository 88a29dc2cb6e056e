"""A one-node Ceph RGW of Debian's packages for benchmarks, its objects in memory.

Needs radosgw, ceph-mon, ceph-osd, ceph-mgr and ceph-common, and nothing of systemd. Ready in 15 s.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dedl_workbook.parameters.target import S3

NEEDED = ("radosgw", "radosgw-admin", "ceph", "ceph-mon", "ceph-osd", "ceph-mgr", "monmaptool")
CAPS = {
    "mon.": ("mon", "allow *"),
    "client.admin": ("mon", "allow *", "osd", "allow *", "mgr", "allow *"),
    "osd.0": ("mon", "allow profile osd", "osd", "allow *", "mgr", "allow profile osd"),
    "mgr.x": ("mon", "allow profile mgr", "osd", "allow *"),
    "client.rgw": ("mon", "allow rwx", "osd", "allow rwx", "mgr", "allow rw"),
}
CONFIGURATION = """\
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{monitor}
public addr = 127.0.0.1
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 12884901888
mon data = {folder}/mon
osd data = {folder}/osd
mgr data = {folder}/mgr
run dir = {folder}/run
log file = {folder}/$name.log
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
keyring = {folder}/keyring
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {folder}/rgw
"""


def installed() -> bool:
    return all(shutil.which(name) for name in NEEDED)


@contextmanager
def running(folder: Path) -> Iterator[S3]:
    """Run it in a folder; yield its endpoint and a user."""
    for name in ("mon", "osd", "mgr", "rgw", "run"):
        (folder / name).mkdir(parents=True)
    fsid, port, monitor = str(uuid.uuid4()), _free_port(), _free_port()
    file = folder / "ceph.conf"
    file.write_text(CONFIGURATION.format(fsid=fsid, monitor=monitor, port=port, folder=folder))

    def call(*command: str) -> None:
        environment = {**os.environ, "CEPH_CONF": str(file)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed: {done.stderr}")

    keyring = str(folder / "keyring")
    call("ceph-authtool", "--create-keyring", keyring)
    for name, caps in CAPS.items():
        pairs = zip(caps[::2], caps[1::2], strict=True)
        asked = [part for pair in pairs for part in ("--cap", *pair)]
        call("ceph-authtool", keyring, "--gen-key", "-n", name, *asked)
    monmap, osd = str(folder / "monmap"), str(uuid.uuid4())
    where = f"[v2:127.0.0.1:{monitor}]"
    call("monmaptool", "--create", "--addv", "a", where, "--fsid", fsid, monmap)
    try:
        call("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        call("ceph-mon", "-i", "a")
        call("ceph-mgr", "-i", "x")
        call("ceph", "osd", "new", osd)
        call("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        call("ceph-osd", "-i", "0")
        call("radosgw", "-n", "client.rgw")
        access, secret = secrets.token_hex(8), secrets.token_hex(16)
        keys = (f"--access-key={access}", f"--secret-key={secret}")
        call("radosgw-admin", "user", "create", "--uid=u", "--display-name=U", *keys)
        endpoint = f"http://127.0.0.1:{port}"
        _await(endpoint)
        yield S3.model_validate({"endpoint": endpoint, "access_key": access, "secret_key": secret})
    finally:
        for pid in (folder / "run").glob("*.pid"):
            with suppress(OSError, ValueError):
                os.kill(int(pid.read_text()), signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def _await(endpoint: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(endpoint)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit("radosgw didn't come up")
