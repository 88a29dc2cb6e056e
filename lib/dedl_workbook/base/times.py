"""Times as STAC writes them: RFC 3339, with a time zone."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NO_ZONE = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?)?", re.ASCII)


@lru_cache(maxsize=4096)
def instant(text: str) -> dt.datetime:
    """Return the instant, in UTC, that an RFC 3339 time stands for.

    Leap seconds (:60) count as the last second of their minute.

    Raises:
        ValueError: it is none; the message says why.
    """
    if not _RFC_3339.fullmatch(text):
        if _NO_ZONE.fullmatch(text):
            raise ValueError(f"'{text}' has no time zone")
        raise ValueError(f"'{text}' is no time of the form 2024-11-16T12:00:00Z")
    plain = text[:17] + "59" + text[19:] if text[17:19] == "60" else text
    try:
        return dt.datetime.fromisoformat(plain.upper()).astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"'{text}' is no time: {error}") from None


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

    Raises:
        ValueError: it is none.
    """
    moment = dt.datetime.fromisoformat(str(text).upper())
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    try:
        return zoned.astimezone(dt.UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from None


def today() -> dt.date:
    """Return the day in UTC."""
    return dt.datetime.now(dt.UTC).date()


def now() -> str:
    """Return the time in UTC, ISO 8601 with milliseconds and Z."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
