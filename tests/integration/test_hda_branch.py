"""The hda step where HDA is deployed from a git repository, with real git and the real HDA."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from dedl_sandbox import Sandbox
from dedl_workbook.base.errors import ConflictError, InputError
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.steps import hda
from dedl_workbook.steps.withdraw import hda as withdraw_hda

from tests.integration.hda_lake import ROLE, HdaLake, an_id, own_configuration

BRANCH = "ticket/HDA-1"


@dataclass
class Site:
    """A repository of HDA's configuration, and the HDA that is deployed from it."""

    lake: HdaLake
    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "deploy" / "hda"

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)
        self.git("add", name)
        self.git("commit", "--quiet", "--message", f"Write {name}")

    def job(self, id_: str, **more: Any) -> Job:
        settings: dict[str, Any] = {"git": True, "folder": self.folder, "reload": []}
        settings |= {"served_folder": self.lake.config} | more.pop("hda", {})
        return self.lake.job(id_, hda=settings, **more)

    def deploy(self) -> None:
        for file in self.git("ls-files", "deploy/hda").splitlines():
            place = self.lake.config / Path(file).relative_to("deploy/hda")
            place.parent.mkdir(exist_ok=True)
            place.write_bytes((self.root / file).read_bytes())
        self.lake.reload()

    def document(self, id_: str) -> str:
        """Return the name of the full collection that the entry on the branch names."""
        entries = yaml.safe_load(self.git("show", f"{BRANCH}:deploy/hda/collections.yml"))
        return f"collections/{Path(entries[id_]['stacCollection']).name}"

    def changed(self, since: str, until: str) -> set[str]:
        return set(self.git("diff", "--name-only", since, until).splitlines())


def a_repository(site: Site) -> None:
    """Make the site's folder a repository of the sandbox's configuration, with one commit."""
    shutil.copytree(
        site.lake.config, site.folder, ignore=shutil.ignore_patterns("eodag.yml", "aws_config")
    )
    site.git("init", "--quiet", "--initial-branch", "main")
    site.git("config", "user.name", "Olga Operator")
    site.git("config", "user.email", "olga@example.org")
    site.git("add", ".")
    site.git("commit", "--quiet", "--message", "As it was")


@pytest.fixture
def site(data_lake: Sandbox, tmp_path: Path) -> Iterator[Site]:
    with own_configuration(data_lake, tmp_path) as lake:
        one = Site(lake, tmp_path / "repository")
        a_repository(one)
        yield one


def test_a_change_waits_on_its_branch_until_hda_serves_it_and_is_taken_back_likewise(
    site: Site,
) -> None:
    id_ = an_id()
    job = site.job(id_)
    plan = hda.plan(job)
    before = site.git("rev-parse", "HEAD")

    hda.apply(plan)
    waiting = hda.check(plan)

    assert waiting.verdict is Verdict.WAITING, waiting.summary
    assert BRANCH in waiting.waiting_for
    assert site.git("status", "--porcelain") == ""
    assert site.git("rev-parse", "HEAD") == before
    told = site.git("log", "--format=%an: %s, %(trailers:separator=)", f"main..{BRANCH}")
    assert told == f"Olga Operator: Publish {id_}, Promotion-Ticket: HDA-1"
    names = ("collections.yml", "providers/dedl_usergenerated.yml", site.document(id_))
    assert site.changed("main", BRANCH) == {f"deploy/hda/{name}" for name in names}
    assert hda.plan(job).actions == ()

    site.git("merge", "--quiet", "--squash", BRANCH)
    site.git("commit", "--quiet", "--message", "Merge it as one commit")
    site.deploy()
    passed = hda.check(plan)

    assert passed.verdict is Verdict.PASSED, passed.summary
    assert hda.plan(job).actions == ()

    tip = site.git("rev-parse", BRANCH)
    withdraw_hda.undo(job, withdraw_hda.look(job, ours=True, written=()))
    assert site.changed("main~1", BRANCH) == set()
    assert site.git("merge-base", tip, BRANCH) == tip
    site.git("merge", "--quiet", BRANCH)
    site.deploy()
    assert (site.folder / "collections.yml").read_bytes() == site.lake.collections.read_bytes()
    assert site.lake.served(id_).status_code == 404


def test_a_restricted_change_that_nobody_can_see_waits_until_it_is_merged(site: Site) -> None:
    settings = {"check": ["true"], "internal_url": None}
    plan = hda.plan(site.job(an_id(), roles=[ROLE], hda=settings))
    hda.apply(plan)

    waiting = hda.check(plan)
    site.git("merge", "--quiet", BRANCH)

    assert waiting.verdict is Verdict.WAITING
    assert hda.check(plan).verdict is Verdict.PASSED


