"""Evidence: packs a case into a bag that a person reads and a machine checks, years later.

A bag (BagIt, RFC 8493) holds the ledger, every attempt, the ticket, the list of the published
files, and an index.html to read first. Its digest is that of `tagmanifest-sha256.txt`, which
covers, through the manifest, every byte of it.
"""

from __future__ import annotations

import hashlib
import html
import json
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedl_workbook import __version__, ledger, pages, views
from dedl_workbook.case import Case
from dedl_workbook.documents import pretty, write_atomic
from dedl_workbook.errors import EvidenceError, InputError
from dedl_workbook.redact import Redactor
from dedl_workbook.steps import STEPS, Action, now

TAG_FILES = ("bagit.txt", "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt")
_LEDGER = "data/ledger.jsonl"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Bag:
    """A bag that was found whole."""

    path: Path
    digest: str
    """SHA-256 of its tagmanifest-sha256.txt."""
    files: int
    size: int
    """Bytes of the payload."""


def pack(case: Case, *, without: str = "") -> Bag:
    """Pack the case as it stands into its folder `bag`, replacing an earlier one.

    Args:
        case: what to pack.
        without: an attempt that is left out, since it is under way: the one that sends the pack.

    Raises:
        InputError: nothing was done in this case yet.
        EvidenceError: a secret stands in a file, or a plan is not what the ledger records; names
            the file, and nothing was packed.
    """
    import bagit

    lines = case.ledger()
    if not lines:
        raise InputError("nothing to pack: this case has no attempts", where=str(case.folder))
    target = case.folder / "bag"
    with tempfile.TemporaryDirectory(dir=case.folder, prefix=".bag-") as scratch:
        folder = Path(scratch) / "bag"
        folder.mkdir()
        _gather(case, lines, folder, without)
        _drop_empty(folder)
        _refuse_secrets(folder, case.redactor)
        bagit.make_bag(
            str(folder),
            {
                "External-Identifier": case.ticket.ticket,
                "External-Description": f"Promotion of {case.ticket.collection}",
                "Bag-Software-Agent": f"dedl-workbook {__version__}",
            },
            checksums=["sha256"],
        )
        if target.exists():
            target.rename(Path(scratch) / "earlier")
        folder.rename(target)
    bag = verify(target)
    case.record("packed", digest=bag.digest, files=bag.files, bytes=bag.size)
    return bag


def verify(path: Path, *, digest: str = "") -> Bag:
    """Check a bag by itself: the exact set of files, and each byte, of payload and tags alike.

    Args:
        path: the bag.
        digest: the digest that the bag should have, as the ledger or the reply to the user
            holds it. Without it the bag can be found intact, not whose it is.

    Raises:
        InputError: there is no bag, or a file of it can't be read.
        EvidenceError: naming what is missing, changed or added.
    """
    try:
        return _verified(path, digest.lower())
    except OSError as error:
        where = str(error.filename or path)
        raise InputError(f"can't be read: {error.strerror or error}", where=where) from error


def _verified(path: Path, digest: str) -> Bag:
    if not (path / "bagit.txt").is_file():
        raise InputError("is no bag: it has no bagit.txt", where=str(path))
    problems = [f"{name} is missing" for name in TAG_FILES if not (path / name).is_file()]
    if problems:
        raise EvidenceError("; ".join(problems), where=str(path))
    listed = _manifest(path / "manifest-sha256.txt")
    tags = _manifest(path / "tagmanifest-sha256.txt")
    present = _entries(path)
    expected = {*listed, *tags, _LEDGER, "tagmanifest-sha256.txt"}
    problems += [f"{name} is missing" for name in sorted(expected - present)]
    problems += [f"{name} was added" for name in sorted(present - expected)]
    problems += [f"{name} is not listed" for name in TAG_FILES[:3] if name not in tags]
    problems += [f"{_LEDGER} is not listed"] if _LEDGER not in listed else []
    whole = {**listed, **tags}
    changed = [name for name in sorted(present & set(whole)) if not _is(path / name, whole[name])]
    problems += [f"{name} was changed" for name in changed]
    found = _sha256(path / "tagmanifest-sha256.txt")
    if digest and found != digest:
        problems.append(f"the bag's digest is {found}, not {digest}")
    problems += _ledger_problems(path / _LEDGER)
    if problems:
        more = f"\n  … and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise EvidenceError(
            "the evidence is not what was packed:\n  " + "\n  ".join(problems[:20]) + more,
            where=str(path),
        )
    return Bag(path, found, len(listed), sum((path / name).stat().st_size for name in listed))


