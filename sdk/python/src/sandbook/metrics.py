# Generated from sdk/wit by `sandbook-pack generate`; a test compares.
"""The Prometheus HTTP API the operator configured."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _bridge

__all__ = [
    "Sample",
    "Series",
    "Range",
    "query",
    "query_range",
]


@dataclass
class Sample:
    labels: dict[str, str] = field(default_factory=dict)
    value: float = 0.0
    at: str = ""


_Sample = _bridge.Record("metrics", Sample, {
    "labels": _bridge.Pairs(_bridge.PLAIN),
    "value": _bridge.PLAIN,
    "at": _bridge.PLAIN,
})


@dataclass
class Series:
    labels: dict[str, str] = field(default_factory=dict)
    points: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since 1970 and value, oldest first."""


_Series = _bridge.Record("metrics", Series, {
    "labels": _bridge.Pairs(_bridge.PLAIN),
    "points": _bridge.Sequence(_bridge.Parts(_bridge.PLAIN, _bridge.PLAIN)),
})


@dataclass
class Range:
    since_ms: int = 0
    """How far back; at most 31 days."""
    step_ms: int = 0
    """Distance of points; at least 1 second, at most 11,000 points."""


_Range = _bridge.Record("metrics", Range, {
    "since_ms": _bridge.PLAIN,
    "step_ms": _bridge.PLAIN,
})


_query = _bridge.Effect("metrics.query", [("promql", _bridge.PLAIN)], _bridge.Sequence(_Sample))


def query(promql: str) -> list[Sample]:
    """An instant query, evaluated now; at most 1,000 samples."""
    return _query(promql)


_query_range = _bridge.Effect("metrics.query-range", [("promql", _bridge.PLAIN), ("range", _Range)], _bridge.Sequence(_Series))


def query_range(promql: str, *, since_ms: int, step_ms: int) -> list[Series]:
    """A range query that ends now; at most 1,000 series.

    since_ms: How far back; at most 31 days.
    step_ms: Distance of points; at least 1 second, at most 11,000 points.
    """
    return _query_range(promql, Range(since_ms=since_ms, step_ms=step_ms))
