"""Words and amounts for people."""

from __future__ import annotations

import pytest
from dedl_workbook.base.text import amount


@pytest.mark.parametrize(
    ("count", "unit", "text"),
    [
        (0, "B", "0 B"),
        (999, "B", "999 B"),
        (1000, "B", "1.0 kB"),
        (20_531_000, "B", "20.5 MB"),
        (4_200_000_000_000, "B", "4.2 TB"),
        (4_200_000_000_000_000, "B", "4200.0 TB"),
        (12_345, "files", "12,345 files"),
        (12_345, "", "12,345"),
    ],
)
def test_an_amount_has_a_fitting_unit(count: int, unit: str, text: str) -> None:
    assert amount(count, unit) == text
