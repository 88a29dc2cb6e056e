"""Puts STAC's own schemas into the wheel, so that a submitter validates without any network.

They are in no git: each comes from a package whose hash is locked, and must have the digest that
the schemas' lock names. An editable installation has a store of its own, which set-up fills.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
CORE = ("https://schemas.stacspec.org/", "https://geojson.org/")
IN_THE_WHEEL = "dedl_workbook/rules/schemas/bundled"


class CoreSchemas(BuildHookInterface):  # type: ignore[type-arg]
    """The build hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the core schemas to what goes into the wheel.

        Raises:
            RuntimeError: one can't be had.
        """
        if version == "editable":
            return
        sys.path.insert(0, str(ROOT / "lib"))
        from dedl_workbook.rules.schemas import sources, store

        core = {url: digest for url, digest in store.lock().items() if url.startswith(CORE)}
        # The builder reads it after this returns.
        self.folder = tempfile.TemporaryDirectory(prefix="dedl-schemas-")
        report = sources.fill(Path(self.folder.name), core, "packages", None)
        missing = [url for url in report.absent if "LineString" not in url]
        if missing:
            raise RuntimeError(f"no schema {missing[0]}: {'; '.join(report.problems)}")
        for url in report.written:
            path = store.path_of(url)
            build_data["force_include"][f"{self.folder.name}/{path}"] = f"{IN_THE_WHEEL}/{path}"
