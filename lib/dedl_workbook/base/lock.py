"""Locks on files that several processes, and several hosts, share."""

from __future__ import annotations

import errno
import fcntl
from typing import IO, Any

from dedl_workbook.base.errors import InputError


def taken(file: IO[Any]) -> bool:
    """Take the lock on a file if nobody has it, and return whether it is ours; it goes with it.

    The file must be open for writing: on NFS a lock is one on its bytes, which needs that.

    Raises:
        InputError: the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise InputError(
            f"the file system can't lock: {error.strerror}",
            where=str(file.name),
            remedy="Put it on one that can: a local disk, or NFS mounted with locks.",
        ) from None
    return True