def _entries(path: Path) -> set[str]:
    """Return all that lies in a folder: files, links, pipes; and folders that hold nothing."""
    entries = set()
    for entry in path.rglob("*"):
        name = str(entry.relative_to(path))
        if entry.is_symlink() or not entry.is_dir():
            entries.add(name)
        elif not any(entry.iterdir()):
            entries.add(f"{name}/")
    return entries


def _is(file: Path, digest: str) -> bool:
    """Tell whether a path is a regular file with that digest; a pipe would never end."""
    return stat.S_ISREG(file.lstat().st_mode) and _sha256(file) == digest


def _ledger_problems(file: Path) -> list[str]:
    if not file.is_file():
        return []
    try:
        return [] if ledger.read(file) else [f"{_LEDGER} has no lines"]
    except EvidenceError as error:
        return [error.what]


def _manifest(file: Path) -> dict[str, str]:
    entries = {}
    try:
        lines = file.read_text("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise EvidenceError(
            f"was changed: it is not UTF-8 at byte {error.start}", where=str(file)
        ) from error
    for line in filter(None, lines):
        value, _, name = line.partition(" ")
        # RFC 8493 has line ends in names percent-encoded.
        name = name.strip().replace("%0A", "\n").replace("%0D", "\r")
        if name in entries or ".." in name.split("/") or name.startswith("/"):
            raise EvidenceError("names a file twice or outside of the bag", where=f"{file}: {name}")
        entries[name] = value.lower()
    return entries


def _gather(case: Case, lines: list[dict[str, Any]], folder: Path, without: str) -> None:
    for line in lines:
        if line["event"] == "planned":
            case.read_plan(line)
    for notebook in case.folder.glob("attempts/*/notebook.ipynb"):
        if not notebook.with_suffix(".html").exists():
            pages.write(notebook, case.redactor)
    shutil.copy(case.ledger_file, folder / "ledger.jsonl")
    under_way = shutil.ignore_patterns(without) if without else None
    shutil.copytree(case.folder / "attempts", folder / "attempts", ignore=under_way)
    write_atomic(folder / "ticket.json", pretty(case.redactor.value(case.ticket.parameters())))
    if (outbox := case.folder / "outbox").is_dir():
        shutil.copytree(outbox, folder / "outbox")
    published = case.folder / "work" / "sha256sums.txt"
    if published.is_file():
        shutil.copy(published, folder / "sha256sums.txt")
    write_atomic(folder / "index.html", case.redactor.text(index(case, lines, folder)))


def _drop_empty(folder: Path) -> None:
    """Remove folders that hold nothing, such as a new attempt's: a manifest can't list them."""
    for entry in sorted(folder.rglob("*"), reverse=True):
        if entry.is_dir() and not entry.is_symlink() and not any(entry.iterdir()):
            entry.rmdir()


def _refuse_secrets(folder: Path, redactor: Redactor) -> None:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and (found := redactor.find(file.read_bytes())):
            name = file.relative_to(folder)
            raise EvidenceError(
                f"{name} holds {' and '.join(found)}: nothing was packed",
                where=str(folder.parent.parent),
                remedy="Find out how it came there, change that secret, then remove it from "
                "the file.",
            )


