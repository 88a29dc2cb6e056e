"""Names: which characters in a file's name every station takes, by a round trip on real servers.

Of each character a file goes into the pool, its item into the catalogue; HDA serves it, and a
client fetches it by its own link and by the one for all. Rule L08 follows from what comes back.
"""

from __future__ import annotations

import io
import string
import unicodedata
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.publication import addresses
from dedl_workbook.rules.layout import LAST_OF_LATIN_1, NOT_TAKEN
from dedl_workbook.steps import catalog, hda, upload

from tests.integration.hda_lake import HdaLake, an_id, own_configuration
from tests.integration.lake import a_collection, an_item, write_dataset

ASCII = [chr(code) for code in range(0x20, 0x7F) if chr(code) != "/"]
OTHERS = [
    *("é", unicodedata.normalize("NFD", "é"), "ß", "Ω", "ﬁ", "日", "한", "ع", "\U0001d4b3"),
    *("\N{SATELLITE}", "\N{NO-BREAK SPACE}", "\N{ZERO WIDTH SPACE}", "\N{RIGHT-TO-LEFT OVERRIDE}"),
]
CHARACTERS = [*ASCII, *OTHERS]


@pytest.fixture
def lake(data_lake: Sandbox, tmp_path: Path) -> Iterator[HdaLake]:
    with own_configuration(data_lake, tmp_path) as lent:
        yield lent


def item_of(number: int, character: str, *, beside: bool) -> dict[str, Any]:
    """An item with a file whose name has the character in its midst, alone or beside another."""
    item = an_item(number)
    folder = item["assets"]["data"]["href"].rpartition("/")[0]
    name = f"a{character}b.txt"
    assets = {"data": {"href": f"{folder}/{name}", "type": "text/plain"}}
    if beside:
        assets["more"] = {"href": f"{folder}/more.txt", "type": "text/plain"}
    return item | {"assets": assets}


def fetched(client: httpx.Client, item: dict[str, Any]) -> list[bytes]:
    """What a client gets by the asset's own link, and out of the zip."""
    contents = []
    for key, asset in item["assets"].items():
        answer = client.get(asset["href"])
        if answer.status_code != 200:
            contents.append(str(answer.status_code).encode())
        elif key == "downloadLink":
            try:
                with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                    contents += [archive.read(name) for name in archive.namelist()]
            except zipfile.BadZipFile:
                contents.append(answer.content)
        else:
            contents.append(answer.content)
    return contents


def test_the_rule_for_names_refuses_what_does_not_come_back_and_nothing_else(
    lake: HdaLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "refuse", lambda *_: None)
    id_ = an_id()
    cases = [*((char, False) for char in CHARACTERS), *((char, True) for char in OTHERS)]
    items = [
        item_of(number, character, beside=beside) | {"collection": id_}
        for number, (character, beside) in enumerate(cases)
    ]
    dataset = write_dataset(lake.folder / id_, items, a_collection(id=id_))
    ticket = f"T-{uuid.uuid4().hex[:8]}"
    job = lake.job(id_, ticket=ticket, dataset=dataset)
    job.folder.mkdir()
    upload.apply(upload.plan(job))
    catalog.apply(catalog.plan(job))
    hda.apply(hda.plan(job))

    lost: dict[bool, set[str]] = {False: set(), True: set()}
    with httpx.Client(follow_redirects=True, timeout=60) as client:
        for (character, beside), item in zip(cases, items, strict=True):
            address = f"{lake.sandbox.endpoints['guard']}/collections/{id_}/items/{item['id']}"
            answer = client.get(address)
            files = (dataset / asset["href"] for asset in item["assets"].values())
            delivered = sorted(file.read_bytes() for file in files)
            # Each by its own link, and by the one for all.
            if sorted(fetched(client, answer.json())) != sorted([*delivered, *delivered]):
                lost[beside].add(character)

    assert len(CHARACTERS) >= len(string.printable.strip()) + 12
    alone = {char for char in OTHERS if any(ord(part) > LAST_OF_LATIN_1 for part in char)}
    assert lost == {False: {*NOT_TAKEN, *alone}, True: set()}
