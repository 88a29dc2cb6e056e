"""Lets the sandbox's HDA read its files again: its server does that at its start only."""

from __future__ import annotations

import sys
from pathlib import Path

from dedl_workbook.base.errors import WorkbookError

from dedl_sandbox.client import Sandbox


def main() -> int:
    """Restart HDA of the sandbox whose folder is the argument; return 1 if it doesn't come up."""
    try:
        Sandbox(Path(sys.argv[1]), None).restart("hda")
    except WorkbookError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
