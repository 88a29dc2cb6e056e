"""Validate: the rulebook over whole datasets, switches, waivers, shards, odd input."""

from __future__ import annotations

import copy
import json
import os
import pickle
import socket
import tracemalloc
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from dedl_workbook.base.errors import InputError
from dedl_workbook.dataset import walk
from dedl_workbook.dataset.dataset import USUAL, Bucket, File, Folder, open_dataset
from dedl_workbook.parameters.target import S3, Target
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.rules import validation
from dedl_workbook.rules.across import AT_ONCE, UNREAD, Comparison, Packer
from dedl_workbook.rules.delivered import parse
from dedl_workbook.rules.findings import LISTED, Finding, Gatherer, Severity, grouped
from dedl_workbook.rules.rulebook import RULES
from dedl_workbook.rules.schemas import store
from dedl_workbook.steps import validate
from dedl_workbook.steps.notify import reply
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.unit.builders import (
    GONE,
    ID,
    any_asset,
    any_collection,
    any_dataset,
    any_item,
    png,
    write,
)
from tests.unit.rules.examples import any_ticket, report

ITEM = "metadata/items/heat_20241116.json"


def any_target(**changes: Any) -> Target:
    nowhere = "http://127.0.0.1:9"
    keys = {"access_key": SecretStr("a"), "secret_key": SecretStr("b")}
    values: dict[str, Any] = {
        "name": "site",
        "s3": {"endpoint": nowhere, "bucket": "pool", **keys},
        "catalog": {"host": "127.0.0.1", "database": "d", "user": "u", "password": SecretStr("c")},
        "stac_api": {"url": nowhere},
        "archive": Path("archive"),
    }
    return Target(**{**values, "rules": {"C13": "off"}, **changes})


def broken(tmp_path: Path) -> Path:
    """A dataset with one error, of rule I02."""
    return any_dataset(tmp_path, any_item(collection="EO.XXX.DAT.COLD"))


def test_a_rule_that_the_target_switches_off_finds_nothing_and_is_named(tmp_path: Path) -> None:
    result = report(broken(tmp_path), target=any_target(rules={"I02": "off", "C13": "off"}))

    assert result.findings == ()
    assert [note for note in result.notes if note.startswith("I02 is switched off")]


def test_a_rules_severity_can_be_set_in_the_target_and_is_named(tmp_path: Path) -> None:
    result = report(broken(tmp_path), target=any_target(rules={"I02": "warning", "C13": "off"}))

    assert result.passed
    assert [(f.rule, f.severity) for f in result.findings] == [("I02", Severity.WARNING)]
    assert "I02 is of severity warning in the target" in result.notes


def test_a_rule_of_the_target_that_does_not_exist_is_named(tmp_path: Path) -> None:
    result = report(any_dataset(tmp_path), target=any_target(rules={"L77": "off", "C13": "off"}))

    assert "L77 is set in the target, but there is no such rule" in result.notes


def test_a_waived_finding_stays_with_its_reason_but_does_not_count(tmp_path: Path) -> None:
    waiver = {"rule": "I02", "reason": "historic items", "agreed_by": "the board"}

    result = report(broken(tmp_path), ticket=any_ticket(waivers=[waiver]))

    assert result.passed
    assert [f.waived for f in result.findings] == ["historic items (agreed by the board)"]
    assert "I02 is waived: historic items (agreed by the board)" in result.notes


def test_a_waiver_of_a_rule_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    waivers = [{"rule": rule, "reason": "r", "agreed_by": "a"} for rule in ("I02", "L99")]

    with pytest.raises(InputError, match="there is no rule L99") as refused:
        report(broken(tmp_path), ticket=any_ticket(waivers=waivers))

    assert "Did you mean 'L09'?" in refused.value.remedy


