"""Fix: a mended copy of the metadata, for what a machine can mend without guessing at meaning.

The delivered dataset is never changed. What remains to be mended by a person is what validating
the mended metadata, with the delivered data, still finds.
"""

from __future__ import annotations

import copy
import unicodedata
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from dedl_workbook.base import formats
from dedl_workbook.base.errors import InputError
from dedl_workbook.base.files import write_atomic
from dedl_workbook.base.json import parse, pretty
from dedl_workbook.base.json_patch import Patch, patch
from dedl_workbook.base.progress import Tell, silent
from dedl_workbook.base.text import printable
from dedl_workbook.base.times import FIRST, LAST, instant, oddity, span, written_utc
from dedl_workbook.dataset.dataset import COLLECTION, ITEMS, Dataset, File, Folder, Names
from dedl_workbook.publication.metadata import HOST, KEYWORD, has_keyword, is_item, slug
from dedl_workbook.rules import content, keywords, longitudes
from dedl_workbook.rules.assets import intended
from dedl_workbook.rules.delivered import Asset, Unreadable, assets_of, read_document
from dedl_workbook.rules.extent import Covered, Extent, extent_of, part
from dedl_workbook.rules.findings import Report
from dedl_workbook.rules.geometry import (
    WRITE_BOX,
    Box,
    bounds_of,
    box_of,
    positions_of,
    problems_of,
)
from dedl_workbook.rules.items import TIMES
from dedl_workbook.rules.validation import SecondOpinion, validate

METADATA = "metadata/"
PATCHES = "patches"


@dataclass(frozen=True)
class Fixed:
    """What was mended."""

    folder: Path
    """Holds the whole metadata/, and under patches/ a JSON Patch (RFC 6902) for each document that
    was changed, by the document's path."""
    documents: int
    """JSON documents copied."""
    changed: int
    """Of them, how many were mended."""
    remaining: Report
    """What is still found, with the mended metadata in the place of the delivered."""


def fix(
    dataset: Dataset,
    folder: Path,
    *,
    executor: str = "one",
    tell: Tell = silent,
    second_opinion: SecondOpinion = "sample",
    fetch: bool = False,
) -> Fixed:
    """Write a mended copy of a dataset's metadata, and the patches that made it.

    Mended are: the spelling of known keywords, our keyword and host, the extent (widened to hold
    every item), hrefs that lead to a file once backslashes, `../` or the Unicode form are changed,
    an item's id (from its file's name) and collection, its bbox (from its geometry),
    its times (to UTC, where they have an offset), its assets' media types (from the content).

    Raises:
        InputError: the folder is not empty, or lies in the dataset; a document can't be read.
    """
    require_fresh(dataset, folder)
    file = dataset.stat(COLLECTION)
    answer = read_document(dataset, file, "L02") if file and file.kind == "file" else None
    collection, raw = None, b""
    if (
        answer is not None
        and not isinstance(answer, Unreadable)
        and isinstance(answer.document, dict)
    ):
        raw = answer.data
        collection = parse(raw)
    given_id = collection.get("id") if collection else None
    collection_id = given_id if isinstance(given_id, str) and given_id else dataset.name
    covered = Covered()
    count = changed = 0
    notes: list[str] = []
    for path, before, data in _documents(dataset):
        after = None
        if before is not None:
            try:
                after = fixed_item(before, path, collection_id, dataset)
            except Exception as error:  # noqa: BLE001 - the others are fixed all the same
                before = None
                notes.append(_not_fixed(path, error))
        changed += _write(folder, path, before, after, data)
        if after is not None:
            properties = after.get("properties")
            covered.add(
                box_of(after.get("bbox")),
                span(properties) if isinstance(properties, dict) else None,
            )
        count += 1
        tell("fix", count, 0, "documents")
    if collection is not None:
        try:
            fixed = fixed_collection(collection, covered)
        except Exception as error:  # noqa: BLE001 - as above
            fixed = collection
            notes.append(_not_fixed(COLLECTION, error))
        changed += _write(folder, COLLECTION, collection, fixed, raw)
        count += 1
    elif file and file.kind == "file":
        # It can't be mended, and is handed on as it is.
        _write(folder, COLLECTION, None, None, _bytes(dataset, COLLECTION))
        count += 1
    overlay = Overlay(dataset, Folder(folder.resolve()))
    remaining = validate(
        overlay, executor=executor, tell=tell, second_opinion=second_opinion, fetch=fetch
    )
    return Fixed(folder, count, changed, replace(remaining, notes=(*remaining.notes, *notes)))


def _not_fixed(path: str, error: Exception) -> str:
    return f"{path} was left as it is: {type(error).__name__}: {printable(str(error))[:200]}"


