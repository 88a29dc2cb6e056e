"""Packing: copies a case into a bag, in one pass that hashes and seeks secrets, and signs it."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedl_workbook import __version__
from dedl_workbook.base import signature
from dedl_workbook.base.errors import EvidenceError, InputError, ServiceError, WorkbookError
from dedl_workbook.base.json import pretty
from dedl_workbook.base.redact import Pseudonyms, Redactor
from dedl_workbook.base.times import now
from dedl_workbook.case import anchors
from dedl_workbook.evidence import bag, crate, index, sealing
from dedl_workbook.evidence.diff import COLLECTION, ITEMS, SUMS
from dedl_workbook.evidence.secrets import Search
from dedl_workbook.publication import anchor
from dedl_workbook.services.pool import anchors as objects

if TYPE_CHECKING:
    from dedl_workbook.case.case import Case

PUBLISHED = (SUMS, ITEMS, COLLECTION)
"""What of the folder of work is evidence: what was published."""
_AS_THEY_ARE = {"ledger.jsonl", SUMS, ITEMS}
"""The ledger has pseudonyms already; the names of published files are part of the evidence."""
_TEXTS = {".json", ".ipynb", ".html", ".txt", ".jsonl", ".md", ".csv", ".eml"}
_CHUNK = 1 << 18
log = logging.getLogger(__name__)


def pack(case: Case, *, without: str = "") -> bag.Bag:
    """Pack the case as it stands into its folder `bag`, replacing an earlier one.

    Args:
        case: what to pack.
        without: an attempt that is left out, since it is under way: the one that sends the pack.

    Raises:
        InputError: nothing was done in this case yet, or the key to sign with can't be used.
        EvidenceError: a secret stands in a file, a plan is not what the ledger records, or the
            ledger is not the one that the pool names; nothing was packed.
    """
    sealing.seal_rest(case)
    lines = case.ledger()
    if not lines:
        raise InputError("nothing to pack: this case has no attempts", where=str(case.folder))
    for line in lines:
        if line["event"] == "planned":
            case.read_plan(line)
    sealing.require_unchanged(case)
    uncompared = _compare(case)
    target = case.folder / "bag"
    with tempfile.TemporaryDirectory(dir=case.folder, prefix=".bag-") as scratch:
        folder = Path(scratch) / "bag"
        _fill(case, lines, folder, without)
        if target.exists():
            target.rename(Path(scratch) / "earlier")
        folder.rename(target)
    packed = bag.verify(target)
    key = {"key": packed.key} if packed.key else {}
    size = {"files": packed.files, "bytes": packed.size}
    case.record("packed", digest=packed.digest, **size, **key, **uncompared)
    if anchors.uploaded(lines):
        _anchor(case)
    return packed


def pack_again(case: Case, say: Callable[[str], object]) -> None:
    """Pack the evidence with the attempt that told the user: the pack that it sent is older."""
    try:
        pack(case)
    except WorkbookError as error:
        # The user was told all the same, and that is what the step is about.
        say(f"the evidence was not packed again: {error}")


def _compare(case: Case) -> dict[str, str]:
    """Compare the ledger with its anchors; return why that was not done, as the ledger has it."""
    try:
        anchors.require(case.ledger_file, case.target, case.job.prefix)
    except ServiceError as error:
        log.warning("the ledger was not compared with the pool: %s", error.what)
        # Without the client's own words, which differ from time to time.
        return {"not_compared": error.what.partition(": ")[0]}
    return {}


def _anchor(case: Case) -> None:
    """Name in the pool the last line that the bag has, and the one that tells of the bag."""
    ledgers = (case.folder / "bag" / bag.LEDGER, case.ledger_file)
    heads = [anchor.of_ledger(file.read_bytes()) for file in ledgers]
    try:
        objects.write(case.target.s3, case.job.prefix, heads)
    except ServiceError as error:
        # The evidence is packed all the same; the next pack names this line, too.
        log.warning("the ledger's end was not written into the pool: %s", error.what)


def _fill(case: Case, lines: list[dict[str, Any]], folder: Path, without: str) -> None:
    writer = _Writer(folder / "data", case.redactor, Search(case.redactor), case.people)
    sources = dict(_sources(case.folder, without))
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        # Reading, hashing, searching and writing release the interpreter's lock.
        payload = list(executor.map(writer.copy, sources, sources.values()))
    ticket = case.people.value(case.redactor.value(case.ticket.parameters()))
    payload.append(writer.write("ticket.json", pretty(ticket)))
    page = index.page(case, lines, {file.name for file in payload})
    payload.append(writer.write("index.html", case.people.text(case.redactor.text(page))))
    metadata = crate.metadata(case.ticket, lines, {file.name: file.size for file in payload})
    clean = case.people.value(case.redactor.value(metadata))
    payload.append(writer.write("ro-crate-metadata.json", pretty(clean)))
    suspects = sorted(file.name for file in payload if file.suspicious)
    _refuse_secrets(folder / "data", suspects, case)
    _seal(case, folder, payload)


@dataclass(frozen=True)
class _Written:
    """A file of the payload."""

    name: str
    digest: str
    size: int
    suspicious: bool


@dataclass(frozen=True)
class _Writer:
    """Writes the payload."""

    folder: Path
    redactor: Redactor
    search: Search
    people: Pseudonyms

    def copy(self, name: str, source: Path) -> _Written:
        """Copy a file, with pseudonyms where the target wants them."""
        if self.people and source.suffix in _TEXTS and name not in _AS_THEY_ARE:
            return self.write(name, self._with_pseudonyms(source))
        with source.open("rb", buffering=0) as stream:
            return self._stored(name, _chunks(stream))

    def _with_pseudonyms(self, source: Path) -> str:
        text = source.read_text("utf-8", "surrogateescape")
        if source.suffix not in (".json", ".ipynb"):
            return self.people.text(text)
        try:
            # Where a name begins can't be told within JSON's escapes.
            return pretty(self.people.value(json.loads(text)))
        except ValueError:
            return self.people.text(text)

    def write(self, name: str, text: str) -> _Written:
        """Write a text."""
        return self._stored(name, [text.encode("utf-8", "surrogateescape")])

    def _stored(self, name: str, chunks: Iterable[bytes | memoryview]) -> _Written:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        total, size = hashlib.sha256(), 0
        hits: list[Any] = []
        with file.open("xb") as out, self.search.of(hits) as search:
            for chunk in chunks:
                total.update(chunk)
                search(chunk)
                out.write(chunk)
                size += len(chunk)
        return _Written(name, total.hexdigest(), size, bool(hits))


def _chunks(stream: io.FileIO) -> Iterator[memoryview]:
    """Yield a file in pieces that stay in the processor's cache, each in the place of the last."""
    buffer = memoryview(bytearray(_CHUNK))
    while count := stream.readinto(buffer):
        yield buffer[:count]


