"""Assets: every href leads to the data that it promises, and all data is promised by an item."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from dedl_workbook.base.json import pointer
from dedl_workbook.dataset.dataset import COLLECTION, DATA
from dedl_workbook.publication.addresses import WEB, addresses, scheme_of
from dedl_workbook.publication.metadata import href_path
from dedl_workbook.rules import checksums, content
from dedl_workbook.rules.across import CLOSED, GONE, Part, folded
from dedl_workbook.rules.delivered import Asset, Item
from dedl_workbook.rules.findings import Severity
from dedl_workbook.rules.placeholders import placeholder
from dedl_workbook.rules.problem import Problem
from dedl_workbook.rules.rule import Document, Given, part_of, rule

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_DELIVER = "Deliver that file, or write the path of the one that is meant."
_ONE_FILE = (
    "An asset is one file: deliver the folder as one, such as a zip, or make an asset of each file "
    "in it."
)
_FIX = "Write the path of the file from the dataset's root, such as data/2024/11/16/ID/x.tif."


def is_remote(href: object) -> bool:
    """Tell whether an href is an address, whatever its scheme, and no path of a file."""
    return isinstance(href, str) and scheme_of(href) not in ("", "file") and not _DRIVE.match(href)


@rule("A01", "item")
def href_names_a_data_file(item: Item, given: Given) -> Iterator[Problem]:
    """Each href stays inside data/ and names a file that is there, by its exact name.

    Relative to the dataset's root, as the procedure has it: absolute paths, `file:` and `..` are
    refused. A `%` is taken as it stands if there is such a file, else as percent-encoding.
    """
    for asset in item.elsewhere:
        if not is_remote(asset.href):
            yield from _no_path(asset)


@part_of("A01", "collection")
def href_of_the_collection_names_a_file(collection: Document, given: Given) -> Iterator[Problem]:
    """Look at the collection's own assets too, but leave placeholders to C09."""
    for asset in given.own.elsewhere if given.own else ():
        href = asset.href
        if not is_remote(href) and not placeholder(str(href)):
            yield from _no_path(asset)


def _no_path(asset: Asset) -> Iterator[Problem]:
    href, where = asset.href, pointer("assets", asset.key, "href")
    if not isinstance(href, str):
        # I01 has it.
        return
    meant = intended(href)
    if "\\" in href and meant:
        text = f"the href '{href[:200]}' has backslashes, which separate no parts of a path here"
        yield Problem(text, f"Write it as '{meant[:200]}'.", where)
    elif href.startswith("../") and meant:
        text = f"the href '{href[:200]}' starts from the item's folder, not from the dataset's root"
        yield Problem(text, f"Write it as '{meant[:200]}'.", where)
    elif ".." in href.split("/") or "%2e" in href.lower():
        yield Problem(f"the href '{href[:200]}' leads out of data/", _FIX, where)
    elif href.startswith("/") or _SCHEME.match(href):
        yield Problem(f"the href '{href[:200]}' is absolute", _FIX, where)
    elif href.endswith("/") and href_path(href.rstrip("/")):
        yield Problem(f"the href '{href[:200]}' names a folder", _ONE_FILE, where)
    else:
        yield Problem(f"the href '{href[:200]}' is no path inside data/", _FIX, where)


def intended(href: str) -> str:
    """Return the path in data/ that an href means which is written from elsewhere, or ''.

    With `/` for backslashes, and without what leads up from the item's folder.
    """
    path = re.sub(r"^(?:\.{1,2}/)+", "", href.replace("\\", "/"))
    return path if path != href and href_path(path) == path else ""


def _other_form(path: str, like: str) -> str:
    """Return in which characters two names differ that look alike, or ''."""
    if unicodedata.normalize("NFC", path) != unicodedata.normalize("NFC", like):
        return ""
    at = next((n for n, (a, b) in enumerate(zip(path, like, strict=False)) if a != b), 0)
    points = (" ".join(f"U+{ord(char):04X}" for char in text[at : at + 2]) for text in (path, like))
    return "in another Unicode form: the href has {}, the file's name {}".format(*points)