def require_fresh(dataset: Dataset, folder: Path) -> None:
    """Require that a mended copy can be written to a folder: an empty one, or none, and elsewhere.

    Raises:
        InputError: the folder is not empty, or lies in the dataset.
    """
    parts = (folder, *folder.parents)
    if no_folder := next((part for part in parts if part.exists() and not part.is_dir()), None):
        raise InputError("is no folder", where=str(no_folder), remedy="Name a new folder.")
    if folder.exists() and any(folder.iterdir()):
        raise InputError("is not empty", where=str(folder), remedy="Name a new folder.")
    if isinstance(dataset, Folder) and folder.resolve().is_relative_to(dataset.root):
        raise InputError(
            "lies in the dataset, which is never changed",
            where=str(folder),
            remedy="Name a folder elsewhere.",
        )


def _documents(dataset: Dataset) -> Iterator[tuple[str, dict[str, Any] | None, bytes]]:
    """Yield path, document and bytes of metadata files; no document where there is none to mend."""
    for file in dataset.files(METADATA):
        if file.kind != "file" or file.path == COLLECTION:
            continue
        if not is_item(file):
            yield file.path, None, _bytes(dataset, file.path)
            continue
        answer = read_document(dataset, file, "L03")
        if isinstance(answer, Unreadable) or not isinstance(answer.document, dict):
            yield file.path, None, _bytes(dataset, file.path)
        else:
            # Exact numbers: what isn't mended stays as it is.
            yield file.path, parse(answer.data), answer.data


def _bytes(dataset: Dataset, path: str) -> bytes:
    try:
        return dataset.read(path)
    except OSError as error:
        raise InputError(
            f"can't be copied: {error.strerror or error}",
            where=f"{dataset.location}/{path}",
            remedy="Make it readable, or take it out; then name a new folder.",
        ) from error


def _write(folder: Path, path: str, before: Any, after: Any, raw: bytes) -> int:
    operations: Patch = [] if before is None else patch(before, after)
    if operations:
        write_atomic(folder / path, pretty(after))
        patch_path = folder / PATCHES / path.removeprefix(METADATA)
        write_atomic(patch_path, pretty(operations))
        return 1
    write_atomic(folder / path, raw)
    return 0


def fixed_collection(document: dict[str, Any], covered: Covered) -> dict[str, Any]:
    """Return a collection with what a machine can mend."""
    result = copy.deepcopy(document)
    words = result.get("keywords")
    if isinstance(words, list):
        known = keywords.by_slug(keywords.snapshot(keywords.snapshot_file()))
        known = {**known, slug(KEYWORD): KEYWORD}
        result["keywords"] = [
            known.get(slug(word), word) if isinstance(word, str) else word for word in words
        ]
        if not has_keyword(result):
            result["keywords"].append(KEYWORD)
    providers = result.get("providers")
    plain = isinstance(providers, list) and all(
        isinstance(p, dict) and isinstance(p.get("roles") or [], list) for p in providers
    )
    if plain and not any("host" in (p.get("roles") or ()) for p in result["providers"]):
        result["providers"].append(copy.deepcopy(HOST))
    boxes = part(part(result, "extent"), "spatial").get("bbox")
    if isinstance(boxes, list):
        boxes[:] = [longitudes.turned_box(bbox) or bbox for bbox in boxes]
    _widen(result, extent_of(result), covered)
    return result


def _widen(collection: dict[str, Any], extent: Extent, covered: Covered) -> None:
    wide = covered.widened(extent)
    if wide.box is not None and wide.box != extent.box:
        written = collection["extent"]["spatial"]["bbox"][0]
        half = len(written) // 2
        written[0:2], written[half : half + 2] = wide.box[:2], wide.box[2:]
    if (wide.start, wide.end) != (extent.start, extent.end):
        interval = collection["extent"]["temporal"]["interval"][0]
        for n, (before, after) in enumerate(((extent.start, wide.start), (extent.end, wide.end))):
            if after is not None and after != before:
                interval[n] = written_utc(after)


def fixed_item(
    document: dict[str, Any], path: str, collection_id: str, dataset: Dataset
) -> dict[str, Any]:
    """Return an item with what a machine can mend."""
    result = copy.deepcopy(document)
    stem = path[len(ITEMS) : -len(".json")]
    if printable(stem) == stem:
        # Else the file is to be renamed.
        result["id"] = stem
    result["collection"] = collection_id
    _fix_bbox(result)
    properties = result.get("properties")
    for asset in assets_of(result, dataset):
        if isinstance(asset.href, str) and (path := _meant(asset, dataset)):
            asset.value["href"] = path
    assets = assets_of(result, dataset)
    for name in TIMES:
        for fields in (properties, *(asset.value for asset in assets)):
            if not isinstance(fields, dict):
                continue
            value = fields.get(name)
            if isinstance(value, str) and (not value.endswith("Z") or oddity(value)):
                _fix_time(fields, name)
    for asset in assets:
        if asset.path is not None and (kind := media_type(asset.value, asset.path, dataset)):
            asset.value["type"] = kind
    return result


