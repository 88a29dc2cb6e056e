"""Times as STAC writes them, and as servers take them."""

from __future__ import annotations

import datetime as dt

import pytest
from dedl_workbook.base import times

NOON = dt.datetime(2024, 11, 16, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2024-11-16T12:00:00Z",
        "2024-11-16t12:00:00z",
        "2024-11-16T14:00:00+02:00",
        "2024-11-16T12:00:00",
        "2024-11-16 12:00:00.000000",
    ],
)
def test_a_time_as_servers_take_it_is_in_utc_also_without_a_zone(text: str) -> None:
    assert times.utc(text) == NOON
    assert times.utc(text).tzinfo is dt.UTC


@pytest.mark.parametrize("text", ["", "yesterday", "0001-01-01T00:00:00+14:00", None, 20241116.5])
def test_what_is_no_time_is_an_error_of_value(text: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        times.utc(text)


def test_now_is_a_strict_time_of_today() -> None:
    before = times.today()
    now = times.instant(times.now())
    assert before <= now.date() <= times.today()
