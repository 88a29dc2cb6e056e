"""The documentation: it builds without a warning, and what it shows is what the code does."""

import ast
import contextlib
import json
import re
import shlex
import subprocess
import sys
import textwrap
from functools import reduce
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from dedl_workbook.cli import main
from dedl_workbook.parameters.target import Target
from traitlets.config import Config

from tests.conftest import PROJECT

DOCS = PROJECT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
PAGES = [page for page in PAGES if not {"_build", "generated_pages"} & set(page.parts)]


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks in a language, also those within a list, which are indented."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(), flags=re.M | re.S)
    return [textwrap.dedent(block) for block in found]


COMMANDS = [
    (page.name, line[2:])
    for page in PAGES
    for block in blocks(page, "console")
    for line in block.splitlines()
    if line.startswith("$ ")
]
SECTIONS = [
    (page.name, number, block)
    for page in PAGES
    for number, block in enumerate(blocks(page, "yaml"))
]
SECRETS = {
    "S3__ACCESS_KEY": "a",
    "S3__SECRET_KEY": "b",
    "CATALOG__PASSWORD": "c",
    "IAM__LOGIN__PASSWORD": "d",
    "IAM__OUTSIDER__PASSWORD": "e",
    "IAM__SERVICE_ACCOUNT__CLIENT_SECRET": "f",
    "HELPDESK__PASSWORD": "g",
    "PROPOSALS__ACCESS_KEY": "h",
    "PROPOSALS__SECRET_KEY": "i",
}


def test_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]

    done = subprocess.run(
        [*command, "-d", str(tmp_path / "trees"), str(DOCS), str(tmp_path / "html")],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    rulebook = (tmp_path / "html" / "generated_pages" / "rulebook.html").read_text()
    assert "A07" in rulebook


def parse(command: click.Command, words: list[str]) -> None:
    """Parse the words of a command line, and run nothing."""
    while isinstance(command, click.Group) and not words[0].startswith("-"):
        command, words = command.commands[words[0]], words[1:]
    # `--help` ends with an exit of its own.
    with contextlib.suppress(click.exceptions.Exit):
        command.make_context(command.name, words)


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_each_command_is_one_that_there_is(page: str, command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "dedl-workbook":
        parse(main.cli, arguments)
    elif program == "cp":
        assert (PROJECT / arguments[0]).is_file()
    else:
        # Those are run, by tests/integration/test_keep_it_running.py.
        assert page == "keep-it-running.md"


@pytest.mark.parametrize(("page", "number", "section"), SECTIONS)
def test_each_part_of_a_target_fits_the_example(
    page: str, number: int, section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = yaml.safe_load((PROJECT / "parameters/targets/production.example.yaml").read_text())
    target: dict[str, Any] = {**example, **yaml.safe_load(section)}
    for name, value in SECRETS.items():
        *parts, _ = name.lower().split("__")
        if reduce(lambda inner, part: (inner or {}).get(part), parts, target) is not None:
            monkeypatch.setenv(f"DEDL_PRODUCTION__{name}", value)
    folder = tmp_path / "parameters" / "targets"
    folder.mkdir(parents=True)
    (folder / "production.yaml").write_text(yaml.safe_dump(target))

    assert Target.load("production", tmp_path).name == "production"


@pytest.mark.parametrize("name", ["jupyter_server_config.py", "jupyterhub_config.py"])
def test_each_configuration_of_jupyter_runs(name: str) -> None:
    code = (PROJECT / "deploy" / name).read_text()
    config = Config()

    exec(compile(ast.parse(code), name, "exec"), {"get_config": lambda: config})

    assert config


def test_the_buckets_policy_names_rights_once_and_explains_each() -> None:
    policy = json.loads((DOCS / "how-to" / "bucket-policy.json").read_text())
    page = (DOCS / "how-to" / "bucket.md").read_text()
    rights = [right for statement in policy["Statement"] for right in statement["Action"]]

    assert len(rights) == len(set(rights))
    assert [right for right in rights if f"`{right}`" not in page] == []


def test_each_message_under_troubleshooting_is_in_the_code() -> None:
    code = "\n".join(
        " ".join(re.sub(r'"\s*\n\s*f?"', "", file.read_text()).split())
        for file in (PROJECT / "lib" / "dedl_workbook").rglob("*.py")
    )
    page = (DOCS / "troubleshooting.md").read_text()
    messages = re.findall(r"^### .+\n\n> (.+)$", page, flags=re.M)

    assert len(messages) == page.count("\n### ") > 20
    assert [message for message in messages if message not in code] == []


def test_every_page_is_reached_from_the_first() -> None:
    """By the trees of contents; Sphinx warns of the rest, this test of a missing how-to link."""
    index = (DOCS / "index.md").read_text()
    how_tos = [f"how-to/{page.stem}" for page in (DOCS / "how-to").glob("*.md")]

    assert [page for page in how_tos if page not in index] == []


def test_every_screenshot_is_made_by_a_browser_test_and_shown_and_they_are_small() -> None:
    sources = [file.read_text() for file in (PROJECT / "tests" / "browser").glob("test_*.py")]
    made = {name for text in sources for name in re.findall(r"\.shoot\(\"([\w-]+)\"", text)}
    images = list((DOCS / "images").iterdir())
    pages = [page.read_text() for page in (PROJECT / "README.md", DOCS / "one-ticket.md")]
    shown = {name for text in pages for name in re.findall(r"images/([\w-]+)\.png\)", text)}

    assert {file.stem for file in images} == shown <= made
    assert sum(file.stat().st_size for file in images) < 2_500_000


def test_each_defence_of_the_threat_model_is_tried_by_a_test() -> None:
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "threat-model.md").read_text()))
    tests = {
        name
        for file in (PROJECT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), flags=re.MULTILINE)
    }

    assert len(named) > 30
    assert sorted(named - tests) == []
