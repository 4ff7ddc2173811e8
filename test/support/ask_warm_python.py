"""Stands in for `python ARGUMENTS`: has the interpreter that listens at a socket run them in a fork of itself (warm_python.py).

`ask_warm_python.py SOCKET ARGUMENTS`. It is started for each command of a test: what it imports is what that takes.
"""

import marshal
import os
import signal
import socket
import sys

PASSED_ON = (signal.SIGTERM, signal.SIGINT)


def ask(path: str, arguments: list[str]) -> int:
    """The return code, negative for a signal."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        for number in PASSED_ON:
            signal.signal(number, lambda number, _: server.send(bytes([number])))
        request = {"arguments": arguments, "env": dict(os.environ), "folder": os.getcwd()}
        streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
        server.sendmsg([b"\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
        server.sendall(marshal.dumps(request))
        answer = server.recv(4)
    return int.from_bytes(answer, sys.byteorder, signed=True) if answer else 1


def end_as(code: int) -> None:
    """End this process as another one has ended."""
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


end_as(ask(sys.argv[1], sys.argv[2:]))
