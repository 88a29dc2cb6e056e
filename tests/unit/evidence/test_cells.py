"""Which cells ran: told from what the kernel kept, whatever the notebook shows."""

from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.base.redact import Redactor
from dedl_workbook.evidence import cells as trace
from dedl_workbook.evidence.cells import Link, Ran

SOURCES = ("ticket = 'DEDL-1'", "attempt = begin()", "attempt.conclude()")


def notebook(*cells: tuple[str, int | None]) -> dict[str, Any]:
    code = [
        {"cell_type": "code", "source": source, "execution_count": count, "outputs": []}
        for source, count in cells
    ]
    return {"cells": [{"cell_type": "markdown", "source": "# Title"}, *code]}


def shown(tmp_path: Path, *cells: tuple[str, int | None], before: int = 0) -> trace.Shown:
    ran = [source for source, count in sorted(cells, key=lambda c: c[1] or 0) if count]
    trace.write(tmp_path, ran, before, Redactor())
    return trace.compare(notebook(*cells), trace.read(tmp_path))


def test_a_notebook_that_ran_from_top_to_bottom_is_whole(tmp_path: Path) -> None:
    found = shown(tmp_path, *((source, n) for n, source in enumerate(SOURCES, 1)))

    assert found.whole
    assert found.sentence() == "All 3 code cells ran once, from top to bottom."


@pytest.mark.parametrize(
    ("cells", "ran", "said"),
    [
        ([("a", 1), ("b", None), ("c", 2)], ["a", "c"], "cell 2 never ran in this attempt"),
        ([("a", 2), ("b", 1)], ["b", "a"], "the cells ran in the order 2, 1"),
        ([("a", 1), ("b", 3)], ["a", "b", "b"], "1 run is not shown"),
        ([("a", 1), ("other", 2)], ["a", "b"], "cell 2 edited after running"),
        ([("a", 1), ("b", 2), ("c", 3)], ["a", "b"], "cell 3 ran after the verdict"),
    ],
)
def test_says_how_a_notebook_differs_from_what_ran(
    tmp_path: Path, cells: list[tuple[str, int | None]], ran: list[str], said: str
) -> None:
    trace.write(tmp_path, ran, 0, Redactor())

    found = trace.compare(notebook(*cells), trace.read(tmp_path))

    assert not found.whole
    assert said in found.sentence()


def test_runs_of_an_earlier_attempt_in_the_same_kernel_do_not_count(tmp_path: Path) -> None:
    trace.write(tmp_path, ["a", "b", "a", "b"], 2, Redactor())

    assert trace.compare(notebook(("a", 3), ("b", 4)), trace.read(tmp_path)).whole


def test_a_secret_that_was_typed_into_a_cell_and_masked_on_save_is_no_edit(tmp_path: Path) -> None:
    redactor = Redactor(["canary-1234"])
    trace.write(tmp_path, ["key = 'canary-1234'"], 0, redactor)

    masked = redactor.value(notebook(("key = 'canary-1234'\n", 1)))

    assert trace.compare(masked, trace.read(tmp_path)).whole


def test_without_a_trace_nothing_counts_as_run(tmp_path: Path) -> None:
    (tmp_path / trace.FILE).write_text("{}")

    assert not trace.compare(notebook(("a", 1)), trace.read(tmp_path)).whole
    assert trace.compare(notebook(("a", 1)), Ran()).later == (1,)


def test_a_link_that_is_no_plain_name_does_not_count() -> None:
    def linked(**values: object) -> dict[str, Any]:
        made = notebook(("a", 1))
        output = {"output_type": "display_data", "metadata": {"dedl": values}}
        made["cells"][1]["outputs"] = [output]
        return made

    right = {"target": "site", "ticket": "DEDL-1", "attempt": "001-upload"}
    wrong = ("../x", "a/b", "", ".", None, 7, "a\n")
    assert trace.link_of(linked(**right)) == Link(**right)
    assert [w for w in wrong if trace.link_of(linked(**right | {"attempt": w}))] == []
    assert trace.link_of(linked(**right, more="x")) is None
