"""The embedded data lake: real servers on loopback ports, which the workbook starts and stops."""

from dedl_workbook.sandbox.client import Sandbox, ServiceStatus, Status, down, status, up
from dedl_workbook.sandbox.environments import ensure_environments

__all__ = ["Sandbox", "ServiceStatus", "Status", "down", "ensure_environments", "status", "up"]
