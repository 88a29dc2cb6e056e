"""Takes secrets out of text: those of the target in every usual encoding, and usual patterns."""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

MASK = "[redacted]"
SHORTEST = 6
"""Shorter secrets are only looked for as they are: their encodings would hit by chance."""

_PATTERNS = {
    "JWT": r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----",
    "presigned URL": r"(?<=[?&;])(?i:X-Amz-(?:Signature|Credential|Security-Token)|Signature|"
    r"AWSAccessKeyId)=[^&\s\"'<>\\]+",
    "password in a URL": r"(?<=://)[^\s/:@\"'<>\\]+:[^\s/@\"'<>\\]+(?=@)",
    "AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "bearer token": r"(?<=(?i:bearer) )[A-Za-z0-9._~+/-]{16,}=*",
}
_USUAL = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS.values()))
_NAMED = {name: re.compile(pattern) for name, pattern in _PATTERNS.items()}


class Redactor:
    """Knows the secrets of a target, and finds or masks them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = sorted(
            {form for secret in secrets for form in _forms(secret)}, key=len, reverse=True
        )
        self._known = re.compile("|".join(re.escape(form) for form in forms)) if forms else None

    def text(self, text: str) -> str:
        """Return the text with every secret masked."""
        if self._known:
            text = self._known.sub(MASK, text)
        return _USUAL.sub(MASK, text)

    def value(self, value: Any) -> Any:
        """Return a JSON value with every secret masked, in keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return [self.value(member) for member in value]
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(member) for key, member in value.items()}
        return value

    def find(self, data: bytes) -> list[str]:
        """Return what kinds of secrets stand in some bytes, as UTF-8 or UTF-16; empty: none."""
        texts = [data.decode("utf-8", "replace")]
        # In UTF-16 every Latin letter has a zero byte; within other data it can start anywhere.
        if b"\0" in data:
            for start, coding in product((0, 1), ("utf-16-le", "utf-16-be")):
                texts.append(data[start:].decode(coding, "replace"))
        kinds = {"a secret of the target": self._known, **_NAMED}
        return [
            name
            for name, pattern in kinds.items()
            if pattern and any(pattern.search(text) for text in texts)
        ]


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it may stand in a file: plain, URL-, JSON-, hex- and base64-encoded."""
    if not secret:
        return
    yield secret
    if len(secret) < SHORTEST:
        return
    yield urllib.parse.quote(secret, safe="")
    yield urllib.parse.quote(secret)
    yield urllib.parse.quote_plus(secret)
    for ascii_only in (True, False):
        once = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield from (once, json.dumps(once, ensure_ascii=ascii_only)[1:-1])
    raw = secret.encode()
    yield from (raw.hex(), raw.hex().upper())
    for shift in range(3):
        # Inside longer base64, a secret looks one of three ways; its ends mix with neighbours.
        padded = b"\0" * shift + raw
        coded = base64.b64encode(padded).decode()
        start = (shift * 8 + 5) // 6
        stop = len(padded) * 8 // 6
        if stop - start >= SHORTEST:
            yield coded[start:stop]
            yield coded[start:stop].replace("+", "-").replace("/", "_")
