"""Help desk: what the settings of every product have, and where each product's own stand."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import InitErrorDetails, PydanticCustomError

from dedl_workbook.base.text import nearest
from dedl_workbook.parameters.fields import Section
from dedl_workbook.parameters.yaml_files import problems

DEFAULT = "outbox"
_HOME = "dedl_workbook.services.helpdesk"
PRODUCTS = {
    "outbox": f"{_HOME}.outbox",
    "command": f"{_HOME}.command",
    "roundup": f"{_HOME}.roundup",
    "rt": f"{_HOME}.rt",
    "smtp": f"{_HOME}.smtp",
}
"""The module of each kind of help desk, with its `Settings` and its adapter; it is imported when a
target names it. A new product is a file there, and a line here."""


class HelpDesk(Section):
    """The help desk: how the user is told in the ticket. Each product's `Settings` say more."""

    kind: str
    """The product, one of `PRODUCTS`."""
    ca_bundle: Path | None = None
    """A PEM file of the certificate authorities to trust, for a server with its own."""
    timeout: Annotated[float, Field(gt=0)] = 60
    """Seconds that the server may be silent."""
    attachment_limit: Annotated[int, Field(ge=0)] = 10_000_000
    """Bytes that one attachment may have; a larger file stays in the archive."""

    def open(self, target: str, case: Path) -> Any:
        """Return the desk (`services.helpdesk.desk.Desk`); nothing is asked of it yet.

        Args:
            target: its name, for what to do about its settings.
            case: the case's folder, in which an outbox, or what was mailed, lies.
        """
        raise NotImplementedError(f"{type(self).__module__} opens no desk")


class Account(HelpDesk):
    """The settings of a desk that wants to know who we are."""

    user: str = ""
    password: SecretStr = SecretStr("")


def settings_of(kind: str) -> type[HelpDesk]:
    """Return the model of the settings of a product.

    Raises:
        ValueError: there is no such product; the nearest one is offered.
    """
    if kind not in PRODUCTS:
        known = ", ".join(sorted(PRODUCTS))
        hint = nearest(kind, PRODUCTS) or f"Known: {known}."
        raise ValueError(f"there is no help desk of the kind {kind!r}. {hint}")
    model: type[HelpDesk] = import_module(PRODUCTS[kind]).Settings
    return model


def _of_its_kind(values: Any, handler: ValidatorFunctionWrapHandler) -> HelpDesk:
    if isinstance(values, HelpDesk) or not isinstance(values, dict):
        checked: HelpDesk = handler(values)
        return checked
    model = settings_of(str(values.get("kind", DEFAULT)))
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _with_known_keys(error, model) from None


def _with_known_keys(error: ValidationError, model: type[HelpDesk]) -> ValidationError:
    """Return the error with unknown keys in words: outside, nobody knows whose keys they are."""
    words = dict(problems(error, model))
    lines: list[InitErrorDetails] = []
    for line in error.errors(include_url=False):
        kind: Any = line["type"]
        if kind in ("extra_forbidden", "value_error"):
            kind = PydanticCustomError("value_error", "{text}", {"text": words[tuple(line["loc"])]})
        lines.append(
            {"type": kind, "loc": line["loc"], "input": line["input"], "ctx": line.get("ctx", {})}
        )
    return ValidationError.from_exception_data(error.title, lines)


AnyHelpDesk = Annotated[HelpDesk, WrapValidator(_of_its_kind)]
"""The settings of a help desk: those of the product that their `kind` names."""


def of_kind(kind: object, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of a help desk without those that only another product has.

    They may stay in the environment when a target changes its desk.
    """
    if kind not in PRODUCTS or variables.keys() <= settings_of(str(kind)).model_fields.keys():
        return dict(variables)
    others = {key for one in PRODUCTS for key in settings_of(one).model_fields}
    others -= settings_of(str(kind)).model_fields.keys()
    return {key: value for key, value in variables.items() if key not in others}


def default() -> HelpDesk:
    """Return the settings of a target that says nothing of its help desk."""
    return settings_of(DEFAULT).model_validate({})
