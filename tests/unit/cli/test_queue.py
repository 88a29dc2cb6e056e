"""Many tickets at once: what became of them, and how long to wait."""

import datetime as dt

import pytest
from dedl_workbook.base.errors import InputError
from dedl_workbook.case.status import Row
from dedl_workbook.cli import queue

NOW = dt.datetime(2026, 12, 3, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400)]
)
def test_a_time_to_wait_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert queue.seconds(text) == seconds


@pytest.mark.parametrize("text", ["0", "0m", "", "soon", "-1m", "10", "1.5h"])
def test_what_is_no_time_to_wait_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no time to wait"):
        queue.seconds(text)


@pytest.mark.parametrize(
    ("verdicts", "step"),
    [
        ("access:waiting upload:passed catalog:passed", "access"),
        ("upload:passed catalog:failed", "catalog"),
        ("access:waiting catalog:failed", "catalog"),
        ("upload:passed notify:passed", "notify"),
    ],
)
def test_the_outcome_that_decides_is_the_worst_one(verdicts: str, step: str) -> None:
    outcomes = [
        dict(zip(("step", "verdict"), pair.split(":"), strict=True)) for pair in verdicts.split()
    ]

    outcome = queue.deciding(outcomes)

    assert outcome is not None
    assert outcome["step"] == step


def test_the_total_says_who_waits_for_whom_and_names_what_needs_somebody() -> None:
    def row(name: str, state: str, **more: str) -> Row:
        return Row(name, "C", "site", state, **more)

    waits = {"waiting_for": "the IAM service", "since": "2026-12-01T00:00:00Z"}
    rows = [
        row("OP-1", "published"),
        row("OP-2", "failed"),
        row("OP-3", "waiting", **waits),
        row("OP-4", "published"),
        row("OP-5", "superseded by OP-4"),
        row("OP-6", "planned"),
    ]

    assert queue.total(rows, ["OP-6"], NOW) == (
        "2 published, 1 waiting for the IAM service since 2 days, "
        "1 superseded by OP-4: OP-5, 1 failed: OP-2, 1 could not be run: OP-6"
    )


def test_those_that_wait_are_run_again_until_none_does() -> None:
    runs: list[list[str]] = []

    def once(names: list[str]) -> dict[str, int]:
        runs.append(list(names))
        return {name: 4 if name == "OP-2" and len(runs) < 3 else 0 for name in names}

    codes = queue.until_none_waits(["OP-1", "OP-2"], once, 4, lambda: None)

    assert runs == [["OP-1", "OP-2"], ["OP-2"], ["OP-2"]]
    assert codes == [0, 0]
