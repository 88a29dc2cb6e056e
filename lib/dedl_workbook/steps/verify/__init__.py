"""Verify: look at the publication from outside, as a user does, with pystac-client and plain HTTP.

The procedure's step 3: items are found and data downloads. Nothing of what the other steps reported
counts here but the digests that the upload made of the delivered bytes.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from dedl_workbook.base import http
from dedl_workbook.base.errors import ServiceError
from dedl_workbook.base.parallel import map_shards
from dedl_workbook.dataset import s3
from dedl_workbook.publication import metadata
from dedl_workbook.publication.job import Check, Job, Outcome, judged
from dedl_workbook.publication.metadata import items
from dedl_workbook.services.catalog import comparison, stac_api
from dedl_workbook.services.catalog.comparison import Comparison
from dedl_workbook.steps import upload
from dedl_workbook.steps.verify.addresses import address_check, few
from dedl_workbook.steps.verify.sample import Asset, Sample, chosen, note
from dedl_workbook.steps.verify.searches import search_checks, searches
from dedl_workbook.steps.verify.user import quiet

if TYPE_CHECKING:
    import httpx
    from pystac_client import Client

STEP = "verify"
PAGE = 500
"""Items a page."""
ROWS = 200
CLIENTS = 8
_BLOCK = 2**20


def check(job: Job) -> Outcome:
    """Find the collection and every item, search for some, download, compare with the dataset.

    Raises:
        InputError: nothing was uploaded yet, or the dataset can't be read.
        ServiceError: the STAC API doesn't answer, or not as one.
    """
    if job.target.hda is not None:
        from dedl_workbook.steps.verify import hda as verify_hda

        return verify_hda.check(job)
    digests = upload.digests(job)
    with (
        comparison.comparing(job.folder) as sides,
        _client(job) as client,
        ThreadPoolExecutor(1) as worker,
    ):
        # The dataset is read, and then what was found is digested, while the server works.
        published = worker.submit(_publish, job, sides)
        most, pool = job.ticket.downloads, f"s3://{job.target.s3.bucket}/"
        sample = Sample(most, every=len(digests) <= most, pool=pool)
        there, checks = _collection_checks(job, client)
        if there:
            checks += _paging_checks(job, sides, sample, worker)
        published.result()
        asked = list(searches(job, client.search, sample))
        checks += search_checks(asked)
    assets = chosen(sample)
    rows = list(_downloads(job, assets, digests))
    checks.append(address_check(job))
    checks += _download_checks(rows, sample, len(digests))
    passed = sum(not row["fault"] for row in rows)
    summary = (
        f"{sample.total} items of {job.ticket.collection} were found from outside; {passed} files, "
        f"{sum(row['bytes'] for row in rows)} bytes, were downloaded and are those delivered"
    )
    tried = {"searches": asked[:ROWS], "downloads": rows[:ROWS]}
    return judged(STEP, checks, summary, left_out=max(0, len(rows) - ROWS), **tried)


def _publish(job: Job, sides: Comparison) -> None:
    wanted = ((path, stac_api.shown(item)) for path, item in items(job))
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
    wrong = stac_api.differing(served, metadata.collection(job))
    checks.append(Check("collection by its id", True, str(served.get("title") or id_)))
    summary = f"differs in {', '.join(wrong)}" if wrong else "every field"
    return id_ in ids, [*checks, Check("collection as published", not wrong, summary)]


def _paging_checks(job: Job, sides: Comparison, sample: Sample, worker: Executor) -> list[Check]:
    root, asked = job.target.stac_api.url, {"collections": [job.ticket.collection], "limit": PAGE}
    with stac_api.reading(root) as http:
        pages = map_shards(partial(_noted, sample), stac_api.search(http, root, asked), worker)
        for done in sides.hold(row for page in pages for row in page):
            job.tell("paging through the items", done, 0, "items")
    counts, dataset = sides.counts(), sides.side("published")[0]
    count = f"{sample.total} found, {dataset} in the dataset"
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
        checks.append(Check(f"paging: {name}", not wrong, "; ".join([count, *wrong])))
    matched = ", ".join(map(str, sorted(sample.matched))) or "not told"
    checks.append(Check("paging: numberMatched", not sample.matched - {dataset}, matched))
    return checks


def _noted(sample: Sample, page: dict[str, Any]) -> list[tuple[str, str, bytes]]:
    if page.get("numberMatched") is not None:
        sample.matched.add(int(page["numberMatched"]))
    for item in page["features"]:
        note(sample, item)
    return [
        (str(item["id"]), "", comparison.form(stac_api.shown(item))) for item in page["features"]
    ]


def url_of(job: Job) -> Callable[[str], str]:
    """Return what makes a URL for a plain GET of a published href.

    HDA answers a download with a redirect to such a presigned URL. It grants access for an hour:
    it must not get into any message or output.
    """
    client, bucket = s3.client(job.target.s3), job.target.s3.bucket

    def url(href: str) -> str:
        key = href.removeprefix(f"s3://{bucket}/")
        return client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})

    return url


def _downloads(job: Job, assets: list[Asset], digests: upload.Digests) -> Iterator[dict[str, Any]]:
    bundle = job.target.s3.ca_bundle
    trust = ssl.create_default_context(cafile=str(bundle)) if bundle else True
    with (
        quiet(),
        http.client(verify=trust) as client,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        one = partial(_download, job, client, url_of(job), digests)
        for done, row in enumerate(map_shards(one, assets, pool), 1):
            job.tell("downloading", done, len(assets), "files")
            yield row


def _download(
    job: Job,
    client: httpx.Client,
    url: Callable[[str], str],
    digests: upload.Digests,
    asset: Asset,
) -> dict[str, Any]:
    """Download an asset; return what came of it, with what is wrong with it, if anything."""
    row = {"item": asset.item, "asset": asset.name, "type": asset.type, "href": asset.href}
    wanted = digests.of(asset.href)
    size, sha256, fault, elsewhere = fetched(client, url(asset.href))
    fault = fault or ("the download leads elsewhere" if elsewhere else "")
    if not fault and wanted is None:
        fault = "is none of the files that were uploaded"
    elif not fault and wanted and (size, sha256) != wanted:
        fault = f"is not what was delivered ({size} bytes, delivered {wanted[0]})"
        fault = fault if size != wanted[0] else "is not what was delivered: another SHA-256"
    return row | {"bytes": size, "sha256": sha256, "fault": fault}


def fetched(
    client: httpx.Client, url: str, file: IO[bytes] | None = None
) -> tuple[int, str, str, str]:
    """Return size, SHA-256 and fault of what a URL gives, or the URL that it leads to.

    What it gives goes into `file` as well, in place of what was there.

    That one may grant access: like the first, it must not get into any message.
    """
    import httpx

    total, size = hashlib.sha256(), 0
    if file is not None:
        file.seek(0)
        file.truncate()
    try:
        with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
            if answer.has_redirect_location:
                return 0, "", "", str(answer.url.join(answer.headers["location"]))
            if answer.status_code != 200:
                return 0, "", f"the download answered {answer.status_code}", ""
            for block in answer.iter_raw(_BLOCK):
                total.update(block)
                size += len(block)
                if file is not None:
                    file.write(block)
    except httpx.HTTPError as error:
        return size, "", f"the download failed: {type(error).__name__}", ""
    return size, total.hexdigest(), "", ""


def _download_checks(rows: list[dict[str, Any]], sample: Sample, files: int) -> list[Check]:
    checks = []
    for kind in sorted(sample.count):
        some = [row for row in rows if row["type"] == kind]
        bad = [f"{row['item']} {row['asset']} {row['fault']}" for row in some if row["fault"]]
        remote = sample.remote.get(kind, 0)
        size = sum(row["bytes"] for row in some)
        summary = f"{len(some)} of {sample.count[kind]} assets downloaded, {size} bytes"
        summary += f", {remote} that lie elsewhere not tried" if remote else ""
        checks.append(Check(f"download: {kind}", not bad, few(bad) or summary))
    whole = bool(rows) or not files
    paths = len({row["href"] for row in rows})
    checks.append(Check("downloads", whole, f"{paths} of {files} files"))
    return checks
