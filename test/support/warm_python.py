"""A Python interpreter that has the libraries of a stage and the trainer loaded: to import them takes seconds of a core, a tiny stage less.

`warm_python.py SOCKET` waits for requests and runs each in a fork of itself. What asks it (ask_warm_python.py) stands in for `python
ARGUMENTS`: its streams, environment and folder are those of the fork, a signal reaches the fork, and it ends as the fork ends. Only
what is imported is older than the process; the trainer's modules are imported anew where the fork would find others than these.
`sys.executable` of a fork is what stands in for `python` (beside the socket; warm-python.ts and warm.py write it), so that processes
that it starts are forks, too.
"""

import contextlib
import gc
import importlib
import marshal
import os
import select
import signal
import socket
import sys
import weakref
from dataclasses import dataclass

ENDS_PLAINLY = "WARM_PYTHON_ENDS_PLAINLY"  # set for a fork that is to end as any process does (see end())
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
# Of the commands that tests start; each imports the libraries of its kind. What is imported late, torch's part with the first
# optimiser, would take each fork a second of a core.
MODULES = (
    "towers",
    "torch._dynamo",
    "jsonschema",
    "open_clip",
    "onnx",
    "onnxruntime",
    "engine.run",
    "stages.export",
    "stages.clip",
    "exchange.incoming.read",
    "evaluation.measure",
    "boto3.s3.transfer",
    "peft",
    "torchvision.transforms.v2",
    "transformers.models.clip.modeling_clip",
    "transformers.models.llama.modeling_llama",
)


@dataclass(frozen=True)
class Child:
    """A fork that runs what a client asked for."""

    process: int
    is_over: int  # a descriptor that can be read when the process has ended
    client: socket.socket

    def close(self) -> None:
        os.close(self.is_over)
        self.client.close()


def serve(path: str) -> list[str]:
    """Until standard input ends; returns in the fork that a request asked for, with its arguments."""
    children: list[Child] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{path}.new")
        listener.listen()
        os.rename(f"{path}.new", path)  # where it is seen it is listened at
        print("ready", flush=True)
        while True:
            watched = [place for child in children for place in (child.is_over, child.client)]
            ready, _, _ = select.select([listener, sys.stdin, *watched], [], [])
            if sys.stdin in ready:
                os._exit(0)
            children = [child for child in children if not is_done(child, ready)]
            if listener not in ready:
                continue
            client, _ = listener.accept()
            _, streams, _, _ = socket.recv_fds(client, 1, 3)
            try:
                with client.makefile("rb") as sent:
                    request = marshal.load(sent)
            except EOFError:  # who asked was killed while it did
                client.close()
                for stream in streams:
                    os.close(stream)
                continue
            load(request["arguments"])
            process = os.fork()
            if process == 0:
                break
            for stream in streams:
                os.close(stream)
            children.append(Child(process, os.pidfd_open(process), client))
    for child in children:
        child.close()
    client.close()
    sys.executable = os.path.join(os.path.dirname(path), "python")
    become_process(request, streams)
    return request["arguments"]


def is_done(child: Child, ready: list) -> bool:
    """Pass signals on, and say how a process has ended. Where nobody waits for it any more, it is killed."""
    if child.is_over in ready:
        # That the process is waited for counts what it has taken as this one's, for whoever measures.
        _, status = os.waitpid(child.process, 0)
        with contextlib.suppress(BrokenPipeError):
            child.client.send(os.waitstatus_to_exitcode(status).to_bytes(4, sys.byteorder, signed=True))
        child.close()
        return True
    if child.client in ready:
        asked = child.client.recv(1)
        os.kill(child.process, asked[0] if asked else signal.SIGKILL)
        if not asked:
            os.waitpid(child.process, 0)
            child.close()
            return True
    return False


def become_process(request: dict, streams: list[int]) -> None:
    """In a fork: take the streams, the folder and the environment of the process that was asked for."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    streams_of = [os.fdopen(number, mode) for number, mode in enumerate(("r", "w", "w"))]
    sys.stdin, sys.stdout, sys.stderr = streams_of
    sys.stderr.reconfigure(line_buffering=True)
    os.chdir(request["folder"])
    # Behind the script's folder of this interpreter came what its own environment said.
    own = len(os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [*request["env"].get("PYTHONPATH", "").split(os.pathsep), *sys.path[1 + own :]]
    os.environ.clear()
    os.environ.update(request["env"])


LOADED: set[str] = set()  # what was imported for a request before


def load(arguments: list[str]) -> None:
    """Import what tests need, and the stage that is asked for."""
    stages = [word for word in arguments if word.startswith("stages.")]
    names = [name for name in (*MODULES, *stages) if name not in LOADED]
    if not names:
        return
    for name in names:
        importlib.import_module(name)
    LOADED.update(names)
    # Torch takes back at exit, one by one, the thousands of operators that it has registered; a fork leaves that to this process.
    for finalizer in list(weakref.finalize._registry):  # pyright: ignore[reportAttributeAccessIssue]
        finalizer.atexit = False
    # A collection in a fork would copy every page that it marks; what is here is never garbage.
    gc.collect()
    gc.freeze()


def forget_others() -> None:
    """Forget the modules of this project where sys.path leads to others than these: a container has a folder of its own, for one."""
    places = (os.path.realpath(path) for path in sys.path if os.path.exists(os.path.join(path, "engine", "run.py")))
    if next(places, "") == os.path.join(ROOT, "trainer"):
        return
    for name, module in list(sys.modules.items()):
        # A package without a file is the folders that it was found in.
        file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
        is_own = file.startswith(ROOT) and "site-packages" not in file
        # What stands in for torchvision is a library that torch takes once in a process.
        if is_own and name not in ("__main__", "towers", "towers.torchvision_shim"):
            forget(name)


def forget(name: str) -> None:
    """Have a module imported anew where it is asked for."""
    sys.modules.pop(name, None)
    parent, _, last = name.rpartition(".")
    if parent in sys.modules and hasattr(sys.modules[parent], last):
        delattr(sys.modules[parent], last)


def end(code: int) -> None:
    """End a fork without what native libraries do at exit: threads that they started before the fork are not there to be joined."""
    import atexit

    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def become(arguments: list[str]) -> int:
    """What `python ARGUMENTS` would run, to its end; the exit code."""
    try:
        execute(arguments)
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return leaving.code or 0
        print(leaving.code, file=sys.stderr)
        return 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def execute(arguments: list[str]) -> None:
    """Run a module, a file or a piece of code, behind what is said about warnings and about what is kept back of its output."""
    import runpy
    import warnings

    if arguments[0] == "-W":
        warnings.simplefilter(arguments[1])  # pyright: ignore[reportArgumentType]
        arguments = arguments[2:]
    if arguments[0] == "-u":
        sys.stdout.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue]
        arguments = arguments[1:]
    first = arguments[0]
    sys.argv = {"-c": ["-c", *arguments[2:]], "-m": arguments[1:]}.get(first, arguments)
    if first == "-m":
        sys.path.insert(0, os.getcwd())
    elif first not in ("-c", "-"):
        sys.path.insert(0, os.path.dirname(first))
    forget_others()
    if first == "-c":
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    elif first == "-":
        exec(compile(sys.stdin.read(), "<stdin>", "exec"), {"__name__": "__main__"})
    elif first == "-m":
        for name in (arguments[1], f"{arguments[1]}.__main__"):
            forget(name)  # it is run, not imported
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    code = become(serve(sys.argv[1]))
    if ENDS_PLAINLY in os.environ:
        sys.exit(code)
    end(code)
