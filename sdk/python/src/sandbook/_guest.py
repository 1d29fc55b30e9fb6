"""The entry points of a component: input in, the runbook's function, outcome out. Called by what `sandbook build` makes."""

from __future__ import annotations

import traceback
from typing import Any, Callable

from . import _bridge
from ._input import Alert, Input, Target
from ._outcome import Outcome
from .errors import Error, Failed
from .types import TargetKind

_CASES = {"done": "Done", "fixed": "Fixed", "nothing-to-do": "NothingToDo", "escalate": "Escalate"}


def run(function: Callable[[Input], Outcome], given: Any) -> Any:
    """Calls the runbook."""
    outcome = _call(function, given)
    if not isinstance(outcome, Outcome):
        text = f"run returned {type(outcome).__name__}; return done, fixed, nothing_to_do or escalate with a sentence"
        raise _bridge.error_to(Failed(text))
    return getattr(_bridge.BINDINGS["types"], f"Outcome_{_CASES[outcome.kind]}")(outcome.text)


def verify(function: Callable[[Input], bool], given: Any) -> bool:
    """Calls the runbook's own check."""
    return bool(_call(function, given))


def _call(function: Callable[[Input], Any], given: Any) -> Any:
    try:
        return function(_input(given))
    except Error as error:
        raise _bridge.error_to(error) from None
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = f" ({frames[-1].filename.rpartition('/')[2]}, line {frames[-1].lineno})" if frames else ""
        raise _bridge.error_to(Failed(f"{type(error).__name__}: {error}{place}{_advice(error)}")) from None


def _advice(error: Exception) -> str:
    """What the message of Python itself cannot know."""
    if isinstance(error, ModuleNotFoundError):
        return f"; only what is imported when it is built is in the component: write `import {error.name}` at the top of main.py"
    return ""


def _input(given: Any) -> Input:
    alert = given.alert and Alert(
        given.alert.name,
        dict(given.alert.labels),
        dict(given.alert.annotations),
        given.alert.starts_at,
        given.alert.fingerprint,
    )
    target = given.target and Target(
        given.target.handle,
        given.target.host,
        TargetKind[given.target.kind.name],
        given.target.name,
        given.target.id,
    )
    return Input(alert, target, {name: value.value for name, value in given.parameters})
