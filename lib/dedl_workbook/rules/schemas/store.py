"""The official JSON schemas: a local store, compiled validators, and stac-validator's opinion.

No function but `sync` and `fetch` opens a socket. Which schemas there are, and what bytes each has,
is locked in `schemas.lock.json`; a schema that isn't in the store leaves a document "not checked".
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urljoin

from dedl_workbook.base.errors import InputError
from dedl_workbook.base.json import pointer

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

    from dedl_workbook.rules.schemas.sources import SyncReport

_CORE = "https://schemas.stacspec.org/v{version}/{kind}-spec/json-schema/{kind}.json"
_KINDS = {"Feature": "item", "Collection": "collection", "Catalog": "catalog"}
_REMEDY = "Run `dedl-workbook schemas sync`."
_OWN = "https://schemas.stacspec.org/"
"""STAC's own schemas, without which nothing is validated."""
# Stands for the value in messages, so that we choose how much of it is shown.
_VALUE = "\x00"
MOST_VIOLATIONS = 50
ACCEPTED = "accepted.json"
"""The file of a store that names changed schemas which were accepted: it stands beside the lock."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Where and why a document isn't valid: the schema's URL, a JSON pointer, a sentence."""

    schema: str
    pointer: str
    message: str


@dataclass(frozen=True, slots=True)
class Validity:
    """What the official schemas say of one document.

    It is valid when `violations` is empty and known to be so when `not_checked` (URLs of schemas
    that aren't in the store) is empty too.
    """

    violations: tuple[Violation, ...] = ()
    not_checked: tuple[str, ...] = ()


def default_store() -> Path:
    """Return the store's folder.

    That is `$DEDL_WORKBOOK_SCHEMAS`, else the one that set-up filled beside the environment, else
    one in the user's cache.
    """
    if named := os.environ.get("DEDL_WORKBOOK_SCHEMAS"):
        return Path(named)
    beside = Path(sys.prefix) / "share" / "dedl-workbook" / "schemas"
    if beside.is_dir():
        return beside
    import platformdirs

    return platformdirs.user_cache_path("dedl-workbook", appauthor=False) / "schemas"


BUNDLED = Path(__file__).with_name("bundled")
"""The core schemas of the wheel, which the build takes from locked packages; none in a checkout."""


@lru_cache(maxsize=1)
def lock() -> Mapping[str, str]:
    """Return the SHA-256 of each schema that the project knows, by URL."""
    schemas: dict[str, str] = json.loads(lock_text())["schemas"]
    return schemas


def lock_text() -> str:
    """Return the lock as text: digests, what is wrong with some, the older ones' package."""
    lock_file = files("dedl_workbook.rules.schemas").joinpath("schemas.lock.json")
    return lock_file.read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def unusable() -> Mapping[str, str]:
    """Return what is wrong with locked schemas that refuse what they were made for, by URL."""
    blamed: dict[str, str] = json.loads(lock_text())["unusable"]
    return blamed


_VERSION = re.compile(r"/v?(\d[^/]*)/")


def usable_instead(url: str) -> str:
    """Return the schema to name in the place of one that is itself at fault, or ''.

    That is the one that it asks for, if that is locked, else the next version of its extension.
    """
    asked = _ADDRESS.findall(unusable().get(url, ""))
    head = _VERSION.split(url)[0]
    usable = [one for one in lock() if one not in unusable() and one.endswith("/schema.json")]
    others = [one for one in usable if one in asked] or sorted(
        one for one in usable if _VERSION.split(one)[0] == head and one > url
    )
    return others[0] if others else ""


_ADDRESS = re.compile(r"https://\S+/schema\.json")


def path_of(url: str) -> Path:
    """Return the path of a locked schema below the store: its URL without `https://`."""
    return Path(url.removeprefix("https://"))


def sync(
    store: Path | None = None,
    *,
    source: Literal["packages", "network"] | Path = "packages",
    progress: Callable[[int, int], None] | None = None,
    accept: bool = False,
) -> SyncReport:
    """Fill the store with the locked schemas that it lacks, and replace damaged ones.

    Args:
        store: The store's folder; `default_store()` if None.
        source: `packages` has the core schemas only; `network` asks each schema's own URL; a folder
            holds each under its URL without `https://`.
        progress: Called after each schema with schemas done and schemas in all.
        accept: Whether what has changed since it was locked is taken, and its digest recorded.

    Returns:
        What was written, what was there, what is still absent, and why.

    Raises:
        InputError: The folder to read from isn't one, or the store can't be written.
    """
    from dedl_workbook.rules.schemas import sources

    try:
        return sources.fill(store or default_store(), lock(), source, progress, accept=accept)
    finally:
        forget()


