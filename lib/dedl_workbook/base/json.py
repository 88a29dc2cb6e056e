"""JSON as the workbook reads, writes, compares and digests it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
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
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"has the key {twice!r} twice in one object")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"holds {name}, which JSON does not know")


def pointer(*parts: str | int) -> str:
    """Return the JSON pointer (RFC 6901) to a place in a document."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)
