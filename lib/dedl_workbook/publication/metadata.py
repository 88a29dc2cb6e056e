"""Metadata as published: keyword, host and addresses put into collection and items."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from dedl_workbook.base.errors import ChangedError, InputError
from dedl_workbook.base.json import parse
from dedl_workbook.dataset.dataset import COLLECTION, DATA, ITEMS, File, bounded
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication import addresses, content, keys
from dedl_workbook.publication.job import Job
from dedl_workbook.publication.keys import Keys

KEYWORD = "User generated"
HOST = {"name": "DEDL", "roles": ["host"]}
DOCUMENT_LIMIT = 64 * 2**20
"""Bytes that a collection or an item may have to be read at all."""

Exists = Callable[[str], object]
"""Returns something true if there is such a file."""


def slug(word: str) -> str:
    """Return a keyword's slug, by which keywords are compared: lower case, `-` between words."""
    return "-".join(word.strip().lower().replace("_", " ").replace("-", " ").split())


def has_keyword(collection: dict[str, Any]) -> bool:
    """Return whether a collection has the keyword of user-generated data."""
    keywords = collection.get("keywords")
    return isinstance(keywords, list) and slug(KEYWORD) in {
        slug(word) for word in keywords if isinstance(word, str)
    }


def has_host(collection: dict[str, Any]) -> bool:
    """Return whether a collection names DEDL as its host."""
    providers = collection.get("providers")
    return isinstance(providers, list) and any(
        isinstance(provider, dict)
        and "dedl" in str(provider.get("name", "")).lower()
        and isinstance(roles := provider.get("roles"), list)
        and "host" in roles
        for provider in providers
    )


def href_path(href: object, exists: Exists | None = None) -> str | None:
    """Return the path of the data file that a delivered href names, or None.

    None: remote, absolute, outside data/, or leaving it (`..`, `.`, empty parts, which are part of
    a key in S3). A leading `./` is dropped. Where the href holds `%`, the file of that very name
    is meant if there is one, else the one with the percent-decoded name if there is one.

    Args:
        href: as the item has it.
        exists: tells whether the dataset has a file; default: take the href as it is written.
    """
    if not isinstance(href, str):
        return None
    path = href.removeprefix("./")
    if "%" in path and exists is not None and not (_inside(path) and exists(path)):
        decoded = unquote(path, errors="surrogateescape")
        if _inside(decoded) and exists(decoded):
            return decoded
    return path if _inside(path) else None


def _inside(path: str) -> bool:
    if not path.startswith(DATA):
        return False
    # Most paths have no part that starts with a dot, and none that is empty.
    odd = "//" in path or "/." in path or path.endswith("/")
    return not (odd and {"", ".", ".."} & set(path.split("/")))


def publish_collection(
    document: dict[str, Any],
    ticket: Ticket,
    target: Target,
    exists: Exists | None = None,
    reused: Keys | None = None,
) -> dict[str, Any]:
    """Return the collection as published: the agreed id, our keyword and host, published hrefs.

    `exists` and `reused` are as for `publish_item`.

    Raises:
        InputError: keywords or providers are no lists.
    """
    published = copy.deepcopy(document)
    published["id"] = ticket.collection
    for field, complete, addition in (
        ("keywords", has_keyword, KEYWORD),
        ("providers", has_host, HOST),
    ):
        values = published.setdefault(field, [])
        if not isinstance(values, list):
            raise InputError(f"{field}: is no list", where=COLLECTION, remedy="Make it one.")
        if not complete(published):
            values.append(copy.deepcopy(addition))
    _publish_assets(published, ticket, target, exists, reused)
    return published


def publish_item(
    document: dict[str, Any],
    ticket: Ticket,
    target: Target,
    exists: Exists | None = None,
    reused: Keys | None = None,
) -> dict[str, Any]:
    """Return the item as published: assets in data/ by their addresses in the pool.

    Nothing else is touched; it shares with the document what is the same. `exists` is as for
    `href_path`; `reused` gives the key of a file that an earlier publication stored, by its path.
    """
    # Of millions of items only what may change is copied.
    published = dict(document)
    if isinstance(assets := document.get("assets"), dict):
        published["assets"] = {
            name: dict(asset) if isinstance(asset, dict) else asset
            for name, asset in assets.items()
        }
    _publish_assets(published, ticket, target, exists, reused)
    return published


