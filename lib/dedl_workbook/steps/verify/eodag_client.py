"""Finds and downloads items with eodag and its bundled provider `dedl`, as users do.

It runs as a program of its own, by an interpreter that has eodag, where the workbook isn't
installed. On stdin: {"url", "collection", "items", "token", "folder"}; on stdout: what came of it.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

PROVIDER = "dedl"
PAGE = 20
"""Items a page, as eodag has it by default."""
THREADS = 4


def main() -> int:
    """Search and download; return 3 if there is no eodag."""
    # It makes much that it keeps: looking for garbage takes a fifth of its time.
    gc.disable()
    try:
        eodag = importlib.import_module("eodag")
    except ModuleNotFoundError:
        return 3
    dag = eodag.EODataAccessGateway()
    question = json.load(sys.stdin)
    _sign(question)
    dag.update_providers_config(dict_conf={PROVIDER: _provider(question)})
    asked = {"collection": question["collection"], "provider": PROVIDER, "raise_errors": True}
    first = dag.search(**asked, limit=PAGE, count=True)
    # What one page holds isn't paged through.
    paged = first
    if len(first) == PAGE:
        paged = dag.search_all(collection=question["collection"], provider=PROVIDER, limit=PAGE)
    with ThreadPoolExecutor(THREADS) as executor:
        items = list(executor.map(partial(_item, dag, asked, question), question["items"]))
    result = {
        "version": eodag.__version__,
        "matched": first.number_matched,
        "page": PAGE,
        "first": len(first),
        "paged": len(paged),
        "items": items,
    }
    sys.stdout.write(json.dumps(result))
    return 0


def _provider(question: dict[str, Any]) -> dict[str, Any]:
    """Let the bundled provider ask the target's HDA."""
    search = {
        "api_endpoint": f"{question['url']}/search",
        "need_auth": False,
        "discover_collections": {"fetch_url": f"{question['url']}/collections"},
    }
    return {"url": question["url"], "search": search}


def _sign(question: dict[str, Any]) -> None:
    """Send the token that was got already, to HDA alone: logging in isn't what is tried here."""
    sessions = importlib.import_module("requests.sessions")
    prepare = sessions.Session.prepare_request

    def signed(session: Any, request: Any) -> Any:
        prepared = prepare(session, request)
        if question["token"] and prepared.url.startswith(f"{question['url']}/"):
            prepared.headers["Authorization"] = f"Bearer {question['token']}"
        return prepared

    sessions.Session.prepare_request = signed


def _item(dag: Any, asked: dict[str, Any], question: dict[str, Any], id_: str) -> dict[str, Any]:
    """Find one item by its id, and download it as a whole."""
    place = Path(question["folder"]) / hashlib.sha256(id_.encode()).hexdigest()[:16]
    try:
        results = dag.search(**asked, id=id_)
        if [one.properties["id"] for one in results] != [id_]:
            return {"id": id_, "found": len(results), "fault": "", "files": []}
        path = Path(dag.download(results[0], output_dir=str(place), extract=True))
    except Exception as error:  # noqa: BLE001 (whatever eodag raises is what users see)
        line = (str(error) or type(error).__name__).splitlines()[0]
        return {
            "id": id_,
            "found": 1,
            "fault": f"{type(error).__name__}: {line}"[:300],
            "files": [],
        }
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    digests = [_digest(file) for file in sorted(files)]
    shutil.rmtree(place, ignore_errors=True)
    return {"id": id_, "found": 1, "fault": "", "files": digests}


def _digest(file: Path) -> tuple[int, str]:
    sha256 = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(2**20):
            sha256.update(block)
    return file.stat().st_size, sha256.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
