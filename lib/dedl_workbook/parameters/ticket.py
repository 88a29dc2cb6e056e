"""Ticket: what was asked for in the help desk and agreed by the review board."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dedl_workbook.base.errors import InputError
from dedl_workbook.base.text import nearest
from dedl_workbook.parameters.fields import Approval, CollectionId, Name, Role, RuleId
from dedl_workbook.parameters.yaml_files import explain, is_file, read_yaml, workbook_root


class Waiver(BaseModel):
    """A rule that does not hold for one ticket, why, and who agreed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rule: RuleId
    reason: Annotated[str, Field(min_length=1)]
    agreed_by: Annotated[str, Field(min_length=1)]


class Ticket(BaseModel):
    """One publication of one dataset. Its keys are the parameters of every notebook."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, str_strip_whitespace=True)

    ticket: Name
    """The ticket's id in the help desk."""
    dataset: Annotated[str, Field(min_length=1)]
    """A folder, or s3://bucket/prefix; a relative folder starts at the workbook's root."""
    collection: CollectionId
    """The agreed id of the collection."""
    target: Name
    """The name of a file in parameters/targets."""
    board_reference: str = ""
    """Where the review board's decision is written down."""
    board_date: dt.date | None = None
    """The day of that decision."""
    access: Literal["public", "restricted"] = "public"
    roles: list[Role] = []
    """The roles that may see a restricted dataset."""
    mode: Literal["new", "replace"] = "new"
    waivers: list[Waiver] = []
    downloads: Annotated[int, Field(ge=1)] = 50
    """Data files that verify downloads, one of each shape first; digests prove the rest."""
    approve: Approval = ""
    """The digest of the case plan that is approved; 'any' where the target allows it."""

    @field_validator("board_date", mode="before")
    @classmethod
    def _date(cls, value: object) -> object:
        if value in ("", None):
            return None
        if isinstance(value, str):
            try:
                return dt.date.fromisoformat(value)
            except ValueError:
                raise ValueError(f"{value!r} is no date of the form 2026-11-20") from None
        return value

    @model_validator(mode="after")
    def _roles_fit_access(self) -> Ticket:
        if self.access == "restricted" and not self.roles:
            raise ValueError("access is restricted but no roles are named: add them to 'roles'")
        if self.access == "public" and self.roles:
            raise ValueError(
                "roles are named but access is public: say 'access: restricted', or empty 'roles'"
            )
        return self

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str) -> Ticket:
        """Make a ticket from plain values.

        Raises:
            InputError: naming every wrong key, and how to fix it.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise explain(error, cls, where) from None

    @classmethod
    def from_notebook(cls, variables: Mapping[str, Any]) -> Ticket:
        """Make a ticket from a notebook's variables (its `globals()`), by the ticket's keys."""
        values = {key: variables[key] for key in cls.model_fields if key in variables}
        return cls.of(values, "the notebook's parameters")

    @classmethod
    def load(cls, name: str, root: Path | None = None) -> Ticket:
        """Load a ticket from a file, or by its name in parameters/tickets.

        Raises:
            InputError: no such file, not a ticket, or another one than the file is called after.
        """
        path = ticket_file(name, root)
        ticket = cls.of(read_yaml(path), str(path))
        if ticket.ticket != path.stem:
            raise InputError(
                f"ticket: is {ticket.ticket!r}, but the file is called {path.name}",
                where=str(path),
                remedy=f"Write ticket: {path.stem}, or call the file {ticket.ticket}.yaml.",
            )
        return ticket

    def parameters(self) -> dict[str, Any]:
        """Return the ticket as plain values: what papermill injects, what YAML would hold."""
        values = self.model_dump(mode="json")
        return values | {"board_date": values["board_date"] or ""}


DEFAULTS_VERSION = 2
"""Raise it whenever a key's default is changed: what was approved by the old one is void then."""
DEFAULTS: Mapping[str, Any] = {
    key: "" if field.default is None else field.default
    for key, field in Ticket.model_fields.items()
    if not field.is_required()
}
"""The keys that a ticket may leave out, as `Ticket.parameters` gives them."""


def ticket_file(name: str, root: Path | None = None) -> Path:
    """Return the file of a ticket given by path or by name.

    Raises:
        InputError: there is none; the nearest name is offered.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        if not is_file(Path(name)):
            raise InputError("there is no such ticket file", where=name)
        if name.endswith(".yml"):
            raise _ends_otherwise(Path(name))
        return Path(name)
    folder = (root or workbook_root()) / "parameters" / "tickets"
    path = folder / f"{name}.yaml"
    if not is_file(path):
        if is_file(path.with_suffix(".yml")):
            raise _ends_otherwise(path.with_suffix(".yml"))
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        hint = nearest(name, known) or f"Known tickets: {', '.join(known) or 'none'}."
        raise InputError("there is no such ticket file", where=str(path), remedy=hint)
    return path


def _ends_otherwise(path: Path) -> InputError:
    return InputError(
        "tickets' files end in .yaml: by two endings one ticket could have two files",
        where=str(path),
        remedy=f"Rename it: mv {path} {path.with_suffix('.yaml')}",
    )


def ticket_names(names: Sequence[str], root: Path) -> list[str]:
    """Return tickets that are given by name, path or pattern, as in `DEDL-*`, each once.

    Raises:
        InputError: a pattern fits none.
    """
    folder = root / "parameters" / "tickets"
    tickets: dict[str, None] = {}
    for name in names:
        fits = [name]
        if "/" not in name and set(name) & set("*?["):
            fits = sorted(file.stem for file in folder.glob(f"{name}.yaml"))
        if not fits:
            raise InputError(f"no ticket fits the pattern {name!r}", where=str(folder))
        tickets |= dict.fromkeys(fits)
    return list(tickets)