def _publish_assets(
    document: dict[str, Any],
    ticket: Ticket,
    target: Target,
    exists: Exists | None,
    reused: Keys | None,
) -> None:
    assets = document.get("assets")
    for asset in assets.values() if isinstance(assets, dict) else ():
        path = href_path(asset.get("href"), exists) if isinstance(asset, dict) else None
        if path is not None:
            earlier = reused(path) if reused else None
            key = earlier or f"{ticket.collection}/{ticket.ticket}/{path}"
            asset["href"] = f"s3://{target.s3.bucket}/{key}"


def key(job: Job, path: str) -> str:
    """Return the key of a data file's object in the pool."""
    return keys.keys(job)(path) or job.prefix + path


def href(job: Job, path: str) -> str:
    """Return the published address of a data file."""
    return f"s3://{job.target.s3.bucket}/{key(job, path)}"


def has_file(job: Job) -> Exists:
    """Return what tells whether the job's dataset has a file of that path."""
    return lambda path: job.dataset.stat(path) is not None


def is_item(file: File) -> bool:
    """Return whether a file of a dataset is an item's: a regular .json file in metadata/items."""
    path = file.path
    if not path.startswith(ITEMS) or path.find("/", len(ITEMS)) >= 0:
        return False
    return path.endswith(".json") and file.kind == "file"


def collection(job: Job) -> dict[str, Any]:
    """Return the published collection of a job's dataset, as the last validation read it.

    The validation's report in the job's folder has the digest; without a report any is taken, as
    the steps' gates require that validation has passed.

    Raises:
        ChangedError: it is another than was validated.
        InputError: it is missing or unreadable, or leads to what its ticket doesn't publish.
    """
    file = job.dataset.stat(COLLECTION)
    if file is None:
        raise InputError("is missing", where=COLLECTION, remedy="Validate the dataset first.")
    data, document = _read(job, file)
    expected = (_validation(job).get("content") or {}).get("collection")
    if expected and hashlib.sha256(data).hexdigest() != expected:
        raise _not_validated(COLLECTION)
    published = publish_collection(document, job.ticket, job.target, has_file(job), keys.keys(job))
    addresses.refuse(published, addresses.Allowed.of(job), COLLECTION)
    return published


VALIDATION = "validation.json"
"""The file in a job's folder with the report of the last validation."""


def items(job: Job) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the delivered file and the published item, one by one, in the dataset's order.

    All of them must be what the last validation read; see `collection`.

    Raises:
        ChangedError: they are not, which shows when the last of them was read.
        InputError: an item can't be read, or leads to what its ticket doesn't publish.
    """
    there, reused = has_file(job), keys.keys(job)
    allowed = addresses.Allowed(job.target, job.prefix, reused)
    report = _validation(job)
    expected = (report.get("content") or {}).get("items")
    binding = content.Binding(report["counts"]["items"] if expected else 0)
    for file in job.dataset.files(ITEMS):
        if is_item(file):
            data, document = _read(job, file)
            binding.add(file.path, data)
            published = publish_item(document, job.ticket, job.target, there, reused)
            addresses.refuse(published, allowed, file.path)
            yield file.path, published
    if expected and binding.digest() != expected:
        raise _not_validated(ITEMS)


def _read(job: Job, file: File) -> tuple[bytes, dict[str, Any]]:
    try:
        data = bounded(job.dataset, file, DOCUMENT_LIMIT)
        document = parse(data)
    except (ValueError, OSError) as error:
        raise InputError(
            str(error), where=file.path, remedy="Validate the dataset first."
        ) from error
    if not isinstance(document, dict):
        raise InputError("is no JSON object", where=file.path, remedy="Validate the dataset first.")
    return data, document


def _validation(job: Job) -> dict[str, Any]:
    """Return the report of the last validation, or nothing where there is none."""
    record = job.folder / VALIDATION
    report: dict[str, Any] = parse(record.read_bytes()) if record.exists() else {}
    return report


def _not_validated(where: str) -> ChangedError:
    return ChangedError(
        "is not what was validated",
        where=where,
        remedy="Validate the dataset again, plan, and have the new plan approved.",
    )
