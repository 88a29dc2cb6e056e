"""Takes secrets out of text: those of the target in every usual encoding, and usual patterns.

And people, where the target wants that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
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
    "presigned URL": r"(?i:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)(?:=|%3D)|"
    r"(?<=[?&;, ])(?:Signature|AWSAccessKeyId|sig)=(?=[A-Za-z0-9%+/=_-]{16}))[^&\s\"'<>\\%]*"
    r"(?:%[0-9A-Fa-f]{2}[^&\s\"'<>\\%]+)*",
    "password in a URL": r"(?<=://)[^\s/:@\"'<>\\]+:[^\s/@\"'<>\\]+(?=@)",
    "AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "bearer token": r"(?<=(?i:bearer) )[A-Za-z0-9._~+/-]{16,}=*",
}
_USUAL = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS.values()))
_NAMED = {name: re.compile(pattern) for name, pattern in _PATTERNS.items()}
LOOSE = tuple(re.sub(r"\(\?<?=", "(?:", pattern) for pattern in _PATTERNS.values())
"""What stands wherever a pattern does, and needs no looking around: for faster engines."""
_CORES = "eyJ|PRIVATE KEY|Signature|Credential|Token|AWSAccess|sig=|://|AKIA|ASIA|bearer"
CORES = tuple(_CORES.split("|"))
"""A part of each pattern, in whatever case: where it isn't, there is none of the pattern."""
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Redactor:
    """Knows the secrets of a target, and finds or masks them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.forms = sorted(
            {form for secret in secrets for form in _forms(secret)}, key=len, reverse=True
        )
        """The secrets in each way that they may be written, the longest first."""
        joined = "|".join(re.escape(form) for form in self.forms)
        self._known = re.compile(joined) if joined else None

    def text(self, text: str) -> str:
        """Return the text with every secret masked."""
        if "\x1b" in text and (bare := _ANSI.sub("", text)) != (masked := self._masked(bare)):
            # A terminal's colours may part a secret: what holds one loses them.
            return masked
        return self._masked(text)

    def _masked(self, text: str) -> str:
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
        # A password of digits may have become a number.
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return MASK if number and self.text(str(value)) != str(value) else value

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


class Pseudonyms:
    """Puts the same pseudonym for the same person everywhere; who has the key can tell whose."""

    def __init__(self, key: str, names: Iterable[str] = ()) -> None:
        """Make pseudonyms.

        Args:
            key: a secret that is kept; '' for a policy that keeps names, so nothing is replaced.
            names: of people, besides e-mail addresses; those of machine accounts don't count.
                They are found as whole words, also after a terminal's colours.
        """
        self._key = key.encode()
        known = sorted({n for n in names if len(n) > 2} - _NOBODY, key=len, reverse=True)
        words = [rf"(?:(?<!\w)|(?<=[0-9;\[]m)){re.escape(name)}(?!\w)" for name in known]
        self._people = re.compile("|".join([_EMAIL, *words])) if key else None

    def __bool__(self) -> bool:
        """Whether anything is replaced."""
        return self._people is not None

    def text(self, text: str) -> str:
        """Return the text with pseudonyms for names and e-mail addresses."""
        return self._people.sub(self._pseudonym, text) if self._people else text

    def value(self, value: Any) -> Any:
        """Return a JSON value with pseudonyms in its texts, and in keys that aren't one word."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return [self.value(member) for member in value]
        if isinstance(value, dict):
            # A key of one word is a record's own, even where somebody has that name.
            return {
                key if key.isidentifier() else self.text(key): self.value(member)
                for key, member in value.items()
            }
        return value

    def _pseudonym(self, match: re.Match[str]) -> str:
        person = match[0].casefold().encode()
        return "person-" + hmac.new(self._key, person, hashlib.sha256).hexdigest()[:10]


_EMAIL = r"[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
_NOBODY = {"root", "jovyan", "user", "admin", "debian", "ubuntu", "operator"}


def _as_jupyter_does(secret: str) -> str:
    """Return a secret as nbconvert and Jinja write it into a page."""
    return html.escape(secret).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it may stand in a file: plain, URL-, JSON-, hex- and base64-encoded."""
    if not secret:
        return
    yield secret
    if len(secret) < SHORTEST:
        return
    yield urllib.parse.quote(secret, safe="")
    yield from (html.escape(secret), html.escape(secret, quote=False), _as_jupyter_does(secret))
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
