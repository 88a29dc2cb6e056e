"""Walks folders of any size and depth in bounded memory."""

from __future__ import annotations

import heapq
import os
import tempfile
from collections.abc import Iterator


def walk(root: str, below: str) -> Iterator[tuple[str, os.stat_result | None]]:
    """Yield every file below a folder, with its state, in the order of the paths' bytes.

    Links are not followed. A folder that can't be read is yielded with None, what vanishes is not.

    Args:
        root: the folder that paths start from, with `/` at its end.
        below: what of it is walked: '' for all, or a path with `/` at its end.
    """
    # Not recursive: folders can be nested deeper than Python's calls.
    stack = [(below, _names(root + below))]
    while stack:
        folder, names = stack[-1]
        for name in names:
            path = folder + name
            if not name:
                yield path[:-1], None
            elif path.endswith("/"):
                stack.append((path, _names(root + path)))
                break
            else:
                try:
                    status = os.lstat(root + path)
                except OSError:
                    continue
                yield path, status
        else:
            stack.pop()


RUN = 50_000
"""Names of a folder that are sorted in memory; of a larger one, so many at a time on disk."""


def _names(folder: str) -> Iterator[str]:
    """Yield a folder's entries by their bytes, subfolders with `/`; '' if it can't be read."""
    names: list[str] = []
    runs: list[Iterator[str]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_dir = entry.is_dir(follow_symlinks=False)
                names.append(f"{entry.name}/" if is_dir else entry.name)
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
    """Sort names into a file of its own, and yield them from there. They hold no NUL."""
    names.sort(key=os.fsencode)
    # It has no name, and goes when it has been read.
    file = tempfile.TemporaryFile(prefix="dedl-names-")  # noqa: SIM115
    file.writelines(os.fsencode(name).replace(b"\n", b"\0") + b"\n" for name in names)
    file.seek(0)
    return (os.fsdecode(line[:-1].replace(b"\0", b"\n")) for line in file)
