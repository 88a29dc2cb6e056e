"""The rulebook as a whole: complete, documented, with examples."""

from __future__ import annotations

import inspect
import re

import pytest
from dedl_workbook.rules.findings import Severity
from dedl_workbook.rules.rulebook import RULES

from tests.unit.rules import examples, test_a, test_c, test_i, test_l

DESIGNED = [
    *(f"L{n:02}" for n in range(1, 10)),
    *(f"C{n:02}" for n in range(1, 14)),
    *(f"I{n:02}" for n in range(1, 10)),
    *(f"A{n:02}" for n in range(1, 8)),
]
# As DESIGN has them: errors unless said otherwise.
WARNINGS = {"L05", "C04", "I09", "A04", "A05"}
INFOS = {"L07", "C05", "C07", "I08"}


def test_the_rulebook_holds_every_designed_rule_in_order() -> None:
    assert list(RULES) == DESIGNED


def test_every_rule_is_documented_in_more_than_one_line() -> None:
    undocumented = [
        rule.id
        for rule in RULES.values()
        if not rule.title.endswith(".") or len(rule.doc.splitlines()) < 3
    ]

    assert undocumented == []


def test_every_function_of_a_rule_is_small_and_documented() -> None:
    offenders = [
        f"{rule.id} {function.__name__}"
        for rule in RULES.values()
        for function in rule.parts.values()
        if not function.__doc__ or len(inspect.getsource(function).splitlines()) > 42
    ]

    assert offenders == []


def test_every_rule_has_a_good_and_a_bad_example_in_the_tests() -> None:
    assert {test_a, test_c, test_i, test_l}
    without = [rule for rule in RULES if rule not in examples.GOOD & examples.BAD]

    assert without == []


@pytest.mark.parametrize("rule", DESIGNED)
def test_a_rule_has_the_designed_severity(rule: str) -> None:
    expected = Severity.WARNING if rule in WARNINGS else Severity.ERROR
    expected = Severity.INFO if rule in INFOS else expected

    assert RULES[rule].severity is expected


def test_rule_ids_are_what_tickets_and_targets_accept() -> None:
    assert [rule for rule in RULES if not re.fullmatch(r"[LCIA]\d\d", rule)] == []
