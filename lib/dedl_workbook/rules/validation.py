"""Validation: runs the rulebook over a dataset, and reports. It changes nothing."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from dedl_workbook import __version__
from dedl_workbook.base.errors import InputError
from dedl_workbook.base.json import canonical
from dedl_workbook.base.parallel import map_shards, open_executor, shards
from dedl_workbook.base.progress import Tell, silent
from dedl_workbook.base.text import nearest, number
from dedl_workbook.dataset.dataset import (
    COLLECTION,
    DATA,
    ITEMS,
    Bucket,
    Dataset,
    File,
    Names,
)
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket
from dedl_workbook.publication import content
from dedl_workbook.rules import keywords, published, run
from dedl_workbook.rules.across import AT_ONCE, UNREAD, Comparison, Packer
from dedl_workbook.rules.coverage import proposals
from dedl_workbook.rules.delivered import (
    Content,
    Item,
    Unreadable,
    kind,
    read_document,
    read_item,
)
from dedl_workbook.rules.extent import Covered, extent_of
from dedl_workbook.rules.findings import Finding, Gatherer, Report, Severity, ordered
from dedl_workbook.rules.layout import IRREGULAR, are_items, are_plain, room_for_path
from dedl_workbook.rules.rule import Given, Listing
from dedl_workbook.rules.rulebook import RULES
from dedl_workbook.rules.schemas import store

SecondOpinion = Literal["sample", "all", "none"]
"""Of which items stac-validator is asked besides."""
SAMPLE = 10
"""Items of a sample."""
LARGEST_ASKED = 100_000
"""Bytes of a document of which stac-validator is asked by itself: it takes 6 ms for each asset, so
seconds for such a document and hours for the largest. `all` asks it about every item."""
MANY = 20_000
"""Items of a local dataset from which on more than one process is worth its start."""
AHEAD = 64
"""Shards that may be under way: enough for the workers of a cluster."""


@dataclass
class Items:
    """What was seen of the items besides what rules report."""

    count: int = 0
    """Those that could be read."""
    sample: list[File] = field(default_factory=list)
    """Some files of them, evenly spread."""
    extensions: set[str] = field(default_factory=set)
    """Schemas that they could not be held against."""
    unchecked: int = 0
    """How many name one of these."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Data files that were not looked into, by what they are called."""
    outside: Covered = field(default_factory=Covered)
    """What those cover that lie outside of the collection's extent."""
    contents: list[bytes] = field(default_factory=list)
    """The digests of their files, by shards."""


def validate(
    dataset: Dataset,
    *,
    ticket: Ticket | None = None,
    target: Target | None = None,
    executor: Executor | str = "one",
    tell: Tell = silent,
    second_opinion: SecondOpinion = "sample",
    fetch: bool = False,
) -> Report:
    """Hold a dataset against every rule and report all that was found.

    Memory does not grow with the dataset. Without a target no socket is opened but an s3:// one's.

    Args:
        dataset: what was delivered.
        ticket: what was agreed; without it, the folder's name stands for the collection's id.
        target: where it goes: its switches and severities of rules, and what it serves already.
        executor: runs the shards: one of yours, such as a Dask client's `get_executor()`, or the
            name of one (see `executors`): `one` (this thread), `threads`, `processes`, the address
            of a Dask scheduler, or `auto`. With processes, scripts need their `__main__` guard.
        tell: is told of progress, in items.
        second_opinion: the items that stac-validator is asked about besides the collection.
        fetch: whether a schema of an extension that isn't here is fetched when a document first
            names it: only one that the lock names, from its own address, with its digest.

    Raises:
        InputError: STAC's own schemas aren't here, a waiver of no rule, a damaged schema store, an
            unreadable keywords' file, no such executor, or a worker that isn't fit.
        ServiceError: the bucket, or the Dask scheduler, refuses or doesn't answer.
    """
    require_known_waivers(ticket)
    given, gathered = _given(dataset, ticket, target), Gatherer()
    given = replace(given, fetch=fetch)
    if not {"C01", "I01"} <= given.off:
        store.require_core(given.served, given.schemas)
    held = store.held(given.schemas)
    given, notes = _with_vocabulary(given, target)
    with (
        tempfile.TemporaryDirectory(prefix="dedl-validate-") as folder,
        closing(Comparison(Path(folder))) as comparison,
    ):
        listing = _list(given, comparison, gathered, tell)
        _gather(gathered, _before_items(given, listing, comparison))
        look = partial(run.check_shard, given.for_shards(), second_opinion == "all")
        items = _items(look, given, comparison, listing, executor, gathered, tell)
        size = comparison.settle()
        for part in comparison.parts():
            size += part.measure(dataset)
            _gather(gathered, run.findings_of("across", "", given, part))
    notes = [*_notes(ticket, target), *notes, *store.notes(given.schemas)]
    if second_opinion != "none":
        chosen = items.sample if second_opinion == "sample" else []
        notes += _ask_sample(given, chosen, gathered)
    better = proposals(given.extent, items.outside)
    findings = ordered(_settled(gathered.findings(), better, ticket, target))
    if fetched := len(store.held(given.schemas) - held):
        notes.append(
            f"{number(fetched, 'schemas')} of extensions were fetched from their addresses"
        )
    if given.own is not None:
        items.extensions.update(given.own.unchecked)
        items.unchecked += bool(given.own.unchecked)
        run.add_counts(items.unknown, Counter(given.own.unknown.values()))
    return Report(
        dataset.location,
        findings,
        items.count,
        listing.files,
        size,
        tuple(notes),
        tuple(sorted(items.extensions)),
        items.unchecked,
        {
            "collection": sha256(given.own.data).hexdigest() if given.own else "",
            "items": content.digest(items.contents),
        },
        dict(items.unknown.most_common()),
        data_files=listing.below_data,
    )


