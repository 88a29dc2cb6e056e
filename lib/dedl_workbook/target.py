"""Target: where a dataset goes. Its secrets come from the environment only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from dedl_workbook.errors import InputError
from dedl_workbook.fields import BucketName, RuleId, Url
from dedl_workbook.reading import explain, is_file, nearest, read_yaml, workbook_root

RuleSetting = Literal["off", "info", "warning", "error"]
# Asymmetric ones only: with a public key as its secret, HS256 would let anybody sign.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
_SECRET_KEYS = ("access_key", "secret_key", "password", "client_secret", "token")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class S3(_Part):
    """An S3 endpoint and who we are there."""

    endpoint: Url
    region: str = "us-east-1"
    access_key: SecretStr
    secret_key: SecretStr
    ca_bundle: Path | None = None
    """A PEM file of the certificate authorities to trust, for an endpoint with its own."""


class Pool(S3):
    """The internal Fresh Data Pool: the bucket that published data lies in."""

    bucket: BucketName


class Catalog(_Part):
    """The PgSTAC database, and the user that loads into it."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    database: str
    user: str
    password: SecretStr
    sslmode: str = "prefer"


class StacApi(_Part):
    """The STAC API that serves the PgSTAC database."""

    url: Url


class Login(_Part):
    """A user who logs in as people do, at the portal; the token is exchanged for a data lake's."""

    issuer: Url = "https://auth.destine.eu/realms/desp"
    """The portal's realm."""
    client_id: str = "dedl-hda"
    redirect_uri: Url = "https://hda.data.destination-earth.eu/stac"
    """What the portal knows of that client. It is never opened."""
    broker: str = "desp-oidc"
    """What the data lake's realm calls the portal's."""
    user: str
    password: SecretStr


class ServiceAccount(_Part):
    """A client with an account of its own in the data lake's realm."""

    client_id: str
    client_secret: SecretStr


class Iam(_Part):
    """The IAM service: who issues tokens, how we get one, and how roles are asked for."""

    issuer: Url
    """The data lake's realm, exactly as in the tokens' claim `iss`."""
    audience: str = "hda-public"
    """What must be in the claim `aud`."""
    client_id: str = "hda-public"
    """The client for which a portal's token is exchanged."""
    algorithms: list[Algorithm] = ["RS256"]
    """How tokens may be signed."""
    identity: Literal["login", "service_account", "environment"] = "login"
    """Whose token shows that the roles were granted."""
    login: Login | None = None
    service_account: ServiceAccount | None = None
    token: SecretStr | None = None
    """An access token, for `identity: environment`."""
    outsider: Login | None = None
    """A user without any role: who must not see restricted data."""
    request_via: Literal["helpdesk", "outbox"] = "outbox"
    """How the IAM service is asked for roles."""
    contact: str = ""
    """Whom the IAM service shall answer."""
    answer_days: Annotated[int, Field(ge=1)] = 5
    """By when roles are asked for: days after the request."""
    timeout: Annotated[float, Field(gt=0)] = 20
    """Seconds after which an IAM service that says nothing counts as down."""

    @model_validator(mode="after")
    def _has_what_tokens_come_from(self) -> Iam:
        if self.identity != "environment" and getattr(self, self.identity) is None:
            raise ValueError(
                f"identity is {self.identity!r}, but there is no {self.identity}: add it, "
                "or get tokens from elsewhere (login, service_account, environment)"
            )
        return self

    @property
    def account(self) -> str:
        """Whose token it is, in words."""
        if self.identity == "login" and self.login:
            return self.login.user
        if self.identity == "service_account" and self.service_account:
            return f"service-account-{self.service_account.client_id}"
        return "the user of the given token"


