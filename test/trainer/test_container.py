"""The training image's entry as a process against an S3 server on this machine (moto): what is in the bucket afterwards,
in which order it came there, and how the process ended."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import time

from container_process import (
    BUCKET,
    CODE,
    environment,
    put_input,
    put_job,
    read_until_step,
    run,
    start,
    steps,
    wait_for,
)
from test_pipeline import draw_data

from contracts import load
from warm import COLD_PYTHON, ROOT, warm_python


def test_a_real_stage_from_the_users_data_to_a_report_put_last_and_once(bucket, tmp_path):
    draw_data_into = tmp_path / "data"
    draw_data_into.mkdir()
    draw_data(draw_data_into)
    bucket.put_folder("data/sha256/aa", draw_data_into)
    files = [
        {"path": file.relative_to(draw_data_into).as_posix(), "size": file.stat().st_size,
         "digest": f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"}
        for file in draw_data_into.rglob("*") if file.is_file()
    ]  # fmt: skip
    bucket.put("data/sha256/aa/index.json", json.dumps({"files": files}))
    bucket.put("data/sha256/aa/not-in-the-index.jsonl", "{}")
    # The planner's digests, as the image holds them.
    node = ROOT / "node_modules" / ".bin" / "node"
    printed = subprocess.run(
        [node, ROOT / "trainer/control/plan/code-digest.ts"], capture_output=True, text=True, check=True
    )
    (tmp_path / "code-digests.json").write_text(printed.stdout)
    code = json.loads(printed.stdout)["prepare"]
    put_job(bucket, "runs/real", "prepare", {"data": "data/sha256/aa"}, code)
    env = environment(bucket, tmp_path / "work", CODE_DIGESTS_FILE=str(tmp_path / "code-digests.json"))

    bucket.requests()
    code, out, errors = run("runs/real", env)
    requests = bucket.requests()
    assert code == 0, errors
    assert json.loads(out.splitlines()[-1])["event"] == "progress"
    report = load("TrainingReport", bucket.get("runs/real/report.json").decode())
    assert report["metrics"]["images.train"] == 24
    for artefact in report["artefacts"].values():
        data = bucket.get(f"runs/real/{artefact['path']}")
        assert artefact["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    # The lease comes and goes as time does.
    puts = [key for method, key in requests if method == "PUT" and not key.endswith("/lease.json")]
    assert puts[0] == "runs/real/log.txt" and puts[-1] == "runs/real/report.json"
    assert puts.count("runs/real/report.json") == 1 and "runs/real/job.json" not in puts
    assert ("GET", "data/sha256/aa/not-in-the-index.jsonl") not in requests
    assert bucket.names("runs/real") >= {"job.json", "log.txt", "shards.json", "pairs.train-00001.tar"}
    assert not any(name.startswith("checkpoint") for name in bucket.names("runs/real"))
    assert list((tmp_path / "work").iterdir()) == []

    bucket.requests()
    code, out, errors = run("runs/real", env)
    assert (code, out) == (0, "") and "nothing to do" in errors
    assert {method for method, _ in bucket.requests()} == {"GET"}


def test_sigterm_saves_a_checkpoint_and_the_next_attempt_goes_on_from_it(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-stop")
    put_job(bucket, "runs/stop", "mntp", {"prepare": "runs/prepare-stop"})
    slow = environment(bucket, tmp_path / "work", home, TOTAL="8", PACE="0.4", STOP_SECONDS="30")
    process = start("runs/stop", slow)
    read_until_step(process, 3)
    wait_for(lambda: "checkpoint.pt" in bucket.names("runs/stop"))  # while the stage runs
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    done = len(steps(tmp_path))
    assert 3 <= done < 8
    assert bucket.get("runs/stop/checkpoint.pt").decode() == str(done)
    names = bucket.names("runs/stop")
    assert names == {"job.json", "log.txt", "checkpoint.pt", "half.part", *(f"shard-{n}" for n in range(done))}

    code, _, errors = run("runs/stop", environment(bucket, tmp_path / "other machine", home, TOTAL="8"))
    assert code == 0, errors
    assert steps(tmp_path) == list(range(8))  # every step once, over both attempts
    assert bucket.names("runs/stop") == {
        "job.json",
        "log.txt",
        "report.json",
        "model/weights.bin",
        "model/tokenizer.json",
    }
    assert bucket.get("runs/stop/log.txt").decode().count("job mntp, stage mntp") == 2


def test_what_the_job_was_not_planned_for_is_refused(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-code")
    put_job(bucket, "runs/code", "mntp", {"prepare": "runs/prepare-code"})
    (tmp_path / "digests.json").write_text(json.dumps({"mntp": "sha256:" + "1" * 64}))
    env = environment(bucket, tmp_path / "work", home, CODE_DIGESTS_FILE=str(tmp_path / "digests.json"))
    code, out, errors = run("runs/code", env)
    assert (code, out) == (65, "")
    assert "push the image again" in errors and CODE in errors and "1" * 64 in errors
    assert bucket.names("runs/code") == {"job.json"}


def test_an_input_that_was_altered_or_is_not_finished_is_refused_by_name(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-altered")
    put_job(bucket, "runs/altered", "mntp", {"prepare": "runs/prepare-altered"})
    env = environment(bucket, tmp_path / "work", home)
    bucket.put("runs/prepare-altered/rows.json", b"[1, 2, 4]")
    code, _, errors = run("runs/altered", env)
    assert code == 65 and "runs/prepare-altered/rows.json" in errors and "altered" in errors
    bucket.put("runs/prepare-altered/rows.json", b"[1, 2]")
    code, _, errors = run("runs/altered", env)
    assert code == 65 and "rows.json has 6 bytes, report.json says 9" in errors
    bucket.s3.delete_object(Bucket=BUCKET, Key="runs/prepare-altered/report.json")
    code, _, errors = run("runs/altered", env)
    assert code == 65 and "the job that writes it has to run first" in errors
    assert not (tmp_path / "steps.txt").exists()


def test_a_failing_stage_ends_with_its_own_code_and_its_words_in_the_log(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-fail")
    put_job(bucket, "runs/fail", "mntp", {"prepare": "runs/prepare-fail"})
    code, _, errors = run("runs/fail", environment(bucket, tmp_path / "work", home, FAIL="1"))
    assert code == 3 and "the loss is not finite" in errors
    log = bucket.get("runs/fail/log.txt").decode()
    assert "the loss is not finite" in log and "the stage ended with 3" in log and '"progress"' not in log
    assert "report.json" not in bucket.names("runs/fail")


def test_two_attempts_at_one_job_do_it_once_and_the_second_waits_for_the_first(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-twice")
    put_job(bucket, "runs/twice", "mntp", {"prepare": "runs/prepare-twice"})
    env = environment(bucket, tmp_path / "work", home, TOTAL="24", PACE="0.3")
    first = start("runs/twice", env)
    read_until_step(first, 2)
    code, _, errors = run("runs/twice", env)
    assert code == 0 and "another attempt at this job is at work" in errors
    assert "finished by another attempt: nothing to do" in errors
    assert first.wait(60) == 0 and steps(tmp_path) == list(range(24))
    assert "report.json" in bucket.names("runs/twice") and "lease.json" not in bucket.names("runs/twice")


def test_an_attempt_that_lost_its_lease_ends_at_once_and_writes_no_more(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-lost")
    put_job(bucket, "runs/lost", "mntp", {"prepare": "runs/prepare-lost"})
    process = start("runs/lost", environment(bucket, tmp_path / "work", home, TOTAL="200", PACE="0.1"))
    read_until_step(process, 3)
    theirs = json.dumps({"holder": "another", "renewed_at": time.time() + 60})
    bucket.put("runs/lost/lease.json", theirs)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75 and "another attempt has taken over" in errors
    assert bucket.get("runs/lost/lease.json").decode() == theirs


def test_a_container_that_is_killed_leaves_nothing_that_counts_as_finished(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-kill")
    put_job(bucket, "runs/kill", "mntp", {"prepare": "runs/prepare-kill"})
    process = start("runs/kill", environment(bucket, tmp_path / "work", home, TOTAL="60", PACE="0.1"), COLD_PYTHON)
    stage = read_until_step(process, 2)
    wait_for(lambda: "checkpoint.pt" in bucket.names("runs/kill"))
    process.kill()
    os.killpg(stage, signal.SIGKILL)  # in a container everything ends with the first process
    process.communicate(timeout=60)
    assert "report.json" not in bucket.names("runs/kill")
    at = int(bucket.get("runs/kill/checkpoint.pt"))
    assert bucket.names("runs/kill") >= {f"shard-{number}" for number in range(at)}  # what it counts on came first

    code, _, errors = run("runs/kill", environment(bucket, tmp_path / "other machine", home, TOTAL="62"))
    assert code == 0, errors
    assert steps(tmp_path)[-1] == 61 and "report.json" in bucket.names("runs/kill")


def test_a_stage_that_does_not_stop_is_ended_before_the_machine_is_taken(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-deaf")
    put_job(bucket, "runs/deaf", "mntp", {"prepare": "runs/prepare-deaf"})
    env = environment(bucket, tmp_path / "work", home, TOTAL="100", PACE="0.2", DEAF="1", STOP_SECONDS="6")
    process = start("runs/deaf", env)
    read_until_step(process, 1)
    started = time.monotonic()
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 75 and time.monotonic() - started < 6, errors
    assert "is killed" in errors and "checkpoint.pt" in bucket.names("runs/deaf")


def test_a_stop_before_the_stage_has_started_is_obeyed_at_once(bucket, tmp_path, home):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the request and never answers
        env = environment(
            bucket, tmp_path / "work", home, AWS_ENDPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        process = start("runs/silent", env)
        connection, _ = silent.accept()
        started = time.monotonic()
        process.terminate()
        _, errors = process.communicate(timeout=60)
        connection.close()
    assert process.returncode == 75 and "nothing was lost" in errors and time.monotonic() - started < 5
    assert not (tmp_path / "steps.txt").exists()


def test_everything_works_with_folders_of_this_machine_too(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-local")
    put_job(bucket, "runs/local", "mntp", {"prepare": "runs/prepare-local"})
    job = json.loads(bucket.get("runs/local/job.json"))
    output, prepared = tmp_path / "out put", tmp_path / "prepare"
    output.mkdir()
    prepared.mkdir()
    for name in bucket.names("runs/prepare-local"):
        (prepared / name).write_bytes(bucket.get(f"runs/prepare-local/{name}"))
    job |= {"inputs": {"prepare": f"file://{prepared}"}, "output": f"file://{output}"}
    (output / "job.json").write_text(json.dumps(job))
    env = environment(bucket, tmp_path / "work", home, AWS_ENDPOINT_URL="http://127.0.0.1:1")
    for uri in (output / "job.json", f"file://{output}/job.json"):
        done = subprocess.run(
            [warm_python(), "-m", "container", uri], env=env, cwd=ROOT / "trainer", capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stderr
    names = {file.relative_to(output).as_posix() for file in output.rglob("*") if file.is_file()}
    assert names == {"job.json", "log.txt", "report.json", "model/weights.bin", "model/tokenizer.json"}


def test_no_storage_is_a_reason_to_try_again_and_no_job_is_not(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-away")
    put_job(bucket, "runs/away", "mntp", {"prepare": "runs/prepare-away"})
    nowhere = environment(bucket, tmp_path / "work", home, AWS_ENDPOINT_URL="http://127.0.0.1:1")
    process = start("runs/away", nowhere)
    gone = start("runs/not-there", environment(bucket, tmp_path / "work", home))
    assert "is not there" in gone.communicate(timeout=60)[1] and gone.returncode == 65
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75 and "Could not connect" in errors and "can be run again" in errors
