"""Checksums of the file extension: multihashes in hexadecimal."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from dedl_workbook.dataset.dataset import Dataset

if TYPE_CHECKING:
    from hashlib import _Hash

ALGORITHMS = {
    0x11: "sha1",
    0x12: "sha256",
    0x13: "sha512",
    0x14: "sha3_512",
    0x15: "sha3_384",
    0x16: "sha3_256",
    0x17: "sha3_224",
    0x20: "sha384",
    0xB240: "blake2b",
    0xB260: "blake2s",
    0xD5: "md5",
}
"""By multihash code (https://multiformats.io/multihash)."""
SHORTEST = 16
"""Bytes of a digest: fewer are none of any algorithm that is used for files."""
CHUNK = 2**20


class UnknownAlgorithm(ValueError):  # noqa: N818 - a finding, no error
    """A multihash, but of an algorithm that isn't known here."""


def parse(checksum: str) -> tuple[str, bytes]:
    """Return the algorithm and the digest of a multihash.

    Raises:
        UnknownAlgorithm: it is one of an algorithm that isn't known.
        ValueError: it is none; the message says why.
    """
    try:
        data = bytes.fromhex(checksum)
    except ValueError:
        raise ValueError("is no hexadecimal multihash") from None
    code, rest = _varint(data)
    length, digest = _varint(rest)
    if code not in ALGORITHMS:
        if len(digest) == length >= SHORTEST:
            raise UnknownAlgorithm(f"is of an algorithm that is not known here, {code:#x}")
        raise ValueError("is no multihash")
    if len(digest) != length or length != hashlib.new(ALGORITHMS[code]).digest_size:
        raise ValueError("has a wrong length")
    return ALGORITHMS[code], digest


def _varint(data: bytes) -> tuple[int, bytes]:
    value = shift = 0
    for place, byte in enumerate(data[:9]):
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, data[place + 1 :]
        shift += 7
    raise ValueError("is no hexadecimal multihash")


def digest(dataset: Dataset, path: str, algorithm: str) -> bytes:
    """Return the digest of a data file, read once in chunks.

    Raises:
        OSError: it is gone or can't be read.
    """
    total: _Hash = hashlib.new(algorithm, usedforsecurity=False)
    with dataset.open(path) as file:
        while chunk := file.read(CHUNK):
            total.update(chunk)
    return total.digest()


def size(value: object) -> int:
    """Return the bytes that a file:size promises, or -1 if no file can have so many."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < 2**63 else -1
