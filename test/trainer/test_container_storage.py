"""The container's entry moves files: in which order, how often it tries, and what it refuses."""

import json
import os
import subprocess
import time

import boto3
import pytest
from botocore.stub import ANY, Stubber
from container_process import BUCKET

from container import fetch, folders
from container.attempt import persist
from container.failures import RefusedError, StorageError
from container.lease import age_of
from container.log import Log
from container.results import Results
from container.stage import explanation
from container.stop import Stop
from warm import COLD_PYTHON, ROOT


class Remote:
    """An output folder that notes what comes in which order and fails as often as it is told to."""

    uri = "memory://output"

    def __init__(self, *, failures=0, transient=True):
        self.files, self.order, self.failures, self.transient = {}, [], failures, transient

    def upload(self, file, path):
        self.write(path, file.read_bytes())

    def write(self, path, data):
        if self.failures > 0:
            self.failures -= 1
            raise StorageError("cannot upload", transient=self.transient)
        self.files[path] = data
        self.order.append(path)

    def delete(self, paths):
        for path in paths:
            del self.files[path]


def results_in(tmp_path, remote):
    (tmp_path / "output").mkdir()
    (tmp_path / "links").mkdir()
    return Results(remote, tmp_path / "output", tmp_path / "links", print), tmp_path / "output"


def test_a_checkpoint_comes_after_the_files_it_counts_on_and_half_a_file_does_not_come_at_all(tmp_path):
    remote = Remote()
    results, output = results_in(tmp_path, remote)

    def write(name, text, seconds):
        (output / name).write_text(text)
        os.utime(output / name, (seconds, seconds))

    write("shard-0", "zero", 100)
    write("checkpoint.pt", "1", 101)
    write("shard-1", "on", 102)
    results.sync(stage_ended=False)
    assert remote.order == ["shard-0", "checkpoint.pt"]
    write("shard-1", "one", 103)
    results.sync(stage_ended=False)
    assert remote.order == ["shard-0", "checkpoint.pt"]  # changed since the last call
    results.sync(stage_ended=False)
    assert remote.order == ["shard-0", "checkpoint.pt", "shard-1"]
    write("shard-2", "two", 104)
    (output / "new.tmp").write_text("2")
    os.utime(output / "new.tmp", (105, 105))
    os.replace(output / "new.tmp", output / "checkpoint.pt")
    results.sync(stage_ended=False)
    results.sync(stage_ended=False)
    assert remote.order[3:] == ["shard-2", "checkpoint.pt"]
    assert remote.files == {"shard-0": b"zero", "shard-1": b"one", "shard-2": b"two", "checkpoint.pt": b"2"}
    assert list((tmp_path / "links").iterdir()) == []


@pytest.mark.parametrize("transient", [True, False])
def test_a_result_that_only_this_machine_has_is_uploaded_again_and_again(tmp_path, transient):
    remote = Remote(failures=4, transient=transient)
    results, output = results_in(tmp_path, remote)
    (output / "result").write_text("hours of work")
    log = Log()
    persist(lambda: results.sync(stage_ended=True), Stop(110, log.info), log, pause=0.01)
    assert remote.files == {"result": b"hours of work"} and log.data().count(b"trying again") == 4
    stop = Stop(0.01, log.info)
    stop.requested_at = time.monotonic()
    (output / "result").write_text("more")
    remote.failures = 1
    with pytest.raises(StorageError):
        persist(lambda: results.sync(stage_ended=True), stop, log, pause=0.1)


def test_a_large_file_goes_up_in_parts_and_comes_down_the_same(bucket, tmp_path, monkeypatch):
    for name, value in bucket.env.items():
        monkeypatch.setenv(name, value)
    folders.client.cache_clear()
    folder = folders.open_folder(f"s3://{BUCKET}/large")
    data = os.urandom(1 << 20) * 65
    (tmp_path / "large").write_bytes(data)
    folder.upload(tmp_path / "large", "sub/large")
    assert bucket.s3.head_object(Bucket=BUCKET, Key="large/sub/large")["ETag"].endswith('-2"')
    counts = []
    folder.download("sub/large", tmp_path / "again", counts.append)
    assert (tmp_path / "again").read_bytes() == data and sum(counts) == len(data)
    folders.client.cache_clear()


