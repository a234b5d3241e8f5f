"""From method and path to a route, whatever the number of routes: plain paths by one look-up, patterns by their
literal beginning. The first route that fits wins, as if they were tried one after the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from re import Pattern
from typing import Any

from starlette.convertors import Convertor
from starlette.routing import compile_path

from hanok.server.routes import Route

NO_PARAMS: Mapping[str, Any] = {}
Match = tuple[Route, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Pattern:
    place: int
    route: Route
    regex: Pattern[str]
    convertors: Mapping[str, Convertor[Any]]

    def params(self, path: str) -> Mapping[str, Any] | None:
        match = self.regex.match(path)
        if match is None:
            return None
        return {name: self.convertors[name].convert(text) for name, text in match.groupdict().items()}


@dataclass(slots=True)
class _Branch:
    """Patterns whose literal beginning ends here, and the branches below."""

    patterns: list[_Pattern] = field(default_factory=list)
    below: dict[str, _Branch] = field(default_factory=dict)


class RouteTable:
    """`find` costs the depth of a path, not the number of routes."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._root = _Branch()
        places: dict[tuple[str, str], int] = {}
        for place, route in enumerate(routes):
            if "{" in route.path:
                self._grow(place, route)
            else:
                for method in _methods(route):
                    places.setdefault((method, route.path), place)
        self._exact: dict[tuple[str, str], Match] = {
            (method, path): self._pattern(method, path, before=place) or (routes[place], NO_PARAMS)
            for (method, path), place in places.items()
        }
        self._paths = {path for _, path in places}

    def find(self, method: str, path: str) -> Match | None:
        """The route and what its path holds."""
        return self._exact.get((method, path)) or self._pattern(method, path)

    def knows(self, path: str) -> bool:
        """Whether some method fits this path."""
        return path in self._paths or any(p.params(path) is not None for p in self._candidates(path))

    def _grow(self, place: int, route: Route) -> None:
        branch = self._root
        for segment in route.path.partition("{")[0].rpartition("/")[0].split("/"):
            branch = branch.below.setdefault(segment, _Branch())
        regex, _, convertors = compile_path(route.path)
        branch.patterns.append(_Pattern(place, route, regex, convertors))

    def _candidates(self, path: str) -> list[_Pattern]:
        found: list[_Pattern] = []
        branch = self._root
        for segment in path.split("/"):
            below = branch.below.get(segment)
            if below is None:
                break
            branch = below
            found += branch.patterns
        return sorted(found, key=lambda pattern: pattern.place)

    def _pattern(self, method: str, path: str, *, before: float = math.inf) -> Match | None:
        """The first pattern that fits, of those that stand before a place."""
        for pattern in self._candidates(path):
            if pattern.place < before and method in _methods(pattern.route):
                params = pattern.params(path)
                if params is not None:
                    return pattern.route, params
        return None


def _methods(route: Route) -> tuple[str, ...]:
    return ("GET", "HEAD") if route.method == "GET" else (route.method,)
