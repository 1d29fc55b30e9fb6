"""What an effect answers instead of a value. Always an exception of one of these kinds, never a crash of the guest."""

from __future__ import annotations

__all__ = ["Error", "Denied", "Invalid", "NotFound", "Conflict", "Timeout", "Limited", "Failed"]


class Error(Exception):
    """An effect's error. `kind` is how policies, journals and the other languages spell it; `text` says what to do next."""

    kind = "failed"

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class Denied(Error):
    """The manifest does not request it, or the operator does not permit it."""

    kind = "denied"


class Invalid(Error):
    """The arguments make no sense, or name several things where one is expected."""

    kind = "invalid"


class NotFound(Error):
    """There is no such thing."""

    kind = "not-found"


class Conflict(Error):
    """The world is in a state that forbids it."""

    kind = "conflict"


class Timeout(Error):
    """No answer within the deadline. Whether it happened is settled by the engine, not by repeating it."""

    kind = "timeout"


class Limited(Error):
    """A limit or a brake of the engine holds it back."""

    kind = "limited"


class Failed(Error):
    """The other side failed."""

    kind = "failed"


#: By the name of the contract's case.
CASES = {one.__name__: one for one in (Denied, Invalid, NotFound, Conflict, Timeout, Limited, Failed)}
