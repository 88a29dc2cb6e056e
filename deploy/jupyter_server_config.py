"""For single-user servers: saved notebooks hold no secrets and are put into their case."""

c = get_config()  # noqa: F821

c.ServerApp.jpserver_extensions = {"dedl_workbook.notebooks.jupyter.saving": True}
c.ServerApp.contents_manager_class = "dedl_workbook.notebooks.jupyter.contents.Contents"
c.LabApp.default_url = "/lab/tree/notebooks/00-console.ipynb"
