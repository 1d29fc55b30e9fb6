# Generated from sdk/wit by `sandbook-pack generate`; a test compares.
"""Questions to a person. The run waits for the answer at no cost, across restarts too."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _bridge

__all__ = [
    "AskSettings",
    "Answer",
    "ask",
]


@dataclass
class AskSettings:
    details: str | None = None
    """Shown below the question; at most 16 KiB. Longer texts belong to `log.attach-evidence`, which is shown as well."""
    fallback: str | None = None
    """The answer when nobody gives one in time; one of the options. Default: then it is `denied`."""
    timeout_ms: int | None = None
    """Milliseconds to answer in, 1 s to 7 days; default: the operator's `[approvals] expiry`, 30 minutes."""


_AskSettings = _bridge.Record("human", AskSettings, {
    "details": _bridge.Maybe(_bridge.PLAIN),
    "fallback": _bridge.Maybe(_bridge.PLAIN),
    "timeout_ms": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class Answer:
    option: str = ""
    """One of the options."""
    by: str = ""
    """Who said it."""
    reason: str = ""
    """Why; may be empty."""
    fallback: bool = False
    """True when nobody answered in time and this is the declared fallback."""


_Answer = _bridge.Record("human", Answer, {
    "option": _bridge.PLAIN,
    "by": _bridge.PLAIN,
    "reason": _bridge.PLAIN,
    "fallback": _bridge.PLAIN,
})


_ask = _bridge.Effect("human.ask", [("question", _bridge.PLAIN), ("options", _bridge.Sequence(_bridge.PLAIN)), ("settings", _AskSettings)], _Answer)


def ask(
    question: str,
    options: list[str],
    *,
    details: str | None = None,
    fallback: str | None = None,
    timeout_ms: int | None = None,
) -> Answer:
    """Asks a person to choose one of the options, at most 10 of 80 bytes; the question has at most 500 bytes. A refusal, the
    end of the alert, and silence without a fallback are `denied`.

    details: Shown below the question; at most 16 KiB. Longer texts belong to `log.attach-evidence`, which is shown as well.
    fallback: The answer when nobody gives one in time; one of the options. Default: then it is `denied`.
    timeout_ms: Milliseconds to answer in, 1 s to 7 days; default: the operator's `[approvals] expiry`, 30 minutes.
    """
    return _ask(question, options, AskSettings(details=details, fallback=fallback, timeout_ms=timeout_ms))
