"""A world for unit tests: says what effects answer, and remembers what was asked. Needs neither the engine nor a build.

    from sandbook import docker
    from sandbook.testing import World, play

    world = World()
    world.answer("docker.inspect-container", docker.ContainerDetails(name="web-1"))
    outcome = play(world, main.run, target="web-1")
    assert world.effects() == ["docker.inspect-container"]

What a package does as a whole is tested by its scenarios: `sandbook test`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional

from . import _bridge
from ._input import Alert, Input, Target, Value
from ._outcome import Outcome

__all__ = ["Call", "World", "play"]


@dataclass
class Call:
    """One effect that was asked for."""

    effect: str
    arguments: dict[str, Any]


class World:
    """Answers effects. Notes, waits and the runbook's memory need no answer; anything else without one fails the test."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.now_ms = 1_700_000_000_000
        self.memory: dict[str, str] = {}
        self._answers: dict[str, list[Any]] = {}
        self._before: Any = None

    def answer(self, effect: str, *answers: Any) -> "World":
        """What an effect answers, call by call; the last one is repeated. An exception is raised; a function is called with
        the arguments."""
        self._answers.setdefault(effect, []).extend(answers)
        return self

    def effects(self) -> list[str]:
        """Names of what was asked for, without notes."""
        return [call.effect for call in self.calls if not call.effect.startswith("log.")]

    def notes(self) -> list[str]:
        """What was logged or kept as evidence, as text."""
        texts = (call.arguments for call in self.calls if call.effect.startswith("log."))
        return [str(arguments.get("text", arguments.get("message"))) for arguments in texts]

    def __enter__(self) -> "World":
        self._before, _bridge.world = _bridge.world, self
        return self

    def __exit__(self, *_: Any) -> None:
        _bridge.world = self._before

    def perform(self, effect: Any, arguments: tuple[Any, ...]) -> Any:
        """Called for every effect."""
        named = {name: value for (name, _), value in zip(effect.parameters, arguments)}
        self.calls.append(Call(effect.name, named))
        answers = self._answers.get(effect.name)
        if not answers:
            return self._usual(effect.name, named)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            answer = answer(**named)
        wanted = getattr(effect.answer, "ours", None)
        if wanted is not None and not isinstance(answer, wanted):
            raise TypeError(f"{effect.name} answers a {wanted.__name__}, not {answer!r}")
        return answer

    def _usual(self, name: str, arguments: dict[str, Any]) -> Any:
        if name.startswith("log."):
            return None
        if name == "clock.now":
            return self.now_ms
        if name == "clock.sleep":
            self.now_ms += arguments["duration_ms"]
            return None
        if name == "random.random-u64":
            return 4
        if name == "state.get":
            return self.memory.get(arguments["key"])
        if name == "state.put":
            self.memory[arguments["key"]] = arguments["value"]
            return None
        if name == "state.compare-and-put":
            same = self.memory.get(arguments["key"]) == arguments["expected"]
            if same:
                self.memory[arguments["key"]] = arguments["value"]
            return same
        raise AssertionError(f"the runbook asked for {name}{tuple(arguments.values())}; world.answer({name!r}, …) says what it gets")


def play(
    world: World,
    run: Callable[[Input], Outcome],
    *,
    target: Optional[str] = None,
    labels: Optional[dict[str, str]] = None,
    parameters: Optional[dict[str, Value]] = None,
) -> Outcome:
    """Runs a runbook's function in that world."""
    labels = labels or {}
    alert = Alert(name=labels.get("alertname", ""), labels=labels) if labels else None
    about = Target(handle=target, name=target) if target else None
    with world:
        return run(Input(alert=alert, target=about, parameters=parameters or {}))
