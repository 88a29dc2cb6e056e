"""Standing: one answer to where a case stands, from the events of its ledger."""

from __future__ import annotations

from typing import Any

import pytest
from dedl_workbook.parameters.fields import StepName
from dedl_workbook.publication.standing import Standing, State, standing
from hypothesis import given
from hypothesis import strategies as st

Events = list[dict[str, Any]]
STEPS = ("access", "upload", "catalog", "hda", "notify")


_PLANNED = {"plan": list(STEPS), "unplan": ["withdraw", "notify"], "tidy": ["retire"]}


def events(text: str) -> Events:
    """Return the events that words stand for: `plan A`, `approve A`, `upload`, `hda:waiting`."""
    lines: Events = []
    for number, word in enumerate(" ".join(text.split()).split(", ")):
        name, _, rest = word.partition(" ")
        at = {"at": f"2026-11-02T00:00:{number:02d}Z", "operator": "ann", "host": "here"}
        if name in _PLANNED:
            steps = _PLANNED[name]
            digest, _, changes = rest.partition("=")
            line = {"event": "planned", "digest": digest, "steps": steps}
            lines.append(at | line | {"changes": int(changes or 3)})
        elif name == "tell":
            lines.append(
                at | {"event": "planned", "digest": rest, "steps": ["notify"], "changes": 1}
            )
        elif name in ("approve", "refuse"):
            lines.append(at | {"event": f"{name}d".replace("refused", "refused"), "digest": rest})
        elif name == "begin":
            step, _, approve = rest.partition("=")
            lines.append(at | {"event": "started", "step": step, "ticket": {"approve": approve}})
        elif name in ("superseded", "restored"):
            lines.append(at | {"event": name, "by": rest})
        else:
            step, *marks = name.split(":")
            content = rest or "first"
            verdict = marks[0] if marks else "passed"
            line = {"event": "outcome", "step": step, "dataset": content, "terms": "t"}
            line["verdict"] = "failed" if verdict in ("gate", "error") else verdict
            if verdict in ("gate", "error"):
                line["cause"] = verdict
            if verdict == "waiting":
                line |= {"waiting_for": "somebody", "since": "2026-11-01T00:00:00Z"}
            lines.append(at | line)
    return lines


DONE = "validate, plan A, approve A, access, upload, catalog, hda, verify, notify"
GONE = f"{DONE}, unplan W, approve W, withdraw, notify"