def test_without_a_target_no_socket_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)

    result = validation.validate(open_dataset(str(any_dataset(tmp_path))))

    assert result.passed
    assert "C13 was not looked at: it needs a target" in result.notes
    assert "stac-validator was asked about 2 documents besides" in result.notes


def test_a_target_that_does_not_answer_is_a_warning_of_c13(tmp_path: Path) -> None:
    result = report(any_dataset(tmp_path), target=any_target(rules={}), ticket=any_ticket())

    assert [(f.rule, f.severity) for f in result.findings] == [("C13", Severity.WARNING)]


def many(tmp_path: Path, count: int = 60) -> Path:
    """A dataset in which each third item names another collection."""
    items = [any_item(f"item_{n:03}") for n in range(count)]
    for item in items[::3]:
        item["collection"] = "EO.XXX.DAT.COLD"
    return any_dataset(tmp_path, *items)


def test_progress_is_told_in_items_up_to_the_total(tmp_path: Path) -> None:
    told: list[tuple[str, int, int, str]] = []

    report(many(tmp_path), tell=lambda *words: told.append(words))

    assert told[-1] == ("validate", 60, 60, "items")
    assert [done for _, done, _, _ in told] == sorted(done for _, done, _, _ in told)


def test_findings_that_are_alike_are_counted_and_read_as_one_line(tmp_path: Path) -> None:
    root = many(tmp_path, 90)

    result = report(root)

    assert result.count(Severity.ERROR) == 30
    assert len(result.findings) == LISTED
    (group,) = grouped(result.findings)
    assert group.count == 30
    assert group.examples == tuple(
        f"metadata/items/item_{n:03}.json#/collection" for n in (0, 3, 6)
    )


def any_finding(**changes: Any) -> Finding:
    values = {"rule": "A01", "severity": Severity.ERROR, "file": "f", "pointer": "/assets/a/href"}
    return Finding(**{**values, "message": "there is no file 'x'", "fix": "", **changes})


def test_each_missing_field_and_each_unknown_keyword_is_told_with_its_own_remedy(
    tmp_path: Path,
) -> None:
    fields = {"title": GONE, "license": GONE, "keywords": ["temperatur", "precipitatio"]}
    root = any_dataset(tmp_path, collection=any_collection(**fields))

    told = [group.finding for group in grouped(report(root).findings)]

    wanted = {"Add title to the collection.", "Add license to the collection."}
    assert {f.fix for f in told if f.rule == "C02"} == wanted
    words = [f for f in told if f.rule == "C04"]
    assert [f.message.split("'")[1] for f in words] == ["temperatur", "precipitatio"]
    assert len({f.fix for f in words}) == 2


def test_what_a_schema_requires_is_told_for_each_name_however_many_items_lack_it() -> None:
    gathered = Gatherer()
    for n in range(100):
        for name in ("id", "links"):
            document = any_item(**{name: GONE})
            for violation in store.check(document).violations:
                gathered.add(
                    Finding("I01", Severity.ERROR, f"{n}.json", "", violation.message, "Mend it.")
                )

    told = {group.finding.message: group.count for group in grouped(gathered.findings())}

    assert told["id is a required property"] == 100
    assert told["links is a required property"] == 100


def test_a_hundred_thousand_equal_findings_are_a_few_objects_and_a_count() -> None:
    gatherer = Gatherer()

    for n in range(100_000):
        gatherer.add(any_finding(file=f"f{n}", message=f"there is no file 'x{n}'"))

    found = gatherer.findings()
    assert len(found) == LISTED
    assert sum(finding.count for finding in found) == 100_000


def test_which_findings_are_listed_does_not_depend_on_their_order() -> None:
    findings = [any_finding(file=f"f{n:03}") for n in range(100)]
    forward, backward, merged = Gatherer(), Gatherer(), Gatherer()

    for finding in findings:
        forward.add(finding)
    for finding in reversed(findings):
        backward.add(finding)
    for finding in backward.findings():
        merged.add(finding)

    assert forward.findings() == backward.findings() == merged.findings()


