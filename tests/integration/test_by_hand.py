"""Steps run by hand in a real JupyterLab count as those of a headless run do."""

import json
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.notebooks.jupyter.lab import working_copy
from dedl_workbook.steps.order import STEPS

from tests import jupyter
from tests.conftest import Workbook


@pytest.mark.slow
def test_the_user_is_told_of_steps_run_by_hand_once_their_notebooks_are_saved(
    lake: Workbook,
) -> None:
    case = lake.publish("hda")
    with jupyter.lab(lake.root) as server:

        def by_hand(step: str) -> tuple[Path, dict[str, Any]]:
            file = working_copy(case.ticket, STEPS[step], lake.root)
            notebook = server.load(file)
            with server.kernel(file) as kernel:
                kernel.run_all(notebook)
            return file, notebook

        assert server.save(*by_hand("validate")).status_code == 200
        verified = by_hand("verify")
        refused = by_hand("notify")
        assert "the executed notebook of verify isn't in the case" in json.dumps(refused[1])
        assert case.last_outcome("notify")["verdict"] == "failed"

        assert server.save(*verified).status_code == 200
        assert server.save(*by_hand("notify")).status_code == 200

    assert case.last_outcome("notify")["verdict"] == "passed"
    sent = {file.name for file in (case.folder / "sent").rglob("*.html")}
    assert sent == {"10-validate.html", "60-verify.html"}
    sealed = [line["attempt"] for line in case.ledger() if line["event"] == "sealed"]
    names = [name.partition("-")[2] for name in sealed]
    assert names == ["validate", "verify", "notify"]
    bag = case.folder / "bag" / "data"
    assert (bag / "attempts" / sealed[-1] / "notebook.ipynb").is_file(), "it tells of the reply"
    assert "the user was told" in (bag / "index.html").read_text()
