"""Sections of a target: each service of a data lake, and how it is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from dedl_workbook.parameters.fields import BucketName, Section, Url

# Asymmetric ones only: with a public key as its secret, HS256 would let anybody sign.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]


class S3(Section):
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


class Catalog(Section):
    """The PgSTAC database, and the user that loads into it."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    database: str
    user: str
    password: SecretStr | None = None
    """Without one libpq looks where it always does: ~/.pgpass, the service, a certificate."""
    password_command: tuple[str, ...] = ()
    """A program, and its arguments, that prints a password; for tokens that expire. It is run for
    each connection."""
    service: str = ""
    """A service of libpq's pg_service.conf, for what is not said here."""
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    ca_bundle: Path | None = None
    """A PEM file of the certificate authorities to trust; default for verify-full: the system's."""
    client_certificate: Path | None = None
    """A PEM file that shows who we are; with `client_key`."""
    client_key: Path | None = None
    """Its private key: a file that nobody else may read."""
    partition_items: Annotated[int, Field(ge=1)] = 1_000_000
    """How many items a partition of a new collection may have: with more it is partitioned by
    year, with more a year by month (docs/adr/0003 has what that costs and brings)."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Catalog:
        if self.password is not None and self.password_command:
            raise ValueError("password and password_command are both set: take one of them out")
        if self.sslmode == "verify-ca" and self.ca_bundle is None:
            raise ValueError("sslmode verify-ca needs ca_bundle; or say verify-full")
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key go together: add the other one")
        return self


class StacApi(Section):
    """The STAC API that serves the PgSTAC database."""

    url: Url
    patience: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """Seconds that what it serves may lag behind the database, as where it reads a replica."""


class Login(Section):
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


class ServiceAccount(Section):
    """A client with an account of its own in the data lake's realm."""

    client_id: str
    client_secret: SecretStr


