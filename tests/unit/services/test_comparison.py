"""The comparison of published items with held ones."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dedl_workbook.services.catalog import comparison

COUNTS = (4_000, 8_000)


def items(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {
            "id": f"ITEM_{number:06d}",
            "geometry": {"type": "Point", "coordinates": [2.5, 49.5]},
            "properties": {"datetime": "2024-01-01T00:00:00Z", "note": f"{number}" * 50},
        }


def held(count: int) -> Iterator[tuple[str, str, bytes]]:
    for item in items(count):
        item["properties"]["gsd"] = 10
        yield item["id"], "2024-01-01T00:00:00.000000Z", comparison.form(item)


def peak(folder: Path, count: int) -> int:
    """Compare so many items that all differ; return the most bytes that were in use."""
    tracemalloc.start()
    try:
        with comparison.comparing(folder) as sides:
            published = ((f"{item['id']}.json", item) for item in items(count))
            assert list(sides.publish(published, content=True))[-1] == count
            assert list(sides.hold(held(count)))[-1] == count
            assert sides.counts()["changed"] == sides.side("held")[0] == count
            sides.select()
            ((first, _, _, last),) = sides.spans(0)
            assert sum(1 for _ in sides.selected(first, last)) == count
            assert sum(1 for _ in sides.outdated()) == count
            return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_items(tmp_path: Path) -> None:
    few, many = (peak(tmp_path, count) for count in COUNTS)

    assert many < 1.3 * few


def test_everything_is_selected_where_that_is_asked(tmp_path: Path) -> None:
    with comparison.comparing(tmp_path) as sides:
        same = [json.loads(json.dumps(item)) for item in items(3)]
        list(sides.publish((item["id"], item) for item in same))
        list(sides.hold((i["id"], comparison.span(i)[0], comparison.form(i)) for i in same))

        sides.select()
        assert (sides.selected_count, list(sides.outdated())) == (0, [])
        sides.select(everything=True)
        assert sides.selected_count == 3
        assert sorted(sides.outdated()) == [item["id"] for item in same]
