"""Bag: checks by itself that a bag is what was packed: each file, each byte, and who signed it.

It needs nothing but the bag: no target, no case, no network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dedl_workbook.base import signature
from dedl_workbook.base.errors import EvidenceError, InputError
from dedl_workbook.case import approvals, ledger
from dedl_workbook.evidence.reader import Store, open_store
from dedl_workbook.publication import anchor as anchors

MANIFEST = "manifest-sha256.txt"
TAG_MANIFEST = "tagmanifest-sha256.txt"
SIGNATURE = f"{TAG_MANIFEST}.sig"
VERSION = "1.0"
"""The version of BagIt (RFC 8493) that is written."""
_VERSIONS = ("0.97", VERSION)
"""Those that are read: they differ in nothing that is used here."""
SIGNED_WITH = "Signed-With"
"""The tag of bag-info.txt that names the signing key, so that a signature can't just vanish."""
TAG_FILES = ("bagit.txt", "bag-info.txt", MANIFEST)
LEDGER = "data/ledger.jsonl"
_LINE = re.compile(r"([0-9A-Fa-f]{64})[ \t]+\*?(.+)")
_ENCODED = {"%": "%25", "\n": "%0A", "\r": "%0D"}
_RECORDED = {"outcome": ("outcome", "verdict"), "planned": ("plan", "digest")}
"""The file of an attempt that an event of the ledger tells of, and what of it."""
_MOST = 1 << 28
"""Bytes of a file that is held as a whole: a manifest of two million lines; forgers offer more."""
_SHOWN = 20
"""Problems that are named before the rest is counted."""


@dataclass(frozen=True)
class Bag:
    """A bag that was verified."""

    path: Path
    digest: str
    """SHA-256 of its tagmanifest-sha256.txt."""
    files: int
    size: int
    """Bytes of the payload."""
    key: str = ""
    """Fingerprint of the key that it is signed with; '' if it isn't signed."""
    signer: str = ""
    """Whose key that is, by the given file of signers."""
    as_given: bool = False
    """Whether it has the digest that was asked for."""

    @property
    def state(self) -> str:
        """What was verified, in words."""
        if self.signer:
            return f"intact, signed by {self.signer}"
        signed = f", signed with {self.key}" if self.key else ""
        return f"intact{signed}, {'as given' if self.as_given else 'signer unknown'}"


def verify(
    path: Path,
    *,
    digest: str = "",
    signers: Path | None = None,
    approvers: Path | None = None,
    anchor: str = "",
) -> Bag:
    """Check a bag by itself: the exact set of files, and each byte, of payload and tags alike.

    Args:
        path: the bag: its folder, or the zip of it.
        digest: the digest that the bag should have, as the ledger or the reply to the user
            holds it.
        signers: a file of allowed signers, of whom one must have signed it. Without this and
            without a digest, a bag can be called intact, not whose it is.
        approvers: a file of allowed signers, of whom one must have signed each approval.
        anchor: the number and digest of a line that the ledger must have, as the reply names it.

    Raises:
        InputError: there is no bag, a file of it can't be read, ssh-keygen is missing, or the
            anchor is none.
        EvidenceError: naming what is missing, changed, added, or badly signed.
    """
    if anchor and not anchors.FORM.fullmatch(anchor):
        raise InputError(
            f"{shown(anchor)} is no anchor of a ledger",
            remedy="Give the number and the digest as the reply has them, such as 26-0d9f….",
        )
    with open_store(path) as store:
        present = store.entries()
        if "bagit.txt" not in present:
            raise InputError("is no bag: it has no bagit.txt", where=str(path))
        missing = [name for name in (*TAG_FILES, TAG_MANIFEST) if name not in present]
        if missing:
            raise EvidenceError(_missing(missing), where=str(path))
        return _verified(path, store, present, digest.lower(), signers, approvers, anchor)


