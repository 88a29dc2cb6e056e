"""The help desk of the sandbox: a Roundup tracker with an open ticket for each demo ticket."""

from __future__ import annotations

import base64
import http.client
import json
from pathlib import Path

from dedl_workbook.sandbox import environments, processes
from dedl_workbook.sandbox.state import Lake

OPERATOR = "workbook"
"""As whom the workbook replies."""
SUBMITTER = "submitter"
"""Who filed the tickets."""
TICKETS = {
    "DEMO-1": "Please promote our dataset EO.DEDL.DAT.DEMO_HEAT: it is for everybody.",
    "DEMO-2": "Please promote our dataset for those who hold its role.",
}
"""The open tickets: title and first message."""


def url(lake: Lake) -> str:
    """Return where the tracker is."""
    return f"http://{processes.LOOPBACK}:{lake.ports['helpdesk']}"


def folder(lake: Lake) -> Path:
    """Return where its state is."""
    return lake.folder / "helpdesk"


def argv(lake: Lake) -> list[str]:
    """Return the command that makes the tracker, if it isn't there, and serves it."""
    script = Path(__file__).with_name("helpdesk_tracker.py")
    return [str(environments.python_of("desk")), "-P", str(script)]


def environment(lake: Lake) -> dict[str, str]:
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


def connections(lake: Lake) -> dict[str, str]:
    """Return what the workbook needs to reply."""
    prefix = "DEDL_SANDBOX__HELPDESK__"
    return {
        f"{prefix}URL": url(lake),
        f"{prefix}USER": OPERATOR,
        f"{prefix}PASSWORD": lake.secrets["helpdesk_operator_password"],
    }


def probe(lake: Lake) -> str:
    """Return why it isn't well, or the empty string."""
    # http.client and not a bigger one: it knows no proxies, and reads no settings of the user.
    connection = http.client.HTTPConnection(processes.LOOPBACK, lake.ports["helpdesk"], timeout=5)
    login = f"{OPERATOR}:{lake.secrets['helpdesk_operator_password']}".encode()
    headers = {
        "Authorization": f"Basic {base64.b64encode(login).decode()}",
        "Accept": "application/json",
    }
    try:
        connection.request("GET", "/rest/data/issue?title=DEMO-1", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            return f"the list of tickets answers {answer.status}"
        found = json.loads(body)["data"]["collection"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return "" if found else "the ticket DEMO-1 isn't there"
