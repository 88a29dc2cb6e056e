"""Anchors: the last lines of a ticket's ledger, written where its archive doesn't reach.

Each is an object of its own, `<collection>/<ticket>/anchor/<number>-<SHA-256>`: none is ever
overwritten, nothing refers to one, and a withdrawal leaves them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from dedl_workbook.base.errors import ServiceError
from dedl_workbook.dataset import s3
from dedl_workbook.parameters.sections import Pool
from dedl_workbook.publication.anchor import FORM
from dedl_workbook.services.pool import writer

if TYPE_CHECKING:
    from obstore.store import S3Store

FOLDER = "anchor/"
"""Under the ticket's prefix."""
PATIENCE = 10.0
"""Seconds that the store may take to answer."""


def place(pool: Pool, prefix: str) -> str:
    """Return where the anchors under a ticket's prefix lie, as people are told."""
    return f"s3://{pool.bucket}/{prefix}{FOLDER}"


def read(pool: Pool, prefix: str, patience: float = PATIENCE) -> list[str]:
    """Return the anchors under a ticket's prefix.

    Raises:
        ServiceError: the store refuses or doesn't answer.
    """
    folder, store = f"{prefix}{FOLDER}", _store(pool, patience)
    with s3.calling(f"the anchors in {place(pool, prefix)} can't be listed"):
        names = [one["path"].removeprefix(folder) for page in store.list(folder) for one in page]
    return sorted(name for name in names if FORM.fullmatch(name))


def write(pool: Pool, prefix: str, anchors: Iterable[str]) -> None:
    """Write anchors under a ticket's prefix; those that are there stay as they are.

    Raises:
        ServiceError: the store refuses or doesn't answer.
    """
    store = _store(pool, PATIENCE)
    for anchor in anchors:
        key = f"{prefix}{FOLDER}{anchor}"
        try:
            with s3.calling(f"s3://{pool.bucket}/{key} can't be written"):
                writer.put(store, key, f"{anchor}\n".encode(), "text/plain", {})
        except ServiceError as error:
            if s3.code_of(error) not in {"PreconditionFailed", "412"}:
                raise


@lru_cache(maxsize=16)
def _store(pool: Pool, patience: float) -> S3Store:
    """Return what asks a store; to make it takes as long as many requests."""
    return writer.writer(pool, pool.bucket, timedelta(seconds=patience))