def _verified(
    path: Path,
    store: Store,
    present: set[str],
    digest: str,
    who: Path | None,
    approvers: Path | None,
    anchor: str,
) -> Bag:
    raw = _read(store, TAG_MANIFEST)
    listed, tags = manifest(_read(store, MANIFEST), MANIFEST), manifest(raw, TAG_MANIFEST)
    problems = list(_misplaced(listed, tags))
    if manifest_of(tags.items()) != raw:
        # Where no digest or signature is at hand, nothing else vouches for its bytes.
        problems.append(f"{TAG_MANIFEST} was changed: it is written otherwise than we write it")
    expected = {*listed, *tags, LEDGER, TAG_MANIFEST}
    problems += [f"{shown(name)} is missing" for name in sorted(expected - present)]
    problems += [f"{shown(name)} was added" for name in sorted(present - expected - {SIGNATURE})]
    problems += _misdescribed(store, present)
    whole = {**listed, **tags}
    problems += _changed(store, {name: whole[name] for name in present & whole.keys()})
    actual = hashlib.sha256(raw).hexdigest()
    if digest and actual != digest:
        problems.append(f"the bag's digest is {actual}, not {digest}")
    key = signer = ""
    try:
        key, signer = _signed(store, present, raw, who)
    except EvidenceError as error:
        problems.append(f"the bag {error.what}")
    if not problems:
        problems += _ledger_problems(store, present)
    if not problems:
        lines = ledger.parse(_read(store, LEDGER), LEDGER)
        problems += approvals.problems(lines, approvers)
    if anchor and not problems:
        problems += filter(None, [anchors.problem(_read(store, LEDGER), anchor)])
    if problems:
        more = f"\n  … and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise EvidenceError(
            "the evidence is not what was packed:\n  " + "\n  ".join(problems[:_SHOWN]) + more,
            where=str(path),
        )
    size = sum(store.size(name) for name in listed)
    return Bag(path, actual, len(listed), size, key, signer, bool(digest))


def _signed(store: Store, present: set[str], raw: bytes, who: Path | None) -> tuple[str, str]:
    """Return the key that a bag is signed with, and, if asked for, whose that is."""
    named = _tag(_read(store, "bag-info.txt"), SIGNED_WITH) if "bag-info.txt" in present else ""
    if SIGNATURE not in present:
        if who or named:
            raise EvidenceError("is not signed" + (f", but should be with {named}" * bool(named)))
        return "", ""
    signed = _read(store, SIGNATURE)
    signer = signature.signer(raw, signed, who) if who else ""
    key = signature.key_of(raw, signed)
    if key and key != named:
        raise EvidenceError(f"is signed with {key}, and should be with {named or 'no key'}")
    return key or "a key that wasn't checked, since ssh-keygen is not installed", signer


def _tag(raw: bytes, name: str) -> str:
    lines = raw.decode("utf-8", "replace").splitlines()
    return next((x.partition(":")[2].strip() for x in lines if x.startswith(f"{name}:")), "")


def manifest(raw: bytes, where: str) -> dict[str, str]:
    """Return the digests of a manifest by name.

    Raises:
        EvidenceError: it isn't one, or a name of it leads out of the bag or stands there twice.
    """
    entries: dict[str, str] = {}
    try:
        lines = raw.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise EvidenceError(
            f"was changed: it is not UTF-8 at byte {error.start}", where=where
        ) from error
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if not match and line:
            raise EvidenceError("was changed: no line of a manifest", where=f"{where}:{number}")
        if match:
            name = _decoded(match[2])
            if name in entries or not _inside(name):
                raise EvidenceError(
                    "names a file twice, or outside of the bag", where=f"{where}: {shown(name)}"
                )
            entries[name] = match[1].lower()
    return entries


def manifest_of(entries: Iterable[tuple[str, str]]) -> bytes:
    """Return a manifest, as `sha256sum -c` reads it, from names and digests."""
    lines = []
    for name, value in sorted(entries):
        coded = "".join(_ENCODED.get(letter, letter) for letter in name)
        lines.append(f"{value}  {coded}\n")
    return "".join(lines).encode()


def _decoded(name: str) -> str:
    for letter, coded in reversed(_ENCODED.items()):
        name = name.replace(coded, letter)
    return name


