"""What a run hands to a kernel comes out there as it went in."""

import os
from pathlib import Path

from dedl_workbook.notebooks.handover import VARIABLES, Handover
from hypothesis import given
from hypothesis import strategies as st

PATHS = st.none() | st.text("abc/ é{}", min_size=1).map(Path)


@given(attempt=PATHS, progress=PATHS, root=PATHS, saves=st.booleans())
def test_a_kernel_is_told_what_was_handed_over(
    attempt: Path | None, progress: Path | None, root: Path | None, saves: bool
) -> None:
    handover = Handover(attempt, progress, root, saves)
    variables = handover.to_environment()

    assert Handover.from_environment(variables) == handover
    assert set(variables) <= set(VARIABLES)


def test_a_handover_ends_with_its_block() -> None:
    before = dict(os.environ)

    with Handover(attempt=Path("a"), root=Path("b")).in_force(MORE="1"):
        assert Handover.from_environment().attempt == Path("a")
        assert os.environ["MORE"] == "1"

    assert dict(os.environ) == before