def _given(dataset: Dataset, ticket: Ticket | None, target: Target | None) -> Given:
    file = dataset.stat(COLLECTION)
    read: Content | Unreadable
    if file is None:
        read = Unreadable("L02", "there is no file metadata/collection.json")
    elif file.kind != "file":
        read = Unreadable("L02", IRREGULAR[file.kind][0])
    else:
        read = read_document(dataset, file, "L02")
    if not isinstance(read, Unreadable) and not isinstance(read.document, dict):
        read = Unreadable("L02", f"holds {kind(read.document)}, not an object")
    off = frozenset(rule for rule, to in target.rules.items() if to == "off") if target else ()
    given = Given(
        dataset,
        None if isinstance(read, Unreadable) else read.document,
        read.text if isinstance(read, Unreadable) else "",
        agreed=ticket.collection if ticket else "",
        ticket=ticket.ticket if ticket else "",
        replaces=bool(ticket and ticket.mode == "replace"),
        remote_assets=target.remote_assets if target else "refuse",
        schemas=store.default_store(),
        off=frozenset(off),
    )
    if given.collection is None or isinstance(read, Unreadable):
        return given
    own = Item.of(COLLECTION, dict(given.collection), read.data, dataset, links=read.links)
    given = replace(given, extent=extent_of(given.collection), own=own)
    if target is not None and "C13" not in given.off:
        given = replace(given, published=published.look_up(target, given.id))
    return given


def _with_vocabulary(given: Given, target: Target | None) -> tuple[Given, list[str]]:
    """Add the keywords to compare with; return what to note of them as well."""
    if given.collection is None or "C04" in given.off:
        return given, []
    vocabulary = keywords.vocabulary(target, given.id)
    return replace(given, vocabulary=vocabulary.words), [vocabulary.source]


def _list(given: Given, comparison: Comparison, gathered: Gatherer, tell: Tell) -> Listing:
    listing, rows, room = Listing(), Packer(), room_for_path(given)
    for entry in given.dataset.entries():
        plain = isinstance(entry, Names) and are_plain(entry, room)
        if isinstance(entry, Names) and plain and entry.whole and entry.folder.startswith(DATA):
            rows.add("folder", (entry.folder, entry.names))
            listing.note_data(len(entry.names))
        elif isinstance(entry, Names) and plain and are_items(entry):
            # The short way: no rule has anything to say of them yet.
            rows.add("folder", (ITEMS, None))
            listing.note_items(len(entry.names))
            for name in entry.names:
                path = ITEMS + name
                rows.add("file", (path, UNREAD, "file"))
                comparison.todo.add(File(path, UNREAD, ""))
        else:
            for file in _apart(entry, rows):
                rows.add("file", (file.path, file.size, file.kind))
                is_item = listing.note(file)
                if is_item:
                    comparison.todo.add(file)
                if not (plain and (is_item or file.path.startswith(DATA))):
                    _gather(gathered, run.findings_of("file", file.path, given, file))
        if rows.rows >= AT_ONCE:
            comparison.add(rows.packed())
            tell("list", listing.files, 0, "files")
    comparison.add(rows.packed())
    return listing


def _apart(entry: File | Names, rows: Packer) -> Iterator[File]:
    """Yield files that are compared one by one, after what stands for their folder."""
    if isinstance(entry, Names):
        rows.add("folder", (entry.folder, None))
        for name in entry.names:
            yield File(entry.folder + name, UNREAD, "")
    else:
        if entry.kind != "file":
            rows.add("folder", (entry.path[: entry.path.rfind("/") + 1], None))
        yield entry


def _gather(gathered: Gatherer, findings: Iterable[Finding]) -> None:
    for finding in findings:
        gathered.add(finding)


def _before_items(given: Given, listing: Listing, comparison: Comparison) -> Iterator[Finding]:
    yield from run.findings_of("dataset", "", given)
    yield from run.findings_of("listing", "", given, listing)
    if given.collection is not None:
        yield from run.findings_of("collection", COLLECTION, given, given.collection)
    if given.own is not None:
        # After the rules, which note what they read.
        rows = Packer()
        run.note_assets(given.own, rows)
        comparison.add(rows.packed())


