"""Search spaces as NNI writes them: `{name: {"_type": T, "_value": V}}`, nested where an option has a `_name`.

A space is flattened into parameters, each a distribution in Optuna's JSON form and a way from the sampled number to
what the objective receives. A parameter within a choice exists only where that choice was taken. Semantics of each type
follow NNI 3.0's documentation of search spaces; quantised ones are `clip(round(u / q) * q, low, high)`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist
from typing import Literal

from hanok.core.errors import Invalid
from hanok.core.json import Json, JsonObject

Kind = Literal["choice", "float", "log", "int", "normal"]
Draw = Callable[["Parameter"], float]
NAME = "_name"
TYPES = {
    "choice": None,
    "randint": 2,
    "uniform": 2,
    "quniform": 3,
    "loguniform": 2,
    "qloguniform": 3,
    "normal": 2,
    "qnormal": 3,
    "lognormal": 2,
    "qlognormal": 3,
}
TAIL = 1e-6  # of a normal distribution that is not drawn from


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number to draw, by its flat name. `kind` says how: a place among `count` choices, a number in [low, high]
    (evenly, evenly in its logarithm, or a whole one), or a probability that the normal distribution maps to a value."""

    name: str
    kind: Kind
    low: float
    high: float
    count: int = 0


@dataclass(frozen=True, slots=True)
class _Leaf:
    parameter: Parameter
    value: Callable[[float], Json]


