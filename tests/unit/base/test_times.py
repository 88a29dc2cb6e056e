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


@pytest.mark.parametrize("text", ["", "yesterday", "0000-01-01T00:00:00Z", None, 20241116.5])
def test_what_is_no_time_is_an_error_of_value(text: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        times.utc(text)


EDGES = {
    "9999-12-31T23:59:59Z": "9999-12-31T23:59:59+00:00",
    "9999-12-31T23:59:59-12:00": "9999-12-31T23:59:59.999999+00:00",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00+00:00",
    "0001-01-01T00:00:00+14:00": "0001-01-01T00:00:00+00:00",
    "2016-12-31T23:59:60Z": "2016-12-31T23:59:59+00:00",
    "2017-01-01T01:59:60.5+02:00": "2016-12-31T23:59:59.500000+00:00",
    "2024-11-16 12:00:00z": "2024-11-16T12:00:00+00:00",
}


@pytest.mark.parametrize(("text", "expected"), EDGES.items())
def test_every_reader_of_times_gives_the_same_answer_at_the_edges(text: str, expected: str) -> None:
    from dedl_workbook.services.catalog.comparison import span

    assert times.instant(text).isoformat() == expected
    assert times.utc(text).isoformat() == expected
    assert times.span({"datetime": text}) == (times.utc(text), times.utc(text))
    (first, last) = span({"properties": {"datetime": text}})
    assert first == last
    assert times.utc(first) == times.utc(text)


def test_now_is_a_strict_time_of_today() -> None:
    before = times.today()
    now = times.instant(times.now())
    assert before <= now.date() <= times.today()
