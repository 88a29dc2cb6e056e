"""Makes and serves the Roundup tracker; runs in the environment of the help desk.

HELPDESK_SETTINGS, a JSON object in the environment, says where it is served, who there is with
which password, and which tickets were filed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import roundup  # type: ignore[import-not-found,unused-ignore]
import waitress  # type: ignore[import-not-found,import-untyped,unused-ignore]
from roundup import (  # type: ignore[import-not-found,unused-ignore]
    configuration,
    init,
    instance,
    password,
)
from roundup.cgi.wsgi_handler import (  # type: ignore[import-not-found,unused-ignore]
    RequestDispatcher,
)

LARGEST = 20_000_000
"""Bytes that a request may have: what is larger is refused, as a desk of production does."""
# Written last: a tracker without it was cut off while it was made.
_STAMP = "complete"


def main() -> None:
    """Make the tracker, if it isn't there or isn't whole, and serve it."""
    settings = json.loads(os.environ["HELPDESK_SETTINGS"])
    home, port = Path(settings["home"]), int(settings["port"])
    whole = (home / _STAMP).exists()
    if not whole:
        shutil.rmtree(home, ignore_errors=True)
        init.install(str(home), str(_template()), settings={"rdbms_backend": "sqlite"})
    _configure(home, settings["url"])
    if not whole:
        opened = instance.open(str(home))
        opened.init(password.Password(settings["admin"], config=opened.config), tx_Source="cli")
    _furnish(home, settings)
    (home / _STAMP).touch()
    print(f"serving {home} at {settings['url']}", flush=True)
    waitress.serve(
        _gated(RequestDispatcher(str(home))),
        host="127.0.0.1",
        port=port,
        threads=8,
        max_request_body_size=LARGEST,
    )


def _gated(app: Any) -> Any:
    """Return the application without requests for other hosts, or from pages of other origins."""
    file = Path(__file__).with_name("gate.py")
    spec = importlib.util.spec_from_file_location("gate", file)
    assert spec is not None  # noqa: S101 (the file is here)
    assert spec.loader is not None  # noqa: S101
    gate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gate)

    def handle(environ: dict[str, Any], start_response: Any) -> Any:
        reason = gate.problem(environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN"))
        if not reason:
            return app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [reason.encode()]

    return handle


def _template() -> Path:
    for place in (Path(sys.prefix), Path(roundup.__file__).parents[1]):
        if (found := place / "share" / "roundup" / "templates" / "classic").is_dir():
            return found
    raise FileNotFoundError("Roundup's template 'classic' isn't installed")


def _configure(home: Path, url: str) -> None:
    """Say where the tracker is served, which its defence against forged requests compares."""
    config = configuration.CoreConfig(settings={})
    config.load_ini(str(home))
    config["TRACKER_WEB"] = f"{url}/"
    config["TRACKER_NAME"] = "Help desk of the sandbox"
    config["MAIL_DOMAIN"] = "desk.invalid"
    config["MAIL_HOST"] = "localhost"
    # No mail leaves the sandbox: it is written into this file.
    config["MAIL_DEBUG"] = str(home / "mails.txt")
    # Each request checks a password. Ours are random and long: a slow hash adds nothing to them.
    config["PASSWORD_PBKDF2_DEFAULT_ROUNDS"] = 1000
    config.save(str(home / "config.ini"))
    # Its template lets anybody read the tickets, and register. What is left is the way to log in.
    schema = home / "schema.py"
    rights = r"(?m)^( *)db\.security\.addPermissionToRole\('Anonymous', (?!'Web Access').*"
    schema.write_text(re.sub(rights, r"\1pass", schema.read_text()))


def _furnish(home: Path, settings: dict[str, Any]) -> None:
    """Make the accounts and file the tickets that aren't there."""
    tracker = instance.open(str(home))
    db = tracker.open("admin")
    try:
        known = {db.user.get(one, "username") for one in db.user.list()}
        for name, secret in settings["users"].items():
            if name not in known:
                hashed = password.Password(secret, config=db.config)
                address = f"{name}@desk.invalid"
                db.user.create(username=name, password=hashed, address=address, roles="User")
        db.commit()
    finally:
        db.close()
    db = tracker.open(settings["submitter"])
    try:
        titles = {db.issue.get(one, "title") for one in db.issue.list()}
        for title, text in settings["tickets"].items():
            if title not in titles:
                asked = db.msg.create(content=text, author=db.getuid(), summary=text)
                db.issue.create(title=title, messages=[asked])
        db.commit()
    finally:
        db.close()


if __name__ == "__main__":
    main()
