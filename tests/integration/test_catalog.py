"""The catalogue step against a real PgSTAC and the STAC API on it."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.base.errors import ChangedError, ConflictError, InputError, ServiceError
from dedl_workbook.publication.before import before_folder
from dedl_workbook.publication.job import Outcome, Plan, Verdict
from dedl_workbook.services.catalog import comparison, pgstac
from dedl_workbook.services.catalog import loading as pgstac_load
from dedl_workbook.steps import catalog

from tests.integration.lake import (
    COLLECTION,
    Lake,
    a_collection,
    an_item,
    moved,
    own_lake,
    write_dataset,
)

LAG = "STAC API: up to date with the database"


@pytest.fixture
def lake(data_lake: Sandbox, tmp_path: Path) -> Iterator[Lake]:
    """A database of its own, on the servers of all tests."""
    with own_lake(data_lake, tmp_path) as made:
        yield made


def _published(lake: Lake, count: int = 12, **fields: Any) -> Path:
    """Publish items; return the dataset's folder."""
    items = [an_item(number, **fields) for number in range(count)]
    dataset = write_dataset(lake.folder, items)
    catalog.apply(catalog.plan(lake.job(dataset)))
    return dataset


def _checked(lake: Lake, plan: Plan) -> Outcome:
    """Check a plan with the STAC API running."""
    return catalog.check(replace(plan, job=replace(plan.job, target=lake.target())))


def _failed(lake: Lake, plan: Plan) -> dict[str, str]:
    outcome = _checked(lake, plan)
    assert outcome.verdict is Verdict.FAILED
    return {check.name: check.found for check in outcome.checks if not check.passed}


def _at_chunk(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None], chunk: int = 1) -> None:
    """Let something happen in the middle of a load, after so many chunks."""
    whole, seen = pgstac_load._load_chunk, []

    def load_chunk(*arguments: Any) -> None:
        whole(*arguments)
        seen.append(arguments)
        if len(seen) == chunk:
            happens()

    monkeypatch.setattr(pgstac_load, "CHUNK", 4)
    monkeypatch.setattr(pgstac_load, "_load_chunk", load_chunk)


def test_a_new_collection_is_loaded_whole_and_verified(lake: Lake) -> None:
    job = lake.job(write_dataset(lake.folder, [an_item(number) for number in range(12)]))

    plan = catalog.plan(job)
    receipt = catalog.apply(plan)
    outcome = _checked(lake, plan)

    assert [(a.verb, a.count) for a in plan.actions] == [("add", 1), ("add", 12)]
    assert plan.before == {"collection": None, "items": 0, "items_digest": None}
    assert receipt.done["items"]["added"] == 12
    assert "left" not in receipt.done
    assert outcome.verdict is Verdict.PASSED, outcome.summary
    assert lake.ids() == [f"LAKE_{number:06d}" for number in range(12)]
    assert lake.execute("select count(*) from query_queue") == [(0,)]


