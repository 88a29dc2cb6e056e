"""The upload, on a real S3 server: what arrives is what was delivered, or nothing is."""

from __future__ import annotations

import hashlib
import http.server
import os
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.base.errors import ChangedError, ConflictError, InputError, ServiceError
from dedl_workbook.dataset import dataset
from dedl_workbook.dataset.dataset import File, Folder
from dedl_workbook.publication import metadata
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.services.pool import multipart, objects, reuse
from dedl_workbook.services.pool.listing import pool_of
from dedl_workbook.services.pool.manifest import Row, Todo, location
from dedl_workbook.services.pool.objects import Pool
from dedl_workbook.steps import upload
from dedl_workbook.steps.withdraw import pool as withdraw_pool

from tests import buckets
from tests.attacks import exchange
from tests.integration.shore import (
    ID,
    LARGE,
    PREFIX,
    SMALL,
    Shore,
    a_shore,
    failed,
    listening,
    noise,
    offer,
    published,
    run,
)


@pytest.fixture
def servers(data_lake: Sandbox) -> Sandbox:
    return data_lake


@pytest.fixture
def shore(servers: Sandbox, tmp_path: Path) -> Shore:
    return a_shore(servers, tmp_path, "http")


@pytest.fixture(params=["http", "https"])
def each_shore(servers: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Shore:
    return a_shore(servers, tmp_path, request.param)


@pytest.fixture
def proposal(shore: Shore) -> str:
    return buckets.made(shore.client, f"proposal-{uuid.uuid4().hex[:16]}")


def test_every_file_arrives_whole_and_labelled(each_shore: Shore):
    files = {**SMALL, "data/large.bin": noise(LARGE)}
    asset = {"href": "data/2024/a/x.tif", "type": "image/tiff; application=geotiff"}
    each_shore.deliver(files, {"I": {"assets": {"x": asset}}})
    plan, receipt, outcome = run(each_shore.job())
    assert plan.goal["files"] == len(files)
    assert plan.goal["bytes"] == sum(map(len, files.values()))
    assert [action.verb for action in plan.actions] == ["upload"]
    assert each_shore.objects() == published(files)
    assert receipt.done["uploaded"] == len(files)
    assert outcome.verdict is Verdict.PASSED, outcome
    head = each_shore.client.head_object(Bucket=each_shore.bucket, Key=PREFIX + "data/2024/a/x.tif")
    assert head["ContentType"] == asset["type"]
    assert "ContentEncoding" not in head
    assert head["Metadata"]["sha256"] == hashlib.sha256(b"x" * 1000).hexdigest()
    place = {"Bucket": each_shore.bucket, "Key": PREFIX + "data/large.bin"}
    tags = each_shore.client.get_object_tagging(**place)["TagSet"]
    sha256 = hashlib.sha256(files["data/large.bin"]).hexdigest()
    assert tags == [{"Key": "sha256", "Value": sha256}]


def test_the_plan_changes_nothing_and_is_empty_once_all_is_there(shore: Shore):
    shore.deliver(SMALL)
    first = upload.plan(shore.job())
    assert (first.actions[0].count, first.actions[0].size) == (5, sum(map(len, SMALL.values())))
    assert shore.objects() == {}
    assert not location(shore.job()).exists()
    upload.apply(first)
    again = upload.plan(shore.job())
    assert again.actions == ()
    assert again.digest == first.digest
    receipt = upload.apply(again)
    assert receipt.done["uploaded"] == receipt.done["compared"] == 0
    assert upload.check(again).verdict is Verdict.PASSED


def test_the_plan_of_a_changed_dataset_is_another_plan(shore: Shore):
    shore.deliver(SMALL)
    first = upload.plan(shore.job())
    (shore.dataset / "data/2024/more").write_bytes(b"more")
    assert upload.plan(shore.job()).digest != first.digest
    with pytest.raises(ChangedError, match="changed since it was planned"):
        upload.apply(first)
    assert shore.objects() == {}


def test_sha256sum_agrees_with_the_list_of_digests(shore: Shore):
    files = {**SMALL, "data/large.bin": noise(LARGE), "data/two\nlines": b"odd"}
    shore.deliver(files)
    run(shore.job())
    sums = shore.job().folder / upload.SUMS
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", sums], cwd=shore.dataset, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(": OK") == len(files)
    digests = upload.digests(shore.job())
    assert len(digests) == len(files)
    for path, data in files.items():
        assert digests[path] == (len(data), hashlib.sha256(data).hexdigest())
    assert digests.get("data/none") is None


def test_digests_before_an_upload_say_what_to_do(shore: Shore):
    shore.deliver(SMALL)
    with pytest.raises(InputError, match="nothing was uploaded yet"):
        upload.digests(shore.job())


def test_progress_ends_with_all_bytes(shore: Shore):
    shore.deliver({**SMALL, "data/large.bin": noise(LARGE)})
    told: list[tuple[Any, ...]] = []
    plan, _, _ = run(shore.job(tell=lambda *news: told.append(news)))
    size = plan.goal["bytes"]
    assert told[-1] == ("upload", size, size, "B", "6 of 6 files")
    assert [news[1] for news in told] == sorted(news[1] for news in told)


def test_an_object_with_other_content_is_a_conflict_and_stays(shore: Shore):
    shore.deliver(SMALL)
    shore.put(PREFIX + "data/2024/a.txt", b"of another size")
    with pytest.raises(ConflictError, match=r"data/2024/a\.txt.*(?s:.)*Withdraw"):
        upload.plan(shore.job())
    same_size = b"?" * len(SMALL["data/2024/a.txt"])
    shore.put(PREFIX + "data/2024/a.txt", same_size)
    plan = upload.plan(shore.job())
    assert {action.verb: action.count for action in plan.actions} == {"upload": 4, "compare": 1}
    with pytest.raises(ConflictError, match=r"data/2024/a\.txt"):
        upload.apply(plan)
    assert shore.objects()[PREFIX + "data/2024/a.txt"] == same_size


def test_an_object_that_appears_meanwhile_is_a_conflict_and_stays(shore: Shore):
    shore.deliver({"data/a": b"ours", "data/large.bin": noise(LARGE)})
    job = shore.job()
    pool = objects.Pool(shore.client, shore.bucket, PREFIX, job.dataset, copies=False)
    shore.put(PREFIX + "data/a", b"their")
    shore.put(PREFIX + "data/large.bin", b"their")
    listed = {file.path: file for file in job.dataset.files("data/")}
    small, large = (
        Todo(path, listed[path].size, listed[path].version, None, None)
        for path in ("data/a", "data/large.bin")
    )
    with pytest.raises(ConflictError, match="data/a"):
        objects.put(pool, small)
    with pytest.raises(ConflictError, match="data/large"):
        send_parts(pool, large)
    # Ceph ignores If-None-Match on completion.
    event = "before-parameter-build.s3.CompleteMultipartUpload"
    ignored = {event: lambda params, **_: params.pop("IfNoneMatch", None)}
    with (
        listening(pool.client, ignored),
        pytest.raises(ConflictError, match="data/large"),
    ):
        send_parts(pool, large)
    assert set(shore.objects().values()) == {b"their"}


def send_parts(pool: objects.Pool, todo: Todo) -> None:
    begun = multipart.begin(pool, todo)
    for start in objects.starts(todo.size):
        multipart.send(pool, multipart.read_part(pool, begun, start))


def test_foreign_objects_are_part_of_the_plan_and_left_alone(shore: Shore):
    shore.deliver(SMALL)
    without = upload.plan(shore.job())
    shore.put(PREFIX + "somebody.txt", b"theirs")
    with pytest.raises(ConflictError, match=r"somebody\.txt"):
        upload.apply(without)
    assert shore.objects() == {PREFIX + "somebody.txt": b"theirs"}
    plan = upload.plan(shore.job())
    assert plan.before["foreign_objects"] == 1
    assert plan.digest != without.digest
    upload.apply(plan)
    assert upload.check(plan).verdict is Verdict.PASSED
    assert shore.objects() == {**published(SMALL), PREFIX + "somebody.txt": b"theirs"}


def test_neighbours_of_the_prefix_are_not_looked_at(shore: Shore):
    shore.deliver(SMALL)
    shore.put(f"{ID}/DEDL-10/data/a", b"theirs")
    plan, _, outcome = run(shore.job())
    assert plan.before["foreign_objects"] == 0
    assert outcome.verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("name", "damage", "check"),
    [
        ("data/2024/a/x.tif", lambda data: data[:-1], "size and ETag"),
        ("data/2024/a/x.tif", lambda data: b"y" + data[1:], "size and ETag"),
        ("data/large.bin", lambda data: data[:-1] + b"?", "size and ETag"),
        ("data/2024/a/x.tif", lambda _: b"", "size and ETag"),
        ("data/2024/a/x.tif", None, "every file is there"),
        ("data/more", lambda _: b"more", "nothing else is there"),
    ],
)
def test_check_finds_a_damaged_missing_or_added_object_by_its_key(
    shore: Shore, name: str, damage: Callable[[bytes], bytes] | None, check: str
):
    files = {**SMALL, "data/large.bin": noise(LARGE)}
    shore.deliver(files)
    plan, _, _ = run(shore.job())
    if damage is None:
        shore.client.delete_object(Bucket=shore.bucket, Key=PREFIX + name)
    else:
        shore.put(PREFIX + name, damage(files.get(name, b"")))
    outcome = upload.check(plan)
    assert outcome.verdict is Verdict.FAILED
    assert name in failed(outcome)[check]
    assert name in outcome.summary


