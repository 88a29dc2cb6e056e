"""Puts STAC's own schemas into the wheel, so that a submitter validates without any network.

They are in no git: each comes from a package whose hash is locked, and must have the digest that
the schemas' lock names. An editable installation has a store of its own, which set-up fills.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
CORE = ("https://schemas.stacspec.org/", "https://geojson.org/")
IN_THE_WHEEL = "dedl_workbook/rules/schemas/bundled"
NOTEBOOKS = "dedl_workbook/notebooks"


def _module(path: str) -> Any:
    """Load a module without its package, which needs more than a build has."""
    spec = importlib.util.spec_from_file_location("module", ROOT / "lib" / "dedl_workbook" / path)
    assert spec is not None  # noqa: S101 (the file is here)
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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

        folder = _module("notebooks/folder.py")

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
        # `dedl-workbook init` writes them where there is no clone.
        for pattern in folder.PATTERNS:
            for file in sorted(ROOT.glob(pattern)):
                name = file.relative_to(ROOT).as_posix()
                build_data["force_include"][str(file)] = f"{NOTEBOOKS}/{folder.PACKAGED}/{name}"
