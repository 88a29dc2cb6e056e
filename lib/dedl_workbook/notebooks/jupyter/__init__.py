"""JupyterLab's side: starting it, saving without secrets, checkpoints."""