def test_a_lease_whose_answer_is_lost_is_held_and_one_of_another_attempt_is_not(bucket, monkeypatch):
    for name, value in bucket.env.items():
        monkeypatch.setenv(name, value)
    folders.client.cache_clear()
    real = folders.client()
    folders.client.cache_clear()

    class Lossy:
        """The first answer of every put is lost, so that the SDK sends the same again."""

        def put_object(self, **request):
            real.put_object(**request)
            return real.put_object(**request)

        def __getattr__(self, name):
            return getattr(real, name)

    remote = folders.open_folder(f"s3://{BUCKET}/runs/lossy")
    monkeypatch.setattr(folders, "client", Lossy)
    first = remote.replace("lease.json", b"mine at 1", None)
    assert first is not None
    second = remote.replace("lease.json", b"mine at 2", first)
    assert second is not None and second != first
    assert remote.replace("lease.json", b"another's", first) is None
    assert remote.replace("lease.json", b"another's", None) is None
    assert remote.read_tagged("lease.json") == (b"mine at 2", second)


def test_a_role_that_may_list_only_folders_is_told_403_for_what_is_not_there(monkeypatch):
    s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    monkeypatch.setattr(folders, "client", lambda: s3)
    folder = folders.open_folder("s3://training/runs/a")
    with Stubber(s3) as stub:
        for found in ([], [{"Key": "runs/a/report.json.tmp", "Size": 1}]):
            stub.add_client_error("get_object", "AccessDenied", http_status_code=403)
            stub.add_response(
                "list_objects_v2", {"Contents": found}, {"Bucket": ANY, "Prefix": "runs/a/report.json", "MaxKeys": 1}
            )
            assert folder.read("report.json") is None
        stub.add_client_error("get_object", "AccessDenied", http_status_code=403)
        stub.add_response("list_objects_v2", {"Contents": [{"Key": "runs/a/report.json", "Size": 1}]})
        with pytest.raises(StorageError, match="role lacks a permission") as refused:
            folder.read("report.json")
    assert not refused.value.transient


def test_a_disk_that_is_too_small_is_said_before_anything_is_downloaded(tmp_path):
    remote = folders.open_folder(str(tmp_path))
    wanted = fetch.Fetch(remote, "all", 1 << 49, None, tmp_path / "all", "index.json")
    with pytest.raises(RefusedError, match=r"563 TB to download .* larger volume"):
        fetch.fetch_all("data", [wanted], tmp_path, print)


def test_an_index_that_does_not_say_what_it_must_is_refused_with_the_place(tmp_path):
    (tmp_path / "index.json").write_text('{"files": [{"path": "rows.json", "size": 9}]}')
    with pytest.raises(
        RefusedError, match=r"index\.json is refused: DataIndex, \$\.files\[0\]: .*digest.*upload again"
    ):
        fetch.fetches_of_input("data", str(tmp_path), tmp_path / "data")


@pytest.mark.parametrize("document", [b"half", b"\xff", b"{}", b'{"holder": "a", "renewed_at": "noon"}'])
def test_a_lease_that_cannot_be_read_counts_as_run_out(document):
    assert age_of(document) == float("inf")
    assert age_of(json.dumps({"holder": "a", "renewed_at": time.time() - 5}).encode()) == pytest.approx(5, abs=1)


@pytest.mark.parametrize("path", ["../up", "/root", "a/../../b", "", "a\\b"])
def test_a_path_that_leaves_its_folder_is_refused(path):
    with pytest.raises(RefusedError):
        folders.safe_path(path, "index.json")


