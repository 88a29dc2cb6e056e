"""A browser at the real JupyterLab, started as operators start it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import jupyter
from tests.browser.seat import Seat
from tests.conftest import PROJECT, Lake

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


@pytest.fixture(scope="session")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.skip(f"there is no browser: none of {', '.join(PROGRAMS)} is on the PATH")
    return found


def _expose_the_app(home: Path) -> None:
    """Let the tests ask JupyterLab itself when a kernel is ready, instead of guessing."""
    (home / ".jupyter").mkdir(parents=True)
    settings = {"LabApp": {"expose_app_in_browser": True}}
    (home / ".jupyter" / "jupyter_lab_config.json").write_text(json.dumps(settings))


@pytest.fixture
def seat(lake: Lake, chromium: str, request: pytest.FixtureRequest) -> Iterator[Seat]:
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
        page = browser.new_page(viewport={"width": 1280, "height": 1600 if images else 1000})
        page.set_default_timeout(240_000)
        page.goto(f"{server.url}lab/tree/notebooks/00-console.ipynb?token={server.token}")
        made = Seat(page, images)
        try:
            made.run_console()
            yield made
        finally:
            browser.close()