def test_endless_kinds_of_findings_stay_bounded() -> None:
    gatherer = Gatherer()

    for n in range(5000):
        gatherer.add(any_finding(message=f"{'a' * n} is wrong"))

    assert len(gatherer.findings()) < 300
    assert sum(finding.count for finding in gatherer.findings()) == 5000


def test_a_bucket_can_go_to_another_process() -> None:
    keys = {"access_key": SecretStr("a"), "secret_key": SecretStr("b")}
    bucket = Bucket(S3(endpoint="http://127.0.0.1:9", **keys), "bucket", "prefix/")
    assert bucket.client is bucket.client

    again = pickle.loads(pickle.dumps(bucket))

    assert again == bucket
    assert again.client.meta.endpoint_url == "http://127.0.0.1:9"


class Vanishing(Folder):
    """A folder of which an item vanishes between listing and reading."""

    def entries(self) -> Any:
        yield from super().entries()
        (self.root / ITEM).unlink()


def test_an_item_that_vanishes_is_a_finding(tmp_path: Path) -> None:
    result = validation.validate(Vanishing(any_dataset(tmp_path)), second_opinion="none")

    (finding,) = [f for f in result.findings if f.severity == "error"]
    assert (finding.rule, finding.file) == ("L03", ITEM)
    assert finding.message == "can't be read: No such file or directory"


class Growing(Folder):
    """A folder of which an item of more than is read at once grows as it is read."""

    def head(self, path: str, length: int) -> tuple[bytes, int, int]:
        found = super().head(path, length)
        if path == ITEM:
            with (self.root / path).open("a") as file:
                file.write(" ")
        return found


def test_an_item_that_changes_while_it_is_read_is_a_finding(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, any_item(properties={"x:more": "x" * USUAL}))

    result = validation.validate(Growing(root), second_opinion="none")

    (finding,) = [f for f in result.findings if f.severity == "error"]
    assert (finding.rule, finding.file) == ("L03", ITEM)
    assert finding.message == "can't be read: it was changed while it was read"


def test_a_large_item_is_read_whole(tmp_path: Path) -> None:
    root = any_dataset(tmp_path, any_item(properties={"x:more": "x" * USUAL}))

    assert report(root).passed


def test_json_of_300_megabytes_is_refused_unread(tmp_path: Path) -> None:
    root = any_dataset(tmp_path)
    with (root / "metadata/items/huge.json").open("wb") as file:
        file.truncate(300 * 2**20)

    result = report(root)

    assert [(f.rule, f.file) for f in result.findings] == [("I07", "metadata/items/huge.json")]


def test_stac_validator_can_be_asked_about_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def opinion(document: dict[str, Any]) -> tuple[bool, str]:
        asked.append(document["id"])
        return document["id"] != "item_007", "it does not like 7"

    monkeypatch.setattr(store, "second_opinion", opinion)

    result = report(many(tmp_path), second_opinion="all")

    assert len(asked) == 61
    (finding,) = [f for f in result.findings if f.rule == "I01"]
    assert (finding.severity, finding.file) == ("error", "metadata/items/item_007.json")
    assert "it does not like 7" in finding.message


def test_stac_validator_is_not_asked_by_itself_about_what_would_take_it_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def opinion(document: dict[str, Any]) -> tuple[bool, str]:
        asked.append(document["id"])
        return True, ""

    monkeypatch.setattr(store, "second_opinion", opinion)
    assets = {f"a{n}": any_asset() for n in range(2000)}
    root = any_dataset(tmp_path, any_item(), any_item("large", assets=assets))

    notes = report(root, second_opinion="sample").notes
    sampled = list(asked)
    report(root, second_opinion="all")

    assert len(sampled) == 2
    assert "large" not in sampled
    assert "large" in asked[2:]
    assert "stac-validator was not asked about 1 documents of more than 100 kB" in notes


