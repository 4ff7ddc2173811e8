"""Starts a stage as several processes that train together: `python -m engine.launch [--processes N] stages.clip job.json`.

torchrun does the same but for what matters here: when it is asked to stop it ends the processes before they have saved, and
its exit code says nothing. This launcher passes the request on, waits for all checkpoints and ends with 75 ("run me again"); a
process that dies ends the others, and the exit code is the dead one's. Several machines: AWS Batch's variables of multi-node
jobs, https://docs.aws.amazon.com/batch/latest/userguide/mnp-env-vars.html. Their containers have an interface of their own
each; gloo and NCCL are told which one it is, because their own choice is by the host's name or the first interface there is.
"""

import argparse
import fcntl
import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from contracts.constants import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, RANKED_STAGES
from engine.failure import words_given

PORT = 29400  # of the main machine, where there are several
ANYWHERE = "192.0.2.1"  # an address of documentation (RFC 5737): the way to it is the default route
SIOCGIFADDR = 0x8915  # asks for the IPv4 address of an interface (netdevice(7))
# A process that is left when another one has died waits for it without end: it gets this long to notice.
GRACE_SECONDS = 20.0
# One that is reached by the death of another fails by an exception of its own, at times before the dead one is seen to have ended.
CAUSE_SECONDS = 1.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Machines:
    """How many machines take part, which this one is, where the first one listens, and by which interface it is reached."""

    count: int = 1
    number: int = 0
    address: str = "127.0.0.1"
    port: int = 0
    interface: str | None = None

    @classmethod
    def of_environment(cls) -> "Machines":
        """From the variables of AWS Batch. The main machine has the number 0 and is not told its own address."""
        count = int(os.environ.get("AWS_BATCH_JOB_NUM_NODES", "1"))
        if count == 1:
            return cls(port=free_port())
        number = int(os.environ["AWS_BATCH_JOB_NODE_INDEX"])
        main = int(os.environ.get("AWS_BATCH_JOB_MAIN_NODE_INDEX", "0"))
        given = None if number == main else os.environ["AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"]
        own = own_address(given or ANYWHERE)
        port = int(os.environ.get("MASTER_PORT", PORT))
        return cls(count, (number - main) % count, given or own, port, interface_of(own))


