"""Redaction: every usual form of a secret is found, and nothing else is touched."""

import base64
import json
import urllib.parse

import pytest
from dedl_workbook.base.redact import MASK, Redactor
from hypothesis import given
from hypothesis import strategies as st

SECRET = 'canary/"pa$$\\wörd+42'


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        urllib.parse.quote(SECRET, safe=""),
        urllib.parse.quote_plus(SECRET),
        json.dumps(SECRET),
        json.dumps(json.dumps(SECRET)),
        json.dumps(SECRET, ensure_ascii=False),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"user:" + SECRET.encode() + b"!").decode(),
        base64.urlsafe_b64encode(b"ab" + SECRET.encode() + b"cd").decode(),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
    ],
)
def test_masks_a_secret_in_every_usual_encoding(text: str) -> None:
    redactor = Redactor([SECRET])
    line = f"before {text} after"

    clean = redactor.text(line)

    assert redactor.find(line.encode()) == ["a secret of the target"]
    assert clean.startswith("before ")
    assert clean.endswith(" after")
    assert MASK in clean
    assert redactor.find(clean.encode()) == []


@given(st.binary(min_size=0, max_size=9), st.text("abcXYZ059+/-_", min_size=10), st.binary())
def test_masks_a_secret_anywhere_inside_base64(before: bytes, secret: str, after: bytes) -> None:
    text = base64.b64encode(before + secret.encode() + after).decode()

    assert MASK in Redactor([secret]).text(text)


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be", "utf-16"])
@pytest.mark.parametrize("before", [b"", b"x"])
def test_finds_a_secret_in_utf_16(coding: str, before: bytes) -> None:
    redactor = Redactor([SECRET])

    for text, kind in ((SECRET, "a secret of the target"), ("AKIAIOSFODNN7EXAMPLE", "AWS")):
        data = before + f"Schlüssel {text} ".encode(coding) + b"\xd8"
        assert [found for found in redactor.find(data) if found.startswith(kind)]
    assert redactor.find(before + "Schlüssel".encode(coding)) == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("JWT", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"),
        ("presigned URL", "https://s3/x?X-Amz-Date=1&X-Amz-Signature=0abc&x=1"),
        ("password in a URL", "postgresql://loader:hunter22@db/dedl"),
        ("AWS access key", "AKIAIOSFODNN7EXAMPLE"),
        ("bearer token", "Authorization: Bearer abcdefghij0123456789"),
        ("private key", "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"),
    ],
)
def test_masks_the_usual_patterns_without_knowing_the_secret(kind: str, text: str) -> None:
    redactor = Redactor()

    assert redactor.find(text.encode()) == [kind]
    assert redactor.find(redactor.text(text).encode()) == []


@pytest.mark.parametrize(
    "text",
    [
        "https://hda.data.destination-earth.eu/stac/v2/collections/EO.XXX?limit=10",
        "eyJ is how a token starts",
        "a digest 3f9a52c01b7e4d6fb0a1c2d3e4f5061728394a5b6c7d8e9f0011223344556677",
        "mailto:someone@example.org, 12:30@noon",
    ],
)
def test_leaves_harmless_text_alone(text: str) -> None:
    assert Redactor([SECRET]).text(text) == text


def test_masks_keys_and_values_of_nested_json() -> None:
    value = {"a": [SECRET, {SECRET: 1}], "n": 1.5, "t": None}

    assert Redactor([SECRET]).value(value) == {"a": [MASK, {MASK: 1}], "n": 1.5, "t": None}