class Hda(_Part):
    """HDA: where users find it, and the configuration that makes it serve a collection."""

    url: Url
    """As users have it, with its guard."""
    internal_url: Url | None = None
    """Behind the guard, if we may go there: restricted entries are read back from it."""
    dialect: Literal["eodag3", "eodag4"] = "eodag4"
    """Whose configuration it is: that of eodag 3 (product_types.yml) or of eodag 4."""
    folder: Path
    """The configuration's folder; a relative one starts at the workbook's root."""
    collections_file: str = "collections.yml"
    """In that folder: one entry a collection."""
    providers_folder: str = "providers"
    """In that folder: what can be loaded along with the collections file."""
    provider_file: str = "providers/dedl_usergenerated.yml"
    """In that folder: the file of the provider that serves user-generated data."""
    provider: str = "dedl_usergenerated"
    """The name of that provider, which is also in HDA's download links."""
    documents_folder: str = "collections"
    """In that folder: the full STAC Collection of each entry, as JSON."""
    served_folder: Path | None = None
    """The configuration's folder as HDA's server sees it; default: as we do."""
    scopes_key: str = "scopes"
    """Under which an entry lists the roles that open it."""
    scopes_shape: Literal["list", "comma", "space"] = "list"
    """How it lists them: as a YAML list, or as a text in which commas or spaces part them."""
    python: Path | None = None
    """An interpreter with the server's eodag, which loads a change before it is let in."""
    check: list[str] = []
    """Instead of that: a command that is given a folder with the changed configuration, and ends
    with 0 if HDA can load it."""
    reload: list[str] = []
    """The command that lets HDA read its files again, as a list of arguments; empty where others
    roll the configuration out."""
    reload_timeout: Annotated[float, Field(gt=0)] = 120
    """Seconds that the command may take."""
    served_timeout: Annotated[float, Field(gt=0)] = 120
    """Seconds until HDA must serve what was changed."""
    anonymous_downloads: bool = True
    """Whether public data is to be had without a token."""
    lists_restricted: bool = False
    """Whether restricted collections are listed to everybody."""

    @model_validator(mode="before")
    @classmethod
    def _names_of_eodag3(cls, values: Any) -> Any:
        """Let the files have the names that eodag 3 gives them, unless the target names them."""
        if isinstance(values, dict) and values.get("dialect") == "eodag3":
            names = {"collections_file": "product_types.yml", "provider_file": "providers.yml"}
            return names | values
        return values


class HelpDesk(_Part):
    """The help desk: how the user is told in the ticket."""

    kind: Literal["outbox", "roundup", "smtp"] = "outbox"
    """The product; outbox: a folder of texts and attachments that a person sends on."""
    url: Url | None = None
    """For roundup: the tracker's address."""
    user: str = ""
    password: SecretStr = SecretStr("")
    host: str = ""
    """For smtp: the mail server."""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    """For smtp: `none` sends mail in the clear, and never a password."""
    sender: str = ""
    """For smtp: our address."""
    recipient: str = ""
    """For smtp: the desk's address, which files mails by the ticket's id in their subject."""
    ca_bundle: Path | None = None
    """A PEM file of the certificate authorities to trust, for a server with its own."""
    timeout: Annotated[float, Field(gt=0)] = 60
    """Seconds that the server may be silent."""
    attachment_limit: Annotated[int, Field(ge=0)] = 10_000_000
    """Bytes that one attachment may have; a larger file stays in the archive."""

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> HelpDesk:
        needed = {"roundup": ("url", "user"), "smtp": ("host", "sender", "recipient")}
        missing = [name for name in needed.get(self.kind, ()) if not getattr(self, name)]
        if missing:
            raise ValueError(f"kind is {self.kind!r}, which needs {' and '.join(missing)} as well")
        if self.kind == "smtp" and self.security == "none" and self.password.get_secret_value():
            raise ValueError(
                "security is 'none', which would send the password in the clear: "
                "use starttls or tls, or no password"
            )
        return self


