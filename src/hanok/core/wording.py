"""Checks of what people write into a declaration: each refuses with the field's name, and with the near word."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import ParamSpec, TypeVar

from hanok.core.durations import duration, shortest
from hanok.core.errors import DeclarationError, HanokError
from hanok.core.ids import checked_name
from hanok.core.metric_names import ANY_TASK

T = TypeVar("T")
P = ParamSpec("P")


def give(made: object, name: str, value: object) -> None:
    """Give a field of a frozen declaration its normalised value while it is being made."""
    object.__setattr__(made, name, value)


def near(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'champion'?"`, or nothing when no known word is close."""
    folded: dict[str, str] = {}
    for name in known:
        folded.setdefault(name.casefold(), name)
    close = difflib.get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.6)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""


def refused(field: str, value: object, need: str) -> DeclarationError:
    return DeclarationError(f"{field}={_shown(value)}: {need}")


def one_of(field: str, value: object, known: Sequence[str]) -> str:
    """`value` if it is one of the known words."""
    if isinstance(value, str) and value in known:
        return value
    hint = near(value, known) if isinstance(value, str) else ""
    raise refused(field, value, f"it is one of {', '.join(known)}{hint}")


def text(field: str, value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise refused(field, value, "it is a text that is not empty")


def name(field: str, kind: str, value: object) -> str:
    """A name that can stand in URLs and on disk."""
    try:
        return checked_name(kind, text(field, value))
    except HanokError as error:
        if isinstance(error, DeclarationError):
            raise
        raise refused(field, value, error.message) from None


def whole(field: str, value: object, *, least: int | None = None) -> int:
    """An integer, of `least` or more."""
    if isinstance(value, int) and not isinstance(value, bool) and (least is None or value >= least):
        return value
    raise refused(field, value, "it is a whole number" + (f", {least} or more" if least is not None else ""))


def number(field: str, value: object, *, above: float | None = None, below: float | None = None, like: str) -> float:
    """A finite number between the bounds, which are not allowed themselves."""
    low, high = -math.inf if above is None else above, math.inf if below is None else below
    if isinstance(value, int | float) and not isinstance(value, bool) and low < value < high:
        return value
    bounds = " and ".join(
        [*([f"above {above:g}"] if above is not None else []), *([f"below {below:g}"] if below is not None else [])]
    )
    raise refused(field, value, f"it is a number{' ' + bounds if bounds else ''}, like {like}")


def span(field: str, value: object, *, zero: bool = False, like: str = "'1d'") -> timedelta:
    """A length of time; 0 only where `zero` allows it."""
    if isinstance(value, str | timedelta):
        try:
            found = duration(value)
        except (DeclarationError, OverflowError):
            raise refused(field, value, f"it is a number and one of ms, s, m, h, d, w, like {like}") from None
        if found > timedelta() or (zero and not found):
            return found
        raise refused(field, value, f"a length of time is above 0, like {like}")
    raise refused(field, value, f"it is a length of time, like {like}")


def listed(field: str, value: object, kind: type[T] | tuple[type[T], ...], what: str) -> tuple[T, ...]:
    """A list (or tuple) whose items are of a kind. A text alone is no list."""
    if isinstance(value, str):
        raise refused(field, value, f"it is a list; write [{value!r}]")
    if not isinstance(value, list | tuple):
        raise refused(field, value, f"it is a list of {what}")
    for item in value:
        if not isinstance(item, kind) or isinstance(item, bool):
            raise refused(field, value, f"it is a list of {what}; {_shown(item)} is none")
    return tuple(value)


def names(field: str, value: object, *, alone: bool = False) -> tuple[str, ...]:
    """A list of names, each once; `alone`: one name may stand without a list."""
    found = (value,) if alone and isinstance(value, str) else listed(field, value, str, "names")
    for item in found:
        text(field, item)
    distinct(field, found)
    return found


def distinct(field: str, found: Sequence[str]) -> None:
    """Refuse a name that stands twice, and two that differ in the case of letters only."""
    if twice := [n for n, count in Counter(found).items() if count > 1]:
        raise DeclarationError(f"{field} names {twice[0]!r} twice")
    by_case: dict[str, str] = {}
    for item in found:
        other = by_case.setdefault(item.casefold(), item)
        if other != item:
            raise DeclarationError(
                f"{field} names {other!r} and {item!r}, which differ in the case of letters only: many tools take them "
                "for one column; rename one"
            )


def of_kind(field: str, value: object, kind: type[T], like: str) -> T:
    if isinstance(value, kind):
        return value
    raise refused(field, value, f"it is a {kind.__name__}, like {like}")


def mapping(field: str, value: object, kind: type[T], like: str) -> tuple[tuple[str, T], ...]:
    """A dict of names and values of one kind, as pairs."""
    if not isinstance(value, Mapping):
        raise refused(field, value, f"it is a dict, like {like}")
    for key, item in value.items():
        text(field, key)
        if not isinstance(item, kind):
            raise refused(field, value, f"{key!r} is {_shown(item)}; it is like {like}")
    distinct(field, list(value))
    return tuple(value.items())


def windows(field: str, value: object) -> tuple[str, ...]:
    found, lengths = [], set()
    for window in listed(field, value, str, "windows, like ['24h', '7d']"):
        lengths.add(span(field, window, like="['24h', '7d']"))
        found.append(window.replace(" ", ""))
    if len(lengths) < len(found):
        raise refused(field, value, "one window stands twice")
    return tuple(found)


def window(field: str, value: object) -> str:
    """How much of the past a training looks at."""
    if value == "expanding":
        return "expanding"
    try:
        return shortest(span(field, value))
    except DeclarationError:
        hint = near(value, ["expanding"]) if isinstance(value, str) else ""
        raise refused(field, value, f"it is 'expanding' or a length of time, like '90d'{hint}") from None


def drop(field: str, value: object) -> tuple[str, float]:
    """A metric, and how much worse it may get."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise refused(field, value, "it is a metric and how much worse it may get, like ('log_loss', 0.03)")
    return one_of(field, value[0], ANY_TASK), number(field, value[1], above=0, like="('log_loss', 0.03)")


def shares(field: str, value: object) -> tuple[int, ...]:
    """Growing percentages."""
    found = listed(field, value, int, "shares in percent, like [5, 25, 100]")
    if any(not 0 < share <= 100 for share in found) or any(a >= b for a, b in pairwise(found)):
        raise refused(field, value, "shares grow and lie in 1..100, like [5, 25, 100]")
    return found


def declaration(cls: type[T]) -> type[T]:
    """Class decorator: an unknown or a missing argument is a DeclarationError with the near word."""
    setattr(cls, "__init__", spoken(cls.__init__, cls.__name__))  # noqa: B010 (mypy: no assignment to a method)
    return cls


def spoken(function: Callable[P, T], called: str = "") -> Callable[P, T]:
    """The function, but an argument that it does not know, or that is missing, is a DeclarationError."""
    signature = inspect.signature(function)
    known = [p for p in signature.parameters if p != "self"]
    title = called or function.__name__.rstrip("_")

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        for word in kwargs:
            if word not in signature.parameters:
                raise DeclarationError(
                    f"{title} takes no {word!r}{near(word, known) or '; it takes ' + ', '.join(known)}"
                )
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise DeclarationError(f"{title}: {error}; it takes {', '.join(known)}") from None
        return function(*args, **kwargs)

    return checked


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
