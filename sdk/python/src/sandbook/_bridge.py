"""How values cross between the engine's bindings and this package: one shape per type, one `Effect` per function.

Inside the engine the bindings are there as `wit_world`; off the engine a test's world answers. Imported when the component
is made, so everything that a run needs is looked up here and not later.
"""

from __future__ import annotations

import importlib
from typing import Any, Optional

from . import errors
from ._contract import INTERFACES

try:
    from componentize_py_types import Err as _Err
except ImportError:  # off the engine

    class _Err(Exception):  # type: ignore[no-redef]
        value: Any = None


def _bindings() -> dict[str, Any]:
    found = {}
    for name in ("types", *(name.replace("-", "_") for name in INTERFACES)):
        try:
            found[name] = importlib.import_module(f"wit_world.imports.{name}")
        except ImportError:
            continue
    return found


#: Modules of the bindings, by interface; those the manifest requests nothing of are not there.
BINDINGS = _bindings()

#: The world of a test, while one is entered.
world: Optional[Any] = None


class Shape:
    """A type: `lower` to the engine, `lift` from it."""

    def lower(self, value: Any) -> Any:
        return value

    def lift(self, value: Any) -> Any:
        return value


PLAIN = Shape()


class _Container(Shape):
    def lower(self, value: Any) -> Any:
        return getattr(value, "handle", value)


CONTAINER = _Container()


class Maybe(Shape):
    def __init__(self, inner: Shape) -> None:
        self.inner = inner

    def lower(self, value: Any) -> Any:
        return None if value is None else self.inner.lower(value)

    def lift(self, value: Any) -> Any:
        return None if value is None else self.inner.lift(value)


class Sequence(Shape):
    def __init__(self, inner: Shape) -> None:
        self.inner = inner

    def lower(self, value: Any) -> Any:
        return [self.inner.lower(item) for item in value]

    def lift(self, value: Any) -> Any:
        return [self.inner.lift(item) for item in value]


class Pairs(Shape):
    def __init__(self, inner: Shape) -> None:
        self.inner = inner

    def lower(self, value: Any) -> Any:
        return [(key, self.inner.lower(item)) for key, item in dict(value).items()]

    def lift(self, value: Any) -> Any:
        return {key: self.inner.lift(item) for key, item in value}


class Parts(Shape):
    def __init__(self, *inner: Shape) -> None:
        self.inner = inner

    def lower(self, value: Any) -> Any:
        return tuple(shape.lower(item) for shape, item in zip(self.inner, value))

    def lift(self, value: Any) -> Any:
        return tuple(shape.lift(item) for shape, item in zip(self.inner, value))


class Enumeration(Shape):
    def __init__(self, interface: str, ours: Any) -> None:
        theirs = getattr(BINDINGS.get(interface), ours.__name__, None)
        self.ours = ours
        self._lower = {} if theirs is None else {word: theirs[word.name] for word in ours}
        self._lift = {other: word for word, other in self._lower.items()}

    def lower(self, value: Any) -> Any:
        try:
            return self._lower[self.ours(value)]
        except ValueError:
            words = ", ".join(word.value for word in self.ours)
            raise errors.Invalid(f"{value!r} is no {self.ours.__name__}: one of {words}") from None

    def lift(self, value: Any) -> Any:
        return self._lift[value]


class Record(Shape):
    def __init__(self, interface: str, ours: Any, fields: dict[str, Shape]) -> None:
        self.ours = ours
        self.theirs = getattr(BINDINGS.get(interface), ours.__name__, None)
        self.fields = list(fields.items())

    def lower(self, value: Any) -> Any:
        assert self.theirs is not None
        return self.theirs(**{name: shape.lower(getattr(value, name)) for name, shape in self.fields})

    def lift(self, value: Any) -> Any:
        return self.ours(**{name: shape.lift(getattr(value, name)) for name, shape in self.fields})


def default(kind: Any) -> Any:
    """What a field of that type holds when a test does not say: the first word, or a record of defaults."""
    return next(iter(kind)) if hasattr(kind, "__members__") else kind()


class Effect:
    """One function of the contract."""

    def __init__(self, name: str, parameters: list[tuple[str, Shape]], answer: Shape) -> None:
        interface, function = name.split(".")
        self.name = name
        self.parameters = parameters
        self.answer = answer
        module = BINDINGS.get(interface.replace("-", "_"))
        self._function = getattr(module, function.replace("-", "_"), None)

    def __call__(self, *arguments: Any) -> Any:
        if world is not None:
            return world.perform(self, arguments)
        if self._function is None:
            raise self._absent()
        lowered = [shape.lower(value) for (_, shape), value in zip(self.parameters, arguments)]
        try:
            answer = self._function(*lowered)
        except _Err as error:
            raise error_of(error.value) from None
        return self.answer.lift(answer)

    def _absent(self) -> Exception:
        if BINDINGS:
            return errors.Denied(f"the manifest does not request {self.name}; add it under [requests] and build again")
        return RuntimeError(f"{self.name} exists only inside the engine; in a test, enter a sandbook.testing.World")


def error_of(value: Any) -> errors.Error:
    """The exception for the contract's error."""
    case = type(value).__name__.partition("_")[2]
    return errors.CASES.get(case, errors.Failed)(value.value)


def error_to(error: errors.Error) -> Any:
    """The contract's error for the exception, as the bindings raise it."""
    case = next((name for name, kind in errors.CASES.items() if isinstance(error, kind)), "Failed")
    return _Err(getattr(BINDINGS["types"], f"Error_{case}")(error.text))