def main() -> int:
    """Start the processes and wait for them; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.launch", description=__doc__)
    parser.add_argument("--processes", type=int, help="on this machine (default: one per GPU, one without)")
    parser.add_argument("module", help="stages.NAME")
    parser.add_argument("arguments", nargs="*", help="of the module")
    options = parser.parse_args(words_given())
    gpus = gpus_for(os.environ)
    has_ranks = options.module.removeprefix("stages.") in RANKED_STAGES
    processes = (max(1, gpus) if has_ranks else 1) if options.processes is None else options.processes
    if processes < 1 or (gpus and processes > gpus):
        print(f"--processes {processes}: {gpus} GPUs are to be seen here, and one process uses one", file=sys.stderr)
        return EXIT_USAGE
    command = [sys.executable, "-m", options.module, *options.arguments]
    machines = Machines.of_environment()
    if processes == 1 and machines.count == 1:
        os.execv(sys.executable, command)
    return Ranks(command, processes, machines).run()


def gpus_for(env: Mapping[str, str], devices: Path = Path("/dev")) -> int:
    """GPUs that a process of this environment sees: those of the machine that CUDA_VISIBLE_DEVICES leaves.

    CUDA takes the names of that list up to the first that is none, -1 by custom; an empty list hides all.
    https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#env-vars
    """
    found = len([*devices.glob("nvidia[0-9]*")])
    if "CUDA_VISIBLE_DEVICES" not in env:
        return found
    names = (name.strip() for name in env["CUDA_VISIBLE_DEVICES"].split(","))
    return min(found, len([*itertools.takewhile(lambda name: name not in ("", "-1"), names)]))


class Ranks:
    """The processes of this machine."""

    def __init__(self, command: list[str], processes: int, machines: Machines) -> None:
        self.children = [start(command, number, processes, machines) for number in range(processes)]
        self.first = machines.number * processes  # rank of the first of them
        self.stop_requested = False
        self.readers = [
            threading.Thread(target=pass_on, args=(child.stderr, f"[rank {self.first + number}] "), daemon=True)
            for number, child in enumerate(self.children)
            if child.stderr is not None
        ]

    def run(self) -> int:
        """Until all have ended; a request to stop is passed on to each of them."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        for reader in self.readers:
            reader.start()
        code = self._wait()
        for reader in self.readers:
            reader.join(GRACE_SECONDS)
        return code

    def _wait(self) -> int:
        while True:
            codes = [child.poll() for child in self.children]
            dead = deaths_in(codes)
            if dead:
                return self._end_others(*dead[0])
            if None not in codes:
                return EXIT_INTERRUPTED if EXIT_INTERRUPTED in codes else EXIT_OK
            time.sleep(POLL_SECONDS)

    def _end_others(self, number: int, code: int) -> int:
        if code == EXIT_FAILED:
            self._leave(CAUSE_SECONDS)
            causes = [
                death for death in deaths_in([child.poll() for child in self.children]) if death[1] != EXIT_FAILED
            ]
            number, code = [*causes, (number, code)][0]
        # SIGTERM ends only one that still imports, and they train once all have come: nothing is lost.
        was_starting = self.stop_requested and code == -signal.SIGTERM
        if not was_starting:
            self._leave(GRACE_SECONDS)
        self._signal(signal.SIGKILL)
        for child in self.children:
            child.wait()
        if was_starting:
            print("stopped while the processes started: run the same job again", file=sys.stderr)
            return EXIT_INTERRUPTED
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        print(
            f"rank {self.first + number} {how}, so the other processes were ended; "
            "the last whole checkpoint stays: run the same job again to go on from it",
            file=sys.stderr,
        )
        return 128 - code if code < 0 else code

    def _stop(self) -> None:
        self.stop_requested = True
        self._signal(signal.SIGTERM)

    def _leave(self, seconds: float) -> None:
        """Let those that are left end by themselves, for so long at most."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and any(child.poll() is None for child in self.children):
            time.sleep(POLL_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        for child in self.children:
            if child.poll() is None:
                child.send_signal(number)


def deaths_in(codes: list[int | None]) -> list[tuple[int, int]]:
    """Number and code of the processes that have ended otherwise than done or stopped; negative: by a signal."""
    return [(number, code) for number, code in enumerate(codes) if code not in (None, EXIT_OK, EXIT_INTERRUPTED)]


def start(command: list[str], number: int, processes: int, machines: Machines) -> subprocess.Popen[str]:
    """One process; the first one of all prints what the stage prints, the others only what goes wrong."""
    rank = machines.number * processes + number
    variables = {
        "RANK": rank,
        "WORLD_SIZE": machines.count * processes,
        "LOCAL_RANK": number,
        "LOCAL_WORLD_SIZE": processes,
        "MASTER_ADDR": machines.address,
        "MASTER_PORT": machines.port,
    }
    # Otherwise each of them would start a thread for every core, and all would wait for one another.
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    env = {"OMP_NUM_THREADS": str(threads)} | os.environ | {name: str(value) for name, value in variables.items()}
    if machines.interface is not None:
        env = {"GLOO_SOCKET_IFNAME": machines.interface, "NCCL_SOCKET_IFNAME": machines.interface} | env
    if rank == 0:
        return subprocess.Popen(command, env=env, text=True)
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def pass_on(lines: IO[str], prefix: str) -> None:
    """Lines of one process, marked with its rank."""
    for line in lines:
        sys.stderr.write(prefix + line)
        sys.stderr.flush()


def own_address(other: str) -> str:
    """This machine's address on the way to another one; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((other, PORT))
        except OSError:  # no way there
            return "127.0.0.1"
        return probe.getsockname()[0]


def interface_of(address: str) -> str | None:
    """The network interface that has this IPv4 address, by its name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode())
            try:
                answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)
            except OSError:  # it has none
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return None


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
