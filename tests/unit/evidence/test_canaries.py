"""What libraries say of the values they were given: no secret of it reaches a file of a case."""

import io
import logging
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from dedl_workbook import evidence
from dedl_workbook.notebooks import attempt as attempts
from dedl_workbook.parameters.target import Target
from dedl_workbook.publication.job import Outcome, Verdict
from pydantic import BaseModel, SecretStr

from tests.unit.conftest import make_case
from tests.unit.evidence.test_redaction import holding, written_as

CANARY = "canary/of+all=messages"


def of_dask(_: Path) -> str:
    """Return the log of a task that fails at what it was given."""
    from distributed import Client, LocalCluster

    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger("distributed").addHandler(handler)
    cluster = LocalCluster(n_workers=1, processes=False, dashboard_address=None)
    with cluster, Client(cluster) as client:
        with pytest.raises(ValueError, match="invalid literal"):
            client.submit(int, CANARY).result()
    logging.getLogger("distributed").removeHandler(handler)
    return log.getvalue()


def of_obstore(_: Path) -> str:
    """Return the error of a store at an object whose name holds a secret."""
    import obstore

    store = obstore.store.S3Store(
        "pool",
        endpoint="http://127.0.0.1:9",
        access_key_id=CANARY,
        secret_access_key=CANARY,
        retry_config={"max_retries": 0},
        client_options={"allow_http": True},
    )
    with pytest.raises(obstore.exceptions.BaseError) as error:
        obstore.get(store, f"signed?X-Amz-Signature={CANARY}")
    return f"{error.value!r} {store!r}"


def of_git(folder: Path) -> str:
    """Return what git says of a remote whose address holds a password."""
    url = f"http://user:{CANARY}@127.0.0.1:9/hda.git"
    subprocess.run(["git", "init", "-q", folder], check=True)
    subprocess.run(["git", "-C", folder, "remote", "add", "origin", url], check=True)
    command = ["git", "-C", folder, "remote", "-v"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    command = ["git", "-C", folder, "push", "origin", "HEAD"]
    pushed = subprocess.run(command, check=False, capture_output=True, text=True)
    return listed.stdout + pushed.stderr


def of_papermill(_: Path) -> str:
    """Return the error of a cell that shows what it was given."""
    from papermill.exceptions import PapermillExecutionError

    traceback = ["Traceback", f"ValueError: {CANARY}"]
    return str(PapermillExecutionError(1, 1, f"login({CANARY!r})", "ValueError", CANARY, traceback))


@pytest.mark.parametrize("message", [of_dask, of_obstore, of_git, of_papermill])
def test_no_message_of_a_library_brings_a_secret_into_a_file(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: Callable[[Path], str]
) -> None:
    monkeypatch.setenv("DEDL_SITE__CATALOG__PASSWORD", CANARY)
    text = message(tmp_path / "scratch")
    # In an address obstore leaves a slash as it is.
    forms = [*written_as(CANARY).values(), quote(CANARY)]
    assert any(form in text for form in forms), "nothing would be tested"

    case = make_case(root)
    folder = case.new_attempt("upload")
    handler = attempts._log_to(folder / "log.jsonl", case)
    logging.getLogger("dedl_workbook").warning("it failed: %s", text)
    handler.close()
    failure = attempts.failure("upload", RuntimeError(text))
    case.record_outcome(folder, failure, "")
    case.record_outcome(folder, Outcome("upload", Verdict.FAILED, text, detail={text: [text]}), "")
    evidence.pack(case)

    assert holding(case.folder, forms) == []
    logged = (folder / "log.jsonl").read_text()
    assert "it failed" in logged


def secret_fields(model: type[BaseModel], place: str = "") -> list[str]:
    """Return where a model, and the models that it holds, have secrets."""
    fields = []
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *_within(field.annotation)]
        for kind in kinds:
            if kind is SecretStr:
                fields.append(f"{place}{name}")
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                fields += secret_fields(kind, f"{place}{name}.")
    return sorted(set(fields))


def _within(annotation: object) -> list[object]:
    inner = list(getattr(annotation, "__args__", ()))
    return inner + [deeper for one in inner for deeper in _within(one)]


def test_every_secret_of_a_target_is_among_those_that_are_looked_for() -> None:
    """A field that is added is a secret by its type; this says that the type is all it needs."""
    names = secret_fields(Target)

    assert {"s3.access_key", "catalog.password", "evidence.pseudonym_key"} <= set(names)
    values = {name: SecretStr(f"planted-{number:03}") for number, name in enumerate(names)}
    tree: dict[str, object] = {}
    for name, value in values.items():
        *above, last = name.split(".")
        part = tree
        for one in above:
            part = part.setdefault(one, {})  # type: ignore[assignment]
        part[last] = value

    def built(part: dict[str, object]) -> BaseModel:
        inner = {k: built(v) if isinstance(v, dict) else v for k, v in part.items()}
        model = type("Part", (BaseModel,), {"__annotations__": dict.fromkeys(inner, object)})
        return model.model_construct(**inner)

    target = Target.model_construct(**{k: built(v) for k, v in tree.items() if isinstance(v, dict)})
    assert target.secrets() == sorted(value.get_secret_value() for value in values.values())
