"""An archive that is full is named, and /tmp is not blamed for it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dedl_workbook.base.files import write_atomic
from dedl_workbook.cli.codes import COULD_NOT_RUN, DONE
from dedl_workbook.cli.main import main

from tests.conftest import Lake


@pytest.fixture
def small(lake: Lake) -> Iterator[Path]:
    """The archive, on a file system of its own that is soon full."""
    lake.archive.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(lake.archive)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small file system can be made here")
    yield lake.archive
    subprocess.run(["umount", str(lake.archive)], check=True)


def test_a_full_archive_is_named_and_a_run_goes_on_once_there_is_room(
    lake: Lake, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = lake.write_ticket()
    full = small / "full"
    full.write_bytes(b"")
    with full.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass

    code = main(["run", name, "--step", "validate"])

    error = capsys.readouterr().err
    assert code == COULD_NOT_RUN
    assert f"{small} can't take more: make room there" in error
    assert "No space left on device" in error
    assert "TMPDIR" not in error
    subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
    full.unlink()
    assert main(["run", name, "--step", "validate"]) == DONE


def test_a_file_that_finds_no_room_names_itself(small: Path) -> None:
    with pytest.raises(OSError, match="No space left") as raised:
        write_atomic(small / "plan.json", "x" * 10**6)

    assert raised.value.filename == str(small / "plan.json")
    assert list(small.iterdir()) == []
