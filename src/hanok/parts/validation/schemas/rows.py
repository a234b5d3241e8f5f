"""Which rows of a batch cause an anomaly: the faults that single rows can have, by the declared schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.values import column_type
from hanok.wire.tfdv import Message

Mask = NDArray[np.bool_]


def faulty(column: pa.ChunkedArray, feature: Message, schema: Message, type_: str) -> Mask | None:
    """The rows of `column` that break `feature` in the way that TFDV calls `type_`; None where no single row does."""
    rule = ROW_FAULTS.get(type_)
    return None if rule is None else np.asarray(rule(column, feature, schema), bool)


def _null(column: pa.ChunkedArray, feature: Message, schema: Message) -> Mask:
    """Only where every row must have a value is one without it at fault."""
    if feature["presence"]["min_fraction"] < 1:
        return np.zeros(len(column), bool)
    return np.asarray(column.is_null().to_numpy(), bool)


def _outside_domain(column: pa.ChunkedArray, feature: Message, schema: Message) -> Mask:
    if feature.which("domain_info") == "domain":
        domain = next((d for d in schema["string_domain"] if d["name"] == feature["domain"]), Message("StringDomain"))
    else:
        domain = feature["string_domain"]
    known = pc.is_in(column.cast(pa.string()), pa.array(list(domain["value"]), pa.string()))
    return np.asarray(pc.and_(pc.invert(known), column.is_valid()).to_numpy(), bool)


def _no_bool(column: pa.ChunkedArray, feature: Message, schema: Message) -> Mask:
    if column_type(column.type) == "STRING":
        words = feature["bool_domain"]
        named = [words[n] for n in ("true_value", "false_value") if words.has(n)]
        known = pc.is_in(column, pa.array(named, column.type))
        return np.asarray(pc.and_(pc.invert(known), column.is_valid()).to_numpy(), bool)
    values = _numbers(column)
    return np.asarray(column.is_valid().to_numpy() & (values != 0) & (values != 1), bool)


def _beyond(kind: str, side: str) -> Callable[[pa.ChunkedArray, Message, Message], Mask]:
    """Values below the `min` or above the `max` of a domain. Missing values break no bound."""

    def rule(column: pa.ChunkedArray, feature: Message, schema: Message) -> Mask:
        bound = feature[kind][side]
        if kind == "int_domain" and pa.types.is_integer(column.type):  # exactly, also beyond 2^53
            outside = pc.less(column, bound) if side == "min" else pc.greater(column, bound)
            return np.asarray(pc.fill_null(outside, False).to_numpy(), bool)
        values = _numbers(column)
        if kind == "float_domain":  # its bounds are 32-bit, so values are rounded alike
            with np.errstate(over="ignore"):
                values = values.astype(np.float32).astype(np.float64)
        return np.asarray(values < bound if side == "min" else values > bound, bool)

    return rule


def _not_a_number(column: pa.ChunkedArray, feature: Message, schema: Message) -> Mask:
    return np.asarray(np.isnan(_numbers(column)) & column.is_valid().to_numpy(), bool)


def _infinite(column: pa.ChunkedArray, feature: Message, schema: Message) -> Mask:
    return np.asarray(np.isinf(_numbers(column)), bool)


def _no_number(whole: bool) -> Callable[[pa.ChunkedArray, Message, Message], Mask]:
    def rule(column: pa.ChunkedArray, feature: Message, schema: Message) -> Mask:
        return np.array([v is not None and not _reads(v, whole) for v in column.to_pylist()], bool)

    return rule


def _reads(text: str, whole: bool) -> bool:
    try:
        int(text) if whole else float(text)
    except ValueError:
        return False
    return "_" not in text


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    if column_type(column.type) == "STRING":
        texts = column.to_pylist()
        return np.array([float(t) if t is not None and _reads(t, False) else np.nan for t in texts], float)
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


ROW_FAULTS: Mapping[str, Callable[[pa.ChunkedArray, Message, Message], Mask]] = {
    "FEATURE_TYPE_LOW_FRACTION_PRESENT": _null,
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES": _outside_domain,
    "BOOL_TYPE_SMALL_INT": _no_bool,
    "BOOL_TYPE_BIG_INT": _no_bool,
    "BOOL_TYPE_UNEXPECTED_FLOAT": _no_bool,
    "BOOL_TYPE_UNEXPECTED_STRING": _no_bool,
    "INT_TYPE_SMALL_INT": _beyond("int_domain", "min"),
    "INT_TYPE_BIG_INT": _beyond("int_domain", "max"),
    "INT_TYPE_NOT_INT_STRING": _no_number(whole=True),
    "FLOAT_TYPE_SMALL_FLOAT": _beyond("float_domain", "min"),
    "FLOAT_TYPE_BIG_FLOAT": _beyond("float_domain", "max"),
    "FLOAT_TYPE_STRING_NOT_FLOAT": _no_number(whole=False),
    "FLOAT_TYPE_HAS_NAN": _not_a_number,
    "FLOAT_TYPE_HAS_INF": _infinite,
}
INTEGRITY = frozenset(
    (
        *ROW_FAULTS,
        "SCHEMA_MISSING_COLUMN",
        "UNEXPECTED_DATA_TYPE",
        "FEATURE_TYPE_NOT_PRESENT",
        "FEATURE_TYPE_LOW_NUMBER_PRESENT",
        "ENUM_TYPE_INVALID_UTF8",
        "DATASET_LOW_NUM_EXAMPLES",
        "DATASET_HIGH_NUM_EXAMPLES",
        "COMPARATOR_LOW_NUM_EXAMPLES",
        "COMPARATOR_HIGH_NUM_EXAMPLES",
    )
)
