"""Times as STAC writes them: RFC 3339, with a time zone."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NO_ZONE = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?)?", re.ASCII)


FIRST = dt.datetime.min.replace(tzinfo=dt.UTC)
LAST = dt.datetime.max.replace(tzinfo=dt.UTC)
"""The ends of the calendar: what lies beyond them in UTC counts as them."""


@lru_cache(maxsize=4096)
def instant(text: str) -> dt.datetime:
    """Return the instant, in UTC, that an RFC 3339 time stands for.

    A leap second (:60) counts as the last second of its minute, and what an offset carries over
    the ends of the calendar as those ends.

    Raises:
        ValueError: it is none; the message says why.
    """
    if not _RFC_3339.fullmatch(text):
        if _NO_ZONE.fullmatch(text):
            raise ValueError(f"'{text}' has no time zone")
        raise ValueError(f"'{text}' is no time of the form 2024-11-16T12:00:00Z")
    try:
        return utc(text)
    except ValueError as error:
        raise ValueError(f"'{text}' is no time: {error}") from None


def oddity(text: str) -> str:
    """Return why programs may refuse a time that RFC 3339 allows, or ''."""
    if text[10:11] == " ":
        return "has a blank in the place of the T"
    if text[10:11] == "t":
        return "has a small t in the place of the T"
    if text[16:19] == ":60":
        return "is a leap second: most programs refuse it, the catalogue takes it for another one"
    return ""


def instant_or_none(value: object) -> dt.datetime | None:
    """Return the instant, or None if there is none to read."""
    try:
        return instant(value) if isinstance(value, str) else None
    except ValueError:
        return None


def span(properties: Mapping[str, Any]) -> tuple[dt.datetime, dt.datetime] | None:
    """Return the first and the last instant of an item, or None if its times can't be read."""
    at = instant_or_none(properties.get("datetime"))
    start = instant_or_none(properties.get("start_datetime")) or at
    end = instant_or_none(properties.get("end_datetime")) or at
    return (start, end) if start and end else None


def utc(text: object) -> dt.datetime:
    """Return the instant, in UTC, of a time as servers take it: ISO 8601, without a zone in UTC.

    Leap seconds and the ends of the calendar are as with `instant`.

    Raises:
        ValueError: it is none.
    """
    written = str(text)
    if written[16:19] == ":60":
        written = f"{written[:17]}59{written[19:]}"
    moment = dt.datetime.fromisoformat(written.upper())
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    try:
        return zoned.astimezone(dt.UTC)
    except OverflowError:
        return FIRST if zoned.year == 1 else LAST


def written_utc(moment: dt.datetime) -> str:
    """Return an instant in UTC as STAC writes it."""
    return moment.isoformat().replace("+00:00", "Z")


def today() -> dt.date:
    """Return the day in UTC."""
    return dt.datetime.now(dt.UTC).date()


def now() -> str:
    """Return the time in UTC, ISO 8601 with milliseconds and Z."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
