"""Verify: look at the publication from outside, as a user does, with pystac-client and plain HTTP.

The procedure's step 3: items are found and data downloads. Nothing of what the other steps said
counts here but the digests that the upload made of the delivered bytes.
"""

from __future__ import annotations

import hashlib
import logging
import random
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from dedl_workbook import comparison, publication, s3, stac_api, upload
from dedl_workbook.comparison import Comparison
from dedl_workbook.errors import ServiceError
from dedl_workbook.job import Job
from dedl_workbook.parallel import map_shards
from dedl_workbook.steps import Check, Outcome, judged

if TYPE_CHECKING:
    import httpx
    from pystac_client import Client

STEP = "verify"
PAGE = 500
"""Items a page."""
ALL = 200
"""Up to so many data files, each is downloaded; of more, a sample of about so many."""
SEARCHED = 3
"""Items that are searched for in every way."""
ROWS = 200
CLIENTS = 8
_BLOCK = 2**20
_EDGE = 1.0

Box = tuple[float, float, float, float]
"""West, south, east, north, in degrees."""


@dataclass(frozen=True)
class Asset:
    """One asset as it is served."""

    item: str
    name: str
    type: str
    href: str


@dataclass
class Seen:
    """What was kept of the items that went by: samples, and what bounds them all."""

    assets: dict[str, list[Asset]] = field(default_factory=dict)
    """By media type; a fair sample of each, or all."""
    count: dict[str, int] = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)
    matched: set[int] = field(default_factory=set)
    """What numberMatched said, on any page."""
    south: float = 90.0
    north: float = -90.0
    earliest: str = ""
    total: int = 0


def check(job: Job) -> Outcome:
    """Find the collection and every item, search for some, download, compare with the dataset.

    Raises:
        InputError: nothing was uploaded yet, or the dataset can't be read.
        ServiceError: the STAC API doesn't answer, or not as one.
    """
    if job.target.hda is not None:
        from dedl_workbook.verify import hda as verify_hda

        return verify_hda.check(job)
    digests = upload.digests(job)
    with (
        comparison.comparing(job.folder) as sides,
        _client(job) as client,
        ThreadPoolExecutor(1) as worker,
    ):
        # The dataset is read, and then what was found is digested, while the server works.
        published = worker.submit(_publish, job, sides)
        (there, checks), seen = _collection_checks(job, client), Seen()
        if there:
            every = len(digests) <= ALL
            checks += _paging_checks(job, client, sides, seen, worker, every=every)
        published.result()
        asked = list(searches(job, client.search, seen))
        checks += search_checks(asked)
    assets = [asset for some in seen.assets.values() for asset in some]
    rows = list(_downloads(job, assets, digests))
    checks += _download_checks(rows, seen, len(digests))
    passed = sum(not row["fault"] for row in rows)
    summary = (
        f"{seen.total} items of {job.ticket.collection} were found from outside; {passed} files, "
        f"{sum(row['bytes'] for row in rows)} bytes, were downloaded and are those delivered"
    )
    tried = {"searches": asked[:ROWS], "downloads": rows[:ROWS]}
    return judged(STEP, checks, summary, left_out=max(0, len(rows) - ROWS), **tried)


def _publish(job: Job, sides: Comparison) -> None:
    wanted = ((path, stac_api.shown(item)) for path, item in publication.items(job))
    for done in sides.publish(wanted):
        job.tell("reading items", done, 0, "items")


@contextmanager
def _client(job: Job) -> Iterator[Client]:
    from pystac import STACError
    from pystac_client import Client
    from pystac_client.exceptions import APIError
    from requests import RequestException

    url = job.target.stac_api.url
    remedy = "Check that the STAC API of the target is up and at this address, then run again."
    try:
        yield Client.open(url, timeout=(10, 60))
    except (APIError, RequestException, STACError, ValueError) as error:
        line = (str(error) or type(error).__name__).splitlines()[0][:300]
        raise ServiceError(f"the STAC API fails: {line}", where=url, remedy=remedy) from error


def _collection_checks(job: Job, client: Client) -> tuple[bool, list[Check]]:
    """Return whether the collection is there at all, and what was looked at."""
    root, id_ = job.target.stac_api.url, job.ticket.collection
    ids = [collection.id for collection in client.get_collections()]
    listed = f"one of {len(ids)}" if id_ in ids else f"not among {len(ids)}"
    checks = [Check("collection in the list", id_ in ids, listed)]
    with stac_api.reading(root) as http:
        served = stac_api.collection(http, root, id_)
    if served is None:
        return False, [*checks, Check("collection by its id", False, f"{id_} is not found")]
    wrong = stac_api.differing(served, publication.collection(job))
    checks.append(Check("collection by its id", True, str(served.get("title") or id_)))
    found = f"differs in {', '.join(wrong)}" if wrong else "every field"
    return id_ in ids, [*checks, Check("collection as published", not wrong, found)]