@part_of("A01", "across")
def files_of_hrefs_are_there(part: Part, given: Given) -> Iterator[Problem]:
    """Compare hrefs with the files, and name the one that differs in case only."""
    missing, gone = [], []
    for href in part.hrefs:
        row = part.files.get(href[0])
        if row is None or row[2] != "file":
            missing.append(href)
        elif href[4] == GONE or row[1] == GONE:
            gone.append(href)
    for path, file, key, *_ in gone:
        where = pointer("assets", key, "href")
        text = f"the file '{path[:200]}' vanished while the dataset was looked at"
        yield Problem(text, "Validate again when nobody changes it.", where, file)
    there = sorted(part.files, reverse=True) if missing else ()
    names = {folded(path): path for path in there if path.startswith(DATA)}
    for path, file, key, _, _ in missing:
        if path in part.files:
            yield Problem(
                f"'{path[:200]}' is no regular file",
                "Deliver the file itself.",
                pointer("assets", key, "href"),
                file,
            )
            continue
        like = names.get(folded(path))
        # What lies in a folder isn't in this part, but Zarr's folders are told by their names.
        fix = _ONE_FILE if path.endswith(".zarr") else _DELIVER
        fix = f"There is '{like}': write it exactly so." if like else fix
        where = pointer("assets", key, "href")
        text = f"there is no file '{path[:200]}'"
        if like and (form := _other_form(path, like)):
            text += f", but one {form}"
            fix = f"Copy the file's name into the href: '{like}'."
        yield Problem(text, fix, where, file)


@rule("A04", "across", Severity.WARNING)
def data_files_belong_to_items(part: Part, given: Given) -> Iterator[Problem]:
    """Each data file is an asset of an item or the collection.

    Others are uploaded, but nobody finds them. `item_config.json` is a setting of the submitters'
    generator, no data.
    """
    named = {href[0] for href in part.hrefs}
    for path, _, kind in part.files.values():
        if path in named or kind != "file" or not path.startswith(DATA):
            continue
        if not path.endswith("/item_config.json"):
            yield Problem("belongs to no item", "Name it as an asset, or take it out.", file=path)


@rule("A05", "across", Severity.WARNING)
def data_files_belong_to_one_item(part: Part, given: Given) -> Iterator[Problem]:
    """No two items share a data file.

    Mostly a slip in copying; a file that really covers several items is fine.
    """
    firsts: dict[str, str] = {}
    shared: set[str] = set()
    for path, file, *_ in part.hrefs:
        if file != COLLECTION and (first := firsts.setdefault(path, file)) != file:
            shared.add(path)
            firsts[path] = min(first, file)
    for path, file, key, *_ in part.hrefs if shared else ():
        if path in shared and file not in (COLLECTION, firsts[path]):
            text = f"'{path}' is also an asset of '{firsts[path]}'"
            yield Problem(
                text,
                "Name its own file in each, unless one file really covers both.",
                pointer("assets", key, "href"),
                file,
            )


_ELSEWHERE = "Deliver the file and write its path in data/, or take the asset out."
_NOT_OURS = "Write an address that starts with https://, or take it out."


@rule("A06", "item")
def addresses_lead_nowhere_else(item: Item, given: Given) -> Iterator[Problem]:
    """Assets are files that were delivered; alternates and links lead to web pages at most.

    HDA serves what an asset's address names with its own key to the store, whoever asks: one of
    another dataset's object would be handed out to everybody. Where the target's `remote_assets`
    says `list`, all assets of an item may lie on other web servers; HDA serves none of an item of
    which only some do. Alternates and links are shown as they are.
    """
    mixed = len(item.elsewhere) < len(item.assets)
    for asset in item.elsewhere:
        if not is_remote(asset.href):
            continue
        where = pointer("assets", asset.key, "href")
        if scheme_of(asset.href) not in WEB:
            text = f"the asset '{asset.href[:200]}' leads to what is not part of the dataset"
            yield Problem(text, _ELSEWHERE, where)
        elif given.remote_assets != "list":
            text = f"the asset '{asset.href[:200]}' lies on another server"
            yield Problem(text, _ELSEWHERE, where)
        elif mixed:
            text = f"the asset '{asset.href[:200]}' lies on another server, and others don't"
            yield Problem(text, "Deliver all files of an item, or none.", where)
        else:
            text = f"the asset '{asset.href[:200]}' lies on another server"
            fix = "Nothing to do: the plan lists the servers. Their data can vanish."
            yield Problem(text, fix, where, severity=Severity.INFO)
    if not _is_plainly_shown(item):
        yield from _only_shown(item.document)


