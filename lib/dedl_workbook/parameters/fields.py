"""Fields that people fill in: what may stand in them, and the same in words."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from dedl_workbook.base.parallel import CHOICE


class Section(BaseModel):
    """A section of a target: it knows its keys, and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StepName(StrEnum):
    """The steps of the procedure, in the order in which they run, and those beside them."""

    VALIDATE = "validate"
    ACCESS = "access"
    UPLOAD = "upload"
    CATALOG = "catalog"
    HDA = "hda"
    VERIFY = "verify"
    NOTIFY = "notify"
    WITHDRAW = "withdraw"
    RETIRE = "retire"

    @classmethod
    def run(cls) -> tuple[StepName, ...]:
        """Return those of a run: all but those that take something away again."""
        return tuple(step for step in cls if step not in (cls.WITHDRAW, cls.RETIRE))


def like(pattern: str, allowed: str) -> AfterValidator:
    """Return what a field's text must match: pydantic would show people the pattern itself.

    Args:
        pattern: a regular expression for the whole text.
        allowed: the same in words.
    """

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {allowed}; found {value[:80]!r}")
        return value

    return AfterValidator(check)


_START = "starting with a letter or digit"
Name = Annotated[
    str,
    like(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", f"letters, digits, - and _, at most 64, {_START}"),
]
CollectionId = Annotated[
    str,
    like(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}",
        f"letters, digits, dots, - and _, at most 200, {_START}",
    ),
]
Role = Annotated[
    str,
    like(r"[A-Za-z0-9][A-Za-z0-9._:-]*", f"letters, digits, dots, colons, - and _, {_START}"),
]
Approval = Annotated[
    str,
    like(
        r"([0-9a-f]{64}|any)?",
        "the digest of a case plan (64 hex digits, as `plan` shows it), 'any', or empty",
    ),
]
RuleId = Annotated[str, like(r"[LCIA][0-9][0-9]", "the id of a rule, such as C04")]
ExecutorName = Annotated[
    str, like(CHOICE, "auto, one, threads, processes, or a Dask scheduler, as tcp://host:8786")
]
Url = Annotated[
    str,
    like(r"https?://[^\s/?#]+\S*", "an address that starts with http:// or https://, no spaces"),
]
BucketName = Annotated[
    str,
    like(
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "3 to 63 small letters, digits, dots and -, with a letter or digit at both ends",
    ),
]
