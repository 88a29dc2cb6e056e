"""Addresses: where published documents lead, and what of it leads to what was not published.

HDA serves whatever an item's assets name, with its own key to the store: an address of another
ticket's object would hand that out to anybody. So every href of a published document is a key that
this ticket wrote, or reuses; or an http(s) address on a server that is none of the data lake's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from dedl_workbook.base.errors import InputError
from dedl_workbook.base.json import pointer
from dedl_workbook.parameters.target import Target
from dedl_workbook.publication import keys
from dedl_workbook.publication.job import Job
from dedl_workbook.publication.keys import Keys

WEB = ("http", "https")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
# What readers of URLs drop (WHATWG): such characters anywhere, those and blanks in front.
_DROPPED = dict.fromkeys(map(ord, "\t\r\n"))
_LEADING = "".join(map(chr, range(0x21)))
_ODD = {"", ".", ".."}


class Address(NamedTuple):
    """An href of a document."""

    parts: tuple[str | int, ...]
    """Where it stands, as the parts of a JSON pointer."""
    href: str
    served: bool
    """Whether HDA serves what it names: an asset of an item. Others are only shown."""


def scheme_of(href: str) -> str:
    """Return an href's scheme in lower case; `//` for an address without one, '' for a path."""
    plain = href.translate(_DROPPED).lstrip(_LEADING)
    if scheme := _SCHEME.match(plain):
        return scheme[1].lower()
    return "//" if plain.startswith(("//", "\\\\")) else ""


def addresses(document: Mapping[str, Any]) -> Iterator[Address]:
    """Yield every href of an item or a collection: of its assets, their alternates, its links."""
    served = "geometry" in document or document.get("type") == "Feature"
    assets = document.get("assets")
    for name, asset in assets.items() if isinstance(assets, dict) else ():
        if not isinstance(asset, dict):
            continue
        if isinstance(href := asset.get("href"), str):
            yield Address(("assets", name, "href"), href, served)
        if "alternate" in asset:
            yield from _below(asset["alternate"], ("assets", name, "alternate"))
    links = document.get("links")
    for number, link in enumerate(links if isinstance(links, list) else ()):
        if isinstance(link, dict) and isinstance(href := link.get("href"), str):
            yield Address(("links", number, "href"), href, served=False)


def _below(value: Any, parts: tuple[str | int, ...]) -> Iterator[Address]:
    """Yield every href at any depth: alternates may have alternates."""
    pairs: Iterable[tuple[str | int, Any]] = value.items() if isinstance(value, dict) else ()
    for name, one in enumerate(value) if isinstance(value, list) else pairs:
        if name == "href" and isinstance(one, str):
            yield Address((*parts, "href"), one, served=False)
        elif isinstance(one, dict | list):
            yield from _below(one, (*parts, name))


@dataclass(frozen=True)
class Allowed:
    """Where the documents of a publication may lead."""

    target: Target
    prefix: str
    """What the keys of its own objects start with, such as `<collection>/<ticket>/`."""
    reused: Keys = lambda path: None
    """Gives the key of an earlier object that is reused, by the file's path."""

    @classmethod
    def of(cls, job: Job) -> Allowed:
        """Return where the documents of a job's publication may lead."""
        return cls(job.target, job.prefix, keys.keys(job))

    def owns(self, href: str) -> bool:
        """Return whether an address is that of an object that this publication wrote, or reuses."""
        start = f"s3://{self.target.s3.bucket}/"
        if not href.startswith(start):
            return False
        key = href[len(start) :]
        path = keys.path_of(key)
        if path is None or _ODD & set(key.split("/")):
            return False
        return key.startswith(self.prefix) or self.reused(path) == key

    def problem(self, address: Address) -> str:
        """Return what is wrong with where an href leads, or ''."""
        if self.owns(address.href):
            return ""
        scheme = scheme_of(address.href)
        if scheme in WEB:
            if names_store(address, self.target):
                return "leads to the data lake's own store past HDA"
            if address.served and self.target.remote_assets == "refuse":
                return "leads to another server, which the target does not allow (remote_assets)"
            return ""
        if not scheme and not address.served:
            return ""
        return "leads to what this ticket did not publish"

    def problems(self, document: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with where a document leads, naming the href and its place."""
        own = remote = False
        for address in addresses(document):
            if problem := self.problem(address):
                yield f"{pointer(*address.parts)}: {address.href[:200]!r} {problem}"
            elif address.served:
                own, remote = (True, remote) if self.owns(address.href) else (own, True)
        if own and remote:
            yield (
                "/assets: some of them were delivered and some lie on other servers: "
                "HDA serves none of such an item"
            )


def names_store(address: Address, target: Target) -> bool:
    """Return whether a web address is that of a store of the data lake, or HDA could take it so.

    EODAG takes the first part of a host's name, or of the path, for the bucket of what it serves.
    """
    try:
        host, port, path = _split(address.href.translate(_DROPPED).lstrip(_LEADING))
    except ValueError:
        return True
    stores = [store for store in (target.s3, target.proposals, target.evidence.s3) if store]
    for endpoint, own, _ in (_split(store.endpoint) for store in stores):
        if port == own and (host == endpoint or host.endswith(f".{endpoint}")):
            return True
    buckets = [one for one in (target.s3.bucket, target.evidence.bucket) if one]
    first = unquote(path).lstrip("/").split("/")[0]
    return address.served and any(
        host == one or host.startswith(f"{one}.") or first == one for one in buckets
    )


def _split(url: str) -> tuple[str, int, str]:
    """Return host, port and path of a web address, in the form in which they can be compared."""
    parts = urlsplit(url)
    host = unquote(parts.hostname or "").lower().rstrip(".")
    return host, parts.port or (443 if parts.scheme == "https" else 80), parts.path


def refuse(document: Mapping[str, Any], allowed: Allowed, where: str) -> None:
    """Refuse a document that leads to what its ticket doesn't publish, whatever was waived.

    Raises:
        InputError: naming the href and where it stands.
    """
    for problem in allowed.problems(document):
        raise InputError(
            f"must not be published: {problem}",
            where=where,
            remedy="Have the file delivered and named by its path in data/, or the address taken "
            "out; then validate again.",
        )


def hosts(document: Mapping[str, Any]) -> Counter[str]:
    """Return the hosts of other servers that an item's assets lie on, and how many on each."""
    return Counter(
        urlsplit(one.href).netloc.rpartition("@")[2].lower()
        for one in addresses(document)
        if one.served and scheme_of(one.href) in WEB
    )
