"""Kernel: one notebook in a kernel of its own, with papermill, into an attempt's folder.

Each save of the running notebook passes redaction; a limit of time, Ctrl-C and the signals that
end a process end the kernel.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Self

from dedl_workbook.base.errors import InputError, StepFailedError
from dedl_workbook.base.files import write_atomic
from dedl_workbook.base.redact import Redactor
from dedl_workbook.case.case import Case
from dedl_workbook.evidence import sealing
from dedl_workbook.notebooks.handover import Handover
from dedl_workbook.steps.order import Step
from dedl_workbook.views.failure import heading

SCHEME = "dedl-case://"
"""Where papermill writes to: every save of the running notebook passes redaction."""

_CONNECTIONS = "dedl-kernel-"
_YOUNG = 60
"""Seconds in which a folder that was just made may not be locked yet."""

Say = Callable[[str], None]
"""Takes one line on what is going on; an empty one ends it."""


def notebook_file(root: Path, step: Step) -> Path:
    """Return a step's notebook.

    Raises:
        InputError: the workbook has none.
    """
    file = root / "notebooks" / f"{step.notebook}.ipynb"
    if not file.is_file():
        raise InputError("the step's notebook is missing", where=str(file))
    return file


def execute(
    case: Case, step: Step, source: Path, folder: Path, say: Say, interrupts: Interrupts
) -> BaseException | None:
    """Run a notebook with the ticket's parameters; return what ended it early, or None.

    Args:
        case: whose ticket and target.
        step: its name, and for how long it may take.
        source: the notebook.
        folder: the attempt's.
        say: takes which cell runs, and how far it is.
        interrupts: let in while it runs.
    """
    running = _Running(step.name, say)
    limit = case.target.hours(step.name)
    try:
        with (
            interrupts.let_in(),
            _handed(case, folder),
            _watched(_progress_file(case.folder), running),
        ):
            _papermill(case, source, folder / sealing.NOTEBOOK, running, limit)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
        # Whatever papermill, the kernel or the operator did, the attempt gets its outcome.
        if isinstance(error, TimeoutError) and running.seconds >= limit * 3600:
            return StepFailedError(
                f"Ended after {limit:g} h, the time that the target gives {step.name}; "
                "run it again to go on.",
                where=running.cell,
            )
        return error
    return None


def _papermill(case: Case, source: Path, output: Path, running: _Running, limit: float) -> None:
    import papermill
    from papermill.iorw import papermill_io
    from traitlets.config import Config

    logging.getLogger("papermill").setLevel(logging.ERROR)
    papermill_io.register(SCHEME, _Archive(case.redactor, running))
    # Local sockets: papermill's kernels talk over unencrypted TCP otherwise.
    with _connections() as folder:
        connection = {"transport": "ipc", "ip": f"{folder}/kernel"}
        connection["connection_file"] = f"{folder}/connection.json"
        papermill.execute_notebook(
            _literally(source),
            SCHEME + _literally(output),
            parameters=case.ticket.parameters(),
            kernel_name="python3",
            cwd=str(case.root),
            progress_bar=False,
            log_output=False,
            timeout_func=lambda _: max(0.1, limit * 3600 - running.seconds),
            config=Config({"KernelManager": connection}),
            # Ending a kernel interrupts it, which it would report as an error each time.
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )


@contextmanager
def _connections() -> Iterator[Path]:
    """Give a folder for a kernel's sockets and keys, and remove those that killed runs left.

    Each kernel has its own: Jupyter gives two kernels of one folder the same sockets if they start
    at the same time. Whoever lives holds the lock on his.
    """
    place = Path(tempfile.gettempdir())
    for old in place.glob(f"{_CONNECTIONS}*"):
        with suppress(OSError):
            status = old.lstat()
            idle = time.time() - status.st_mtime > _YOUNG
            if idle and status.st_uid == os.geteuid() and stat.S_ISDIR(status.st_mode):
                with _locked(old):
                    shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_CONNECTIONS, ignore_cleanup_errors=True) as folder:
        with _locked(Path(folder)):
            yield Path(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock on a folder.

    Raises:
        BlockingIOError: somebody else does.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _literally(path: Path) -> str:
    """Return a path for papermill, which takes what stands in braces for a parameter."""
    return str(path).replace("{", "{{").replace("}", "}}")


class _Running:
    """What is said of the notebook that runs: step, cell, how far it is, for how long."""

    def __init__(self, step: str, say: Say) -> None:
        self._step, self._say = step, say
        self._started = time.monotonic()
        self.cell, self.far = "", ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def show(self) -> None:
        minutes, seconds = divmod(int(self.seconds), 60)
        head = f"{self._step}, {self.cell}" if self.cell else self._step
        self._say(f"{head}: {self.far or 'running'} ({minutes}:{seconds:02d})")

    def end(self) -> None:
        self._say("")

    def starts(self, notebook: dict[str, Any]) -> None:
        """Note the cell that papermill marked as running."""
        code = [n for n, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code"]
        for place, number in enumerate(code, start=1):
            marks = notebook["cells"][number]["metadata"].get("papermill", {})
            if marks.get("status") == "running":
                title = heading(notebook["cells"], number)
                cell = f"cell {place} of {len(code)}" + (f" ({title})" if title else "")
                if cell != self.cell:
                    self.cell, self.far = cell, ""


class _Archive:
    """papermill's way to the case's folder: whole files, free of secrets."""

    def __init__(self, redactor: Redactor, running: _Running) -> None:
        self._redactor, self._running = redactor, running

    def write(self, text: str, path: str) -> None:
        import nbformat

        clean = nbformat.from_dict(self._redactor.value(nbformat.reads(text, as_version=4)))
        self._running.starts(clean)
        write_atomic(Path(path.removeprefix(SCHEME)), nbformat.writes(clean) + "\n")

    def read(self, path: str) -> str:
        return Path(path.removeprefix(SCHEME)).read_text("utf-8")

    def listdir(self, path: str) -> list[str]:
        return [str(file) for file in Path(path.removeprefix(SCHEME)).iterdir()]

    def pretty_path(self, path: str) -> str:
        return path.removeprefix(SCHEME)


def _handed(case: Case, folder: Path) -> AbstractContextManager[None]:
    """Hand the attempt to the kernel, which inherits this process's environment."""
    handover = Handover(attempt=folder, progress=_progress_file(case.folder), root=case.root)
    return handover.in_force(PYDEVD_DISABLE_FILE_VALIDATION="1")


