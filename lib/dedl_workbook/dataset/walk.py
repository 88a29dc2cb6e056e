"""Walks folders of any size and depth in bounded memory."""

from __future__ import annotations

import heapq
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal

from dedl_workbook.dataset.handles import Root

Kind = Literal["file", "whole", "odd", "closed"]
"""What entries are: regular files, all that a folder holds and regular files, neither file nor
folder, or a folder that can't be read."""


def walk(root: Root, below: str) -> Iterator[tuple[str, list[str], Kind]]:
    """Yield every file below a folder in the order of the paths' bytes, and what it is.

    They come as runs: a folder's path, names in it, what these are. Links are not followed. What
    is in a folder is told by the folder alone: no file is looked at.

    Args:
        root: the folder that paths start from.
        below: what of it is walked: '' for all, or a path with `/` at its end.
    """
    # Not recursive: folders can be nested deeper than Python's calls.
    stack = [(below, _runs(_names(root, below)[0]))]
    while stack:
        folder, runs = stack[-1]
        for names, kind in runs:
            if kind == "folder":
                path = folder + names[0]
                inside, files = _names(root, path)
                if files and len(files) <= TOGETHER:
                    # The short way for most folders: there are but files in them, and few.
                    yield path, files, "whole"
                    continue
                stack.append((path, _runs(inside)))
                break
            if kind == "closed":
                yield "", [folder[:-1]], kind
            else:
                yield folder, names, kind
        else:
            stack.pop()


def _runs(names: Iterable[str]) -> Iterator[tuple[list[str], Kind | Literal["folder"]]]:
    """Yield a folder's entries: names of files together, everything else alone."""
    run: list[str] = []
    for name in names:
        other = _MARKS.get(name[-1:])
        if other is None:
            run.append(name)
        if run and (other or len(run) == TOGETHER):
            yield run, "file"
            run = []
        if other is not None:
            yield [name.rstrip(_ODD)], other
    if run:
        yield run, "file"


TOGETHER = 1000
"""Names that are yielded together, at most."""
RUN = 50_000
"""Names of a folder that are sorted in memory; of a larger one, so many at a time on disk."""
_ODD = "\0"
_MARKS: dict[str, Literal["odd", "closed", "folder"]] = {"/": "folder", _ODD: "odd", "": "closed"}
"""What stands after the names of all but files, which no name holds; and no character precedes the
second. Nothing at all stands for a folder that can't be read."""


def _names(root: Root, folder: str) -> tuple[Iterable[str], list[str]]:
    """Return a folder's entries by their bytes, with their marks; and them again if all are files.

    Those of a very large folder are in the first alone.
    """
    names: list[str] = []
    runs: list[Iterator[str]] = []
    all_files = True
    for some, plain in _listed(root, folder):
        if len(names) >= RUN:
            runs.append(_run(names))
            names = []
        names = names + some if names else some
        all_files = all_files and plain
    # Among ASCII, the order of characters is that of bytes.
    names.sort(key=None if "".join(names).isascii() else os.fsencode)
    if runs:
        return heapq.merge(*runs, names, key=os.fsencode), []
    return names, names if all_files else []


def _listed(root: Root, folder: str) -> Iterator[tuple[list[str], bool]]:
    """Yield a folder's entries as they come, some at a time; and whether these are all files.

    If they aren't, they have their marks.
    """
    try:
        with root.scan(folder) as entries:
            while some := list(islice(entries, RUN)):
                names = [entry.name for entry in some if entry.is_file(follow_symlinks=False)]
                plain = len(names) == len(some)
                yield names if plain else list(map(_marked, some)), plain
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:
        yield [""], False


def _marked(entry: os.DirEntry[str]) -> str:
    if entry.is_file(follow_symlinks=False):
        return entry.name
    return entry.name + ("/" if entry.is_dir(follow_symlinks=False) else _ODD)


def _run(names: list[str]) -> Iterator[str]:
    """Sort names into a file of its own, a line each, and yield them from there."""
    names.sort(key=os.fsencode)
    # It has no name, and goes when it has been read.
    file = tempfile.TemporaryFile(prefix="dedl-names-")  # noqa: SIM115
    # Names hold no slash but at their end, so that two can stand for an end of line.
    file.writelines(os.fsencode(name).replace(b"\n", b"//") + b"\n" for name in names)
    file.seek(0)
    return (os.fsdecode(line[:-1].replace(b"//", b"\n")) for line in file)
