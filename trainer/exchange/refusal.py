"""What a layout, or a server, has no words for."""


class CannotExpress(ValueError):
    """A model that a layout or a server cannot express; the message says what can."""
