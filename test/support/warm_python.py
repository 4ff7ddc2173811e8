"""A Python interpreter that has the libraries of a stage loaded: importing them takes seven seconds of a core, a tiny stage less than one.

`warm_python.py serve SOCKET` waits for requests and runs each in a fork of itself, with the trainer's own modules imported anew; the
libraries are loaded with the first request.
`warm_python.py SOCKET ARGUMENTS` stands in for `python ARGUMENTS`: its streams, environment and folder are those of the fork, a
signal reaches the fork, and it ends as the fork ends. Only the libraries are older than the process. `sys.executable` of a fork
is what stands in for `python` (beside the socket; warm-python.ts and support.py write it), so that processes that it starts are forks, too.
"""

import array
import contextlib
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import weakref

ENDS_PLAINLY = "WARM_PYTHON_ENDS_PLAINLY"  # set for a fork that is to end as any process does (see end())
PASSED_ON = (signal.SIGTERM, signal.SIGINT)
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
)


def ask(path: str, arguments: list[str]) -> int:
    """In the place of the interpreter: has the server run the arguments; the return code, negative for a signal."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        for number in PASSED_ON:
            signal.signal(number, lambda number, _: server.send(bytes([number])))
        request = {"arguments": arguments, "env": dict(os.environ), "folder": os.getcwd()}
        streams = array.array("i", (0, 1, 2))
        server.sendmsg([b"\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
        server.sendall(json.dumps(request).encode() + b"\n")
        answer = server.recv(4)
    return struct.unpack("i", answer)[0] if answer else 1


def end_as(code: int) -> None:
    """End this process as another one has ended."""
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def serve(path: str) -> list[str]:
    """Until standard input ends; returns in the fork that a request asked for, with its arguments."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{path}.new")
        listener.listen()
        os.rename(f"{path}.new", path)  # where it is seen it is listened at
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            # Before the end, too, so that whoever measures this process measures what it ran.
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if sys.stdin in ready:
                os._exit(0)
            client, _ = listener.accept()
            with client:
                _, streams, _, _ = socket.recv_fds(client, 1, 3)
                request = json.loads(client.makefile("rb").readline())
                load_libraries(request["arguments"])
                if os.fork() == 0:
                    listener.close()
                    sys.executable = os.path.join(os.path.dirname(path), "python")
                    return run(client, streams, request)
                for stream in streams:
                    os.close(stream)


def run(client: socket.socket, streams: list[int], request: dict) -> list[str]:
    """In a fork: becomes the process that was asked for, in a further fork, which this one watches and reports."""
    child = os.fork()
    if child:
        for stream in streams:
            os.close(stream)
        watch(client, child)
    client.close()
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
    return request["arguments"]


def watch(client: socket.socket, child: int) -> None:
    """Pass signals on until the child has ended, then say how. Where nobody waits any more, the child is killed."""
    is_over = os.pidfd_open(child)
    while is_over not in select.select([client, is_over], [], [])[0]:
        asked = client.recv(1)
        os.kill(child, asked[0] if asked else signal.SIGKILL)
        if not asked:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(BrokenPipeError):
        client.send(struct.pack("i", os.waitstatus_to_exitcode(status)))
    os._exit(0)


LOADED: set[str] = set()  # what was imported for a request before: its libraries are here


def load_libraries(arguments: list[str]) -> None:
    """Import what tests need and the stage that is asked for, and forget what is the trainer's own of it."""
    import importlib

    stages = [word for word in arguments if word.startswith("stages.")]
    names = [name for name in (*MODULES, *stages) if name not in LOADED]
    if not names:
        return
    for name in names:
        importlib.import_module(name)
    LOADED.update(names)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for name, module in list(sys.modules.items()):
        # A package without a file is the folders that it was found in.
        file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
        is_own = file.startswith(root) and "site-packages" not in file
        # What stands in for torchvision is a library that torch takes once in a process.
        if is_own and name not in ("__main__", "towers", "towers.torchvision_shim"):
            del sys.modules[name]
            parent, _, last = name.rpartition(".")
            if parent in sys.modules and hasattr(sys.modules[parent], last):
                delattr(sys.modules[parent], last)
    # Torch takes back at exit, one by one, the thousands of operators that it has registered; a fork leaves that to this process.
    for finalizer in list(weakref.finalize._registry):  # pyright: ignore[reportAttributeAccessIssue]
        finalizer.atexit = False
    # A collection in a fork would copy every page that it marks; what is here is never garbage.
    gc.collect()
    gc.freeze()


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
    if arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    elif arguments[0] == "-":
        sys.argv = arguments
        exec(compile(sys.stdin.read(), "<stdin>", "exec"), {"__name__": "__main__"})
    elif arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, os.path.dirname(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        code = become(serve(sys.argv[2]))
        if ENDS_PLAINLY in os.environ:
            sys.exit(code)
        end(code)
    else:
        end_as(ask(sys.argv[1], sys.argv[2:]))
