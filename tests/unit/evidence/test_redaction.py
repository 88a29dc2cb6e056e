"""No secret leaves with the evidence: planted wherever there can be text, it is gone or stops."""

import base64
import html
import json
import urllib.parse
from pathlib import Path
from typing import Any

import nbformat
import pytest
from dedl_workbook import evidence
from dedl_workbook.base.errors import EvidenceError
from dedl_workbook.base.redact import CORES, Pseudonyms, Redactor
from dedl_workbook.case.case import Case
from dedl_workbook.evidence import sealing
from dedl_workbook.evidence.secrets import Search
from dedl_workbook.publication.job import Outcome, Verdict
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.conftest import CANARIES, make_case

SECRET = "s3cr&t/\"kä+ey<42>'\\x"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----"
PRESIGNED = "https://s3.example/x?X-Amz-Date=1&X-Amz-Signature=0a1b2c3d4e5f60718293"
IN_URL = "postgresql://loader:hunter2222@db/dedl"
PLANTED = (SECRET, JWT, KEY, PRESIGNED, IN_URL)


def written_as(secret: str) -> dict[str, str]:
    """Return the ways in which a secret may stand somewhere."""
    return {
        "plain": secret,
        "URL": urllib.parse.quote(secret, safe=""),
        "form": urllib.parse.quote_plus(secret),
        "base64": base64.b64encode(f"user:{secret}!".encode()).decode(),
        "base64 for URLs": base64.urlsafe_b64encode(f"xy{secret}".encode()).decode(),
        "JSON": json.dumps({"password": secret}),
        "JSON in JSON": json.dumps(json.dumps({"password": secret})),
        "HTML": f"<b>{html.escape(secret)}</b>",
        "hex": secret.encode().hex(),
        "colours": "\x1b[31m" + "\x1b[1m".join((secret[:5], secret[5:])) + "\x1b[0m",
    }


def planted(text: str) -> nbformat.NotebookNode:
    """Return a notebook with a text wherever one can stand."""
    v4 = nbformat.v4
    widget = "application/vnd.jupyter.widget-view+json"
    mimes = ("text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml")
    data: dict[str, Any] = dict.fromkeys(mimes, f"<p>{text}</p>")
    data |= {"application/json": {"nested": [{text: text}]}, widget: {"model_id": text}}
    data["image/png"] = base64.b64encode(f"PNG {text}".encode()).decode()
    data["application/javascript"] = f"'{text}'"
    outputs = [
        v4.new_output("display_data", data, metadata={"of": text}),
        v4.new_output("execute_result", data, execution_count=1, metadata={text: 1}),
        v4.new_output("stream", name="stderr", text=f"log {text}\n"),
        v4.new_output("error", ename=text, evalue=text, traceback=[f"\x1b[0;31m{text}\x1b[0m"]),
    ]
    state = {"m": {"model_name": "TextModel", "state": {"value": text, "options": [text]}}}
    code = v4.new_code_cell(f"x = {text!r}  # {text}", outputs=outputs, execution_count=1)
    code.metadata = nbformat.from_dict({"note": text, "papermill": {"parameters": {"p": text}}})
    note = v4.new_markdown_cell(f"note {text}")
    note.attachments = nbformat.from_dict(
        {f"{text}.txt": {"text/plain": base64.b64encode(text.encode()).decode()}}
    )
    notebook = v4.new_notebook(cells=[note, code, v4.new_raw_cell(text)])
    notebook.metadata = nbformat.from_dict(
        {
            "title": text,
            "papermill": {"parameters": {"p": text}, "exception": text},
            "widgets": {"application/vnd.jupyter.widget-state+json": {"state": state}},
        }
    )
    return notebook


def worked(root: Path, text: str) -> Case:
    """Return a case whose every record was given a text."""
    case = make_case(root, board_reference=f"minutes {text}")
    folder = case.new_attempt("validate")
    outcome = Outcome("validate", Verdict.FAILED, text, detail={"why": [text, {text: 1}]})
    case.record_outcome(folder, outcome, "")
    case.write(folder / "plan.json", {"goal": {text: text}})
    case.write(folder / "receipt.json", {"done": text})
    sealing.seal(case, folder.name, planted(text))
    return case


def holding(folder: Path, forms: list[str]) -> list[str]:
    """Return the files in which one of these stands."""
    return [
        str(file.relative_to(folder))
        for file in sorted(folder.rglob("*"))
        if file.is_file() and any(form in file.read_text("utf-8", "replace") for form in forms)
    ]


