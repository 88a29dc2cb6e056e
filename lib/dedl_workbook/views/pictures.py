"""Pictures for notebooks: static SVG with a text for those who can't see it, no network, no script.

They take the colour of the text around them, so they can be read on a light page and on a dark
one; what is marked differs in form or place too, not in colour alone.
"""

from __future__ import annotations

import datetime as dt
import html
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dedl_workbook.base.text import number

BLUE, ORANGE = "#2a8bcf", "#d55e00"
"""Told apart by all eyes, and at least 3:1 against white and against black."""
_WIDTH, _HEIGHT, _LEFT = 760, 120, 56
_MOST_BARS = 100


@dataclass(frozen=True)
class Picture:
    """A drawing, and what it shows in words."""

    svg: str
    text: str

    def _repr_html_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return self.text


def framed(text: str, body: str, width: float, height: float) -> Picture:
    """Return SVG elements as a picture with its text; without any, the text alone."""
    label = html.escape(text)
    if not body:
        return Picture(f"<p>{label}</p>", text)
    svg = (
        f'<svg role="img" aria-label="{label}" viewBox="-16 -8 {width + 16:.0f} {height + 8:.0f}" '
        f'style="max-width:{width:.0f}px;width:100%;height:auto;font-family:sans-serif" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{label}</title>{body}</svg>'
    )
    return Picture(f'<figure style="margin:0">{svg}<figcaption>{label}</figcaption></figure>', text)


def label(x: float, y: float, text: str, anchor: str = "start") -> str:
    """Return a text for a picture; `anchor` is start, middle or end."""
    place = f'x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="11" fill="currentColor">{html.escape(text)}</text>'


def bars(text: str, heights: Sequence[int], labels: Sequence[str]) -> Picture:
    """Draw a bar for each count, from left to right.

    Args:
        text: what is shown, for the caption.
        heights: the counts.
        labels: one for each bar; only as many are written as there is room for.
    """
    highest = max(heights, default=0)
    if not highest:
        return framed(text, "", 0, 0)
    wide = min(60.0, (_WIDTH - _LEFT) / len(heights))
    parts = [
        label(_LEFT - 6, 18, f"{highest:,}", "end"),
        label(_LEFT - 6, _HEIGHT + 10, "0", "end"),
    ]
    for n, count in enumerate(heights):
        # A bar that is there can be seen.
        high = max(2.0, _HEIGHT * count / highest) if count else 0.0
        place = f'x="{_LEFT + n * wide:.1f}" y="{_HEIGHT + 10 - high:.1f}"'
        size = f'width="{max(1.0, wide * 0.86):.1f}" height="{high:.1f}"'
        title = f"<title>{html.escape(labels[n])}: {count:,}</title>"
        parts.append(f'<rect {place} {size} fill="{BLUE}">{title}</rect>')
    every = math.ceil((max(map(len, labels)) * 7 + 12) / wide)
    for n in range(0, len(labels), every):
        # The last one ends where the picture does.
        x = min(_LEFT + (n + 0.43) * wide, _WIDTH + 24 - len(labels[n]) * 3.3)
        parts.append(label(x, _HEIGHT + 27, labels[n], "middle"))
    line = f'x1="{_LEFT}" x2="{_WIDTH}" y1="{_HEIGHT + 10}" y2="{_HEIGHT + 10}"'
    parts.append(f'<line {line} stroke="currentColor"/>')
    return framed(text, "".join(parts), _WIDTH + 24, _HEIGHT + 34)


def _minute(at: dt.datetime) -> int:
    return _hour(at) * 60 + at.minute


def _hour(at: dt.datetime) -> int:
    return at.toordinal() * 24 + at.hour


def _month(at: dt.datetime) -> int:
    return at.year * 12 + at.month - 1


_BINS: tuple[tuple[str, Callable[[dt.datetime], int], Callable[[int], str]], ...] = (
    (
        "minutes",
        _minute,
        lambda n: f"{dt.date.fromordinal(n // 1440)} {n // 60 % 24:02}:{n % 60:02}",
    ),
    ("hours", _hour, lambda n: f"{dt.date.fromordinal(n // 24)} {n % 24:02}h"),
    ("days", dt.datetime.toordinal, lambda n: str(dt.date.fromordinal(n))),
    ("months", _month, lambda n: f"{n // 12:04}-{n % 12 + 1:02}"),
    ("years", lambda at: at.year, lambda n: f"{n:04}"),
    ("decades", lambda at: at.year // 10, lambda n: f"{n:03}0s"),
    ("centuries", lambda at: at.year // 100, lambda n: f"{n:02}00s"),
)


def timeline(instants: Iterable[dt.datetime], what: str = "items") -> Picture:
    """Draw how many there are in each minute, hour, day, month or year, whichever is readable.

    Args:
        instants: when each begins, in UTC.
        what: what they are, in the plural, for the text.
    """
    ordered = sorted(instants)
    if not ordered:
        return framed(f"No timeline: no {what} with a time that can be read.", "", 0, 0)
    name, place, words = next(
        (unit for unit in _BINS if unit[1](ordered[-1]) - unit[1](ordered[0]) < _MOST_BARS),
        _BINS[-1],
    )
    first, last = place(ordered[0]), place(ordered[-1])
    counts = Counter(map(place, ordered))
    heights = [counts[n] for n in range(first, last + 1)]
    empty = heights.count(0)
    text = (
        f"Timeline: {number(len(ordered), what)} from "
        f"{ordered[0].isoformat(' ', 'minutes')[:16]} to "
        f"{ordered[-1].isoformat(' ', 'minutes')[:16]} UTC, by {name}; "
        + (f"{empty:,} of {len(heights):,} {name} have none." if empty else "no gap.")
    )
    return bars(text, heights, [words(n) for n in range(first, last + 1)])
