"""Archive: the bucket for packs of evidence that are too large for the help desk.

An object there is named after its own SHA-256, so none is ever overwritten, and who has the name
can tell whether it is the one.
"""

from __future__ import annotations

import hashlib

from dedl_workbook.base.errors import ServiceError
from dedl_workbook.dataset import s3
from dedl_workbook.parameters.target import S3, Target
from dedl_workbook.publication.job import Job
from dedl_workbook.services.helpdesk import Attachment

_CHUNK = 1 << 20


def key(job: Job, sha256: str) -> str:
    """Return the key of a pack: `<collection>/<ticket>/evidence-<SHA-256>.zip`."""
    return f"{job.prefix}evidence-{sha256}.zip"


def place(job: Job, sha256: str) -> str:
    """Return where a pack goes, as people are told: `s3://bucket/key`; '' without a bucket."""
    bucket = job.target.evidence.bucket
    return f"s3://{bucket}/{key(job, sha256)}" if bucket else ""


def put(job: Job, pack: Attachment) -> None:
    """Bring a pack into the bucket, unless it is there, and read it back.

    Raises:
        ServiceError: the store refuses, doesn't answer, or gives other bytes back.
    """
    where = place(job, pack.sha256)
    if not where or holds(job, pack.sha256):
        return
    with s3.calling(f"evidence to {where}"):
        client = s3.client(_settings(job.target))
        client.upload_file(
            str(pack.path),
            str(job.target.evidence.bucket),
            key(job, pack.sha256),
            ExtraArgs={"ContentType": "application/zip"},
        )
    if not holds(job, pack.sha256):
        raise ServiceError(
            f"{where} doesn't give back what was written",
            remedy="The store damages objects or hides them: tell its operators; then run again.",
        )


def holds(job: Job, sha256: str) -> bool:
    """Whether the bucket gives a pack back, byte by byte.

    Raises:
        ServiceError: the store refuses or doesn't answer.
    """
    from botocore.exceptions import ClientError

    if not job.target.evidence.bucket:
        return False
    total = hashlib.sha256()
    with s3.calling(f"evidence in {place(job, sha256)}"):
        try:
            answer = s3.client(_settings(job.target)).get_object(
                Bucket=str(job.target.evidence.bucket), Key=key(job, sha256)
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return False
            raise
        for chunk in answer["Body"].iter_chunks(_CHUNK):
            total.update(chunk)
    return total.hexdigest() == sha256


def _settings(target: Target) -> S3:
    return target.evidence.s3 or target.s3
