"""The image for JupyterHub: each step of the Containerfile, run in a chroot of Debian.

No container runtime is needed: `debootstrap` makes what `FROM debian:12-slim` stands for.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
CONTAINERFILE = PROJECT / "deploy" / "Containerfile"
AUTHORITIES = "etc/authorities-of-the-test.pem"


@dataclass
class Stage:
    """One stage of the build: a folder that is its root, and what later steps run with."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "root"
    command: list[str] = field(default_factory=list)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the shell in it, as an image's user does; it must end well."""
        setting = " ".join(f"{name}={shlex.quote(x)}" for name, x in self.environment.items())
        line = f"cd {shlex.quote(self.folder)} && export HOME=/tmp {setting} && {command}"
        chroot = ["chroot", f"--userspec={self.user}", str(self.root), "sh", "-c", line]
        passed = ("PIP_", "UV_", "SSL_")
        environment = {key: x for key, x in os.environ.items() if key.startswith(passed)}
        environment |= {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBIAN_FRONTEND": "noninteractive",
            "PIP_CERT": f"/{AUTHORITIES}",
            "SSL_CERT_FILE": f"/{AUTHORITIES}",
        }
        process = subprocess.run(
            ["unshare", "--pid", "--fork", f"--mount-proc={self.root}/proc", *chroot],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, (
            f"{command}\n{process.stdout[-3000:]}{process.stderr[-3000:]}"
        )
        return process


def instructions(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            yield name, rest


def copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "--archive", "--no-target-directory", source, target], check=True)


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("needs root and debootstrap")
    root = tmp_path_factory.mktemp("debian") / "root"
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", "bookworm", str(root)], capture_output=True, text=True
    )
    if "mount" in made.stderr.lower() and made.returncode:
        pytest.skip("no chroot is allowed on this machine")
    assert made.returncode == 0, made.stdout[-3000:]
    # As this machine reaches its registries, a build on it would.
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / AUTHORITIES)
    return root


@pytest.fixture(scope="module")
def image(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Build the image from what is committed; return its last stage."""
    context = tmp_path_factory.mktemp("context") / "project"
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(context)], check=True)
    stages: dict[str, Stage] = {}
    stage = Stage(debian)
    for name, rest in instructions(CONTAINERFILE.read_text()):
        match name:
            case "FROM":
                root = tmp_path_factory.mktemp("stage") / "root"
                copied(debian, root)
                stage = stages[rest.rpartition(" ")[2]] = Stage(root)
            case "RUN":
                stage.run(rest)
            case "COPY":
                *options, source, target = rest.split()
                origin = context
                if options:
                    origin = stages[options[0].removeprefix("--from=")].root
                inside = stage.root / stage.folder.lstrip("/") / target.lstrip("/")
                if target.startswith("/"):
                    inside = stage.root / target.lstrip("/")
                copied(origin / source.lstrip("/"), inside)
            case "ENV":
                key, _, value = rest.partition("=")
                stage.environment[key] = value
            case "WORKDIR":
                stage.folder = rest
                (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "USER":
                stage.user = rest
            case "CMD":
                stage.command = json.loads(rest)
            case other:
                raise AssertionError(f"the test knows no {other}")
    return stage


def test_the_image_starts_a_single_user_server_as_nobody_special(image: Stage) -> None:
    assert image.command == ["jupyterhub-singleuser"]
    assert image.run("jupyterhub-singleuser --version").stdout.strip()
    assert image.run("id --user").stdout.strip() == "1000"


def test_the_image_validates_and_runs_a_notebook(image: Stage) -> None:
    image.run("dedl-workbook rules")
    image.run(
        "python -c 'import dedl_workbook.notebooks, distributed, geopandas, pypgstac, psycopg'"
    )
    assert "00-console.ipynb" in image.run("ls notebooks").stdout


def test_the_image_holds_neither_sources_nor_package_lists(image: Stage) -> None:
    assert not (image.root / "build").exists()
    assert list((image.root / "var/lib/apt/lists").glob("*")) == []