def _is_plainly_shown(item: Item) -> bool:
    """Tell in a short way whether an item shows nothing but links to web pages."""
    for asset in item.assets:
        if "alternate" in asset.value:
            return False
    try:
        for link in item.document.get("links", ()):
            if not link["href"].startswith("https://"):
                return False
    except (AttributeError, LookupError, TypeError):
        return False
    return True


def _only_shown(document: Document, *, assets: bool = False) -> Iterator[Problem]:
    """Look at the addresses that HDA shows and doesn't serve."""
    for parts, href, served in addresses(document):
        own = len(parts) == 3 and parts[0] == "assets"
        if served or own != assets or (own and not is_remote(href)):
            continue
        scheme = scheme_of(href)
        if scheme and scheme not in WEB:
            text = f"the address '{href[:200]}' leads to what is not part of the dataset"
            yield Problem(text, _NOT_OURS, pointer(*parts))
        elif scheme and parts[0] == "assets":
            text = f"'{href[:200]}' lies on another server"
            fix = "Nothing to do, unless it should be delivered. It can vanish."
            yield Problem(text, fix, pointer(*parts), severity=Severity.INFO)


@part_of("A06", "collection")
def addresses_of_the_collection_lead_nowhere_else(
    collection: Document, given: Given
) -> Iterator[Problem]:
    """Look at the collection's own assets too, which HDA only shows."""
    yield from _only_shown(collection)
    yield from _only_shown(collection, assets=True)


@rule("A07", "item")
def base_names_differ(item: Item, given: Given) -> Iterator[Problem]:
    """The base names of an item's assets differ, and no asset is called downloadLink.

    One file under two keys is a warning. HDA serves assets by base name: of two with the same, one
    vanishes in silence; downloadLink is its own.
    """
    keys: dict[str, str] = {}
    paths: dict[str, str | None] = {}
    for key, _, href, path in item.assets:
        if path is None and isinstance(href, str):
            href = re.split("[?#]", href, maxsplit=1)[0]
        name = (path if path is not None else href if isinstance(href, str) else key).rpartition(
            "/"
        )[2]
        if not name:
            # A service's address.
            continue
        if name in keys and path is not None and path == paths.get(name):
            yield Problem(
                f"the asset '{keys[name]}' is the same file: HDA would drop one of them",
                "Drop one of the two assets.",
                pointer("assets", key),
                severity=Severity.WARNING,
            )
        elif name in keys:
            yield Problem(
                f"'{name}' is the base name of the asset '{keys[name]}' too: HDA would drop one",
                "Rename one of the files, and correct its href.",
                pointer("assets", key, "href"),
            )
        else:
            keys[name] = key
            paths[name] = path
        if key == "downloadLink" or name == "downloadLink":
            yield Problem(
                "HDA has an asset 'downloadLink' of its own",
                "Give the asset another key and the file another name.",
                pointer("assets", key),
            )


@rule("A02", "item")
def checksums_agree(item: Item, given: Given) -> Iterator[Problem]:
    """file:size and file:checksum, where an asset has them, agree with the file.

    Source: the file extension. A checksum costs reading the whole file, so only files that have
    one are read.
    """
    for key, value, _, path in item.assets:
        if path is not None and "file:size" in value and checksums.size(value["file:size"]) < 0:
            yield Problem(
                "file:size is no number of bytes",
                "Write the file's size in bytes, as a whole number.",
                pointer("assets", key, "file:size"),
            )
        if value.get("file:checksum") is not None and path is not None:
            yield from _checksum_agrees(item, given, key, path)


