# Generated from sdk/wit by `sandbook-pack generate`; a test compares.

from __future__ import annotations


from . import _bridge

__all__ = [
    "random_u64",
]


_random_u64 = _bridge.Effect("random.random-u64", [], _bridge.PLAIN)


def random_u64() -> int:
    """A random number, recorded."""
    return _random_u64()
