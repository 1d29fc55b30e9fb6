"""What a run starts with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Union

from .errors import Invalid
from .types import TargetKind

#: A parameter, as the manifest types it. Durations are milliseconds.
Value = Union[str, int, float, bool]


@dataclass
class Target:
    """What the run is about. Pass it wherever a container is expected."""

    handle: str = ""
    """Stays the same when the container is recreated."""
    host: str = "local"
    kind: TargetKind = TargetKind.CONTAINER
    name: str = ""
    id: Optional[str] = None
    """The instance the run was started for; absent for services and hosts."""


#: A container: the run's target, a name on the run's own host, or `host/name`.
Container = Union[str, Target]


@dataclass
class Alert:
    """What fired."""

    name: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    starts_at: str = ""
    fingerprint: str = ""


@dataclass
class Input:
    """Everything a run is given."""

    alert: Optional[Alert] = None
    """Absent in manual, scheduled and event-triggered runs."""
    target: Optional[Target] = None
    """Absent when the runbook's target kind is `none`."""
    parameters: dict[str, Value] = field(default_factory=dict)

    @property
    def container(self) -> Target:
        """The target, or the error of a run that was started without one."""
        if self.target is None:
            raise Invalid("this runbook needs a target: name a container")
        return self.target

    def label(self, name: str) -> Optional[str]:
        """A label of the alert."""
        return None if self.alert is None else self.alert.labels.get(name)
