"""For the hub: each server starts in the workbook's folder."""

import os

c = get_config()  # noqa: F821

c.Spawner.notebook_dir = "/srv/dedl/workbook"
c.Spawner.environment = {
    "DEDL_WORKBOOK_ROOT": "/srv/dedl/workbook",
    **{name: value for name, value in os.environ.items() if name.startswith("DEDL_PRODUCTION__")},
}
