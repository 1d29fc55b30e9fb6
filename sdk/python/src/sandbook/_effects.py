"""The modules of effects. Generated from sdk/wit by `sandbook-pack generate`; a test compares."""

from . import (
    docker,
    logs,
    metrics,
    net,
    http,
    notify,
    state,
    clock,
    random,
    log,
    human,
    alertmanager,
    llm,
    incidents,
)

__all__ = ["docker", "logs", "metrics", "net", "http", "notify", "state", "clock", "random", "log", "human", "alertmanager", "llm", "incidents"]