def test_nobody_sees_a_new_collection_before_its_items(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = lake.job(write_dataset(lake.folder, [an_item(number) for number in range(12)]))
    plan = catalog.plan(job)
    seen: list[Any] = []

    def look() -> None:
        seen.append(lake.execute("select id from collections"))
        seen.append(lake.execute("select collection from partition_stats"))

    _at_chunk(monkeypatch, look)
    catalog.apply(plan)

    assert seen == [[], [(COLLECTION,)]]
    assert lake.execute("select id from collections") == [(COLLECTION,)]


def test_a_plan_changes_nothing(lake: Lake) -> None:
    catalog.plan(lake.job(write_dataset(lake.folder, [an_item(1)])))

    assert lake.execute("select count(*) from collections") == [(0,)]


def test_running_again_does_nothing(lake: Lake) -> None:
    dataset = write_dataset(lake.folder, [an_item(number) for number in range(5)])
    catalog.apply(catalog.plan(lake.job(dataset)))
    stamps = lake.execute("select xmin::text from items")

    again = catalog.plan(lake.job(dataset))

    assert again.actions == ()
    assert lake.execute("select xmin::text from items") == stamps
    assert _checked(lake, again).verdict is Verdict.PASSED


def test_a_dataset_that_was_mended_after_its_publication_is_told_as_what_it_is(
    lake: Lake,
) -> None:
    catalog.apply(catalog.plan(lake.job(write_dataset(lake.folder, [an_item(1), an_item(2)]))))
    mended = write_dataset(lake.folder, [an_item(1), an_item(2), an_item(3)])

    with pytest.raises(ConflictError, match="this ticket published 2 items") as told:
        catalog.plan(lake.job(mended))
    replacing = catalog.plan(lake.job(mended, mode="replace"))
    catalog.apply(replacing)

    assert "dedl-workbook withdraw LAKE-1" in str(told.value)
    assert "mode: replace" in str(told.value)
    assert _checked(lake, replacing).verdict is Verdict.PASSED


def test_what_json_and_postgresql_spell_otherwise_is_equal(lake: Lake) -> None:
    spelled = {
        "datetime": "2024-01-01T02:00:00+02:00",
        **{"whole": 2.0, "large": 1e20, "longer": 1e17, "small": 1.5e-7, "minus": -0.0},
        **{
            "null": None,
            "empty": [],
            "text": 'v1.0] back\\slash "é" \u2028 𝄞',
            "deep": {"a": [{}]},
        },
    }
    point = {"type": "Point", "coordinates": [2, 49.123456789012345, 12.0]}
    bare = {key: value for key, value in an_item(3).items() if key not in ("assets", "links")}
    items = [an_item(1, properties=spelled), an_item(2, geometry=point), bare]
    document = a_collection(item_assets={"data": {"type": "text/plain", "title": "Levels"}})
    plan = catalog.plan(lake.job(write_dataset(lake.folder, items, document)))

    catalog.apply(plan)

    assert _checked(lake, plan).verdict is Verdict.PASSED
    assert catalog.plan(plan.job).actions == ()


def test_replacing_changes_only_what_differs(lake: Lake) -> None:
    _published(lake)
    lake.execute("update collections set partition_trunc = 'month'")
    untouched = lake.execute("select xmin::text from items where id = 'LAKE_000003'")
    items = [an_item(number) for number in range(2, 14)]
    items[0]["properties"]["gsd"] = 20.0
    items[2] = moved(items[2], "2024-05-01T00:30:00+02:00")
    dataset = write_dataset(lake.folder, items, a_collection(title="Levels, mended"))

    plan = catalog.plan(lake.job(dataset, mode="replace"))
    catalog.apply(plan)

    assert plan.detail["items"] == {
        **{"added": 2, "changed": 1, "moved": 1, "twice": 0, "vanished": 2, "equal": 8}
    }
    assert plan.detail["examples"]["moved"] == ["LAKE_000004"]
    assert {"op": "replace", "path": "/title", "value": "Levels, mended"} in plan.detail[
        "collection"
    ]
    assert _checked(lake, plan).verdict is Verdict.PASSED
    assert lake.ids() == [f"LAKE_{number:06d}" for number in range(2, 14)]
    assert lake.execute("select xmin::text from items where id = 'LAKE_000003'") == untouched
    served = lake.execute("select get_item('LAKE_000004')->'properties'->>'datetime'")
    assert served == [("2024-05-01T00:30:00+02:00",)]


def test_what_was_there_before_is_kept(lake: Lake) -> None:
    dataset = _published(lake, 3)
    before = [json.loads(json.dumps(row[0])) for row in lake.execute(
        "select get_item(id) from items order by id")]  # fmt: skip
    held = lake.execute("select content from collections")[0][0]
    write_dataset(lake.folder, [an_item(7)], a_collection(title="Other"))
    job = lake.job(dataset, ticket="LAKE-2", mode="replace")

    plan = catalog.plan(job)
    catalog.apply(plan)

    folder = before_folder(job)
    lines = gzip.decompress((folder / "items.ndjson.gz").read_bytes()).splitlines()
    kept = sorted(map(json.loads, lines), key=lambda item: str(item["id"]))
    assert list(map(comparison.form, kept)) == list(map(comparison.form, before))
    assert json.loads((folder / "collection.json").read_text()) == held
    assert json.loads((folder / "catalog.json").read_text()) == plan.before


def test_a_changed_item_assets_keeps_every_item_as_published(lake: Lake) -> None:
    dataset = write_dataset(
        lake.folder,
        [an_item(number) for number in range(3)],
        a_collection(item_assets={"data": {"type": "text/plain", "title": "Old"}}),
    )
    catalog.apply(catalog.plan(lake.job(dataset)))
    write_dataset(
        lake.folder,
        [an_item(number) for number in range(1, 4)],
        a_collection(item_assets={"data": {"roles": ["data"], "title": "New"}}),
    )

    plan = catalog.plan(lake.job(dataset, mode="replace"))
    catalog.apply(plan)

    assert _checked(lake, plan).verdict is Verdict.PASSED


def test_an_item_held_twice_is_mended(lake: Lake) -> None:
    dataset = _published(lake, 3)
    lake.execute("update collections set partition_trunc = 'month'")
    lake.execute(
        "select check_partition(%s, tstzrange('2024-09-02Z', '2024-09-03Z', '[]'),"
        " tstzrange('2024-09-02Z', '2024-09-03Z', '[]'))",
        COLLECTION,
    )
    lake.execute(
        "insert into items select id, geometry, collection, '2024-09-02Z', '2024-09-02Z', content"
        " from items where id = 'LAKE_000001'"
    )
    plan = catalog.plan(lake.job(dataset, mode="replace"))
    assert "database: once" in _failed(lake, plan)
    mending = catalog.plan(lake.job(dataset, mode="replace"))

    catalog.apply(mending)

    assert mending.detail["items"]["twice"] == 1
    assert lake.ids() == ["LAKE_000000", "LAKE_000001", "LAKE_000002"]


def test_somebody_elses_collection_is_refused_in_mode_new(lake: Lake) -> None:
    _published(lake, 3)
    dataset = write_dataset(lake.folder, [an_item(9)])

    with pytest.raises(ConflictError, match="3 items that this ticket did not publish") as error:
        catalog.plan(lake.job(dataset, ticket="LAKE-2"))

    assert "mode: replace" in error.value.remedy


def test_other_collections_stay_as_they_are(lake: Lake) -> None:
    other = a_collection(id="EO.OTHER.DAT.ONE")
    lake.execute("select create_collection(%s)", json.dumps(other))
    lake.execute(
        "update pgstac_settings set value = 'true' where name = 'update_collection_extent'"
    )
    plan = catalog.plan(lake.job(write_dataset(lake.folder, [an_item(1)])))

    catalog.apply(plan)

    held = lake.execute("select content from collections where id = 'EO.OTHER.DAT.ONE'")
    assert held == [(other,)]
    assert _checked(lake, plan).verdict is Verdict.PASSED


def test_a_catalogue_changed_since_the_plan_is_not_touched(lake: Lake) -> None:
    dataset = _published(lake, 3)
    write_dataset(lake.folder, [an_item(7)])
    plan = catalog.plan(lake.job(dataset, mode="replace"))
    lake.execute("delete from items where id = 'LAKE_000002'")

    with pytest.raises(ConflictError, match="changed in the catalogue since"):
        catalog.apply(plan)

    assert lake.ids() == ["LAKE_000000", "LAKE_000001"]


def test_a_dataset_changed_since_the_plan_is_not_loaded(lake: Lake) -> None:
    dataset = write_dataset(lake.folder, [an_item(1)])
    plan = catalog.plan(lake.job(dataset))
    write_dataset(lake.folder, [an_item(1), an_item(2)])

    with pytest.raises(ChangedError):
        catalog.apply(plan)

    assert lake.ids() == []


def test_check_names_an_item_that_is_missing(lake: Lake) -> None:
    plan = catalog.plan(lake.job(_published(lake), mode="replace"))
    lake.execute("delete from items where id = 'LAKE_000005'")

    failed = _failed(lake, plan)

    for side in ("database", "STAC API"):
        assert "metadata/items/LAKE_000005.json" in failed[f"{side}: every item is there"]


def test_check_names_an_item_that_was_altered(lake: Lake) -> None:
    plan = catalog.plan(lake.job(_published(lake), mode="replace"))
    lake.execute(
        "update items set content = jsonb_set(content, '{properties,gsd}', '11')"
        " where id = 'LAKE_000005'"
    )

    failed = _failed(lake, plan)

    for side in ("database", "STAC API"):
        assert "metadata/items/LAKE_000005.json" in failed[f"{side}: as published"]


def test_check_names_an_item_too_many(lake: Lake) -> None:
    dataset = _published(lake)
    write_dataset(lake.folder, [an_item(number) for number in range(11)])
    plan = catalog.plan(lake.job(dataset, mode="replace"))

    failed = _failed(lake, plan)

    for side in ("database", "STAC API"):
        assert "LAKE_000011" in failed[f"{side}: none besides"]


def test_check_sees_another_collection(lake: Lake) -> None:
    plan = catalog.plan(lake.job(_published(lake), mode="replace"))
    lake.execute("update collections set content = jsonb_set(content, '{title}', '\"No\"')")

    failed = _failed(lake, plan)

    assert set(failed) == {"database: collection", "STAC API: collection", LAG}
    assert failed[LAG] == "the database itself does not hold it as published"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"geometry": None}, "no geometry"),
        ({"geometry": {"type": "Blob", "coordinates": [1, 2]}}, "hold"),
        ({"properties": {"datetime": "2024-01-01T00:00:00Z", "note": "a\0b"}}, "Unicode"),
        ({"properties": {"datetime": "2024-01-01T00:00:00Z", "n": 2**70}}, "64"),
        ({"properties": {"datetime": "yesterday"}}, "yesterday"),
        ({"properties": {"datetime": None}}, "datetime"),
    ],
)
def test_an_item_that_pgstac_refuses_is_named_and_nothing_is_loaded(
    lake: Lake, fields: dict[str, Any], why: str
) -> None:
    items = [*(an_item(number) for number in range(5)), an_item(5, **fields)]
    job = lake.job(write_dataset(lake.folder, items))

    with pytest.raises(InputError, match=why) as error:
        catalog.apply(catalog.plan(job))

    assert error.value.where == "metadata/items/LAKE_000005.json"
    assert error.value.remedy
    assert "\n" not in error.value.what
    assert lake.execute("select count(*) from collections") == [(0,)]
    assert lake.ids() == []