def test_requirements_are_pyprojects_own():
    def printed(group):
        script, project = ROOT / "trainer/container/requirements.py", ROOT / "trainer/pyproject.toml"
        done = subprocess.run([COLD_PYTHON, script, project, group], capture_output=True, text=True, check=True)
        return done.stdout.split()

    (torch,) = printed("torch")
    assert torch.startswith("torch==") and torch in printed("stages")
    assert any(line.startswith("boto3==") for line in printed("stages"))
    assert all("==" in line for group in ("torch", "stages", "weights") for line in printed(group))
    assert not {line.split("==")[0] for line in printed("stages") + printed("weights")} & {"pytest", "ruff"}


def test_a_stage_that_reads_texts_fetches_no_images(tmp_path):
    prepared = tmp_path / "prepare"
    names = ["pairs.train-00000.tar", "pairs.train-00000.jsonl", "pairs.dev-00001.tar", "pairs.dev-00001.jsonl", "plain.train-00001.jsonl", "groups.train.jsonl", "classes.json",
             "class_images.tar", "class_images.jsonl", "dropped.jsonl"]  # fmt: skip
    finished_run(prepared, "prepare", names)

    def fetched(parts):
        return {each.path for each in fetch.fetches_of_input("prepare", f"file://{prepared}", tmp_path, parts)}

    assert fetched(["plain.train", "classes"]) == {"report.json", "plain.train-00001.jsonl", "classes.json"}
    rows = {name for name in names if name.startswith("pairs.") and name.endswith(".jsonl")}
    assert fetched(["pairs"]) == {"report.json", *rows}
    assert fetched(["pairs", "images.dev"]) == {"report.json", *rows, "pairs.dev-00001.tar"}
    assert fetched(["class_images"]) == {"report.json", "class_images.jsonl", "class_images.tar"}
    assert fetched(None) == {"report.json", *names}


def test_a_stage_that_reads_some_sets_of_texts_fetches_no_others(tmp_path):
    embedded = tmp_path / "embed_captions"
    names = ["captions.prompts.jsonl", "features.prompts.safetensors", "captions.pairs.train.jsonl", "captions.pairs.dev.jsonl",
             "pairs.train/features.json", "pairs.train/features-00000.safetensors", "pairs.dev/features.json",
             "captions.groups.train.jsonl", "features.groups.train.safetensors"]  # fmt: skip
    finished_run(embedded, "embed_captions", [*names, "job.json", "log.txt"])

    def fetched(parts):
        return {each.path for each in fetch.fetches_of_input("embed_captions", f"file://{embedded}", tmp_path, parts)}

    always = {"report.json", "job.json"}  # job.json says who the teachers were
    assert fetched(["captions.prompts", "features.prompts"]) == {*always, *names[:2]}
    assert fetched(["captions.pairs.train"]) == {*always, names[2]}
    assert fetched(["features.pairs.train"]) == {*always, names[4], names[5]}
    assert fetched(["features.groups.train"]) == {*always, names[8]}
    assert fetched(None) == {*always, *names}


def finished_run(folder, stage, names):
    """A folder with these files and a report."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    report = {"id": stage, "stage": stage, "status": "succeeded", "started_at": "2026-01-01T00:00:00.000Z",
              "seconds": 1, "device": "cpu", "metrics": {}, "notes": [], "artefacts": {}}  # fmt: skip
    (folder / "report.json").write_text(json.dumps(report))


@pytest.mark.parametrize(
    ("returncode", "said"),
    [
        (-9, "most likely for memory"),
        # Of one process of several, as engine.launch ends then.
        (137, "most likely for memory"),
        (-7, "most likely because the disk is full"),
        (139, "was ended by SIGSEGV"),
        (3, "the stage ended with 3; the lines above say why"),
    ],
)
def test_the_end_of_a_stage_is_told_as_what_it_was(returncode, said):
    assert said in explanation(returncode)
