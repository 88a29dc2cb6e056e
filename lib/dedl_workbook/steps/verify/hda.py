"""Verify through HDA: what users see, and what those see who must not see it.

The procedure's step 3 where users are. What HDA is known to change is tolerated by name (see
`REWRITTEN`, and assets, which it renames and sorts); nothing else is. Files are known again by
their size and SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from dedl_workbook.base.files import BROKEN_ZIP
from dedl_workbook.base.parallel import map_shards
from dedl_workbook.dataset.dataset import bounded
from dedl_workbook.parameters.fields import StepName
from dedl_workbook.parameters.target import Hda
from dedl_workbook.publication.job import Check, Job, Outcome, judged
from dedl_workbook.publication.metadata import (
    DOCUMENT_LIMIT,
    collection,
    has_file,
    href_path,
    items,
)
from dedl_workbook.services.catalog import comparison
from dedl_workbook.services.catalog.comparison import Comparison
from dedl_workbook.services.hda import dialect as hda_dialect
from dedl_workbook.services.hda import served as hda_served
from dedl_workbook.steps import upload, verify
from dedl_workbook.steps.verify import eodag
from dedl_workbook.steps.verify.addresses import address_check, few, shown_check
from dedl_workbook.steps.verify.sample import Asset, Sample, chosen, note
from dedl_workbook.steps.verify.searches import search_checks, searches
from dedl_workbook.steps.verify.user import Asker, asking

if TYPE_CHECKING:
    import httpx

    _Way = tuple[str, httpx.Response]

ANONYMOUS, OUTSIDER, BEFORE, MEMBER = (
    "anonymous", "without the role", "token from before the role", "with the role",
)  # fmt: skip
Delivered = Mapping[str, tuple[int, str]]
"""Size (bytes) and SHA-256 of each delivered file of an item, by path."""
Tokens = Callable[[Job, str], str | None]
"""Gives the access token of a case, or None where there is none to be had."""

PAGE = 100
"""Items a page."""
_LISTED = 100
_PAGES_TOO_MANY = 1_000_000
_WHOLE = "downloadLink"


def tokens_of_target(job: Job, case: str) -> str | None:
    """Return the token of a case from the IAM service of the target."""
    from dedl_workbook.services.iam import fresh_token

    iam = getattr(job.target, "iam", None)
    if iam is None or case in (ANONYMOUS, BEFORE):
        return None
    if case == OUTSIDER:
        return fresh_token(iam, iam.outsider).get_secret_value() if iam.outsider else None
    return fresh_token(iam).get_secret_value()


def check(job: Job, tokens: Tokens = tokens_of_target) -> Outcome:
    """Look at the publication through HDA as each kind of user.

    Raises:
        InputError: nothing was uploaded yet, or the dataset can't be read.
        ServiceError: HDA doesn't answer, or not as one.
    """
    hda = job.target.hda
    if hda is None:
        raise ValueError("the target has no HDA")
    reader = tokens(job, MEMBER) if job.ticket.roles or not hda.anonymous_downloads else None
    if reader is None and job.ticket.roles:
        return judged(
            StepName.VERIFY, [Check(f"HDA, {MEMBER}", False, "no token is to be had")], ""
        )
    most = job.ticket.downloads
    sample = Sample(most, every=len(upload.digests(job)) <= most)
    with asking(hda, reader) as user:
        checks, tried = _open(job, hda, user, sample)
        checks = [address_check(job), shown_check(job, user, sample.items), *checks]
    first = str(sample.items[0]["id"]) if sample.items else ""
    asset = next((a.name for some in sample.assets.values() for a in some if a.item == first), "")
    if job.ticket.roles:
        for case in (ANONYMOUS, OUTSIDER, BEFORE):
            checks += _closed(job, hda, case, tokens, first, asset)
    elif not hda.anonymous_downloads:
        checks += _closed_downloads(job, hda, first, asset)
    summary = (
        f"{sample.total} items of {job.ticket.collection} were found through HDA; "
        f"{len(tried['downloads'])} files were downloaded and are those delivered"
    )
    return judged(StepName.VERIFY, checks, summary, **tried)


# --- Those who may


def _open(job: Job, hda: Hda, user: Asker, sample: Sample) -> tuple[list[Check], dict[str, Any]]:
    digests = upload.digests(job)
    # The client takes a second to start, and some to search: the rest goes on meanwhile.
    with eodag.client(hda) as tried, comparison.comparing(job.folder) as sides:
        for done in sides.publish((path, _shape(item)) for path, item in items(job)):
            job.tell("reading items", done, 0, "items")
        there, checks = _collection_checks(job, user)
        if there:
            checks += _paging_checks(job, user, sides, sample)
        few = {id_: _delivered(job, sides, id_, digests) for id_ in (i["id"] for i in sample.items)}
        with ThreadPoolExecutor(1) as beside:
            client = beside.submit(tried, job.ticket.collection, user.token, few, sample.total)
            asked = list(searches(job, user.search, sample))
            rows = list(_downloads(job, user, sides, sample, digests))
        checks += search_checks(asked)
        checks += _download_checks(rows, sample)
    client_checks, client_report = client.result()
    checks += client_checks
    return checks, {
        "eodag": client_report,
        "searches": asked[: verify.ROWS],
        "downloads": rows[: verify.ROWS],
    }


def _listed(user: Asker) -> Iterator[str]:
    path: str | None = f"/collections?limit={_LISTED}"
    for _ in range(_PAGES_TOO_MANY):
        if path is None:
            return
        page = user.json("GET", path)
        yield from (str(one.get("id")) for one in page.get("collections", []))
        links = [link["href"] for link in page.get("links", []) if link.get("rel") == "next"]
        path = links[0] if links and page.get("collections") else None


def _collection_checks(job: Job, user: Asker) -> tuple[bool, list[Check]]:
    """Return whether the collection is there at all, and what was looked at."""
    id_ = job.ticket.collection
    ids = list(_listed(user))
    where = f"one of {len(ids)}" if id_ in ids else f"not among {len(ids)}"
    answer = user.get(f"/collections/{quote(id_, safe='')}")
    checks = [Check("HDA: collection in the list", id_ in ids, where)]
    if answer.status_code != 200:
        problem = f"answers {answer.status_code}"
        return False, [*checks, Check("HDA: collection by its id", False, problem)]
    return True, checks + hda_served.compared(answer.json(), collection(job))


def _paging_checks(job: Job, user: Asker, sides: Comparison, sample: Sample) -> list[Check]:
    search = user.search(collections=[job.ticket.collection], limit=PAGE)
    rows = (row for page in search.pages_as_dicts() for row in _noted(sample, page))
    for done in sides.hold(rows):
        job.tell("paging through the items", done, 0, "items")
    counts, dataset = sides.counts(), sides.side("published")[0]
    count = f"{sample.total} found, {dataset} in the dataset"
    checks = []
    for name, kind, what in (
        ("every item", "added", "are missing"),
        ("none twice", "twice", "come twice"),
        ("none besides", "vanished", "don't belong"),
        ("every asset", "changed", "have other assets than published"),
    ):
        wrong = f"; {counts[kind]} {what}: {', '.join(sides.examples(kind, 3))}"
        checks.append(
            Check(f"HDA: paging: {name}", not counts[kind], count + (wrong if counts[kind] else ""))
        )
    matched = ", ".join(map(str, sorted(sample.matched))) or "not told"
    return [*checks, Check("HDA: numberMatched", not sample.matched - {dataset}, matched)]


def _noted(sample: Sample, page: Mapping[str, Any]) -> Iterator[tuple[str, str, bytes]]:
    if page.get("numberMatched") is not None:
        sample.matched.add(int(page["numberMatched"]))
    for item in page["features"]:
        assets = {key: one for key, one in item.get("assets", {}).items() if key != _WHOLE}
        whole = item.get("assets", {}).get(_WHOLE)
        note(sample, item | {"assets": assets, _WHOLE: whole})
        yield str(item["id"]), _WHEN, comparison.form(_shape(item | {"assets": assets}))


_WHEN = comparison.utc("2000-01-01T00:00:00Z")


def _shape(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every item that HDA shows has as it was published: how many assets.

    HDA has its own names for them, and its own spelling of times.
    """
    assets = item.get("assets")
    return {
        "id": item.get("id"),
        "geometry": {},
        "properties": {"datetime": _WHEN},
        "assets": len(assets) if isinstance(assets, dict) else 0,
    }


