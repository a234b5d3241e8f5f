"""How the prediction log names the columns of its tables.

A feature stands in one column for each kind of value that was logged of it. Most features are of one kind and stand in
`f__NAME`. Names that differ only in letter case, and features that are a number in one version and text in another,
get columns of their own: SQL engines tell neither apart.

| prefix | holds |
|---|---|
| `f__` | numbers (also of integers and booleans), or text: whichever was logged first |
| `n__`, `t__` | numbers, text of a feature whose `f__` column holds the other |
| `i__`, `b__` | the same values as integers and booleans, where they came as such |
| `key__` | keys of the entity, as text |

`#2`, `#3` ... behind a name set apart names that differ in letter case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TABLE = "predictions--"
FEATURE = "f__"
KEY = "key__"
NUMBER = (FEATURE, "n__")
TEXT = (FEATURE, "t__")
WHOLE = ("i__",)
TRUTH = ("b__",)
_PREFIXES = {FEATURE, "n__", "t__", "i__", "b__"}
_COUNTED = re.compile(r"#\d+")


def candidates(prefixes: tuple[str, ...], name: str, turn: int) -> list[str]:
    """The columns that may hold a name, in order of preference; `turn` counts from 1."""
    counted = name + f"#{turn}" if turn > 1 or _ends_counted(name) else name
    return [prefix + counted for prefix in prefixes]


def feature_of(column: str) -> str | None:
    """The feature that a column holds; None for columns that hold none."""
    return _bare(column[3:]) if column[:3] in _PREFIXES else None


def feature_columns(columns: Mapping[str, bool], features: Mapping[str, bool]) -> dict[str, str]:
    """For each feature the column that holds it for a version, of a table's `columns`; both say whether they are text.
    A feature that was never logged is left out."""
    found: dict[str, str] = {}
    for name, text in features.items():
        held = [c for c in columns if feature_of(c) == name and c[:3] in (FEATURE, "n__", "t__") and columns[c] == text]
        if held:
            found[name] = held[0]
    return found


def key_of(column: str) -> str | None:
    """The entity key that a column holds; None for other columns."""
    return _bare(column.removeprefix(KEY)) if column.startswith(KEY) else None


def _bare(counted: str) -> str:
    name, mark, turn = counted.rpartition("#")
    return name if mark and _COUNTED.fullmatch(mark + turn) else counted


def _ends_counted(name: str) -> bool:
    _, mark, turn = name.rpartition("#")
    return bool(mark and _COUNTED.fullmatch(mark + turn))