def test_what_pgstac_would_alter_is_not_committed(lake: Lake) -> None:
    lossy = an_item(1)
    lossy["assets"]["data"]["title"] = None
    document = a_collection(item_assets={"data": {"title": "Levels"}})
    job = lake.job(write_dataset(lake.folder, [an_item(0), lossy], document))

    with pytest.raises(ServiceError, match=r"LAKE_000001.json is altered"):
        catalog.apply(catalog.plan(job))

    assert lake.execute("select count(*) from collections") == [(0,)]


CHILD = """
import json, sys, time
from pathlib import Path
from dedl_workbook.steps import catalog
from dedl_workbook.services.catalog import loading as pgstac_load
from dedl_workbook.publication.before import before_folder
from dedl_workbook.publication.job import Job
from dedl_workbook.parameters.target import Target
from dedl_workbook.parameters.ticket import Ticket
ticket, target, folder, root = json.load(sys.stdin)
whole = pgstac_load._load_chunk
def load_chunk(*arguments):
    whole(*arguments)
    print("loading", flush=True)
    time.sleep(600)
pgstac_load._load_chunk = load_chunk
pgstac_load.CHUNK = 4
job = Job(Ticket.of(ticket, "a test"), Target(**target), Path(folder), Path(root))
catalog.apply(catalog.plan(job))
"""