@pytest.mark.parametrize("way", written_as("x"))
def test_a_secret_of_the_target_is_nowhere_in_a_pack(
    root: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv("DEDL_SITE__CATALOG__PASSWORD", SECRET)
    text = written_as(SECRET)[way]

    bag = evidence.pack(worked(root, text))

    forms = [SECRET, html.escape(SECRET), json.dumps(SECRET)[1:-1], urllib.parse.quote(SECRET)]
    assert holding(bag.path, forms) == []
    assert holding(bag.path.parent, [text, *forms]) == []
    page = (bag.path / "data" / "attempts" / "001-validate" / "notebook.html").read_text()
    assert "[redacted]" in page


@pytest.mark.parametrize("text", PLANTED[1:], ids=["JWT", "key", "presigned", "in a URL"])
def test_what_is_a_secret_by_its_looks_is_nowhere_in_a_pack(root: Path, text: str) -> None:
    bag = evidence.pack(worked(root, text))

    core = {JWT: JWT, KEY: "MIIEvQIBADANBgkq", PRESIGNED: "0a1b2c3d4e5f", IN_URL: "hunter2222"}
    assert holding(bag.path, [core[text]]) == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(("a secret of the target", text) for text in list(written_as(SECRET).values())[:-1]),
        ("JWT", JWT),
        ("private key", KEY),
        ("presigned URL", PRESIGNED),
        ("password in a URL", IN_URL),
        ("AWS access key", "AKIAIOSFODNN7EXAMPLE"),
        ("bearer token", "Authorization: Bearer abcdefghij0123456789"),
    ],
)
def test_a_find_at_packing_stops_it_and_names_file_and_kind_and_never_the_secret(
    root: Path, monkeypatch: pytest.MonkeyPatch, kind: str, text: str
) -> None:
    monkeypatch.setenv("DEDL_SITE__CATALOG__PASSWORD", SECRET)
    case = make_case(root)
    folder = case.new_attempt("validate")
    case.record_outcome(folder, Outcome("validate", Verdict.FAILED, "x"), "")
    for name in ("notebook.ipynb", "notebook.html", "log.txt", "deep/x.bin", "deep/utf-16.txt"):
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(f" {text} ".encode("utf-16-le" if "16" in name else "utf-8"))
        (folder / "notebook.html").touch()

        with pytest.raises(EvidenceError, match="nothing was packed") as refused:
            evidence.pack(case)

        said = str(refused.value)
        assert f"attempts/001-validate/{name} holds" in said
        assert kind in said
        assert text not in said
        assert SECRET not in said
        assert not (case.folder / "bag").exists()
        file.unlink()


def test_finds_a_secret_across_the_border_of_what_is_read_at_once(root: Path) -> None:
    case = make_case(root)
    folder = case.new_attempt("validate")
    (folder / "log.txt").write_bytes(b"." * ((1 << 20) - 9) + CANARIES[0].encode() + b".")

    with pytest.raises(EvidenceError, match=r"log\.txt holds a secret of the target"):
        evidence.pack(case)


@settings(max_examples=15, deadline=None)
@given(
    st.text(min_size=6, max_size=30),
    st.binary(max_size=40),
    st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]),
    st.sampled_from(["", *PLANTED[1:], "Bearer abcdefghij0123456789", "AKIAIOSFODNN7EXAMPLE"]),
)
def test_the_fast_search_misses_nothing_that_the_redactor_finds(
    secret: str, around: bytes, coding: str, pattern: str
) -> None:
    redactor = Redactor([secret])
    search_all = Search(redactor)
    for form in (*redactor.forms, pattern):
        data = around + form.encode(coding, "surrogatepass") + b" " + around
        if not redactor.find(data):
            continue
        found: list[Any] = []
        with search_all.of(found) as search:
            search(data[: len(data) // 2])
            search(data[len(data) // 2 :])
        assert found


def test_each_pattern_has_its_core() -> None:
    for text in (JWT, KEY, PRESIGNED, IN_URL, "AKIAIOSFODNN7EXAMPLE", "Bearer abcdefghij01234567"):
        assert any(core.lower() in text.lower() for core in CORES)


def test_a_secret_that_became_a_number_is_masked_too() -> None:
    assert Redactor(["12345678"]).value({"pin": 12345678, "n": 7, "on": True}) == {
        "pin": "[redacted]",
        "n": 7,
        "on": True,
    }


# Names and e-mail addresses


def test_people_are_kept_or_have_the_same_pseudonym_everywhere(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDL_OPERATOR", "Alice Example")
    monkeypatch.setenv("DEDL_SITE__EVIDENCE__PEOPLE", "pseudonym")
    monkeypatch.setenv("DEDL_SITE__EVIDENCE__PSEUDONYM_KEY", "a key of sixteen and more")
    written = "Alice Example <alice@example.int> asked; see /home/Alice Example/x"

    case = worked(root, written)
    bag = evidence.pack(case)

    assert holding(bag.path, ["Alice", "alice@", "alice%40"]) == []
    masked = Pseudonyms("a key of sixteen and more", ["Alice Example"]).text("Alice Example")
    assert {line["operator"] for line in case.ledger()} == {masked}
    assert masked in (bag.path / "data" / "index.html").read_text()
    # What a withdrawal goes back to is kept as it was.
    assert "alice@example.int" in (case.folder / "attempts/001-validate/plan.json").read_text()


def test_who_worked_on_the_case_before_has_a_pseudonym_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDL_SITE__EVIDENCE__PEOPLE", "pseudonym")
    monkeypatch.setenv("DEDL_SITE__EVIDENCE__PSEUDONYM_KEY", "a key of sixteen and more")
    monkeypatch.setenv("DEDL_OPERATOR", "Alice Example")
    worked(root, "run by Alice Example")
    monkeypatch.setenv("DEDL_OPERATOR", "Bob Example")

    bag = evidence.pack(make_case(root))

    assert holding(bag.path, ["Alice"]) == []


def test_people_are_kept_unless_the_target_says_otherwise(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDL_OPERATOR", "Alice Example")

    bag = evidence.pack(worked(root, "alice@example.int"))

    assert "Alice Example" in (bag.path / "data" / "index.html").read_text()
    assert holding(bag.path, ["alice@example.int"])


def test_pseudonyms_differ_by_key_and_leave_machine_accounts_alone() -> None:
    text = 'alice@example.int, {"rel": "root"}, git@host'

    one, other = (Pseudonyms(key, ["root"]).text(text) for key in ("one", "other"))

    assert one != other
    assert one.endswith(', {"rel": "root"}, git@host')