def index(case: Case, lines: list[dict[str, Any]], folder: Path) -> str:
    """Return the page that a person reads first: verdict, timeline, plan, approval, attempts."""
    outcomes = {x["step"]: x for x in lines if x["event"] == "outcome"}
    ticket = case.ticket
    title = f"{ticket.ticket}: {ticket.collection}"
    standing = [
        (name, outcomes[name]["verdict"], outcomes[name]["at"], outcomes[name]["summary"])
        if name in outcomes
        else (name, "not done", "", "")
        for name in STEPS
    ]
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{views.badge(verdict(lines))} {html.escape(sentence(lines))}</p>",
        views.table(("step", "verdict", "when (UTC)", "what"), standing, "Where the steps stand"),
        "<h2>The ticket</h2>",
        views.pairs(ticket.parameters()),
        "<h2>Plan and approval</h2>",
        _approvals(lines),
        _plan(case),
        "<h2>Timeline</h2>",
        views.table(
            ("", "when (UTC)", "who", "where", "event", "what"),
            [_timeline_row(x) for x in lines],
        ),
        "<h2>Attempts</h2>",
        _attempts(folder),
        f"<p>Packed {now()} by dedl-workbook {__version__}.</p>",
    ]
    style = (
        "body{font-family:sans-serif;max-width:75em;margin:2em auto;padding:0 1em}"
        "table{border-collapse:collapse;margin:1em 0}"
        "td,th{border:1px solid #bbb;padding:4px 8px;vertical-align:top}"
        "caption{text-align:left;font-weight:bold;padding:4px 0}"
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def verdict(lines: list[dict[str, Any]]) -> str:
    """Return where a case stands as one word: the verdict of the step that it came to last."""
    outcomes = [line for line in lines if line["event"] == "outcome"]
    return str(outcomes[-1]["verdict"]) if outcomes else "planned"


def sentence(lines: list[dict[str, Any]]) -> str:
    """Return where a case stands as one sentence."""
    if ledger.withdrawn(lines):
        return "Withdrawn: what was published is gone, and what was there before is back."
    last = {line["step"]: line for line in lines if line["event"] == "outcome"}
    passed = [name for name in STEPS if last.get(name, {}).get("verdict") == "passed"]
    if len(passed) == len(STEPS):
        return "Published and verified from outside."
    if "catalog" in passed and last.get("verify", {}).get("verdict") == "failed":
        return "PUBLISHED, UNVERIFIED: the verification failed."
    return f"Passed so far: {', '.join(passed) or 'nothing'}."


def _approvals(lines: list[dict[str, Any]]) -> str:
    rows = [
        (x["at"], x["operator"], x["event"], x["digest"], x.get("attempt", ""))
        for x in lines
        if x["event"] in ("planned", "approved", "refused")
    ]
    return views.table(("when (UTC)", "who", "event", "digest of the plan", "attempt"), rows)


def _plan(case: Case) -> str:
    """Return what the approved plan lists."""
    approved = case.approved_plan()
    if approved is None:
        return "<p>No plan is approved.</p>"
    rows = [
        (step, *views.action_row(Action(**action)))
        for step, planned in approved["steps"].items()
        for action in planned["actions"]
    ]
    if not rows:
        return "<p>The plan lists no change: all was there already.</p>"
    return views.table(("step", "does", "what", "how many", "size"), rows, "What was approved")


def _timeline_row(line: dict[str, Any]) -> tuple[str, ...]:
    event = str(line["event"])
    what = str(line.get("digest") or line.get("attempt", ""))
    if event == "refused":
        what += f": {line['reason']}"
    if event == "outcome":
        what = f"{line['step']}: {line['verdict']}. {line['summary']}"
    return str(line["seq"]), line["at"], line["operator"], line["host"], event, what


def _attempts(folder: Path) -> str:
    rows = []
    for attempt in sorted((folder / "attempts").iterdir()):
        outcome = attempt / "outcome.json"
        said = json.loads(outcome.read_bytes()) if outcome.is_file() else {}
        links = " ".join(
            f'<a href="attempts/{attempt.name}/{file.name}">{html.escape(file.name)}</a>'
            for file in sorted(attempt.iterdir())
            if file.is_file()
        )
        by_hand = said and not (attempt / "notebook.ipynb").is_file()
        note = " <i>Run by hand: its notebook is not kept here.</i>" if by_hand else ""
        rows.append(
            f"<li><b>{attempt.name}</b> {html.escape(said.get('verdict', ''))} "
            f"{html.escape(said.get('summary', ''))}{note}<br>{links}</li>"
        )
    return f"<ul>{''.join(rows)}</ul>"


def _sha256(file: Path) -> str:
    total = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()
