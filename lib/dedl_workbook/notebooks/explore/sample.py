"""A look at a dataset: its listing, its collection, a sample of its items. It judges nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from random import Random
from typing import Any, NamedTuple

from dedl_workbook.base.parallel import map_shards, shards
from dedl_workbook.base.progress import Tell, silent
from dedl_workbook.dataset.dataset import COLLECTION, DATA, ITEMS, Bucket, Dataset, File
from dedl_workbook.publication.metadata import is_item
from dedl_workbook.rules.delivered import Asset, Item, Unreadable, read_document, read_item
from dedl_workbook.views import maps

_SHARD = 50


@dataclass
class Format:
    """The data files with one ending."""

    count: int = 0
    size: int = 0
    """Bytes."""
    smallest: int = 0
    largest: int = 0
    types: set[str] = field(default_factory=set)
    """The media types that items give them."""

    def add(self, size: int) -> None:
        """Count a file of `size` bytes."""
        self.smallest = min(self.smallest, size) if self.count else size
        self.largest = max(self.largest, size)
        self.count += 1
        self.size += size


class Glance(NamedTuple):
    """What is kept of an item: small, whatever the item's size."""

    id: str
    file: File
    shape: maps.Shape | None
    span: tuple[dt.datetime, dt.datetime] | None
    assets: tuple[Asset, ...]


@dataclass
class Sample:
    """A dataset's files in numbers, and its collection and a random sample of its items, read."""

    dataset: Dataset
    collection: dict[str, Any] | None
    """None: it can't be read."""
    items: int = 0
    """Item files."""
    files: int = 0
    """Data files."""
    formats: dict[str, Format] = field(default_factory=dict)
    """By ending, in lower case."""
    sizes: dict[int, int] = field(default_factory=dict)
    """How many data files have a size of so many binary digits."""
    glances: list[Glance] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    """Sampled item files that can't be read, and why."""

    @property
    def size(self) -> int:
        """Bytes of data files."""
        return sum(form.size for form in self.formats.values())


def read_sample(dataset: Dataset, size: int, tell: Tell = silent) -> Sample:
    """List a dataset, and read its collection and a random sample of its items.

    Memory grows with the sample alone.

    Args:
        dataset: what was delivered.
        size: how many item files are read, at most.
        tell: is told of progress.

    Raises:
        ServiceError: the bucket refuses or doesn't answer.
    """
    file = dataset.stat(COLLECTION)
    answer = read_document(dataset, file, "L02") if file is not None else (b"", None)
    document = None if isinstance(answer, Unreadable) else answer[1]
    sample = Sample(dataset, document if isinstance(document, dict) else None)
    chosen = _Reservoir(size)
    for n, listed in enumerate(dataset.files()):
        if listed.path.startswith(DATA) and listed.kind == "file":
            _count(sample, listed)
        elif is_item(listed):
            sample.items += 1
            chosen.add(listed)
        if n % 10_000 == 0:
            tell("list", n, 0, "files")
    _read(sample, chosen.files(), tell)
    return sample


def item_files(dataset: Dataset) -> Iterator[File]:
    """Yield the files that hold items."""
    return filter(is_item, dataset.files(ITEMS))


def _count(sample: Sample, file: File) -> None:
    sample.files += 1
    sample.formats.setdefault(ending(file.path), Format()).add(file.size)
    digits = file.size.bit_length()
    sample.sizes[digits] = sample.sizes.get(digits, 0) + 1


def ending(path: str) -> str:
    """Return the ending of a file's name in lower case, with its dot; '' for none."""
    return PurePosixPath(path).suffix.lower()


class _Reservoir:
    """At most so many files out of a stream of unknown length, each with the same chance.

    Not every tenth or so: what repeats itself in the dataset, such as its months, would be missed.
    The choice is the same each time.
    """

    def __init__(self, most: int) -> None:
        self._most, self._offered = most, 0
        self._luck = Random(0)  # noqa: S311 - nothing secret hangs on it
        self._chosen: list[File] = []

    def add(self, file: File) -> None:
        self._offered += 1
        if len(self._chosen) < self._most:
            self._chosen.append(file)
        elif (place := self._luck.randrange(self._offered)) < self._most:
            self._chosen[place] = file

    def files(self) -> list[File]:
        return sorted(self._chosen)


def _read(sample: Sample, files: list[File], tell: Tell) -> None:
    remote = isinstance(sample.dataset, Bucket)
    read = partial(_glances, sample.dataset)
    done = 0
    with ThreadPoolExecutor(16) if remote else nullcontext() as executor:
        for glances in map_shards(read, shards(files, _SHARD), executor):
            for glance in glances:
                if isinstance(glance, Glance):
                    sample.glances.append(glance)
                else:
                    sample.unread.append(glance)
            done += len(glances)
            tell("look", done, len(files), "items")
    sample.glances.sort(key=lambda glance: glance.file.path)
    sample.unread.sort()
    for asset in (asset for glance in sample.glances for asset in glance.assets):
        media, form = asset.value.get("type"), sample.formats.get(ending(asset.path or ""))
        if isinstance(media, str) and form is not None and len(form.types) < 20:
            form.types.add(media)


def _glances(dataset: Dataset, files: Iterable[File]) -> list[Glance | tuple[str, str]]:
    return list(_each(dataset, files))


def _each(dataset: Dataset, files: Iterable[File]) -> Iterator[Glance | tuple[str, str]]:
    for file in files:
        item = read_item(dataset, file)
        if isinstance(item, Unreadable):
            yield file.path, item.text
        else:
            yield _glance(file, item)


def _glance(file: File, item: Item) -> Glance:
    document = item.document
    drawn = maps.shape(document.get("geometry"), document.get("bbox"))
    return Glance(
        str(document.get("id", ""))[:200], file, drawn, item.span, tuple(item.assets[:20])
    )
