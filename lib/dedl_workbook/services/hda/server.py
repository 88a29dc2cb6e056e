"""A program that serves HDA, or the guard in front of it, on loopback, for a trial.

It runs by an interpreter that has HDA's software, where the workbook isn't installed. Its argument
says what: {"guard": {...}}, or {} for HDA itself. It prints its port, and ends with its starter:
when its standard input does.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

NO_EODAG = 3
HOST = "127.0.0.1"


def main() -> int:
    """Serve until standard input ends; return 3 if HDA's software isn't there."""
    threading.Thread(target=_end_with_starter, daemon=True).start()
    request = json.loads(sys.argv[1])
    try:
        uvicorn = importlib.import_module("uvicorn")
        listening = socket.socket()
        listening.bind((HOST, 0))
        port = listening.getsockname()[1]
        app = _app(request, port)
    except ModuleNotFoundError:
        return NO_EODAG
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    # No access log: a query can hold what is nobody's business.
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off" if "guard" in request else "auto",
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listening])
    return 0


def _app(request: dict[str, Any], port: int) -> Any:
    if "guard" not in request:
        return importlib.import_module("stac_fastapi.eodag.app").app
    guard = _beside("guard")
    of = request["guard"]
    locks = guard.Locks(Path(of["collections"]), of["scopes_key"])
    tokens = guard.Tokens(of["issuer"], of["audience"])
    return guard.Guard(of["hda"], f"http://{HOST}:{port}", tuple(of["hide"]), locks, tokens)


def _beside(name: str) -> Any:
    """Import the module in the file beside this one: the path holds HDA's software alone."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _end_with_starter() -> None:
    # Not by way of sys.stdin, whose lock this thread would hold when the interpreter ends.
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
