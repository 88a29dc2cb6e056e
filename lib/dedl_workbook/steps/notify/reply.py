"""Reply: what the user is told and what goes with it, stored before it is sent."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import EvidenceError, GateError, InputError
from dedl_workbook.base.files import write_atomic
from dedl_workbook.base.json import digest, pretty
from dedl_workbook.base.redact import Redactor
from dedl_workbook.base.text import amount, number
from dedl_workbook.parameters.fields import StepName
from dedl_workbook.publication import anchor
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.publication.metadata import collection
from dedl_workbook.publication.standing import Kind, standing
from dedl_workbook.rules.findings import PAGE, Finding, Severity, grouped
from dedl_workbook.services.helpdesk import Attachment
from dedl_workbook.steps.notify import archive, fetching
from dedl_workbook.steps.notify.letters import letter

REPORT, REPORT_PAGE = "validation-report.json", "validation-report.html"
RECORD = "message.json"
_KINDS = 100
"""Kinds of findings that a letter lists; the report has all."""
_LATER = ("  Its digest is filled in when this is sent.",)
_TYPES = {".html": "text/html", ".json": "application/json", ".zip": "application/zip"}


@dataclass(frozen=True)
class Attempt:
    """An attempt at a step that came to its outcome."""

    step: str
    verdict: str
    folder: Path
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Draft:
    """A letter as far as it is known before it is sent."""

    subject: str
    text: str
    attachments: dict[str, Path | None]
    """Where each comes from, by name; None: it isn't made yet."""
    values: dict[str, Any]
    """What is filled in, but for what only sending makes known."""
    identity: str
    """The same for the same letter about the same publication."""


@dataclass(frozen=True)
class Parcel:
    """What is sent, byte by byte, as it lies in the archive."""

    subject: str
    text: str
    attachments: tuple[Attachment, ...]
    pack: Attachment
    """The whole evidence."""
    pack_sha256: str
    evidence: str
    """The digest of the evidence, as `evidence verify` takes it."""
    evidence_lines: tuple[str, ...]
    limit: int
    """Bytes that an attachment could have."""
    place: str = ""
    """Where in the archive's bucket the evidence goes; '' if it doesn't."""


def _attempt(job: Job, step: str, *verdicts: str) -> Attempt | None:
    """Return the last attempt of a step with such an outcome, any by default."""
    for line in reversed(job.events):
        if line["event"] == "outcome" and line["step"] == step:
            if verdicts and line["verdict"] not in verdicts:
                continue
            folder = job.case / "attempts" / str(line["attempt"])
            outcome = json.loads((folder / "outcome.json").read_bytes())
            return Attempt(step, line["verdict"], folder, outcome.get("detail") or {})
    return None


def draft(job: Job, kind: Kind) -> Draft:
    """Compose a letter.

    Raises:
        InputError: the dataset wasn't validated yet, or can't be read.
    """
    values: dict[str, Any] = {
        "collection": job.ticket.collection,
        "url": _url(job),
        "access": _access(job),
    }
    sources: dict[str, Path | None] = {}
    about: list[Any] = [kind, standing(job.events).number(kind)]
    if kind != "withdrawn":
        validated = _validated(job, kind)
        report = validated.detail["report"]
        values |= _counts(report)
        sources["10-validate.html"] = _notebook(validated)
        about.append(job.fingerprint)
    if kind == "accepted":
        values["fetching"] = list(fetching.lines(job))
        values["title"] = str(collection(job).get("title") or job.ticket.collection)
        verified = _attempt(job, StepName.VERIFY)
        passed = verified is not None and verified.verdict == Verdict.PASSED
        sources["60-verify.html"] = _notebook(verified) if verified and passed else None
    if kind == "refused":
        values["findings"] = list(_error_lines(report))
        page = validated.folder / PAGE
        sources |= {REPORT_PAGE: page} if page.is_file() else {}
    if kind != "withdrawn":
        sources[REPORT] = validated.folder / "outcome.json"
    names = [f"  - {name}" for name in sources] or ["  nothing"]
    subject, text = letter(kind, **values, attached=names, evidence=_LATER)
    return Draft(subject, text, sources, values, digest([*about, subject, text]))