def test_a_sample_is_spread_over_the_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def opinion(document: dict[str, Any]) -> tuple[bool, str]:
        asked.append(document["id"])
        return True, ""

    monkeypatch.setattr(store, "second_opinion", opinion)

    report(many(tmp_path), second_opinion="sample")

    assert asked[1:] == [f"item_{n:03}" for n in range(0, 60, 6)]


def job(tmp_path: Path, root: Path, **ticket: Any) -> Job:
    given_ticket = any_ticket(dataset=str(root), **ticket)
    return Job(given_ticket, any_target(), tmp_path / "work", tmp_path)


def test_the_step_passes_a_good_dataset_and_leaves_its_report(tmp_path: Path) -> None:
    outcome = validate.check(job(tmp_path, any_dataset(tmp_path)))

    assert outcome.verdict is Verdict.PASSED
    written = json.loads((tmp_path / "work/validation.json").read_text())
    assert written == outcome.detail["report"]
    assert written["verdict"] == "passed"


def test_the_step_fails_a_bad_dataset_with_one_check_a_kind_of_error(tmp_path: Path) -> None:
    outcome = validate.check(job(tmp_path, many(tmp_path)))

    assert outcome.verdict is Verdict.FAILED
    (check,) = outcome.checks
    assert check.name.startswith("I02")
    assert check.found.startswith("20 x names the collection")


class Replaced(Folder):
    """A folder of which a data file is replaced while the dataset is looked at."""

    def entries(self) -> Any:
        yield from super().entries()
        (path,) = (self.root / "data").rglob("*.png")
        path.write_bytes(path.read_bytes())


@pytest.mark.parametrize("broken", [False, True])
def test_the_step_fails_a_dataset_that_changes_meanwhile(tmp_path: Path, broken: bool) -> None:
    at_work = job(tmp_path, any_dataset(tmp_path))
    if broken:
        (tmp_path / ID / "metadata/items/b.json").write_bytes(b"{")
    vars(at_work)["dataset"] = Replaced(tmp_path / ID)

    outcome = validate.check(at_work)

    assert outcome.verdict is Verdict.FAILED
    assert "changed while it was validated" in outcome.summary
    # Nobody knows yet what its user has to mend.
    write(tmp_path, "attempts/001-validate/outcome.json", outcome.as_json())
    with pytest.raises(InputError, match="can't be called refused"):
        reply.draft(at_work, "refused")


FOLDERS = ("data/2024/11/16/a/", "data/2024/11/16/A/", "data/2024/11/16/")
NAMES = ("x.png", "X.png", "k.png", "\u212a.png", "back\\slash.png", "a b.png", "a%20b.png")
PLACES = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)).map("".join)
CONTENTS = (b"", b"text", png(), png(9))
SPELLED = st.sampled_from([str, quote, "./{}".format])
HREFS = st.lists(
    st.tuples(
        st.tuples(PLACES, SPELLED).map(lambda drawn: drawn[1](drawn[0])),
        st.sampled_from([None, 4, len(png())]),
    ),
    max_size=2,
)
X, K = FOLDERS[0] + "x.png", FOLDERS[0] + "k.png"
RIGHT: tuple[bytes, bool] = (png(), True)