def _meant(asset: Asset, dataset: Dataset) -> str:
    """Return the path of the file that an href surely means, if it names none, or ''."""
    if asset.path is not None and dataset.stat(asset.path) is not None:
        return ""
    written = asset.path or intended(asset.href)
    forms = (written, *(unicodedata.normalize(form, written) for form in ("NFC", "NFD")))
    return next((path for path in forms if path and dataset.stat(path) is not None), "")


def _fix_time(properties: dict[str, Any], name: str) -> None:
    try:
        moment = instant(properties[name])
    except ValueError:
        # Without a time zone it could be any time.
        return
    if FIRST < moment < LAST:
        properties[name] = written_utc(moment)


def _fix_bbox(item: dict[str, Any]) -> None:
    geometry, bbox = item.get("geometry"), item.get("bbox")
    if (outline := longitudes.turned(geometry)) is not None:
        ends = longitudes.turned_ends(_box_around(geometry))
        item["geometry"] = geometry = outline
        bounds = bounds_of(outline)
        if bounds is not None:
            item["bbox"] = bbox = [ends[0], bounds[1], ends[1], bounds[3]]
    bounds = bounds_of(geometry)
    if bounds is None or bounds[2] - bounds[0] > 180:
        # None, broken, or perhaps over the antimeridian, where two boxes are possible.
        return
    if bbox is None or any(
        # One that is larger than the geometry may be meant.
        problem.fix == WRITE_BOX
        for problem in problems_of(geometry, bbox)
    ):
        item["bbox"] = list(bounds)


def _box_around(geometry: Any) -> Box:
    positions = positions_of(geometry) or [[0.0, 0.0]]
    lons, lats = [p[0] for p in positions], [p[1] for p in positions]
    return min(lons), min(lats), max(lons), max(lats)


def media_type(asset: dict[str, Any], path: str, dataset: Dataset) -> str:
    """Return the media type that an asset should name, or '' if it should stay as it is.

    Only where none is named, a misspelt one, or one that the content belies; where content can be
    told, it must agree with the file's ending.
    """
    written = asset.get("type")
    if isinstance(written, str) and written in formats.MISSPELT:
        return formats.MISSPELT[written]
    known = formats.by_ending(path)
    kind = known.media_types[0] if known else ""
    try:
        if written and not _is_belied(written, path, dataset):
            return ""
        if known not in formats.BINARY:
            return "" if written else kind
        return "" if _is_belied(kind, path, dataset) else kind
    except OSError:
        return ""


def _is_belied(media_type: object, path: str, dataset: Dataset) -> bool:
    promised = content.format_of(media_type)
    return promised is not None and bool(content.inspect(dataset, path, promised).problem)


@dataclass(frozen=True)
class Overlay:
    """A dataset whose metadata come from another folder."""

    delivered: Dataset
    mended: Folder

    @property
    def location(self) -> str:
        """Where the delivered dataset is."""
        return self.delivered.location

    @property
    def name(self) -> str:
        """What the delivered dataset is called."""
        return self.delivered.name

    def _of(self, path: str) -> Dataset:
        return self.mended if path.startswith(METADATA) else self.delivered

    def files(self, prefix: str = "") -> Iterator[File]:
        """Yield the files, the mended metadata in their place; what was no file stays."""
        return map(self._mended, self.delivered.files(prefix))

    def entries(self) -> Iterator[File | Names]:
        """Yield the files, as `files` does: what wasn't looked at has the same name in both."""
        for entry in self.delivered.entries():
            yield entry if isinstance(entry, Names) else self._mended(entry)

    def _mended(self, file: File) -> File:
        if file.path.startswith(METADATA) and file.kind == "file":
            return self.mended.stat(file.path) or file
        return file

    def stat(self, path: str) -> File | None:
        """Return a file as it is now, or None."""
        return self._of(path).stat(path)

    def read(self, path: str, start: int = 0, length: int | None = None) -> bytes:
        """Return a file's bytes, or a range of them."""
        return self._of(path).read(path, start, length)

    def identities(self) -> Iterator[str]:
        """Yield those of the delivered dataset."""
        return self.delivered.identities()

    def read_state(self, file: File, start: int, length: int) -> bytes:
        """Return a range of a file's bytes, in the very state that was listed."""
        return self._of(file.path).read_state(file, start, length)

    def head(self, path: str, length: int) -> tuple[bytes, int, int]:
        """Return a file's first bytes and its size."""
        return self._of(path).head(path, length)

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a file for reading from its start."""
        return self._of(path).open(path)
