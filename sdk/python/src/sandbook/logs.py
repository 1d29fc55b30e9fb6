# Generated from sdk/wit by `sandbook-pack generate`; a test compares.
"""What containers wrote to stdout and stderr. Filtered and paged on the host side."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _bridge
from ._input import Container

__all__ = [
    "TailOptions",
    "Page",
    "SearchOptions",
    "Match",
    "Matches",
    "LokiOptions",
    "LokiLine",
    "LokiPage",
    "Truncated",
    "tail_container",
    "search_container",
    "query_loki",
    "truncate_container_log",
]


@dataclass
class TailOptions:
    lines: int | None = None
    """Default 100, at most 5,000."""
    since_ms: int | None = None
    """Only lines younger than this."""


_TailOptions = _bridge.Record("logs", TailOptions, {
    "lines": _bridge.Maybe(_bridge.PLAIN),
    "since_ms": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class Page:
    text: str = ""
    """Lines joined with a line break; at most 256 KiB, the newest are kept."""
    lines: int = 0
    truncated: bool = False


_Page = _bridge.Record("logs", Page, {
    "text": _bridge.PLAIN,
    "lines": _bridge.PLAIN,
    "truncated": _bridge.PLAIN,
})


@dataclass
class SearchOptions:
    since_ms: int | None = None
    """How far back; default 1 hour, at most 7 days."""
    limit: int | None = None
    """Default 100, at most 1,000 matches a page."""
    context: int | None = None
    """Lines around each match; default 0, at most 20."""
    cursor: str | None = None
    """Where the previous page ended."""


_SearchOptions = _bridge.Record("logs", SearchOptions, {
    "since_ms": _bridge.Maybe(_bridge.PLAIN),
    "limit": _bridge.Maybe(_bridge.PLAIN),
    "context": _bridge.Maybe(_bridge.PLAIN),
    "cursor": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class Match:
    at: str = ""
    line: str = ""
    context: list[str] = field(default_factory=list)


_Match = _bridge.Record("logs", Match, {
    "at": _bridge.PLAIN,
    "line": _bridge.PLAIN,
    "context": _bridge.Sequence(_bridge.PLAIN),
})


@dataclass
class Matches:
    found: list[Match] = field(default_factory=list)
    cursor: str | None = None
    """Present when there is more."""
    scanned: int = 0
    """Lines looked at for this page."""


_Matches = _bridge.Record("logs", Matches, {
    "found": _bridge.Sequence(_Match),
    "cursor": _bridge.Maybe(_bridge.PLAIN),
    "scanned": _bridge.PLAIN,
})


@dataclass
class LokiOptions:
    since_ms: int | None = None
    """How far back; default 1 hour, at most 7 days."""
    limit: int | None = None
    """Default 100, at most 1,000 lines; the newest are kept."""


_LokiOptions = _bridge.Record("logs", LokiOptions, {
    "since_ms": _bridge.Maybe(_bridge.PLAIN),
    "limit": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class LokiLine:
    at: str = ""
    line: str = ""
    labels: dict[str, str] = field(default_factory=dict)


_LokiLine = _bridge.Record("logs", LokiLine, {
    "at": _bridge.PLAIN,
    "line": _bridge.PLAIN,
    "labels": _bridge.Pairs(_bridge.PLAIN),
})


@dataclass
class LokiPage:
    lines: list[LokiLine] = field(default_factory=list)
    """Oldest first."""
    truncated: bool = False
    """There were more."""


_LokiPage = _bridge.Record("logs", LokiPage, {
    "lines": _bridge.Sequence(_LokiLine),
    "truncated": _bridge.PLAIN,
})


@dataclass
class Truncated:
    freed_bytes: int = 0
    """What it gave back."""


_Truncated = _bridge.Record("logs", Truncated, {
    "freed_bytes": _bridge.PLAIN,
})


_tail_container = _bridge.Effect("logs.tail-container", [("container", _bridge.CONTAINER), ("options", _TailOptions)], _Page)


def tail_container(container: Container, *, lines: int | None = None, since_ms: int | None = None) -> Page:
    """The last lines of a container's log.

    lines: Default 100, at most 5,000.
    since_ms: Only lines younger than this.
    """
    return _tail_container(container, TailOptions(lines=lines, since_ms=since_ms))


_search_container = _bridge.Effect("logs.search-container", [("container", _bridge.CONTAINER), ("pattern", _bridge.PLAIN), ("options", _SearchOptions)], _Matches)


def search_container(
    container: Container,
    pattern: str,
    *,
    since_ms: int | None = None,
    limit: int | None = None,
    context: int | None = None,
    cursor: str | None = None,
) -> Matches:
    """Lines that match a regular expression (linear time, no backtracking), oldest first.

    since_ms: How far back; default 1 hour, at most 7 days.
    limit: Default 100, at most 1,000 matches a page.
    context: Lines around each match; default 0, at most 20.
    cursor: Where the previous page ended.
    """
    return _search_container(container, pattern, SearchOptions(since_ms=since_ms, limit=limit, context=context, cursor=cursor))


_query_loki = _bridge.Effect("logs.query-loki", [("logql", _bridge.PLAIN), ("options", _LokiOptions)], _LokiPage)


def query_loki(logql: str, *, since_ms: int | None = None, limit: int | None = None) -> LokiPage:
    """A log query (LogQL) to the Loki the operator configured.

    since_ms: How far back; default 1 hour, at most 7 days.
    limit: Default 100, at most 1,000 lines; the newest are kept.
    """
    return _query_loki(logql, LokiOptions(since_ms=since_ms, limit=limit))


_truncate_container_log = _bridge.Effect("logs.truncate-container-log", [("container", _bridge.CONTAINER)], _Truncated)


def truncate_container_log(container: Container) -> Truncated:
    """Empties the file of a container's log (driver `json-file`). What is in it is lost, so a policy must name the container: one
    that permits it on a pattern, a service or a label does not suffice."""
    return _truncate_container_log(container)
