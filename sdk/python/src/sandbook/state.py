# Generated from sdk/wit by `sandbook-pack generate`; a test compares.
"""The runbook's own memory, kept between runs of the same runbook."""

from __future__ import annotations


from . import _bridge

__all__ = [
    "get",
    "put",
    "compare_and_put",
]


_get = _bridge.Effect("state.get", [("key", _bridge.PLAIN)], _bridge.Maybe(_bridge.PLAIN))


def get(key: str) -> str | None:
    """The value of a key, if there is one."""
    return _get(key)


_put = _bridge.Effect("state.put", [("key", _bridge.PLAIN), ("value", _bridge.PLAIN)], _bridge.PLAIN)


def put(key: str, value: str) -> None:
    """Sets a key; keys up to 256 bytes, values up to 64 KiB, 1,000 keys a runbook."""
    return _put(key, value)


_compare_and_put = _bridge.Effect("state.compare-and-put", [("key", _bridge.PLAIN), ("expected", _bridge.Maybe(_bridge.PLAIN)), ("value", _bridge.PLAIN)], _bridge.PLAIN)


def compare_and_put(key: str, expected: str | None, value: str) -> bool:
    """Sets a key if it still has the expected value (absent: if it is not set). False if it has not."""
    return _compare_and_put(key, expected, value)
