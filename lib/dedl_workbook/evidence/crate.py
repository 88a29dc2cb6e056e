"""Crate: what the files of a bag are to each other, as an RO-Crate 1.1 (Process Run Crate 0.5).

Each attempt is an action: what it was done with, by whom, from what, and what came of it; an
approval is one, too. https://www.researchobject.org/workflow-run-crate/profiles/process_run_crate
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dedl_workbook.base.json import digest
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.steps.order import EVERY

_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_SCHEMA = "http://schema.org/"
_WORDS = {
    "ledger.jsonl": "Ledger: what happened, each line with the digest of the one before",
    "ticket.json": "Ticket: what was asked for",
    "index.html": "The page to read first",
    "sha256sums.txt": "SHA-256 of each published file",
    "items-sha256.txt": "SHA-256 of each published item, in its form for comparisons",
    "collection.json": "The Collection as it was published",
}
_TYPES = {".ipynb": "application/x-ipynb+json", ".jsonl": "application/jsonl"}

Entity = dict[str, Any]
_LICENSE: Entity = {
    "@id": "#use",
    "@type": "CreativeWork",
    "name": "For audit",
    "description": "For those who operate and audit the data lake; not for publication.",
}


def metadata(
    ticket: Ticket, lines: Sequence[Mapping[str, Any]], files: Mapping[str, int]
) -> Entity:
    """Return the content of ro-crate-metadata.json.

    Args:
        ticket: whose evidence it is.
        lines: of the ledger.
        files: bytes of each file of the payload, by its name.
    """
    described: dict[str, Entity] = {}
    actions = [action["@id"] for action in _actions(lines, files, described)]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Evidence of {ticket.ticket}: {ticket.collection}",
        "description": f"How {ticket.collection} was promoted on the DestinE Data Lake: every "
        "attempt, plan, approval and outcome of this ticket, failed ones too.",
        "datePublished": _time(lines[-1]),
        "license": _put(described, _LICENSE),
        "author": [_put(described, _person(line)) for line in _one_a_person(lines)],
        "conformsTo": {"@id": _PROFILE},
        "hasPart": _references(_path(name) for name in sorted(files)),
        "mentions": _references(actions),
    }
    about = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    profile = {
        "@id": _PROFILE,
        "@type": "CreativeWork",
        "name": "Process Run Crate",
        "version": "0.5",
    }
    graph = [about, root, profile, *_files(files), *described.values()]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}


def _files(files: Mapping[str, int]) -> Iterator[Entity]:
    for name, size in sorted(files.items()):
        suffix = name[name.rfind(".") :]
        kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        yield {
            "@id": _path(name),
            "@type": "File",
            "name": _WORDS.get(name, name),
            "contentSize": str(size),
            "encodingFormat": kind,
        }


def _actions(
    lines: Sequence[Mapping[str, Any]], files: Mapping[str, int], described: dict[str, Entity]
) -> Iterator[Entity]:
    ends = {x["attempt"]: x for x in lines if x["event"] in ("outcome", "planned")}
    plans: dict[str, str] = {}
    approved = ""
    for line in lines:
        action: Entity = {}
        if line["event"] == "planned":
            plans[line["digest"]] = f"attempts/{line['attempt']}/plan.json"
        elif line["event"] == "approved":
            approved = plans.get(line["digest"], "")
            action = _approval(line, approved)
        elif line["event"] == "started":
            action = _attempt(line, ends.get(line["attempt"]), files)
            action["instrument"] = _put(described, _software(line))
            action["object"] = [_put(described, value) for value in _parameters(line["ticket"])]
            inputs = ["ticket.json", *([approved] if approved in files else [])]
            action["object"] += _references(_path(name) for name in inputs)
        if action:
            action["agent"] = _put(described, _person(line))
            _put(described, action)
            yield action


def _attempt(
    line: Mapping[str, Any], end: Mapping[str, Any] | None, files: Mapping[str, int]
) -> Entity:
    name = str(line["attempt"])
    verdict = str(end.get("verdict", "passed")) if end else ""
    action: Entity = {
        "@id": f"#{name}",
        "@type": "CreateAction",
        "name": f"{name}: {verdict or 'under way'}",
        "startTime": _time(line),
        "result": _references(_path(f) for f in sorted(files) if f.startswith(f"attempts/{name}/")),
    }
    if end:
        # An attempt that planned, or found that somebody else is to act, did what it was for.
        ended = "Failed" if verdict == "failed" else "Completed"
        action["actionStatus"] = f"{_SCHEMA}{ended}ActionStatus"
        action["endTime"] = _time(end)
        action["description"] = str(end.get("summary") or f"Planned {end.get('digest')}")
    if end and verdict == "failed":
        action["error"] = str(end["summary"])
    return action


def _approval(line: Mapping[str, Any], plan: str) -> Entity:
    return {
        "@id": f"#approval-{line['seq']}",
        "@type": "AuthorizeAction",
        "name": f"Approved {line['digest']}",
        "description": str(line.get("meaning", "")),
        "startTime": _time(line),
        "endTime": _time(line),
        "actionStatus": f"{_SCHEMA}CompletedActionStatus",
        **({"object": {"@id": _path(plan)}} if plan else {}),
    }


def _software(line: Mapping[str, Any]) -> Entity:
    used = line["software"]
    step = EVERY.get(str(line["step"]))
    notebook = f"notebook {step.notebook}" if step else str(line["step"])
    packages = [f"{name} {version}" for name, version in used["packages"].items() if version]
    named = [f"{name} {used[name]}" for name in ("commit", "lock") if used.get(name)]
    return {
        "@id": f"urn:dedl-workbook:{line['step']}:{digest(used)[:16]}",
        "@type": "SoftwareApplication",
        "name": f"DEDL promotion workbook: {notebook}",
        "softwareVersion": used["dedl-workbook"],
        "softwareRequirements": [f"Python {used.get('python', '')}".strip(), *packages],
        "identifier": ", ".join(named) or "not known",
    }


def _parameters(ticket: Mapping[str, Any]) -> Iterator[Entity]:
    for name, value in ticket.items():
        text = value if isinstance(value, str) else _text(value)
        identity = f"#parameter-{name}-{digest(value)[:12]}"
        yield {"@id": identity, "@type": "PropertyValue", "name": name, "value": text}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _person(line: Mapping[str, Any]) -> Entity:
    name = str(line["operator"])
    return {"@id": f"#person-{quote(name)}", "@type": "Person", "name": name}


def _one_a_person(lines: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    yield from {line["operator"]: line for line in lines}.values()


def _time(line: Mapping[str, Any]) -> str:
    return str(line["at"]).replace("Z", "+00:00")


def _put(described: dict[str, Entity], entity: Entity) -> dict[str, str]:
    described.setdefault(entity["@id"], entity)
    return {"@id": entity["@id"]}


def _references(names: Any) -> list[dict[str, str]]:
    return [{"@id": name} for name in names]


def _path(name: str) -> str:
    return quote(name)