def test_check_reads_content_and_does_not_trust_etags(
    shore: Shore, monkeypatch: pytest.MonkeyPatch
):
    shore.deliver({"data/a": b"12345"})
    plan, _, _ = run(shore.job())
    key = PREFIX + "data/a"
    shore.put(key, b"54321")
    etag = shore.client.head_object(Bucket=shore.bucket, Key=key)["ETag"].strip('"')
    forge(shore.job(), "data/a", etag)
    assert "data/a" in failed(upload.check(plan))["content"]


def forge(job: Job, path: str, etag: str) -> None:
    import sqlite3

    with sqlite3.connect(location(job)) as manifest:
        manifest.execute("update files set etag = ? where path = ?", (etag, path))
    manifest.close()


def test_check_without_an_upload_fails(shore: Shore):
    shore.deliver(SMALL)
    outcome = upload.check(upload.plan(shore.job()))
    assert {"every file is there", "whole", "content"} <= failed(outcome).keys()


def test_check_fails_when_the_dataset_was_changed_since(shore: Shore):
    shore.deliver(SMALL)
    plan, _, _ = run(shore.job())
    (shore.dataset / "data/2024/empty").write_bytes(b"no more")
    outcome = upload.check(plan)
    assert "dataset" in failed(outcome)


def test_a_lost_manifest_is_made_again_by_comparing_bytes(shore: Shore):
    shore.deliver({**SMALL, "data/large.bin": noise(LARGE)})
    run(shore.job())
    location(shore.job()).unlink()
    plan = upload.plan(shore.job())
    assert [(action.verb, action.count) for action in plan.actions] == [("compare", 6)]
    assert "upload finished" in failed(upload.check(plan))
    receipt = upload.apply(plan)
    assert (receipt.done["compared"], receipt.done["uploaded"]) == (6, 0)
    assert upload.check(plan).verdict is Verdict.PASSED
    assert upload.plan(shore.job()).actions == ()


