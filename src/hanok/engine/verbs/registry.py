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
    path of the server's disk, so it is not offered to callers from elsewhere. An owner's verb needs the owner of all
    projects unless `everywhere` says otherwise; an argument named `model` needs the access in that model's project."""

    name: str
    function: Callable[..., Any]
    access: Access
    on_this_machine: bool = False
    everywhere: bool | None = None

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.function) or "").split("\n")[0]


ROOMS = (
    "access",
    "cleanup",
    "data",
    "imports",
    "models",
    "monitoring",
    "reading",
    "recording",
    "tables",
    "upkeep",
    "validation",
    "why",
)
VERBS: dict[str, Verb] = {}


def verb(
    name: str, access: Access, *, on_this_machine: bool = False, everywhere: bool | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function callable as `name` by everyone who has `access`."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        VERBS[name] = Verb(name, function, access, on_this_machine, everywhere)
        return function

    return register


def call(app: Any, name: str, actor: str, arguments: Mapping[str, Any]) -> Any:
    """Raises NotFound for an unknown verb, Invalid for arguments that it does not take, Forbidden."""
    load_all()
    if name not in VERBS:
        raise NotFound(f"there is no verb {name!r}; there are {', '.join(sorted(VERBS))}")
    function = VERBS[name].function
    try:
        inspect.signature(function).bind(app, actor, **arguments)
    except TypeError as error:
        raise Invalid(f"{name}: {error}") from None
    if isinstance(model := arguments.get("model"), str):
        app.metadata.require_model(model, VERBS[name].access)
    return function(app, actor, **arguments)


def load_all() -> None:
    """Import every module that defines verbs."""
    for room in ROOMS:
        import_module(f"hanok.engine.verbs.{room}")
