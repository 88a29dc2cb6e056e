"""Whether each service of a target answers, as the steps will use it; nothing is changed there."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import InputError, ServiceError, WorkbookError
from dedl_workbook.base.text import amount
from dedl_workbook.dataset import s3
from dedl_workbook.parameters.target import S3, Target
from dedl_workbook.services.catalog import stac_api

PATIENCE = 5.0
"""Seconds that a server may be silent."""
_SETTINGS = "Fix that file, or set what is named; production.example.yaml explains each key."
_LITTLE = 10**9
"""Bytes that should be free where the evidence is kept."""


@dataclass(frozen=True)
class Health:
    """How one service of a target is."""

    service: str
    state: str
    """answers, fails, or not configured: the target has none."""
    found: str
    """What answered, with versions; or what is wrong, and where."""
    remedy: str = ""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it in its JSON form."""
        return asdict(self)


COLUMNS = ("service", "state", "found", "remedy")


def check(name: str, root: Path) -> list[Health]:
    """Ask every service of a target at once, each for a few seconds at most.

    A target whose settings are incomplete is one row that fails, with what to set.
    """
    try:
        target = Target.load(name, root)
    except WorkbookError as error:
        error.remedy = error.remedy or _SETTINGS
        return [_failed("settings", error, 0.0)]
    questions: dict[str, Callable[[Target], str]] = {
        "S3 pool": _pool,
        "S3 proposals": _proposals,
        "database": _database,
        "STAC API": _stac_api,
        "HDA": _hda,
        "HDA's files": _hda_files,
        "IAM": _iam,
        "help desk": _helpdesk,
        "archive": _archive,
    }
    with ThreadPoolExecutor(len(questions)) as pool:
        return list(pool.map(lambda it: _asked(target, *it), questions.items()))


def names(root: Path) -> list[str]:
    """Return the names of the workbook's targets."""
    files = (root / "parameters" / "targets").glob("*.yaml")
    return sorted(file.stem for file in files if not file.stem.endswith(".example"))


def row(health: Health) -> tuple[str, str, str, str]:
    """Return it as a row of text, with `COLUMNS`."""
    return health.service, health.state, health.found, health.remedy


def _asked(target: Target, service: str, question: Callable[[Target], str]) -> Health:
    start = time.monotonic()
    try:
        answer = question(target)
    except WorkbookError as error:
        return _failed(service, error, time.monotonic() - start)
    except Exception as error:  # noqa: BLE001 (one service's odd answer is no reason to hide the rest)
        # Its text may hold what was sent: secrets, too.
        odd = WorkbookError(f"answers in a way that nobody foresaw ({type(error).__name__})")
        return _failed(service, odd, time.monotonic() - start)
    seconds = round(time.monotonic() - start, 2)
    return Health(service, "answers" if answer else "not configured", answer, seconds=seconds)


def _failed(service: str, error: WorkbookError, seconds: float) -> Health:
    where = f"{error.where}: " if error.where else ""
    return Health(service, "fails", f"{where}{error.what}", error.remedy, round(seconds, 2))


def _pool(target: Target) -> str:
    _bucket(target.s3, target.s3.bucket)
    return f"bucket {target.s3.bucket} at {target.s3.endpoint}"


def _proposals(target: Target) -> str:
    if target.proposals is None:
        return ""
    _bucket(target.proposals, None)
    return target.proposals.endpoint


def _bucket(settings: S3, name: str | None) -> None:
    """Ask with our keys: for a bucket, or for the list of ours, which may be forbidden."""
    client = s3.client(settings, connections=1, patience=PATIENCE)
    try:
        if name:
            client.list_objects_v2(Bucket=name, MaxKeys=1)
        else:
            client.list_buckets()
    except s3.errors() as error:
        code, _, status = s3.answer(error)
        if name is None and code == "AccessDenied":
            return
        raised = s3.explained(error, settings.endpoint)
        if not status:
            raised.remedy = "Check the endpoint in the target, and that the store is up."
        raise raised from error
    finally:
        client.close()


def _database(target: Target) -> str:
    from dedl_workbook.services.catalog import pgstac

    catalog = target.catalog
    with pgstac.reached(catalog, "check", PATIENCE) as connection:
        connection.execute("set statement_timeout = '5s'")
        version = pgstac.guard(connection)
        member = connection.execute(
            "select pg_has_role(current_user, 'pgstac_ingest', 'member')"
        ).fetchone()
    if not (member and member[0]):
        raise ServiceError(
            f"the user {catalog.user} may not load",
            where=pgstac.address(catalog),
            remedy=pgstac.REMEDIES["42501"],
        )
    return f"PgSTAC {version}, {pgstac.address(catalog)}, user {catalog.user}"


def _stac_api(target: Target) -> str:
    return _landing_page(target.stac_api.url, "the STAC API")


def _hda(target: Target) -> str:
    return _landing_page(target.hda.url, "HDA") if target.hda else ""


def _landing_page(url: str, what: str) -> str:
    with stac_api.reading(url, patience=PATIENCE, what=what) as client:
        page = stac_api.landing_page(client, url, what)
    return f"STAC {page['stac_version']}, {url}"


def _hda_files(target: Target) -> str:
    hda = target.hda
    if hda is None:
        return ""
    files = [hda.folder / name for name in (hda.collections_file, hda.provider_file)]
    for path in [hda.folder, hda.folder / hda.documents_folder, *files]:
        if not path.exists():
            raise InputError("is missing", where=str(path), remedy="Check hda in the target.")
        if not os.access(path, os.W_OK):
            raise InputError(
                "can't be written by this user",
                where=str(path),
                remedy="Ask HDA's operators for the right to write there.",
            )
    if hda.python and not os.access(hda.python, os.X_OK):
        raise InputError(
            "can't be run", where=str(hda.python), remedy="Check hda.python in the target."
        )
    return str(hda.folder)


def _iam(target: Target) -> str:
    from dedl_workbook.services import iam
    from dedl_workbook.services.iam import http

    if target.iam is None:
        return ""
    settings = target.iam.model_copy(update={"timeout": min(PATIENCE, target.iam.timeout)})
    with http.calling(settings.issuer, settings.timeout) as client:
        http.endpoint(client, settings.issuer, "token_endpoint")
    iam.fresh_token(settings)
    return f"a fresh token for {settings.account}, {settings.issuer}"


def _helpdesk(target: Target) -> str:
    from dedl_workbook.services import helpdesk

    settings = target.helpdesk
    quick = settings.model_copy(update={"timeout": min(PATIENCE, settings.timeout)})
    asked = target.model_copy(update={"helpdesk": quick})
    return helpdesk.open_desk(asked, target.archive).health()


def _archive(target: Target) -> str:
    place = target.archive
    there = next(path for path in (place, *place.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(
            "the evidence can't be kept here: this user can't write there",
            where=str(there),
            remedy="Set the target's archive to a folder of ours, or ask for the right.",
        )
    free = shutil.disk_usage(there).free
    if free < _LITTLE:
        raise InputError(
            f"has only {amount(free)} left", where=str(there), remedy="Make room there."
        )
    return f"{place}, {amount(free)} free"
