"""The few errors a caller can act on. "No" is not an error but a value with reasons."""


class SafeweaveError(Exception):
    """Something a caller can act on; its text says what happened and what to do."""


class NotFound(SafeweaveError):
    """The thing asked for is not here."""


class NotAllowed(SafeweaveError):
    """The caller may not do this."""


class Conflict(SafeweaveError):
    """It was changed or done already in a way that does not agree with the request."""


class Malformed(SafeweaveError):
    """Input that cannot be read, with the place of the fault.

    `file`, `line` (1-based) and `field` (a path such as "bill[0].line[3].amount") say where, as far as known.
    """

    def __init__(self, what: str, *, file: str = "", line: int = 0, field: str = "") -> None:
        super().__init__(what)
        self.what, self.file, self.line, self.field = what, file, line, field

    def __str__(self) -> str:
        place = f"{self.file or '-'}:{self.line or 1}: "
        return place + (f"{self.field}: " if self.field else "") + self.what


class Unavailable(SafeweaveError):
    """The outside did not answer; the same call may succeed later."""


class StoreUnavailable(SafeweaveError):
    """The store takes nothing now (its disk is full, it is busy); nothing was written, and it may work again later."""


class Crossed(StoreUnavailable):
    """Another transaction crossed this one: nothing was written; do it again."""


class InvariantBroken(SafeweaveError):
    """We are wrong: the job stops and a person is told."""
