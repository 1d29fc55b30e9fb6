# Generated from sdk/wit by `sandbook-pack generate`; a test compares.
"""Containers of the run's Docker host. Reads need the manifest's request; changes also the operator's policy."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _bridge
from ._words import Word
from ._input import Container
from .types import Change, _Change, ContainerState, _ContainerState, ContainerStatus, _ContainerStatus

__all__ = [
    "ContainerFilter",
    "ContainerSummary",
    "HealthProbe",
    "Mount",
    "Limits",
    "ContainerDetails",
    "Stats",
    "Processes",
    "Dependency",
    "Dependent",
    "EventFilter",
    "Event",
    "StopOptions",
    "KillOptions",
    "ExecOptions",
    "ExecResult",
    "Resources",
    "MountKind",
    "NewMount",
    "RecreateOptions",
    "Recreated",
    "RemoveOptions",
    "Removed",
    "ScaleOptions",
    "Scaled",
    "ConnectOptions",
    "NetworkChange",
    "ImageFilter",
    "Image",
    "UseOfDisk",
    "LogFile",
    "DiskUse",
    "PruneImagesOptions",
    "PruneCacheOptions",
    "Pruned",
    "FileChangeKind",
    "FileChange",
    "FileChanges",
    "list_containers",
    "inspect_container",
    "container_stats",
    "container_processes",
    "dependents",
    "recent_events",
    "start_container",
    "stop_container",
    "restart_container",
    "kill_container",
    "pause_container",
    "unpause_container",
    "exec",
    "update_resources",
    "container_changes",
    "list_images",
    "disk_usage",
    "recreate_container",
    "remove_container",
    "scale_service",
    "connect_network",
    "disconnect_network",
    "prune_images",
    "prune_build_cache",
]


@dataclass
class ContainerFilter:
    all: bool | None = None
    """Also those that do not run. Default: only running ones."""
    name: str | None = None
    """Shell-style pattern on the name, such as `web-*`."""
    labels: list[str] | None = None
    """`key` or `key=value`; all must hold."""
    project: str | None = None
    """Compose project."""
    service: str | None = None
    """Compose service."""


_ContainerFilter = _bridge.Record("docker", ContainerFilter, {
    "all": _bridge.Maybe(_bridge.PLAIN),
    "name": _bridge.Maybe(_bridge.PLAIN),
    "labels": _bridge.Maybe(_bridge.Sequence(_bridge.PLAIN)),
    "project": _bridge.Maybe(_bridge.PLAIN),
    "service": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class ContainerSummary:
    name: str = ""
    id: str = ""
    host: str = ""
    image: str = ""
    status: ContainerStatus = field(default_factory=lambda: _bridge.default(ContainerStatus))
    status_text: str = ""
    """As Docker words it, such as `Up 3 hours (healthy)`."""
    project: str | None = None
    service: str | None = None


_ContainerSummary = _bridge.Record("docker", ContainerSummary, {
    "name": _bridge.PLAIN,
    "id": _bridge.PLAIN,
    "host": _bridge.PLAIN,
    "image": _bridge.PLAIN,
    "status": _ContainerStatus,
    "status_text": _bridge.PLAIN,
    "project": _bridge.Maybe(_bridge.PLAIN),
    "service": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class HealthProbe:
    started_at: str = ""
    exit_code: int = 0
    output: str = ""
    """At most 4 KiB."""


_HealthProbe = _bridge.Record("docker", HealthProbe, {
    "started_at": _bridge.PLAIN,
    "exit_code": _bridge.PLAIN,
    "output": _bridge.PLAIN,
})


@dataclass
class Mount:
    kind: str = ""
    source: str = ""
    destination: str = ""
    writable: bool = False


_Mount = _bridge.Record("docker", Mount, {
    "kind": _bridge.PLAIN,
    "source": _bridge.PLAIN,
    "destination": _bridge.PLAIN,
    "writable": _bridge.PLAIN,
})


@dataclass
class Limits:
    """Zero means: no limit."""
    memory_bytes: int = 0
    memory_swap_bytes: int = 0
    cpus: float = 0.0
    pids: int = 0


_Limits = _bridge.Record("docker", Limits, {
    "memory_bytes": _bridge.PLAIN,
    "memory_swap_bytes": _bridge.PLAIN,
    "cpus": _bridge.PLAIN,
    "pids": _bridge.PLAIN,
})


@dataclass
class ContainerDetails:
    name: str = ""
    id: str = ""
    host: str = ""
    image: str = ""
    image_id: str = ""
    state: ContainerState = field(default_factory=lambda: _bridge.default(ContainerState))
    health_log: list[HealthProbe] = field(default_factory=list)
    """The engine's last health probes, oldest first; at most 5."""
    created_at: str = ""
    command: list[str] = field(default_factory=list)
    environment_names: list[str] = field(default_factory=list)
    """Names only: values of environment variables never cross."""
    labels: dict[str, str] = field(default_factory=dict)
    project: str | None = None
    service: str | None = None
    restart_policy: str = ""
    network_mode: str = ""
    networks: list[str] = field(default_factory=list)
    mounts: list[Mount] = field(default_factory=list)
    limits: Limits = field(default_factory=lambda: _bridge.default(Limits))
    has_healthcheck: bool = False


