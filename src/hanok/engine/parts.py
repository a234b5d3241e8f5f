"""Finding parts of an open home by their type, for verbs and for the joins that need several of them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from inspect import get_annotations
from typing import TypeVar, cast

from hanok.engine.app import App

T = TypeVar("T")


def find(app: App, kind: type[T]) -> T:
    """The part of this type; for a dataclass of parts, one made of them. Raises TypeError where App has no such part,
    or more than one."""
    name = _fields_of_app().get(kind)
    if name is not None:
        return cast(T, getattr(app, name))
    if not is_dataclass(kind):
        raise TypeError(f"App has no part of type {kind.__name__}, or more than one")
    hints = _hints(kind)
    return kind(**{f.name: find(app, hints[f.name]) for f in fields(kind)})


@cache
def _fields_of_app() -> dict[type, str]:
    named = get_annotations(App, eval_str=True)
    kinds = list(named.values())
    return {kind: name for name, kind in named.items() if kinds.count(kind) == 1}


@cache
def _hints(kind: type) -> dict[str, type]:
    return get_annotations(kind, eval_str=True)
