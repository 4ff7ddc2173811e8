"""Ways in which an attempt ends other than through its stage; each message is a sentence for the log."""


class RefusedError(Exception):
    """A failure that another attempt would meet again; the message says what to do."""


class StorageError(Exception):
    """A failed operation of the object store; `transient` where another try may succeed."""

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class StoppedError(Exception):
    """A request to stop that came before anything was trained."""
