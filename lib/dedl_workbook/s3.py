"""S3 clients, configured so that Ceph-like stores keep objects whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedl_workbook.errors import ServiceError
from dedl_workbook.target import S3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NOT_FOUND = frozenset({"404", "NoSuchKey", "NotFound"})


def client(
    settings: S3 | None = None, *, connections: int = 16, patience: float | None = None
) -> S3Client:
    """Return a client for an endpoint; without settings, for what boto3 finds by itself.

    With `patience`, a server that is silent for so many seconds counts as down at once.

    Checksums are sent only where the protocol demands them: newer defaults of boto3 break or
    damage uploads over https on stores that don't know them (boto3 issue 4435).
    """
    import boto3
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
        return boto3.client("s3", config=config)
    return boto3.client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=settings.access_key.get_secret_value(),
        aws_secret_access_key=settings.secret_key.get_secret_value(),
        verify=str(settings.ca_bundle) if settings.ca_bundle else None,
        config=config,
    )


def explained(error: Exception, what: str) -> ServiceError:
    """Return our error for one of botocore's: what failed, where, and the remedy."""
    response = getattr(error, "response", None) or {}
    code = response.get("Error", {}).get("Code", "")
    message = response.get("Error", {}).get("Message", "") or str(error).splitlines()[0]
    remedies = {
        "InvalidAccessKeyId": "The access key is unknown there: check the target's S3 variables.",
        "SignatureDoesNotMatch": "The secret key is wrong: check the target's S3 variables.",
        "AccessDenied": "This user may not do that: ask the store's operators for the right.",
        "403": "Refused (keys wrong, or no right to this): check the target's S3 variables.",
        "NoSuchBucket": "There is no such bucket: check its name, or have it made.",
        "404": "There is no such bucket or object: check the names.",
        "QuotaExceeded": "The quota is used up: ask the store's operators for more.",
    }
    remedy = remedies.get(code, "Run the same again: what is done stays done.")
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        remedy = (
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL_S3 for a store "
            "other than Amazon's; or validate it as a ticket's, whose target has S3 settings."
        )
    elif type(error).__name__ == "SSLError":
        remedy = "The certificate isn't trusted: set the target's s3.ca_bundle to its CA file."
    return ServiceError(f"{what}: {code + ': ' if code else ''}{message}", remedy=remedy)