def _paging_checks(
    job: Job, client: Client, sides: Comparison, seen: Seen, worker: Executor, *, every: bool
) -> list[Check]:
    search = client.search(collections=[job.ticket.collection], limit=PAGE)
    look = partial(_looked, seen, every=every)
    pages = map_shards(look, search.pages_as_dicts(), worker)
    for done in sides.hold(row for page in pages for row in page):
        job.tell("paging through the items", done, 0, "items")
    counts, dataset = sides.counts(), sides.side("published")[0]
    found = f"{seen.total} found, {dataset} in the dataset"
    checks = []
    for name, kinds, what in (
        ("every item", ("added",), "are missing"),
        ("none twice", ("twice",), "come twice"),
        ("none besides", ("vanished",), "don't belong"),
        ("as published", ("changed", "moved"), "differ"),
    ):
        wrong = [
            f"{counts[kind]} {what}: {', '.join(sides.examples(kind, 3))}"
            for kind in kinds
            if counts[kind]
        ]
        checks.append(Check(f"paging: {name}", not wrong, "; ".join([found, *wrong])))
    told = ", ".join(map(str, sorted(seen.matched))) or "not told"
    checks.append(Check("paging: numberMatched", not seen.matched - {dataset}, told))
    return checks


def _looked(seen: Seen, page: dict[str, Any], *, every: bool) -> list[tuple[str, str, bytes]]:
    if page.get("numberMatched") is not None:
        seen.matched.add(int(page["numberMatched"]))
    for item in page["features"]:
        note(seen, item, every=every)
    return [
        (str(item["id"]), "", comparison.form(stac_api.shown(item))) for item in page["features"]
    ]