def _checksum_agrees(item: Item, given: Given, key: str, path: str) -> Iterator[Problem]:
    where = pointer("assets", key, "file:checksum")
    checksum = item.document["assets"][key]["file:checksum"]
    try:
        algorithm, promised = checksums.parse(str(checksum))
        digest = checksums.digest(given.dataset, path, algorithm)
    except checksums.UnknownAlgorithm as error:
        fix = "Nothing to do, unless it should be compared: then write 1220 and the SHA-256."
        text = f"the checksum was not looked at: it {error}"
        yield Problem(text, fix, where, severity=Severity.WARNING)
    except ValueError as error:
        fix = "Write a multihash, such as 1220 and SHA-256."
        yield Problem(f"the checksum {error}", fix, where)
    except OSError as error:
        yield from _unreadable(item, given, key, path, error)
    else:
        if digest != promised:
            yield Problem(
                f"the file's {algorithm} is '{digest.hex()}', the checksum says otherwise",
                "Deliver the right file, or correct the checksum.",
                where,
            )


@part_of("A02", "collection")
def checksums_of_the_collection_agree(collection: Document, given: Given) -> Iterator[Problem]:
    """Look at the collection's own assets too."""
    if given.own is not None:
        yield from checksums_agree(given.own, given)


@part_of("A02", "across")
def sizes_agree(part: Part, given: Given) -> Iterator[Problem]:
    """Compare file:size with the file."""
    for path, file, key, promised, _ in part.hrefs:
        if promised < 0 or path not in part.files:
            continue
        size = part.files[path][1]
        if size < 0 or size == promised:
            # A01 has what is gone, L06 what can't be read.
            continue
        yield Problem(
            f"the file has {size} bytes, file:size says {promised}",
            "Deliver the whole file, or correct file:size.",
            pointer("assets", key, "file:size"),
            file,
        )


def _unreadable(item: Item, given: Given, key: str, path: str, error: OSError) -> Iterator[Problem]:
    """Say that a file can't be read, unless there is none, which is said across all files."""
    state = given.dataset.stat(path)
    if state is None:
        item.sizes[path] = GONE
    elif state.kind == "file":
        item.sizes[path] = CLOSED
        yield Problem(
            f"the file can't be read: {error.strerror or error}",
            "Give the operators the right to read it.",
            pointer("assets", key, "href"),
        )


@rule("A03", "item")
def content_matches_the_media_type(item: Item, given: Given) -> Iterator[Problem]:
    """A file's content is of the asset's media type, and not cut off.

    For TIFF, NetCDF, HDF5, GRIB, PNG, JPEG, JPEG 2000, ZIP, gzip, PDF, Parquet, LAS, FlatGeobuf and
    GeoPackage: the first bytes, and whether everything that the file's own tables promise lies
    inside it. Read in ranges; of what is larger than 16 MiB nothing is unpacked. JSON and GeoJSON
    are parsed, CSV is text. No file of any other type is an HTML page or an error message of an
    object store. A TIFF whose type claims that it is cloud-optimized and that isn't is a warning.
    What was not looked into is counted in the report's head.
    """
    for key, value, _, path in item.assets:
        if path is None:
            continue
        written = value.get("type")
        promised = content.format_of(written)
        try:
            size, problem, doubt, unknown, links = content.inspect(
                given.dataset, path, promised, written if isinstance(written, str) else ""
            )
        except OSError as error:
            yield from _unreadable(item, given, key, path, error)
            continue
        if links < 2:
            # Others are looked at across items and files: see L06.
            item.sizes[path] = size
        if unknown:
            item.unknown[path] = unknown
        if problem:
            fix = "Deliver the whole file, or correct the asset's type."
            where = pointer("assets", key, "type" if "type" in value else "href")
            yield Problem(f"the file {problem}", fix, where)
        elif doubt:
            text = f"the file is called cloud-optimized, but {doubt}"
            where = pointer("assets", key, "type")
            yield Problem(text, _COG, where, severity=Severity.WARNING)


_COG = (
    "Write it anew, such as with `gdal_translate -of COG`, or take profile=cloud-optimized out of "
    "the asset's type."
)


@part_of("A03", "collection")
def content_of_the_collection_matches(collection: Document, given: Given) -> Iterator[Problem]:
    """Look at the collection's own assets too."""
    if given.own is not None:
        yield from content_matches_the_media_type(given.own, given)
