"""Signatures: who packed a bag can be told by OpenSSH alone, and no other key passes for it."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from dedl_workbook import evidence
from dedl_workbook.base import signature
from dedl_workbook.base.errors import EvidenceError, InputError
from dedl_workbook.evidence import bag as bags

from tests.unit.conftest import remade, worked_case


def made_key(folder: Path, name: str, passphrase: str = "") -> Path:
    key = folder / name
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", str(key)],
        check=True,
    )
    return key


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return made_key(tmp_path, "operations")


@pytest.fixture
def signers(tmp_path: Path, key: Path) -> Path:
    file = tmp_path / "signers"
    file.write_text(f"operations@dedl {key.with_suffix('.pub').read_text()}")
    return file


@pytest.fixture
def signed(root: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> evidence.Bag:
    monkeypatch.setenv("DEDL_SITE__EVIDENCE__SIGNING_KEY", str(key))
    return evidence.pack(worked_case(root))


def test_says_by_whom_a_bag_is_signed(signed: evidence.Bag, signers: Path, key: Path) -> None:
    found = evidence.verify(signed.path, signers=signers)

    assert found.state == "intact, signed by operations@dedl"
    assert found.key == signature.fingerprint(key)


def test_without_signers_it_is_known_with_what_and_not_by_whom(signed: evidence.Bag) -> None:
    found = evidence.verify(signed.path)

    assert found.state == f"intact, signed with {found.key}, signer unknown"
    assert evidence.verify(signed.path, digest=signed.digest).state.endswith(", as given")


def test_ssh_keygen_alone_can_check_it(signed: evidence.Bag, signers: Path) -> None:
    command = ["ssh-keygen", "-Y", "verify", "-n", "dedl-evidence", "-I", "operations@dedl"]
    command += ["-f", str(signers), "-s", "tagmanifest-sha256.txt.sig"]
    with (signed.path / "tagmanifest-sha256.txt").open("rb") as given:
        assert subprocess.run(command, cwd=signed.path, stdin=given).returncode == 0


def test_a_bag_that_was_changed_and_signed_with_another_key_is_caught(
    signed: evidence.Bag, signers: Path, tmp_path: Path
) -> None:
    other = made_key(tmp_path, "other")
    (signed.path / "data" / "ticket.json").write_text('{"roles": ["everybody"]}')
    remade(signed.path, key=other)

    assert evidence.verify(signed.path).key == signature.fingerprint(other)
    with pytest.raises(EvidenceError, match=r"is signed with the key SHA256:\S+, which .* doesn't"):
        evidence.verify(signed.path, signers=signers)


def test_a_signature_that_vanished_is_missed(signed: evidence.Bag, signers: Path) -> None:
    (signed.path / bags.SIGNATURE).unlink()

    with pytest.raises(EvidenceError, match="is not signed, but should be with SHA256:"):
        evidence.verify(signed.path)
    remade(signed.path, key=None)
    assert evidence.verify(signed.path).state == "intact, signer unknown"
    with pytest.raises(EvidenceError, match="is not signed"):
        evidence.verify(signed.path, signers=signers)


def test_a_signature_of_other_bytes_or_for_something_else_is_none(
    signed: evidence.Bag, signers: Path, key: Path
) -> None:
    file = signed.path / bags.SIGNATURE
    manifest = (signed.path / bags.TAG_MANIFEST).read_bytes()
    for made in (
        signature.sign(manifest + b"x", key),
        subprocess.run(
            ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", "git"],
            input=manifest,
            capture_output=True,
            check=True,
        ).stdout,
        b"no signature",
        b"",
    ):
        file.write_bytes(made)
        with pytest.raises(EvidenceError, match="is badly signed|is signed with"):
            evidence.verify(signed.path, signers=signers)
        with pytest.raises(EvidenceError, match="is badly signed"):
            evidence.verify(signed.path)


def test_every_changed_byte_of_a_signature_is_noticed(signed: evidence.Bag, signers: Path) -> None:
    file = signed.path / bags.SIGNATURE
    right = file.read_bytes()
    unnoticed = []
    for position in range(0, len(right), 41):
        file.write_bytes(right[:position] + bytes([right[position] ^ 1]) + right[position + 1 :])
        try:
            evidence.verify(signed.path, signers=signers)
            # A line end may become another white space: the signature is the same.
            if not right[position : position + 1].isspace():
                unnoticed.append(position)
        except EvidenceError:
            pass

    assert unnoticed == []


def test_without_ssh_keygen_one_line_says_so(
    signed: evidence.Bag, root: Path, signers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(InputError, match="^ssh-keygen is not installed") as refused:
        evidence.verify(signed.path, signers=signers)
    assert "\n" not in refused.value.what
    with pytest.raises(InputError, match="^ssh-keygen is not installed"):
        evidence.pack(worked_case(root))
    assert "wasn't checked" in evidence.verify(signed.path).state


@pytest.mark.parametrize("missing", ["key", "signers"])
def test_says_that_a_key_or_the_signers_are_missing(
    signed: evidence.Bag, root: Path, key: Path, tmp_path: Path, missing: str
) -> None:
    if missing == "signers":
        with pytest.raises(InputError, match="there is no such file of signers"):
            evidence.verify(signed.path, signers=tmp_path / "none")
        return
    key.unlink()
    with pytest.raises(InputError, match="there is no such key to sign with"):
        evidence.pack(worked_case(root))


def test_nobody_is_asked_for_a_passphrase(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = made_key(tmp_path, "locked", "a passphrase")
    monkeypatch.setenv("DEDL_SITE__EVIDENCE__SIGNING_KEY", str(key))
    case = worked_case(root)

    with pytest.raises(InputError, match="can't be signed with this key"):
        evidence.pack(case)

    assert not (case.folder / "bag").exists()


def test_the_zip_of_a_bag_is_checked_without_unpacking_it(
    signed: evidence.Bag, signers: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "evidence-DEDL-1"
    shutil.copytree(signed.path, copy)
    packed = Path(shutil.make_archive(str(tmp_path / "pack"), "zip", tmp_path, copy.name))

    found = evidence.verify(packed, signers=signers, digest=signed.digest)

    assert (found.digest, found.files, found.size) == (signed.digest, signed.files, signed.size)
    raw = (signed.path / bags.TAG_MANIFEST).read_bytes()
    assert found.digest == hashlib.sha256(raw).hexdigest()