class Target(BaseSettings):
    """The services of one data lake: a file in parameters/targets, secrets from the environment.

    A value of the YAML file is overruled by one in the target's `settings_file`, that by one in
    the workbook's `.env`, that by the environment. The variable of `s3.secret_key` of the target
    `production` is `DEDL_PRODUCTION__S3__SECRET_KEY`.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    name: str
    description: str = ""
    settings_file: Path | None = None
    """A file of further settings in dotenv form, such as the one that the sandbox writes."""
    s3: Pool
    proposals: S3 | None = None
    """Where submitters deliver, if that is another endpoint than the pool's."""
    catalog: Catalog
    stac_api: StacApi
    iam: Iam | None = None
    """None: only public datasets can be published."""
    hda: Hda | None = None
    """None: nothing is done for HDA, and users are taken to read the STAC API."""
    helpdesk: HelpDesk = HelpDesk()
    """How the user is told; default: an outbox in the case's folder."""
    archive: Path
    """The folder that the cases, with their evidence, are kept in."""
    allow_any_approval: bool = False
    """Whether a ticket may say `approve: any`. Never for a real data lake."""
    rules: dict[RuleId, RuleSetting] = {}
    """Severities that differ from the rulebook's, and rules that are off."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from what `load` hands over alone, which has merged every source."""
        return (init_settings,)

    @classmethod
    def load(cls, name: str, root: Path | None = None) -> Target:
        """Load the target of that name.

        Raises:
            InputError: no such target, a wrong or missing value, or a secret in the YAML file.
        """
        root = root or workbook_root()
        path = _target_file(name, root)
        merged, settings_file = cls._values(name, root, path)
        if merged["name"] != name:
            raise InputError(f"name: must be {name!r}, as the file is called", where=str(path))
        try:
            target = cls(**merged)
        except ValidationError as error:
            raise explain(
                error, cls, str(path), missing=lambda at: _missing(at, name, settings_file)
            ) from None
        update: dict[str, Any] = {"settings_file": settings_file}
        update["archive"] = _absolute(root, target.archive)
        if target.hda is not None:
            folder = _absolute(root, target.hda.folder)
            update["hda"] = target.hda.model_copy(update={"folder": folder})
        return target.model_copy(update=update)

    @classmethod
    def archive_of(cls, name: str, root: Path) -> Path:
        """Return a target's archive without asking for its secrets.

        Raises:
            InputError: no such target, or it names no archive.
        """
        path = _target_file(name, root)
        archive = cls._values(name, root, path)[0].get("archive")
        if not archive or not isinstance(archive, str):
            raise InputError("archive: is missing: name a folder there.", where=str(path))
        return root / archive

    @classmethod
    def _values(cls, name: str, root: Path, path: Path) -> tuple[dict[str, Any], Path | None]:
        """Return the values from every source, and the target's file of further settings."""
        written = read_yaml(path)
        _refuse_secrets(written, path, name)
        settings_file = _absolute(root, written.get("settings_file"))
        variables = _variables(root, settings_file)
        merged = _merge({"name": name, **written}, _from_variables(cls, name, variables))
        return merged, settings_file

    def identity(self) -> dict[str, str | int]:
        """Return what a plan is bound to: which bucket and which database, nothing secret."""
        return {
            "name": self.name,
            "s3": f"{self.s3.endpoint}/{self.s3.bucket}",
            "catalog": f"{self.catalog.host}:{self.catalog.port}/{self.catalog.database}",
            **({"hda": self.hda.url} if self.hda else {}),
        }

    def secrets(self) -> list[str]:
        """Return the value of every secret, for redaction. Never print it."""
        return sorted({secret.get_secret_value() for secret in _secrets(self)} - {""})


def _target_file(name: str, root: Path) -> Path:
    folder = root / "parameters" / "targets"
    path = folder / f"{name}.yaml"
    if not is_file(path):
        known = sorted(f.stem for f in folder.glob("*.yaml") if not f.stem.endswith(".example"))
        hint = nearest(name, known) or f"Known targets: {', '.join(known) or 'none'}."
        raise InputError("there is no such target file", where=str(path), remedy=hint)
    return path


def _absolute(root: Path, path: object) -> Path | None:
    return root / str(path) if path else None


def _variables(root: Path, settings_file: Path | None) -> dict[str, str]:
    files = [file for file in (settings_file, root / ".env") if file and file.is_file()]
    merged: dict[str, str] = {}
    for file in files:
        merged |= {key: value for key, value in dotenv_values(file).items() if value is not None}
    return merged | dict(os.environ)


def prefix(name: str) -> str:
    """Return what the environment variables of a target start with."""
    return f"DEDL_{name.upper().replace('-', '_')}__"


def _from_variables(cls: type[Target], name: str, variables: Mapping[str, str]) -> dict[str, Any]:
    source = EnvSettingsSource(
        cls, env_prefix=prefix(name), env_nested_delimiter="__", case_sensitive=False
    )
    source.env_vars = {key.lower(): value for key, value in variables.items()}
    return source()


def _merge(low: dict[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(low)
    for key, value in high.items():
        below = result.get(key)
        both = isinstance(below, dict) and isinstance(value, Mapping)
        result[key] = _merge(below, value) if both else value  # type: ignore[arg-type]
    return result


def _refuse_secrets(
    written: Mapping[str, Any], path: Path, name: str, above: tuple[str, ...] = ()
) -> None:
    for key, value in written.items():
        here = (*above, str(key))
        if above and key in _SECRET_KEYS:
            raise InputError(
                f"{'.'.join(here)}: a secret does not belong in this file",
                where=str(path),
                remedy=f"Take it out (and change it, if it was ever shared); set "
                f"{_variable(here, name)} in the environment or in .env.",
            )
        if isinstance(value, Mapping):
            _refuse_secrets(value, path, name, here)


def _variable(location: tuple[str | int, ...], name: str) -> str:
    return prefix(name) + "__".join(str(part).upper() for part in location)


def _missing(location: tuple[str | int, ...], name: str, settings_file: Path | None) -> str:
    text = f"is missing: set {_variable(location, name)} in the environment or in .env."
    if settings_file and not settings_file.is_file():
        text += f" (There is no {settings_file} either; `dedl-workbook sandbox up` writes "
        text += "the sandbox's.)"
    return text


def _secrets(model: BaseModel) -> Iterator[SecretStr]:
    for _, value in model:
        if isinstance(value, SecretStr):
            yield value
        elif isinstance(value, BaseModel):
            yield from _secrets(value)
