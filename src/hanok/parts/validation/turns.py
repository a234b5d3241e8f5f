"""One batch of a table at a time: what it is judged by, what it does and what it teaches are one step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar


class Turns:
    """A lock for each table, made when it is first asked for."""

    def __init__(self) -> None:
        self._lock, self._of = threading.Lock(), dict[str, threading.RLock]()

    def of(self, table: str) -> threading.RLock:
        with self._lock:
            return self._of.setdefault(table, threading.RLock())


class _TakesTurns(Protocol):
    turns: Turns


S = TypeVar("S", bound=_TakesTurns)
P = ParamSpec("P")
T = TypeVar("T")


def in_turn(method: Callable[Concatenate[S, str, P], T]) -> Callable[Concatenate[S, str, P], T]:
    """Calls of the method for one table, its first argument, wait for each other."""

    @wraps(method)
    def waiting(self: S, table: str, /, *args: P.args, **given: P.kwargs) -> T:
        with self.turns.of(table):
            return method(self, table, *args, **given)

    return waiting