def _validated(job: Job, kind: Kind) -> Attempt:
    wanted = Verdict.FAILED if kind == "refused" else Verdict.PASSED
    attempt = _attempt(job, StepName.VALIDATE, wanted)
    # Of what was changed meanwhile, the report may tell what never was.
    if attempt is None or "report" not in attempt.detail or attempt.detail.get("changed"):
        raise InputError(
            f"the dataset can't be called {kind}: no validation of this case has {wanted} "
            "that saw it as it is",
            where=job.ticket.ticket,
            remedy=f"Run it first: dedl-workbook run {job.ticket.ticket} --step validate",
        )
    return attempt


def _notebook(attempt: Attempt) -> Path:
    """Return the page of a notebook: it is made once the notebook is sealed with its verdict."""
    return attempt.folder / "notebook.html"


def _url(job: Job) -> str:
    root = job.target.hda.url if job.target.hda else job.target.stac_api.url
    return f"{root.rstrip('/')}/collections/{job.ticket.collection}"


def _access(job: Job) -> str:
    if job.ticket.access == "public":
        return "public"
    return f"restricted to those who hold {' and '.join(sorted(job.ticket.roles))}"


def _counts(report: Mapping[str, Any]) -> dict[str, Any]:
    counts = report["counts"]
    return {
        "items": number(counts["items"], "items"),
        # Reports of before counted data and metadata together.
        "files": number(counts["data_files"], "data files")
        if "data_files" in counts
        else number(counts["files"], "files"),
        "size": amount(counts["bytes"]),
        "errors": number(counts["error"], "errors"),
        "warnings": number(counts["warning"], "warnings"),
    }


def _error_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors of a report as lines: alike ones as one, each with its remedy."""
    findings = [Finding(**f | {"severity": Severity(f["severity"])}) for f in report["findings"]]
    groups = grouped(f for f in findings if f.severity is Severity.ERROR and not f.waived)
    for n, group in enumerate(groups[:_KINDS], 1):
        finding = group.finding
        times = f", {group.count:,} times" if group.count > 1 else ""
        yield ""
        yield f"  {n}. {finding.rule}{times}: {finding.message}"
        for place in group.examples:
            yield f"       in {place or 'the dataset'}"
        if finding.fix:
            yield f"       To fix it: {finding.fix}"
    if len(groups) > _KINDS:
        yield ""
        yield f"  … and {len(groups) - _KINDS:,} more kinds of errors: see {REPORT}."


def load(folder: Path) -> Parcel | None:
    """Return the parcel that lies in a folder, or None.

    Raises:
        EvidenceError: it isn't any more what was stored.
    """
    record = folder / RECORD
    if not record.is_file():
        return None
    message = json.loads(record.read_bytes())
    files = {row["name"]: _attachment(folder / row["name"]) for row in message["files"]}
    changed = [
        row["name"]
        for row in message["files"]
        if not files[row["name"]].path.is_file() or files[row["name"]].sha256 != row["sha256"]
    ]
    if changed:
        raise EvidenceError(
            f"the copy of a message was changed: {', '.join(changed)}",
            where=str(folder),
            remedy="Restore it from the archive's backup.",
        )
    return Parcel(
        message["subject"],
        message["text"],
        tuple(files[name] for name in message["attached"]),
        files[message["pack"]],
        files[message["pack"]].sha256,
        message["evidence"],
        tuple(message["evidence_lines"]),
        message["limit"],
        message.get("place", ""),
    )


def store(
    job: Job, kind: Kind, draft: Draft, folder: Path, limit: int, *, comments: bool
) -> Parcel:
    """Make all that is sent, and store it, whole or not at all.

    Args:
        job: whose user is told.
        kind: what.
        draft: the letter.
        folder: where it is stored; what is there of an earlier try is replaced.
        limit: bytes that an attachment may have; larger ones stay here, named in the reply.
        comments: whether the desk takes the evidence, as long as it is within the limit.

    Raises:
        GateError: an executed notebook, or the evidence, is missing.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".draft-") as scratch:
        files = Path(scratch) / "message"
        files.mkdir()
        redactor = Redactor(job.target.secrets())
        evidence, pack = _pack(job, kind, files)
        for name, source in draft.attachments.items():
            write_atomic(files / name, redactor.text(_content(job, name, _packed(job, source))))
        goes_along = comments and (files / pack).stat().st_size <= limit
        sha256 = _attachment(files / pack).sha256
        place = "" if goes_along else archive.place(job, sha256)
        record = _record(kind, draft, files, folder, evidence, pack, limit, place)
        write_atomic(files / RECORD, pretty(redactor.value(record)))
        if folder.exists():
            folder.rename(Path(scratch) / "earlier")
        files.rename(folder)
    parcel = load(folder)
    assert parcel is not None  # noqa: S101 (it was written just now)
    return parcel


