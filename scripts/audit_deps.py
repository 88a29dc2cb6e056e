"""Asks for known weaknesses of what the locks name, with pip-audit; says what is not known.

`make audit-deps`. Ends with 1 when a locked version has a known weakness, with 0 otherwise, also
where no advisory source answers: then nothing is known, and that is what it says.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
UV = [str(Path(sys.executable).parent / "uv"), "run", "--quiet", "--isolated", "--no-project"]
PIP_AUDIT = [*UV, "--with-requirements", str(ROOT / "requirements/release.txt"), "pip-audit"]


def main() -> int:
    """Audit lock after lock; return the exit code."""
    weak = False
    for lock in sorted([*ROOT.glob("requirements/*.txt"), *ROOT.glob("lib/*/requirements/*.txt")]):
        lines = list(report(audit(lock)))
        weak = weak or any(not line.startswith(("known:", "not known:")) for line in lines)
        for line in lines:
            print(f"{lock.relative_to(ROOT)}: {line}")
    return int(weak)


def audit(lock: Path) -> list[dict[str, Any]] | str:
    """Return what pip-audit says of each package of a lock; a line where it has no answer."""
    command = [*PIP_AUDIT, "--require-hashes", "--disable-pip", "--format", "json"]
    process = subprocess.run(
        [*command, "--requirement", str(lock)], capture_output=True, text=True, check=False
    )
    try:
        packages: list[dict[str, Any]] = json.loads(process.stdout)["dependencies"]
    except ValueError:
        return (process.stderr.strip().splitlines() or ["pip-audit says nothing"])[-1]
    return packages


def report(answer: list[dict[str, Any]] | str) -> Iterator[str]:
    """Yield a line for each weakness, then what is known and what is not."""
    if isinstance(answer, str):
        yield f"not known: {answer}"
        return
    skipped = [package for package in answer if "skip_reason" in package]
    for package in answer:
        for weakness in package.get("vulns", ()):
            fixed = ", ".join(weakness["fix_versions"]) or "no version yet"
            yield f"{package['name']} {package['version']}: {weakness['id']}, fixed in {fixed}"
    if len(answer) > len(skipped):
        yield f"known: {len(answer) - len(skipped)} packages were looked up"
    if skipped:
        yield f"not known: {len(skipped)} packages are not in the advisory source, or it is away"


if __name__ == "__main__":
    sys.exit(main())