def test_a_later_change_of_the_same_ticket_goes_on_the_same_branch(site: Site) -> None:
    id_ = an_id()
    hda.apply(hda.plan(site.job(id_, hda={"check": ["true"]})))

    again = site.job(id_, title="Another", mode="replace", hda={"check": ["true"]})
    hda.apply(hda.plan(again))

    assert site.git("rev-list", "--count", f"main..{BRANCH}") == "2"
    assert "Another" in site.git("show", f"{BRANCH}:deploy/hda/collections.yml")


def test_a_merged_branch_is_used_again_and_what_came_meanwhile_stays(site: Site) -> None:
    hda.apply(hda.plan(site.job(an_id(), hda={"check": ["true"]})))
    site.git("merge", "--quiet", BRANCH)
    site.commit("deploy/hda/readme.txt", "of others")
    other = an_id()

    hda.apply(hda.plan(site.job(other, hda={"check": ["true"]})))

    assert "deploy/hda/readme.txt" not in site.changed("main", BRANCH)
    assert f"deploy/hda/{site.document(other)}" in site.changed("main", BRANCH)


def _edit(site: Site) -> None:
    file = site.folder / "collections.yml"
    file.write_text(file.read_text() + "# by hand\n")


def _check_out(site: Site) -> None:
    site.git("checkout", "--quiet", "-b", BRANCH)


def _no_repository(site: Site) -> None:
    shutil.rmtree(site.root / ".git")


def _nothing_committed(site: Site) -> None:
    shutil.rmtree(site.root / ".git")
    site.git("init", "--quiet")


def _not_committed(site: Site) -> None:
    site.git("rm", "--quiet", "--cached", "deploy/hda/providers/dedl_usergenerated.yml")
    site.git("commit", "--quiet", "--message", "Take it out")
    (site.folder / "providers" / "dedl_usergenerated.yml").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_edit, "changes that aren't committed: deploy/hda/collections.yml"),
        (_check_out, f"the branch {BRANCH} itself is checked out"),
        (_no_repository, "not a git repository"),
        (_nothing_committed, "has no commit yet"),
        (_not_committed, "providers/dedl_usergenerated.yml isn't in commit"),
    ],
)
def test_says_what_is_wrong_with_the_repository(
    site: Site, spoil: Callable[[Site], None], said: str
) -> None:
    spoil(site)

    with pytest.raises(InputError, match=said) as error:
        hda.plan(site.job(an_id()))

    assert str(site.folder) in error.value.where
    assert error.value.remedy


def test_a_machine_without_git_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(InputError, match="git isn't installed"):
        hda.plan(site.job(an_id()))


def test_a_branch_with_other_content_stays_as_it_is(site: Site) -> None:
    site.git("checkout", "--quiet", "-b", BRANCH)
    site.commit("deploy/hda/collections.yml", "EO.SOMEBODY.ELSE: {title: Else}\n")
    site.git("checkout", "--quiet", "main")
    tip = site.git("rev-parse", BRANCH)

    with pytest.raises(ConflictError, match=f"the branch {BRANCH} exists, with other content"):
        hda.plan(site.job(an_id()))

    assert site.git("rev-parse", BRANCH) == tip


@pytest.mark.parametrize("how", ["committed", "not committed", "the branch"])
def test_what_somebody_changed_since_the_plan_stays(site: Site, how: str) -> None:
    plan = hda.plan(site.job(an_id(), hda={"check": ["true"]}))
    if how == "the branch":
        site.git("checkout", "--quiet", "-b", BRANCH)
    _edit(site)
    if how != "not committed":
        site.git("commit", "--quiet", "--all", "--message", "By hand")
    if how == "the branch":
        site.git("checkout", "--quiet", "main")
    refs = site.git("show-ref")

    with pytest.raises(
        (ConflictError, InputError), match="changed by somebody|aren't committed|By hand"
    ):
        hda.apply(plan)

    assert site.git("show-ref") == refs


def test_who_has_no_name_in_git_is_told_so_and_nothing_is_changed(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site.git("config", "user.useConfigOnly", "true")
    site.git("config", "--unset", "user.email")
    monkeypatch.setenv("HOME", str(tmp_path))
    plan = hda.plan(site.job(an_id(), hda={"check": ["true"]}))
    refs = site.git("show-ref")

    with pytest.raises(InputError, match="git commit-tree"):
        hda.apply(plan)

    assert site.git("show-ref") == refs