def _record(
    kind: Kind,
    draft: Draft,
    files: Path,
    folder: Path,
    evidence: str,
    pack: str,
    limit: int,
    place: str,
) -> dict[str, Any]:
    names = list(draft.attachments)
    ledger = anchor.of_ledger((folder.parent.parent / "bag/data/ledger.jsonl").read_bytes())
    proof = [
        f"  Its digest   {evidence}",
        f"  Its ledger   {ledger}",
        f"  Kept in the archive as {place or pack}; ask in this ticket if you want to see it.",
    ]
    lines = [_line(files / name, limit) for name in names] or ["  nothing"]
    subject, text = letter(kind, **draft.values, attached=lines, evidence=proof)
    return {
        "subject": subject,
        "text": text,
        "attached": [name for name in names if (files / name).stat().st_size <= limit],
        "pack": pack,
        "evidence": evidence,
        "place": place,
        "evidence_lines": [
            f"  Its digest   {evidence}",
            f"  Its ledger   {ledger}",
            f"  Kept as      {folder / pack}",
            *([f"  And as       {place}"] if place else []),
        ],
        "limit": limit,
        "files": [
            {"name": name, "sha256": _attachment(files / name).sha256} for name in [*names, pack]
        ],
    }


def _attachment(path: Path) -> Attachment:
    return Attachment(path.name, path, _TYPES.get(path.suffix, "application/octet-stream"))


def _line(file: Path, limit: int) -> str:
    size = file.stat().st_size
    if size <= limit:
        return f"  - {file.name} ({amount(size)})"
    digest = _attachment(file).sha256
    return f"  - {file.name} ({amount(size)}) is too large, and kept in the archive: {digest}"


def _packed(job: Job, source: Path | None) -> Path | None:
    """Return the evidence's copy of an attempt's file: of people it holds what the target wants."""
    return source and job.case / "bag" / "data" / source.relative_to(job.case)


def _content(job: Job, name: str, source: Path | None) -> str:
    """Return the text of what is attached."""
    if source is None or not source.is_file():
        step = name.removesuffix(".html").partition("-")[2]
        raise GateError(
            f"the executed notebook of {step} isn't in the case: the user can't be told yet",
            where=job.ticket.ticket,
            remedy=f"Run it: dedl-workbook run {job.ticket.ticket} --step {step}; if it was run by "
            "hand in `dedl-workbook lab`, save it there.",
        )
    if name == REPORT:
        return pretty(json.loads(source.read_bytes())["detail"]["report"])
    return source.read_text("utf-8")


def size_of(job: Job, name: str, source: Path | None) -> int:
    """Return the bytes of an attachment as it would be sent; 0: it isn't made yet."""
    if source is None or not source.is_file():
        return 0
    return len(Redactor(job.target.secrets()).text(_content(job, name, source)).encode())


def _pack(job: Job, kind: Kind, folder: Path) -> tuple[str, str]:
    """Write the evidence as a zip; return its digest and the name of the zip.

    Raises:
        GateError: it isn't packed, or not since the last step that it must show.
    """
    bag = job.case / "bag"
    manifest = bag / "tagmanifest-sha256.txt"
    shown = {"accepted": StepName.VERIFY, "refused": StepName.VALIDATE}.get(kind)
    last = _attempt(job, shown) if shown else None
    if not manifest.is_file() or (last and not (bag / "data/attempts" / last.folder.name).is_dir()):
        raise GateError(
            "the evidence isn't packed as the case stands: the user can't be told yet",
            where=str(bag),
            remedy=f"Pack it: dedl-workbook evidence pack {job.ticket.ticket}",
        )
    name = f"evidence-{job.ticket.ticket}.zip"
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(f for f in bag.rglob("*") if f.is_file() and not f.is_symlink()):
            within = f"evidence-{job.ticket.ticket}/{file.relative_to(bag).as_posix()}"
            entry = zipfile.ZipInfo(within)
            entry.compress_type, entry.file_size = zipfile.ZIP_DEFLATED, file.stat().st_size
            with file.open("rb") as content, archive.open(entry, "w") as written:
                shutil.copyfileobj(content, written)
    return hashlib.sha256(manifest.read_bytes()).hexdigest(), name