def test_a_large_object_without_its_digest_gets_it_when_it_is_compared(shore: Shore):
    """As when the client was killed between the two."""
    data = noise(LARGE)
    shore.deliver({"data/large.bin": data})
    run(shore.job())
    place = {"Bucket": shore.bucket, "Key": PREFIX + "data/large.bin"}
    shore.client.delete_object_tagging(**place)
    location(shore.job()).unlink()

    run(shore.job())

    tags = shore.client.get_object_tagging(**place)["TagSet"]
    assert tags == [{"Key": "sha256", "Value": hashlib.sha256(data).hexdigest()}]


def test_a_touched_file_is_compared_and_kept(shore: Shore):
    shore.deliver(SMALL)
    run(shore.job())
    os.utime(shore.dataset / "data/2024/a.txt", ns=(1, 1))
    plan, receipt, outcome = run(shore.job())
    assert [(action.verb, action.count) for action in plan.actions] == [("compare", 1)]
    assert receipt.done["compared"] == 1
    assert outcome.verdict is Verdict.PASSED


def test_an_object_in_parts_of_another_size_is_read_to_be_compared(shore: Shore):
    data = noise(LARGE)
    shore.deliver({"data/large.bin": data})
    shore.client.upload_file(
        str(shore.dataset / "data/large.bin"), shore.bucket, PREFIX + "data/large.bin"
    )
    _, receipt, outcome = run(shore.job())
    assert receipt.done["compared"] == 1
    assert outcome.verdict is Verdict.PASSED


