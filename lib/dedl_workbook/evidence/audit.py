"""Audit of a bag: whether what it says was published still stands, years later.

It needs the bag and the target's addresses: no archive, no case, no dataset. What needs a
password that isn't there is unknown, and the rest is compared.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedl_workbook.base.errors import EvidenceError, InputError, ServiceError
from dedl_workbook.base.parallel import map_shards
from dedl_workbook.base.progress import Tell, silent
from dedl_workbook.base.sqlite import scratch
from dedl_workbook.case import audit as audits
from dedl_workbook.case import ledger
from dedl_workbook.evidence import bag, lists
from dedl_workbook.evidence.diff import COLLECTION, ITEMS, SUMS
from dedl_workbook.evidence.reader import Store, open_store
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication import anchor, keys
from dedl_workbook.publication.job import Check, Job
from dedl_workbook.publication.standing import standing
from dedl_workbook.services.catalog import comparison, pgstac, stac_api
from dedl_workbook.services.hda import served
from dedl_workbook.services.pool import anchors, objects
from dedl_workbook.services.pool.objects import Pool
from dedl_workbook.services.pool.ownership import pool_of

if TYPE_CHECKING:
    import sqlite3

    import httpx

THREADS = 8
SAMPLE = 20
"""Files that are read in full, unless all are; and items whose files are downloaded."""
_SCHEMA = """
create table files (path text primary key, sha256 text);
create table objects (key text primary key, path text);
create index object on objects (path);
create index sha256 on files (sha256);
"""


@dataclass(frozen=True)
class _Bag:
    """What a bag says was published."""

    store: Store
    collection: Mapping[str, Any]
    ledger: bytes
    job: Job
    """Of its ticket, on the target as it is now."""
    files: sqlite3.Connection
    """Its list of files, see `_SCHEMA`."""
    every_byte: bool


def audit(
    path: Path, root: Path, *, target: str = "", every_byte: bool = False, tell: Tell = silent
) -> audits.Audit:
    """Compare what a target serves now with what a bag says was published.

    Args:
        path: the bag: its folder, or the zip of it.
        root: the workbook's, for the target's addresses.
        target: where it was published; default: the ticket's target.
        every_byte: whether to read every file in full, and not a sample.
        tell: is told of progress.

    Raises:
        InputError: there is no bag, no such target, or the bag tells of no publication.
        EvidenceError: the bag is not what was packed.
    """
    bag.verify(path)
    with (
        tempfile.TemporaryDirectory(prefix="audit-") as scratch_folder,
        open_store(path) as store,
        scratch(_SCHEMA) as database,
    ):
        ticket = Ticket.of(json.loads(_read(store, "ticket.json")), str(path))
        raw, document = _read(store, "ledger.jsonl"), _read(store, COLLECTION)
        if standing(ledger.parse(raw, bag.LEDGER)).live is None or not document:
            raise InputError(
                "tells of no publication that stood when it was packed",
                where=str(path),
                remedy="Audit the bag of the ticket that published it.",
            )
        where = Target.addresses(target or ticket.target, root)
        job = Job(ticket, where, Path(scratch_folder), root, {}, tell)
        database.execute("begin")
        database.executemany("insert into files values (?, ?)", lists.files(store, SUMS))
        held = _Bag(store, json.loads(document), raw, job, database, every_byte)
        parts: list[tuple[str, Callable[[_Bag], Iterable[Check]]]] = [
            ("catalogue", _catalogue),
            ("STAC API", _served),
            ("pool", _pool),
            ("HDA", _hda),
            ("ledger", _ledger),
        ]
        compared = [
            row for part, look in parts for row in audits.rows_of(part, partial(look, held))
        ]
    return audits.Audit(ticket.collection, where.name, ticket.ticket, tuple(compared))


def require_anchored(path: Path, root: Path, target: str = "") -> None:
    """Require that the pool names the last line of a bag's ledger, and none that it lacks.

    Args:
        path: the bag, which was verified.
        root: the workbook's, for the target's addresses.
        target: whose pool; default: the ticket's target's.

    Raises:
        InputError: no such target.
        ServiceError: the pool refuses or doesn't answer.
        EvidenceError: it names other lines.
    """
    with open_store(path) as store:
        ticket = Ticket.of(json.loads(_read(store, "ticket.json")), str(path))
        raw = _read(store, "ledger.jsonl")
    pool = Target.addresses(target or ticket.target, root).s3
    named = anchors.read(pool, f"{ticket.collection}/{ticket.ticket}/")
    if wrong := anchor.of_bag(raw, named):
        raise EvidenceError(
            f"its ledger is not the one that the pool names: {wrong}",
            where=str(path),
            remedy="Look for the pack that the reply names, and find out who changed the archive.",
        )


def _read(store: Store, name: str) -> bytes:
    stream = store.open(f"data/{name}") if f"data/{name}" in store.entries() else None
    if stream is None:
        return b""
    with stream:
        return stream.read()


def _catalogue(held: _Bag) -> Iterator[Check]:
    """Compare the database, where its password is at hand."""
    id_ = held.job.ticket.collection
    with pgstac.connected(held.job) as connection:
        document = pgstac.held_collection(connection, id_)
        if document is None:
            yield Check("collection", False, "is missing")
            return
        same = comparison.digest(document) == comparison.digest(held.collection)
        yield Check("collection", same, "as published" if same else "differs from the published")
        rows = (
            (_name(item), hashlib.sha256(raw).hexdigest())
            for item, _, raw in pgstac.held_items(connection, id_)
        )
        yield _list_check("items", lists.compare(lists.read(held.store, ITEMS), rows, 3))


def _served(held: _Bag) -> Iterator[Check]:
    """Compare the STAC API: the collection, and every item's id."""
    root, id_ = held.job.target.stac_api.url, held.job.ticket.collection
    with stac_api.reading(root) as client:
        document = stac_api.collection(client, root, id_)
        if document is None:
            yield Check("collection", False, "is missing")
            return
        fields = stac_api.differing(document, dict(held.collection))
        yield Check(
            "collection",
            not fields,
            f"differs in {', '.join(fields)}" * bool(fields) or "as published",
        )
        ids = (
            (_name(str(item.get("id"))), "")
            for items, _ in stac_api.pages(client, root, id_)
            for item in items
        )
        wanted = ((name, "") for name, _ in lists.read(held.store, ITEMS))
        yield _list_check("ids of the items", lists.compare(wanted, ids, 3))


