"""Realms: who may log in, with what, who holds which role; and the file that it is stored in."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joserfc.jwk import RSAKey  # type: ignore[import-not-found,unused-ignore]


class RefusedError(Exception):
    """What OAuth 2.0 calls an error response."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status, self.error, self.description = status, error, description


class AdminError(Exception):
    """An error as the admin API words it."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status, self.what = status, what


@dataclass
class Realm:
    """A realm."""

    name: str
    issuer: str
    audience: str
    """Whom its access tokens are for."""
    users: Mapping[str, str]
    """Passwords by user name."""
    clients: Mapping[str, Mapping[str, Any]]
    """By client id: `secret` of a confidential one, `redirect`, `audience`, `manages`."""
    brokers: Mapping[str, str]
    """The realms whose tokens it exchanges, by their alias here."""
    key: Any
    roles: dict[str, str]
    """Ids by name."""
    granted: dict[str, list[str]]
    """Roles by user name."""
    codes: dict[str, tuple[float, str, str, str]] = field(default_factory=dict)
    """By authorization code: until when, and for which user, client and redirect."""

    def id_of(self, kind: str, name: str) -> str:
        """Return the id of a user or client, which is the same for ever."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.name}/{kind}/{name}"))

    def accounts(self) -> list[str]:
        """Return the names of all users, those of service accounts among them."""
        services = [service_account(id_) for id_, c in self.clients.items() if "secret" in c]
        return [*self.users, *services]


def service_account(client: str) -> str:
    """Return the name of a client's own user."""
    return f"service-account-{client}"


class Realms(dict[str, Realm]):
    """All realms by name, and the one file that their state is stored in."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.file = Path(settings["state"])
        stored = json.loads(self.file.read_bytes()) if self.file.exists() else {}
        for name, given in settings["realms"].items():
            before = stored.get(name) or {}
            key = before.get("key")
            self[name] = Realm(
                name,
                f"{settings['url']}/realms/{name}",
                **given,
                key=RSAKey.import_key(key) if key else RSAKey.generate_key(2048, auto_kid=True),
                roles=before.get("roles", {}),
                granted=before.get("granted", {}),
            )
        for role in settings["roles"]:
            self.make_role(self["dedl"], role)
        self.keep()

    def make_role(self, realm: Realm, role: str) -> None:
        """Make a role, if there is none of this name."""
        realm.roles.setdefault(role, str(uuid.uuid4()))
        self.keep()

    def keep(self) -> None:
        """Write the state, whole or not at all, for its owner only."""
        state = {
            name: {
                "key": realm.key.as_dict(private=True),
                "roles": realm.roles,
                "granted": realm.granted,
            }
            for name, realm in self.items()
        }
        draft = self.file.with_name(f".{self.file.name}")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(state, file, indent=1)
        draft.replace(self.file)
