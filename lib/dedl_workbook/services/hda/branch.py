"""HDA's configuration in a git repository: a change is a commit on the ticket's own branch.

For sites that deploy from a repository. Files are read from commits and written as objects, so the
working tree and whoever works in it are left alone; the branch moves at once or not at all. With a
remote its branches count, not those of the clone; the site's hooks and signing are respected.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import ConflictError, InputError, ServiceError
from dedl_workbook.parameters.sections import HdaGit
from dedl_workbook.parameters.target import Hda
from dedl_workbook.services.hda import config as hda_config
from dedl_workbook.services.hda import files as hda_files
from dedl_workbook.services.hda.files import Changes, Files

_SECONDS = 60
_NONE = "0" * 40
_TRAILER = "Promotion-Ticket"
"""In the message of each commit of ours, with the ticket's id."""
_MERGE_REQUEST = re.compile(r"https?://\S+/merge_requests/\d+")
_INHERITED = re.compile(
    r"PATH|HOME|TMPDIR|XDG_CONFIG_HOME|GNUPGHOME|EMAIL|SSH_\w+|SSL_CERT_\w+|(?i:\w+_proxy)"
    r"|GIT_(AUTHOR|COMMITTER|CONFIG|SSH|SSL|ASKPASS|HTTP)\w*"
)
"""What git sees of our environment: who commits, and how the remote is reached."""


@dataclass(frozen=True)
class Line:
    """Where a ticket's branch stands towards what is deployed."""

    base: str
    """The commit whose files count."""
    parents: tuple[str, ...]
    """Of the next commit."""
    tip: str
    """Where the branch is; zeros: there is none."""
    apart: bool
    """Whether the branch holds something that isn't merged."""


def name(ticket: str) -> str:
    """Return the name of a ticket's branch."""
    return f"ticket/{ticket}"


def line(hda: Hda, git: HdaGit, id_: str, branch: str) -> Line:
    """Return from which commit a collection's files are read, and which come before the next.

    Raises:
        ConflictError: the branch holds commits that aren't ours.
        InputError: no git, no repository, nothing committed, changes that aren't committed, or the
            branch itself is checked out; the remote can't be read, or lacks the target branch.
    """
    head = _require_ready(hda, git, id_, branch)
    tip = _local_tip(hda, branch)
    if git.remote:
        head, remote_tip = _remote_tips(hda, git, branch)
        tip = remote_tip if git.push else tip
    if not tip:
        return Line(head, (head,), _NONE, apart=False)
    merged = _git(hda, "merge-base", tip, head, fails=True).decode().strip() == tip
    if merged:
        return Line(head, (head,), tip, apart=False)
    _require_ours(hda, branch, head, tip)
    if _parts(hda, id_, read_at(hda, id_, tip)) == _parts(hda, id_, read_at(hda, id_, head)):
        # Merged as another commit: what is checked out counts, and both are the past.
        return Line(head, (tip, head), tip, apart=False)
    if git.remote and _conflict(hda, head, tip):
        # Nobody could merge it any more: the change is made anew, on what is deployed by now.
        return Line(head, (tip, head), tip, apart=True)
    return Line(tip, (tip,), tip, apart=True)


def _local_tip(hda: Hda, branch: str) -> str:
    ref = _git(hda, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}", fails=True)
    return ref.decode().strip()


def _remote_tips(hda: Hda, git: HdaGit, branch: str) -> tuple[str, str]:
    """Return where the remote's target branch and the ticket's are, '' for none; fetch both."""
    names = (f"refs/heads/{git.target_branch}", f"refs/heads/{branch}")
    rows = _git(hda, "ls-remote", "--", git.remote, *names).decode().splitlines()
    tips = {name: tip for tip, _, name in (row.partition("\t") for row in rows)}
    if names[0] not in tips:
        raise InputError(
            f"{git.remote} has no branch {git.target_branch}",
            where=str(hda.folder),
            remedy="Set hda.git.target_branch in the target to the branch that is deployed.",
        )
    there = [name for name in names if name in tips]
    fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head")
    _git(hda, *fetch, "--", git.remote, *there)
    return tips[names[0]], tips.get(names[1], "")


def _conflict(hda: Hda, head: str, tip: str) -> bool:
    """Return whether two commits can't be merged without a person; an old git can't say."""
    return _run(hda, "merge-tree", "--write-tree", head, tip).returncode == 1


