"""S3 clients, configured so that Ceph-like stores keep objects whole."""

from __future__ import annotations

import datetime as dt
import functools
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from dedl_workbook.base import times
from dedl_workbook.base.errors import RefusedError, ServiceError
from dedl_workbook.parameters.target import S3

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_s3 import S3Client

NOT_FOUND = frozenset({"404", "NoSuchKey", "NotFound"})


def client(
    settings: S3 | None = None, *, connections: int = 16, patience: float | None = None
) -> S3Client:
    """Return a client for an endpoint; without settings, for what boto3 finds by itself.

    Threads may share it, and who asks again for the same gets the same: to make one takes as long
    as many requests. With `patience`, a server that is silent for so many seconds counts as down
    at once.

    Checksums are sent only where the protocol demands them: newer defaults of boto3 break or
    damage uploads over https on stores that don't know them (boto3 issue 4435).
    """
    # What boto3 finds may be something else the next time.
    make = _make if settings is None else _kept
    return make(settings, connections, patience)


def _make(settings: S3 | None, connections: int, patience: float | None) -> S3Client:
    from botocore.config import Config

    config = Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        retries={"mode": "standard", "max_attempts": 1 if patience else 4},
        connect_timeout=patience or 10,
        read_timeout=patience or 60,
        max_pool_connections=connections,
    )
    if settings is None:
        # A session remembers the keys that it found.
        return _session.__wrapped__().client("s3", config=config)
    with _making:
        return _session().client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            aws_access_key_id=settings.access_key.get_secret_value(),
            aws_secret_access_key=settings.secret_key.get_secret_value(),
            verify=str(settings.ca_bundle) if settings.ca_bundle else None,
            config=config,
        )


@functools.cache
def _session() -> Session:
    """Return a session of ours; it keeps the description of S3, which takes long to read."""
    import boto3
    import botocore.session

    core = botocore.session.get_session()
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_instant)
    return boto3.session.Session(botocore_session=core)


_making = threading.Lock()
"""Clients may be shared by threads, but sessions may not."""


def _instant(value: Any) -> dt.datetime:
    """Read a time of an answer: in listings botocore's own way takes most of all their time."""
    from botocore.utils import parse_timestamp

    try:
        return times.utc(value)
    except ValueError:
        return parse_timestamp(value)


_kept = functools.lru_cache(maxsize=16)(_make)
# Two processes must not talk through one connection.
os.register_at_fork(
    before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release
)
os.register_at_fork(after_in_child=_kept.cache_clear)


_REGION = "The store is in another region: set the target's s3.region to the one that it names."
_KEYS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL_S3 for a store "
    "other than Amazon's; or validate it as a ticket's, whose target has S3 settings."
)
REMEDIES = {
    "InvalidAccessKeyId": "The access key is unknown there: check the target's S3 variables.",
    "SignatureDoesNotMatch": "The secret key is wrong: check the target's S3 variables.",
    "AccessDenied": "This user may not do that: ask the store's operators for the right.",
    "403": "Refused (keys wrong, or no right to this): check the target's S3 variables.",
    "NoSuchBucket": "There is no such bucket: check its name, or have it made.",
    "404": "There is no such bucket or object: check the names.",
    "QuotaExceeded": "The quota is used up: ask the store's operators for more.",
    "InsufficientStorage": "The store is full: ask its operators for more room.",
    "RequestTimeTooSkewed": "This machine's clock is wrong: set it right, then run again.",
    "SSLError": "The certificate isn't trusted: set the target's s3.ca_bundle to its CA file.",
    "NoCredentialsError": _KEYS,
    "PartialCredentialsError": _KEYS,
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "IllegalLocationConstraint": _REGION,
    "301": _REGION,
}
_PASSING = frozenset({"RequestTimeout", "ConditionalRequestConflict", "OperationAborted"})
"""What S3 answers with a status of 4xx to a request that may be sent again."""
_PARTS = re.compile(r"<Code>([^<]*)</Code>(?:.*?<Message>([^<]*)</Message>)?", re.DOTALL)
_STATUS = re.compile(r"status code: (\d{3})")


class Answer(NamedTuple):
    """What a client's error says of the store's answer."""

    code: str
    """S3's code; '', or a name that has a remedy, where the store gave none."""
    message: str
    status: int
    """The HTTP status; 0: no answer."""


def answer(error: BaseException | None) -> Answer:
    """Return what a client's error says: boto3 has its parts apart, obstore in its text."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    if response:
        problem, about = response.get("Error", {}), response.get("ResponseMetadata", {})
        code, message = str(problem.get("Code") or ""), str(problem.get("Message") or "")
        return Answer(code, message, int(about.get("HTTPStatusCode", 0)))
    text, _, source = str(error).partition("\n\nDebug source")
    parts, status = _PARTS.search(text), _STATUS.search(text)
    code = parts[1] if parts else status[1] if status else type(error).__name__
    if "UnknownIssuer" in source or "invalid peer certificate" in source:
        code = "SSLError"
    elif code == "AlreadyExistsError":
        code = "PreconditionFailed"
    known = code if status or code in REMEDIES or code == "PreconditionFailed" else ""
    # RGW gives no messages.
    message = (parts[2] or "") if parts else text
    return Answer(known, message, int(status[1]) if status else 0)


def errors() -> tuple[type[Exception], ...]:
    """Return what the S3 clients raise."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    # obstore raises the last for an object that isn't there.
    ours = (Boto3Error, BotoCoreError, ClientError, FileNotFoundError)
    try:
        from obstore.exceptions import BaseError
    except ModuleNotFoundError:
        # Who but reads datasets has no need of it.
        return ours
    return (*ours, BaseError)


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Turn the errors of the S3 clients into ours.

    Raises:
        RefusedError: the same request can't succeed until a person did something.
        ServiceError: running again later may help.
    """
    try:
        yield
    except errors() as error:
        raise explained(error, what) from error


def code_of(error: ServiceError) -> str:
    """Return the S3 error code that an error of `calling` came from, or ''."""
    return answer(error.__cause__).code


def explained(error: Exception, what: str) -> ServiceError:
    """Return our error for a client's: what failed, where, and the remedy.

    A RefusedError where the same request can't succeed until a person did something.
    """
    code, message, status = answer(error)
    reasons = [code] if status and code else []
    reasons += message.splitlines()[:1] or ([] if code else [str(error)])
    passing = code in _PASSING or status in (408, 429) or status >= 500 or not (code or status)
    kind = ServiceError if passing and code not in REMEDIES else RefusedError
    return kind(
        f"{what}: {': '.join(reasons)}",
        remedy=REMEDIES.get(code, "Run the same again: what is done stays done."),
    )
