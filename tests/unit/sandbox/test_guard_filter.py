"""The guard's second fence, without servers: what is locked goes, and nothing else is touched."""

from dedl_workbook.services.hda.guard import filtered

LOCKED = frozenset({"eo.locked"})


def test_takes_locked_collections_out_and_leaves_the_others_as_they_are() -> None:
    free = {
        "type": "Collection",
        "id": "EO.FREE",
        "extent": {"temporal": {"interval": [["2024-01-01T00:00:00Z", None]]}},
        "license": None,
    }
    answer = {"collections": [free, {"type": "Collection", "id": "EO.LOCKED"}], "numberMatched": 2}

    kept = filtered(answer, LOCKED)

    assert kept == {"collections": [free], "numberReturned": 1}
