"""Walks folders of any size and depth in bounded memory."""

from __future__ import annotations

import heapq
import os
import tempfile
from collections.abc import Iterator
from typing import Literal

Seen = Literal["file", "odd", "closed"]
"""What an entry is: a regular file, neither file nor folder, or a folder that can't be read."""


def walk(root: str, below: str) -> Iterator[tuple[str, Seen]]:
    """Yield every file below a folder, and what it is, in the order of the paths' bytes.

    Links are not followed. What is in a folder is told by the folder alone: no file is looked at.

    Args:
        root: the folder that paths start from, with `/` at its end.
        below: what of it is walked: '' for all, or a path with `/` at its end.
    """
    # Not recursive: folders can be nested deeper than Python's calls.
    stack = [(below, _names(root + below))]
    while stack:
        folder, names = stack[-1]
        for name in names:
            last = name[-1:]
            if last == "/":
                path = folder + name
                stack.append((path, _names(root + path)))
                break
            if not name:
                yield folder[:-1], "closed"
            elif last == _ODD:
                yield folder + name[:-1], "odd"
            else:
                yield folder + name, "file"
        else:
            stack.pop()


RUN = 50_000
"""Names of a folder that are sorted in memory; of a larger one, so many at a time on disk."""
_ODD = "\0"
"""Stands after the name of what is neither file nor folder: no name holds it, and none precedes
it."""


def _names(folder: str) -> Iterator[str]:
    """Yield a folder's entries by their bytes: `name/` for a folder; '' if it can't be read."""
    names: list[str] = []
    runs: list[Iterator[str]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                # Without an argument these would follow a link: hence the order.
                if entry.is_symlink():
                    name += _ODD
                elif not entry.is_file():
                    name += "/" if entry.is_dir() else _ODD
                names.append(name)
                if len(names) == RUN:
                    runs.append(_run(names))
                    names = []
    except (FileNotFoundError, NotADirectoryError):
        return iter(())
    except OSError:
        return iter(("",))
    # Among ASCII, the order of characters is that of bytes.
    names.sort(key=None if "".join(names).isascii() else os.fsencode)
    return heapq.merge(*runs, names, key=os.fsencode) if runs else iter(names)


def _run(names: list[str]) -> Iterator[str]:
    """Sort names into a file of its own, a line each, and yield them from there."""
    names.sort(key=os.fsencode)
    # It has no name, and goes when it has been read.
    file = tempfile.TemporaryFile(prefix="dedl-names-")  # noqa: SIM115
    # Names hold no slash but at their end, so that two can stand for an end of line.
    file.writelines(os.fsencode(name).replace(b"\n", b"//") + b"\n" for name in names)
    file.seek(0)
    return (os.fsdecode(line[:-1].replace(b"//", b"\n")) for line in file)