_ContainerDetails = _bridge.Record("docker", ContainerDetails, {
    "name": _bridge.PLAIN,
    "id": _bridge.PLAIN,
    "host": _bridge.PLAIN,
    "image": _bridge.PLAIN,
    "image_id": _bridge.PLAIN,
    "state": _ContainerState,
    "health_log": _bridge.Sequence(_HealthProbe),
    "created_at": _bridge.PLAIN,
    "command": _bridge.Sequence(_bridge.PLAIN),
    "environment_names": _bridge.Sequence(_bridge.PLAIN),
    "labels": _bridge.Pairs(_bridge.PLAIN),
    "project": _bridge.Maybe(_bridge.PLAIN),
    "service": _bridge.Maybe(_bridge.PLAIN),
    "restart_policy": _bridge.PLAIN,
    "network_mode": _bridge.PLAIN,
    "networks": _bridge.Sequence(_bridge.PLAIN),
    "mounts": _bridge.Sequence(_Mount),
    "limits": _Limits,
    "has_healthcheck": _bridge.PLAIN,
})


@dataclass
class Stats:
    cpu_percent: float = 0.0
    """Of one core: 150.0 is one and a half cores."""
    memory_bytes: int = 0
    memory_limit_bytes: int = 0
    """Zero when the container has no limit."""
    pids: int = 0
    network_received_bytes: int = 0
    network_sent_bytes: int = 0
    block_read_bytes: int = 0
    block_written_bytes: int = 0
    throttled_periods: int = 0
    """Periods in which the CPU quota held it back, since start."""


_Stats = _bridge.Record("docker", Stats, {
    "cpu_percent": _bridge.PLAIN,
    "memory_bytes": _bridge.PLAIN,
    "memory_limit_bytes": _bridge.PLAIN,
    "pids": _bridge.PLAIN,
    "network_received_bytes": _bridge.PLAIN,
    "network_sent_bytes": _bridge.PLAIN,
    "block_read_bytes": _bridge.PLAIN,
    "block_written_bytes": _bridge.PLAIN,
    "throttled_periods": _bridge.PLAIN,
})


@dataclass
class Processes:
    titles: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    """At most 500 rows."""
    zombies: int = 0
    """Processes in state Z."""


_Processes = _bridge.Record("docker", Processes, {
    "titles": _bridge.Sequence(_bridge.PLAIN),
    "rows": _bridge.Sequence(_bridge.Sequence(_bridge.PLAIN)),
    "zombies": _bridge.PLAIN,
})


class Dependency(Word):
    SHARES_NETWORK = "shares-network"
    DEPENDS_ON = "depends-on"
    VOLUMES_FROM = "volumes-from"


_Dependency = _bridge.Enumeration("docker", Dependency)