@given(
    files=st.dictionaries(PLACES, st.tuples(st.sampled_from(CONTENTS), st.booleans()), max_size=4),
    strays=st.dictionaries(PLACES, st.sampled_from(["file", "link", "pipe", "folder"]), max_size=1),
    more=st.lists(HREFS, max_size=2),
    own=st.lists(st.tuples(PLACES, st.none()), max_size=1),
)
@example({X: RIGHT, K: RIGHT}, {}, [], [])
@example({X: (b"", False)}, {}, [], [])
@example({X: (b"text", True)}, {}, [], [])
@example({X: RIGHT}, {K: "file"}, [], [])
@example({X: RIGHT}, {K: "link"}, [[(K, None)]], [])
@example({X: RIGHT}, {FOLDERS[0] + "X.png": "pipe"}, [], [])
@example({X: RIGHT}, {FOLDERS[0] + "X.png": "folder"}, [], [])
@example({X: RIGHT}, {}, [[(X, None)]], [])
@example({X: RIGHT, K: RIGHT}, {}, [[(X, None), ("./" + X, None)], [(K, None)]], [])
@example({X: RIGHT}, {}, [], [(X, None)])
@example({X: RIGHT}, {}, [], [(K, None)])
@example({X: RIGHT, FOLDERS[0] + "X.png": RIGHT}, {}, [], [])
@example({K: RIGHT}, {FOLDERS[0] + "\u212a.png": "file"}, [], [])
@example({X: RIGHT, FOLDERS[1] + "x.png": RIGHT}, {}, [], [])
@example({X: RIGHT}, {}, [], [(FOLDERS[1] + "x.png", None)])
@settings(deadline=None, max_examples=80)
def test_files_are_compared_alike_together_and_one_by_one(
    tmp_path_factory: pytest.TempPathFactory,
    files: dict[str, tuple[bytes, bool]],
    strays: dict[str, str],
    more: list[list[tuple[str, int | None]]],
    own: list[tuple[str, None]],
) -> None:
    """One item names what is there, which other items, strays and the collection can spoil."""
    root = tmp_path_factory.mktemp("together") / ID
    write(root, "metadata/collection.json", any_collection(assets=assets(own)))
    # With the sizes of PNGs, so that some are wrong.
    named = [(path, len(png()) if sized else None) for path, (_, sized) in files.items()]
    for number, hrefs in enumerate([named, *more]):
        item = any_item(f"heat_{number}", assets=assets(hrefs))
        write(root, f"metadata/items/heat_{number}.json", item)
    for path, (content, _) in files.items():
        write(root, path, content)
    for path, kind in strays.items():
        if path not in files:
            stray(root / path, kind)

    with pytest.MonkeyPatch.context() as patch:
        together = report(root)
        patch.setattr(walk, "TOGETHER", 1)
        patch.setattr(walk, "RUN", 2)
        in_runs = report(root)
        # Then no folder is whole.
        patch.setattr(walk, "TOGETHER", 0)
        one_by_one = report(root)

    assert together == one_by_one
    assert in_runs == one_by_one


def stray(path: Path, kind: str) -> None:
    if kind == "folder":
        path /= "inside.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(png())


def test_hrefs_of_endless_items_to_one_folder_are_not_held_together(tmp_path: Path) -> None:
    hrefs, rows = 50_000, Packer()
    with closing(Comparison(tmp_path)) as comparison:
        rows.add("folder", ("data/", ["README.txt"]))
        for number in range(hrefs):
            href = (f"{number}.tif", "map", -1, UNREAD)
            rows.add("group", ("data/", f"metadata/items/{number}.json", [href]))
            if rows.rows >= AT_ONCE:
                comparison.add(rows.packed())
        comparison.add(rows.packed())

        tracemalloc.start()
        comparison.settle()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert sum(len(part.hrefs) for part in comparison.parts()) == hrefs
    assert peak < 18e6