class Iam(Section):
    """The IAM service: who issues tokens, how we get one, and how roles are asked for."""

    issuer: Url
    """The data lake's realm, exactly as in the tokens' claim `iss`."""
    audience: str = "hda-public"
    """What must be in the claim `aud`."""
    audiences: tuple[str, ...] = ()
    """Others that may be there in its place, where a realm has several for one service."""
    role_clients: tuple[str, ...] = ()
    """Clients whose roles count, besides those of the realm."""
    client_id: str = "hda-public"
    """The client for which a portal's token is exchanged."""
    algorithms: tuple[Algorithm, ...] = ("RS256",)
    """How tokens may be signed."""
    identity: Literal["login", "service_account", "refresh", "environment"] = "login"
    """Whose token shows that the roles were granted."""
    login: Login | None = None
    service_account: ServiceAccount | None = None
    token: SecretStr | None = None
    """An access token, for `identity: environment`."""
    refresh_token: SecretStr | None = None
    """An offline or refresh token, for `identity: refresh`; access tokens are got with it for
    `client_id`."""
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
        needed = {"refresh": "refresh_token"}.get(self.identity, self.identity)
        if self.identity != "environment" and getattr(self, needed) is None:
            raise ValueError(
                f"identity is {self.identity!r}, but there is no {needed}: add it, "
                "or get tokens from elsewhere (login, service_account, refresh, environment)"
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


class HdaGit(Section):
    """The repository that HDA's configuration is deployed from; `hda.folder` is a clone of it."""

    remote: str = ""
    """Its name in the clone, or its address; empty: what is checked out is what is deployed."""
    target_branch: str = ""
    """The remote's branch that is deployed."""
    push: bool = False
    """Whether a ticket's branch is pushed to the remote."""
    merge_request: bool = False
    """Whether the push asks GitLab to open a merge request."""
    user_name: str = ""
    """Who commits, where neither the environment nor git's own configuration says so."""
    user_email: str = ""

    @model_validator(mode="after")
    def _has_what_its_keys_need(self) -> HdaGit:
        needs = (
            ("target_branch", self.target_branch, "remote", self.remote),
            ("remote", self.remote, "target_branch", self.target_branch),
            ("push", self.push, "remote", self.remote),
            ("merge_request", self.merge_request, "push", self.push),
            ("user_name", self.user_name, "user_email", self.user_email),
            ("user_email", self.user_email, "user_name", self.user_name),
        )
        missing = [
            f"{key} needs {need} as well" for key, on, need, there in needs if on and not there
        ]
        if missing:
            raise ValueError(f"{'; '.join(missing)}: set it, or take the other out")
        dashed = [value for value in (self.remote, self.target_branch) if value.startswith("-")]
        if dashed:
            raise ValueError(f"{dashed[0]!r} begins with a dash: name the remote or branch itself")
        return self


class Hda(Section):
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
    client: Path | None = None
    """An interpreter with the eodag client, as users have it: verify tries with that as well."""
    no_trial: str = ""
    """Why a change isn't served on loopback and verified there before it goes live, such as "no
    route to the store from here"; empty: it is, where `python` has HDA's server."""
    check: tuple[str, ...] = ()
    """Instead of that: a command that is given a folder with the changed configuration, and ends
    with 0 if HDA can load it."""
    git: HdaGit | None = None
    """Where the folder is a clone from whose repository others deploy: then a change is a commit on
    the branch `ticket/<ID>`, and the working tree stays as it is. `true`: without a remote."""
    reload: tuple[str, ...] = ()
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

    @model_validator(mode="after")
    def _has_one_way_out(self) -> Hda:
        if self.git is not None and self.reload:
            raise ValueError(
                "git is on, so others roll the configuration out, but there is a reload command: "
                "take one of them out"
            )
        return self

    @field_validator("git", mode="before")
    @classmethod
    def _git_alone(cls, value: object) -> object:
        """Let `true` stand for a repository without a remote, as `false` for none."""
        alone: dict[str, Any] = {"true": {}, "false": None}
        return alone.get(str(value).strip().lower(), value)

    @model_validator(mode="before")
    @classmethod
    def _names_of_eodag3(cls, values: Any) -> Any:
        """Let the files have the names that eodag 3 gives them, unless the target names them."""
        if isinstance(values, dict) and values.get("dialect") == "eodag3":
            names = {"collections_file": "product_types.yml", "provider_file": "providers.yml"}
            return names | values
        return values


class Mail(Section):
    """A mail server, and who writes to whom."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`none` sends mail in the clear, and never a password."""
    user: str = ""
    password: SecretStr = SecretStr("")
    sender: str
    """Our address."""
    recipient: str
    """The address of those who look after tickets."""
    ca_bundle: Path | None = None
    """A PEM file of the certificate authorities to trust, for a server with its own."""

    @model_validator(mode="after")
    def _keeps_its_password(self) -> Mail:
        if self.security == "none" and self.password.get_secret_value():
            raise ValueError(
                "security is 'none', which would send the password in the clear: "
                "use starttls or tls, or no password"
            )
        return self


NoticeKind = Literal["waiting", "failed", "to be approved", "drifted", "published"]


class Notices(Section):
    """Who is told when something becomes of a ticket: each thing once, and never a secret."""

    command: tuple[str, ...] = ()
    """A program and its arguments; it is given the notice as JSON on standard input."""
    webhook: SecretStr | None = None
    """The address of an incoming webhook. It is a secret: who has it can write there."""
    webhook_form: Literal["text", "card"] = "text"
    """What it takes: a text, as Mattermost and Slack do; a card, as the workflows of Teams do."""
    mail: Mail | None = None
    """Where notices are mailed to."""
    of: tuple[NoticeKind, ...] = ("waiting", "failed", "to be approved", "drifted", "published")
    """What they are of."""
    timeout: Annotated[float, Field(gt=0, le=300)] = 20
    """Seconds that a notice may take; a run goes on without one that takes longer."""


class Approvals(Section):
    """Who may approve what."""

    by_another: bool = False
    """Whether a plan is approved by another person than planned it, and than runs it."""
    signed: bool = False
    """Whether an approval is signed with the approver's SSH key."""
    allowed_signers: Path | None = None
    """The file of those whose signatures count, as ssh-keygen has it under ALLOWED SIGNERS."""
    revoked_keys: Path | None = None
    """A list of keys that count no more, as ssh-keygen has it under KEY REVOCATION LISTS."""

    @model_validator(mode="after")
    def _knows_its_signers(self) -> Approvals:
        if self.signed and self.allowed_signers is None:
            raise ValueError("signed is true, which needs allowed_signers as well")
        return self


class Evidence(Section):
    """How the evidence of cases is signed and kept, and what of people stands in it."""

    signing_key: Path | None = None
    """The SSH key that packs are signed with: a private key without passphrase, or the public one
    of a key that ssh-agent holds. None: packs are not signed."""
    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9@._-]+$")] = "dedl-evidence"
    """What a signature is for: one made for something else doesn't count."""
    people: Literal["keep", "pseudonym"] = "keep"
    """Names and e-mail addresses: kept, or replaced by the same pseudonym in every case."""
    pseudonym_key: SecretStr = SecretStr("")
    """What pseudonyms are made with: who has it can tell whose they are."""
    group: str = ""
    """The group that alone may read the archive: its files become 0640, its folders 0750. Default:
    as the umask of whoever works has it."""
    bucket: BucketName | None = None
    """Where packs go that are too large for the help desk. None: they stay in the archive."""
    s3: S3 | None = None
    """Where that bucket is, if not at the pool's endpoint."""

    @model_validator(mode="after")
    def _has_what_pseudonyms_are_made_with(self) -> Evidence:
        if self.people == "pseudonym" and len(self.pseudonym_key.get_secret_value()) < 16:
            raise ValueError(
                "people is 'pseudonym', which needs a secret pseudonym_key of at least 16 "
                "characters as well: set it in the environment, and keep it"
            )
        return self
