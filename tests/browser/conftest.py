"""A browser at the real JupyterLab, started as operators start it."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dedl_sandbox.sample.dataset import make_sample

from tests import jupyter
from tests.browser.seat import Seat
from tests.conftest import PROJECT, Workbook
from tests.integration import hda_lake

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_NUMBERS = itertools.count(1)
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


@pytest.fixture(scope="session")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.skip(f"there is no browser: none of {', '.join(PROGRAMS)} is on the PATH")
    return found


def _expose_the_app(home: Path) -> None:
    """Let the tests ask JupyterLab itself when a kernel is ready, instead of guessing."""
    (home / ".jupyter").mkdir(parents=True, exist_ok=True)
    settings = {"LabApp": {"expose_app_in_browser": True}}
    (home / ".jupyter" / "jupyter_lab_config.json").write_text(json.dumps(settings))


@pytest.fixture
def dark(lake: Workbook) -> None:
    """Let JupyterLab start in its dark theme."""
    settings = lake.root.parent / "home/.jupyter/lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    file = settings / "themes.jupyterlab-settings"
    file.write_text(json.dumps({"theme": "JupyterLab Dark"}))


@pytest.fixture
def seat(lake: Workbook, chromium: str, request: pytest.FixtureRequest) -> Iterator[Seat]:
    """An operator's seat: the console's notebook, which JupyterLab shows first, was run."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")
    images = PROJECT / "docs" / "images" if request.config.getoption("--screenshots") else None
    # The front end saves the notebooks that it shows.
    (lake.root / "notebooks").unlink()
    shutil.copytree(PROJECT / "notebooks", lake.root / "notebooks")
    _expose_the_app(lake.root.parent / "home")
    with (
        jupyter.lab(lake.root, DEDL_OPERATOR="an.operator") as server,
        sync_api.sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": 1280, "height": 1600 if images else 1000})
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{server.url}lab/tree/notebooks/00-console.ipynb?token={server.token}")
        made = Seat(page, lake.root, images)
        try:
            made.run_console()
            yield made
        finally:
            browser.close()


@pytest.fixture
def whole(lake: Workbook, tmp_path: Path) -> Iterator[str]:
    """Give the lake the sandbox's HDA, and the database and bucket that it serves.

    Yields:
        The id of the dataset that was delivered.
    """
    settings = {key.replace("SANDBOX", "LAKE"): v for key, v in lake.sandbox.connections.items()}
    (lake.root / ".env").write_text("".join(f"{key}='{v}'\n" for key, v in settings.items()))
    target = lake.root / "parameters" / "targets" / "lake.yaml"
    values = yaml.safe_load(target.read_text()) | {"iam": {}, "hda": {}}
    target.write_text(yaml.safe_dump(values))
    name = f"EO.DEDL.DAT.HEAT_{next(_NUMBERS)}"
    make_sample(lake.root / "delivered" / name, collection=name, scenes=3)
    with hda_lake.own_configuration(lake.sandbox, tmp_path / "hda"):
        yield name
