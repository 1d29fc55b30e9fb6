# Generated from sdk/wit by `sandbook-pack generate`; a test compares.
"""The Alertmanager the operator configured. Matchers are written as there: `alertname="Down"`, `host=~"web.*"`."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _bridge
from ._words import Word

__all__ = [
    "AlertFilter",
    "AlertState",
    "HeldAlert",
    "SilenceFilter",
    "SilenceState",
    "Silence",
    "NewSilence",
    "SilenceCreated",
    "SilenceExpired",
    "list_alerts",
    "list_silences",
    "create_silence",
    "expire_silence",
]


@dataclass
class AlertFilter:
    matchers: list[str] | None = None
    """All must hold."""
    silenced: bool | None = None
    """Only silenced ones (true) or only others (false)."""
    inhibited: bool | None = None
    """Only inhibited ones (true) or only others (false)."""


_AlertFilter = _bridge.Record("alertmanager", AlertFilter, {
    "matchers": _bridge.Maybe(_bridge.Sequence(_bridge.PLAIN)),
    "silenced": _bridge.Maybe(_bridge.PLAIN),
    "inhibited": _bridge.Maybe(_bridge.PLAIN),
})


class AlertState(Word):
    UNPROCESSED = "unprocessed"
    ACTIVE = "active"
    SUPPRESSED = "suppressed"


_AlertState = _bridge.Enumeration("alertmanager", AlertState)


@dataclass
class HeldAlert:
    name: str = ""
    """The label `alertname`."""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    starts_at: str = ""
    fingerprint: str = ""
    state: AlertState = field(default_factory=lambda: _bridge.default(AlertState))
    silenced_by: list[str] = field(default_factory=list)
    """Ids of silences."""


_HeldAlert = _bridge.Record("alertmanager", HeldAlert, {
    "name": _bridge.PLAIN,
    "labels": _bridge.Pairs(_bridge.PLAIN),
    "annotations": _bridge.Pairs(_bridge.PLAIN),
    "starts_at": _bridge.PLAIN,
    "fingerprint": _bridge.PLAIN,
    "state": _AlertState,
    "silenced_by": _bridge.Sequence(_bridge.PLAIN),
})


@dataclass
class SilenceFilter:
    matchers: list[str] | None = None
    """Only silences that have every one of these matchers, written alike."""
    expired: bool | None = None
    """Also those that are over. Default false."""


_SilenceFilter = _bridge.Record("alertmanager", SilenceFilter, {
    "matchers": _bridge.Maybe(_bridge.Sequence(_bridge.PLAIN)),
    "expired": _bridge.Maybe(_bridge.PLAIN),
})


class SilenceState(Word):
    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"


_SilenceState = _bridge.Enumeration("alertmanager", SilenceState)


@dataclass
class Silence:
    id: str = ""
    state: SilenceState = field(default_factory=lambda: _bridge.default(SilenceState))
    matchers: list[str] = field(default_factory=list)
    created_by: str = ""
    comment: str = ""
    starts_at: str = ""
    ends_at: str = ""


_Silence = _bridge.Record("alertmanager", Silence, {
    "id": _bridge.PLAIN,
    "state": _SilenceState,
    "matchers": _bridge.Sequence(_bridge.PLAIN),
    "created_by": _bridge.PLAIN,
    "comment": _bridge.PLAIN,
    "starts_at": _bridge.PLAIN,
    "ends_at": _bridge.PLAIN,
})


@dataclass
class NewSilence:
    matchers: list[str] = field(default_factory=list)
    """All must hold; at least one must not match the empty text."""
    duration_ms: int = 0
    """From now; 1 minute to 7 days."""
    comment: str = ""
    """Why; run and slot are added to it."""


_NewSilence = _bridge.Record("alertmanager", NewSilence, {
    "matchers": _bridge.Sequence(_bridge.PLAIN),
    "duration_ms": _bridge.PLAIN,
    "comment": _bridge.PLAIN,
})


@dataclass
class SilenceCreated:
    id: str = ""
    ends_at: str = ""


_SilenceCreated = _bridge.Record("alertmanager", SilenceCreated, {
    "id": _bridge.PLAIN,
    "ends_at": _bridge.PLAIN,
})


@dataclass
class SilenceExpired:
    changed: bool = False
    """False when it was over already."""


_SilenceExpired = _bridge.Record("alertmanager", SilenceExpired, {
    "changed": _bridge.PLAIN,
})


_list_alerts = _bridge.Effect("alertmanager.list-alerts", [("filter", _AlertFilter)], _bridge.Sequence(_HeldAlert))


def list_alerts(
    *,
    matchers: list[str] | None = None,
    silenced: bool | None = None,
    inhibited: bool | None = None,
) -> list[HeldAlert]:
    """Alerts it holds, at most 500.

    matchers: All must hold.
    silenced: Only silenced ones (true) or only others (false).
    inhibited: Only inhibited ones (true) or only others (false).
    """
    return _list_alerts(AlertFilter(matchers=matchers, silenced=silenced, inhibited=inhibited))


_list_silences = _bridge.Effect("alertmanager.list-silences", [("filter", _SilenceFilter)], _bridge.Sequence(_Silence))


def list_silences(*, matchers: list[str] | None = None, expired: bool | None = None) -> list[Silence]:
    """Its silences, at most 500.

    matchers: Only silences that have every one of these matchers, written alike.
    expired: Also those that are over. Default false.
    """
    return _list_silences(SilenceFilter(matchers=matchers, expired=expired))


_create_silence = _bridge.Effect("alertmanager.create-silence", [("silence", _NewSilence)], _SilenceCreated)


def create_silence(*, matchers: list[str], duration_ms: int, comment: str) -> SilenceCreated:
    """Silences alerts from now on.

    matchers: All must hold; at least one must not match the empty text.
    duration_ms: From now; 1 minute to 7 days.
    comment: Why; run and slot are added to it.
    """
    return _create_silence(NewSilence(matchers=matchers, duration_ms=duration_ms, comment=comment))


_expire_silence = _bridge.Effect("alertmanager.expire-silence", [("id", _bridge.PLAIN)], _SilenceExpired)


def expire_silence(id: str) -> SilenceExpired:
    """Ends a silence now."""
    return _expire_silence(id)
