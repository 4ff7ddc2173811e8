"""How an attempt can end other than by its stage, each with a sentence for whoever reads the log."""

INTERRUPTED = 75  # sysexits' EX_TEMPFAIL: run the same job again
REFUSED = 65  # sysexits' EX_DATAERR: trying again changes nothing


class RefusedError(Exception):
    """Something is wrong that another attempt meets again; the message says what to do."""


class StorageError(Exception):
    """The object store did not do what it was asked; `transient` where it may the next time."""

    def __init__(self, message: str, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class StoppedError(Exception):
    """Asked to stop before anything was trained."""
