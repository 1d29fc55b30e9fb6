# Generated from sdk/wit by `sandbook-pack generate`; a test compares.
"""Probes from the daemon's place in the network. Each can carry data out, so the operator lists the hosts."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _bridge

__all__ = [
    "ProbeOptions",
    "ProbeResult",
    "CheckOptions",
    "CheckResult",
    "LookupResult",
    "http_probe",
    "tcp_check",
    "dns_lookup",
]


@dataclass
class ProbeOptions:
    timeout_ms: int | None = None
    """Default 5 seconds, at most 60."""
    expect_status: int | None = None
    """Default: any of 200 to 299."""
    expect_body: str | None = None
    """A regular expression the first 64 KiB of the body must match."""


_ProbeOptions = _bridge.Record("net", ProbeOptions, {
    "timeout_ms": _bridge.Maybe(_bridge.PLAIN),
    "expect_status": _bridge.Maybe(_bridge.PLAIN),
    "expect_body": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class ProbeResult:
    ok: bool = False
    status: int | None = None
    """Absent when no answer came."""
    duration_ms: int = 0
    reason: str = ""
    """Why it is not ok; empty if it is."""


_ProbeResult = _bridge.Record("net", ProbeResult, {
    "ok": _bridge.PLAIN,
    "status": _bridge.Maybe(_bridge.PLAIN),
    "duration_ms": _bridge.PLAIN,
    "reason": _bridge.PLAIN,
})


@dataclass
class CheckOptions:
    timeout_ms: int | None = None
    """Default 3 seconds, at most 60."""


_CheckOptions = _bridge.Record("net", CheckOptions, {
    "timeout_ms": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class CheckResult:
    open: bool = False
    duration_ms: int = 0
    reason: str = ""


_CheckResult = _bridge.Record("net", CheckResult, {
    "open": _bridge.PLAIN,
    "duration_ms": _bridge.PLAIN,
    "reason": _bridge.PLAIN,
})


@dataclass
class LookupResult:
    addresses: list[str] = field(default_factory=list)
    duration_ms: int = 0


_LookupResult = _bridge.Record("net", LookupResult, {
    "addresses": _bridge.Sequence(_bridge.PLAIN),
    "duration_ms": _bridge.PLAIN,
})


_http_probe = _bridge.Effect("net.http-probe", [("url", _bridge.PLAIN), ("options", _ProbeOptions)], _ProbeResult)


def http_probe(
    url: str,
    *,
    timeout_ms: int | None = None,
    expect_status: int | None = None,
    expect_body: str | None = None,
) -> ProbeResult:
    """A GET that asks one question: is it well? An unreachable host is an answer, not an error.

    timeout_ms: Default 5 seconds, at most 60.
    expect_status: Default: any of 200 to 299.
    expect_body: A regular expression the first 64 KiB of the body must match.
    """
    return _http_probe(url, ProbeOptions(timeout_ms=timeout_ms, expect_status=expect_status, expect_body=expect_body))


_tcp_check = _bridge.Effect("net.tcp-check", [("host", _bridge.PLAIN), ("port", _bridge.PLAIN), ("options", _CheckOptions)], _CheckResult)


def tcp_check(host: str, port: int, *, timeout_ms: int | None = None) -> CheckResult:
    """Does something accept connections there?

    timeout_ms: Default 3 seconds, at most 60.
    """
    return _tcp_check(host, port, CheckOptions(timeout_ms=timeout_ms))


_dns_lookup = _bridge.Effect("net.dns-lookup", [("name", _bridge.PLAIN), ("options", _CheckOptions)], _LookupResult)


def dns_lookup(name: str, *, timeout_ms: int | None = None) -> LookupResult:
    """Addresses of a name, by the daemon's resolver.

    timeout_ms: Default 3 seconds, at most 60.
    """
    return _dns_lookup(name, CheckOptions(timeout_ms=timeout_ms))