def forget() -> None:
    """Forget all that was read from stores: they have changed."""
    _compiled.cache_clear()
    validators.cache_clear()
    _schema_map.cache_clear()
    accepted.cache_clear()


def validator(url: str, store: Path | None = None) -> Validator | None:
    """Compile a schema, with formats off and in the draft that it names; once a process.

    Args:
        url: The schema's URL as in `stac_extensions`.
        store: The store's folder; `default_store()` if None.

    Returns:
        The validator, or None: the schema, or one that it refers to, isn't locked or in the store,
        or it can't be compiled.

    Raises:
        InputError: The store holds other bytes than the lock names.
    """
    return _compiled(_locked(url), store or default_store())


def _locked(url: str) -> str:
    """Return the form in which the lock names a schema: `#` at its end, or http, is the same."""
    plain = url.removesuffix("#")
    secure = f"https://{plain.removeprefix('http://')}"
    return secure if plain.startswith("http://") and secure in lock() else plain


@lru_cache(maxsize=512)
def _compiled(url: str, store: Path) -> Validator | None:
    import jsonschema_rs

    schema = _read(url, store)
    broken: list[InputError] = []

    def retrieve(uri: str) -> Any:
        try:
            part = _read(_locked(uri.partition("#")[0]), store)
        except InputError as error:
            broken.append(error)
            raise
        if part is None:
            raise LookupError(uri)
        return part

    if schema is None:
        return None
    try:
        return jsonschema_rs.validator_for(
            schema, base_uri=url, retriever=retrieve, validate_formats=False, mask=_VALUE
        )
    except jsonschema_rs.ValidationError:
        if broken:
            raise broken[0] from None
        # Whoever wrote the schema has to fix it; what can't be compiled is not checked.
        return None


def _read(url: str, store: Path) -> Any:
    """Return a schema, or None where it isn't here; STAC's own ones have to be the locked ones."""
    data = _bytes(url, store)
    if data is None and (problem := _changed(url, store)) and url.startswith(_OWN):
        raise InputError(problem, where=str(store), remedy=_REMEDY)
    return None if data is None else json.loads(data)


def _bytes(url: str, store: Path) -> bytes | None:
    """Return a schema's bytes, if they are those that were locked, or accepted for the store."""
    if url not in lock():
        return None
    digests = lock()[url], accepted(store).get(url)
    copies = (_file(url, folder) for folder in (store, BUNDLED))
    return next((d for d in copies if d and not changed_problem(url, d, *digests)), None)


def _changed(url: str, store: Path) -> str:
    """Return that the store's copy of a locked schema has other bytes, or ''."""
    data = _file(url, store) if url in lock() else None
    return changed_problem(url, data, lock()[url], accepted(store).get(url)) if data else ""


def _file(url: str, folder: Path) -> bytes | None:
    try:
        return (folder / path_of(url)).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(
            f"the schema {url} can't be read: {error.strerror}", where=str(folder), remedy=_REMEDY
        ) from error


def changed_problem(url: str, data: bytes, *digests: str | None) -> str:
    """Return that a schema has other bytes than those that were locked or accepted, or ''.

    Args:
        url: the schema's.
        data: its bytes.
        digests: the SHA-256 that the lock names, and that which was accepted, if one was.
    """
    digest = hashlib.sha256(data).hexdigest()
    if digest in digests:
        return ""
    return f"{url} has changed since it was locked: its SHA-256 is {digest}, not {digests[0]}"


@lru_cache(maxsize=8)
def accepted(store: Path) -> Mapping[str, str]:
    """Return the SHA-256 of changed schemas that an operator accepted for a store, by URL.

    Raises:
        InputError: the record of them can't be read.
    """
    path = store / ACCEPTED
    try:
        return {str(url): str(digest) for url, digest in json.loads(path.read_bytes()).items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"the record of accepted schemas can't be read: {error}",
            where=str(path),
            remedy="Remove it; then accept them again: `dedl-workbook schemas sync --accept`.",
        ) from error