TABLE = {
    # The way of a ticket
    "": ("new", "plan"),
    "validate": ("new", "plan"),
    "begin validate": ("failed", "plan"),
    "validate, plan A": ("planned", "approve"),
    "validate, plan A, plan A": ("planned", "approve"),
    "validate, plan A, refuse A": ("plan refused", "plan"),
    "validate, plan A, refuse A, plan B": ("planned", "approve"),
    "validate, plan A, approve A": ("approved", "run"),
    "validate, plan A, approve A, refuse A": ("plan refused", "plan"),
    "validate, plan A, approve A, plan A": ("approved", "run"),
    "validate, plan A, approve A, plan B": ("planned", "approve"),
    "validate, plan A, begin upload=A": ("failed", "run"),
    "begin plan=any, plan A": ("approved", "run"),
    "validate, begin plan=any, plan A, access, begin upload=any, approve any, upload, catalog, "
    "hda, verify, notify": ("published", ""),
    "validate, plan A, approve A, upload": ("approved", "run"),
    "validate, plan A, approve A, access, upload, catalog": ("approved", "run"),
    "validate, plan A, approve A, access, upload, catalog, hda": (
        "published, not verified",
        "run",
    ),
    "validate, plan A, approve A, access, upload, catalog, hda, verify": ("published", "run"),
    "validate, plan A, approve A, access, upload, catalog, hda, verify:failed": (
        "published, not verified",
        "run",
    ),
    f"{DONE}": ("published", ""),
    f"{DONE[:-8]}, notify:failed": ("published", "run"),
    # Refused by validation
    "validate:failed": ("refused", "plan"),
    "validate:error": ("failed", "plan"),
    "validate:failed, validate": ("new", "plan"),
    "validate:failed, tell R": ("refused", "approve"),
    "validate:failed, tell R, approve R": ("refused", "run"),
    "validate:failed, tell R, approve R, notify": ("refused", ""),
    "validate:failed, tell R, approve R, notify, validate": ("new", "plan"),
    # Gates and cut-off runs
    "hda:gate": ("new", "plan"),
    "validate, hda:gate": ("new", "plan"),
    "validate, plan A, hda:gate": ("planned", "approve"),
    "validate, plan A, upload:planned": ("planned", "approve"),
    "validate, plan A, approve A, upload:planned": ("planned", "plan"),
    "validate, plan A, approve A, begin upload": ("failed", "run"),
    "validate, plan A, approve A, begin upload, upload:error": ("failed", "run"),
    "validate, plan A, approve A, upload:failed": ("failed", "run"),
    "validate, plan A, approve A, upload:failed, upload": ("approved", "run"),
    "validate, plan A, approve A, upload:failed, plan B": ("planned", "approve"),
    # Waiting
    "validate, plan A, approve A, access:waiting": ("waiting", "run"),
    "validate, plan A, approve A, access:waiting, upload, catalog": ("waiting", "run"),
    "validate, plan A, approve A, access:waiting, access": ("approved", "run"),
    "validate, plan A, approve A, access, upload, catalog, hda:waiting": ("waiting", "run"),
    # Later looks at what is published
    f"{DONE}, validate": ("published", ""),
    f"{DONE}, validate:failed": ("published", "run"),
    f"{DONE}, verify:failed": ("published", "run"),
    f"{DONE}, hda:gate": ("published", ""),
    f"{DONE}, plan A": ("published", ""),
    f"{DONE}, plan B=0": ("published", ""),
    f"{DONE}, begin validate": ("published", ""),
    f"{DONE}, access, upload, catalog, hda, verify, notify": ("published", ""),
    # Another content of the same ticket
    f"{DONE}, plan B": ("planned", "approve"),
    f"{DONE}, plan B, refuse B": ("published", ""),
    f"{DONE}, plan B, approve B": ("approved", "run"),
    f"{DONE}, plan B, approve B, access, upload s, catalog s": ("approved", "run"),
    f"{DONE}, plan B, approve B, access, upload s, catalog s, hda s": (
        "published, not verified",
        "run",
    ),
    # Retirement says nothing of where the publication stands
    f"{DONE}, tidy R": ("published", ""),
    f"{DONE}, tidy R, approve R, begin retire": ("published", ""),
    f"{DONE}, tidy R, approve R, retire": ("published", ""),
    f"{DONE}, tidy R, refuse R, retire:failed": ("published", ""),
    f"{DONE}, plan B, tidy R, approve R, retire": ("planned", "approve"),
    f"{DONE}, plan B, approve B, tidy R, approve R": ("approved", "run"),
    f"{DONE}, superseded X, tidy R, approve R, retire": ("superseded by X", ""),
    # Withdrawal
    f"{DONE}, unplan W": ("withdrawal planned", "approve"),
    f"{DONE}, unplan W, refuse W": ("published", ""),
    f"{DONE}, unplan W, approve W": ("withdrawal approved", "withdraw"),
    f"{DONE}, unplan W, approve W, plan A": ("withdrawal approved", "withdraw"),
    f"{DONE}, unplan W, approve W, refuse W": ("published", ""),
    f"{DONE}, unplan W, approve W, begin withdraw": ("failed", "withdraw"),
    f"{DONE}, unplan W, approve W, withdraw:failed": ("failed", "withdraw"),
    f"{DONE}, unplan W, approve W, withdraw:waiting": ("waiting", "withdraw"),
    f"{DONE}, unplan W, approve W, withdraw": ("withdrawn", ""),
    f"{DONE}, unplan W, approve W, withdraw, notify:failed": ("withdrawn", "withdraw"),
    GONE: ("withdrawn", ""),
    f"{GONE}, validate": ("withdrawn", "plan"),
    f"{GONE}, validate:failed": ("refused", "plan"),
    f"{GONE}, validate, plan B": ("planned", "approve"),
    f"{GONE}, validate, plan B, approve B, access, upload": ("approved", "run"),
    f"{GONE}, validate, plan B, approve B, access, upload, catalog, hda, verify, notify": (
        "published",
        "",
    ),
    # Another ticket's publication in its place
    f"{DONE}, superseded OP-2": ("superseded by OP-2", ""),
    f"{DONE}, superseded OP-2, validate:failed": ("superseded by OP-2", ""),
    f"{DONE}, superseded OP-2, restored OP-2": ("published", ""),
    "validate, superseded OP-2": ("new", "plan"),
}