def _revealed(model: Any) -> Any:
    """Return a target as plain values, secrets too."""
    if hasattr(model, "get_secret_value"):
        return model.get_secret_value()
    if hasattr(model, "model_fields_set"):
        return {name: _revealed(value) for name, value in model}
    return str(model) if isinstance(model, Path) else model


@pytest.mark.parametrize("mode", ["new", "replace"])
def test_a_killed_client_leaves_nothing_and_the_next_run_finishes(lake: Lake, mode: str) -> None:
    if mode == "replace":
        _published(lake, 6)
    before = lake.ids()
    job = lake.job(write_dataset(lake.folder, [an_item(n) for n in range(3, 15)]), mode=mode)
    planned = catalog.plan(job)
    told = [job.ticket.parameters(), _revealed(job.target), str(job.folder), str(job.root)]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin:
        json.dump(told, child.stdin)
    assert child.stdout.readline() == "loading\n"

    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()

    assert lake.ids() == before
    assert lake.execute("select count(*) from collections") == [(int(mode == "replace"),)]
    later = lake.resumed(job, planned)
    plan = catalog.plan(later)
    assert plan.digest == planned.digest
    catalog.apply(plan)
    assert len(lake.tables()) == 1
    assert _checked(lake, plan).verdict is Verdict.PASSED