def _name(id_: str) -> str:
    """Return an item's id as the list of items has it."""
    return json.dumps(id_)[1:-1]


def _list_check(name: str, differences: list[lists.Difference]) -> Check:
    words = {"added": "not of the bag", "vanished": "missing", "changed": "otherwise now"}
    wrong = [
        f"{one.count:,} {words[one.kind]}: {', '.join(one.examples)}"
        for one in differences
        if one.count
    ]
    return Check(name, not wrong, "; ".join(wrong) or "as published")


def _pool(held: _Bag) -> Iterator[Check]:
    """Compare the objects, where the pool's keys are at hand: all names, and some in full."""
    if not held.job.target.s3.access_key.get_secret_value():
        raise ServiceError(
            "the target has no keys for the pool",
            remedy="HDA's downloads are compared all the same.",
        )
    pool = replace(pool_of(held.job), prefix=f"{held.job.ticket.collection}/")
    held.files.executemany("insert or ignore into objects values (?, ?)", _objects(pool))
    query = "from files where path not in (select path from objects)"
    gone = int(held.files.execute(f"select count(*) {query}").fetchone()[0])
    some = [path for (path,) in held.files.execute(f"select path {query} order by 1 limit 3")]
    count = held.files.execute("select count(*) from files").fetchone()[0]
    summary = f"{gone:,} are missing: {', '.join(some)}" if gone else f"{count:,} files"
    yield Check("every file of the bag", not gone, summary)
    most = -1 if held.every_byte else SAMPLE
    query = "select path, sha256 from files where path in (select path from objects)"
    wrong, done = [], 0
    with ThreadPoolExecutor(THREADS, thread_name_prefix="audit") as executor:
        sample = held.files.execute(f"{query} order by random() limit ?", (most,)).fetchall()
        for done, path in enumerate(map_shards(partial(_differs, held, pool), sample, executor), 1):
            wrong += [path] if path else []
            held.job.tell("reading objects", done, len(sample), "objects")
    others = f"; others: {', '.join(wrong[:3])}" if wrong else ""
    yield Check("content", not wrong, f"{done:,} files read in full{others}")


