"""Target: where a dataset goes. Its secrets come from the environment only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from dedl_workbook.base import trust
from dedl_workbook.base.errors import InputError
from dedl_workbook.base.text import nearest
from dedl_workbook.parameters.fields import ExecutorName, RuleId, StepName
from dedl_workbook.parameters.helpdesk import DEFAULT, AnyHelpDesk, HelpDesk, default, of_kind
from dedl_workbook.parameters.sections import (
    S3,
    Approvals,
    Catalog,
    Evidence,
    Hda,
    Iam,
    Login,
    Notices,
    Pool,
    ServiceAccount,
    StacApi,
)
from dedl_workbook.parameters.yaml_files import explain, is_file, read_yaml, workbook_root

__all__ = [
    "S3",
    "SECRET_KEYS",
    "Catalog",
    "Evidence",
    "Hda",
    "HelpDesk",
    "Iam",
    "Login",
    "Notices",
    "Pool",
    "ServiceAccount",
    "StacApi",
    "Target",
    "prefix",
    "variables",
]

RuleSetting = Literal["off", "info", "warning", "error"]
_ADDRESSES = ("name", "s3", "catalog", "stac_api", "hda")
"""The parts of a target by which users, and auditors, find what was published."""
SECRET_KEYS = (
    "access_key",
    "secret_key",
    "password",
    "client_secret",
    "token",
    "refresh_token",
    "pseudonym_key",
    "webhook",
)


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
    ca_bundle: Path | None = None
    """A PEM file of every authority that signs the certificates of the services below, also of
    public ones; a section's own `ca_bundle` comes first. None: the system's, or each library's."""
    s3: Pool
    proposals: S3 | None = None
    """Where submitters deliver, if that is another endpoint than the pool's."""
    catalog: Catalog
    stac_api: StacApi
    iam: Iam | None = None
    """None: only public datasets can be published."""
    hda: Hda | None = None
    """None: nothing is done for HDA, and users are taken to read the STAC API."""
    helpdesk: AnyHelpDesk = Field(default_factory=default)
    """How the user is told; default: an outbox in the case's folder."""
    evidence: Evidence = Evidence()
    """How cases are signed and kept; default: unsigned, in the archive alone."""
    archive: Path
    """The folder that the cases, with their evidence, are kept in."""
    approvals: Approvals = Approvals()
    """Who may approve a case plan; default: whoever planned it, too."""
    notices: Notices = Notices()
    """Who is told of what becomes of tickets; default: nobody."""
    allow_any_approval: bool = False
    """Whether a ticket may say `approve: any`. Never for a real data lake."""
    remote_assets: Literal["refuse", "list"] = "refuse"
    """Items whose data lies on other servers: refused; or listed in the plan, and published where
    all assets of an item do and HDA serves them. Never such beside delivered ones."""
    executor: ExecutorName = "auto"
    """What validates the items: threads for a bucket, processes for a large folder; or another.
    The workers of a Dask cluster upload the data as well."""
    step_hours: dict[StepName, Annotated[float, Field(gt=0)]] = {}
    """Hours after which a step that runs headless is ended; default: 72."""
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
        trust.use(target.ca_bundle)
        update: dict[str, Any] = {"settings_file": settings_file}
        update["archive"] = _absolute(root, target.archive)
        if target.hda is not None:
            folder = _absolute(root, target.hda.folder)
            update["hda"] = target.hda.model_copy(update={"folder": folder})
        if target.evidence.signing_key is not None:
            key = _absolute(root, target.evidence.signing_key.expanduser())
            update["evidence"] = target.evidence.model_copy(update={"signing_key": key})
        signers = ("allowed_signers", "revoked_keys")
        files = {key: _absolute(root, getattr(target.approvals, key)) for key in signers}
        update["approvals"] = target.approvals.model_copy(update=files)
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
    def addresses(cls, name: str, root: Path) -> Target:
        """Load where a target's data is served, for who only reads it: no secret is needed.

        Raises:
            InputError: no such target, or it lacks an address.
        """
        path = _target_file(name, root)
        merged, settings_file = cls._values(name, root, path)
        values = {key: merged[key] for key in _ADDRESSES if key in merged}
        nobody = {"access_key": "", "secret_key": ""}
        values["s3"] = nobody | values["s3"] if isinstance(values.get("s3"), dict) else {}
        try:
            return cls(archive=root, **values)
        except ValidationError as error:
            raise explain(
                error, cls, str(path), missing=lambda at: _missing(at, name, settings_file)
            ) from None

    @classmethod
    def _values(cls, name: str, root: Path, path: Path) -> tuple[dict[str, Any], Path | None]:
        """Return the values from every source, and the target's file of further settings."""
        written = read_yaml(path)
        _refuse_secrets(written, path, name)
        settings_file = _absolute(root, written.get("settings_file"))
        values = _from_variables(cls, name, variables(root, settings_file))
        merged = _merge({"name": name, **written}, values)
        desk = merged.get("helpdesk")
        if isinstance(desk, dict) and "helpdesk" in values:
            desk_values = of_kind(desk.get("kind", DEFAULT), values["helpdesk"])
            merged["helpdesk"] = _merge(written.get("helpdesk") or {}, desk_values)
        if bundle := merged.get("ca_bundle"):
            _trust_everywhere(merged, str(_absolute(root, bundle)))
        return merged, settings_file

    def identity(self) -> dict[str, str | int]:
        """Return what a plan is bound to: which bucket and which database, nothing secret."""
        return {
            "name": self.name,
            "s3": f"{self.s3.endpoint}/{self.s3.bucket}",
            "catalog": f"{self.catalog.host}:{self.catalog.port}/{self.catalog.database}",
            **({"hda": self.hda.url} if self.hda else {}),
        }

    def hours(self, step: StepName) -> float:
        """Return for how many hours a step may run."""
        return self.step_hours.get(step, 72)

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


def _trust_everywhere(values: dict[str, Any], bundle: str) -> None:
    """Let each section that names no file of authorities of its own have the target's."""
    values["ca_bundle"] = bundle
    places = [("s3",), ("proposals",), ("helpdesk",), ("evidence", "s3"), ("notices", "mail")]
    catalog = values.get("catalog")
    # Without verification libpq would begin to verify, only since there is a file.
    if isinstance(catalog, dict) and str(catalog.get("sslmode")).startswith("verify"):
        places.append(("catalog",))
    for place in places:
        section: Any = values
        for key in place:
            section = section.get(key) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.setdefault("ca_bundle", bundle)


def _absolute(root: Path, path: object) -> Path | None:
    return root / str(path) if path else None


def variables(root: Path, settings_file: Path | None) -> dict[str, str]:
    """Return the environment over .env over a target's file of further settings."""
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
        if above and key in SECRET_KEYS:
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
