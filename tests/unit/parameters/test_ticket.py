"""Tickets: what is refused, and in which words."""

from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.base.errors import InputError
from dedl_workbook.parameters.ticket import Ticket, ticket_file


def any_ticket(**changes: Any) -> dict[str, Any]:
    values = {
        "ticket": "DEDL-1",
        "dataset": "delivered/EO.XXX.DAT.YYY",
        "collection": "EO.XXX.DAT.YYY",
        "target": "sandbox",
        "board_reference": "minutes 7",
        "board_date": "2026-11-20",
    }
    return {key: value for key, value in {**values, **changes}.items() if value is not ...}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"colection": "x"}, "colection: unknown key. Did you mean 'collection'?"),
        ({"ticket": 123}, "ticket: must be text, found 123: put it in quotes"),
        ({"ticket": "../etc"}, "ticket: must be letters, digits, - and _, at most 64, starting"),
        ({"collection": ...}, "collection: is missing: add it"),
        ({"collection": "a/b"}, "collection: must be letters, digits, dots, - and _, at most"),
        ({"dataset": ""}, "dataset: String should have at least 1 character"),
        ({"access": "open"}, "access: should be 'public' or 'restricted', found 'open'"),
        ({"access": "restricted"}, "access is restricted but no roles are named"),
        ({"roles": ["DEDL_UGD"]}, "roles are named but access is public"),
        ({"roles": "DEDL_UGD", "access": "restricted"}, "roles: should be a valid list"),
        ({"mode": "update"}, "mode: should be 'new' or 'replace'"),
        ({"board_date": "20.11.2026"}, "board_date: '20.11.2026' is no date of the form"),
        ({"approve": "yes"}, "approve: must be the digest of a case plan (64 hex digits"),
        ({"waivers": [{"rule": "C04"}]}, "waivers.0.reason: is missing"),
        (
            {"waivers": [{"rule": "X1", "reason": "r", "agreed_by": "a"}]},
            "waivers.0.rule: must be the id of a rule, such as C04; found 'X1'",
        ),
        ({"roles": ["a b"], "access": "restricted"}, "roles.0: must be letters, digits, dots"),
        ({"collection": "EO.XXX\x00"}, "collection: must be letters"),
    ],
)
def test_refuses_what_is_wrong_and_names_the_key(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match="^the file: ") as refused:
        Ticket.of(any_ticket(**changes), "the file")

    assert said in str(refused.value)


def test_names_every_wrong_key_at_once() -> None:
    with pytest.raises(InputError) as refused:
        Ticket.of(any_ticket(mode="update", access="open", extra=1), "the file")

    assert [key for key in ("mode:", "access:", "extra:") if key not in str(refused.value)] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("- a\n- b\n", "holds a list"),
        ("a: [1\n", "is not YAML"),
        ("ticket: A\nticket: B\n", "the key 'ticket' stands twice"),
        ("ticket: !!python/object:os.system x\n", "is not YAML"),
        ("\x00", "is not YAML"),
        ("a: 1\n? [a, b]\n: 1\n", "line 2: is not YAML: a key must be a plain word"),
        ("? {a: b}\n: 1\n", "line 1: is not YAML: a key must be a plain word"),
        ('a: !!int ""\n', "is not YAML"),
        ("a: !!timestamp x\n", "is not YAML"),
        ("a: !!bool x\n", "is not YAML"),
    ],
)
def test_refuses_a_file_that_holds_no_ticket(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "DEDL-1.yaml"
    file.write_text(text)

    with pytest.raises(InputError) as refused:
        Ticket.load(str(file))

    assert said in str(refused.value)
    assert str(file) in str(refused.value)


def test_offers_the_nearest_name_for_a_ticket_that_is_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "parameters" / "tickets"
    folder.mkdir(parents=True)
    (folder / "DEDL-12.yaml").write_text("")

    with pytest.raises(InputError, match="Did you mean 'DEDL-12'?"):
        Ticket.load("DEDL12", tmp_path)


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + ".yaml"])
def test_refuses_a_name_that_no_file_can_have(root: Path, name: str) -> None:
    with pytest.raises(InputError, match="File name too long"):
        ticket_file(name, root)


def test_refuses_a_file_that_is_called_after_another_ticket(tmp_path: Path) -> None:
    """Two files of one ticket would share its case."""
    file = tmp_path / "DEDL-7.yaml"
    file.write_text("ticket: DEDL-1\ndataset: d\ncollection: C\ntarget: sandbox\n")

    with pytest.raises(InputError, match=r"'DEDL-1', but the file is called DEDL-7.yaml"):
        Ticket.load(str(file))


def test_reads_dates_as_papermill_does_and_gives_them_back(tmp_path: Path) -> None:
    file = tmp_path / "DEDL-1.yaml"
    file.write_text(
        "ticket: DEDL-1\ndataset: d\ncollection: C\ntarget: sandbox\nboard_date: 2026-11-20\n"
    )

    ticket = Ticket.load(str(file))

    assert ticket.parameters()["board_date"] == "2026-11-20"
    assert Ticket.of(ticket.parameters(), "again") == ticket


def test_takes_its_keys_alone_from_the_variables_of_a_notebook() -> None:
    ticket = Ticket.from_notebook({**any_ticket(), "_": 1, "views": object()})

    assert ticket.ticket == "DEDL-1"