def notes(store: Path | None = None) -> list[str]:
    """Return what to note of the schemas of a store: those that aren't as the project locked them.

    Raises:
        InputError: the record of them can't be read.
    """
    return [
        f"{url} is used as it was accepted here, not as it was locked: its SHA-256 is {digest}"
        for url, digest in sorted(accepted(store or default_store()).items())
    ]


def require_core(versions: Iterable[str], store: Path | None = None) -> None:
    """Require the core schemas of Items and Collections, without which nothing can be validated.

    Args:
        versions: of STAC.
        store: The store's folder; `default_store()` if None.

    Raises:
        InputError: One isn't there.
    """
    for version in versions:
        for kind in ("Feature", "Collection"):
            url = _CORE.format(version=version, kind=_KINDS[kind])
            if validator(url, store) is None:
                raise InputError(
                    f"STAC's own schema {url} isn't here",
                    where=str(store or default_store()),
                    remedy="Run `dedl-workbook schemas sync --from-packages`.",
                )


def held(store: Path | None = None) -> frozenset[str]:
    """Return the URLs of the locked schemas that the store has."""
    folder = store or default_store()
    return frozenset(url for url in lock() if (folder / path_of(url)).is_file())


_absences: dict[tuple[str, Path], str] = {}
"""Why schemas could not be fetched: each is asked for once a process."""
_fetching = threading.Lock()


def fetch(url: str, store: Path | None = None) -> bool:
    """Fetch a locked schema, and those that it refers to, from the addresses that the lock names.

    What was asked for once isn't asked for again in this process.

    Args:
        url: The schema's URL as in `stac_extensions`.
        store: The store's folder; `default_store()` if None.

    Returns:
        Whether it can be used now; if not, `absence` says why.
    """
    from dedl_workbook.rules.schemas import sources

    folder, todo, done = store or default_store(), [_locked(url)], False
    with _fetching:
        while todo:
            one = todo.pop()
            if one not in lock() or (one, folder) in _absences:
                continue
            data = _bytes(one, folder)
            if data is None:
                try:
                    data = sources.fetch(folder, one, lock()[one])
                except (sources.UnavailableError, InputError) as error:
                    _absences[one, folder] = str(error)
                    continue
                done = True
            todo += [ref for ref in _references(one, data) if _bytes(ref, folder) is None]
        if done:
            forget()
    return validator(url, folder) is not None


def absence(url: str, store: Path | None = None) -> str:
    """Return why a document was not checked against a schema."""
    folder, plain = store or default_store(), _locked(url)
    if plain not in lock():
        return "no published schema of that address is known here"
    if reason := _absences.get((plain, folder)):
        return reason
    data = _bytes(plain, folder)
    if data is None:
        return _changed(plain, folder) or "the schema isn't here"
    for ref in _references(plain, data):
        if ref not in lock() or _bytes(ref, folder) is None:
            return _absences.get((ref, folder), f"{ref}, which it refers to, isn't here")
    return "the schema can't be compiled"


def _references(url: str, data: bytes) -> list[str]:
    """Return the other schemas that a schema refers to, as the lock names them."""
    todo = [json.loads(data)]
    named = todo[0].get("$id") if isinstance(todo[0], dict) else None
    base = named if isinstance(named, str) else url
    others: dict[str, None] = {}
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str) and not reference.startswith("#"):
                others[_locked(urljoin(base, reference).partition("#")[0])] = None
            todo += value.values()
        elif isinstance(value, list):
            todo += value
    # The schemas of schemas come with the validator.
    return [other for other in others if "://json-schema.org/" not in other and other != url]


@lru_cache(maxsize=256)
def validators(
    kind: str, version: str, extensions: tuple[str, ...], store: str
) -> tuple[Validator, ...]:
    """Return the validators of what a document says it is.

    Args:
        kind: `Feature` or `Collection`.
        version: of STAC.
        extensions: URLs of the extensions' schemas.
        store: the store's folder as text, since a path is slow to compare; '' for the default one.

    Raises:
        LookupError: one of them can't be had.
    """
    core = core_url({"type": kind, "stac_version": version})
    if not isinstance(core, str):
        raise LookupError(kind)  # noqa: TRY004
    folder = Path(store) if store else None
    compiled = [validator(url, folder) for url in (core, *extensions)]
    known = tuple(one for one in compiled if one is not None)
    if len(known) < len(compiled):
        raise LookupError(extensions)
    return known