def test_a_damaged_manifest_is_named_with_the_remedy(shore: Shore):
    shore.deliver(SMALL)
    run(shore.job())
    location(shore.job()).write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match=r"upload\.sqlite(?s:.)*Delete it"):
        upload.plan(shore.job())


def test_a_manifest_of_another_bucket_is_not_believed(shore: Shore, proposal: str):
    shore.deliver(SMALL)
    run(shore.job())
    plan = upload.plan(shore.job(bucket=proposal))
    assert [(action.verb, action.count) for action in plan.actions] == [("upload", len(SMALL))]
    upload.apply(plan)
    assert upload.check(plan).verdict is Verdict.PASSED
    assert [action.verb for action in upload.plan(shore.job()).actions] == ["compare"]


def change(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(path, ns=(7, 7))


def swap(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[::-1])
    other.replace(path)


def truncate(path: Path) -> None:
    os.truncate(path, 3)


@pytest.mark.parametrize("spoil", [change, swap, truncate, Path.unlink])
@pytest.mark.parametrize("size", [1000, LARGE])
def test_a_file_that_changes_while_it_is_read_is_refused_and_nothing_of_it_stays(
    shore: Shore, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None], size: int
):
    shore.deliver({"data/x": noise(size)})
    plan = upload.plan(shore.job())
    path, done = shore.dataset / "data/x", []

    def pread(handle: int, length: int, start: int) -> bytes:
        data = os.pread(handle, length, start)
        is_it = Path(f"/proc/self/fd/{handle}").readlink() == path
        if is_it and not done and start + length >= min(size, LARGE // 2):
            done.append(spoil(path))
        return data

    monkeypatch.setattr(dataset, "_pread", pread)
    with pytest.raises(ChangedError, match=r"data/x.*since it was validated"):
        upload.apply(plan)
    assert done
    assert shore.objects() == {}
    assert shore.open_uploads() == []


def by_its_name(folder: Folder, file: File, start: int, length: int) -> bytes:
    """Read a file as it was read before there were handles: the control of an attack."""
    with (folder.root / file.path).open("rb") as opened:
        opened.seek(start)
        return opened.read(length)


@pytest.mark.parametrize("guarded", [True, False])
def test_a_folder_exchanged_for_a_link_puts_nothing_of_anothers_into_the_pool(
    shore: Shore, monkeypatch: pytest.MonkeyPatch, guarded: bool
):
    shore.deliver({"data/2024/x.tif": b"delivered"})
    private, link = shore.folder / "private", shore.folder / "link"
    private.mkdir()
    (private / "x.tif").write_bytes(b"another's")
    link.symlink_to(private)
    plan = upload.plan(shore.job())
    read, exchanged = Folder.read_state if guarded else by_its_name, []

    def attacked(folder: Folder, file: File, start: int, length: int) -> bytes:
        if not exchanged:
            exchanged.append(exchange(shore.dataset / "data/2024", link))
            # A handle from before would lead to what was delivered.
            vars(folder).pop("_handles", None)
        return read(folder, file, start, length)

    monkeypatch.setattr(Folder, "read_state", attacked)
    with pytest.raises(ChangedError) if guarded else nullcontext():
        upload.apply(plan)

    assert exchanged
    assert (b"another's" in shore.objects().values()) is not guarded


@pytest.mark.parametrize("guarded", [True, False])
def test_other_bytes_with_the_time_set_back_are_not_published_under_the_plan_of_the_first(
    shore: Shore, monkeypatch: pytest.MonkeyPatch, guarded: bool
):
    if not guarded:
        monkeypatch.setattr(Folder, "_version", lambda _, status: str(status.st_mtime_ns))
    shore.deliver({"data/2024/x.tif": b"delivered"})
    plan = upload.plan(shore.job())
    path = shore.dataset / "data/2024/x.tif"
    before = path.stat()
    path.write_bytes(b"forged!!!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    if guarded:
        with pytest.raises(ChangedError, match="changed since it was planned"):
            upload.apply(plan)
        assert shore.objects() == {}
    else:
        upload.apply(plan)
        assert shore.objects()[f"{PREFIX}data/2024/x.tif"] == b"forged!!!"


def test_links_and_unusable_names_are_refused_before_anything_is_written(shore: Shore):
    shore.deliver(SMALL)
    (shore.dataset / "data/link").symlink_to("2024/a.txt")
    with pytest.raises(InputError, match="data/link: is no regular file"):
        upload.plan(shore.job())
    (shore.dataset / "data/link").unlink()
    Path(os.fsdecode(os.fsencode(shore.dataset) + b"/data/\xff")).write_bytes(b"x")
    with pytest.raises(InputError, match="isn't UTF-8"):
        upload.plan(shore.job())


def test_a_dataset_without_data_is_refused(shore: Shore):
    shore.deliver({})
    with pytest.raises(InputError, match="holds no files"):
        upload.plan(shore.job())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"access_key": "nobody"}, "access key"),
        ({"secret_key": "wrong"}, "secret key"),
        ({"bucket": "no-such-bucket-here"}, "no such bucket"),
        ({"endpoint": "http://127.0.0.1:9"}, "Run the same again"),
    ],
)
def test_what_stops_an_upload_is_said_with_its_remedy(
    shore: Shore, changes: dict[str, str], says: str
):
    shore.deliver(SMALL)
    with pytest.raises(ServiceError) as caught:
        upload.plan(shore.job(**changes))
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2, "what is wrong, and what to do"


