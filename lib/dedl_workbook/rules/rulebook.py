"""The rulebook: what must hold of a dataset before it is promoted."""

from __future__ import annotations

from dedl_workbook.rules import (
    assets,
    collection,
    coverage,
    hrefs,
    items,
    layout,
    prefixes,
    stac,
)
from dedl_workbook.rules.problem import Problem
from dedl_workbook.rules.rule import Given, Rule, in_order

RULES: dict[str, Rule] = in_order(
    layout, collection, coverage, hrefs, items, prefixes, assets, stac
)
"""Every rule by its id, in the rulebook's order."""

__all__ = ["RULES", "Given", "Problem", "Rule"]
