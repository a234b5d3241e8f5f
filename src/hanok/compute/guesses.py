"""The type of a column of text that no schema knows yet: a number, a truth value or a time where that loses nothing."""

from __future__ import annotations

import shlex

import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.values import LONG_WHOLE, ZERO_FIRST, bring

DECIMAL_COMMA = r"^\s*[+-]?[0-9]+(,[0-9]+)?\s*$"
WITH_COMMA = r"^\s*[+-]?([0-9]+|[1-9][0-9]{0,2}(\.[0-9]{3})+),[0-9]+\s*$"
WITH_POINT = r"^\s*[+-]?[0-9]+(\.[0-9]+)?\s*$"
THOUSANDS = r"^\s*[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+(,[0-9]+)?\s*$"
THREE_AFTER_COMMA = r"^\s*[+-]?[1-9][0-9]{0,2},[0-9]{3}\s*$"
NUMBER_LIKE = r"^\s*[+-]?[0-9.,]*[0-9][0-9.,]*([eE][+-]?[0-9]+)?\s*$"
SHORT_DECIMAL = r"^[0-9]{1,3}\.[0-9]{1,3}$"
NUMBER = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
MOSTLY = 0.8  # of the cells, from which on the others are odd ones
TRUTH = pa.array(["true", "True", "TRUE", "false", "False", "FALSE"])
CLOCK = r"^[0-9]{2}:[0-9]{2}"
VERSIONS_MIN = 20
VERSIONS_SHARE = 0.05


def guessed(texts: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str]:
    """The column in its own type, and what is to be said of the guess (nothing where it is plain)."""
    if texts.null_count == len(texts):
        return pa.chunked_array([pa.nulls(len(texts))]), ""
    zeros = _first(texts, ZERO_FIRST)
    if (number := _number(texts, zeros)) is not None:
        return number
    if pc.all(pc.is_in(texts.drop_null(), TRUTH)).as_py():
        return bring(texts, "BOOL").column, ""
    if (times := bring(texts, "TIMESTAMP")).bad.any():
        return texts, odd_among_numbers(texts)
    return times.column, ""


def odd_among_numbers(texts: pa.ChunkedArray) -> str:
    """Of a text column that is nearly all numbers: which cell is none, and the way out; empty for any other."""
    texts = texts.drop_null()
    texts = texts if (made := by_cell(texts)) is None else made
    numbers = pc.match_substring_regex(texts, NUMBER)
    count = pc.sum(numbers).as_py() or 0
    if not MOSTLY * len(texts) <= count < len(texts):
        return ""
    odd = texts.filter(pc.invert(numbers))[0].as_py()
    return (
        f"is kept as text: {odd!r} is no number, as {count} of {len(texts)} cells are; mend it, or say that it is no "
        f"value (--null {shlex.quote(odd)})"
    )


def with_points(texts: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Numbers with decimal commas as numbers with points; None where not all cells are such numbers."""
    made = by_cell(texts)
    if made is None or not pc.all(pc.match_substring_regex(made.drop_null(), WITH_POINT)).as_py():
        return None
    return made


def by_cell(texts: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """The cells that are numbers with decimal commas with points, others as they stand; None where no cell is one.

    Dots are between thousands where no number of the column says otherwise. Where one does, like 12.5, a cell that may
    be read both ways, like 1,044, stays as it is.
    """
    commas = pc.match_substring_regex(texts, WITH_COMMA)
    if not pc.any(commas).as_py():
        return None
    dots = pc.and_(pc.match_substring_regex(texts, NUMBER_LIKE), pc.match_substring(texts, "."))
    thousands = pc.match_substring_regex(texts, THOUSANDS)
    if pc.any(pc.and_(dots, pc.invert(thousands))).as_py():
        plain = pc.match_substring_regex(texts, DECIMAL_COMMA)
        sure = pc.and_(plain, pc.invert(pc.match_substring_regex(texts, THREE_AFTER_COMMA)))
        return pc.if_else(sure.fill_null(False), pc.replace_substring(texts, ",", "."), texts)
    german = pc.or_(thousands, pc.match_substring_regex(texts, DECIMAL_COMMA)).fill_null(False)
    made = pc.replace_substring(pc.replace_substring(texts, ".", ""), ",", ".")
    return pc.if_else(german, made, texts)


def _number(texts: pa.ChunkedArray, zeros: str) -> tuple[pa.ChunkedArray, str] | None:
    """Whole numbers, else decimals; as text, with the reason, where a number would not say what the text says."""
    try:
        floats = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        if not _first(texts, r"^\s|\s$|^\+"):
            return None
        texts = pc.replace_substring_regex(pc.utf8_trim_whitespace(texts), r"^\+", "")
        try:
            floats = texts.cast(pa.float64())
        except pa.ArrowInvalid:
            return None
    if zeros:
        return texts, f"is kept as text: as a number {zeros!r} would lose the zeros in front"
    try:
        return texts.cast(pa.int64()), ""
    except pa.ArrowInvalid:
        pass
    if bring(texts.filter(pc.match_substring_regex(texts, LONG_WHOLE)), "FLOAT").bad.any():
        return texts, f"is kept as text: as a number {_first(texts, LONG_WHOLE)!r} would lose digits"
    if (pair := _one_number_twice(texts, floats)) is not None:
        return texts, f"is kept as text: {pair[0]!r} and {pair[1]!r} would be one number"
    return floats, ""


def _one_number_twice(texts: pa.ChunkedArray, floats: pa.ChunkedArray) -> tuple[str, str] | None:
    """Two texts like '3.1' and '3.10' among few short ones: versions or codes, not measurements."""
    unique = pc.unique(texts.drop_null())
    if len(unique) > max(VERSIONS_MIN, VERSIONS_SHARE * len(texts)):
        return None
    if not pc.all(pc.match_substring_regex(unique, SHORT_DECIMAL)).as_py():
        return None
    seen: dict[float, str] = {}
    for text in unique.to_pylist():
        if (other := seen.setdefault(float(text), text)) != text:
            return other, text
    return None


def _first(texts: pa.ChunkedArray, pattern: str) -> str:
    """The first text in which the pattern is found; empty where it is in none."""
    found = pc.index(pc.match_substring_regex(texts, pattern), True).as_py()
    return str(texts[found].as_py()) if found >= 0 else ""