def test_an_untrusted_certificate_is_said_with_its_remedy(servers: Sandbox, tmp_path: Path):
    shore = a_shore(servers, tmp_path, "https")
    shore.deliver(SMALL)
    with pytest.raises(ServiceError, match="ca_bundle") as caught:
        upload.plan(shore.job(ca_bundle=None))
    assert len(str(caught.value).splitlines()) == 2


@pytest.fixture
def damaging() -> Iterator[tuple[str, type[_Damaging]]]:
    class Handler(_Damaging):
        stored: dict[str, tuple[bytes, dict[str, str]]] = {}
        how = ""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", Handler
    server.shutdown()
    server.server_close()


class _Damaging(http.server.BaseHTTPRequestHandler):
    """As much of an S3 server as the probe needs, with the faults that real ones had."""

    protocol_version = "HTTP/1.1"
    stored: dict[str, tuple[bytes, dict[str, str]]]
    how: str

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        if "100-continue" in self.headers.get("Expect", ""):
            self.send_response_only(100)
            self.end_headers()
        data = self.rfile.read(int(self.headers["Content-Length"]))
        kept = {key: value for key, value in self.headers.items() if "x-amz-meta" in key.lower()}
        kept["Content_Type"] = self.headers["Content-Type"]
        etag = hashlib.md5(data).hexdigest()
        if self.how == "trailer":
            data += b"\r\nx-amz-checksum-crc32:AAAAAA==\r\n"
        elif self.how == "flip":
            data = data[:-1] + bytes([data[-1] ^ 1])
        elif self.how == "encoding":
            kept["Content_Encoding"] = "aws-chunked"
        elif self.how == "type":
            kept["Content_Type"] = "application/octet-stream"
        elif self.how == "metadata":
            kept = {"Content_Type": kept["Content_Type"]}
        elif self.how == "etag":
            etag = "0" * 32
        self.stored[self.path] = data, kept
        self._answer(200, ETag=f'"{etag}"')

    def do_GET(self) -> None:
        if self.path in self.stored:
            data, headers = self.stored[self.path]
            self._answer(200, data, **headers)
        else:
            kind = "ListBucketResult" if "list-type" in self.path else "ListMultipartUploadsResult"
            self._answer(200, f"<{kind}><IsTruncated>false</IsTruncated></{kind}>".encode())

    def do_DELETE(self) -> None:
        self.stored.pop(self.path, None)
        self._answer(204)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("trailer", "bytes were read back"),
        ("flip", "bytes were read back"),
        ("encoding", "aws-chunked"),
        ("type", "media type"),
        ("metadata", "metadata"),
        ("etag", "ETag"),
    ],
)
def test_a_store_that_damages_or_mislabels_objects_gets_none(
    shore: Shore, damaging: tuple[str, type[_Damaging]], how: str, says: str
):
    shore.deliver(SMALL)
    endpoint, handler = damaging
    handler.how = how
    plan = upload.plan(shore.job(endpoint=endpoint))
    with pytest.raises(ServiceError, match=says):
        upload.apply(plan)
    assert handler.stored == {}


def test_the_probe_accepts_a_store_that_keeps_what_it_is_given(
    shore: Shore, damaging: tuple[str, type[_Damaging]]
):
    shore.deliver({"data/a": b"1"})
    endpoint, handler = damaging
    upload.apply(upload.plan(shore.job(endpoint=endpoint)))
    assert [data for data, _ in handler.stored.values()] == [b"1"]