@dataclass
class Dependent:
    name: str = ""
    id: str = ""
    why: Dependency = field(default_factory=lambda: _bridge.default(Dependency))
    status: ContainerStatus = field(default_factory=lambda: _bridge.default(ContainerStatus))


_Dependent = _bridge.Record("docker", Dependent, {
    "name": _bridge.PLAIN,
    "id": _bridge.PLAIN,
    "why": _Dependency,
    "status": _ContainerStatus,
})


@dataclass
class EventFilter:
    container: Container | None = None
    """Only of this container. Default: of the whole host."""
    since_ms: int | None = None
    """How far back; default 10 minutes, at most 24 hours."""
    limit: int | None = None
    """Default 100, at most 500; the newest are kept."""


_EventFilter = _bridge.Record("docker", EventFilter, {
    "container": _bridge.Maybe(_bridge.CONTAINER),
    "since_ms": _bridge.Maybe(_bridge.PLAIN),
    "limit": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class Event:
    at: str = ""
    action: str = ""
    """Such as `die`, `oom`, `health_status: unhealthy`."""
    container: str = ""
    exit_code: int | None = None


_Event = _bridge.Record("docker", Event, {
    "at": _bridge.PLAIN,
    "action": _bridge.PLAIN,
    "container": _bridge.PLAIN,
    "exit_code": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class StopOptions:
    grace_ms: int | None = None
    """How long the container gets before it is killed; default its own setting, at most 5 minutes."""


_StopOptions = _bridge.Record("docker", StopOptions, {
    "grace_ms": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class KillOptions:
    signal: str | None = None
    """Default `KILL`."""


_KillOptions = _bridge.Record("docker", KillOptions, {
    "signal": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class ExecOptions:
    timeout_ms: int | None = None
    """Default 10 seconds, at most 5 minutes."""
    user: str | None = None
    workdir: str | None = None


_ExecOptions = _bridge.Record("docker", ExecOptions, {
    "timeout_ms": _bridge.Maybe(_bridge.PLAIN),
    "user": _bridge.Maybe(_bridge.PLAIN),
    "workdir": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class ExecResult:
    exit_code: int = 0
    stdout: str = ""
    """At most 64 KiB."""
    stderr: str = ""
    """At most 64 KiB."""
    truncated: bool = False


_ExecResult = _bridge.Record("docker", ExecResult, {
    "exit_code": _bridge.PLAIN,
    "stdout": _bridge.PLAIN,
    "stderr": _bridge.PLAIN,
    "truncated": _bridge.PLAIN,
})


@dataclass
class Resources:
    """What is absent stays as it is."""
    memory_bytes: int | None = None
    memory_swap_bytes: int | None = None
    """Memory plus swap; -1 for no limit."""
    cpus: float | None = None
    pids: int | None = None


_Resources = _bridge.Record("docker", Resources, {
    "memory_bytes": _bridge.Maybe(_bridge.PLAIN),
    "memory_swap_bytes": _bridge.Maybe(_bridge.PLAIN),
    "cpus": _bridge.Maybe(_bridge.PLAIN),
    "pids": _bridge.Maybe(_bridge.PLAIN),
})


class MountKind(Word):
    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"


_MountKind = _bridge.Enumeration("docker", MountKind)


@dataclass
class NewMount:
    kind: MountKind = field(default_factory=lambda: _bridge.default(MountKind))
    source: str | None = None
    """Path on the host, or name of the volume; absent for tmpfs."""
    destination: str = ""
    writable: bool | None = None
    """Default true."""


_NewMount = _bridge.Record("docker", NewMount, {
    "kind": _MountKind,
    "source": _bridge.Maybe(_bridge.PLAIN),
    "destination": _bridge.PLAIN,
    "writable": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class RecreateOptions:
    """What is absent stays as it is. Labels of compose and of Sandbook itself stay whatever is said, so that the subject does."""
    image: str | None = None
    """An image that is on the host already. What the container has from its old image it then has from the new one."""
    environment: dict[str, str] | None = None
    """Variables to add or replace. They are recorded: name a secret by file, never by value."""
    remove_environment: list[str] | None = None
    command: list[str] | None = None
    mounts: list[NewMount] | None = None
    """Added, or in the place of the mount at the same destination."""
    labels: dict[str, str] | None = None
    remove_labels: list[str] | None = None
    limits: Resources | None = None
    network_of: Container | None = None
    """Shares the network of that container; only for one that shares another's already, such as one that is gone."""
    grace_ms: int | None = None
    """How long the old container gets before it is killed; default its own setting, at most 5 minutes."""
    healthy_within_ms: int | None = None
    """How long the new one may take to be healthy, or without a health check to run for 3 seconds; default 60 seconds, at
    most 5 minutes."""


_RecreateOptions = _bridge.Record("docker", RecreateOptions, {
    "image": _bridge.Maybe(_bridge.PLAIN),
    "environment": _bridge.Maybe(_bridge.Pairs(_bridge.PLAIN)),
    "remove_environment": _bridge.Maybe(_bridge.Sequence(_bridge.PLAIN)),
    "command": _bridge.Maybe(_bridge.Sequence(_bridge.PLAIN)),
    "mounts": _bridge.Maybe(_bridge.Sequence(_NewMount)),
    "labels": _bridge.Maybe(_bridge.Pairs(_bridge.PLAIN)),
    "remove_labels": _bridge.Maybe(_bridge.Sequence(_bridge.PLAIN)),
    "limits": _bridge.Maybe(_Resources),
    "network_of": _bridge.Maybe(_bridge.CONTAINER),
    "grace_ms": _bridge.Maybe(_bridge.PLAIN),
    "healthy_within_ms": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class Recreated:
    name: str = ""
    id: str = ""
    """The new instance."""
    old_id: str = ""
    """The one it replaced, which is gone."""
    image: str = ""
    state: ContainerState = field(default_factory=lambda: _bridge.default(ContainerState))


_Recreated = _bridge.Record("docker", Recreated, {
    "name": _bridge.PLAIN,
    "id": _bridge.PLAIN,
    "old_id": _bridge.PLAIN,
    "image": _bridge.PLAIN,
    "state": _ContainerState,
})


@dataclass
class RemoveOptions:
    force: bool | None = None
    """Kills it first when it runs. Default: a running one is a conflict."""


_RemoveOptions = _bridge.Record("docker", RemoveOptions, {
    "force": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class Removed:
    name: str = ""
    id: str = ""


_Removed = _bridge.Record("docker", Removed, {
    "name": _bridge.PLAIN,
    "id": _bridge.PLAIN,
})


@dataclass
class ScaleOptions:
    grace_ms: int | None = None
    """How long a container that goes gets before it is killed; default its own setting, at most 5 minutes."""


_ScaleOptions = _bridge.Record("docker", ScaleOptions, {
    "grace_ms": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class Scaled:
    changed: bool = False
    """False when it had that many already."""
    before: int = 0
    after: int = 0
    created: list[str] = field(default_factory=list)
    """Names of containers; empty for a swarm service, which makes them when it can."""
    removed: list[str] = field(default_factory=list)


_Scaled = _bridge.Record("docker", Scaled, {
    "changed": _bridge.PLAIN,
    "before": _bridge.PLAIN,
    "after": _bridge.PLAIN,
    "created": _bridge.Sequence(_bridge.PLAIN),
    "removed": _bridge.Sequence(_bridge.PLAIN),
})


@dataclass
class ConnectOptions:
    aliases: list[str] | None = None
    """Further names on that network."""
    ipv4_address: str | None = None


_ConnectOptions = _bridge.Record("docker", ConnectOptions, {
    "aliases": _bridge.Maybe(_bridge.Sequence(_bridge.PLAIN)),
    "ipv4_address": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class NetworkChange:
    changed: bool = False
    """False when it was already so."""
    networks: list[str] = field(default_factory=list)
    """Names of the networks it is connected to afterwards."""


_NetworkChange = _bridge.Record("docker", NetworkChange, {
    "changed": _bridge.PLAIN,
    "networks": _bridge.Sequence(_bridge.PLAIN),
})


@dataclass
class ImageFilter:
    dangling: bool | None = None
    """Only those without a tag (true) or with one (false)."""
    unused: bool | None = None
    """Only those no container uses (true) or one does (false)."""
    tag: str | None = None
    """Shell-style pattern on a tag, such as `shop/*`."""


_ImageFilter = _bridge.Record("docker", ImageFilter, {
    "dangling": _bridge.Maybe(_bridge.PLAIN),
    "unused": _bridge.Maybe(_bridge.PLAIN),
    "tag": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class Image:
    id: str = ""
    tags: list[str] = field(default_factory=list)
    size_bytes: int = 0
    created_at: str = ""
    containers: int = 0
    """Containers made from it, running or not."""


_Image = _bridge.Record("docker", Image, {
    "id": _bridge.PLAIN,
    "tags": _bridge.Sequence(_bridge.PLAIN),
    "size_bytes": _bridge.PLAIN,
    "created_at": _bridge.PLAIN,
    "containers": _bridge.PLAIN,
})


@dataclass
class UseOfDisk:
    count: int = 0
    """How many there are."""
    in_use: int = 0
    """How many of them are in use."""
    size_bytes: int = 0
    reclaimable_bytes: int = 0
    """What removing those not in use would give back."""


_UseOfDisk = _bridge.Record("docker", UseOfDisk, {
    "count": _bridge.PLAIN,
    "in_use": _bridge.PLAIN,
    "size_bytes": _bridge.PLAIN,
    "reclaimable_bytes": _bridge.PLAIN,
})


@dataclass
class LogFile:
    container: str = ""
    size_bytes: int = 0


_LogFile = _bridge.Record("docker", LogFile, {
    "container": _bridge.PLAIN,
    "size_bytes": _bridge.PLAIN,
})


@dataclass
class DiskUse:
    images: UseOfDisk = field(default_factory=lambda: _bridge.default(UseOfDisk))
    containers: UseOfDisk = field(default_factory=lambda: _bridge.default(UseOfDisk))
    """Their writable layers."""
    volumes: UseOfDisk = field(default_factory=lambda: _bridge.default(UseOfDisk))
    build_cache: UseOfDisk = field(default_factory=lambda: _bridge.default(UseOfDisk))
    logs: list[LogFile] = field(default_factory=list)
    """The ten largest container logs, largest first; empty where the engine's files are not within reach."""


_DiskUse = _bridge.Record("docker", DiskUse, {
    "images": _UseOfDisk,
    "containers": _UseOfDisk,
    "volumes": _UseOfDisk,
    "build_cache": _UseOfDisk,
    "logs": _bridge.Sequence(_LogFile),
})


@dataclass
class PruneImagesOptions:
    """Volumes are never pruned."""
    unused: bool | None = None
    """Also tagged ones that no container uses. Then `older-than-ms` must be given, because the image of the last release is
    one of them."""
    older_than_ms: int | None = None
    """Only those made longer ago; at least an hour where `unused` is true."""


_PruneImagesOptions = _bridge.Record("docker", PruneImagesOptions, {
    "unused": _bridge.Maybe(_bridge.PLAIN),
    "older_than_ms": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class PruneCacheOptions:
    older_than_ms: int | None = None
    """Only what was not used for as long."""
    keep_bytes: int | None = None
    """Leaves that much of what was used last."""


_PruneCacheOptions = _bridge.Record("docker", PruneCacheOptions, {
    "older_than_ms": _bridge.Maybe(_bridge.PLAIN),
    "keep_bytes": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class Pruned:
    deleted: int = 0
    """How many items are gone."""
    freed_bytes: int = 0


_Pruned = _bridge.Record("docker", Pruned, {
    "deleted": _bridge.PLAIN,
    "freed_bytes": _bridge.PLAIN,
})


class FileChangeKind(Word):
    CHANGED = "changed"
    ADDED = "added"
    DELETED = "deleted"


_FileChangeKind = _bridge.Enumeration("docker", FileChangeKind)


@dataclass
class FileChange:
    path: str = ""
    kind: FileChangeKind = field(default_factory=lambda: _bridge.default(FileChangeKind))


_FileChange = _bridge.Record("docker", FileChange, {
    "path": _bridge.PLAIN,
    "kind": _FileChangeKind,
})


@dataclass
class FileChanges:
    changes: list[FileChange] = field(default_factory=list)
    """At most 1,000, in the engine's order."""
    truncated: bool = False


_FileChanges = _bridge.Record("docker", FileChanges, {
    "changes": _bridge.Sequence(_FileChange),
    "truncated": _bridge.PLAIN,
})


_list_containers = _bridge.Effect("docker.list-containers", [("filter", _ContainerFilter)], _bridge.Sequence(_ContainerSummary))


def list_containers(
    *,
    all: bool | None = None,
    name: str | None = None,
    labels: list[str] | None = None,
    project: str | None = None,
    service: str | None = None,
) -> list[ContainerSummary]:
    """Lists containers of the run's host, by name.

    all: Also those that do not run. Default: only running ones.
    name: Shell-style pattern on the name, such as `web-*`.
    labels: `key` or `key=value`; all must hold.
    project: Compose project.
    service: Compose service.
    """
    return _list_containers(ContainerFilter(all=all, name=name, labels=labels, project=project, service=service))


_inspect_container = _bridge.Effect("docker.inspect-container", [("container", _bridge.CONTAINER)], _ContainerDetails)


def inspect_container(container: Container) -> ContainerDetails:
    """Everything worth knowing of one container. Values of environment variables are omitted."""
    return _inspect_container(container)


_container_stats = _bridge.Effect("docker.container-stats", [("container", _bridge.CONTAINER)], _Stats)


def container_stats(container: Container) -> Stats:
    """One sample of a running container's resource use."""
    return _container_stats(container)


_container_processes = _bridge.Effect("docker.container-processes", [("container", _bridge.CONTAINER)], _Processes)


def container_processes(container: Container) -> Processes:
    """Processes inside a running container."""
    return _container_processes(container)


_dependents = _bridge.Effect("docker.dependents", [("container", _bridge.CONTAINER)], _bridge.Sequence(_Dependent))


def dependents(container: Container) -> list[Dependent]:
    """Who stops working when this container restarts: sharers of its network, compose `depends_on`, `volumes-from`."""
    return _dependents(container)


_recent_events = _bridge.Effect("docker.recent-events", [("filter", _EventFilter)], _bridge.Sequence(_Event))


def recent_events(
    *,
    container: Container | None = None,
    since_ms: int | None = None,
    limit: int | None = None,
) -> list[Event]:
    """What the engine reported lately, oldest first.

    container: Only of this container. Default: of the whole host.
    since_ms: How far back; default 10 minutes, at most 24 hours.
    limit: Default 100, at most 500; the newest are kept.
    """
    return _recent_events(EventFilter(container=container, since_ms=since_ms, limit=limit))


_start_container = _bridge.Effect("docker.start-container", [("container", _bridge.CONTAINER)], _Change)


def start_container(container: Container) -> Change:
    """Starts a container that does not run."""
    return _start_container(container)


_stop_container = _bridge.Effect("docker.stop-container", [("container", _bridge.CONTAINER), ("options", _StopOptions)], _Change)


def stop_container(container: Container, *, grace_ms: int | None = None) -> Change:
    """Stops a running container.

    grace_ms: How long the container gets before it is killed; default its own setting, at most 5 minutes.
    """
    return _stop_container(container, StopOptions(grace_ms=grace_ms))


_restart_container = _bridge.Effect("docker.restart-container", [("container", _bridge.CONTAINER), ("options", _StopOptions)], _Change)


def restart_container(container: Container, *, grace_ms: int | None = None) -> Change:
    """Restarts a container, running or not.

    grace_ms: How long the container gets before it is killed; default its own setting, at most 5 minutes.
    """
    return _restart_container(container, StopOptions(grace_ms=grace_ms))


_kill_container = _bridge.Effect("docker.kill-container", [("container", _bridge.CONTAINER), ("options", _KillOptions)], _Change)


def kill_container(container: Container, *, signal: str | None = None) -> Change:
    """Sends a signal to a running container.

    signal: Default `KILL`.
    """
    return _kill_container(container, KillOptions(signal=signal))


_pause_container = _bridge.Effect("docker.pause-container", [("container", _bridge.CONTAINER)], _Change)


def pause_container(container: Container) -> Change:
    """Freezes every process of a running container."""
    return _pause_container(container)


_unpause_container = _bridge.Effect("docker.unpause-container", [("container", _bridge.CONTAINER)], _Change)


def unpause_container(container: Container) -> Change:
    """Thaws a paused container."""
    return _unpause_container(container)


_exec = _bridge.Effect("docker.exec", [("container", _bridge.CONTAINER), ("argv", _bridge.Sequence(_bridge.PLAIN)), ("options", _ExecOptions)], _ExecResult)


def exec(
    container: Container,
    argv: list[str],
    *,
    timeout_ms: int | None = None,
    user: str | None = None,
    workdir: str | None = None,
) -> ExecResult:
    """Runs a program inside a running container: an argument vector, never a shell string.

    timeout_ms: Default 10 seconds, at most 5 minutes.
    """
    return _exec(container, argv, ExecOptions(timeout_ms=timeout_ms, user=user, workdir=workdir))


_update_resources = _bridge.Effect("docker.update-resources", [("container", _bridge.CONTAINER), ("resources", _Resources)], _Change)


def update_resources(
    container: Container,
    *,
    memory_bytes: int | None = None,
    memory_swap_bytes: int | None = None,
    cpus: float | None = None,
    pids: int | None = None,
) -> Change:
    """Changes limits of a container while it runs.

    memory_swap_bytes: Memory plus swap; -1 for no limit.
    """
    return _update_resources(container, Resources(memory_bytes=memory_bytes, memory_swap_bytes=memory_swap_bytes, cpus=cpus, pids=pids))


_container_changes = _bridge.Effect("docker.container-changes", [("container", _bridge.CONTAINER)], _FileChanges)


def container_changes(container: Container) -> FileChanges:
    """What differs in a container's files from its image."""
    return _container_changes(container)


_list_images = _bridge.Effect("docker.list-images", [("filter", _ImageFilter)], _bridge.Sequence(_Image))


def list_images(*, dangling: bool | None = None, unused: bool | None = None, tag: str | None = None) -> list[Image]:
    """Images of the run's host, the largest first; at most 500.

    dangling: Only those without a tag (true) or with one (false).
    unused: Only those no container uses (true) or one does (false).
    tag: Shell-style pattern on a tag, such as `shop/*`.
    """
    return _list_images(ImageFilter(dangling=dangling, unused=unused, tag=tag))


_disk_usage = _bridge.Effect("docker.disk-usage", [], _DiskUse)


def disk_usage() -> DiskUse:
    """What takes the disk of the run's host, as far as Docker knows."""
    return _disk_usage()


_recreate_container = _bridge.Effect("docker.recreate-container", [("container", _bridge.CONTAINER), ("options", _RecreateOptions)], _Recreated)


def recreate_container(
    container: Container,
    *,
    image: str | None = None,
    environment: dict[str, str] | None = None,
    remove_environment: list[str] | None = None,
    command: list[str] | None = None,
    mounts: list[NewMount] | None = None,
    labels: dict[str, str] | None = None,
    remove_labels: list[str] | None = None,
    limits: Resources | None = None,
    network_of: Container | None = None,
    grace_ms: int | None = None,
    healthy_within_ms: int | None = None,
) -> Recreated:
    """Replaces a container by a new instance with the same configuration but for what is named here. The old one is stopped, kept
    under another name until the new one is healthy, and comes back if it is not. Anonymous volumes, networks with their
    aliases and fixed addresses go over to the new one.

    image: An image that is on the host already. What the container has from its old image it then has from the new one.
    environment: Variables to add or replace. They are recorded: name a secret by file, never by value.
    mounts: Added, or in the place of the mount at the same destination.
    network_of: Shares the network of that container; only for one that shares another's already, such as one that is gone.
    grace_ms: How long the old container gets before it is killed; default its own setting, at most 5 minutes.
    healthy_within_ms: How long the new one may take to be healthy, or without a health check to run for 3 seconds; default 60 seconds, at
    most 5 minutes.
    """
    return _recreate_container(container, RecreateOptions(image=image, environment=environment, remove_environment=remove_environment, command=command, mounts=mounts, labels=labels, remove_labels=remove_labels, limits=limits, network_of=network_of, grace_ms=grace_ms, healthy_within_ms=healthy_within_ms))


_remove_container = _bridge.Effect("docker.remove-container", [("container", _bridge.CONTAINER), ("options", _RemoveOptions)], _Removed)


def remove_container(container: Container, *, force: bool | None = None) -> Removed:
    """Removes a container. Its volumes stay, anonymous ones too.

    force: Kills it first when it runs. Default: a running one is a conflict.
    """
    return _remove_container(container, RemoveOptions(force=force))


_scale_service = _bridge.Effect("docker.scale-service", [("service", _bridge.PLAIN), ("replicas", _bridge.PLAIN), ("options", _ScaleOptions)], _Scaled)


def scale_service(service: str, replicas: int, *, grace_ms: int | None = None) -> Scaled:
    """Sets how many containers a compose service (`project/service`) or swarm service has, 1 to 100: made after one that is there,
    with the next numbers; the highest numbers go first.

    grace_ms: How long a container that goes gets before it is killed; default its own setting, at most 5 minutes.
    """
    return _scale_service(service, replicas, ScaleOptions(grace_ms=grace_ms))


_connect_network = _bridge.Effect("docker.connect-network", [("container", _bridge.CONTAINER), ("network", _bridge.PLAIN), ("options", _ConnectOptions)], _NetworkChange)


def connect_network(
    container: Container,
    network: str,
    *,
    aliases: list[str] | None = None,
    ipv4_address: str | None = None,
) -> NetworkChange:
    """Connects a container to a network, by the network's name.

    aliases: Further names on that network.
    """
    return _connect_network(container, network, ConnectOptions(aliases=aliases, ipv4_address=ipv4_address))


_disconnect_network = _bridge.Effect("docker.disconnect-network", [("container", _bridge.CONTAINER), ("network", _bridge.PLAIN)], _NetworkChange)


def disconnect_network(container: Container, network: str) -> NetworkChange:
    """Disconnects a container from a network, by the network's name."""
    return _disconnect_network(container, network)


_prune_images = _bridge.Effect("docker.prune-images", [("options", _PruneImagesOptions)], _Pruned)


def prune_images(*, unused: bool | None = None, older_than_ms: int | None = None) -> Pruned:
    """Removes images without a tag that nothing uses, and if asked, others that no container uses.

    unused: Also tagged ones that no container uses. Then `older-than-ms` must be given, because the image of the last release is
    one of them.
    older_than_ms: Only those made longer ago; at least an hour where `unused` is true.
    """
    return _prune_images(PruneImagesOptions(unused=unused, older_than_ms=older_than_ms))


_prune_build_cache = _bridge.Effect("docker.prune-build-cache", [("options", _PruneCacheOptions)], _Pruned)


def prune_build_cache(*, older_than_ms: int | None = None, keep_bytes: int | None = None) -> Pruned:
    """Removes build cache.

    older_than_ms: Only what was not used for as long.
    keep_bytes: Leaves that much of what was used last.
    """
    return _prune_build_cache(PruneCacheOptions(older_than_ms=older_than_ms, keep_bytes=keep_bytes))
