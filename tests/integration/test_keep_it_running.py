"""Keep it running: each command of the page is run here, and what it promises is tried."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dedl_workbook.cli import main
from dedl_workbook.dataset.dataset import fingerprint, open_dataset
from dedl_workbook.parameters.sections import Notices

from tests.conftest import PROJECT, Workbook

PAGE = (PROJECT / "docs" / "how-to" / "keep-it-running.md").read_text()
COMMANDS = re.findall(r"^ *\$ (.+)$", PAGE, flags=re.MULTILINE)
RUN_ELSEWHERE = {
    "git pull": "it needs a repository that others write to",
    "make setup": "by whatever runs these tests",
}
NOT_APPROVED = "dedl-workbook run 'DEDL-*' --wait --every 10m"
"""It comes after the refusal, ends with 3, and waits for nobody."""


def digest_of_last_plan(lake: Workbook) -> str:
    lines = map(json.loads, (lake.archive / "DEDL-1" / "ledger.jsonl").read_text().splitlines())
    return str([line for line in lines if line["event"] == "planned"][-1]["digest"])


def words(command: str, lake: Workbook) -> list[str]:
    digest = digest_of_last_plan(lake) if "DIGEST" in command else ""
    text = command.replace("DIGEST", digest).replace("production", "lake")
    program, *arguments = shlex.split(text)
    own = str(Path(sys.executable).parent / program)
    return [own if program == "dedl-workbook" else program, *arguments]


def test_every_command_runs_as_it_is_written(lake: Workbook) -> None:
    lake.write_ticket()
    for command in ("dedl-workbook plan DEDL-1", "dedl-workbook approve DEDL-1 DIGEST"):
        subprocess.run(words(command, lake), cwd=lake.root, capture_output=True, check=True)
    failed = []
    for command in COMMANDS:
        if command in RUN_ELSEWHERE:
            continue
        done = subprocess.run(
            words(command, lake), cwd=lake.root, capture_output=True, text=True, check=False
        )
        if done.returncode != (3 if command == NOT_APPROVED else 0):
            failed.append(f"{command}: {done.returncode} {done.stdout}{done.stderr}")

    assert failed == []


def test_every_line_of_cron_has_a_command_that_there_is() -> None:
    lines = re.findall(
        r"^[\d*/]+ [\d* ]+ cd \S+ && \S+dedl-workbook (.+?) >> \S+$", PAGE, flags=re.M
    )

    for line in lines:
        group, *arguments = shlex.split(line)
        main.cli.commands[group].make_context(group, arguments)

    assert len(lines) == 2


def test_the_service_of_systemd_runs_a_command_that_there_is_and_the_notices_are_settings() -> None:
    (line,) = re.findall(r"^ExecStart=\S+/dedl-workbook (.+)$", PAGE, flags=re.M)
    group, *arguments = shlex.split(line)
    main.cli.commands[group].make_context(group, arguments)
    (block,) = re.findall(r"^```yaml\n(notices:.+?)```", PAGE, flags=re.M | re.S)

    assert Notices(**yaml.safe_load(block)["notices"]).mail is not None


def test_a_ticket_whose_archive_was_restored_from_before_its_upload_uploads_nothing_twice(
    lake: Workbook,
) -> None:
    lake.publish("validate")
    shutil.copytree(lake.archive, lake.root / "backup")
    lake.publish("upload")
    uploaded = lake.objects()
    shutil.rmtree(lake.archive)
    shutil.copytree(lake.root / "backup", lake.archive)

    lake.publish("upload")

    assert lake.objects() == uploaded
    receipts = sorted(lake.archive.glob("DEDL-1/attempts/*-upload/outcome.json"))
    assert len(receipts) == 1


def test_an_approval_outlives_a_secret_that_was_changed(
    lake: Workbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lake.target

    monkeypatch.setenv("DEDL_LAKE__S3__SECRET_KEY", "another")

    assert lake.target.secrets() != before.secrets()
    assert lake.target.identity() == before.identity()


def test_a_copied_dataset_counts_as_another(lake: Workbook) -> None:
    elsewhere = lake.root / "elsewhere"
    shutil.copytree(lake.dataset, elsewhere, copy_function=shutil.copy2)

    there, copied = open_dataset(str(lake.dataset)), open_dataset(str(elsewhere))

    assert fingerprint(there) != fingerprint(copied)