def _items(
    look: Callable[[list[File]], run.ShardResult],
    given: Given,
    comparison: Comparison,
    listing: Listing,
    executor: Executor | str,
    gathered: Gatherer,
    tell: Tell,
) -> Items:
    """Check every item."""
    size = content.shard_size(listing.items)
    items, done = Items(), 0
    files = _sampling(comparison.todo.files(), listing.items, items.sample)
    with _opened(executor, given, listing.items) as opened:
        for result in map_shards(look, shards(files, size), opened, ahead=AHEAD):
            done += result.files
            items.count += result.items
            comparison.add(result.rows)
            _gather(gathered, result.findings)
            items.extensions |= result.unchecked
            items.unchecked += result.unchecked_items
            items.outside.merge(result.outside)
            run.add_counts(items.unknown, result.unknown)
            items.contents.append(result.content)
            tell("validate", done, listing.items, "items")
    return items


def _sampling(files: Iterable[File], count: int, chosen: list[File]) -> Iterator[File]:
    """Pass files on, and keep some of them, evenly spread."""
    wanted = {count * n // SAMPLE for n in range(SAMPLE)}
    for n, file in enumerate(files):
        if n in wanted:
            chosen.append(file)
        yield file


def _opened(
    executor: Executor | str, given: Given, items: int
) -> AbstractContextManager[Executor | None]:
    if isinstance(executor, Executor):
        return nullcontext(executor)
    probe = partial(run.hindrance, given.for_shards(), given.dataset.stat(COLLECTION), __version__)
    remote = isinstance(given.dataset, Bucket)
    return open_executor(executor, probe, many=items >= MANY, remote=remote)


def _ask_sample(given: Given, sample: Iterable[File], gathered: Gatherer) -> list[str]:
    """Ask stac-validator about the collection and a sample; return what to note."""
    asked = large = 0
    try:
        for rule, path, size, document in _to_ask(given, sample):
            if size > LARGEST_ASKED:
                large += 1
                continue
            if finding := run.second_opinion(rule, path, document):
                gathered.add(finding)
            asked += 1
    except InputError as error:
        return [f"stac-validator was not asked: {error.what}"]
    notes = [f"stac-validator was asked about {asked} documents besides"]
    if large:
        limit = f"{LARGEST_ASKED // 1000} kB"
        notes.append(f"stac-validator was not asked about {large} documents of more than {limit}")
    return notes


def _to_ask(given: Given, sample: Iterable[File]) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    """Yield the collection and the items: the rule, the file, its bytes, the document."""
    if given.collection is not None and "C01" not in given.off:
        document = dict(given.collection)
        yield "C01", COLLECTION, len(canonical(document)), document
    for file in sample if "I01" not in given.off else ():
        item = read_item(given.dataset, file)
        if isinstance(item, Item):
            yield "I01", file.path, len(item.data), item.document


def _settled(
    findings: Iterable[Finding],
    better: Mapping[str, str],
    ticket: Ticket | None,
    target: Target | None,
) -> Iterator[Finding]:
    """Give findings the target's severities, the ticket's waivers, and better remedies."""
    severities: Mapping[str, str] = target.rules if target else {}
    waived = {w.rule: f"{w.reason} (agreed by {w.agreed_by})" for w in _waivers(ticket)}
    for finding in findings:
        settled = finding
        if finding.fix in better:
            settled = replace(settled, fix=better[finding.fix])
        if finding.rule in severities:
            settled = replace(settled, severity=Severity(severities[finding.rule]))
        if finding.rule in waived:
            settled = replace(settled, waived=waived[finding.rule])
        yield settled


def _waivers(ticket: Ticket | None) -> list[Any]:
    return list(ticket.waivers) if ticket else []


def require_known_waivers(ticket: Ticket | None) -> None:
    """Require that a ticket waives rules that there are.

    Raises:
        InputError: naming those that there are not.
    """
    unknown = [waiver.rule for waiver in _waivers(ticket) if waiver.rule not in RULES]
    if unknown:
        hints = [nearest(unknown[0], RULES), "`dedl-workbook rules` lists them all."]
        raise InputError(
            f"waivers: there is no rule {' nor '.join(unknown)}",
            where=ticket.ticket if ticket else "",
            remedy=" ".join(filter(None, hints)),
        )


def _notes(ticket: Ticket | None, target: Target | None) -> Iterator[str]:
    for rule, setting in sorted(target.rules.items()) if target else ():
        if rule not in RULES:
            yield f"{rule} is set in the target, but there is no such rule"
        elif setting == "off":
            yield f"{rule} is switched off in the target: {RULES[rule].title}"
        else:
            yield f"{rule} is of severity {setting} in the target"
    for waiver in _waivers(ticket):
        yield f"{waiver.rule} is waived: {waiver.reason} (agreed by {waiver.agreed_by})"
    if target is None:
        yield "C13 was not looked at: it needs a target"
