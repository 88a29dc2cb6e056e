"""Layout: folders and files are where the procedure expects them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from dedl_workbook.base.json import pointer
from dedl_workbook.dataset.dataset import COLLECTION, DATA, ITEMS, File, Names
from dedl_workbook.publication.metadata import is_item
from dedl_workbook.rules.across import Part, folded
from dedl_workbook.rules.delivered import Item, Unreadable
from dedl_workbook.rules.findings import Severity
from dedl_workbook.rules.problem import Problem
from dedl_workbook.rules.rule import Document, Given, Listing, part_of, rule


@rule("L01", "dataset")
def root_is_named_after_the_collection(given: Given) -> Iterator[Problem]:
    """The root folder, or what follows usergenerated-proposal- in the bucket's name, is the id.

    The procedure names the delivered folder after the collection, and the bucket
    `usergenerated-proposal-<id>`. Bucket names have no capitals, so case doesn't count there.
    """
    if not given.is_named(given.id):
        yield Problem(
            f"the dataset is called '{given.named}', its collection '{given.id}'",
            "Rename the folder, or correct the collection id.",
        )


@rule("L02", "dataset")
def collection_is_readable(given: Given) -> Iterator[Problem]:
    """metadata/collection.json is there and holds one JSON object in UTF-8.

    A key that stands twice and NaN are refused: programs disagree on what they mean.
    """
    if given.collection is None:
        fix = "Deliver metadata/collection.json with one STAC Collection, in UTF-8."
        yield Problem(given.problem, _readable(given.problem) or fix, file=COLLECTION)


@part_of("L02", "listing")
def dataset_is_not_the_folder_inside(listing: Listing, given: Given) -> Iterator[Problem]:
    """Look whether it is the folder above that was named."""
    if given.collection is not None or given.dataset.stat(COLLECTION) is not None:
        return
    for top, (_, is_folder) in list(listing.others.items())[:100]:
        if is_folder and given.dataset.stat(f"{top}/{COLLECTION}") is not None:
            text = f"the dataset is the folder '{top}' inside"
            yield Problem(text, f"Validate {given.dataset.location}/{top}.", file=top)


@rule("L03", "listing")
def items_are_there(listing: Listing, given: Given) -> Iterator[Problem]:
    """There are items, each a regular .json file directly in metadata/items with one JSON object.

    The procedure loads exactly those files; what lies deeper, or is called otherwise, would be
    left out in silence. Files with another ending are a warning.
    """
    if not listing.below_items:
        yield Problem("there are no items", f"Deliver each item as {ITEMS}<ID>.json.", file=ITEMS)


IRREGULAR = {
    "symlink": ("is a symbolic link", "Deliver the file itself in its place."),
    "other": ("is a device, pipe or socket", "Take it out of the dataset."),
    "unreadable": ("can't be read", "Give the operators the right to read it."),
}
"""What is to be said of what is no regular file, by its kind: what is wrong, how to mend it."""


@part_of("L03", "file")
def items_lie_where_they_are_loaded(file: File, given: Given) -> Iterator[Problem]:
    """Look at what lies in metadata/items."""
    if not file.path.startswith(ITEMS) or is_item(file):
        return
    if "/" in file.path[len(ITEMS) :]:
        yield Problem("lies in a folder of its own", f"Move it up into {ITEMS}.")
    elif file.kind != "file":
        yield Problem(*IRREGULAR[file.kind])
    else:
        yield Problem(
            "does not end in .json: it is not loaded",
            "Rename it to end in .json if it is an item, else take it out.",
            severity=Severity.WARNING,
        )


@part_of("L03", "unreadable")
def items_are_readable(problem: Unreadable, given: Given) -> Iterator[Problem]:
    """Report what could not be read."""
    if problem.rule == "L03":
        fix = "Deliver one STAC Item as a JSON object in UTF-8."
        yield Problem(problem.text, _readable(problem.text) or fix)


def _readable(problem: str) -> str:
    """Return how to mend that no bytes could be had, or '' for what is wrong with them."""
    remedy = "See that the operators may read it, and that nobody changes it; then validate again."
    return remedy if problem.startswith("can't be read") else ""


@rule("L04", "listing")
def data_is_there(listing: Listing, given: Given) -> Iterator[Problem]:
    """The folder data/ is there and holds files.

    A collection without data has nothing that could be promoted.
    """
    if not listing.below_data:
        yield Problem("there are no data files", "Deliver the data files below data/.", file=DATA)


@rule("L06", "file")
def files_are_regular(file: File, given: Given) -> Iterator[Problem]:
    """Every entry is a regular file or a folder that can be read: no link, device, pipe or socket.

    A link can lead out of the dataset, and a pipe never ends; neither is followed or opened. A
    file with more names than one (hard links) is a warning: who has another of them can change it.
    """
    if file.kind != "file":
        yield Problem(*IRREGULAR[file.kind])


@part_of("L06", "across")
def files_can_be_read(part: Part, given: Given) -> Iterator[Problem]:
    """Report the data files that can't be opened, of those that no other rule reads."""
    for path in part.closed:
        yield Problem(*IRREGULAR["unreadable"], file=path)
    for path in part.linked:
        yield Problem(*_LINKED, file=path, severity=Severity.WARNING)


