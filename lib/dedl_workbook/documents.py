"""JSON as the workbook reads, writes, compares and digests it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any


def canonical(value: object) -> bytes:
    """Return the canonical JSON of a value: sorted keys, no white space, UTF-8.

    Equal values give equal bytes, so their digests can be compared. NaN and infinities, which
    JSON doesn't have, raise ValueError.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8", "surrogatepass")


def digest(value: object) -> str:
    """Return the SHA-256 of a value's canonical JSON, in lower-case hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def pretty(value: object) -> str:
    """Return a value as indented JSON for people to read, with a newline at the end.

    Half characters, which stand for the undecodable bytes of names, are written as escapes.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode()


_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, *, lines: bool = False) -> str:
    """Return text with control characters and undecodable bytes as escapes; `lines` keeps ends.

    Names of files may hold them: a terminal would obey them, those that turn the direction of
    writing too, and no stream could write them.
    """
    return _UNPRINTABLE.sub(
        lambda found: "\n" if lines and found[0] == "\n" else ascii(found[0])[1:-1], text
    )


def harmless(text: str) -> str:
    """Return JSON text with the characters that a terminal would obey as JSON's own escapes."""
    return _UNPRINTABLE.sub(
        lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text
    )


def parse(data: bytes) -> Any:
    """Parse JSON strictly.

    Raises:
        ValueError: not UTF-8, not JSON, a byte-order mark, a key twice in one object, NaN or an
            infinity, or nested too deep; the message says which.
    """
    if data.startswith(b"\xef\xbb\xbf"):
        raise ValueError("starts with a byte-order mark")
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 at byte {error.start}") from error
    except RecursionError:
        raise ValueError("is nested too deep") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"has the key {twice!r} twice in one object")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"holds {name}, which JSON does not know")


def write_atomic(path: Path, data: str | bytes, *, mode: int = 0o644) -> None:
    """Write a file whole or not at all: a reader, or a crash, never sees half of it."""
    raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_out(path: Path, data: str) -> None:
    """Write to where a person said: whole into a file, as it comes into a pipe or a device.

    A link stays, and what it leads to is written.
    """
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(data)
    else:
        write_atomic(path.resolve(), data)


def next_number(folder: Path) -> str:
    """Return the number, of three digits or more, that comes after those in a folder.

    They stand at the beginning of names, alone or before a `-`.
    """
    heads = (path.name.partition("-")[0] for path in folder.glob("[0-9]*"))
    return f"{max((int(head) for head in heads if head.isdecimal()), default=0) + 1:03d}"
