# Generated from sdk/wit by `sandbook-pack generate`; a test compares.
"""What this engine has seen before."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _bridge

__all__ = [
    "Incident",
    "similar",
]


@dataclass
class Incident:
    episode: str = ""
    run: str = ""
    alert: str = ""
    """Name of the alert."""
    at: str = ""
    runbook: str = ""
    outcome: str = ""
    verification: str = ""
    score: float = 0.0
    """How alike, 0 to 1."""
    worked: bool = False
    """What was done held."""
    changes: list[str] = field(default_factory=list)
    """Each change in a sentence."""


_Incident = _bridge.Record("incidents", Incident, {
    "episode": _bridge.PLAIN,
    "run": _bridge.PLAIN,
    "alert": _bridge.PLAIN,
    "at": _bridge.PLAIN,
    "runbook": _bridge.PLAIN,
    "outcome": _bridge.PLAIN,
    "verification": _bridge.PLAIN,
    "score": _bridge.PLAIN,
    "worked": _bridge.PLAIN,
    "changes": _bridge.Sequence(_bridge.PLAIN),
})


_similar = _bridge.Effect("incidents.similar", [("limit", _bridge.PLAIN)], _bridge.Sequence(_Incident))


def similar(limit: int) -> list[Incident]:
    """Earlier incidents like the one of this run, the most similar first; at most 20. Empty in a run without an alert."""
    return _similar(limit)
