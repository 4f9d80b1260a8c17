"""PopTorch's errors."""


class Error(Exception):
    """PopTorch's error."""

    type = message = location = ""


class RecoverableError(Error):
    """Never raised here."""


class UnrecoverableError(Error):
    """Never raised here."""