def _inside(name: str) -> bool:
    """Whether a name stays in the bag on any system that it may be unpacked on."""
    parts = re.split(r"[/\\]", name)
    return not any(part in ("", ".", "..") for part in parts) and not re.match(r"[A-Za-z]:", name)


def _misplaced(listed: dict[str, str], tags: dict[str, str]) -> Iterator[str]:
    yield from (f"{shown(x)} is no payload" for x in sorted(listed) if not x.startswith("data/"))
    yield from (f"{shown(x)} is no tag file" for x in sorted(tags) if x.startswith("data/"))
    yield from (f"{name} is not listed" for name in TAG_FILES if name not in tags)
    yield from (f"{name} must not be listed" for name in (TAG_MANIFEST, SIGNATURE) if name in tags)
    if LEDGER not in listed:
        yield f"{LEDGER} is not listed"
    first: dict[str, str] = {}
    for name in sorted([*listed, *tags]):
        # On many machines these two would be one file, and one of them would be gone.
        twin = first.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if twin != name:
            yield f"{shown(name)} and {shown(twin)} differ in case or Unicode form alone"


def _misdescribed(store: Store, present: set[str]) -> Iterator[str]:
    """Yield what bag-info.txt and bagit.txt get wrong, as far as no byte need be hashed."""
    version = _tag(_read(store, "bagit.txt"), "BagIt-Version")
    if version not in _VERSIONS:
        known = " or ".join(_VERSIONS)
        yield f"bagit.txt names BagIt {shown(version) or 'without a version'}, not {known}"
    payload = [name for name in present if name.startswith("data/") and name[-1] != "/"]
    held = f"{sum(map(store.size, payload))}.{len(payload)}"
    oxum = _tag(_read(store, "bag-info.txt"), "Payload-Oxum")
    if oxum != held:
        octets, _, files = held.partition(".")
        yield (
            f"bag-info.txt names a payload of {shown(oxum) or 'nothing'} (bytes.files), "
            f"and there are {octets} bytes in {files} files"
        )


def _changed(store: Store, wanted: dict[str, str]) -> list[str]:
    names = sorted(wanted)
    # Hashing releases the interpreter's lock.
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        digests = list(executor.map(lambda name: _digest(store, name), names))
    return [
        f"{shown(name)} was changed"
        for name, value in zip(names, digests, strict=True)
        if value != wanted[name]
    ]


def _digest(store: Store, name: str) -> str:
    """Return the SHA-256 of a file; '' if it is none."""
    stream = store.open(name)
    if stream is None:
        return ""
    with stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]


def _ledger_problems(store: Store, present: set[str]) -> Iterator[str]:
    """Yield what contradicts the ledger of a bag, whose bytes are as packed."""
    try:
        lines = ledger.parse(_read(store, LEDGER), LEDGER)
    except EvidenceError as error:
        yield str(error).partition("\n")[0]
        return
    if not lines:
        yield f"{LEDGER} has no lines"
    for line in lines:
        kind, key = _RECORDED.get(str(line.get("event")), ("", ""))
        name = f"data/attempts/{line.get('attempt')}/{kind}.json"
        if kind and name not in present:
            yield f"{shown(name)} is missing, which the ledger tells of"
        elif kind and _value(_read(store, name), key) != line.get(key):
            yield f"{shown(name)} is not what the ledger tells of"


def _value(raw: bytes, key: str) -> object:
    try:
        return json.loads(raw)[key]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _read(store: Store, name: str) -> bytes:
    stream = store.open(name)
    if stream is None:
        raise EvidenceError(f"{name} is no regular file")
    with stream:
        raw = stream.read(_MOST + 1)
    if len(raw) > _MOST:
        raise EvidenceError(f"{shown(name)} is larger than {_MOST >> 20} MiB")
    return raw


def _missing(names: Iterable[str]) -> str:
    return "; ".join(f"{name} is missing" for name in names)


def shown(name: str) -> str:
    """Return a name that a stranger chose, fit for one line of a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