_LINKED = (
    "has other names, perhaps outside of the dataset (hard links)",
    "Deliver a copy of the file in its place.",
)


@part_of("L06", "item")
def items_are_no_hard_links(item: Item, given: Given) -> Iterator[Problem]:
    """Look at the file of each item too."""
    if item.links > 1:
        yield Problem(*_LINKED, severity=Severity.WARNING)


@part_of("L06", "collection")
def the_collection_is_no_hard_link(collection: Document, given: Given) -> Iterator[Problem]:
    """Look at collection.json too."""
    if given.own is not None and given.own.links > 1:
        yield Problem(*_LINKED, severity=Severity.WARNING)


@rule("L07", "listing", Severity.INFO)
def top_level_is_known(listing: Listing, given: Given) -> Iterator[Problem]:
    """The root holds metadata/ and data/ alone.

    Nothing else is uploaded or loaded.
    """
    for top, (count, is_folder) in listing.others.items():
        what = f"is ignored, with {count} files" if is_folder else "is ignored"
        yield Problem(what, "Nothing to do, unless it belongs into data/.", file=top)


LONGEST_KEY = 1024
"""Bytes of an S3 key."""
ROOM_FOR_PREFIX = 66
"""Bytes that `/<ticket>/` may add to collection id and path."""


NOT_TAKEN = {"\\": "a backslash", "#": "a number sign", "?": "a question mark"}
"""Characters in a file's name that don't come back, by a round trip through S3, PgSTAC, HDA, its
redirect and its zip on the real servers (`tests/integration/test_names.py`), and their names."""
LAST_OF_LATIN_1 = 0xFF
"""The last character of the headers of HTTP, in which HDA names a file that is not in a zip."""


@rule("L08", "file")
def names_are_usable_as_keys(file: File, given: Given) -> Iterator[Problem]:
    """Every station takes the names: UTF-8, no control characters, at most 1,024 bytes in all.

    A data file's name has no `\\`, which some stores keep as `/`, so that the object lies elsewhere
    than its item says; and no `#` or `?`, behind which HDA's links end. The name of an item's only
    file is Latin-1: HDA's download link answers with an error to any other.

    Names that differ only in case or in the Unicode form of their letters are a warning: on other
    systems one overwrites the other.
    """
    path, room = file.path, room_for_path(given)
    size = len(path.encode("utf-8", "surrogateescape"))
    if size > room:
        yield Problem(
            f"is {size} bytes long; keys have room for {room}",
            "Shorten the names of the file and its folders.",
        )
    if not _decodable(path):
        yield Problem("has bytes that are no UTF-8", "Rename it in UTF-8, here and in the items.")
    elif any(unicodedata.category(char) == "Cc" for char in path):
        yield Problem("has control characters in its name", "Rename it without them.")
    for character, name in NOT_TAKEN.items() if path.startswith(DATA) else ():
        if character in path:
            yield Problem(f"has {name} in its name", "Rename it without, here and in the items.")


