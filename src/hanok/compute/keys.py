"""`hanok.core.keys` for Arrow columns: the type of a key column, and the one spelling of each of its values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.values import unwrapped
from hanok.core.errors import BadKey, DeclarationError
from hanok.core.keys import KeyType, KeyValue, canonical, fits

FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # the years 1 to 9999
PLAIN_INTEGER = "^(0|-?[1-9][0-9]{0,18})$"


def key_type(kind: pa.DataType, *, name: str = "key") -> KeyType:
    """What keys in a column of this Arrow type are. Raises DeclarationError for a type that holds no keys."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return key_type(kind.value_type, name=name)
    if isinstance(kind, pa.UuidType):
        return KeyType.TEXT
    if isinstance(kind, pa.Bool8Type):
        return KeyType.BOOLEAN
    if isinstance(kind, pa.BaseExtensionType):
        return key_type(kind.storage_type, name=name)
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale <= 0):
        return KeyType.INTEGER
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return KeyType.NUMBER
    if pa.types.is_boolean(kind):
        return KeyType.BOOLEAN
    if pa.types.is_timestamp(kind):
        return KeyType.INSTANT
    if pa.types.is_date(kind):
        return KeyType.DATE
    if _is_text(kind) or pa.types.is_null(kind):
        return KeyType.TEXT
    raise DeclarationError(
        f"column {name!r} is {kind}: a key is text, a number, a boolean, a date or an instant; derive one from it first"
    )


def holds_keys(kind: pa.DataType) -> bool:
    """Whether values of this Arrow type can be keys at all."""
    try:
        key_type(kind)
    except DeclarationError:
        return False
    return True


def key_types(schema: pa.Schema, names: Sequence[str]) -> tuple[KeyType, ...]:
    """The types of key columns of a table."""
    return tuple(key_type(schema.field(n).type, name=n) for n in names)


def compare_alike(declared: pa.DataType, found: pa.DataType) -> bool:
    """Whether equal values of two key columns are equal keys as they are, without being spelled."""
    if pa.types.is_floating(declared) or pa.types.is_decimal(declared):
        return False  # NaN is no key, and a float rounds what it is compared with
    alike = (pa.types.is_integer, _is_text)
    return declared == found or any(same(declared) and same(found) for same in alike)


def canonical_column(
    kind: KeyType, column: pa.ChunkedArray | pa.Array, *, name: str = "key", strict: bool = True
) -> pa.ChunkedArray:
    """Each value as text in its one spelling, row by row; null stays null, NaN becomes null.

    `column` may be of any type that `fits`, text that an earlier version wrote too. A value that is none of the type
    raises BadKey, or with `strict=False` becomes null: it equals no key of this type.
    """
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    if not holds_keys(chunked.type) or (not strict and kind == KeyType.TEXT and pa.types.is_temporal(chunked.type)):
        return _no_keys(kind, chunked, name, strict)
    chunked = unwrapped(chunked)
    found = chunked.type
    if pa.types.is_null(found):
        return pa.chunked_array([pa.nulls(len(chunked), pa.string())])
    if _spells_itself(kind, found):
        return chunked.cast(pa.string())
    uniques = pc.unique(chunked).drop_null()
    texts = _spelled_instants(uniques) if kind == KeyType.INSTANT and pa.types.is_timestamp(found) else None
    if texts is None:
        texts = _spelled_one_by_one(kind, uniques, name, strict)
    return pc.take(pa.chunked_array([texts]), pc.index_in(chunked, uniques, skip_nulls=True))


def _no_keys(kind: KeyType, column: pa.ChunkedArray, name: str, strict: bool) -> pa.ChunkedArray:
    if strict and column.null_count < len(column):
        why = f"{name} is {column.type}: a key is text, a number, a boolean, a date or an instant; derive one from it"
        raise BadKey(why, key=name, type=kind.value)
    return pa.chunked_array([pa.nulls(len(column), pa.string())])


def refused_values(declared: KeyType, column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The distinct values of a column that are no keys of the declared type."""
    uniques = pc.unique(column).drop_null()
    if fits(declared, key_type(uniques.type)):
        spelled = canonical_column(declared, uniques, strict=False)
        uniques = uniques.filter(pc.is_null(spelled.combine_chunks()))
    return uniques.filter(pc.invert(pc.is_nan(uniques))) if pa.types.is_floating(uniques.type) else uniques


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _spells_itself(kind: KeyType, found: pa.DataType) -> bool:
    """Whether Arrow's own text of a column of this type is the key's spelling."""
    if pa.types.is_integer(found):
        return kind in (KeyType.TEXT, KeyType.INTEGER, KeyType.NUMBER)
    return (
        (kind == KeyType.TEXT and _is_text(found))
        or (kind == KeyType.BOOLEAN and pa.types.is_boolean(found))
        or (kind == KeyType.DATE and found == pa.date32())
    )


def _spelled_instants(values: pa.Array) -> pa.Array | None:
    """Instants in bulk; None where one of them has no spelling."""
    try:
        micros = values.cast(pa.timestamp("us", values.type.tz)).cast(pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    if len(micros) and (micros.min() < FIRST_US or micros.max() > LAST_US):
        return None
    instants = micros.astype("datetime64[us]")
    seconds = instants.astype("datetime64[s]")
    text = np.where(instants == seconds, np.datetime_as_string(seconds), np.datetime_as_string(instants))
    return pa.array(np.char.add(text, "+00:00"), pa.string())


def _spelled_one_by_one(kind: KeyType, values: pa.Array, name: str, strict: bool) -> pa.Array:
    if _is_text(values.type) and kind == KeyType.INTEGER:
        plain = pc.match_substring_regex(values, PLAIN_INTEGER)
        if pc.all(plain).as_py():
            return values
    return pa.array([_spelled(kind, v, name, strict) for v in _scalars(values)], pa.string())


def _spelled(kind: KeyType, value: KeyValue | None, name: str, strict: bool) -> str | None:
    if isinstance(value, float) and math.isnan(value):
        return None
    try:
        return canonical(kind, value, name=name)
    except BadKey:
        if strict:
            raise
        return None


def _scalars(values: pa.Array) -> list[KeyValue | None]:
    """Python values; an instant or a date that Python cannot hold is given as its text, which then is refused."""
    if pa.types.is_timestamp(values.type):
        return [_instant(v) for v in values]
    try:
        return values.to_pylist()
    except (ValueError, OverflowError):
        return [_date(v) for v in values]


def _instant(value: pa.Scalar) -> KeyValue:
    try:
        return value.cast(pa.timestamp("us", value.type.tz)).as_py()
    except (pa.ArrowInvalid, ValueError, OverflowError):
        return str(value.cast(pa.timestamp(value.type.unit)).cast(pa.string()))


def _date(value: pa.Scalar) -> KeyValue:
    try:
        return value.as_py()
    except (ValueError, OverflowError):
        return f"{value.value} days from 1970"
