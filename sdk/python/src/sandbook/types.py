# Generated from sdk/wit by `sandbook-pack generate`; a test compares.
"""Shared by every interface: one error, the target, the input, the outcome."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _bridge
from ._words import Word

__all__ = [
    "TargetKind",
    "ContainerStatus",
    "HealthStatus",
    "ContainerState",
    "Change",
]


class TargetKind(Word):
    """What kind of thing a run is about."""
    CONTAINER = "container"
    SERVICE = "service"
    HOST = "host"
    NONE = "none"


_TargetKind = _bridge.Enumeration("types", TargetKind)


class ContainerStatus(Word):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


_ContainerStatus = _bridge.Enumeration("types", ContainerStatus)


class HealthStatus(Word):
    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


_HealthStatus = _bridge.Enumeration("types", HealthStatus)


@dataclass
class ContainerState:
    status: ContainerStatus = field(default_factory=lambda: _bridge.default(ContainerStatus))
    health: HealthStatus = field(default_factory=lambda: _bridge.default(HealthStatus))
    exit_code: int | None = None
    """Of the last exit; absent while it never exited."""
    oom_killed: bool = False
    error: str = ""
    """What the engine says went wrong at the last start; empty if nothing."""
    started_at: str | None = None
    finished_at: str | None = None
    restart_count: int = 0
    """Restarts by the engine's restart policy since creation."""


_ContainerState = _bridge.Record("types", ContainerState, {
    "status": _ContainerStatus,
    "health": _HealthStatus,
    "exit_code": _bridge.Maybe(_bridge.PLAIN),
    "oom_killed": _bridge.PLAIN,
    "error": _bridge.PLAIN,
    "started_at": _bridge.Maybe(_bridge.PLAIN),
    "finished_at": _bridge.Maybe(_bridge.PLAIN),
    "restart_count": _bridge.PLAIN,
})


@dataclass
class Change:
    """What a change left behind."""
    changed: bool = False
    """False when it was already so and nothing was done."""
    state: ContainerState = field(default_factory=lambda: _bridge.default(ContainerState))


_Change = _bridge.Record("types", Change, {
    "changed": _bridge.PLAIN,
    "state": _ContainerState,
})