def _objects(pool: Pool) -> Iterator[tuple[str, str]]:
    """Yield key and path of the files that the collection's tickets stored."""
    from dedl_workbook.dataset import s3

    pages = pool.client.get_paginator("list_objects_v2")
    with s3.calling(f"{pool.where()} can't be listed"):
        for page in pages.paginate(Bucket=pool.bucket, Prefix=pool.prefix):
            for entry in page.get("Contents", []):
                if path := keys.path_of(entry["Key"]):
                    yield entry["Key"], path


def _differs(held: _Bag, pool: Pool, file: tuple[str, str]) -> str:
    """Return a file's path if no object of it has its bytes; '' if one has."""
    path, sha256 = file
    query = "select key from objects where path = ? order by key <> ?"
    rows = held.files.execute(query, (path, held.job.prefix + path)).fetchall()
    return "" if any(objects.digest_of(pool, "", key) == sha256 for (key,) in rows) else path


def _hda(held: _Bag) -> Iterator[Check]:
    """Compare what anybody sees through HDA: collection, count of items, some downloads."""
    hda, ticket = held.job.target.hda, held.job.ticket
    if hda is None:
        yield Check("served", True, "the target has no HDA")
        return
    address = served.collection_url(hda.url, ticket.collection)
    with served.reading() as client:
        status, document = served.get(client, address)
        closed = status in served.CLOSED
        agreed = ticket.access == "restricted"
        yield Check(
            "access without a token", closed == agreed, f"answers {status}; {ticket.access}"
        )
        if status != 200:
            return
        checks = served.compared(document, dict(held.collection))
        wrong = [check.name.removeprefix("HDA: ") for check in checks if not check.passed]
        yield Check(
            "collection",
            not wrong,
            f"differs in {', '.join(wrong)}" * bool(wrong) or "as published",
        )
        _, page = served.get(client, f"{address}/items?limit={SAMPLE}")
        features = page.get("features") or [] if isinstance(page, dict) else []
        total = sum(1 for _ in lists.read(held.store, ITEMS))
        count = page.get("numberMatched") if isinstance(page, dict) else None
        if count is not None:
            yield Check("items", count == total, f"{count:,} of {total:,}")
        if hda.anonymous_downloads:
            yield _downloads(held, client, hda.url, features)


def _downloads(held: _Bag, client: httpx.Client, url: str, features: list[Any]) -> Check:
    """Download the files of some items as anybody would; each has to be one of the bag's."""
    hrefs = [
        (str(asset.get("href")), f"{name} of {item.get('id')}")
        for item in features
        for name, asset in (item.get("assets") or {}).items()
        if name != "downloadLink" and str(asset.get("href")).startswith(url)
    ][:SAMPLE]
    query = "select 1 from files where sha256 = ?"
    wrong = [
        name
        for href, name in hrefs
        if not held.files.execute(query, (_downloaded(client, href),)).fetchone()
    ]
    others = f"; others: {', '.join(wrong[:3])}" if wrong else ""
    return Check("downloads", not wrong and bool(hrefs), f"{len(hrefs)} files{others}")


def _downloaded(client: httpx.Client, href: str) -> str:
    """Return the SHA-256 of what an address gives; '' if it gives nothing."""
    import httpx

    sha256 = hashlib.sha256()
    try:
        with client.stream("GET", href) as answer:
            if answer.status_code != 200:
                return ""
            for block in answer.iter_bytes():
                sha256.update(block)
    except (httpx.HTTPError, httpx.InvalidURL):
        return ""
    return sha256.hexdigest()


def _ledger(held: _Bag) -> Iterator[Check]:
    """Compare the bag's ledger with the lines of it that the pool names."""
    if not held.job.target.s3.access_key.get_secret_value():
        raise ServiceError(
            "the target has no keys for the pool", remedy="Compare it with the reply."
        )
    named = anchors.read(held.job.target.s3, held.job.prefix)
    wrong = anchor.of_bag(held.ledger, named)
    yield Check("its end is named in the pool", not wrong, wrong or anchor.of_ledger(held.ledger))