def note(seen: Seen, item: dict[str, Any], *, every: bool) -> None:
    """Keep what is needed of one item: a fair sample of all, each media type for itself."""
    seen.total += 1
    for name, asset in (item.get("assets") or {}).items():
        kind = str(asset.get("type") or "no media type")
        count = seen.count[kind] = seen.count.get(kind, 0) + 1
        kept = seen.assets.setdefault(kind, [])
        most = ALL if every else max(ALL // 10, ALL // len(seen.assets))
        made = Asset(str(item["id"]), name, kind, str(asset.get("href")))
        if every or len(kept) < most:
            kept.append(made)
        elif (place := random.randrange(count)) < len(kept):  # noqa: S311 (no secret)
            kept[place] = made
    if len(seen.items) < SEARCHED:
        seen.items.append(item)
    elif (place := random.randrange(seen.total)) < SEARCHED:  # noqa: S311
        seen.items[place] = item
    box = _box(item)
    seen.south, seen.north = min(seen.south, box[1]), max(seen.north, box[3])
    first = comparison.span(item)[0]
    seen.earliest = min(seen.earliest or first, first)


def _box(item: dict[str, Any]) -> Box:
    box = item.get("bbox")
    if isinstance(box, list) and len(box) in (4, 6):
        half = len(box) // 2
        return float(box[0]), float(box[1]), float(box[half]), float(box[half + 1])
    points = list(_points(item["geometry"]))
    wide, high = [point[0] for point in points], [point[1] for point in points]
    return min(wide), min(high), max(wide), max(high)


def _points(geometry: Any) -> Iterator[list[float]]:
    if isinstance(geometry, dict):
        yield from _points(geometry.get("coordinates", geometry.get("geometries", [])))
    elif geometry and isinstance(geometry[0], int | float):
        yield geometry
    else:
        for part in geometry:
            yield from _points(part)


def searches(job: Job, search: Callable[..., Any], seen: Seen) -> Iterator[dict[str, Any]]:
    """Try searches that must find an item, and ones that must find nothing.

    `search` is that of pystac-client's Client, or one like it.
    """
    tried = partial(_search, search, job.ticket.collection)
    for item in seen.items:
        id_, instant = str(item["id"]), comparison.span(item)[0]
        yield tried("id", id_, ids=[id_])
        yield tried("bbox", id_, bbox=list(_box(item)))
        yield tried("time", id_, datetime=instant)
    if not seen.items:
        return
    yield tried("id", None, ids=["there-is-no-such-item"])
    before = f"{int(seen.earliest[:4]) - 1:04d}{seen.earliest[4:7]}-01T00:00:00Z"
    yield tried("time", None, datetime=f"../{before}")
    if seen.north < 90 - _EDGE:
        yield tried("bbox", None, bbox=[-180.0, (seen.north + 90) / 2, 180.0, 90.0])
    elif seen.south > _EDGE - 90:
        yield tried("bbox", None, bbox=[-180.0, -90.0, 180.0, (seen.south - 90) / 2])


def _search(
    search: Callable[..., Any], collection: str, by: str, wanted: str | None, **query: Any
) -> dict[str, Any]:
    """Search; a search whose first page is full need not show the very item."""
    pages = search(collections=[collection], limit=PAGE, **query).pages_as_dicts()
    page: dict[str, Any] = next(iter(pages), {"features": []})
    ids = [str(item["id"]) for item in page["features"]]
    if wanted is None:
        passed = not ids
    else:
        alone = ids == [wanted] or by != "id"
        passed = alone and (wanted in ids or len(ids) == PAGE)
    said = {key: str(value) for key, value in query.items()}
    return {"by": by, "query": said, "wanted": wanted, "found": len(ids), "passed": passed}


def search_checks(rows: list[dict[str, Any]]) -> list[Check]:
    """Judge the searches: each kind must hit, and must miss, as it should."""
    checks = []
    for by in ("id", "bbox", "time"):
        for name, hits in (("hit", True), ("miss", False)):
            some = [row for row in rows if row["by"] == by and (row["wanted"] is not None) is hits]
            bad = [row for row in some if not row["passed"]]
            if bad:
                row = bad[0]
                found = f"{row['found']} found for {row['query']}, wanted {row['wanted'] or 'none'}"
            else:
                found = f"{len(some)} tried" if some else "not possible: items are everywhere"
            checks.append(
                Check(
                    f"search by {by} that must {name}",
                    not bad and (bool(some) or (by == "bbox" and not hits and bool(rows))),
                    found,
                )
            )
    return checks  # fmt: skip


def url_of(job: Job) -> Callable[[str], str | None]:
    """Return what makes a URL for a plain GET of a published href, or None for a remote one.

    HDA answers a download with a redirect to such a presigned URL. It grants access for an hour:
    it must not get into any message or output.
    """
    client, bucket = s3.client(job.target.s3), job.target.s3.bucket

    def url(href: str) -> str | None:
        if not href.startswith(f"s3://{bucket}/"):
            return None
        key = href.removeprefix(f"s3://{bucket}/")
        return client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})

    return url


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the HTTP client from logging URLs that grant access."""
    loggers = [logging.getLogger(name) for name in ("httpx", "httpcore")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _downloads(job: Job, assets: list[Asset], digests: upload.Digests) -> Iterator[dict[str, Any]]:
    import httpx

    bundle = job.target.s3.ca_bundle
    trust = ssl.create_default_context(cafile=str(bundle)) if bundle else True
    with (
        quiet(),
        httpx.Client(timeout=httpx.Timeout(60, connect=10), verify=trust) as client,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        one = partial(_download, job, client, url_of(job), digests)
        for done, row in enumerate(map_shards(one, assets, pool), 1):
            job.tell("downloading", done, len(assets), "files")
            yield row


def _download(
    job: Job,
    client: httpx.Client,
    url: Callable[[str], str | None],
    digests: upload.Digests,
    asset: Asset,
) -> dict[str, Any]:
    """Download an asset; say what is wrong with it, if anything."""
    row = {"item": asset.item, "asset": asset.name, "type": asset.type, "href": asset.href}
    start = f"s3://{job.target.s3.bucket}/{job.prefix}"
    wanted = digests.get(asset.href.removeprefix(start)) if asset.href.startswith(start) else None
    address = url(asset.href)
    if address is None:
        return row | {"bytes": 0, "sha256": "", "fault": "", "remote": True}
    size, sha256, fault, elsewhere = fetched(client, address)
    fault = fault or ("the download leads elsewhere" if elsewhere else "")
    if not fault and wanted is None:
        fault = "is none of the files that were uploaded"
    elif not fault and wanted and (size, sha256) != wanted:
        fault = f"is not what was delivered ({size} bytes, delivered {wanted[0]})"
        fault = fault if size != wanted[0] else "is not what was delivered: another SHA-256"
    return row | {"bytes": size, "sha256": sha256, "fault": fault, "remote": False}


def fetched(client: httpx.Client, url: str) -> tuple[int, str, str, str]:
    """Return size, SHA-256 and fault of what a URL gives, or the URL that it leads to.

    That one may grant access: like the first, it must not get into any message.
    """
    import httpx

    total, size = hashlib.sha256(), 0
    try:
        with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
            if answer.has_redirect_location:
                return 0, "", "", str(answer.url.join(answer.headers["location"]))
            if answer.status_code != 200:
                return 0, "", f"the download answered {answer.status_code}", ""
            for block in answer.iter_raw(_BLOCK):
                total.update(block)
                size += len(block)
    except httpx.HTTPError as error:
        return size, "", f"the download failed: {type(error).__name__}", ""
    return size, total.hexdigest(), "", ""


def _download_checks(rows: list[dict[str, Any]], seen: Seen, files: int) -> list[Check]:
    checks = []
    for kind in sorted(seen.count):
        some = [row for row in rows if row["type"] == kind and not row["remote"]]
        bad = [f"{row['item']} {row['asset']} {row['fault']}" for row in some if row["fault"]]
        remote = sum(row["remote"] for row in rows if row["type"] == kind)
        size = sum(row["bytes"] for row in some)
        found = f"{len(some)} of {seen.count[kind]} assets downloaded, {size} bytes"
        found += f", {remote} remote ones not tried" if remote else ""
        checks.append(Check(f"download: {kind}", not bad, "; ".join(bad[:3]) or found))
    whole = any(not row["remote"] for row in rows) or not files
    paths = len({row["href"] for row in rows if not row["remote"]})
    checks.append(Check("downloads", whole, f"{paths} of {files} files"))
    return checks
