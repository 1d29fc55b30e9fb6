# Generated from sdk/wit by `sandbook-pack generate`; a test compares.
"""Recorded time. Replays see the recorded one."""

from __future__ import annotations


from . import _bridge

__all__ = [
    "now",
    "sleep",
]


_now = _bridge.Effect("clock.now", [], _bridge.PLAIN)


def now() -> int:
    """Milliseconds since 1970."""
    return _now()


_sleep = _bridge.Effect("clock.sleep", [("duration_ms", _bridge.PLAIN)], _bridge.PLAIN)


def sleep(duration_ms: int) -> None:
    """Waits; waiting costs nothing and does not count against the run's wall time. At most 7 days."""
    return _sleep(duration_ms)
