"""The table of verbs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from hanok.core.access import Access
from hanok.core.errors import Invalid, NotFound


@dataclass(frozen=True, slots=True)
class Verb:
    """`function(app, actor, **arguments)` returns JSON: an object or a list of objects. `on_this_machine`: it takes a
    path of the server's disk, so it is not offered to callers from elsewhere."""

    name: str
    function: Callable[..., Any]
    access: Access
    on_this_machine: bool = False

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.function) or "").split("\n")[0]


ROOMS = ("cleanup", "data", "models", "reading", "recording", "tables", "upkeep", "validation", "why")
VERBS: dict[str, Verb] = {}


def verb(
    name: str, access: Access, *, on_this_machine: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function callable as `name` by everyone who has `access`."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        VERBS[name] = Verb(name, function, access, on_this_machine)
        return function

    return register


def call(app: Any, name: str, actor: str, arguments: Mapping[str, Any]) -> Any:
    """Raises NotFound for an unknown verb and Invalid for arguments that it does not take."""
    load_all()
    if name not in VERBS:
        raise NotFound(f"there is no verb {name!r}; there are {', '.join(sorted(VERBS))}")
    function = VERBS[name].function
    try:
        inspect.signature(function).bind(app, actor, **arguments)
    except TypeError as error:
        raise Invalid(f"{name}: {error}") from None
    return function(app, actor, **arguments)


def load_all() -> None:
    """Import every module that defines verbs."""
    for room in ROOMS:
        import_module(f"hanok.engine.verbs.{room}")
