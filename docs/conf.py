"""Builds the documentation: `make docs`, with warnings as errors."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from dedl_workbook import __version__  # noqa: E402
from generated import write_all  # noqa: E402

project = "DEDL promotion workbook"
author = "The DEDL promotion workbook maintainers"
project_copyright = f"2026, {author}"
release = __version__

extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = project
html_show_sourcelink = False
# Pages are read on machines without a network, too.
html_theme_options = {"source_repository": ""}

write_all(HERE / "generated_pages")