def test_leftovers_of_a_cut_off_upload_are_removed(shore: Shore):
    shore.deliver(SMALL)
    run(shore.job())
    shore.client.create_multipart_upload(Bucket=shore.bucket, Key=PREFIX + "data/2024/gone")
    shore.put(PREFIX + ".probe-1", b"left over")
    plan = upload.plan(shore.job())
    assert [(action.verb, action.count) for action in plan.actions] == [("remove", 2)]
    assert plan.before["foreign_objects"] == 0
    assert "nothing else is there" in failed(upload.check(plan))
    upload.apply(plan)
    assert shore.open_uploads() == []
    assert upload.check(plan).verdict is Verdict.PASSED


@pytest.mark.parametrize("endpoint", ["same", "another"])
def test_a_dataset_in_a_bucket_is_published_whole(shore: Shore, proposal: str, endpoint: str):
    files = {**SMALL, "data/large.bin": noise(LARGE)}
    where = offer(shore, proposal, files)
    other = replace(shore, scheme="https").settings()
    del other["bucket"]
    job = shore.job(dataset=where, proposals=other if endpoint == "another" else None)
    _, _, outcome = run(job)
    assert outcome.verdict is Verdict.PASSED, outcome
    assert shore.objects() == published(files)
    digests = upload.digests(job)
    assert digests["data/large.bin"] == (LARGE, hashlib.sha256(noise(LARGE)).hexdigest())
    assert upload.plan(job).actions == ()


@pytest.mark.parametrize("size", [1000, LARGE])
def test_an_object_that_changed_since_it_was_listed_is_refused(
    shore: Shore, proposal: str, size: int
):
    where = offer(shore, proposal, {"data/x": noise(size)})
    job = shore.job(dataset=where)
    file = job.dataset.stat("data/x")
    assert file is not None
    shore.client.put_object(Bucket=proposal, Key=f"{ID}/data/x", Body=noise(size, 1))
    pool = pool_of(job)
    todo = Todo("data/x", size, file.version, None, None)
    with pytest.raises(ChangedError, match="data/x"):
        objects.put(pool, todo) if size < LARGE else send_parts(pool, todo)
    assert shore.objects() == {}


def test_a_file_that_was_mended_after_its_upload_is_the_next_edition_and_the_rest_is_reused(
    shore: Shore, monkeypatch: pytest.MonkeyPatch
):
    shore.deliver(SMALL)
    run(shore.job())
    before = shore.objects()
    shore.deliver({"data/2024/a/x.tif": b"y" * 1000})
    hashed, read = reuse._hashed, []

    def noted(pool: Pool, todo: Todo) -> Row:
        read.append(todo.path)
        return hashed(pool, todo)

    monkeypatch.setattr(reuse, "_hashed", noted)
    plan, receipt, outcome = run(shore.job())
    # What is as it was uploaded is known already.
    assert read == ["data/2024/a/x.tif"]
    assert plan.goal["prefix"] == f"{PREFIX}2/"
    assert (receipt.done["uploaded"], receipt.done["reused"]) == (1, len(SMALL) - 1)
    assert outcome.verdict is Verdict.PASSED, outcome
    assert shore.objects() == before | {f"{PREFIX}2/data/2024/a/x.tif": b"y" * 1000}
    # The addresses lead to the new bytes, and to nothing that an edition of this ticket lacks.
    job = shore.job()
    assert metadata.href(job, "data/2024/a/x.tif").endswith("/DEDL-1/2/data/2024/a/x.tif")
    assert metadata.href(job, "data/2024/a.txt").endswith("/DEDL-1/data/2024/a.txt")
    again, receipt, outcome = run(shore.job())
    assert (again.actions, again.digest, receipt.done["uploaded"]) == ((), plan.digest, 0)
    assert outcome.verdict is Verdict.PASSED
    withdraw_pool.undo(shore.job(), referred=lambda: False)
    assert shore.objects() == {}
    assert upload.plan(shore.job()).goal["prefix"] == PREFIX


def test_a_file_that_was_touched_alone_begins_no_edition(shore: Shore):
    shore.deliver(SMALL)
    run(shore.job())
    os.utime(shore.dataset / "data/2024/a/x.tif", ns=(1, 1))
    plan, _, outcome = run(shore.job())
    assert plan.goal["prefix"] == PREFIX
    assert outcome.verdict is Verdict.PASSED
