"""For single-user servers: saved notebooks are free of secrets, and part of their case."""

c = get_config()  # noqa: F821

c.ServerApp.jpserver_extensions = {"dedl_workbook.notebooks.jupyter.saving": True}
c.LabApp.default_url = "/lab/tree/notebooks/00-console.ipynb"
