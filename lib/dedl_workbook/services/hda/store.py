"""Where HDA's configuration is read and written: its folder, or the ticket's branch of it."""

from __future__ import annotations

from pathlib import Path

from dedl_workbook.parameters.target import Hda
from dedl_workbook.publication.job import Job
from dedl_workbook.services.hda import branch as hda_branch
from dedl_workbook.services.hda import files as hda_files
from dedl_workbook.services.hda.files import Changes, Files


def read(job: Job, hda: Hda) -> Files:
    """Return the configuration of the job's collection as it is.

    Raises:
        InputError: a file isn't there (but for the document), can't be read, or says nothing.
    """
    id_ = job.ticket.collection
    if hda.git is None:
        return hda_files.read_all(hda, id_)
    at = hda_branch.line(hda, hda.git, id_, hda_branch.name(job.ticket.ticket))
    return hda_branch.read_at(hda, id_, at.base)


def require_writable(job: Job, hda: Hda) -> None:
    """Refuse what could not be replaced.

    Raises:
        InputError: naming the folder.
    """
    if hda.git is None:
        document = hda_files.documents(hda) / job.ticket.collection
        hda_files.require_writable(hda_files.collections(hda), hda_files.provider(hda), document)


def apart(job: Job, hda: Hda) -> str:
    """Return the ticket's branch if it holds something that isn't merged, or nothing."""
    branch = hda_branch.name(job.ticket.ticket)
    if hda.git is None or not hda_branch.line(hda, hda.git, job.ticket.collection, branch).apart:
        return ""
    return branch


def write(job: Job, hda: Hda, files: Files, new: Files, verb: str) -> tuple[Changes, str]:
    """Write what differs, all or nothing; return it, and the URL of its merge request, if any.

    In a folder a document that isn't needed any more stays until it is removed as superseded.

    Args:
        job: whose collection it is.
        hda: the target's part.
        files: as they are.
        new: as they are to be.
        verb: what is done, for whoever reads the history.

    Raises:
        ConflictError: a file was changed meanwhile.
        InputError: a file can't be written.
    """
    id_, ticket = job.ticket.collection, job.ticket.ticket
    if hda.git is None:
        return hda_files.write_all(hda, id_, files, new), ""
    return hda_branch.write(hda, hda.git, id_, ticket, files, new, verb)


def superseded(job: Job, hda: Hda, files: Files) -> list[Path]:
    """Return documents of the job's collection that nothing names any more."""
    if hda.git is not None:
        return []
    return hda_files.superseded(hda, job.ticket.collection, files.collections)


def rollout(job: Job, hda: Hda, merge_request: str = "") -> str:
    """Return what has to happen until HDA serves what was written.

    Args:
        job: whose collection it is.
        hda: the target's part.
        merge_request: its URL, if one was opened.
    """
    if hda.git is None:
        return "the roll-out of HDA's configuration"
    branch = hda_branch.name(job.ticket.ticket)
    what = merge_request or f"the branch {branch} of HDA's configuration"
    line = hda_branch.line(hda, hda.git, job.ticket.collection, branch)
    if not line.apart:
        return f"the roll-out of HDA's configuration: {what} is merged, not served"
    todo = "merged" if hda.git.push else "pushed, merged"
    return f"{what} to be {todo} and rolled out: not merged"
