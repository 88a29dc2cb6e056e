"""The embedded data lake: real servers on loopback ports, which the workbook starts and stops."""

from dedl_workbook.sandbox.client import Sandbox, ServiceStatus, Status, down, status, up
from dedl_workbook.sandbox.environments import ensure_environments
from dedl_workbook.sandbox.helpdesk import file
from dedl_workbook.sandbox.oidc import grant, revoke

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
