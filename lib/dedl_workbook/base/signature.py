"""Signatures with `ssh-keygen -Y`: checked years later with OpenSSH alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from dedl_workbook.base.errors import EvidenceError, InputError

NAMESPACE = "dedl-evidence"
"""What a signature of a bag is for. It is not read from the bag: one made for something else is
none."""
_FINGERPRINT = re.compile(rb"SHA256:[A-Za-z0-9+/]+")


def sign(data: bytes, key: Path, namespace: str = NAMESPACE) -> bytes:
    """Return a signature over some bytes.

    Args:
        data: what is signed.
        key: a private key without passphrase, or the public one of a key that ssh-agent holds.
        namespace: what the signature is for.

    Raises:
        InputError: ssh-keygen or the key is missing, or the key can't be used without asking.
    """
    _require_key(key)
    done = _run("-Y", "sign", "-f", str(key), "-n", namespace, given=data)
    if done.returncode:
        raise InputError(
            f"it can't be signed with this key: {_last_line(done)}",
            where=str(key),
            remedy="Nobody is asked for a passphrase: use a key without one, or add it to "
            "ssh-agent and name the public key.",
        )
    return done.stdout


def fingerprint(key: Path) -> str:
    """Return the fingerprint of a key: `SHA256:…`.

    Raises:
        InputError: ssh-keygen or the key is missing, or it is no key.
    """
    _require_key(key)
    done = _run("-l", "-f", str(key))
    match = _FINGERPRINT.search(done.stdout)
    if done.returncode or not match:
        raise InputError(f"is no SSH key: {_last_line(done)}", where=str(key))
    return match[0].decode()


def _require_key(key: Path) -> None:
    if not key.is_file():
        raise InputError(
            "there is no such key to sign with",
            where=str(key),
            remedy="Name another (packs: evidence.signing_key of the target), or make one: "
            f"ssh-keygen -t ed25519 -N '' -f {key}",
        )


def key_of(data: bytes, signature: bytes, namespace: str = NAMESPACE) -> str | None:
    """Return the fingerprint of whatever key signed some bytes; None where it can't be checked.

    Raises:
        EvidenceError: the signature isn't one of these bytes.
    """
    if shutil.which("ssh-keygen") is None:
        return None
    with _file_of(signature) as file:
        done = _run("-Y", "check-novalidate", "-n", namespace, "-s", file.name, given=data)
    match = _FINGERPRINT.search(done.stdout)
    if done.returncode or not match:
        raise EvidenceError(f"is badly signed: {_last_line(done)}")
    return match[0].decode()


def signer(
    data: bytes,
    signature: bytes,
    signers: Path,
    namespace: str = NAMESPACE,
    *,
    at: str = "",
    revoked: Path | None = None,
) -> str:
    """Return who signed some bytes, as a file of allowed signers names them.

    Args:
        data: what was signed.
        signature: the signature over it.
        signers: as ssh-keygen's ALLOWED SIGNERS has it: a line a key, `NAME KEY-TYPE KEY`.
        namespace: what the signature is for.
        at: the time, UTC, at which the signer must have been allowed; default: now.
        revoked: a list of keys that count no more, as ssh-keygen's KEY REVOCATION LISTS has it.

    Raises:
        InputError: ssh-keygen or the file is missing.
        EvidenceError: the signature isn't one of these bytes, or by nobody in that file.
    """
    if not signers.is_file():
        raise InputError("there is no such file of signers", where=str(signers))
    if revoked is not None and not revoked.is_file():
        raise InputError("there is no such list of revoked keys", where=str(revoked))
    time = re.sub("[^0-9]", "", at.partition(".")[0])
    then = ("-O", f"verify-time={time}Z") if time else ()
    without = ("-r", str(revoked)) if revoked else ()
    with _file_of(signature) as file:
        listing = _run("-Y", "find-principals", *then, "-f", str(signers), "-s", file.name)
        names = listing.stdout.decode("utf-8", "replace").splitlines()
        options = (*then, *without, "-f", str(signers), "-n", namespace, "-s", file.name)
        for name in names:
            done = _run("-Y", "verify", "-I", name, *options, given=data)
            if done.returncode == 0:
                return name
    if names:
        raise EvidenceError(f"is badly signed, in the name of {names[0]}: {_last_line(done)}")
    key = key_of(data, signature, namespace)
    raise EvidenceError(f"is signed with the key {key}, which {signers} doesn't name")


def _file_of(signature: bytes) -> tempfile._TemporaryFileWrapper[bytes]:
    """Return a file with the signature, which ssh-keygen takes from a file alone."""
    file = tempfile.NamedTemporaryFile(prefix="dedl-", suffix=".sig")  # noqa: SIM115
    file.write(signature)
    file.flush()
    return file


def _run(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        # A session of its own has no terminal on which it could ask for a passphrase.
        return subprocess.run(
            ["ssh-keygen", *arguments],
            input=given,
            capture_output=True,
            start_new_session=True,
            env={**os.environ, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C.UTF-8"},
        )
    except FileNotFoundError as error:
        raise InputError(
            "ssh-keygen is not installed: evidence is neither signed nor checked for its signer "
            "without it",
            remedy="Install OpenSSH's client (Debian: apt-get install openssh-client).",
        ) from error


def _last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else f"ssh-keygen ended with {done.returncode}"
