"""A real JupyterLab, driven as its front end drives it: contents, sessions, kernels over HTTP."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import websocket
from requests.adapters import HTTPAdapter
from urllib3.util import Retry


@dataclass(frozen=True)
class Server:
    url: str
    token: str
    root: Path

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"token {self.token}"}
        return requests.request(
            method, f"{self.url}api/{path}", headers=headers, timeout=60, **more
        )

    def wait(self) -> None:
        """Wait until it answers: it prints its address a moment before it listens."""
        session = requests.Session()
        retries = Retry(total=40, backoff_factor=0.1, backoff_max=1)
        session.mount("http://", HTTPAdapter(max_retries=retries))
        session.get(f"{self.url}api", timeout=60).raise_for_status()

    def load(self, path: Path) -> dict[str, Any]:
        answer = self.ask("GET", f"contents/{path.relative_to(self.root)}")
        answer.raise_for_status()
        content: dict[str, Any] = answer.json()["content"]
        return content

    def save(self, path: Path, notebook: dict[str, Any]) -> requests.Response:
        model = {"type": "notebook", "format": "json", "content": notebook}
        return self.ask("PUT", f"contents/{path.relative_to(self.root)}", json=model)

    @contextmanager
    def kernel(self, path: Path) -> Iterator[Kernel]:
        """Open a notebook's session, as JupyterLab does when the notebook is opened."""
        session = self.ask(
            "POST",
            "sessions",
            json={
                "path": str(path.relative_to(self.root)),
                "name": path.name,
                "type": "notebook",
                "kernel": {"name": "python3"},
            },
        )
        session.raise_for_status()
        found = session.json()
        where = self.url.replace("http", "ws", 1)
        channel = websocket.create_connection(
            f"{where}api/kernels/{found['kernel']['id']}/channels?token={self.token}", timeout=120
        )
        try:
            yield Kernel(channel)
        finally:
            channel.close()
            self.ask("DELETE", f"sessions/{found['id']}")


@dataclass(frozen=True)
class Kernel:
    channel: Any

    def run(self, cell: dict[str, Any]) -> bool:
        """Run a cell, and put what comes of it into the cell; tell whether it went well."""
        sent = uuid.uuid4().hex
        header = {"msg_id": sent, "msg_type": "execute_request", "version": "5.3"}
        header |= {"session": sent, "username": "", "date": "2026-01-01T00:00:00Z"}
        content = {"code": "".join(cell["source"]), "silent": False, "store_history": True}
        content |= {"user_expressions": {}, "allow_stdin": False, "stop_on_error": True}
        message = {"header": header, "parent_header": {}, "content": content, "channel": "shell"}
        message["metadata"] = {"cellId": cell.get("id", "")}
        self.channel.send(json.dumps(message))
        cell["outputs"], replied, idle = [], None, False
        while replied is None or not idle:
            got = json.loads(self.channel.recv())
            if got["parent_header"].get("msg_id") != sent:
                continue
            kind, content = got["msg_type"], got["content"]
            if kind == "execute_reply":
                replied = content
            elif kind == "status":
                idle = content["execution_state"] == "idle"
            elif kind in ("display_data", "execute_result", "error", "stream"):
                content.pop("transient", None)
                cell["outputs"].append({"output_type": kind, **content})
        cell["execution_count"] = replied["execution_count"]
        return bool(replied["status"] == "ok")

    def run_all(self, notebook: dict[str, Any]) -> bool:
        """Run the cells from top to bottom, up to one that fails."""
        code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
        return all(self.run(cell) for cell in code)


@contextmanager
def lab(root: Path, **more: str) -> Iterator[Server]:
    """Start JupyterLab as `dedl-workbook lab` does, on a free port."""
    command = [sys.executable, "-m", "dedl_workbook.cli", "lab", "--no-browser", "--port", "0"]
    environment = {key: value for key, value in os.environ.items() if "DEDL_CASE" not in key}
    home = root.parent / "home"
    home.mkdir(exist_ok=True)
    # Nobody's own settings of Jupyter.
    environment |= {"DEDL_WORKBOOK_ROOT": str(root), "HOME": str(home), **more}
    process = subprocess.Popen(
        command, cwd=root, env=environment, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    assert process.stderr is not None
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"(http://127\.0\.0\.1:\d+/)lab\S*\?token=(\w+)", line):
                break
        else:
            raise AssertionError("".join(said))
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        server = Server(found[1], found[2], root)
        server.wait()
        yield server
        drain.terminate()
        drain.wait()
    finally:
        process.terminate()
        process.wait(30)
