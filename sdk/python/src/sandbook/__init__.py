"""What a runbook in Python is written with.

    from sandbook import Input, Outcome, docker, fixed

    def run(input: Input) -> Outcome:
        docker.restart_container(input.container, grace_ms=10_000)
        return fixed("restarted")

A module per domain, a function per effect; options are keywords. An effect that is refused raises an exception of
`sandbook.errors`. `verify(input) -> bool` is optional and may only look.
"""

from . import errors, types
from ._contract import INTERFACES as _INTERFACES
from ._input import Alert, Container, Input, Target, Value
from ._outcome import Outcome, done, escalate, fixed, nothing_to_do
from .errors import Conflict, Denied, Error, Failed, Invalid, Limited, NotFound, Timeout
from ._effects import *  # noqa: F403

__all__ = [
    "Alert", "Conflict", "Container", "Denied", "Error", "Failed", "Input", "Invalid", "Limited", "NotFound", "Outcome",
    "Target", "Timeout", "Value", "done", "errors", "escalate", "fixed", "nothing_to_do", "types",
    *(name.replace("-", "_") for name in _INTERFACES),
]
