"""The hda step pushes its change to a real repository whose server answers as GitLab does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.base.errors import ConflictError, InputError, ServiceError
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.steps import hda
from dedl_workbook.steps.withdraw import hda as withdraw_hda

from tests.integration.hda_lake import an_id, own_configuration
from tests.integration.test_hda_branch import BRANCH, Site, a_repository

URL = "https://gitlab.example.int/dedl/hda/-/merge_requests/17"
# As GitLab's hooks do: they see the push options, and speak by the server's side band.
_HOOK = f"""#!/bin/sh
for n in $(seq 0 $((GIT_PUSH_OPTION_COUNT - 1))); do
    eval "echo \\"\\$GIT_PUSH_OPTION_$n\\"" >> {{log}}
done
if [ -e {{refusal}} ]; then cat {{refusal}} >&2; exit 1; fi
echo >&2
echo "View merge request for {BRANCH}:" >&2
echo "  {URL}" >&2
echo >&2
"""


class Remote(Site):
    """A clone of HDA's configuration, and the bare repository that it came from."""

    @property
    def bare(self) -> Path:
        return self.root.with_name("server.git")

    @property
    def options(self) -> list[str]:
        log = self.root.with_name("options")
        return log.read_text().splitlines() if log.exists() else []

    def refuse(self, text: str) -> None:
        refusal = self.root.with_name("refusal")
        refusal.write_text(text) if text else refusal.unlink()

    def on_server(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.bare, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def pushed(self, id_: str, **more: Any) -> Job:
        git = {"remote": "origin", "target_branch": "main", "push": True, "merge_request": True}
        settings = {"check": ["true"], "git": git | more.pop("git", {})}
        return self.job(id_, hda=settings, **more)

    def merge(self) -> None:
        """Merge the ticket's branch as GitLab does, and delete it; the clone knows nothing."""
        other = self.root.with_name("other")
        subprocess.run(["git", "clone", "--quiet", self.bare, other], check=True)
        for command in (
            ["config", "user.name", "A Reviewer"],
            ["config", "user.email", "reviewer@example.org"],
            ["merge", "--quiet", "--no-ff", "--message", "Merge", f"origin/{BRANCH}"],
            ["push", "--quiet", "origin", "main", f":{BRANCH}"],
        ):
            subprocess.run(["git", *command], cwd=other, check=True, capture_output=True)

    def commit_on_server(self, name: str, text: str) -> None:
        """Let somebody else change the branch that is deployed."""
        before = self.git("rev-parse", "HEAD")
        self.commit(name, text)
        self.git("push", "--quiet", "origin", "main")
        self.git("reset", "--quiet", "--hard", before)


@pytest.fixture
def site(data_lake: Sandbox, tmp_path: Path) -> Iterator[Remote]:
    with own_configuration(data_lake, tmp_path) as lake:
        one = Remote(lake, tmp_path / "repository")
        a_repository(one)
        subprocess.run(["git", "clone", "--quiet", "--bare", one.root, one.bare], check=True)
        one.on_server("config", "receive.advertisePushOptions", "true")
        hook = one.bare / "hooks" / "pre-receive"
        log, refusal = (tmp_path / name for name in ("options", "refusal"))
        hook.write_text(_HOOK.format(log=log, refusal=refusal))
        hook.chmod(0o755)
        one.git("remote", "add", "origin", str(one.bare))
        yield one


def test_a_change_is_pushed_as_a_merge_request_and_waits_until_it_is_merged_and_served(
    site: Remote,
) -> None:
    id_ = an_id()
    job = site.pushed(id_)
    plan = hda.plan(job)

    hda.apply(plan)
    waiting = hda.check(plan)

    assert waiting.verdict is Verdict.WAITING, waiting.summary
    assert waiting.waiting_for == f"{URL} to be merged and rolled out: not merged"
    assert waiting.detail["merge_request"] == URL
    assert site.options == [
        "merge_request.create",
        "merge_request.target=main",
        f"merge_request.title=HDA-1: Publish {id_}",
    ]
    assert site.on_server("log", "-1", "--format=%an", BRANCH) == "Olga Operator"
    assert site.git("branch", "--list", BRANCH) == ""
    assert hda.plan(job).actions == ()

    site.merge()
    merged = hda.check(plan)

    assert merged.verdict is Verdict.WAITING
    assert merged.waiting_for.endswith(f"{URL} is merged, not served")
    assert hda.plan(job).actions == ()

    site.git("pull", "--quiet", "origin", "main")
    site.deploy()
    assert hda.check(plan).verdict is Verdict.PASSED

    withdraw_hda.undo(job, withdraw_hda.look(job, ours=True, written=()))

    assert withdraw_hda.rollout(job) == f"{URL} to be merged and rolled out: not merged"
    assert site.options[-1] == f"merge_request.title=HDA-1: Withdraw {id_}"
    assert site.on_server("diff", "--name-only", "main~1", BRANCH) == ""


def test_a_push_that_the_server_refuses_changes_nothing_and_can_be_done_again(
    site: Remote,
) -> None:
    site.refuse("GitLab: You are not allowed to push code to this project.")
    job = site.pushed(an_id())
    plan = hda.plan(job)
    refs = site.git("show-ref")

    with pytest.raises(ServiceError, match="You are not allowed to push") as error:
        hda.apply(plan)

    assert "The commit" in error.value.remedy
    assert (site.git("show-ref"), site.on_server("branch", "--list", BRANCH)) == (refs, "")

    site.refuse("")
    hda.apply(hda.plan(job))
    assert hda.check(plan).waiting_for.startswith(URL)


def test_what_came_to_the_target_branch_meanwhile_stays(site: Remote) -> None:
    """The clone is behind: what counts is what the server has."""
    site.commit_on_server("deploy/hda/readme.txt", "of others")
    hda.apply(hda.plan(site.pushed(an_id())))

    changed = site.on_server("diff", "--name-only", "main", BRANCH).splitlines()

    assert "deploy/hda/readme.txt" not in changed
    assert "deploy/hda/collections.yml" in changed


def test_an_edit_on_the_target_branch_since_the_plan_is_told_and_nothing_is_pushed(
    site: Remote,
) -> None:
    plan = hda.plan(site.pushed(an_id()))
    text = (site.folder / "collections.yml").read_text()
    site.commit_on_server("deploy/hda/collections.yml", f"{text}# by hand\n")

    with pytest.raises(ConflictError, match="changed by somebody else"):
        hda.apply(plan)

    assert site.on_server("branch", "--list", BRANCH) == ""


def test_a_change_that_conflicts_by_now_is_made_anew_on_what_is_deployed(site: Remote) -> None:
    id_ = an_id()
    job = site.pushed(id_)
    hda.apply(hda.plan(job))
    text = (site.folder / "collections.yml").read_text()
    site.commit_on_server("deploy/hda/collections.yml", f"{text}EO.OTHERS: {{title: Others}}\n")

    plan = hda.plan(job)
    hda.apply(plan)

    entries = site.on_server("show", f"{BRANCH}:deploy/hda/collections.yml")
    assert "EO.OTHERS" in entries
    assert id_ in entries
    assert site.on_server("merge-base", "main", BRANCH) == site.on_server("rev-parse", "main")


def test_a_branch_that_somebody_else_pushed_to_is_left_alone(site: Remote) -> None:
    hda.apply(hda.plan(site.pushed(an_id())))
    site.git("fetch", "--quiet", "origin", BRANCH)
    site.git("checkout", "--quiet", "-b", "else", "FETCH_HEAD")
    site.commit("deploy/hda/readme.txt", "of others")
    site.git("push", "--quiet", "origin", f"else:{BRANCH}")
    site.git("checkout", "--quiet", "main")
    tip = site.on_server("rev-parse", BRANCH)

    with pytest.raises(ConflictError, match="exists, with other content"):
        hda.plan(site.pushed(an_id()))

    assert site.on_server("rev-parse", BRANCH) == tip


def test_hooks_of_the_site_can_refuse_a_commit(site: Remote) -> None:
    hook = site.root / ".git" / "hooks" / "commit-msg"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ngrep -q JIRA "$1" || { echo "no JIRA number" >&2; exit 1; }\n')
    hook.chmod(0o755)

    with pytest.raises(InputError, match="no JIRA number"):
        hda.apply(hda.plan(site.pushed(an_id())))

    assert site.on_server("branch", "--list", BRANCH) == ""


@pytest.mark.parametrize("where", ["environment", "target"])
def test_who_commits_may_stand_in_the_environment_or_the_target(
    site: Remote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    site.git("config", "--unset", "user.name")
    site.git("config", "--unset", "user.email")
    for name in [name for name in os.environ if name.startswith("GIT_") or name == "EMAIL"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    identity = {"user_name": "The Desk", "user_email": "desk@example.org"}
    if where == "environment":
        for role in ("AUTHOR", "COMMITTER"):
            monkeypatch.setenv(f"GIT_{role}_NAME", "Olga herself")
            monkeypatch.setenv(f"GIT_{role}_EMAIL", "olga@example.org")

    hda.apply(hda.plan(site.pushed(an_id(), git=identity)))

    author = site.on_server("log", "-1", "--format=%an", BRANCH)
    assert author == {"environment": "Olga herself", "target": "The Desk"}[where]


def test_a_target_branch_that_the_remote_lacks_is_named(site: Remote) -> None:
    with pytest.raises(InputError, match="origin has no branch master"):
        hda.plan(site.pushed(an_id(), git={"target_branch": "master"}))
