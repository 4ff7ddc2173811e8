"""A run takes over the signals of its process, which is that of all tests here."""

import signal

import pytest


@pytest.fixture(autouse=True)
def own_signals():
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
