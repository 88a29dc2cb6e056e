"""The embedded data lake: real servers on loopback ports, which the workbook starts and stops."""

from dedl_sandbox.client import Sandbox, ServiceStatus, Status, down, status, up
from dedl_sandbox.environments import ensure_environments
from dedl_sandbox.helpdesk import file
from dedl_sandbox.oidc import grant, revoke

__all__ = [
    "Sandbox",
    "ServiceStatus",
    "Status",
    "down",
    "ensure_environments",
    "file",
    "grant",
    "revoke",
    "status",
    "up",
]
