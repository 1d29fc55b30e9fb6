# Generated from sdk/wit by `sandbook-pack generate`; a test compares.
"""Notes. They take no slot and do not count against the effect limit; 1 MiB of them a run."""

from __future__ import annotations


from . import _bridge
from ._words import Word

__all__ = [
    "Level",
    "log",
    "progress",
    "attach_evidence",
]


class Level(Word):
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


_Level = _bridge.Enumeration("log", Level)


_log = _bridge.Effect("log.log", [("level", _Level), ("message", _bridge.PLAIN)], _bridge.PLAIN)


def log(level: Level | str, message: str) -> None:
    """A line in the run's record."""
    return _log(level, message)


_progress = _bridge.Effect("log.progress", [("message", _bridge.PLAIN), ("percent", _bridge.Maybe(_bridge.PLAIN))], _bridge.PLAIN)


def progress(message: str, percent: int | None = None) -> None:
    """What is being done now, for whoever watches; percent 0 to 100."""
    return _progress(message, percent)


_attach_evidence = _bridge.Effect("log.attach-evidence", [("name", _bridge.PLAIN), ("text", _bridge.PLAIN)], _bridge.PLAIN)


def attach_evidence(name: str, text: str) -> None:
    """Keeps a text with the run, to be read before anyone acts; at most 256 KiB."""
    return _attach_evidence(name, text)
