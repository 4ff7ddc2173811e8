"""The warm interpreter of a run of tests (test/support/warm_python.py): what starts it, and the environment of what it runs."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAGE_ENV = os.environ | {
    "PYTHONPATH": f"{ROOT / 'trainer'}{os.pathsep}{ROOT / 'contracts' / 'python'}",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",  # tiny models: a second thread only waits
}
# Where a process has to be new: for what it takes of memory, for what it finds installed, for how it ends.
COLD_PYTHON = Path(sys.prefix) / "bin" / "python"
FOLDER = "TEST_WARM_PYTHON"  # where a run of tests keeps it


def hold_warm_python() -> None:
    """A place for one warm interpreter for this process and those that it starts: it ends with this process at the latest."""
    folder = tempfile.mkdtemp(prefix="warm-")
    os.mkfifo(f"{folder}/alive")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(os.close, os.open(f"{folder}/alive", os.O_RDWR))
    os.environ[FOLDER] = folder


@cache
def warm_python() -> Path:
    """An interpreter for stages that has their libraries loaded (warm_python.py); the first of the processes that ask for it starts it."""
    folder = Path(os.environ[FOLDER])
    script, asking = ROOT / "test/support/warm_python.py", ROOT / "test/support/ask_warm_python.py"
    python, socket = folder / "python", folder / "socket"
    try:
        (folder / "started").touch(exist_ok=False)
    except FileExistsError:
        deadline = time.monotonic() + 60
        while not socket.exists():
            assert time.monotonic() < deadline, f"{script} did not start: what it says is above"
            time.sleep(0.02)
        return python
    python.write_text(f'#!/bin/sh\nexec "{COLD_PYTHON}" -S -E "{asking}" "{socket}" "$@"\n')
    python.chmod(0o755)
    with (folder / "alive").open("rb", buffering=0) as alive:
        command = [COLD_PYTHON, "-W", "ignore", script, socket]
        server = subprocess.Popen(command, env=STAGE_ENV, stdin=alive, stdout=subprocess.PIPE, start_new_session=True)
    assert server.stdout is not None
    server.stdout.readline()
    return python
