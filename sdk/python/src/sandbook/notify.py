# Generated from sdk/wit by `sandbook-pack generate`; a test compares.
"""Messages to people, over channels the operator configured."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _bridge
from ._words import Word

__all__ = [
    "Severity",
    "Message",
    "Receipt",
    "send",
]


class Severity(Word):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


_Severity = _bridge.Enumeration("notify", Severity)


@dataclass
class Message:
    channel: str | None = None
    """Default: the operator's escalation channel."""
    title: str = ""
    text: str = ""
    """At most 16 KiB."""
    severity: Severity | None = None
    """Default `info`."""
    dedup_key: str | None = None
    """Messages with the same key are one incident; default: one per run and slot."""


_Message = _bridge.Record("notify", Message, {
    "channel": _bridge.Maybe(_bridge.PLAIN),
    "title": _bridge.PLAIN,
    "text": _bridge.PLAIN,
    "severity": _bridge.Maybe(_Severity),
    "dedup_key": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class Receipt:
    channel: str = ""
    dedup_key: str = ""


_Receipt = _bridge.Record("notify", Receipt, {
    "channel": _bridge.PLAIN,
    "dedup_key": _bridge.PLAIN,
})


_send = _bridge.Effect("notify.send", [("message", _Message)], _Receipt)


def send(
    *,
    title: str,
    text: str,
    channel: str | None = None,
    severity: Severity | str | None = None,
    dedup_key: str | None = None,
) -> Receipt:
    """Delivered at least once, with a deduplication key.

    channel: Default: the operator's escalation channel.
    text: At most 16 KiB.
    severity: Default `info`.
    dedup_key: Messages with the same key are one incident; default: one per run and slot.
    """
    return _send(Message(channel=channel, title=title, text=text, severity=severity, dedup_key=dedup_key))