def assets(hrefs: Sequence[tuple[str, int | None]]) -> dict[str, Any]:
    found = {}
    for number, (href, size) in enumerate(hrefs):
        promised = {} if size is None else {"file:size": size}
        found[f"{number}-{href}"] = {"href": href, "type": "image/png", "roles": ["x"], **promised}
    return found


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, below in entries:
        found += (
            paths_of(below, (*path, key)) if isinstance(below, (dict, list)) else [(*path, key)]
        )
    return found


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    # orjson reads integers beyond 64 bits as doubles.
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.sampled_from(["2024-13-01T00:00:00Z", "Feature", "1.1.0", "Polygon", "data/x", "..", "%"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def mutilated(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """A document of which one to three places were replaced or taken out."""
    result = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = paths_of(result)
        if not places:
            break
        *above, last = draw(st.sampled_from(places))
        target: Any = result
        for key in above:
            target = target[key]
        if draw(st.booleans()):
            target[last] = draw(JSON)
        else:
            del target[last]
    return result


def is_valid(document: dict[str, Any], kind: str) -> bool:
    """Whether it is what it should be, and the schemas that it names can exist and allow it."""
    named = store.extensions_of(document)
    exist = all(url.lower().startswith(("http://", "https://")) for url in named)
    return document.get("type") == kind and exist and not store.check(document).violations


def judged(path: str, document: dict[str, Any]) -> list[Finding]:
    """Hold a document, as it would be read from a file, against all rules of its scope."""
    from dedl_workbook.rules import run
    from dedl_workbook.rules.delivered import Item
    from dedl_workbook.rules.extent import extent_of
    from dedl_workbook.rules.rule import Given

    class Nothing(Folder):
        def stat(self, path: str) -> File | None:
            return None

        def read(self, path: str, start: int = 0, length: int | None = None) -> bytes:
            raise FileNotFoundError(2, "No such file or directory")

    data = json.dumps(document).encode()
    dataset = Nothing(Path("/nowhere/EO.XXX.DAT.HEAT"))
    if path.endswith("collection.json"):
        facts = Given(
            dataset,
            document,
            extent=extent_of(document),
            own=Item.of(path, document, data, dataset),
        )
        return list(run.findings_of("collection", path, facts, document))
    facts = Given(dataset, any_collection(), extent=extent_of(any_collection()))
    item = Item.of(path, parse(data), data, dataset)
    return list(run.findings_of("item", path, facts, item))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutilated(any_item(properties={"start_datetime": "2024-11-16T12:00:00Z"})))
def test_no_item_breaks_a_rule_and_all_agree_with_the_schema(document: dict[str, Any]) -> None:
    findings = judged(ITEM, document)

    refused = any(f.rule == "I01" and f.severity == "error" for f in findings)
    expected = not is_valid(document, "Feature")
    assert refused == expected


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutilated(any_collection(assets={"thumbnail": any_asset()})))
def test_no_collection_breaks_a_rule_and_all_agree_with_the_schema(
    document: dict[str, Any],
) -> None:
    findings = judged("metadata/collection.json", document)

    refused = any(f.rule == "C01" and f.severity == "error" for f in findings)
    expected = not is_valid(document, "Collection")
    assert refused == expected


@settings(max_examples=300, deadline=None)
@given(JSON, st.integers(0, 3))
def test_the_fast_parser_agrees_with_the_strict_one(value: Any, spaces: int) -> None:
    from dedl_workbook.base import json as documents
    from dedl_workbook.base.json import canonical

    data = json.dumps(value, indent=spaces or None, ensure_ascii=spaces == 1).encode()

    assert canonical(parse(data)) == canonical(documents.parse(data))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "a:b", "\u003a"]), min_size=2, max_size=4), st.booleans()
)
def test_the_fast_parser_finds_every_key_that_stands_twice(keys: list[str], escaped: bool) -> None:
    names = [
        json.dumps(key).replace(":", "\\u003a") if escaped else json.dumps(key) for key in keys
    ]
    data = ("{" + ", ".join(f'{name} : ":"' for name in names) + "}").encode()

    if len(set(keys)) < len(keys):
        with pytest.raises(ValueError, match="twice"):
            parse(data)
    else:
        assert parse(data) == dict.fromkeys(keys, ":")


def test_every_rule_can_be_named_in_a_report(tmp_path: Path) -> None:
    rules = dict.fromkeys(RULES, "off")

    result = report(many(tmp_path), target=any_target(rules=rules))

    assert result.findings == ()
    assert len([note for note in result.notes if "switched off" in note]) == len(RULES)
