"""Filing a ticket in the sandbox's help desk, as its submitter would."""

from __future__ import annotations

import uuid
from pathlib import Path

import dedl_sandbox as sandbox
import pytest
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.services.helpdesk.roundup import Roundup, Settings


def test_a_ticket_is_filed_once_and_the_workbook_finds_it(data_lake: sandbox.Sandbox) -> None:
    prefix = "DEDL_SANDBOX__HELPDESK__"
    told = data_lake.connections
    values = {name: told[prefix + name.upper()] for name in ("url", "user", "password")}
    desk = Roundup(Settings.model_validate(values), "sandbox")
    ticket = f"DEDL-{uuid.uuid4().hex[:8]}"
    with pytest.raises(InputError, match="no tickets") as missing:
        desk.find(ticket)

    filed = [sandbox.file(data_lake.folder, ticket) for _ in range(2)]

    assert f"dedl-workbook sandbox file {ticket}" in missing.value.remedy
    assert filed == [True, False]
    assert desk.find(ticket).startswith(f"{values['url']}/issue")


def test_says_that_there_is_no_sandbox_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="the sandbox isn't up"):
        sandbox.file(tmp_path / ".sandbox", "DEDL-1")

    assert [*tmp_path.iterdir()] == []