def core_url(document: Mapping[str, Any]) -> str | Violation:
    """Return the URL of a document's core schema, or what hinders it."""
    kind, version = document.get("type"), document.get("stac_version")
    if not isinstance(kind, str) or kind not in _KINDS:
        head = f"{_shown(kind)} is none" if "type" in document else "type is missing: it is one"
        return Violation("", "/type", f"{head} of {', '.join(map(_shown, _KINDS))}")
    if not isinstance(version, str) or not re.fullmatch(r"\d+\.\d+\.\d+(-[\w.-]+)?", version):
        if "stac_version" not in document:
            return Violation("", "/stac_version", "stac_version is missing")
        text = f"{_shown(version)} is no version of STAC such as 1.0.0"
        return Violation("", "/stac_version", text)
    return _CORE.format(version=version, kind=_KINDS[kind])


def check(document: Any, store: Path | None = None) -> Validity:
    """Hold a document against the core schema of its type and version and its extensions' schemas.

    At most `MOST_VIOLATIONS` are reported for each schema. Dates and hrefs are judged as text: the
    schemas' `format` is off, as stac-validator has it.

    Args:
        document: A parsed JSON document.
        store: The store's folder; `default_store()` if None.

    Raises:
        InputError: The store holds other bytes than the lock names.
    """
    if not isinstance(document, dict):
        return Validity((Violation("", "", f"{_shown(document)} is no JSON object"),))
    core = core_url(document)
    if isinstance(core, Violation):
        return Validity((core,))
    violations: list[Violation] = []
    not_checked = []
    for url in (core, *extensions_of(document)):
        compiled = validator(url, store)
        if compiled is None:
            not_checked.append(url)
        else:
            violations += islice(_problems(url, compiled, document), MOST_VIOLATIONS)
    return Validity(tuple(violations), tuple(not_checked))


def extensions_of(document: Mapping[str, Any]) -> list[str]:
    """Return the URLs of the extensions that a document names, each once."""
    named = document.get("stac_extensions")
    # What isn't a list of texts is the core schema's to refuse.
    texts = [url for url in named if isinstance(url, str)] if isinstance(named, list) else []
    return list(dict.fromkeys(texts))


def _problems(url: str, compiled: Validator, document: dict[str, Any]) -> Iterator[Violation]:
    try:
        # Far faster than listing errors, of which there are mostly none.
        if compiled.is_valid(document):
            return
        errors = list(compiled.iter_errors(document))
    except ValueError as refusal:
        # The library stops at some depth of nesting.
        yield Violation(url, "", f"the document can't be held against the schema: {refusal}")
        return
    reported = set()
    wrong = {_pointer(error) for error in errors if not _fits_many(error)}
    for error in errors:
        if _fits_many(error) and _pointer(error) in wrong:
            # What is of no right form at all fits whatever doesn't look at that form.
            continue
        for place, message in _explain(error):
            if (place, message) not in reported:
                reported.add((place, message))
                yield Violation(url, place, message)


