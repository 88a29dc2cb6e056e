"""What may succeed later is tried again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dedl_workbook.base.retry import again, until


def failing(errors: list[Exception]) -> Callable[[], str]:
    """Return work that fails with each of some errors, and then is done."""

    def work() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    return work


def passes(error: Exception) -> bool:
    return isinstance(error, TimeoutError)


def test_what_may_pass_is_tried_again_after_pauses_that_grow_to_a_limit() -> None:
    pauses: list[float] = []
    work = failing([TimeoutError() for _ in range(5)])

    assert again(work, passes, 60, pauses=(1, 4), wait=pauses.append) == "done"

    limits = [1, 2, 4, 4, 4]
    assert len(pauses) == 5
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, limits, strict=True))


def test_another_error_is_raised_at_once() -> None:
    pauses: list[float] = []

    with pytest.raises(KeyError):
        again(failing([KeyError()]), passes, 60, wait=pauses.append)

    assert pauses == []


def test_when_the_time_is_over_the_error_is_raised() -> None:
    errors: list[Exception] = [TimeoutError(), TimeoutError()]

    with pytest.raises(TimeoutError):
        again(failing(errors), passes, 0)

    assert len(errors) == 1


def test_who_waits_can_end_it() -> None:
    errors: list[Exception] = [TimeoutError(), TimeoutError(), TimeoutError()]
    stops = iter([False, True])

    with pytest.raises(TimeoutError):
        again(failing(errors), passes, 60, wait=lambda _: next(stops))

    assert len(errors) == 1


def test_until_asks_again_until_it_holds() -> None:
    answers = iter([False, False, True])

    assert until(lambda: next(answers), 60, pause=0)
    assert next(answers, None) is None


def test_until_asks_once_where_there_is_no_time() -> None:
    answers = iter([True, False])

    assert until(lambda: next(answers), 0, pause=0)
    assert not until(lambda: next(answers, False), 0, pause=0)