@dataclass(frozen=True, slots=True)
class _Branch:
    """A choice; an option that is an object holds a space of its own."""

    parameter: Parameter
    options: tuple[Json | Space, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """A checked search space. `label` is the `_name` of the option that holds it, None at the top."""

    entries: Mapping[str, _Leaf | _Branch]
    label: Json = None

    def draw(self, pick: Draw) -> JsonObject:
        """What the objective receives, with each number that is needed drawn by `pick`, in the order of the space."""
        made: dict[str, Json] = {} if self.label is None else {NAME: self.label}
        for name, entry in self.entries.items():
            number = pick(entry.parameter)
            if isinstance(entry, _Leaf):
                made[name] = entry.value(number)
            else:
                option = entry.options[int(number)]
                made[name] = option.draw(pick) if isinstance(option, Space) else option
        return made

    def numbers(self, params: JsonObject) -> dict[str, float]:
        """The sampled numbers that give these parameters, for parameters that a person chose. Raises Invalid."""
        found: dict[str, float] = {}
        self._collect(params, found)
        return found

    def _collect(self, params: JsonObject, found: dict[str, float]) -> None:
        for name in params:
            if name != NAME and name not in self.entries:
                near = difflib.get_close_matches(name, list(self.entries), 1)
                hint = f"; did you mean {near[0]!r}?" if near else "."
                raise Invalid(f"the space has no parameter {name!r}{hint} It has {', '.join(self.entries)}")
        for name, entry in self.entries.items():
            if name not in params:
                raise Invalid(f"parameter {name!r} is missing; the space has {', '.join(self.entries)}")
            value = params[name]
            if isinstance(entry, _Leaf):
                found[entry.parameter.name] = _number_of(entry, name, value)
                continue
            place = _place_of(entry, name, value)
            found[entry.parameter.name] = float(place)
            option = entry.options[place]
            if isinstance(option, Space) and isinstance(value, Mapping):
                option._collect(value, found)

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, those of every option too."""
        for entry in self.entries.values():
            yield entry.parameter
            if isinstance(entry, _Branch):
                for option in entry.options:
                    if isinstance(option, Space):
                        yield from option.parameters()

    def grid(self, points: int = 10) -> Iterator[JsonObject]:
        """Every combination: choices and whole numbers each, continuous ones at `points` places."""
        columns = []
        for name, entry in self.entries.items():
            columns.append([(name, value) for value in _grid_values(entry, points)])
        for combination in product(*columns):
            yield ({} if self.label is None else {NAME: self.label}) | dict(combination)


def parse_space(body: Json) -> Space:
    """Raises Invalid that names the parameter and what is wrong with it."""
    if not isinstance(body, Mapping):
        raise Invalid('a search space is an object of parameters, each {"_type": ..., "_value": [...]}')
    return _parse(body, "", None)


def _parse(body: JsonObject, prefix: str, label: Json) -> Space:
    entries: dict[str, _Leaf | _Branch] = {}
    for name, given in body.items():
        if name == NAME:
            continue
        path = f"{prefix}{name}"
        if not isinstance(given, Mapping) or "_type" not in given or "_value" not in given:
            raise Invalid(f"parameter {path!r} is an object with _type and _value, got {str(given)[:80]}")
        entries[name] = _entry(path, given["_type"], given["_value"])
    if not entries and label is None:
        raise Invalid("the search space is empty: it needs at least one parameter")
    return Space(entries, label)


def _entry(path: str, kind: Json, value: Json) -> _Leaf | _Branch:
    if not isinstance(kind, str) or kind not in TYPES:
        near = difflib.get_close_matches(str(kind), list(TYPES), 1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise Invalid(f"parameter {path!r} has the unknown type {kind!r}{hint} Types are {', '.join(TYPES)}")
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise Invalid(f"parameter {path!r}: _value is a list, got {str(value)[:80]}")
    if kind == "choice":
        return _choice(path, value)
    wanted = TYPES[kind]
    if len(value) != wanted:
        raise Invalid(f"parameter {path!r}: {kind} takes {wanted} numbers, got {len(value)}")
    numbers = [_checked_number(path, v) for v in value]
    return _ranged(path, kind, *numbers)


def _choice(path: str, options: Sequence[Json]) -> _Leaf | _Branch:
    if not options:
        raise Invalid(f"parameter {path!r}: a choice needs at least one option")
    parameter = Parameter(path, "choice", 0, len(options) - 1, len(options))
    made: list[Json | Space] = []
    for option in options:
        if isinstance(option, Mapping) and NAME in option:
            made.append(_parse(option, f"{path}/{option[NAME]}/", option[NAME]))
        else:
            made.append(option)
    return _Branch(parameter, tuple(made))


def _ranged(path: str, kind: str, a: float, b: float, q: float = 0.0) -> _Leaf:
    if kind.startswith("q") and q <= 0:
        raise Invalid(f"parameter {path!r}: the step of {kind} must be above 0, got {q:g}")
    if "normal" in kind:
        if b <= 0:
            raise Invalid(f"parameter {path!r}: sigma of {kind} must be above 0, got {b:g}")
        normal, log = NormalDist(a, b), "log" in kind

        def from_probability(u: float) -> Json:
            value = normal.inv_cdf(min(max(u, TAIL), 1 - TAIL))
            value = math.exp(value) if log else value
            return round(value / q) * q if q else value

        return _Leaf(Parameter(path, "normal", TAIL, 1 - TAIL), from_probability)
    if kind == "randint":
        if a != int(a) or b != int(b):
            raise Invalid(f"parameter {path!r}: bounds of randint are whole numbers, got {a:g} and {b:g}")
        if b <= a:
            raise Invalid(f"parameter {path!r}: randint takes a lower bound below the upper, got {a:g} and {b:g}")
        return _Leaf(Parameter(path, "int", a, b - 1), int)
    if b < a:
        raise Invalid(f"parameter {path!r}: the lower bound {a:g} is above the upper {b:g}")
    if "log" in kind and a <= 0:
        raise Invalid(f"parameter {path!r}: {kind} takes bounds above 0, got {a:g}")
    drawn: Kind = "log" if "log" in kind else "float"
    if not q:
        return _Leaf(Parameter(path, drawn, a, b), float)
    return _Leaf(Parameter(path, drawn, a, b), lambda u: min(max(round(u / q) * q, a), b))


def _checked_number(path: str, value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Invalid(f"parameter {path!r}: bounds are finite numbers, got {value!r}")
    return float(value)


def _number_of(entry: _Leaf, name: str, value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"parameter {name!r} is a number, got {value!r}")
    parameter = entry.parameter
    if parameter.kind == "normal":  # the probability that leads closest to the value
        low, high = parameter.low, parameter.high
        for _ in range(60):
            middle = (low + high) / 2
            drawn = entry.value(middle)
            low, high = (middle, high) if isinstance(drawn, int | float) and drawn < value else (low, middle)
        return (low + high) / 2
    if not parameter.low <= value <= parameter.high:
        raise Invalid(f"parameter {name!r} is {value:g}, outside {parameter.low:g} to {parameter.high:g}")
    return float(value)


def _place_of(entry: _Branch, name: str, value: Json) -> int:
    for place, option in enumerate(entry.options):
        label = option.label if isinstance(option, Space) else option
        given = value.get(NAME) if isinstance(option, Space) and isinstance(value, Mapping) else value
        if label == given and type(label) is type(given):
            return place
    shown = [o.label if isinstance(o, Space) else o for o in entry.options]
    raise Invalid(f"parameter {name!r} is {str(value)[:80]}, none of {str(shown)[:200]}")


def _grid_values(entry: _Leaf | _Branch, points: int) -> Iterator[Json]:
    parameter = entry.parameter
    if isinstance(entry, _Branch):
        for option in entry.options:
            if isinstance(option, Space):
                yield from option.grid(points)
            else:
                yield option
        return
    if parameter.kind == "int":
        yield from (entry.value(v) for v in range(int(parameter.low), int(parameter.high) + 1))
        return
    seen: set[Json] = set()
    for i in range(points):
        share = i / (points - 1) if points > 1 else 0.5
        if parameter.kind == "log":
            drawn = math.exp(math.log(parameter.low) + share * (math.log(parameter.high) - math.log(parameter.low)))
        else:
            drawn = parameter.low + share * (parameter.high - parameter.low)
        value = entry.value(min(max(drawn, parameter.low), parameter.high))
        if isinstance(value, int | float) and value not in seen:
            seen.add(value)
            yield value
