"""The hda step cut off between any two of its changes: what HDA would read then, and afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.services.hda import files as hda_files
from dedl_workbook.steps import hda
from dedl_workbook.steps.withdraw import hda as withdraw_hda

from tests.integration.hda_lake import HdaLake, an_id, own_configuration, resumed
from tests.integration.test_hda_eodag3 import PRODUCT_TYPES, PROVIDERS

SHORT = "dedl:short_description"


class Killed(BaseException):
    """The process ended here."""


@dataclass
class Site:
    """A folder with a configuration, which no server reads."""

    lake: HdaLake
    dialect: str
    id: str
    folder: Path

    def job(self, version: int) -> Job:
        settings: dict[str, Any] = {"dialect": self.dialect, "folder": self.folder}
        # HDA is up, but reads other files: it serves nothing of this.
        settings |= {"check": ["true"], "reload": ["true"], "served_timeout": 0.01}
        ticket, title = f"M-{version}", f"Levels {version}"
        return self.lake.job(self.id, ticket=ticket, mode="replace", title=title, hda=settings)

    def read(self) -> tuple[Any, ...]:
        """Return entry, product and document, as HDA would find them now."""
        part = self.job(0).target.hda
        assert part is not None
        files = hda_files.read_all(part, self.id)
        product = hda.state_in(part, self.id, files)["product"]
        return files.collections.values.get(self.id), product, files.document

    def documents(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "collections").glob("*"))


@contextmanager
def _killed_at(folder: Path, moment: int, patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """End whatever runs before the given change in a folder; yield the changes until then."""
    done: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        whole = getattr(Path, name)

        def change(path: Path, *arguments: Any, **options: Any) -> Any:
            if path.is_relative_to(folder):
                if len(done) == moment:
                    raise Killed
                done.append(f"{name} {path.name}")
            return whole(path, *arguments, **options)

        return change

    with patch.context() as patched:
        for name in ("replace", "unlink"):
            patched.setattr(Path, name, counted(name))
        yield done


def _publish(site: Site, version: int) -> Callable[[], None]:
    first = hda.plan(site.job(version))

    def run() -> None:
        hda.apply(hda.plan(resumed(site.job(version), first.before)))

    return run


def _withdraw(site: Site) -> Callable[[], None]:
    def run() -> None:
        job = site.job(1)
        withdraw_hda.undo(job, withdraw_hda.look(job, ours=True, written=()))

    return run


@pytest.fixture(params=["eodag3", "eodag4"])
def site(data_lake: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Site:
    folder = tmp_path / "configuration"
    folder.mkdir()
    lake = HdaLake(data_lake, tmp_path)
    if request.param == "eodag3":
        (folder / "product_types.yml").write_text(PRODUCT_TYPES)
        (folder / "providers.yml").write_text(PROVIDERS)
    else:
        shutil.copytree(lake.config, folder, dirs_exist_ok=True)
    return Site(lake, request.param, an_id(), folder)


@pytest.mark.parametrize("kind", ["published", "replaced", "withdrawn"])
def test_at_every_moment_the_configuration_is_that_before_or_that_after(
    site: Site, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if kind != "published":
        _publish(site, 1)()
    before, start = site.read(), tmp_path / "start"
    shutil.copytree(site.folder, start)
    run = {
        "published": lambda: _publish(site, 1),
        "replaced": lambda: _publish(site, 2),
        "withdrawn": lambda: _withdraw(site),
    }[kind]
    run()()
    after, left = site.read(), site.documents()
    assert before != after

    for moment in range(100):
        shutil.rmtree(site.folder)
        shutil.copytree(start, site.folder)
        finish = run()
        try:
            with _killed_at(site.folder, moment, monkeypatch) as done:
                finish()
        except Killed:
            seen = site.read()
            finish()
        else:
            break
        # A product without its entry is not served; one of the two versions it is in any case.
        assert (seen[0], seen[2]) in [(one[0], one[2]) for one in (before, after)], done
        assert (site.read(), site.documents()) == (after, left), done
    assert moment > 2


def test_hda_started_at_the_worst_moment_serves_the_old_version(
    data_lake: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = an_id()
    with own_configuration(data_lake, tmp_path) as lake:
        quick = {"check": ["true"]}
        one, two = ({"title": f"Levels {n}", SHORT: f"Version {n}"} for n in (1, 2))
        hda.apply(hda.plan(lake.job(id_, hda=quick | {"reload": []}, **one)))
        old, job = lake.document(id_), lake.job(id_, mode="replace", hda=quick, **two)
        first = hda.plan(job)
        # The document is written, and the entry isn't.
        with _killed_at(lake.config, 1, monkeypatch) as done, pytest.raises(Killed):
            hda.apply(first)
        lake.reload()
        served = lake.served(id_).json()

        assert [name.split()[0] for name in done] == ["replace"]
        assert (served["title"], served[SHORT]) == ("Levels 1", "Version 1")

        hda.apply(hda.plan(resumed(job, first.before)))
        assert lake.served(id_).json()[SHORT] == "Version 2"
        assert not old.exists()
        assert hda.check(first).verdict is Verdict.PASSED