def _explain(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Yield pointer and sentence; of alternatives, those of the one that was most likely meant."""
    branches: list[list[ValidationError]] = getattr(error.kind, "context", [])
    if not branches or not all(branches):
        yield _pointer(error), _sentence(error)
        return
    wrong = [cause for branch in branches for cause in branch if _names_another_type(cause)]
    if wrong and all(any(map(_names_another_type, branch)) for branch in branches):
        known = dict.fromkeys(_shown(option) for cause in wrong for option in _options(cause))
        yield _pointer(wrong[0]), f"{_shown(wrong[0].instance)} is none of {', '.join(known)}"
        return
    for cause in min(branches, key=_strangeness):
        yield from _explain(cause)


def _strangeness(branch: Sequence[ValidationError]) -> tuple[bool, bool, int, bool]:
    """Order alternatives: those for another type, or for null when it isn't, come last.

    Of two that are as likely, such as the number or text that GeoJSON has as id, it is the text.
    """
    another = any(map(_names_another_type, branch))
    null = any(map(_is_about_null, branch))
    no_text = not any(getattr(error.kind, "types", None) == ["string"] for error in branch)
    return another, null, len(branch), no_text


def _fits_many(error: ValidationError) -> bool:
    return error.kind.name == "oneOf" and not all(getattr(error.kind, "context", []) or [None])


def _names_another_type(error: ValidationError) -> bool:
    return error.kind.name in {"const", "enum"} and error.instance_path[-1:] == ["type"]


def _is_about_null(error: ValidationError) -> bool:
    return error.instance is None or getattr(error.kind, "types", None) == ["null"]


def _options(error: ValidationError) -> list[Any]:
    if error.kind.name == "const":
        return [getattr(error.kind, "expected_value", None)]
    return list(getattr(error.kind, "options", []))


def _pointer(error: ValidationError) -> str:
    return pointer(*error.instance_path)


def _sentence(error: ValidationError) -> str:
    if error.kind.name == "oneOf":
        return (
            f"{_shown(error.instance)} fits more than one of alternatives that exclude each other"
        )
    if error.kind.name == "not":
        hint = ": a link with rel collection is missing" if _pointer(error) == "/collection" else ""
        return f"{_shown(error.instance)} is not allowed here{hint}"
    if error.kind.name == "required":
        # Without quotes: the schema's name, not the document's, so that each stands by itself.
        return f"{getattr(error.kind, 'property', '?')} is a required property"
    message = error.message.replace(_VALUE, _shown(error.instance))
    return message if len(message) <= 300 else f"{message[:299]}…"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:79]}…"


def schema_map(store: Path | None = None) -> dict[str, str]:
    """Return the path of each schema in the store by its URL: stac-validator's `schema_map`.

    Raises:
        InputError: The store holds other bytes than the lock names.
    """
    return dict(_schema_map(store or default_store()))


@lru_cache(maxsize=8)
def _schema_map(store: Path) -> Mapping[str, str]:
    paths = {}
    for url in lock():
        if _read(url, store) is not None:
            folder = BUNDLED if _changed(url, store) or not _file(url, store) else store
            paths[url] = str((folder / path_of(url)).absolute())
    return paths


def second_opinion(document: dict[str, Any], store: Path | None = None) -> tuple[bool, str]:
    """Ask stac-validator, the procedure's own tool, with the store's schemas and without network.

    Extensions whose schemas aren't in the store are left out, and named in the message. What has no
    known type or version is refused without asking, as it would go looking for a schema.

    Returns:
        Its verdict, and its message or "" when it has none. Takes some 20 ms, the first call 1 s.

    Raises:
        InputError: The document's core schema isn't in the store, or other bytes are.
    """
    store = store or default_store()
    core = core_url(document)
    if isinstance(core, Violation):
        return False, f"{core.pointer}: {core.message}"
    if validator(core, store) is None:
        raise InputError(
            f"stac-validator can't be asked: the schema {core} isn't in the store",
            where=str(store),
            remedy=_REMEDY,
        )
    known = without_unknown(document, store)
    opinion = _stac_validate()(schema_map=schema_map(store))
    valid = bool(opinion.validate_dict(known))
    last = opinion.message[-1] if opinion.message else {}
    problem = "" if valid else str(last.get("error_message", "")).strip()
    compared = frozenset(extensions_of(known))
    left_out = [url for url in extensions_of(document) if url not in compared]
    note = f"without {', '.join(left_out)}" if left_out else ""
    return valid, "; ".join(text for text in (problem, note) if text)


def without_unknown(document: dict[str, Any], store: Path | None = None) -> dict[str, Any]:
    """Return a document without the extensions whose schemas aren't in the store.

    Raises:
        InputError: The store holds other bytes than the lock names.
    """
    unknown = {url for url in extensions_of(document) if validator(url, store) is None}
    if not unknown:
        return dict(document)
    # What is no text stays: it can't be looked up.
    known = [
        url for url in document["stac_extensions"] if not isinstance(url, str) or url not in unknown
    ]
    return {**document, "stac_extensions": known}


@lru_cache(maxsize=1)
def _stac_validate() -> Any:
    import warnings

    with warnings.catch_warnings():
        # stac-validator's package warns of its new name.
        warnings.simplefilter("ignore")
        from stac_validator import utilities
        from stac_validator.validate import StacValidate
    utilities.set_schema_cache_size(len(lock()))
    return StacValidate