@pytest.mark.parametrize("text", TABLE)
def test_the_events_of_a_ledger_come_to_one_state_and_one_next_move(text: str) -> None:
    now = standing(events(text) if text else [])

    assert (now.words, str(now.move)) == TABLE[text]


def test_while_somebody_holds_the_lock_it_runs_and_nothing_is_to_be_done() -> None:
    now = standing(events("validate, plan A, approve A, begin upload"), running=True)

    assert (now.state, now.move, now.deciding["step"]) == (State.RUNNING, "", "upload")


def test_what_is_live_stays_in_view_while_a_withdrawal_is_open() -> None:
    now = standing(events(f"{DONE}, unplan W, approve W"))

    assert now.withdrawal == "approved"
    assert now.live is not None
    assert (now.live.number, now.live.since[-3:], now.live.verified[-3:]) == (1, "05Z", "07Z")


def test_a_second_publication_after_a_withdrawal_has_the_next_number() -> None:
    again = f"{GONE}, validate, plan B, approve B, access, upload, catalog, hda"

    numbers = [standing(events(text)).number("accepted") for text in (DONE, GONE, again)]

    assert numbers == [1, 2, 2]
    assert standing(events(GONE)).number("withdrawn") == 1


def test_what_passed_before_a_withdrawal_counts_no_more_but_for_the_validation() -> None:
    now = standing(events(f"{DONE}, unplan W, approve W, withdraw"))

    assert set(now.outcomes) == {"validate", "withdraw"}
    assert now.missing == ("access", "upload", "catalog", "hda", "verify", "notify")


def test_new_content_is_not_verified_by_the_verification_of_the_old() -> None:
    changed = f"{DONE}, plan B, approve B, access, upload s, catalog s, hda s"

    assert standing(events(changed)).live == standing(events(changed)).live
    live = standing(events(changed)).live
    assert live is not None
    assert (live.number, live.verified) == (1, "")


ORDER = [
    State.NEW,
    State.PLANNED,
    State.APPROVED,
    State.UNVERIFIED,
    State.PUBLISHED,
]
WAY = events(DONE)
LOOKS = [
    "validate",
    "verify",
    "verify:failed",
    "verify:gate",
    "upload:gate",
    "hda:gate",
    "notify:gate",
    "begin verify",
    "plan A",
]


def _rank(now: Standing) -> int:
    return ORDER.index(now.state)


@given(
    length=st.integers(0, len(WAY)),
    looks=st.lists(st.one_of(st.sampled_from(LOOKS), st.just("again")), max_size=6),
)
def test_a_look_a_refused_start_or_a_repeated_outcome_never_lowers_a_state(
    length: int, looks: list[str]
) -> None:
    so_far = WAY[:length]
    before = standing(so_far)
    for look in looks:
        outcomes = [line for line in so_far if line["event"] == "outcome"]
        again = outcomes[-1:] if look == "again" else events(look)
        so_far = [*so_far, *again]
        after = standing(so_far)

        assert _rank(after) >= _rank(before)
        assert before.live is None or after.live is not None
        before = after


@given(st.lists(st.sampled_from(sorted({*TABLE} - {""})), min_size=1, max_size=4))
def test_every_sequence_of_events_comes_to_a_state(parts: list[str]) -> None:
    now = standing(events(", ".join(parts)))

    assert now.words
    assert set(now.outcomes) <= set(StepName)
    assert (now.live is None) or now.publications >= now.live.number
