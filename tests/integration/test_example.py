"""The example that DEDL gives to submitters: refused as it is, published once it is filled in.

It isn't part of the project: these tests are skipped where it isn't at hand.
"""

import json
import shutil
from pathlib import Path

import pytest
from dedl_workbook.cli.codes import DONE, FAILED
from dedl_workbook.cli.main import main

from tests.conftest import PROJECT, Workbook

EXAMPLE = PROJECT.parent / "shared" / "data" / "EO.XXX.YYY.ZZZ"
pytestmark = pytest.mark.skipif(not EXAMPLE.is_dir(), reason="the example isn't at hand")

FILLED = {
    "LICENCE_URL_LINK": "https://example.org/licence",
    "LICENCE_NAME": "Licence of the example",
    "DOI_URL": "https://doi.org/10.1000/182",
    "DOI_DATASET_TITLE": "Land cover change, the paper",
    "OTHER_DATASET_URL": "https://example.org/other",
    "DATASET_TITLE": "Land cover change in Europe",
    "DOI_CODE": "10.1000/182",
    "PROVIDER_NAME": "Institute of Examples",
    "PROVIDER_URL": "https://example.org",
    "URL_TO_DATASET_IMAGE": "https://example.org/overview.png",
    "Short Text describing the dataset. This text will be shown with title when discovering "
    "Collections.": "Changes of the land cover, seen from space.",
    "Text describing the dataset. This text will be shown in the Overview section of hda "
    "catalogue and can be a paragraph of text.": "Changes of the land cover over four days.",
}


def filled_in(folder: Path) -> Path:
    copy = Path(shutil.copytree(EXAMPLE, folder / EXAMPLE.name, copy_function=shutil.copyfile))
    for file in copy.glob("metadata/**/*.json"):
        text = file.read_text()
        for placeholder, value in FILLED.items():
            text = text.replace(placeholder, value)
        file.write_text(text)
    return copy


def test_is_refused_for_its_placeholders_and_not_for_its_id(tmp_path: Path) -> None:
    report = tmp_path / "findings.json"

    assert main(["validate", str(EXAMPLE), "--json", str(report)]) == FAILED

    findings = json.loads(report.read_text())["findings"]
    assert {f["rule"] for f in findings if f["severity"] == "error"} == {"C09"}
    added = {f["rule"] for f in findings if "we add it" in f["message"]}
    assert added == {"C05", "C07"}
    assert [f for f in findings if f["pointer"] == "/id"] == []


def test_goes_to_a_verified_entry_once_its_placeholders_are_filled_in(lake: Workbook) -> None:
    dataset = filled_in(lake.root)
    name = lake.write_ticket(dataset=str(dataset), collection="EO.XXX.YYY.ZZZ", approve="any")

    assert main(["run", name]) == DONE

    assert lake.collections() == ["EO.XXX.YYY.ZZZ"]
