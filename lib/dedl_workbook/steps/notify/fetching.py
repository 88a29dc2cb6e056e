"""Fetching: how users find and download a collection, as commands that can be copied."""

from __future__ import annotations

from collections.abc import Iterator

from dedl_workbook.publication.job import Job

DEDL = "https://hda.data.destination-earth.eu/stac/v2"
"""The HDA that eodag's bundled provider `dedl` asks."""


def lines(job: Job) -> Iterator[str]:
    """Yield the lines of the letter: curl, pystac-client, and eodag where there is an HDA."""
    hda, id_ = job.target.hda, job.ticket.collection
    root = (hda.url if hda else job.target.stac_api.url).rstrip("/")
    token = bool(job.ticket.roles) or (hda is not None and not hda.anonymous_downloads)
    if token:
        yield "  curl and pystac-client take a token of yours from the variable TOKEN. eodag logs"
        yield "  in by itself, with the variables EODAG__DEDL__AUTH__CREDENTIALS__USERNAME and"
        yield "  EODAG__DEDL__AUTH__CREDENTIALS__PASSWORD."
        yield ""
    yield "  With curl, some items and the addresses of their files:"
    yield ""
    header = '-H "Authorization: Bearer $TOKEN" ' if token else ""
    yield f"    curl --fail {header}'{root}/collections/{id_}/items?limit=10'"
    yield ""
    yield "  In Python, with pystac-client:"
    yield ""
    if token:
        yield "    import os"
    yield "    from pystac_client import Client"
    headers = ', headers={"Authorization": f"Bearer {os.environ[\'TOKEN\']}"}' if token else ""
    yield f'    client = Client.open("{root}"{headers})'
    yield f'    for item in client.search(collections=["{id_}"], max_items=10).items():'
    yield "        print(item.id, [asset.href for asset in item.assets.values()])"
    if hda is None:
        return
    yield ""
    yield "  In Python, with eodag, which downloads:"
    yield ""
    yield "    from eodag import EODataAccessGateway"
    yield "    gateway = EODataAccessGateway()"
    if root != DEDL:
        search = f'{{"api_endpoint": "{root}/search", "need_auth": {token}}}'
        yield f'    gateway.update_providers_config(dict_conf={{"dedl": {{"search": {search}}}}})'
    yield f'    items = gateway.search(provider="dedl", collection="{id_}")'
    yield '    print(gateway.download(items[0], output_dir="."))'
