"""The table of verbs.

A verb is a function of the parts that it works with and, by keyword, of its arguments:

    @verb("train", Access.EDIT, "long")
    def train(training: Training, bus: Bus, *, actor: str, model: str, promote: bool = True) -> JsonObject: ...

Positional parameters are parts, found in the `App` by their type. Keyword parameters are arguments that a caller gives;
`actor` is who calls, and never an argument.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias, TypeVar

from hanok.core.access import Access, current_call
from hanok.core.clock import within_calendar
from hanok.core.errors import Invalid, NotFound
from hanok.core.json import JsonObject
from hanok.core.work import VerbWork, Work
from hanok.engine.app import App
from hanok.engine.arguments import checked, worded
from hanok.engine.parts import find

Answer: TypeAlias = JsonObject | Sequence[JsonObject]
Function: TypeAlias = Callable[..., Answer]
F = TypeVar("F", bound=Function)
ACTOR = "actor"


@dataclass(frozen=True, slots=True)
class Argument:
    """One thing that a caller gives: its name, its type, and whether it must be given."""

    name: str
    kind: Any
    required: bool


@dataclass(frozen=True, slots=True)
class Verb:
    """`on_this_machine`: it takes a path of the server's disk, so it is not offered to callers from elsewhere. An
    owner's verb needs the owner of all projects unless `everywhere` says otherwise. `of_model` is the argument that
    names a registered model: the caller needs the access in that model's project. `audited`: it leaves a row in the
    audit record, as every verb does that asks for more than to use a model. `away` is its work where the model runs in
    a process of its own."""

    name: str
    function: Function
    access: Access
    work: VerbWork
    parts: tuple[type, ...]
    arguments: Mapping[str, Argument]
    takes_actor: bool
    takes_others: bool
    on_this_machine: bool = False
    everywhere: bool | None = None
    of_model: str = ""
    audited: bool = False
    away: Work | None = None

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.function) or "").split("\n")[0]

    def bound(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the function takes them. Raises Invalid, naming the argument."""
        if not self.takes_others and (unknown := [n for n in given if n not in self.arguments]):
            known = ", ".join(self.arguments) or "none"
            raise Invalid(f"{self.name} takes no argument {str(unknown[0])[:60]!r}; it takes {known}")
        for argument in self.arguments.values():
            if argument.required and argument.name not in given:
                raise Invalid(f"{self.name} needs the argument {argument.name!r}: {worded(argument.kind)}")
        taken = {n: given[n] for n in self.arguments if n in given}
        return {n: checked(f"{self.name}: {n}", self.arguments[n].kind, value) for n, value in taken.items()}


ROOMS = (
    "access",
    "cleanup",
    "data",
    "features",
    "imports",
    "jobs",
    "models",
    "monitoring",
    "packages",
    "reading",
    "recording",
    "tables",
    "tuning",
    "upkeep",
    "validation",
    "why",
)
VERBS: dict[str, Verb] = {}


def verb(
    name: str,
    access: Access,
    work: VerbWork,
    *,
    on_this_machine: bool = False,
    everywhere: bool | None = None,
    of_model: str = "model",
    audited: bool = False,
    away: Work | None = None,
) -> Callable[[F], F]:
    """Make a function callable as `name` by everyone with `access`. `work` says in which lane of a server it runs."""

    def register(function: F) -> F:
        hints = inspect.get_annotations(function, eval_str=True)
        parts, arguments, others = list[type](), dict[str, Argument](), False
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                parts.append(hints[parameter.name])
            elif parameter.kind is parameter.VAR_KEYWORD:
                others = True
            elif parameter.name != ACTOR:
                required = parameter.default is parameter.empty
                arguments[parameter.name] = Argument(parameter.name, hints[parameter.name], required)
        VERBS[name] = Verb(
            name,
            function,
            access,
            work,
            tuple(parts),
            arguments,
            ACTOR in hints,
            others,
            on_this_machine,
            everywhere,
            of_model if of_model in arguments else "",
            audited or access >= Access.EDIT,
            away,
        )
        return function

    return register


def call(app: App, name: str, actor: str, arguments: Mapping[str, Any]) -> Answer:
    """Raises NotFound for an unknown verb, Invalid for arguments that it does not take, Forbidden."""
    load_all()
    if name not in VERBS:
        raise NotFound(f"there is no verb {name!r}; there are {', '.join(sorted(VERBS))}")
    found = VERBS[name]
    taken = found.bound(arguments)
    if found.of_model and (model := taken.get(found.of_model)):
        app.metadata.require_model(model, found.access)
        if found.audited and (answering := current_call()) is not None:
            answering.touched.append((app.metadata.project_of_model(model) or "", f"model {model}"))
    if found.takes_actor:
        taken[ACTOR] = actor
    with within_calendar(name):
        return found.function(*(find(app, kind) for kind in found.parts), **taken)


def load_all() -> None:
    """Import every module that defines verbs."""
    for room in ROOMS:
        import_module(f"hanok.engine.verbs.{room}")