def _downloads(
    job: Job, user: Asker, sides: Comparison, sample: Sample, digests: upload.Digests
) -> Iterator[dict[str, Any]]:
    assets = chosen(sample)
    delivered: dict[str, Delivered] = {
        item: _delivered(job, sides, item, digests) for item in {a.item for a in assets}
    }
    spare = threading.Semaphore(AGAIN)
    downloads = [partial(_download, user, delivered, spare, asset) for asset in assets]
    downloads += [
        partial(_whole, user, item, delivered.get(str(item["id"]), {}), spare)
        for item in sample.items
    ]
    with ThreadPoolExecutor(verify.CLIENTS) as pool:
        for done, row in enumerate(map_shards(_call, downloads, pool), 1):
            job.tell("downloading", done, len(downloads), "files")
            yield row


def _call(download: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    return download()


def _delivered(job: Job, sides: Comparison, item: str, digests: upload.Digests) -> Delivered:
    """Return size and SHA-256 of the delivered files of an item, by path."""
    known = sides.published(item)
    file = job.dataset.stat(known[0]) if known else None
    if file is None:
        return {}
    document = json.loads(bounded(job.dataset, file, DOCUMENT_LIMIT))
    there = has_file(job)
    hrefs = [asset.get("href") for asset in (document.get("assets") or {}).values()]
    paths = [path for href in hrefs if (path := href_path(href, there))]
    return {path: size_digest for path in paths if (size_digest := digests.get(path))}


def _download(
    user: Asker,
    delivered: Mapping[str, Delivered],
    spare: threading.Semaphore,
    asset: Asset,
) -> dict[str, Any]:
    row = {"item": asset.item, "asset": asset.name, "type": asset.type, "file": ""}
    if not asset.href.startswith(user.url + user.offers):
        return row | {"bytes": 0, "sha256": "", "fault": "isn't offered through HDA"}
    size, sha256, fault = _patiently(user, asset.href, spare)
    same = [
        path for path, known in delivered.get(asset.item, {}).items() if known == (size, sha256)
    ]
    # Of equal files the one of that name is meant: HDA lists assets by the files' names.
    file = next((path for path in same if _name(path) == asset.name), same[0] if same else "")
    if not fault and not file:
        fault = f"is none of the files that were delivered for it ({size} bytes)"
    return row | {"file": file, "bytes": size, "sha256": sha256, "fault": fault}


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _whole(
    user: Asker,
    item: Mapping[str, Any],
    delivered: Delivered,
    spare: threading.Semaphore,
) -> dict[str, Any]:
    """Download an item as a whole: the file, or an archive that holds each by its name."""
    link = item.get(_WHOLE) or {}
    row = {"item": str(item["id"]), "asset": _WHOLE, "type": "whole item", "file": ""}
    if not link:
        return row | {"bytes": 0, "sha256": "", "fault": "has no download link"}
    with tempfile.TemporaryFile() as archive:
        size, sha256, fault = _patiently(user, str(link.get("href")), spare, archive)
        if not fault and len(delivered) == 1:
            same = (size, sha256) in delivered.values()
            fault = "" if same else f"is not the file that was delivered ({size} bytes)"
        elif not fault:
            fault = _differing(archive, delivered)
    return row | {"bytes": size, "sha256": sha256, "fault": fault}


def _differing(archive: IO[bytes], delivered: Delivered) -> str:
    """Compare an archive with the delivered files, name by name; return what differs, or ''.

    HDA leaves empty files out.
    """
    meant = {_name(path): known for path, known in delivered.items() if known[0]}
    if not meant:
        return ""
    try:
        with zipfile.ZipFile(archive) as files:
            held = {
                _name(one.filename): (one.file_size, _digest(files, one))
                for one in files.infolist()
                if not one.is_dir() and one.file_size
            }
    except (*BROKEN_ZIP, OSError) as error:
        return f"is no archive of its {len(meant)} files: {error}"
    wrong = [f"lacks {name}" for name in meant.keys() - held.keys()]
    wrong += [f"holds {name}, which was not delivered" for name in held.keys() - meant.keys()]
    both = meant.keys() & held.keys()
    wrong += [f"holds other bytes as {name}" for name in both if held[name] != meant[name]]
    return few(sorted(wrong))


def _digest(files: zipfile.ZipFile, one: zipfile.ZipInfo) -> str:
    with files.open(one) as stream:
        sha256 = hashlib.sha256()
        while block := stream.read(2**20):
            sha256.update(block)
    return sha256.hexdigest()


AGAIN, PAUSE = 10, 2.0
"""Downloads that are tried again, at most, and after how many seconds. HDA searches its catalogue
for each, and answers 404 too where that fails or takes too long."""


def _patiently(
    user: Asker, href: str, spare: threading.Semaphore, file: IO[bytes] | None = None
) -> tuple[int, str, str]:
    """Return what `_fetched` does; if that fails, of a second try while there are any to spare."""
    result = _fetched(user, href, file)
    if result[2] and spare.acquire(blocking=False):
        time.sleep(PAUSE)
        # It may be away: another ticket's change is let in by a restart.
        user.get("/")
        result = _fetched(user, href, file)
    return result


def _fetched(user: Asker, href: str, file: IO[bytes] | None) -> tuple[int, str, str]:
    """Return size, SHA-256 and fault of a download, which goes into `file`.

    The token stays with HDA.
    """
    if not href.startswith(user.url + "/"):
        return 0, "", "leads elsewhere than to HDA"
    size, sha256, fault, location = verify.fetched(user.client, href, file)
    if location:
        size, sha256, fault, location = verify.fetched(user.outside, location, file)
    return size, sha256, fault or ("leads in circles" if location else "")


def _download_checks(rows: list[dict[str, Any]], sample: Sample) -> list[Check]:
    checks = []
    for kind in [*sorted(sample.count), "whole item"]:
        some = [row for row in rows if row["type"] == kind]
        bad = [f"{row['item']} {row['asset']} {row['fault']}" for row in some if row["fault"]]
        summary = f"{len(some)} downloaded, {sum(row['bytes'] for row in some)} bytes"
        checks.append(Check(f"HDA: download: {kind}", not bad, few(bad) or summary))
    return [*checks, Check("HDA: downloads", bool(rows), f"{len(rows)} tried")]


# --- Those who may not


def _ways(hda: Hda, user: Asker, id_: str, item: str, asset: str) -> Iterator[_Way]:
    """Try every way to read a collection that one must not read."""
    place, equal = f"/collections/{quote(id_, safe='')}", {"collection": {"eq": id_}}
    cql = {"op": "=", "args": [{"property": "collection"}, id_]}
    yield "the collection", user.get(place)
    yield "its items", user.get(f"{place}/items")
    yield "an item", user.get(f"{place}/items/{quote(item, safe='')}")
    yield "search", user.get("/search", collections=id_)
    yield "search, POST", user.post("/search", {"collections": [id_]})
    yield "search by ids", user.get("/search", ids=item)
    yield "search by ids, POST", user.post("/search", {"ids": [item]})
    yield "search by query", user.get("/search", query=json.dumps(equal))
    yield "search by query, POST", user.post("/search", {"query": equal})
    yield "search by CQL2 text", user.get("/search", filter=f"collection='{id_}'")
    yield "search by CQL2, POST", user.post("/search", {"filter": cql, "filter-lang": "cql2-json"})
    named = {"provider": hda.provider, "collection": id_, "item": item, "asset": asset}
    parts = {key: quote(part, safe="") for key, part in named.items()}
    dialect = hda_dialect.of(hda)
    yield f"data, {asset}", user.get(dialect.download.format(**parts))
    yield f"data, {_WHOLE}", user.get(dialect.whole.format(**parts))


def _leak(answer: httpx.Response, job: Job, item: str) -> str:
    """Return what an answer shows of a closed collection, or nothing."""
    if answer.status_code in hda_served.CLOSED or answer.status_code == 400:
        return ""
    if answer.status_code != 200 or "json" not in answer.headers.get("content-type", ""):
        return f"answers {answer.status_code}"
    document = answer.json()
    if document.get("type") in ("Collection", "Feature"):
        return "is shown"
    shown = [
        one for one in document.get("features", [])
        if job.ticket.collection in (one.get("collection"), one.get("id")) or one.get("id") == item
    ]  # fmt: skip
    return f"shows {len(shown)} items" if shown else ""


def _closed(job: Job, hda: Hda, case: str, tokens: Tokens, item: str, asset: str) -> list[Check]:
    token = None if case == ANONYMOUS else tokens(job, case)
    if token is None and case == BEFORE:
        # None is kept from before the role was granted: a token lives minutes, and is a secret.
        return []
    if token is None and case != ANONYMOUS:
        wanted = "not possible: the target names no user without the role (iam.outsider)"
        return [Check(f"HDA, {case}", False, wanted)]
    with asking(hda, token) as user:
        shown = {
            way: _leak(answer, job, item)
            for way, answer in _ways(hda, user, job.ticket.collection, item, asset)
        }
        listed = hda.lists_restricted or job.ticket.collection not in _listed(user)
    shown["the list"] = "" if listed else "is in the list"
    leaks = [f"{way} {what}" for way, what in shown.items() if what]
    summary = few(leaks, 5) or f"{len(shown)} ways tried, all closed"
    return [Check(f"HDA, {case}", not leaks, summary)]


def _closed_downloads(job: Job, hda: Hda, item: str, asset: str) -> list[Check]:
    with asking(hda, None) as user:
        ways = [
            pair
            for pair in _ways(hda, user, job.ticket.collection, item, asset)
            if pair[0].startswith("data")
        ]
        leaks = [f"{way} {what}" for way, a in ways if (what := _leak(a, job, item))]
    summary = "; ".join(leaks) or f"{len(ways)} ways tried, all closed"
    return [Check(f"HDA, {ANONYMOUS}: no downloads", not leaks, summary)]