def test_a_killed_server_leaves_nothing_and_the_next_run_finishes(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = lake.job(write_dataset(lake.folder, [an_item(number) for number in range(12)]))
    planned = catalog.plan(job)
    with monkeypatch.context() as patched:
        _at_chunk(patched, lambda: lake.sandbox.kill("postgres"), 2)
        try:
            with pytest.raises(ServiceError) as error:
                catalog.apply(planned)
        finally:
            lake.sandbox.restart("postgres")

    assert "run again" in error.value.remedy
    assert lake.ids() == []
    plan = catalog.plan(lake.resumed(job, planned))
    assert plan.digest == planned.digest
    catalog.apply(plan)
    assert _checked(lake, plan).verdict is Verdict.PASSED


def test_a_full_disk_leaves_nothing(lake: Lake) -> None:
    lake.execute(
        "create function fill() returns trigger language plpgsql as $$ begin"
        " if new.id = 'LAKE_000007' then raise exception 'could not extend file: No space left on"
        " device' using errcode = '53100'; end if; return new; end $$;"
        "create trigger full_disk before insert on items for each row execute function fill()"
    )
    job = lake.job(write_dataset(lake.folder, [an_item(number) for number in range(12)]))

    with pytest.raises(ServiceError, match="No space left") as error:
        catalog.apply(catalog.plan(job))

    assert "disk is full" in error.value.remedy
    assert "\n" not in error.value.what
    assert lake.execute("select count(*) from collections") == [(0,)]
    lake.execute("drop trigger full_disk on items")
    plan = catalog.plan(job)
    catalog.apply(plan)
    assert _checked(lake, plan).verdict is Verdict.PASSED


def test_a_disk_full_while_a_partition_is_made_is_not_swallowed(lake: Lake) -> None:
    lake.execute(
        "create function fill() returns event_trigger language plpgsql as $$ begin"
        " raise exception 'No space left on device' using errcode = '53100'; end $$;"
        "create event trigger full_disk on ddl_command_start when tag in ('CREATE TABLE')"
        " execute function fill()"
    )
    job = lake.job(write_dataset(lake.folder, [an_item(1)]))

    with pytest.raises(ServiceError, match="No space left") as error:
        catalog.apply(catalog.plan(job))

    assert "disk is full" in error.value.remedy
    assert lake.execute("select count(*) from collections") == [(0,)]
    assert lake.tables() == []


def test_a_statement_time_out_leaves_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    job = lake.job(write_dataset(lake.folder, [an_item(number) for number in range(12)]))
    plan = catalog.plan(job)
    finish = pgstac_load.forget_counts

    def slow(connection: pgstac.Connection) -> None:
        connection.execute("set local statement_timeout = '50ms'")
        connection.execute("select pg_sleep(5)")
        finish(connection)

    monkeypatch.setattr(pgstac_load, "forget_counts", slow)
    with pytest.raises(ServiceError, match="statement timeout") as error:
        catalog.apply(plan)

    assert "more time" in error.value.remedy
    assert "\n" not in error.value.what
    assert lake.execute("select count(*) from collections") == [(0,)]
    assert lake.ids() == []


def test_a_lost_connection_is_not_replaced_in_silence(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = lake.job(write_dataset(lake.folder, [an_item(number) for number in range(12)]))
    plan = catalog.plan(job)
    there = job.target.catalog
    for name, value in (
        ("PGHOST", there.host),
        ("PGPORT", str(there.port)),
        ("PGUSER", there.user),
        ("PGPASSWORD", there.password.get_secret_value()),
        ("PGDATABASE", there.database),
    ):
        monkeypatch.setenv(name, value)
    _at_chunk(
        monkeypatch,
        lambda: (
            lake.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name like 'dedl LAKE-1%%' and datname = current_database()"
            )
            and None
        ),
    )

    with pytest.raises(ServiceError):
        catalog.apply(plan)

    assert lake.ids() == []


def test_who_holds_the_lock_is_named(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write_dataset(lake.folder, [an_item(1)])
    plan = catalog.plan(lake.job(dataset))
    monkeypatch.setattr(pgstac, "LOCK_PATIENCE", 0.1)

    with pgstac.connected(lake.job(dataset, ticket="OTHER-7")) as other:
        pgstac.lock(other, COLLECTION)
        with pytest.raises(ServiceError, match=r"dedl OTHER-7 \w+@\S+ \(.*since 20\d\d-") as error:
            catalog.apply(plan)

    assert "run again" in error.value.remedy
    assert lake.execute("select count(*) from collections") == [(0,)]
    catalog.apply(plan)
    assert lake.ids() == ["LAKE_000001"]


@pytest.mark.parametrize(
    ("found", "remedy"),
    [
        ("0.9.99", 'Type: pip install "pypgstac[psycopg]==0.9.*"'),
        ("0.10.99", 'Type: pip install "pypgstac[psycopg]==0.10.*"'),
        ("0.8.6", "The workbook works with 0.9 and 0.10: ask the database's operators."),
    ],
)
def test_another_pgstac_is_refused_with_the_line_to_type(
    lake: Lake, found: str, remedy: str
) -> None:
    lake.execute("insert into migrations (version, datetime) values (%s, now() + '1 day')", found)
    ours = ".".join(version("pypgstac").split(".")[:2])

    if found.startswith(f"{ours}."):
        catalog.plan(lake.job(write_dataset(lake.folder, [an_item(1)])))
        return
    with pytest.raises(ServiceError, match=rf"has PgSTAC {re.escape(found)}") as error:
        catalog.plan(lake.job(write_dataset(lake.folder, [an_item(1)])))

    assert error.value.remedy == remedy


def test_a_pgstac_in_which_nothing_can_be_taken_back_is_refused(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.execute("insert into migrations (version, datetime) values ('0.9.11', now() + '1 day')")
    monkeypatch.setattr(pgstac, "version", lambda _: "0.9.12")

    with pytest.raises(ServiceError, match="only its owner may delete a collection") as error:
        catalog.plan(lake.job(write_dataset(lake.folder, [an_item(1)])))

    assert "0.9.12" in error.value.remedy


@pytest.mark.parametrize(
    ("settings", "what", "remedy"),
    [
        ({"port": 1}, "refused", "running"),
        ({"host": "no-such-host.invalid"}, "host", "name"),
        ({"password": "wrong"}, "password", "password"),
        ({"database": "no_such"}, "does not exist", "name"),
        ({"database": "postgres"}, "no PgSTAC", "migrate"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_with_its_remedy(
    lake: Lake, settings: dict[str, Any], what: str, remedy: str
) -> None:
    job = lake.job(write_dataset(lake.folder, [an_item(1)]), **settings)

    with pytest.raises(ServiceError, match=what) as error:
        catalog.plan(job)

    assert remedy in error.value.remedy
    assert "\n" not in error.value.what
    assert job.target.catalog.password.get_secret_value() not in f"{error.value}"


def test_a_database_without_free_connections_is_told(lake: Lake) -> None:
    lake.execute(f"alter database {lake.database} connection limit 0")

    with pytest.raises(ServiceError, match="too many connections") as error:
        catalog.plan(lake.job(write_dataset(lake.folder, [an_item(1)])))

    assert "connection free" in error.value.remedy


@pytest.fixture
def stranger(lake: Lake) -> Iterator[str]:
    """A user without rights."""
    name = f"stranger_{lake.database}"
    lake.execute(f"create role {name} login password 'secret'")
    yield name
    lake.execute(f"drop role {name}")


def test_a_user_without_rights_is_told_which_are_missing(lake: Lake, stranger: str) -> None:
    job = lake.job(write_dataset(lake.folder, [an_item(1)]), user=stranger, password="secret")

    with pytest.raises(ServiceError, match="permission denied") as error:
        catalog.plan(job)

    assert "pgstac_ingest" in error.value.remedy


def test_a_dataset_without_a_second_id_is_demanded(lake: Lake) -> None:
    dataset = write_dataset(lake.folder, [an_item(1), an_item(2)])
    twin = an_item(1)
    (dataset / "metadata" / "items" / "TWIN.json").write_text(json.dumps(twin))

    with pytest.raises(InputError, match="has the id 'LAKE_000001', as metadata/items/"):
        catalog.plan(lake.job(dataset))