@part_of("L08", "item")
def the_only_file_of_an_item_has_a_name_in_latin_letters(
    item: Item, given: Given
) -> Iterator[Problem]:
    """Look at items of one file, which HDA hands out under its own name and not in a zip."""
    if len(item.assets) != 1 or (path := item.assets[0].path) is None or path.isascii():
        return
    name = path.rpartition("/")[2]
    odd = next((char for char in name if ord(char) > LAST_OF_LATIN_1), "")
    if odd:
        yield Problem(
            f"its only file's name has U+{ord(odd):04X}: HDA's download link would be an error",
            "Rename it in Latin letters, or give the item a second file.",
            pointer("assets", item.assets[0].key, "href"),
        )


def room_for_path(given: Given) -> int:
    """Return how many bytes a path may have, so that its key is none too long."""
    return LONGEST_KEY - ROOM_FOR_PREFIX - len(given.id)


def _decodable(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@part_of("L08", "across")
def names_have_no_twins(part: Part, given: Given) -> Iterator[Problem]:
    """Compare names without case and in one Unicode form."""
    paths = dict.fromkeys(map(folded, part.files))
    if len(paths) == len(part.files):
        return
    twins: dict[str, list[str]] = {}
    for path in part.files:
        twins.setdefault(folded(path), []).append(path)
    for names in twins.values():
        for path in sorted(names)[1:]:
            yield Problem(
                f"differs from '{min(names)}' only in case or Unicode form",
                "Rename one of them, here and in the items.",
                file=path,
                severity=Severity.WARNING,
            )


@rule("L09", "across")
def data_files_are_not_empty(part: Part, given: Given) -> Iterator[Problem]:
    """No data file is empty.

    An empty file is an interrupted copy, and HDA's zip leaves it out in silence.
    """
    for path, size, kind in part.files.values():
        if size == 0 and kind == "file" and path.startswith(DATA):
            fix = "Deliver it again, or take it out of data and items."
            yield Problem("is empty", fix, file=path)


def are_plain(files: Names, room: int) -> bool:
    """Tell in a short way whether L08 has nothing to say of the files of a folder.

    Args:
        files: the files.
        room: what `room_for_path` gave.
    """
    text = files.folder + "".join(files.names)
    return (
        text.isascii()
        and text.isprintable()
        and not any(character in text for character in NOT_TAKEN)
        and (len(text) <= room or len(files.folder) + max(map(len, files.names)) <= room)
    )


def are_items(files: Names) -> bool:
    """Tell whether the files of a folder are all items'."""
    return files.folder == ITEMS and all(name.endswith(".json") for name in files.names)


_DATED = re.compile(r"data/((?:19|20)\d\d(?:/(?:0[1-9]|1[0-2])(?:/(?:0[1-9]|[12]\d|3[01]))?)?)/")


@rule("L05", "item", Severity.WARNING)
def data_lies_by_date(item: Item, given: Given) -> Iterator[Problem]:
    """Data files lie below data/YYYY, data/YYYY/MM or data/YYYY/MM/DD, on a day of their item.

    The procedure wants folders by date; the operators can agree to none, hence a warning.
    """
    first, last = item.days
    usual = f"data/{first}/" if first else None
    for asset in item.assets:
        if asset.path is None or (usual and asset.path.startswith(usual)):
            continue
        if not (dated := _DATED.match(asset.path)):
            where = pointer("assets", asset.key, "href")
            yield Problem("lies in no folder of a date", "Move it below data/YYYY/MM/DD/.", where)
            continue
        day = dated[1]
        if first and not first[: len(day)] <= day <= last[: len(day)]:
            yield Problem(
                f"lies in the folder of '{day}', but its item is of '{first}' to '{last}'",
                "Correct the item's times, or move the file.",
                pointer("assets", asset.key, "href"),
            )