def _sources(case: Path, without: str) -> Iterator[tuple[str, Path]]:
    """Yield what of a case is packed, by its name in the payload."""
    yield "ledger.jsonl", case / "ledger.jsonl"
    for name in PUBLISHED:
        if (file := case / "work" / name).is_file():
            yield name, file
    for part in ("attempts", "outbox", "rehearsal"):
        for place, folders, files in os.walk(case / part):
            if place == str(case / part) and without in folders:
                folders.remove(without)
            for file in (Path(place) / name for name in (*files, *folders)):
                mode = file.lstat().st_mode
                if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                    raise EvidenceError("is no regular file: nothing was packed", where=str(file))
                if stat.S_ISREG(mode):
                    yield file.relative_to(case).as_posix(), file


def _refuse_secrets(payload: Path, names: list[str], case: Case) -> None:
    for name in names:
        if secrets := case.redactor.find((payload / name).read_bytes()):
            raise EvidenceError(
                f"{bag.shown(name)} holds {' and '.join(secrets)}: nothing was packed",
                where=str(case.folder),
                remedy="Find out how it came there, change that secret, then remove it from "
                "the file.",
            )


def _seal(case: Case, folder: Path, payload: list[_Written]) -> None:
    """Write what makes a bag of the payload: tag files, manifests, the signature."""
    key = case.target.evidence.signing_key
    size = sum(file.size for file in payload)
    info = {
        "External-Identifier": case.ticket.ticket,
        "External-Description": f"Promotion of {case.ticket.collection}",
        "Bagging-Date": now()[:10],
        "Payload-Oxum": f"{size}.{len(payload)}",
        "Bag-Software-Agent": f"dedl-workbook {__version__}",
    }
    if key:
        info[bag.SIGNED_WITH] = signature.fingerprint(key)
    tags = {
        "bagit.txt": _tags({"BagIt-Version": bag.VERSION, "Tag-File-Character-Encoding": "UTF-8"}),
        "bag-info.txt": _tags(info),
        bag.MANIFEST: bag.manifest_of((f"data/{file.name}", file.digest) for file in payload),
    }
    listed = bag.manifest_of((name, hashlib.sha256(raw).hexdigest()) for name, raw in tags.items())
    tags[bag.TAG_MANIFEST] = listed
    if key:
        tags[bag.SIGNATURE] = signature.sign(listed, key)
    for name, raw in tags.items():
        (folder / name).write_bytes(raw)


def _tags(values: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {value}\n" for name, value in values.items()).encode()
