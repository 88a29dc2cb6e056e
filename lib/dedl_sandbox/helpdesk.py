"""The help desk of the sandbox: a Roundup tracker with an open ticket for each demo ticket."""

from __future__ import annotations

import base64
import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from dedl_workbook.base.errors import ServiceError

from dedl_sandbox import environments, processes, state
from dedl_sandbox.state import SandboxState

OPERATOR = "workbook"
"""As whom the workbook replies."""
SUBMITTER = "submitter"
"""Who filed the tickets."""
_ROLES = {OPERATOR: "operator", SUBMITTER: "submitter"}
TICKETS = {
    "DEMO-1": "Please promote our dataset EO.DEDL.DAT.DEMO_HEAT: it is for everybody.",
    "DEMO-2": "Please promote our dataset for those who hold its role.",
}
"""The open tickets: title and first message."""


def url(lake: SandboxState) -> str:
    """Return where the tracker is."""
    return f"http://{processes.LOOPBACK}:{lake.ports['helpdesk']}"


def folder(lake: SandboxState) -> Path:
    """Return where its state is."""
    return lake.folder / "helpdesk"


def argv(lake: SandboxState) -> list[str]:
    """Return the command that makes the tracker, if it isn't there, and serves it."""
    script = Path(__file__).with_name("helpdesk_tracker.py")
    return [str(environments.python_of("desk")), "-P", str(script)]


def environment(lake: SandboxState) -> dict[str, str]:
    """Return its settings: where it is served, and who there is."""
    settings = {
        "home": str(folder(lake) / "tracker"),
        "url": url(lake),
        "port": lake.ports["helpdesk"],
        "admin": lake.secrets["helpdesk_admin_password"],
        "users": {
            OPERATOR: lake.secrets["helpdesk_operator_password"],
            SUBMITTER: lake.secrets["helpdesk_submitter_password"],
        },
        "submitter": SUBMITTER,
        "tickets": TICKETS,
    }
    return {"HELPDESK_SETTINGS": json.dumps(settings)}


def connections(lake: SandboxState) -> dict[str, str]:
    """Return what the workbook needs to reply."""
    prefix = "DEDL_SANDBOX__HELPDESK__"
    return {
        f"{prefix}URL": url(lake),
        f"{prefix}USER": OPERATOR,
        f"{prefix}PASSWORD": lake.secrets["helpdesk_operator_password"],
    }


def probe(lake: SandboxState) -> str:
    """Return why it isn't well, or the empty string."""
    try:
        filed = _filed(lake, OPERATOR, "DEMO-1")
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        return str(error) or type(error).__name__
    return "" if filed else "the ticket DEMO-1 isn't there"


def file(folder: Path, ticket: str) -> bool:
    """File a ticket, as its submitter would; return False if it is there already.

    Args:
        folder: the sandbox's.
        ticket: its id, which becomes the title of its issue.

    Raises:
        ServiceError: the server is down.
    """
    remedy = "Type: dedl-workbook sandbox up"
    if not (folder / state.PORTS).exists():
        raise ServiceError("the sandbox isn't up", where=str(folder), remedy=remedy)
    lake = state.read_lake(folder.resolve())
    try:
        if _filed(lake, SUBMITTER, ticket):
            return False
        _call(lake, SUBMITTER, "POST", "/rest/data/issue", {"title": ticket})
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        what = f"the sandbox's help desk doesn't answer: {error}"
        raise ServiceError(what, where=str(lake.log("helpdesk")), remedy=remedy) from error
    return True


def _filed(lake: SandboxState, user: str, ticket: str) -> bool:
    # With `:`, a title must be that very text.
    query = urlencode({"title:": ticket})
    answer = _call(lake, user, "GET", f"/rest/data/issue?{query}")
    return bool(answer["data"]["collection"])


def _call(lake: SandboxState, user: str, method: str, path: str, body: object = None) -> Any:
    # http.client and not a bigger one: it knows no proxies, and reads no settings of the user.
    connection = http.client.HTTPConnection(processes.LOOPBACK, lake.ports["helpdesk"], timeout=5)
    login = f"{user}:{lake.secrets[f'helpdesk_{_ROLES[user]}_password']}".encode()
    headers = {
        "Authorization": f"Basic {base64.b64encode(login).decode()}",
        "Accept": "application/json",
        "Content-Type": "application/json",
        # Its defence against forged requests asks for these.
        "X-Requested-With": "dedl-workbook",
        "Origin": url(lake),
        "Referer": f"{url(lake)}/",
    }
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status >= 300:
        raise ValueError(f"{method} {path} answers {answer.status}")
    return json.loads(text)
