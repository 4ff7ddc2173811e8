"""`python -m container s3://bucket/key/job.json`: reads the environment and the command line.

WORK_DIR: folder for this attempt's files (default: the system's for temporary files).
CODE_DIGESTS_FILE: JSON object from stage to the digest of the source that is installed (default: beside this package).
TRAINER_HOME: folder that holds `stages` and `towers` (default: the folder of this package).
LEASE_SECONDS: an attempt whose lease was not renewed for this long counts as dead (default 180).
SYNC_SECONDS: between two uploads while the stage runs (default 30). STOP_SECONDS: from SIGTERM to the end (default 110).
The AWS SDK reads its own variables.
"""

import os
import signal
import sys
import tempfile
from pathlib import Path

# The imports below take a second; a SIGTERM meanwhile would end this process with a code that is not retried.
# 75 is EXIT_INTERRUPTED, which is not imported yet.
signal.signal(signal.SIGTERM, lambda *_: os._exit(75))

from container.attempt import Settings, run_attempt  # noqa: E402
from container.failures import RefusedError, StoppedError, StorageError  # noqa: E402
from container.log import Log  # noqa: E402
from container.stop import Stop  # noqa: E402
from contracts.command_line import empty_word  # noqa: E402
from contracts.constants import EXIT_INTERRUPTED, EXIT_REFUSED  # noqa: E402

USAGE = "usage: python -m container JOB, the s3:// or file:// URI or the path of a job.json"


def main() -> int:
    """Run one attempt; returns the exit code."""
    refusal = empty_word(sys.argv[1:])
    if refusal is not None or len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(refusal or USAGE, file=sys.stderr)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    package = Path(__file__).resolve().parent
    home = Path(os.environ.get("TRAINER_HOME", package.parent)).absolute()
    settings = Settings(
        work=Path(os.environ.get("WORK_DIR", tempfile.gettempdir())).absolute(),
        home=home,
        contracts=package.parents[1] / "contracts" / "python",
        code_digests=Path(os.environ.get("CODE_DIGESTS_FILE", package.parent / "code-digests.json")),
        lease_seconds=float(os.environ.get("LEASE_SECONDS", 180)),
        sync_seconds=float(os.environ.get("SYNC_SECONDS", 30)),
        env=os.environ,
    )
    log = Log()
    stop = Stop(float(os.environ.get("STOP_SECONDS", 110)), log.info)
    stop.listen()
    try:
        return run_attempt(sys.argv[1], settings, stop, log)
    except RefusedError as error:
        log.info(str(error))
        return EXIT_REFUSED
    except StorageError as error:
        log.info(
            f"{error}; {'the same job can be run again' if error.transient else 'another attempt would meet it again'}"
        )
        return EXIT_INTERRUPTED if error.transient else EXIT_REFUSED
    except StoppedError as error:
        log.info(str(error))
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # sys.exit would wait for downloads that are still running in threads after another one failed.
    os._exit(code)
