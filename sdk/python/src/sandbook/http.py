# Generated from sdk/wit by `sandbook-pack generate`; a test compares.
"""HTTP to hosts the operator lists. Redirects are followed only to listed hosts."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _bridge
from ._words import Word

__all__ = [
    "GetOptions",
    "Method",
    "RequestOptions",
    "Response",
    "get",
    "request",
]


@dataclass
class GetOptions:
    headers: dict[str, str] | None = None
    timeout_ms: int | None = None
    """Default 10 seconds, at most 60."""


_GetOptions = _bridge.Record("http", GetOptions, {
    "headers": _bridge.Maybe(_bridge.Pairs(_bridge.PLAIN)),
    "timeout_ms": _bridge.Maybe(_bridge.PLAIN),
})


class Method(Word):
    GET = "get"
    HEAD = "head"
    POST = "post"
    PUT = "put"
    PATCH = "patch"
    DELETE = "delete"


_Method = _bridge.Enumeration("http", Method)


@dataclass
class RequestOptions:
    headers: dict[str, str] | None = None
    body: str | None = None
    """At most 256 KiB."""
    timeout_ms: int | None = None
    """Default 10 seconds, at most 60."""
    idempotent: bool | None = None
    """Declares that repeating it does no harm: after a crash it is sent again instead of asking a person."""


_RequestOptions = _bridge.Record("http", RequestOptions, {
    "headers": _bridge.Maybe(_bridge.Pairs(_bridge.PLAIN)),
    "body": _bridge.Maybe(_bridge.PLAIN),
    "timeout_ms": _bridge.Maybe(_bridge.PLAIN),
    "idempotent": _bridge.Maybe(_bridge.PLAIN),
})


@dataclass
class Response:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    """Text; at most 900 KiB."""
    truncated: bool = False


_Response = _bridge.Record("http", Response, {
    "status": _bridge.PLAIN,
    "headers": _bridge.Pairs(_bridge.PLAIN),
    "body": _bridge.PLAIN,
    "truncated": _bridge.PLAIN,
})


_get = _bridge.Effect("http.get", [("url", _bridge.PLAIN), ("options", _GetOptions)], _Response)


def get(url: str, *, headers: dict[str, str] | None = None, timeout_ms: int | None = None) -> Response:
    """A GET; any status is an answer.

    timeout_ms: Default 10 seconds, at most 60.
    """
    return _get(url, GetOptions(headers=headers, timeout_ms=timeout_ms))


_request = _bridge.Effect("http.request", [("method", _Method), ("url", _bridge.PLAIN), ("options", _RequestOptions)], _Response)


def request(
    method: Method | str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    body: str | None = None,
    timeout_ms: int | None = None,
    idempotent: bool | None = None,
) -> Response:
    """Any method. It can carry data out whatever the method is, so the operator lists the hosts.

    body: At most 256 KiB.
    timeout_ms: Default 10 seconds, at most 60.
    idempotent: Declares that repeating it does no harm: after a crash it is sent again instead of asking a person.
    """
    return _request(method, url, RequestOptions(headers=headers, body=body, timeout_ms=timeout_ms, idempotent=idempotent))
