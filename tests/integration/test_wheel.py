"""The wheel: what a submitter installs, without the parts for operators and the sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.unit.builders import any_collection, any_dataset, any_item

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin/ of a fresh environment that has the wheel and its base dependencies."""
    folder = tmp_path_factory.mktemp("submitter")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    locked = ["--constraint", str(constraints(folder))]
    pip = [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", *locked]
    subprocess.run([*pip, str(wheel)], check=True)
    return environment / "bin"


def constraints(folder: Path) -> Path:
    """The locked versions without their hashes, which would be demanded of the wheel as well."""
    lock = (PROJECT / "requirements/workbook.txt").read_text()
    names = [line.rstrip("\\ ") for line in lock.splitlines() if line and line[0].isalnum()]
    path = folder / "constraints.txt"
    path.write_text("\n".join(names) + "\n")
    return path


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    kept.pop("DEDL_WORKBOOK_SCHEMAS", None)
    # A cache of its own, which is empty, and no network.
    kept["XDG_CACHE_HOME"] = str(folder / "cache")
    command = ["unshare", "-n", "-r", str(installed / "dedl-workbook"), *arguments]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True)


def test_a_submitter_validates_with_nothing_but_the_wheel(installed: Path, tmp_path: Path) -> None:
    root = any_dataset(tmp_path, collection=any_collection(keywords=["Tempratur"]))

    done = run(installed, tmp_path, "validate", str(root), "--json", "found.json")

    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    written = json.loads((tmp_path / "found.json").read_text())
    assert {f["rule"] for f in written["findings"]} == {"C04", "C05"}
    assert any("snapshot of 2026-" in note for note in written["notes"])
    assert "stac-validator was asked about 2 documents besides" in written["notes"]


def test_a_submitters_first_run_refuses_what_stac_refuses(installed: Path, tmp_path: Path) -> None:
    root = any_dataset(tmp_path, any_item(properties={"gsd": "ten"}))

    done = run(installed, tmp_path, "validate", str(root))

    assert done.returncode == 1, done.stderr
    assert "I01" in done.stdout
    assert "gsd" in done.stdout


def test_without_network_an_extension_is_said_not_to_be_checked(
    installed: Path, tmp_path: Path
) -> None:
    url = "https://stac-extensions.github.io/eo/v1.1.0/schema.json"
    root = any_dataset(tmp_path, any_item(stac_extensions=[url]))

    done = run(installed, tmp_path, "validate", str(root))

    assert done.returncode == 0, done.stderr
    assert "1 document names 1 extension that could not be checked" in done.stdout


def test_a_submitter_has_a_dataset_mended(installed: Path, tmp_path: Path) -> None:
    root = any_dataset(tmp_path, collection=any_collection(keywords=["climate"]))

    done = run(installed, tmp_path, "validate", str(root), "--fix", "mended")

    assert done.returncode == 0, done.stderr
    mended = json.loads((tmp_path / "mended/metadata/collection.json").read_text())
    assert mended["keywords"] == ["Climate", "User generated"]


def test_a_submitter_gets_a_page_that_can_be_sent(installed: Path, tmp_path: Path) -> None:
    root = any_dataset(tmp_path, collection=any_collection(keywords=["Tempratur"]))

    done = run(installed, tmp_path, "validate", str(root), "--html", "report.html")

    assert done.returncode == 0, done.stderr
    assert "Tempratur" in (tmp_path / "report.html").read_text()


def test_a_dataset_in_s3_names_the_extra_that_reads_it(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "validate", "s3://bucket/EO.XXX.DAT.HEAT")

    assert done.returncode == 2
    assert "dedl-workbook[s3]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["rules", "L08"], ["schemas", "sync", "--from", "."]])
def test_the_other_commands_of_submitters_run_too(
    installed: Path, tmp_path: Path, command: list[str]
) -> None:
    done = run(installed, tmp_path, *command)

    assert done.returncode == 0, done.stderr


def test_what_the_wheel_alone_can_not_do_names_the_extra(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "demo")

    assert done.returncode == 2
    assert "dedl-workbook[" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def operators(tmp_path: Path) -> Path:
    """The bin/ of an environment with the wheel itself, and this one's dependencies and servers.

    What `[operator,sandbox]` installs is what the tests run with; only the clone isn't there.
    """
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (environment / "servers").symlink_to(Path(sys.prefix) / "servers")
    # Templates of nbconvert and others.
    (environment / "share").symlink_to(Path(sys.prefix) / "share")
    for program in ("weed", "uv"):
        (environment / "bin" / program).symlink_to(Path(sys.prefix) / "bin" / program)
    return environment / "bin"


@pytest.mark.timeout(1500)
def test_the_demo_runs_from_the_wheel_in_an_empty_folder(operators: Path, tmp_path: Path) -> None:
    root = tmp_path / "promotions"
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("DEDL_WORK", "PYTHON"))}
    variables["PATH"] = f"{operators}:{variables['PATH']}"

    def workbook(*words: str, folder: Path = root) -> subprocess.CompletedProcess[str]:
        command = [str(operators / "dedl-workbook"), *words]
        return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)

    assert workbook("init", "promotions", folder=tmp_path).returncode == 0
    where = "import dedl_workbook; print(dedl_workbook.__file__)"
    place = subprocess.check_output([operators / "python", "-c", where], cwd=root, text=True)
    assert Path(place.strip()).is_relative_to(tmp_path)

    try:
        done = workbook("demo")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        status = json.loads(workbook("status", "--json", "-").stdout)
    finally:
        workbook("sandbox", "down", "--wipe")

    assert "published" in json.dumps(status)
    assert (root / "archive" / "sandbox" / "DEMO-2" / "bag").is_dir()