def _require_ours(hda: Hda, branch: str, head: str, tip: str) -> None:
    form = f"--format=%(trailers:key={_TRAILER},valueonly,separator=%x2C)%x09%h %s"
    commits = _git(hda, "log", "--no-merges", form, f"{head}..{tip}").decode(errors="replace")
    rows = [row.partition("\t") for row in commits.splitlines()]
    others = [commit for of, _, commit in rows if name(of) != branch]
    if others:
        raise ConflictError(
            f"the branch {branch} exists, with other content: {', '.join(others[:3])}",
            where=str(hda.folder),
            remedy="Find out whose it is; merge, rename or delete it, then plan again.",
        )


def _require_ready(hda: Hda, git: HdaGit, id_: str, branch: str) -> str:
    """Return the commit that is checked out."""
    head = _git(hda, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", fails=True)
    if not head:
        _git(hda, "rev-parse", "--show-toplevel")
        raise InputError(
            "the repository has no commit yet",
            where=str(hda.folder),
            remedy="Commit HDA's configuration as it is, then plan again.",
        )
    current = _git(hda, "symbolic-ref", "--quiet", "HEAD", fails=True)
    if not git.push and current == f"refs/heads/{branch}\n".encode():
        raise InputError(
            f"the branch {branch} itself is checked out",
            where=str(hda.folder),
            remedy="Check out the branch that is deployed, then plan again.",
        )
    ours = f":(glob){hda.documents_folder}/{id_}.{'?' * hda_files.DIGITS}.json"
    places = (hda.collections_file, hda.provider_file, ours)
    dirty = _git(hda, "status", "--porcelain", "--untracked-files=all", "--", *places).decode()
    if dirty:
        raise InputError(
            f"has changes that aren't committed: {', '.join(x[3:] for x in dirty.splitlines())}",
            where=str(hda.folder),
            remedy="Commit them, or put them away (git stash); then plan again.",
        )
    return head.decode().strip()


def read_at(hda: Hda, id_: str, commit: str) -> Files:
    """Return the configuration of a collection as it is in a commit.

    Raises:
        InputError: a file isn't there, but for the document, or says nothing.
    """
    contents = []
    for name in (hda.collections_file, hda.provider_file):
        data = _blob(hda, commit, name)
        if data is None:
            raise InputError(
                f"{name} isn't in commit {commit[:10]}",
                where=str(hda.folder),
                remedy="Commit HDA's configuration, or set its files' names in the target.",
            )
        contents.append(data)
    both = hda_files.parsed(hda, contents[0], contents[1], "")
    return hda_files.held(hda, id_, *both, lambda name: _blob(hda, commit, name))


def _blob(hda: Hda, commit: str, name: str) -> bytes | None:
    listed = _git(hda, "ls-tree", commit, "--", name)
    return _git(hda, "cat-file", "blob", f"{commit}:./{name}") if listed else None


def _parts(hda: Hda, id_: str, files: Files) -> tuple[Any, ...]:
    product = hda_config.products(files.provider, hda.provider).get(id_)
    return files.collections.values.get(id_), product, files.document


def write(
    hda: Hda, git: HdaGit, id_: str, ticket: str, files: Files, new: Files, verb: str
) -> tuple[Changes, str]:
    """Commit what differs to the ticket's branch, all or nothing, and push it as the target says.

    Returns:
        What differed, and the URL of the merge request, if one was opened.

    Raises:
        ConflictError: the files aren't any more what was planned on, or the branch moved meanwhile.
        InputError: git can't do it, or a hook of the site refuses the commit.
        ServiceError: the remote refuses the push; the branch stays as it was.
    """
    branch = name(ticket)
    at = line(hda, git, id_, branch)
    if read_at(hda, id_, at.base) != files:
        raise hda_files.changed_meanwhile(hda.folder)
    changes = hda_files.changes(hda, id_, files, new)
    if not changes:
        return {}, ""
    title = f"{verb} {id_}"
    tree, message = _tree(
        hda,
        at.base,
        {file: data for file, (_, data) in changes.items()},
        f"{title}\n\n{_TRAILER}: {ticket}\n",
    )
    before = [word for parent in at.parents for word in ("-p", parent)]
    signs = _git(hda, "config", "--get", "--type=bool", "commit.gpgsign", fails=True) == b"true\n"
    options = [*before, *(["-S"] if signs else []), "-F", "-"]
    made = _git(hda, "commit-tree", tree, *options, data=message, more=_identity(hda, git))
    commit = made.decode().strip()
    if git.push:
        return changes, _push(hda, git, branch, commit, at.tip, f"{ticket}: {title}")
    _move(hda, branch, commit, at.tip)
    return changes, ""


def _identity(hda: Hda, git: HdaGit) -> dict[str, str]:
    """Return who commits, where the target must say so."""
    known = {"EMAIL"} & os.environ.keys() or _git(hda, "config", "user.email", fails=True)
    if known or not git.user_email:
        return {}
    return {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", git.user_name), ("EMAIL", git.user_email))
        if f"GIT_{role}_{key}" not in os.environ
    }


def _push(hda: Hda, git: HdaGit, branch: str, commit: str, tip: str, title: str) -> str:
    """Push a commit as a branch that still is at its tip; return its merge request's URL, or ''."""
    ref = f"refs/heads/{branch}"
    asked = ["create", f"target={git.target_branch}", f"title={title}"] if git.merge_request else []
    options = [f"--push-option=merge_request.{option}" for option in asked]
    expected = f"--force-with-lease={ref}:{'' if tip == _NONE else tip}"
    done = _run(hda, "push", "--porcelain", expected, *options, git.remote, f"{commit}:{ref}")
    answer = done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace")
    if not done.returncode:
        match = _MERGE_REQUEST.search(answer)
        return match[0] if match else ""
    where, kept = git.remote, f"The commit {commit[:10]} is in the clone; nothing else was changed."
    if "stale info" in answer or "[rejected]" in answer:
        raise ConflictError(
            f"the branch {branch} was moved by somebody else meanwhile",
            where=where,
            remedy=f"{kept} Look who else is at it, then plan and run again.",
        )
    lines = [line.removeprefix("remote:").strip() for line in answer.splitlines()]
    remote = [line for line in lines if line and not line.startswith(("To ", "Done"))]
    raise ServiceError(
        f"{git.remote} refuses the branch {branch}: {'; '.join(remote)[:300] or 'it said nothing'}",
        where=where,
        remedy=f"{kept} Have the refusal's cause removed, then run again.",
    )


def _tree(hda: Hda, base: str, changed: dict[str, bytes | None], message: str) -> tuple[str, bytes]:
    """Return the tree with these files, and the message, as the site's hooks let them pass."""
    prefix = _git(hda, "rev-parse", "--show-prefix").decode().rstrip("\n")
    with tempfile.TemporaryDirectory(prefix="hda-index-") as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        text = Path(scratch) / "COMMIT_EDITMSG"
        text.write_text(message)
        _git(hda, "read-tree", base, more=index)
        rows = []
        for file, data in changed.items():
            if data is None:
                rows.append(f"0 {_NONE}\t{prefix}{file}")
                continue
            listed = _git(hda, "ls-tree", base, "--", file).decode()
            blob = _git(hda, "hash-object", "-w", "--no-filters", "--stdin", data=data).decode()
            rows.append(f"{listed[:6] or '100644'} {blob.strip()}\t{prefix}{file}")
        lines = "\0".join([*rows, ""]).encode()
        _git(hda, "update-index", "-z", "--index-info", data=lines, more=index)
        hook = ("hook", "run", "--ignore-missing")
        _git(hda, *hook, "pre-commit", more=index)
        _git(hda, *hook, "commit-msg", "--", str(text), more=index)
        return _git(hda, "write-tree", more=index).decode().strip(), text.read_bytes()


def _move(hda: Hda, branch: str, commit: str, tip: str) -> None:
    try:
        _git(hda, "update-ref", "-m", "dedl-workbook", f"refs/heads/{branch}", commit, tip)
    except InputError as error:
        raise ConflictError(
            f"the branch {branch} can't be moved: {error.what}",
            where=str(hda.folder),
            remedy="Nothing was changed. Look who else is at it, then plan and run again.",
        ) from error


def _git(
    hda: Hda,
    *arguments: str,
    data: bytes = b"",
    more: dict[str, str] | None = None,
    fails: bool = False,
) -> bytes:
    """Return what git answers; where it may fail, nothing."""
    done = _run(hda, *arguments, data=data, more=more)
    if done.returncode and not fails:
        lines = (done.stderr.decode(errors="replace").strip() or "it said nothing").splitlines()
        raise InputError(
            f"git {arguments[0]}: {lines[-1][:300]}",
            where=str(hda.folder),
            remedy="hda.folder must be a clone that the operator can write and commit to.",
        )
    return done.stdout if not done.returncode else b""


def _run(
    hda: Hda, *arguments: str, data: bytes = b"", more: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    inherited = {key: value for key, value in os.environ.items() if _INHERITED.fullmatch(key)}
    fixed = {"LC_ALL": "C.UTF-8", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=hda.folder,
            input=data,
            env=inherited | fixed | (more or {}),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        there = hda.folder.is_dir()
        raise InputError(
            "git isn't installed, and hda.git asks for it" if there else "there is no such folder",
            where=str(hda.folder),
            remedy="Install git." if there else "Set hda.folder in the target as it is.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"git did not end in {_SECONDS} s", where=str(hda.folder)) from error
