"""Near words for what was misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def near(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'tpe'?`, or nothing."""
    found = difflib.get_close_matches(word.lower(), list(known), 1)
    return f"; did you mean {found[0]!r}?" if found else ""
