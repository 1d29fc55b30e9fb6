"""How a run ended, in a sentence a person reads at three in the morning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """Made by `done`, `fixed`, `nothing_to_do` and `escalate`."""

    kind: str
    text: str


def done(text: str) -> Outcome:
    """Did what it is for; nothing was broken."""
    return Outcome("done", text)


def fixed(text: str) -> Outcome:
    """Changed something and believes it is fixed; the engine verifies."""
    return Outcome("fixed", text)


def nothing_to_do(text: str) -> Outcome:
    """Found nothing wrong."""
    return Outcome("nothing-to-do", text)


def escalate(text: str) -> Outcome:
    """A person is needed."""
    return Outcome("escalate", text)
