"""S3 clients: what ours do otherwise than boto3's."""

import datetime as dt

import pytest
from botocore.utils import parse_timestamp
from dedl_workbook.dataset.s3 import _instant


@pytest.mark.parametrize(
    "told",
    [
        "2026-11-23T01:13:48.000Z",
        "2026-11-23T01:13:48Z",
        "Mon, 23 Nov 2026 01:13:48 GMT",
        1795396428,
    ],
)
def test_times_are_read_as_botocore_reads_them(told: object) -> None:
    assert (
        _instant(told)
        == parse_timestamp(told)
        == dt.datetime(2026, 11, 23, 1, 13, 48, tzinfo=dt.UTC)
    )
