"""How a notebook runs, and what notebooks import: `begin`, `views` and `explore`."""

from dedl_workbook.notebooks.attempt import begin
from dedl_workbook.views import tables as views

__all__ = ["begin", "views"]
