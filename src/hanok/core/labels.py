"""What is a label, where labels come from, and which label of an entity counts.

One rule for training and for monitoring: of the rows of an entity's label that are known by now and hold a value, the
one with the newest `known_at` counts; of several with the same instant, the one that arrived last. Null, NaN and
infinity are no labels: they change nothing. What counted before stays in its table. Where the table's source has a
`row_key`, a row counts no more from when a later one with the same key is known, whatever that one holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import TypeAlias

from hanok.core.errors import Invalid
from hanok.core.keys import KeyType

LabelValue: TypeAlias = str | int | float | bool | datetime | None

TRUE_WORDS, FALSE_WORDS = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True, slots=True)
class LabelSource:
    """The labels of a model: `column` of `table`, matched by `keys`, known from the instant in `known_at` on.

    `window` is how far a label may be dated from the answer that it is for; None: any age. `slices` are the features
    that outcomes are told apart by.
    """

    model: str
    table: str
    column: str
    known_at: str
    keys: tuple[str, ...]
    window: timedelta | None = None
    slices: tuple[str, ...] = ()
    row_key: tuple[str, ...] = ()  # of label rows that have the same values in these columns the newest counts

    @property
    def origin(self) -> str:
        """Whose labels these are: what was read from elsewhere is none of them."""
        return f"{self.table}.{self.column}" + (f" rows by {', '.join(self.row_key)}" if self.row_key else "")

    @property
    def identity(self) -> str:
        """What makes these labels others than before: a declaration that reads another column joins anew."""
        rows = f" rows by {', '.join(self.row_key)}" if self.row_key else ""
        return f"{self.table}.{self.column} at {self.known_at} by {', '.join(self.keys)}{rows}"


@dataclass(frozen=True, slots=True)
class KeysOf:
    """By which keys, of which types, labels meet what these versions answered: a version keeps the keys that it was
    declared with, whatever is declared now."""

    versions: frozenset[int]
    keys: tuple[str, ...]
    kinds: tuple[KeyType, ...]


def class_name(value: LabelValue) -> str:
    """The name of a class: booleans and whole numbers as integers, everything else as its text."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def is_label(value: LabelValue) -> bool:
    """False for null, NaN and infinite numbers."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def checked_label(model: str, value: LabelValue, column_type: str, task: str, classes: Sequence[str]) -> LabelValue:
    """A label that somebody tells, as the type of its column. `column_type` is INT, FLOAT, BOOL, TIMESTAMP, STRING or
    "" where the column is not known yet; `classes` are those of the version that answers.

    Raises Invalid for a word that is no label of the task: nothing is guessed.
    """
    typed = _typed(model, value, column_type)
    if task == "regression":
        if isinstance(typed, str | datetime):
            raise Invalid(f"a label of {model!r} is a number, {value!r} is not")
        return typed
    name = class_name(typed)
    if classes and name not in classes:
        near = get_close_matches(name, classes, n=1, cutoff=0.6)
        raise Invalid(
            f"{value!r} is no label of {model!r}: its classes are {', '.join(classes)}"
            + (f". Did you mean {near[0]!r}?" if near else ". A new class comes in with a batch: 'hanok ingest'")
        )
    return typed


def _typed(model: str, value: LabelValue, column_type: str) -> LabelValue:
    if not is_label(value) or (isinstance(value, str) and not value.strip()):
        raise Invalid(f"a label of {model!r} needs a value, {value!r} says nothing")
    if not isinstance(value, str | int | float | bool | datetime):
        raise Invalid(f"a label of {model!r} is one value, {str(value)[:80]!r} is {type(value).__name__}")
    refused = Invalid(f"{value!r} is no label of {model!r}: its column is {column_type}, {_takes(column_type)}")
    if column_type == "BOOL":
        return _boolean(value, refused)
    if column_type in ("INT", "FLOAT"):
        return _number(value, column_type == "INT", refused)
    if column_type == "STRING":
        return value if isinstance(value, str) else class_name(value)
    return value


def _boolean(value: LabelValue, refused: Invalid) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in TRUE_WORDS or word in FALSE_WORDS:
        return word in TRUE_WORDS
    raise refused


def _number(value: LabelValue, whole: bool, refused: Invalid) -> int | float:
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        raise refused from None
    if not math.isfinite(number) or (whole and not number.is_integer()):
        raise refused
    if not whole:
        return number
    try:
        return int(value)  # type: ignore[arg-type]  # exact where a float is not
    except ValueError:
        return int(number)


def _takes(column_type: str) -> str:
    if column_type == "BOOL":
        return f"which takes {', '.join((*TRUE_WORDS, *FALSE_WORDS))}"
    return {"INT": "which takes whole numbers", "FLOAT": "which takes numbers"}.get(column_type, "another type")
