"""The rule of core/labels.py as SQL, and labels as the numbers that metrics take."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanok.compute.duck import quoted
from hanok.core.labels import LabelValue, class_name, is_label
from hanok.core.serving import Signature
from hanok.core.tables import ARRIVED, SEQUENCE


def known(known_at: str) -> str:
    """From when a label row is known: not before its instant, and not before it arrived."""
    return f"greatest(CAST({quoted(known_at)} AS TIMESTAMPTZ), {ARRIVED})"


def dated(known_at: str) -> str:
    """The instant of a label row; a row without one is dated when it arrived."""
    return f"coalesce(CAST({quoted(known_at)} AS TIMESTAMPTZ), {ARRIVED})"


def holds(column: str, kind: pa.DataType) -> str:
    """The condition that a row holds a label: neither null nor NaN nor infinite. (DuckDB decides isnan() over Parquet
    files by their statistics, which leave NaN out; isfinite() is right.)"""
    name = quoted(column)
    return f"{name} IS NOT NULL" + (f" AND isfinite({name})" if pa.types.is_floating(kind) else "")


def newest(dated_: str, row: str = SEQUENCE) -> str:
    """The order in which the label that counts comes first."""
    return f"{dated_} DESC, {row} DESC"


def encoded(signature: Signature, column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Labels as numbers: values for regression, else class numbers; NaN for what is no label of this signature."""
    place = {name: float(i) for i, name in enumerate(signature.classes)}

    def number(value: LabelValue) -> float:
        if not is_label(value):
            return math.nan
        if signature.task != "regression":
            return place.get(class_name(value), math.nan)
        try:
            found = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return math.nan
        return found if math.isfinite(found) else math.nan

    if signature.task == "regression" and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return np.where(np.isfinite(values), values, np.nan)
    codes = column.combine_chunks().dictionary_encode()
    numbers = np.array([*(number(v) for v in codes.dictionary.to_pylist()), math.nan])
    return numbers[codes.indices.fill_null(len(codes.dictionary)).to_numpy()]
