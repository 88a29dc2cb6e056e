"""Reaches files below a root by handles, so that no part of a path can be a link.

A path that is opened by its name is resolved anew each time: who may write into the dataset can
exchange a folder for a link between two looks, and have another's file read. Here the root is
opened once, and each folder from the handle of the one above, which refuses a link. (openat2 does a
whole path in one call, but Python has it through ctypes only, and that takes longer.)
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

_O = {name: getattr(os, f"O_{name}", 0) for name in ("NOFOLLOW", "NONBLOCK", "CLOEXEC", "BINARY")}
READ = os.O_RDONLY | _O["NOFOLLOW"] | _O["NONBLOCK"] | _O["CLOEXEC"] | _O["BINARY"]
"""A pipe doesn't make us wait, and what is opened stays in this process."""


class Root(Protocol):
    """A folder that was opened, and what lies below it. Paths are relative, with `/` inside."""

    def open(self, path: str) -> int:
        """Open a file for reading, and return its handle.

        Raises:
            OSError: it can't be opened, or a part of the path is a link.
        """

    def stat(self, path: str) -> os.stat_result:
        """Return what a path leads to, which may be a link itself.

        Raises:
            OSError: nothing, or a part of the path before the last is a link.
        """

    def stats(self, folder: str, names: list[str]) -> Iterator[os.stat_result | None]:
        """Yield what each name in a folder stands for, as `stat` does; None: nothing any more."""

    def scan(self, folder: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """Open a folder for listing, as os.scandir does; '' is the root.

        Raises:
            OSError: it can't be opened, or a part of the path is a link.
        """

    def folder(self, path: str) -> os.stat_result:
        """Return what a folder is.

        Raises:
            OSError: it is none, can't be opened, or a part of the path is a link.
        """

    def is_there(self) -> bool:
        """Tell whether the root's path still leads to the folder that was opened."""


def open_root(path: Path) -> Root:
    """Open a folder: by handles where the platform has them, else by its path.

    Raises:
        OSError: it can't be opened.
    """
    if os.open in os.supports_dir_fd and os.scandir in os.supports_fd and _O["NOFOLLOW"]:
        return _Handles(path)
    return _Paths(path)


_FOLDER = READ | getattr(os, "O_DIRECTORY", 0)


class _Folder:
    """A folder's handle, which is closed when nobody holds it any more."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class _Open(threading.local):
    """The folders that a thread has open, as most files are read together with their neighbours."""

    def __init__(self) -> None:
        self.folders: dict[str, _Folder] = {}


_MOST_OPEN = 32


class _Handles:
    """By handles: each folder is opened from the one above, and stays open for a while."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._root = _Folder(os.open(path, _FOLDER))
        self._threads = _Open()

    def open(self, path: str) -> int:
        folder, _, name = path.rpartition("/")
        try:
            handle = self._threads.folders.get(folder) or self._folder(folder)
            return os.open(name, READ, dir_fd=handle.number)
        except ValueError as error:
            raise _no_name(path) from error

    def stat(self, path: str) -> os.stat_result:
        folder, _, name = path.rpartition("/")
        handle = self._reopened(folder)
        return os.stat(name, dir_fd=handle.number, follow_symlinks=False)

    def stats(self, folder: str, names: list[str]) -> Iterator[os.stat_result | None]:
        handle = self._folder(folder.rstrip("/"))
        for name in names:
            try:
                yield os.stat(name, dir_fd=handle.number, follow_symlinks=False)
            except (OSError, ValueError):
                yield None

    def scan(self, folder: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        if not folder:
            # Who lists anew wants to see what is there now.
            self._threads = _Open()
        parent, _, name = folder.rstrip("/").rpartition("/")
        above = self._folder(parent)
        # Python reads a copy, which shares its place in the list with the handle: none is kept.
        handle = os.open(name or ".", _FOLDER, dir_fd=above.number)
        try:
            return os.scandir(handle)
        finally:
            os.close(handle)

    def folder(self, path: str) -> os.stat_result:
        return os.fstat(self._folder(path.rstrip("/")).number)

    def is_there(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._root.number))
        except OSError:
            return False

    def _folder(self, path: str) -> _Folder:
        """Return a folder that this thread may have open since the last listing."""
        if not path:
            return self._root
        folders = self._threads.folders
        handle = folders.pop(path, None)
        if handle is None:
            parent, _, name = path.rpartition("/")
            handle = _below(self._folder(parent), name)
            if len(folders) == _MOST_OPEN:
                del folders[next(iter(folders))]
        # The one that was used last is the last to go.
        folders[path] = handle
        return handle

    def _reopened(self, path: str) -> _Folder:
        """Return a folder as it is now."""
        handle = self._root
        for name in path.split("/") if path else ():
            handle = _below(handle, name)
        return handle


def _below(folder: _Folder, name: str) -> _Folder:
    if name == "..":
        raise OSError(errno.EXDEV, "leads out of the dataset")
    return _Folder(os.open(name, _FOLDER, dir_fd=folder.number))


def _no_name(path: str) -> OSError:
    """Return what to raise of a path with a character that no name may have."""
    return OSError(errno.EINVAL, f"{path!r} can be no file's name")


class _Paths:
    """By paths, on platforms without handles of folders. A link is refused where it is seen."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is = path.stat()

    def open(self, path: str) -> int:
        try:
            if stat.S_ISLNK(self.stat(path).st_mode):
                raise OSError(errno.ELOOP, "is a link")
            return os.open(self._path / path, READ)
        except ValueError as error:
            raise _no_name(path) from error

    def stat(self, path: str) -> os.stat_result:
        self._refuse_links(path.rpartition("/")[0])
        return (self._path / path).lstat()

    def stats(self, folder: str, names: list[str]) -> Iterator[os.stat_result | None]:
        for name in names:
            try:
                yield self.stat(folder + name)
            except (OSError, ValueError):
                yield None

    def scan(self, folder: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        self._refuse_links(folder.rstrip("/"))
        return os.scandir(self._path / folder)

    def folder(self, path: str) -> os.stat_result:
        self._refuse_links(path.rstrip("/"))
        return (self._path / path).stat()

    def is_there(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), self._is)
        except OSError:
            return False

    def _refuse_links(self, folder: str) -> None:
        place = self._path
        for part in folder.split("/") if folder else ():
            place /= part
            if stat.S_ISLNK(place.lstat().st_mode):
                raise OSError(errno.ELOOP, "a part of its path is a link")