def _progress_file(folder: Path) -> Path:
    return folder / "work" / "progress"


def progress_of(folder: Path) -> str:
    """Return how far the run is that somebody has under way in a case's folder; '' if unknown."""
    try:
        return str(json.loads(_progress_file(folder).read_bytes()))
    except (OSError, ValueError):
        return ""


@contextmanager
def _watched(file: Path, running: _Running) -> Iterator[None]:
    """Show what runs, and the progress that the kernel writes, while the block runs."""
    file.unlink(missing_ok=True)
    done = threading.Event()
    watcher = threading.Thread(target=_pass_on, args=(file, done, running), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        file.unlink(missing_ok=True)
        running.end()


def _pass_on(file: Path, done: threading.Event, running: _Running) -> None:
    running.show()
    while not done.wait(0.2):
        with suppress(OSError, ValueError):
            running.far = str(json.loads(file.read_bytes()))
        running.show()


class Interrupts:
    """The signals that end a process, as Ctrl-C does: let in while a notebook runs, else held back.

    So that an attempt that has started gets its outcome recorded, whenever they come.
    """

    def __init__(self) -> None:
        self.came = False
        self._let_in = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Python allows it in the main thread alone.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.came = True
        if self._let_in:
            raise KeyboardInterrupt

    @contextmanager
    def let_in(self) -> Iterator[None]:
        """Raise KeyboardInterrupt for those that came, and for those that come in the block."""
        self._let_in = True
        try:
            if self.came:
                raise KeyboardInterrupt
            yield
        finally:
            self._let_in = False
